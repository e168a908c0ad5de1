from __future__ import annotations

from llm_compiler.evaluate.spread import draw_evenly, spread

ITEMS = [(target, program, n) for target in "ax" for program in "pqr" for n in range(4)]


def program(item: tuple[str, str, int]) -> str:
    return item[1]


def target(item: tuple[str, str, int]) -> str:
    return item[0]


def test_any_beginning_is_spread_over_the_groups() -> None:
    for seed in range(3):
        found = spread(ITEMS, [target, program], seed)
        assert sorted(found) == ITEMS
        for count in range(1, 25):
            beginning = found[:count]
            for keys in (target, program):
                names = "ax" if keys is target else "pqr"
                sizes = [[keys(row) for row in beginning].count(name) for name in names]
                assert max(sizes) - min(sizes) <= 2


def test_draws_depend_on_the_seed_alone() -> None:
    found = draw_evenly(ITEMS, target, [program], count=3, seed=1)
    others = sorted(ITEMS, key=lambda row: (row[2], row[1], row[0]))
    assert found == draw_evenly(others, target, [program], count=3, seed=1)
    assert [row[0] for row in found] == ["a", "x"] * 3
    assert {row[1] for row in found if row[0] == "a"} == set("pqr")
    orders = {tuple(draw_evenly(ITEMS, target, [program], seed=seed)) for seed in range(9)}
    assert len(orders) > 3


def test_what_there_is_less_of_ends_early() -> None:
    few = [("a", "p", 0), *[("x", "p", n) for n in range(3)]]
    assert draw_evenly(few, target, [program], count=2) == [few[0], few[1], few[2]]
