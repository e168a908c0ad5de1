"""Pass lists under settings, at the same number of evaluations; measurements are computed here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from llm_compiler.records import OZ, Measurement, PassList, Recipe, Status
from llm_compiler.search.strategies import fixed
from llm_compiler.search.trial import Trial
from llm_compiler.search.under_settings import under_settings

FRAME = Recipe(attributes=("frame-pointer=non-leaf",))
LISTS = [PassList((name,)) for name in ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l")]


def carry_out(
    settings: Sequence[Recipe],
    size_of: Callable[[Recipe], int],
    *,
    evaluations: int,
    plain: int = 1000,
    passed: Callable[[Recipe], bool] = lambda recipe: True,
    lists: Sequence[PassList] = LISTS,
) -> tuple[list[Recipe], list[tuple[Recipe, int]]]:
    """Return the recipes measured, in order, and what the probe said."""
    trial = Trial(bitcode=b"", budget=10_000)
    probes: list[tuple[Recipe, int]] = []
    strategy = under_settings(
        fixed(lists, batch_size=3),
        settings,
        num_evaluations=evaluations,
        plain_value=plain,
        passed=passed,
        on_probe=lambda chosen, value: probes.append((chosen, value)),
    )
    for batch in strategy(trial):
        for recipe in batch:
            if recipe in trial.known:
                continue
            size = size_of(recipe)
            trial.add(
                recipe, Measurement(status=Status.OK, size_bytes=size, result_hash=recipe.text)
            )
    return list(trial.known), probes


def framed_is_smaller(recipe: Recipe) -> int:
    return 900 - (50 if recipe.attributes else 0) - (ord(recipe.pipeline[0]) - 90)


@pytest.mark.parametrize("evaluations", [1, 2, 4, 8, 12, 14])
def test_never_more_evaluations_than_allowed(evaluations: int) -> None:
    tried, _ = carry_out([FRAME, Recipe()], framed_is_smaller, evaluations=evaluations)
    assert len(tried) == evaluations


def test_few_evaluations_go_to_the_likely_settings() -> None:
    tried, probes = carry_out([FRAME, Recipe()], framed_is_smaller, evaluations=2)
    assert tried == [recipe.with_settings_of(FRAME) for recipe in LISTS[:2]]
    assert probes == [(FRAME, 1000)]


def test_the_probe_decides_and_the_best_list_is_tried_without() -> None:
    tried, probes = carry_out([FRAME, Recipe()], framed_is_smaller, evaluations=14)
    assert tried[0] == OZ.with_settings_of(FRAME)
    assert tried[1:13] == [recipe.with_settings_of(FRAME) for recipe in LISTS]
    assert tried[13] == LISTS[-1]
    assert probes == [(FRAME, framed_is_smaller(tried[0]))]


def test_where_settings_cost_the_lists_are_plain() -> None:
    def plain_is_smaller(recipe: Recipe) -> int:
        return 950 + (100 if recipe.attributes else 0)

    tried, probes = carry_out([FRAME, Recipe()], plain_is_smaller, evaluations=14)
    assert tried[1:13] == LISTS
    assert tried[13].attributes
    assert probes == [(Recipe(), 1000)]


def test_equal_sizes_are_left_plain() -> None:
    tried, _ = carry_out([FRAME, Recipe()], lambda recipe: 1000, evaluations=6)
    assert not any(recipe.attributes for recipe in tried[1:])


def test_without_settings_the_lists_are_as_they_were() -> None:
    tried, _ = carry_out([Recipe()], framed_is_smaller, evaluations=12)
    assert tried == LISTS


def test_what_did_not_pass_is_tried_plain() -> None:
    def passed(recipe: Recipe) -> bool:
        return recipe.pipeline != "b"

    tried, _ = carry_out([FRAME, Recipe()], framed_is_smaller, evaluations=5, passed=passed)
    assert tried[2] == LISTS[1]
    assert [bool(each_recipe.attributes) for each_recipe in tried] == [
        True,
        True,
        False,
        True,
        True,
    ]


def test_whole_recipes_come_before_the_lists() -> None:
    extras = [Recipe(("x",), ("size-level=s",)), Recipe(("y",), ("size-level=2",))]

    def tried_with(evaluations: int, lists: Sequence[PassList]) -> list[Recipe]:
        trial = Trial(bitcode=b"", budget=10_000)
        strategy = under_settings(
            fixed(lists, batch_size=3),
            [FRAME, Recipe()],
            num_evaluations=evaluations,
            plain_value=1000,
            passed=lambda recipe: True,
            extras=extras,
        )
        for batch in strategy(trial):
            for recipe in batch:
                trial.add(recipe, Measurement(status=Status.OK, size_bytes=900))
        return list(trial.known)

    many = [PassList((f"p{number}",)) for number in range(40)]
    assert not set(tried_with(2, many)) & set(extras)
    for evaluations in (4, 12, 16, 32):
        tried = tried_with(evaluations, many)
        assert len(tried) == evaluations
        assert tried[1:3] == extras
        assert evaluations == 4 or tried[3] == many[0].with_settings_of(FRAME)
