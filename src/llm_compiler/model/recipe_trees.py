"""Which recipe to try next on a unit: boosted trees on function shapes and sizes measured so far.

For a function and a recipe that was not tried, the trees predict what share of the function the
recipe would save beyond the best recipe tried: never less than nothing, since each function keeps
its best. Weighted by the functions' bytes that is what the unit gains by one more evaluation
(submodular: a gain shrinks as others come), and the recipe of the largest sum is next. Beside
shapes and sizes the trees read what a Gaussian over the recipes, conditioned on what was measured
of the same function, expects.

The trees are trained by `train.recipe_trees` and kept as JSON: nothing is executed when a file is
read. Needs numpy, and neither LLVM nor the library that trained them. Deterministic; safe in
threads.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_compiler.errors import ShardCorrupt
from llm_compiler.output import write_atomically

__all__ = ["RecipeTrees", "Trees", "UnitView", "column_names"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_FUNCTIONS = 16
"""Of a unit, the largest; the others are a small part of it."""
_FORMAT = 1
_UNKNOWN = -9.0
"""In place of a saving that was not measured."""
_GONE = 0.3
"""Taken for the saving of a function that a recipe inlined everywhere: its callers grow by some."""
_NOISE = 4e-4
"""Variance of a saving beside what recipes have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trees:
    """Binary trees in flat arrays; node `i` asks whether `row[features[i]] <= thresholds[i]`.

    A leaf has itself for both children, so that all rows go down all trees in step.
    """

    features: IntArray
    thresholds: FloatArray
    left: IntArray
    right: IntArray
    values: FloatArray
    """(nodes,): what a leaf adds; 0 elsewhere."""
    roots: IntArray
    depth: int

    def predict(self, rows: FloatArray) -> FloatArray:
        """Return the sum over all trees for each row: (rows, columns) to (rows,)."""
        nodes = np.tile(self.roots, (len(rows), 1))
        line = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            goes_left = rows[line, self.features[nodes]] <= self.thresholds[nodes]
            nodes = np.where(goes_left, self.left[nodes], self.right[nodes])
        total: FloatArray = self.values[nodes].sum(axis=1)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitView:
    """What is known of a unit before any recipe is tried.

    A unit whose functions are not known apart has one row, for all of it.
    """

    size_bytes: int
    """At default<Oz>."""
    names: tuple[str, ...]
    shapes: FloatArray
    """(functions, counts): `FunctionShape.numbers`."""
    oz_bytes: FloatArray
    """(functions,): at default<Oz>."""
    num_functions: int
    """Before small ones were left out."""

    @classmethod
    def of(
        cls,
        size_bytes: int,
        oz_bytes: Mapping[str, float],
        shapes: Mapping[str, Sequence[float]],
        num_counts: int,
    ) -> UnitView:
        """Keep the largest functions that have both a shape and a size.

        Args:
            oz_bytes: at default<Oz>, by symbol.
            shapes: by symbol.
            num_counts: length of a shape.
        """
        known = [name for name, size in oz_bytes.items() if size > 0 and name in shapes]
        names = sorted(known, key=lambda name: (-oz_bytes[name], name))[:MAX_FUNCTIONS]
        if not names:
            return cls(
                size_bytes=size_bytes,
                names=("",),
                shapes=np.full((1, num_counts), _UNKNOWN),
                oz_bytes=np.array([float(size_bytes)]),
                num_functions=0,
            )
        return cls(
            size_bytes=size_bytes,
            names=tuple(names),
            shapes=np.array([shapes[name] for name in names], dtype=np.float64),
            oz_bytes=np.array([oz_bytes[name] for name in names], dtype=np.float64),
            num_functions=len(known),
        )

    @property
    def weights(self) -> FloatArray:
        """(functions,): each one's share of the unit's bytes."""
        shares: FloatArray = self.oz_bytes / self.size_bytes
        return shares

    def savings(self, size_bytes: int, by_function: Mapping[str, float]) -> FloatArray:
        """Return the share of each function that a recipe saves.

        Args:
            size_bytes: of the whole unit with the recipe; negative: it gave no object.
            by_function: bytes by symbol; functions that are not there are in no object.
        """
        if size_bytes < 0:
            return np.full(len(self.names), -1.0)
        if self.names == ("",):
            return np.array([max(-1.0, 1 - size_bytes / self.size_bytes)])
        sizes = np.array([by_function.get(name, -1.0) for name in self.names])
        found: FloatArray = np.where(sizes < 0, _GONE, np.maximum(-1.0, 1 - sizes / self.oz_bytes))
        return found


