"""Gains, counts and intervals over the rows of an evaluation. Pure functions of rows.

Intervals are 95 % percentile bootstraps over modules with 1,000 resamples; the same seed and rows
give the same interval.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_compiler.evaluate.figures import NOTHING, Figure, bootstrap
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.optimization.choose import Built, wins
from llm_compiler.search.objective import Objective, object_objectives

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    IntArray = NDArray[numpy.int64]
    FloatArray = NDArray[numpy.float64]

__all__ = [
    "SIZE_EDGES",
    "Summary",
    "gains",
    "group_rows",
    "size_class",
    "summarize",
]

SIZE_EDGES = (500, 1000, 2000, 4000, 8000)
"""Bytes of the baseline's object, where one class of modules ends and the next begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a contender saved with one budget on some modules.

    `gains` by metric (``size``, ``text-data``), backup (``with``, ``without``) and mean (``total``,
    ``geomean``); `counts` by metric, without backup: improved, equal, regressed.
    """

    contender: str
    model: str
    budget: int
    num_modules: int
    gains: dict[tuple[str, str, str], Figure]
    counts: dict[str, tuple[int, int, int]]
    potential: Figure
    """Share of the autotuner's gain, with backup, where its ceiling is known."""
    num_with_ceiling: int
    ahead_of_coreset: Figure
    """Total gain less the coreset's on the same modules at the same budget, with backup."""
    num_evaluations: int
    compile_seconds: float
    model_seconds: float
    verdicts: dict[str, int]
    num_rejected: int

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain values."""
        return {
            "contender": self.contender,
            "model": self.model,
            "budget": self.budget,
            "num_modules": self.num_modules,
            "gains": [
                {"metric": metric, "backup": backup, "mean": mean, **figure.to_json()}
                for (metric, backup, mean), figure in self.gains.items()
            ],
            "without_backup": {
                metric: dict(zip(("improved", "equal", "regressed"), counts, strict=True))
                for metric, counts in self.counts.items()
            },
            "share_of_potential": {**self.potential.to_json(), "n": self.num_with_ceiling},
            "ahead_of_coreset": self.ahead_of_coreset.to_json(),
            "num_evaluations": self.num_evaluations,
            "compile_seconds": round(self.compile_seconds, 3),
            "model_seconds": round(self.model_seconds, 3),
            "verdicts": self.verdicts,
            "num_rejected": self.num_rejected,
        }


def sizes_of(rows: Sequence[Row], metric: Objective) -> tuple[IntArray, IntArray]:
    """Return the baseline's and the contender's sizes, without backup."""
    import numpy

    column = metric.column
    pairs = [(getattr(row, f"baseline_{column}"), getattr(row, column)) for row in rows]
    array = numpy.array(pairs, dtype=numpy.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def backed_sizes_of(
    rows: Sequence[Row], metric: Objective, objective: Objective
) -> tuple[IntArray, IntArray]:
    """Return the baseline's sizes and those that `optimize` hands out, with -Oz backup."""
    import numpy

    base, ours = sizes_of(rows, metric)
    won = [_won(row, objective) for row in rows]
    return base, numpy.where(numpy.array(won, dtype=bool), ours, base)


def _won(row: Row, objective: Objective) -> bool:
    baseline = Built(
        size_bytes=row.baseline_size_bytes, text_data_bytes=row.baseline_text_data_bytes
    )
    found = Built(size_bytes=row.size_bytes, text_data_bytes=row.text_data_bytes)
    return wins(found, baseline, objective)


def gains(base: IntArray, ours: IntArray, *, seed: int = 0) -> tuple[Figure, Figure]:
    """Return total and geometric mean gain; modules whose baseline has no bytes are left out.

    A module that shrank to nothing counts as one byte in the geometric mean.
    """
    import numpy

    base, ours = base[base > 0], ours[base > 0]
    if not len(base):
        return NOTHING, NOTHING
    logs = numpy.log(numpy.maximum(ours, 1) / base)

    def total(drawn: IntArray) -> FloatArray:
        found: FloatArray = 1 - ours[drawn].sum(1) / base[drawn].sum(1)
        return found

    def geomean(drawn: IntArray) -> FloatArray:
        found: FloatArray = 1 - numpy.exp(logs[drawn].mean(1))
        return found

    first, second = (bootstrap(len(base), item, seed) for item in (total, geomean))
    return (
        Figure(value=first[0], low=first[1], high=first[2]),
        Figure(value=second[0], low=second[1], high=second[2]),
    )


