"""Shares and means with their intervals. Pure functions of numbers.

Intervals are 95 % percentile bootstraps with 1,000 resamples; the same seed and numbers give the
same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    FloatArray = NDArray[numpy.float64]
    IntArray = NDArray[numpy.int64]

__all__ = ["NOTHING", "Figure", "bootstrap", "mean_of", "share_of"]

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A share with its 95 % interval; of nothing: all are NaN."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float | None]:
        """Return it with null for what is not known."""
        found = {"value": self.value, "low": self.low, "high": self.high}
        return {k: None if math.isnan(v) else round(v, 6) for k, v in found.items()}

    def text(self) -> str:
        """Return ``3.41 % [2.90, 4.02]``."""
        if math.isnan(self.value):
            return "—"
        return f"{100 * self.value:.2f} % [{100 * self.low:.2f}, {100 * self.high:.2f}]"


NOTHING = Figure(value=math.nan, low=math.nan, high=math.nan)


def bootstrap(
    num: int, measure: Callable[[IntArray], FloatArray], seed: int
) -> tuple[float, float, float]:
    """Return a measure of all, and the ends of its 95 % interval.

    Args:
        num: of how many things; at least 1.
        measure: from indices (resamples, num) to values (resamples,).
    """
    import numpy

    value = float(measure(numpy.arange(num)[None])[0])
    drawn = numpy.random.default_rng(seed).integers(0, num, (_RESAMPLES, num))
    with numpy.errstate(invalid="ignore", divide="ignore"):
        found = measure(drawn)
    found = found[~numpy.isnan(found)]
    low, high = numpy.percentile(found, [2.5, 97.5]) if len(found) else (math.nan, math.nan)
    return value, float(low), float(high)


def mean_of(values: Sequence[float], seed: int = 0) -> Figure:
    """Return the mean of some values with its interval; of none: NaN."""
    import numpy

    if not values:
        return NOTHING
    array = numpy.array(values, dtype=numpy.float64)

    def measure(drawn: IntArray) -> FloatArray:
        found: FloatArray = array[drawn].mean(1)
        return found

    value, low, high = bootstrap(len(array), measure, seed)
    return Figure(value=value, low=low, high=high)


def share_of(hits: Sequence[bool], seed: int = 0) -> Figure:
    """Return the share of hits with its interval.

    Where all or none hit, resamples would all be alike, as if that were certain; there the interval
    is the exact one of the binomial distribution (Clopper and Pearson).
    """
    found = mean_of([float(hit) for hit in hits], seed)
    if not hits or 0 < found.value < 1:
        return found
    far = 0.025 ** (1 / len(hits))
    low, high = (far, 1.0) if found.value else (0.0, 1 - far)
    return Figure(value=found.value, low=low, high=high)
