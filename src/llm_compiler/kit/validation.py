"""Two sets of weights on the same unseen documents of every task: which is better, and by how much.

Losses are in nats per token of the answer, document by document; labelled modules by what the first
lists save. Differences come with 95 % intervals from a paired bootstrap over documents and modules.
Imports PyTorch inside functions only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.errors import ConfigError
from llm_compiler.model.configs import read_hf_config
from llm_compiler.model.prompts import load_prompts
from llm_compiler.train.checkpoint import load_weights
from llm_compiler.train.configs import STAGE_OF, TrainConfig
from llm_compiler.train.packing import IGNORED, pack_rows
from llm_compiler.train.ranking import Ranking, is_ranked
from llm_compiler.train.sources import first_documents

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["Comparison", "Measured", "compare", "is_better", "measure"]

_DRAWS: Final = 2000
_RANKED: Final = ("model 1", "rounds 16")


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure of many documents: the sum of `values` over the sum of `sizes`; lower is better."""

    values: NDArray[numpy.float64]
    sizes: NDArray[numpy.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """New weights against old ones on a task."""

    task: str
    unit: str
    old: float
    new: float
    low: float
    """Of new - old, the 95 % interval."""
    high: float
    num: int

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or ``no difference shown``."""
        if self.high < 0:
            return "better"
        return "worse" if self.low > 0 else "no difference shown"


def measure(weights: Path, config: TrainConfig) -> dict[str, Measured]:
    """Return what a checkpoint makes of each validation set of a configuration.

    Raises:
        ConfigError: the configuration has none.
        CheckpointMismatch, TokenizerMismatch: the weights cannot be read, or are of another
            tokenizer.
    """
    import numpy
    import torch

    from llm_compiler.model.special import TASKS
    from llm_compiler.train.hardware import cpu_multiplies_bf16
    from llm_compiler.train.language_model import PackedModel, TreeTensors, make_llama

    if not config.validation:
        raise ConfigError("the configuration names no [validation] data")
    prompts = load_prompts(config.tokenizer)
    shape = read_hf_config(weights)
    llama = make_llama(shape)
    load_weights(weights, llama, shape, prompts)
    model = PackedModel(llama, num_tasks=len(TASKS), longest=shape.context, lean=True).eval()
    half = cpu_multiplies_bf16()
    found: dict[str, Measured] = {}

    def run(row: Any) -> Any:
        arrays = (row.ids, row.positions, row.targets, row.tasks)
        trees = None if row.trees is None else TreeTensors.of(row.trees, torch.device("cpu"))
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            return model(*(torch.from_numpy(array) for array in arrays), row.lengths, trees)

    for name, where in config.validation.items():
        if is_ranked(where):
            ranking = Ranking(name, where, config, prompts)
            log_probs = [
                (place, run(row)[3].double().numpy()) for place, row in enumerate(ranking.rows)
            ]
            best = ranking.best_sizes(log_probs)
            before = ranking.baseline_sizes()
            for column in _RANKED:
                smallest = best[:, ranking.columns.index(column)]
                found[f"{name}, {column}"] = Measured(
                    numpy.log(smallest / before), numpy.ones(len(best))
                )
            continue
        values: list[Any] = []
        sizes: list[Any] = []
        documents = first_documents(
            STAGE_OF[name],
            where,
            prompts=prompts,
            context=config.document_tokens,
            number=config.validation_documents,
        )
        for row in pack_rows(documents, config.row_tokens):
            model.kept_losses = []
            run(row)
            losses = torch.cat(model.kept_losses).numpy()
            model.kept_losses = None
            owner = numpy.repeat(numpy.arange(len(row.lengths)), row.lengths)[
                row.targets != IGNORED
            ]
            values.append(numpy.bincount(owner, losses, len(row.lengths)))
            sizes.append(numpy.bincount(owner, minlength=len(row.lengths)).astype(float))
        found[name] = Measured(numpy.concatenate(values), numpy.concatenate(sizes))
    return found


def compare(old: Mapping[str, Measured], new: Mapping[str, Measured]) -> list[Comparison]:
    """Return the comparison of each task that both have."""
    import numpy

    found = []
    for task in old:
        if task not in new:
            continue
        before, after = old[task], new[task]
        rng = numpy.random.default_rng(1)
        count = len(before.values)
        draws = rng.integers(0, count, (_DRAWS, count))
        apart = after.values[draws].sum(axis=1) / after.sizes[draws].sum(axis=1)
        apart -= before.values[draws].sum(axis=1) / before.sizes[draws].sum(axis=1)
        low, high = numpy.quantile(apart, (0.025, 0.975))
        found.append(
            Comparison(
                task=task,
                unit="log of the size" if "," in task else "nats per token",
                old=float(before.values.sum() / before.sizes.sum()),
                new=float(after.values.sum() / after.sizes.sum()),
                low=float(low),
                high=float(high),
                num=count,
            )
        )
    return found


def is_better(comparisons: list[Comparison]) -> bool:
    """Whether some task is better and none is worse, each beyond its interval."""
    verdicts = {comparison.verdict for comparison in comparisons}
    return "better" in verdicts and "worse" not in verdicts
