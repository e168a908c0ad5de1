"""What evaluations ask about models beside their answers: what fits, and which weights they are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.dataset.stage_sample import StageSample, render_paper
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import public_name, weights_hash
from llm_compiler.model.engines.questions import flag_tuning_question
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts, load_prompts
from llm_compiler.model.tokenizer import TOKENIZER_FILE

__all__ = ["ModelName", "fits_context", "model_fingerprint", "prompts_of", "sample_fits"]

_ANSWER_TOKENS = 100
"""What an answer needs of the context: the longest list, and sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model as reports name it, so that other weights have another name."""

    engine: str
    model: str
    weights: str = ""
    """A hash; empty where they are not at hand."""

    def to_json(self) -> dict[str, str]:
        """Return what settings and reports hold."""
        found = {"engine": self.engine, "model": self.model}
        return {**found, "weights": self.weights} if self.weights else found

    def described(self, number: int) -> str:
        """Return the sentence that introduces it in a report."""
        weights = self.weights or "unknown"
        return f"Model {number}: {self.model} ({self.engine} engine, weights {weights})."


def fits_context(
    engine: Engine, prompts: CompactPrompts | PaperPrompts | None, module: EvaluationModule
) -> bool:
    """Whether a module's prompt for flag tuning and an answer fit a model's context, uncut."""
    return sample_fits(engine, prompts, flag_tuning_question(module.text, module.target_triple))


def sample_fits(
    engine: Engine, prompts: CompactPrompts | PaperPrompts | None, sample: StageSample
) -> bool:
    """Whether a sample's prompt and a short answer fit a model's context, uncut.

    Args:
        prompts: None (a server's, which nobody can count here): it fits.

    Raises:
        InputError: it cannot be put into the model's words.
    """
    if prompts is None:
        return True
    if isinstance(prompts, CompactPrompts):
        count = len(prompts.prompt(sample))
    else:
        count = len(prompts.prompt_ids(render_paper(sample)[0]))
    return count + _ANSWER_TOKENS <= engine.context


def prompts_of(engine: Engine, model: str | Path | None) -> CompactPrompts | PaperPrompts | None:
    """Return the prompts that an engine writes, if its tokenizer is at hand."""
    if engine.reader is not None:
        return engine.reader.prompts
    if model is not None and (Path(model) / TOKENIZER_FILE).is_file():
        return load_prompts(Path(model))
    return None


def model_fingerprint(engine: Engine, model: str | Path | None) -> ModelName:
    """Name an engine and its weights so that other weights have another name."""
    found = ModelName(engine=engine.name, model=public_name(engine.model))
    folder = Path(model) if model is not None else None
    if folder is None or not folder.is_dir():
        return found
    return replace(found, weights=weights_hash(folder))
