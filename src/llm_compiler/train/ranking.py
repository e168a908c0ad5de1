"""What a model's lists save on modules that it never learnt from: the figure that tuning is for.

The modules are the validation split of label shards, so nothing is compiled: the labels say what
every list makes of every module. The model ranks the lists by log-probability, masked to the tree
of all lists; the coreset's ranking is its own order. Of each ranking the first K lists are tried,
and the smallest result counts, default<Oz>'s among them. The oracle tries all.

"rounds" begin with the coreset's first lists and what the compiler said of them; all others are
then the model's choice, ranked once: a lower bound of choosing them round by round. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.model.label_shards import LabelledPrompt, is_label_shards
from llm_compiler.train.packing import Row, pack_rows
from llm_compiler.train.sources import LabelledDocuments, open_labels
from llm_compiler.train.trees import list_scores

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from llm_compiler.model.prompts import Prompts
    from llm_compiler.train.configs import DataConfig, TrainConfig

__all__ = ["Ranking", "is_ranked"]

STEPS: Final = (1, 4, 16)
"""Lists that are tried."""
ROUND_STEPS: Final = (8, 16)
"""Lists that are tried in rounds, those that they begin with among them."""
NUM_TRIED: Final = 4
"""Lists that rounds begin with."""
_COLUMNS: Final = (
    *(f"model {k}" for k in STEPS),
    *(f"rounds {k}" for k in ROUND_STEPS),
    *(f"coreset {k}" for k in sorted({*STEPS, *ROUND_STEPS})),
    "oracle",
)
_NUM_ALONE = len(STEPS)


def is_ranked(where: DataConfig) -> bool:
    """Whether validation data are label shards."""
    return is_label_shards(where.path)


class Ranking:
    """The validation modules of label shards.

    Raises:
        ArtifactError: there are none, or see `sources.open_labels`.
    """

    def __init__(
        self, stage: str, where: DataConfig, config: TrainConfig, prompts: Prompts
    ) -> None:
        shards = open_labels(stage, where.path, prompts)
        positions = shards.of_split("validation")[: config.validation_documents]
        if not positions:
            raise ArtifactError(
                f"{where.path} holds no modules of the validation split: pack labels of it too, or "
                "some of the train split as such (labels pack --hold-out)"
            )
        self._modules: list[LabelledPrompt] = [shards[place] for place in positions]
        self._metric = config.labels.metric
        documents = LabelledDocuments(shards, config.labels, config.document_tokens)
        self._trees = documents.trees
        encoded = []
        for module in self._modules:
            encoded.append(documents.document(module, whole=False, min_mass=0.0))
            tried = range(min(NUM_TRIED, len(module.sizes[self._metric]) - 1))
            encoded.append(
                documents.document(
                    module, whole=False, min_mass=0.0, tried=tried, choices=[len(tried)]
                )
            )
        self.rows: list[Row] = list(pack_rows(encoded, config.row_tokens))
        """All modules, in rows."""
        self._nodes = [
            each_encoded.tree.edge_nodes
            for each_encoded in encoded
            if each_encoded.tree is not None
        ]
        counts = [len(row.lengths) for row in self.rows]
        self._firsts = [sum(counts[:number]) for number in range(len(counts))]

    columns: Final = _COLUMNS
    """What `best_sizes` has of each module."""

    def baseline_sizes(self) -> NDArray[numpy.float64]:
        """Return default<Oz>'s size of each module, (modules,)."""
        import numpy

        return numpy.array([module.sizes[self._metric][0] for module in self._modules], dtype=float)

    def best_sizes(
        self, found: Iterable[tuple[int, NDArray[numpy.float64]]]
    ) -> NDArray[numpy.float64]:
        """Return what is smallest of the lists tried on each module, (modules, `_COLUMNS`).

        Args:
            found: of some rows: their place, and the log-probabilities of their edges. Modules of
                others have 0.
        """
        import numpy

        best = numpy.zeros((len(self._modules), len(_COLUMNS)))
        for position, log_probs in found:
            start = 0
            if position < 0:
                continue
            first = self._firsts[position]
            for number in range(first, first + len(self.rows[position].lengths)):
                # Each module has two documents: without rounds, and with.
                which, in_rounds = divmod(number, 2)
                module, nodes = self._modules[which], self._nodes[number]
                tree = self._trees[module.table]
                scores = list_scores(tree, nodes, log_probs[start : start + len(nodes)])
                columns, sizes = _best(module.sizes[self._metric], scores[:-1], bool(in_rounds))
                best[which, columns] = sizes
                start += len(nodes)
        return best

    def savings(self, best: NDArray[numpy.float64]) -> dict[str, Any]:
        """Return the savings over default<Oz>, by architecture: of the model's first lists, of the
        coreset's, and of all.

        For each, ``total``: of all bytes; ``geomean``: 1 - the geometric mean of the ratios;
        ``mean``: of the modules' savings.
        """
        import numpy

        before = numpy.array(
            [module.sizes[self._metric][0] for module in self._modules], dtype=float
        )
        targets = numpy.array([architecture_of(module.target_triple) for module in self._modules])
        savings: dict[str, Any] = {}
        for target in sorted(set(targets.tolist())):
            of_target = targets == target
            oz = before[of_target]
            savings[target] = {"num_modules": len(oz)}
            for column, name in enumerate(_COLUMNS):
                sizes = best[of_target, column]
                savings[target][name] = {
                    "total": 1 - float(sizes.sum() / oz.sum()),
                    "geomean": 1 - float(numpy.exp(numpy.log(sizes / oz).mean())),
                    "mean": float((1 - sizes / oz).mean()),
                }
        return savings


def _best(
    sizes: NDArray[numpy.int64], scores: NDArray[numpy.float64], in_rounds: bool
) -> tuple[list[int], list[int]]:
    """Return places in `_COLUMNS`, and the smallest size of each, for one module."""
    import numpy

    baseline = int(sizes[0])
    tried = numpy.where(sizes[1:] < 0, baseline, sizes[1:])

    def smallest(order: NDArray[numpy.int64], steps: Iterable[int]) -> list[int]:
        return [min(baseline, int(tried[order[:k]].min())) for k in steps]

    if in_rounds:
        scores = scores.copy()
        scores[:NUM_TRIED] = numpy.inf
        order = numpy.argsort(-scores, kind="stable")
        columns = range(_NUM_ALONE, _NUM_ALONE + len(ROUND_STEPS))
        return list(columns), smallest(order, ROUND_STEPS)
    order = numpy.argsort(-scores, kind="stable")
    own = numpy.arange(len(tried))
    steps = sorted({*STEPS, *ROUND_STEPS})
    rest = range(_NUM_ALONE + len(ROUND_STEPS), len(_COLUMNS))
    return (
        [*range(_NUM_ALONE), *rest],
        [*smallest(order, STEPS), *smallest(own, steps), min(baseline, int(tried.min()))],
    )
