"""Trains the trees that choose the next recipe (`model.recipe_trees`) on labels by function.

A training row is a function, a state (some recipes tried on its unit) and a recipe that was not
tried; the target is what the recipe saves of the function beyond the best tried. States are drawn
near the ones that a good search visits: a noisy beginning of the fixed order, now and then with the
unit's own best recipes in front. Needs LightGBM, the extra `trees`. Deterministic for a seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_compiler.extras import require
from llm_compiler.model.recipe_trees import FloatArray, RecipeTrees, Trees, UnitView, rows_of
from llm_compiler.records import Recipe
from llm_compiler.search.function_labels import UnitLabels

__all__ = ["LabelledUnit", "TreeSettings", "fit", "fixed_order", "flat_trees", "labelled"]

_STATES = (0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 12, 14)
"""Numbers of recipes tried, as often as they are drawn."""
_ORDER_NOISE = 6.0
_FAVOURED = (0.0, 0.0, 10.0, 15.0)
"""Places by which a unit's best recipe comes earlier in a state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSettings:
    """How many trees of which size, and how many rows for them."""

    num_trees: int = 120
    num_leaves: int = 15
    learning_rate: float = 0.08
    min_rows_in_leaf: int = 100
    states_per_unit: int = 4
    recipes_per_state: int = 6
    adaptive: bool = True
    """False: no sizes but default<Oz>'s are read, for an order that features alone decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledUnit:
    """A unit with what each recipe saves of each of its functions."""

    labels: UnitLabels
    view: UnitView
    savings: FloatArray
    """(recipes, functions): places as in the labels, default<Oz> first."""


def labelled(
    labels: UnitLabels, shapes: Mapping[str, Sequence[float]], num_counts: int
) -> LabelledUnit | None:
    """Return a unit for training or evaluation; None where default<Oz> gave no object.

    Args:
        shapes: `FunctionShape.numbers` by symbol.
        num_counts: their length.
    """
    if labels.size_bytes[0] <= 0:
        return None

    def sizes(recipe: int) -> dict[str, float]:
        return {
            function.name: float(function.size_bytes[recipe])
            for function in labels.functions
            if function.size_bytes[recipe] >= 0
        }

    view = UnitView.of(labels.size_bytes[0], sizes(0), shapes, num_counts)
    savings = [view.savings(size, sizes(place)) for place, size in enumerate(labels.size_bytes)]
    return LabelledUnit(labels=labels, view=view, savings=np.stack(savings))


def fixed_order(units: Sequence[LabelledUnit]) -> list[int]:
    """Return places of recipes, each the one that adds most to those before it, unit by unit alike.

    The sum over functions of what the best recipe so far saves; default<Oz> is not among them.
    """
    best = [np.zeros(unit.savings.shape[1]) for unit in units]
    left = list(range(1, len(units[0].savings)))
    order: list[int] = []

    def gain(recipe: int) -> float:
        return sum(
            float(unit.view.weights @ np.maximum(0, unit.savings[recipe] - so_far))
            for unit, so_far in zip(units, best, strict=True)
        )

    while left:
        chosen = max(left, key=lambda recipe: (gain(recipe), -recipe))
        left.remove(chosen)
        order.append(chosen)
        best = [
            np.maximum(so_far, unit.savings[chosen])
            for unit, so_far in zip(units, best, strict=True)
        ]
    return order


def fit(
    units: Sequence[LabelledUnit],
    recipes: Sequence[Recipe],
    architecture: str,
    *,
    settings: TreeSettings | None = None,
    seed: int = 1,
) -> RecipeTrees:
    """Train trees on labelled units.

    Args:
        recipes: of the labels, default<Oz> first.

    Raises:
        ToolchainNotFound: LightGBM is not installed.
    """
    lightgbm = require("lightgbm", extra="trees")
    settings = settings or TreeSettings()
    order = fixed_order(units)
    mean, covariance = _moments(units, order)
    parts = list(_rows(units, order, mean, covariance, settings, random.Random(seed)))
    rows, targets, weights = (np.concatenate([part[i] for part in parts]) for i in range(3))
    booster = lightgbm.train(
        {
            "objective": "regression",
            "num_leaves": settings.num_leaves,
            "learning_rate": settings.learning_rate,
            "min_data_in_leaf": settings.min_rows_in_leaf,
            "feature_fraction": 0.6,
            "bagging_fraction": 0.6,
            "bagging_freq": 1,
            "max_bin": 63,
            # A number stands for what is not known.
            "use_missing": False,
            "num_threads": 1,
            "deterministic": True,
            "seed": seed,
            "verbose": -1,
        },
        lightgbm.Dataset(rows, targets, weight=weights),
        settings.num_trees,
    )
    return RecipeTrees(
        architecture=architecture,
        recipes=tuple(recipes[place].text for place in order),
        mean=mean,
        covariance=covariance,
        num_columns=rows.shape[1],
        trees=flat_trees([tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]),
    )


def _moments(units: Sequence[LabelledUnit], order: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """Return the mean and covariance of what the recipes save of functions, by bytes."""
    savings = np.concatenate([unit.savings[list(order)].T for unit in units])
    weights = np.concatenate([unit.view.weights for unit in units])
    weights = weights / weights.sum()
    mean = weights @ savings
    centred = savings - mean
    return mean, centred.T @ (centred * weights[:, None])


def _rows(
    units: Sequence[LabelledUnit],
    order: Sequence[int],
    mean: FloatArray,
    covariance: FloatArray,
    settings: TreeSettings,
    rng: random.Random,
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    """Yield rows, targets and weights, state by state."""
    for unit in units:
        savings = unit.savings[list(order)]
        for _ in range(settings.states_per_unit):
            tried = _state(unit, savings, rng) if settings.adaptive else []
            left = [place for place in range(len(order)) if place not in tried]
            asked = rng.sample(left, min(len(left), settings.recipes_per_state))
            measured = {place: savings[place] for place in tried}
            best = np.maximum(0, savings[tried].max(axis=0)) if tried else np.zeros_like(mean[:1])
            rows = rows_of(unit.view, measured, mean, covariance)
            shape = len(unit.view.names), len(order)
            rows = rows.reshape(*shape, -1)[:, asked].reshape(shape[0] * len(asked), -1)
            targets = np.maximum(0, savings[asked] - best).T.ravel()
            yield rows.astype(np.float32), targets, np.repeat(unit.view.weights, len(asked))


def _state(unit: LabelledUnit, savings: FloatArray, rng: random.Random) -> list[int]:
    """Draw which recipes were tried on a unit."""
    saved = np.maximum(0, savings) @ unit.view.weights
    favoured = rng.choice(_FAVOURED) * saved / max(1e-9, float(saved.max()))
    keys = [place + rng.gauss(0, _ORDER_NOISE) - favoured[place] for place in range(len(savings))]
    most = len(savings) - 1  # one is left to ask about
    return sorted(range(len(savings)), key=keys.__getitem__)[: min(most, rng.choice(_STATES))]


def flat_trees(structures: Sequence[dict[str, Any]]) -> Trees:
    """Return LightGBM's trees as arrays."""
    features: list[int] = []
    thresholds: list[float] = []
    left: list[int] = []
    right: list[int] = []
    values: list[float] = []
    deepest = 1

    def add(node: dict[str, Any], depth: int) -> int:
        nonlocal deepest
        deepest = max(deepest, depth)
        place = len(features)
        is_leaf = "split_feature" not in node
        features.append(0 if is_leaf else node["split_feature"])
        thresholds.append(0.0 if is_leaf else node["threshold"])
        values.append(node["leaf_value"] if is_leaf else 0.0)
        left.append(place)
        right.append(place)
        if not is_leaf:
            assert node["decision_type"] == "<="
            left[place] = add(node["left_child"], depth + 1)
            right[place] = add(node["right_child"], depth + 1)
        return place

    roots = [add(structure, 0) for structure in structures]
    return Trees(
        features=np.array(features),
        thresholds=np.array(thresholds, dtype=np.float64),
        left=np.array(left),
        right=np.array(right),
        values=np.array(values, dtype=np.float64),
        roots=np.array(roots),
        depth=deepest,
    )
