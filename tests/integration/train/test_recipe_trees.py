"""Trees are trained on labels that LLVM made, and choose what LLVM then confirms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llm_compiler.llvm.function_shapes import KINDS, function_shapes
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.model.recipe_trees import RecipeTrees
from llm_compiler.records import content_hash
from llm_compiler.search.function_labels import UnitToLabel, label_units
from llm_compiler.train.recipe_trees import (
    LabelledUnit,
    TreeSettings,
    fit,
    fixed_order,
    flat_trees,
    labelled,
)
from llm_compiler.workers import LocalPool

RECIPES = tuple(
    parse_recipe(text)
    for text in (
        "default<Oz>",
        "function(mem2reg)",
        "default<Oz> +frame-pointer=non-leaf",
        "default<O1> +frame-pointer=non-leaf",
    )
)
NAMES = ("switch_dense.c", "recursion_mutual.c", "bitfields_packed.c", "virtual_diamond.cpp")
IR = b"""
declare i32 @puts(ptr)
declare void @llvm.trap()
define internal i32 @leaf(i32 %x) {
  %wide = zext i32 %x to i64
  %small = trunc i64 %wide to i32
  ret i32 %small
}
define linkonce_odr i32 @twice(i32 %x, ptr %p) {
entry:
  %a = alloca i32
  %test = icmp eq i32 %x, 0
  br i1 %test, label %yes, label %no
yes:
  call void @llvm.trap()
  br label %no
no:
  %y = call i32 @leaf(i32 %x)
  %z = call i32 @puts(ptr %p)
  ret i32 %y
}
"""


def test_shapes_count_what_stands_there() -> None:
    with Context() as context:
        leaf, twice = function_shapes(context.parse(IR))
    kinds = dict(zip(KINDS, leaf.kinds, strict=True))
    assert (leaf.name, leaf.num_instructions, leaf.num_blocks) == ("leaf", 3, 1)
    assert {kind for kind, count in kinds.items() if count} == {"cast", "return"}
    assert kinds["cast"] == 2
    assert (leaf.is_local, leaf.is_discardable, leaf.num_uses) == (True, False, 1)
    kinds = dict(zip(KINDS, twice.kinds, strict=True))
    assert (twice.num_instructions, twice.num_blocks, twice.num_parameters) == (8, 3, 2)
    assert (twice.is_local, twice.is_discardable) == (False, True)
    assert (kinds["call"], kinds["branch"], kinds["alloca"]) == (3, 2, 1)
    assert (twice.num_conditional, twice.num_calls_here, twice.num_intrinsics) == (1, 1, 1)


@pytest.fixture(scope="module")
def units(pool: LocalPool, compile_unit: Callable[[str], bytes]) -> list[LabelledUnit]:
    codes = [compile_unit(name) for name in NAMES]
    shapes = {}
    for code in codes:
        with Context() as context:
            found = function_shapes(context.parse(code))
        shapes[content_hash(code)] = {shape.name: shape.numbers() for shape in found}
    wanted = [
        UnitToLabel(
            unit_hash=content_hash(code),
            target_triple="x86_64-pc-linux-gnu",
            split="train",
            package="ours",
            read=lambda code=code: code,  # type: ignore[misc]
        )
        for code in codes
    ]
    num_counts = len(next(iter(shapes.values()))[next(iter(next(iter(shapes.values()))))])
    return [
        unit
        for labels in label_units(pool, wanted, RECIPES)
        if (unit := labelled(labels, shapes[labels.unit_hash], num_counts))
    ]


def test_savings_are_those_of_the_labels(units: list[LabelledUnit]) -> None:
    assert len(units) == len(NAMES)
    for unit in units:
        by_name = {function.name: function for function in unit.labels.functions}
        for place, name in enumerate(unit.view.names):
            sizes = by_name[name].size_bytes
            if sizes[1] > 0:
                expected = max(-1.0, 1 - sizes[1] / sizes[0])
                assert unit.savings[1, place] == pytest.approx(expected)
        assert (unit.savings[0] == 0).all()


def test_the_fixed_order_begins_with_what_saves_most(units: list[LabelledUnit]) -> None:
    order = fixed_order(units)
    assert sorted(order) == [1, 2, 3]
    saved = sum(np.maximum(0, unit.savings) @ unit.view.weights for unit in units)
    assert order[0] == int(np.argmax(saved))


def test_trained_trees_choose_what_saves(units: list[LabelledUnit], tmp_path: Path) -> None:
    pytest.importorskip("lightgbm")
    settings = TreeSettings(num_trees=20, min_rows_in_leaf=2, states_per_unit=20)
    trees = fit(units, RECIPES, "x86_64", settings=settings)
    trees.save(tmp_path / "trees.json")
    again = RecipeTrees.load(tmp_path / "trees.json")
    texts = [recipe.text for recipe in RECIPES]
    for unit in units:
        assert again.ranked(unit.view, {}, range(3)) == trees.ranked(unit.view, {}, range(3))
        saved = np.maximum(0, unit.savings) @ unit.view.weights
        first = texts.index(trees.recipes[trees.ranked(unit.view, {}, range(3))[0]])
        assert saved[first] >= 0.5 * saved.max()


def test_flat_trees_predict_what_lightgbm_predicts() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(500, 4))
    targets = rows[:, 0] * (rows[:, 1] > 0) + rows[:, 2] ** 2
    options = {"verbose": -1, "num_threads": 1, "use_missing": False, "min_data_in_leaf": 5}
    booster = lightgbm.train(options, lightgbm.Dataset(rows, targets), 15)
    flat = flat_trees([tree["tree_structure"] for tree in booster.dump_model()["tree_info"]])
    asked = rng.normal(size=(200, 4))
    np.testing.assert_allclose(flat.predict(asked), booster.predict(asked), atol=1e-9)
