"""Trees that choose recipes: prediction by hand, what a file may hold, and the order they give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_compiler.errors import ShardCorrupt
from llm_compiler.model.recipe_trees import RecipeTrees, Trees, UnitView, column_names

SHAPE_NAMES = ("instructions", "blocks")
COLUMNS = column_names(SHAPE_NAMES, 2)


def chooser(column: str, threshold: float, low: float, high: float) -> RecipeTrees:
    """Return one tree of one question, and a leaf as a second tree."""
    return RecipeTrees(
        architecture="x86_64",
        recipes=("default<Os>", "default<O1>"),
        mean=np.array([0.1, 0.02]),
        covariance=np.array([[0.02, 0.01], [0.01, 0.03]]),
        num_columns=len(COLUMNS),
        trees=Trees(
            features=np.array([COLUMNS.index(column), 0, 0, 0]),
            thresholds=np.array([threshold, 0.0, 0.0, 0.0]),
            left=np.array([1, 1, 2, 3]),
            right=np.array([2, 1, 2, 3]),
            values=np.array([0.0, low, high, 0.25]),
            roots=np.array([0, 3]),
            depth=1,
        ),
    )


def unit() -> UnitView:
    return UnitView.of(
        400, {"f": 100.0, "g": 300.0, "variable": 8.0}, {"f": (10, 1), "g": (70, 9)}, 2
    )


def test_a_row_goes_down_every_tree() -> None:
    found = chooser("instructions", 20.0, 1.0, 2.0).gains(unit(), {})
    # The largest function first; both recipes of each are asked alike.
    np.testing.assert_allclose(found, [[2.25, 2.25], [1.25, 1.25]])


def test_what_was_measured_is_read_by_function() -> None:
    view = unit()
    savings = view.savings(390, {"f": 90.0, "g": 300.0})
    np.testing.assert_allclose(savings, [0.0, 0.1])
    found = chooser("saved so far", 0.05, 1.0, 2.0).gains(view, {0: savings})
    np.testing.assert_allclose(found, [[1.25, 1.25], [2.25, 2.25]])


def test_the_recipe_that_promises_most_is_first_and_equals_keep_their_order() -> None:
    assert chooser("recipe", 0.5, 0.0, 1.0).ranked(unit(), {}, [0, 1]) == [1, 0]
    assert chooser("recipe", 5.0, 0.0, 1.0).ranked(unit(), {}, [1, 0]) == [0, 1]


def test_no_gain_is_negative() -> None:
    assert (chooser("recipe", 5.0, -3.0, 1.0).gains(unit(), {}) == 0).all()


def test_a_certain_gaussian_promises_what_it_saw() -> None:
    """Measured, a recipe has nothing more to promise; what goes with it has a little."""
    view, trees = unit(), chooser("recipe", 5.0, 0.0, 1.0)
    column = COLUMNS.index("expected improvement")
    before = trees.rows(view, {})[:, column].reshape(2, 2)
    after = trees.rows(view, {0: np.array([0.4, 0.4])})[:, column].reshape(2, 2)
    assert (after[:, 0] < 0.1 * before[:, 0]).all()
    expected = COLUMNS.index("expected saving")
    assert trees.rows(view, {0: np.array([0.4, -0.2])})[:, expected].reshape(2, 2)[0, 1] > 0.1


def test_a_unit_without_functions_is_one_row() -> None:
    view = UnitView.of(200, {}, {}, 2)
    assert view.names == ("",)
    np.testing.assert_allclose(view.savings(150, {}), [0.25])
    np.testing.assert_allclose(view.savings(-1, {}), [-1.0])
    assert chooser("recipe", 0.5, 0.0, 1.0).ranked(view, {}, [0, 1]) == [1, 0]


def test_a_file_gives_the_same_answers(tmp_path: Path) -> None:
    trees = chooser("instructions", 20.5, 1.0, 2.0)
    trees.save(tmp_path / "trees.json")
    loaded = RecipeTrees.load(tmp_path / "trees.json")
    assert loaded.recipes == trees.recipes
    np.testing.assert_array_equal(loaded.gains(unit(), {}), trees.gains(unit(), {}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("format", 2),
        ("left", [1, 1, 2, 4]),
        ("roots", [-1]),
        ("features", [-1, 0, 0, 0]),
        ("values", [0.0, float("nan"), 1.0, 1.0]),
        ("thresholds", [0.0]),
        ("mean", [0.0]),
        ("depth", 10**9),
        ("recipes", None),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "trees.json"
    chooser("instructions", 20.5, 1.0, 2.0).save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ShardCorrupt, match="holds no trees"):
        RecipeTrees.load(path)


def test_a_column_beyond_the_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trees.json"
    chooser("instructions", 20.5, 1.0, 2.0).save(path)
    data = json.loads(path.read_text())
    data["features"][0] = data["num_columns"]
    path.write_text(json.dumps(data))
    with pytest.raises(ShardCorrupt, match="a column is out of range"):
        RecipeTrees.load(path)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ShardCorrupt, match=r"none\.json holds no trees"):
        RecipeTrees.load(tmp_path / "none.json")