def column_names(shape_names: Sequence[str], num_recipes: int) -> list[str]:
    """Return what the columns of the trees' rows are."""
    return [
        *shape_names,
        *("log bytes", "share of unit", "log bytes of unit", "functions", "saved so far", "tried"),
        *(f"saved by recipe {index}" for index in range(num_recipes)),
        *("recipe", "mean saving", "expected saving", "deviation", "expected improvement"),
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeTrees:
    """A trained chooser for one architecture."""

    architecture: str
    recipes: tuple[str, ...]
    """Texts, in the order that is best for a unit of which nothing is known."""
    mean: FloatArray
    """(recipes,): share of a function that each saves, by bytes."""
    covariance: FloatArray
    """(recipes, recipes)."""
    trees: Trees
    num_columns: int
    """Of the rows."""

    def rows(self, unit: UnitView, measured: Mapping[int, FloatArray]) -> FloatArray:
        """Return the trees' rows: (functions * recipes, columns), functions first.

        Args:
            measured: savings of each function (`UnitView.savings`) by place of the recipe.
        """
        return rows_of(unit, measured, self.mean, self.covariance)

    def gains(self, unit: UnitView, measured: Mapping[int, FloatArray]) -> FloatArray:
        """Return what each recipe is expected to save next: (functions, recipes), of a function."""
        shape = len(unit.names), len(self.recipes)
        found = self.trees.predict(self.rows(unit, measured)).reshape(shape)
        return np.maximum(found, 0.0)

    def ranked(
        self, unit: UnitView, measured: Mapping[int, FloatArray], among: Sequence[int]
    ) -> list[int]:
        """Return places of recipes, the one that the unit gains most by first."""
        expected = unit.weights @ self.gains(unit, measured)
        return sorted(among, key=lambda place: (-float(expected[place]), place))

    def save(self, path: Path) -> None:
        """Write JSON, atomically."""
        trees = self.trees
        data = {
            "format": _FORMAT,
            "architecture": self.architecture,
            "recipes": self.recipes,
            "num_columns": self.num_columns,
            "mean": _short(self.mean),
            "covariance": [_short(row) for row in self.covariance],
            "features": trees.features.tolist(),
            "thresholds": _short(trees.thresholds),
            "left": trees.left.tolist(),
            "right": trees.right.tolist(),
            "values": _short(trees.values),
            "roots": trees.roots.tolist(),
            "depth": trees.depth,
        }
        write_atomically(path, json.dumps(data, separators=(",", ":")).encode() + b"\n")

    @classmethod
    def load(cls, path: Path) -> RecipeTrees:
        """Read what `save` wrote.

        Raises:
            ShardCorrupt: it is missing, damaged, or of another kind.
        """
        try:
            data = json.loads(path.read_text("utf-8"))
            if data["format"] != _FORMAT:
                raise ValueError(f"format {data['format']}, expected {_FORMAT}")
            trees = Trees(
                features=np.array(data["features"], dtype=np.int64),
                thresholds=np.array(data["thresholds"], dtype=np.float64),
                left=np.array(data["left"], dtype=np.int64),
                right=np.array(data["right"], dtype=np.int64),
                values=np.array(data["values"], dtype=np.float64),
                roots=np.array(data["roots"], dtype=np.int64),
                depth=int(data["depth"]),
            )
            found = cls(
                architecture=str(data["architecture"]),
                recipes=tuple(str(text) for text in data["recipes"]),
                mean=np.array(data["mean"], dtype=np.float64),
                covariance=np.array(data["covariance"], dtype=np.float64),
                trees=trees,
                num_columns=int(data["num_columns"]),
            )
            _check(found)
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise ShardCorrupt(f"{path} holds no trees: {error}") from error
        return found


def _short(values: FloatArray) -> list[float]:
    """Return numbers of seven digits, which is more than they are good for."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def _check(found: RecipeTrees) -> None:
    """Refuse what would go wrong later: places that are none, numbers that are none."""
    trees, count = found.trees, len(found.trees.features)
    arrays = (trees.thresholds, trees.left, trees.right, trees.values)
    size = len(found.recipes)
    if any(array.shape != (count,) for array in arrays) or not count or not 0 < trees.depth < 64:
        raise ValueError("its arrays do not fit")
    for nodes in (trees.left, trees.right, trees.roots):
        if nodes.ndim != 1 or (nodes < 0).any() or (nodes >= count).any():
            raise ValueError("a node is out of range")
    if (trees.features < 0).any() or (trees.features >= found.num_columns).any():
        raise ValueError("a column is out of range")
    if found.mean.shape != (size,) or found.covariance.shape != (size, size):
        raise ValueError("its moments do not fit its recipes")
    numbers = (trees.thresholds, trees.values, found.mean, found.covariance)
    if not all(np.isfinite(array).all() for array in numbers):
        raise ValueError("a number is not finite")


def rows_of(
    unit: UnitView,
    measured: Mapping[int, FloatArray],
    mean: FloatArray,
    covariance: FloatArray,
) -> FloatArray:
    """Return the trees' rows; the arguments as in `RecipeTrees.rows`."""
    num_functions, num_recipes = len(unit.names), len(mean)
    known = np.full((num_functions, num_recipes), _UNKNOWN)
    best = np.zeros(num_functions)
    for place, savings in measured.items():
        known[:, place] = savings
        best = np.maximum(best, savings)
    expected, deviation = _posterior(measured, mean, covariance, num_functions)
    improvement = _expected_improvement(expected - best[:, None], deviation)
    by_function = np.column_stack(
        [
            unit.shapes,
            np.log(unit.oz_bytes),
            unit.weights,
            np.full(num_functions, math.log(unit.size_bytes)),
            np.full(num_functions, float(unit.num_functions)),
            best,
            np.full(num_functions, float(len(measured))),
            known,
        ]
    )
    by_recipe = np.column_stack(
        [
            np.tile(np.arange(num_recipes, dtype=np.float64), num_functions),
            np.tile(mean, num_functions),
            expected.ravel(),
            np.tile(deviation, num_functions),
            improvement.ravel(),
        ]
    )
    return np.column_stack([np.repeat(by_function, num_recipes, axis=0), by_recipe])


def _posterior(
    measured: Mapping[int, FloatArray], mean: FloatArray, covariance: FloatArray, num_functions: int
) -> tuple[FloatArray, FloatArray]:
    """Return the mean (functions, recipes) and deviation (recipes,) given what was measured."""
    variance = np.diag(covariance)
    expected = np.tile(mean, (num_functions, 1))
    if measured:
        tried = list(measured)
        seen = np.column_stack([measured[place] for place in tried])
        gram = covariance[np.ix_(tried, tried)] + _NOISE * np.eye(len(tried))
        weights = np.linalg.solve(gram, covariance[tried])
        expected = expected + (seen - mean[tried]) @ weights
        variance = variance - np.einsum("ij,ij->j", weights, covariance[tried])
    deviation: FloatArray = np.sqrt(np.maximum(variance, 1e-6))
    return expected, deviation


def _expected_improvement(lead: FloatArray, deviation: FloatArray) -> FloatArray:
    """Return E[max(0, x)] for normal x of mean `lead`; the distribution by a tanh, within 1e-3."""
    scaled = lead / deviation
    below = 0.5 * (1 + np.tanh(0.79788456 * (scaled + 0.044715 * scaled**3)))
    density = np.exp(-0.5 * scaled**2) / math.sqrt(2 * math.pi)
    found: FloatArray = lead * below + deviation * density
    return found
