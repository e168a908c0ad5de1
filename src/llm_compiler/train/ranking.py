"""What a model's lists save on modules that it never learnt from: the figure that tuning is for.

The modules are the validation split of label shards, so nothing is compiled: the labels say what
every list makes of every module. The model ranks the lists by log-probability, masked to the tree
of all lists; the coreset's ranking is its own order. Of each ranking the first K lists are tried,
and the smallest result counts, default<Oz>'s among them. The oracle tries all. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from llm_compiler.errors import ArtifactError
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
_COLUMNS: Final = (*(f"model {k}" for k in STEPS), *(f"coreset {k}" for k in STEPS), "oracle")


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
        encoded = [
            documents.document(module, whole=False, min_mass=0.0) for module in self._modules
        ]
        self.rows: list[Row] = list(pack_rows(encoded, config.row_tokens))
        """All modules, in rows."""
        self._nodes = [one.tree.edge_nodes for one in encoded if one.tree is not None]
        counts = [len(row.lengths) for row in self.rows]
        self._firsts = [sum(counts[:number]) for number in range(len(counts))]

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
        for place, log_probs in found:
            start = 0
            if place < 0:
                continue
            first = self._firsts[place]
            for number in range(first, first + len(self.rows[place].lengths)):
                module, nodes = self._modules[number], self._nodes[number]
                tree = self._trees[module.table]
                scores = list_scores(tree, nodes, log_probs[start : start + len(nodes)])
                best[number] = _best(module.sizes[self._metric], scores[:-1])
                start += len(nodes)
        return best

    def savings(self, best: NDArray[numpy.float64]) -> dict[str, Any]:
        """Return the savings over default<Oz>, by architecture: of the model's first lists, of the
        coreset's, and of all.

        For each, ``total``: of all bytes; ``geomean``: 1 - the geometric mean of the ratios;
        ``mean``: of the modules' savings.
        """
        import numpy

        before = numpy.array([one.sizes[self._metric][0] for one in self._modules], dtype=float)
        targets = numpy.array([one.target_triple.split("-", 1)[0] for one in self._modules])
        told: dict[str, Any] = {}
        for target in sorted(set(targets.tolist())):
            of_target = targets == target
            oz = before[of_target]
            told[target] = {"num_modules": len(oz)}
            for column, name in enumerate(_COLUMNS):
                sizes = best[of_target, column]
                told[target][name] = {
                    "total": 1 - float(sizes.sum() / oz.sum()),
                    "geomean": 1 - float(numpy.exp(numpy.log(sizes / oz).mean())),
                    "mean": float((1 - sizes / oz).mean()),
                }
        return told


def _best(sizes: NDArray[numpy.int64], scores: NDArray[numpy.float64]) -> list[int]:
    """Return the smallest size of each column of `_COLUMNS`, for one module."""
    import numpy

    baseline = int(sizes[0])
    tried = numpy.where(sizes[1:] < 0, baseline, sizes[1:])
    ranked = tried[numpy.argsort(-scores, kind="stable")]
    return [
        *(min(baseline, int(ranked[:k].min())) for k in STEPS),
        *(min(baseline, int(tried[:k].min())) for k in STEPS),
        min(baseline, int(tried.min())),
    ]