def _difference(base: IntArray, other: IntArray, ours: IntArray, seed: int) -> Figure:
    if not len(base) or not base.sum():
        return NOTHING

    def measure(drawn: IntArray) -> FloatArray:
        found: FloatArray = (other[drawn].sum(1) - ours[drawn].sum(1)) / base[drawn].sum(1)
        return found

    value, low, high = bootstrap(len(base), measure, seed)
    return Figure(value=value, low=low, high=high)


def _potential(rows: Sequence[Row], objective: Objective, seed: int) -> tuple[Figure, int]:
    """Return the share of the autotuner's gain, and of how many modules it is."""
    import numpy

    rows = [row for row in rows if row.ceiling_size_bytes >= 0]
    if not rows:
        return NOTHING, 0
    base, ours = backed_sizes_of(rows, objective, objective)
    best = numpy.array([getattr(row, f"ceiling_{objective.column}") for row in rows])
    saved, possible = base - ours, base - numpy.minimum(base, best)
    if not possible.sum():
        return NOTHING, len(rows)

    def measure(drawn: IntArray) -> FloatArray:
        found: FloatArray = saved[drawn].sum(1) / possible[drawn].sum(1)
        return found

    value, low, high = bootstrap(len(rows), measure, seed)
    return Figure(value=value, low=low, high=high), len(rows)


def summarize(
    rows: Sequence[Row],
    *,
    objective: Objective,
    coreset: Sequence[Row] = (),
    seed: int = 0,
) -> Summary:
    """Return the figures of rows of one contender and budget.

    Args:
        coreset: the coreset's rows of the same budget, to compare with.
    """
    found: dict[tuple[str, str, str], Figure] = {}
    counts: dict[str, tuple[int, int, int]] = {}
    for metric in object_objectives():
        base, ours = sizes_of(rows, metric)
        _, backed = backed_sizes_of(rows, metric, objective)
        for backup, sizes in (("with", backed), ("without", ours)):
            total, geomean = gains(base, sizes, seed=seed)
            found[metric.name, backup, "total"] = total
            found[metric.name, backup, "geomean"] = geomean
        counts[metric.name] = (
            int((ours < base).sum()),
            int((ours == base).sum()),
            int((ours > base).sum()),
        )
    potential, num_with_ceiling = _potential(rows, objective, seed)
    ahead = NOTHING
    if coreset and rows[0].contender != coreset[0].contender:
        theirs = {(row.suite, row.module, row.module_hash): row for row in coreset}
        both = [
            (row, theirs[key])
            for row in rows
            if (key := (row.suite, row.module, row.module_hash)) in theirs
        ]
        base, ours = backed_sizes_of([row for row, _ in both], objective, objective)
        _, other = backed_sizes_of([two for _, two in both], objective, objective)
        ahead = _difference(base, other, ours, seed)
    return Summary(
        contender=rows[0].contender,
        model=rows[0].model,
        budget=rows[0].budget,
        num_modules=len(rows),
        gains=found,
        counts=counts,
        potential=potential,
        num_with_ceiling=num_with_ceiling,
        ahead_of_coreset=ahead,
        num_evaluations=sum(row.num_evaluations for row in rows),
        compile_seconds=sum(row.compile_seconds for row in rows),
        model_seconds=sum(row.model_seconds for row in rows),
        verdicts=dict(sorted(Counter(row.verdict for row in rows).items())),
        num_rejected=sum(row.num_rejected for row in rows),
    )


def group_rows(rows: Iterable[Row], key: Callable[[Row], str]) -> dict[str, list[Row]]:
    """Return the rows of each group, in the order in which groups occur."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def size_class(row: Row) -> str:
    """Name the class of a module by its baseline's size: ``500 to 999 bytes``."""
    low = 0
    for edge in SIZE_EDGES:
        if row.baseline_size_bytes < edge:
            return f"{low} to {edge - 1} bytes" if low else f"below {edge} bytes"
        low = edge
    return f"{low} bytes and more"
