"""What a run reads: the sources that its steps are drawn from, and what it is validated on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_compiler.errors import TokenizerMismatch
from llm_compiler.model.prompts import Prompts, load_prompts
from llm_compiler.train.configs import STAGE_OF, TrainConfig
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.ranking import Ranking, is_ranked
from llm_compiler.train.sources import first_documents, open_source

__all__ = ["RunData", "open_run_data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunData:
    """The opened data of a run."""

    prompts: Prompts
    sources: dict[str, Any]
    """By stage."""
    validation: list[Row]
    """Documents that are not learnt."""
    ranking: Ranking | None
    """Of label shards, where a stage is validated on them."""

    @property
    def validation_rows(self) -> list[Row]:
        """All that validation computes: the documents' rows, then those of the ranking."""
        return [*self.validation, *(self.ranking.rows if self.ranking else ())]


def open_run_data(config: TrainConfig) -> RunData:
    """Open what a configuration names.

    Raises:
        ArtifactError: data or tokenizer are missing, damaged, or not of one kind.
    """
    prompts = load_prompts(config.tokenizer)
    if prompts.vocab_size > config.model.vocab_size:
        raise TokenizerMismatch(
            f"the tokenizer in {config.tokenizer} has {prompts.vocab_size} tokens, the "
            f"model '{config.model.name}' has {config.model.vocab_size}"
        )
    sources = {
        stage: open_source(
            STAGE_OF[stage],
            config.data[stage],
            prompts=prompts,
            tokenizer=config.tokenizer,
            seed=config.seed,
            context=config.document_tokens,
            num_workers=config.num_workers,
            labels=config.labels,
        )
        for stage in config.shares()
    }
    validation: list[Row] = []
    ranking: Ranking | None = None
    for stage, where in config.validation.items():
        if is_ranked(where):
            ranking = Ranking(stage, where, config, prompts)
            continue
        documents = first_documents(
            STAGE_OF[stage],
            where,
            prompts=prompts,
            context=config.document_tokens,
            number=config.validation_documents,
        )
        validation += pack_rows(documents, config.row_tokens)
    return RunData(prompts=prompts, sources=sources, validation=validation, ranking=ranking)
