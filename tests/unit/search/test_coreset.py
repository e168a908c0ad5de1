from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from llm_compiler.errors import LlmCompilerError, ShardCorrupt
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.llvm.settings import unsafe_settings
from llm_compiler.records import Measurement, PassList, Status
from llm_compiler.search.coreset import (
    Coreset,
    Pick,
    collect_candidates,
    greedy,
    load_coreset,
    measure_candidates,
    pass_weights,
    write_coreset,
)
from llm_compiler.search.store import Store

A, B, C, D = (PassList((name,)) for name in ("adce", "bdce", "constmerge", "dse"))
BASELINES = (100, 100, 100, 100)
# A is best on average, B is nearly as good but on the same modules, C is good where A is not.
VALUES: tuple[dict[PassList, int], ...] = (
    {A: 80, B: 81, C: 100, D: 100},
    {A: 80, B: 81, C: 100, D: 130},
    {A: 80, B: 80, C: 100},
    {A: 100, B: 100, C: 90, D: 120},
)


def test_the_next_list_complements_the_ones_before() -> None:
    picks = greedy(VALUES, BASELINES, num_lists=2)
    assert [pick.passes for pick in picks] == [A, C], "B adds nothing to A"
    assert [pick.num_best for pick in picks] == [3, 1]


def test_what_is_second_best_follows_once_nothing_improves() -> None:
    picks = greedy(VALUES, BASELINES, num_lists=4)
    assert [pick.passes for pick in picks] == [A, C, B], "D never wins"
    assert picks[2].total_gain == picks[1].total_gain
    assert picks[2].num_best == 3


def test_a_list_that_always_does_the_same_as_a_chosen_one_is_left_out() -> None:
    same = PassList(("adce", "adce"))
    values = [{**table, same: table[A]} for table in VALUES]
    assert same not in [pick.passes for pick in greedy(values, BASELINES, num_lists=9)]


def test_gains_are_those_of_all_lists_up_to_here() -> None:
    first, second = greedy(VALUES, BASELINES, num_lists=2)
    assert first.total_gain == pytest.approx(0.15)
    assert second.total_gain == pytest.approx(0.175)
    assert first.geomean_gain == pytest.approx(1 - 0.8 ** (3 / 4))
    assert second.geomean_gain == pytest.approx(1 - math.exp(math.log(0.8**3 * 0.9) / 4))


def test_a_list_that_is_not_accepted_leaves_its_place_to_another() -> None:
    asked: list[PassList] = []

    def accept(passes: PassList) -> bool:
        asked.append(passes)
        return passes != A

    picks = greedy(VALUES, BASELINES, num_lists=4, accept=accept)
    assert [pick.passes for pick in picks] == [B, C]
    assert asked == [A, B, C], "asked once for each, and only for those about to be chosen"


def test_no_more_lists_than_asked_for() -> None:
    assert [pick.passes for pick in greedy(VALUES, BASELINES, num_lists=1)] == [A]
    assert greedy(VALUES, BASELINES, num_lists=0) == []
    assert greedy([{A: 120}], [100], num_lists=3) == [], "worse than the baseline"


def test_among_equals_the_shorter_list_comes_first() -> None:
    long = PassList(("adce", "bdce"))
    picks = greedy([{long: 50, A: 50}], [100], num_lists=2)
    assert [pick.passes for pick in picks] == [A]


def test_pass_weights_count_elements() -> None:
    weights = pass_weights([PassList(("b", "a")), PassList(("a",)), PassList(("c", "a"))])
    assert list(weights.items()) == [("a", 3), ("b", 1), ("c", 1)]


def test_weights_for_mixes_with_uniform() -> None:
    coreset = Coreset(llvm_major=19, picks=(), pass_weights={"a": 3, "b": 1, "gone": 4})
    weights = coreset.weights_for(("a", "b", "c"), uniform_share=0.3)
    assert weights == pytest.approx([0.1 + 0.7 * 3 / 8, 0.1 + 0.7 * 1 / 8, 0.1])
    assert Coreset(llvm_major=19, picks=()).weights_for(("a", "b")) == pytest.approx([0.15, 0.15])


def test_a_written_coreset_is_read_again(tmp_path: Path) -> None:
    picks = (
        Pick(
            passes=parse_pass_list("sroa,globalopt"), geomean_gain=0.1, total_gain=0.2, num_best=3
        ),
    )
    coreset = Coreset(
        llvm_major=19, picks=picks, pass_weights={"globalopt": 2.0}, provenance={"built": "x"}
    )
    write_coreset(coreset, tmp_path / "c.json")
    assert load_coreset(tmp_path / "c.json") == coreset


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"format": 2}',
        json.dumps({"format": 1, "llvm_major": 19, "lists": [{"passes": "sroa"}]}),
        json.dumps(
            {
                "format": 1,
                "llvm_major": 19,
                "provenance": {},
                "pass_weights": {},
                "lists": [
                    {"passes": "frobnicate", "geomean_gain": 0, "total_gain": 0, "num_best": 0}
                ],
            }
        ),
    ],
    ids=range(7),
)
def test_what_is_no_coreset_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.json"
    path.write_text(text)
    with pytest.raises(ShardCorrupt, match=r"c\.json is not a coreset"):
        load_coreset(path)


def test_a_missing_coreset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LlmCompilerError, match=r"none\.json"):
        load_coreset(tmp_path / "none.json")


def test_the_shipped_coreset_is_canonical_and_safe() -> None:
    coreset = load_coreset()
    assert coreset.llvm_major == 19
    assert len(coreset.lists) >= 4
    assert len(set(coreset.lists)) == len(coreset.lists)
    for passes in coreset.lists:
        assert parse_pass_list(passes.pipeline) == passes
        assert unsafe_passes(passes) == (), passes


def ok(size: int, result: str) -> Measurement:
    return Measurement(status=Status.OK, size_bytes=size, text_data_bytes=size, result_hash=result)


def test_candidates_are_the_winners_most_frequent_first(tmp_path: Path) -> None:
    oz = PassList(("default<Oz>",))
    with Store(tmp_path / "m.db", llvm_version="19.1.7") as store:
        store.record("m1", {oz: ok(100, "o"), A: ok(90, "a"), B: ok(95, "b"), C: ok(100, "c")})
        store.record(
            "m2", {oz: ok(100, "o"), A: ok(90, "a"), D: Measurement(status=Status.CRASHED)}
        )
        store.record("m3", {oz: ok(100, "o"), C: ok(105, "c")})
        found = collect_candidates(store, ["m1", "m2", "m3"])
    assert [passes.pipeline for passes in found] == ["adce", "bdce"] or [
        passes.pipeline for passes in found
    ] == ["function(adce)", "function(bdce)"]


def test_candidates_are_measured_once(make_pool, tmp_path: Path) -> None:
    modules = [("m1", b"one"), ("m2", b"two")]
    with Store(tmp_path / "m.db", llvm_version="19.1.7") as store:
        for expected in (6, 0):
            pool = make_pool(lambda passes: 10)
            trials = list(measure_candidates(pool, modules, [A, B], store))
            assert [len(trial.known) for trial in trials] == [3, 3]
            assert sum(len(job.pass_lists) for job in pool.submitted) == expected


def test_whole_recipes_that_ship_may_be_used_on_their_targets() -> None:
    """A setting that is not for a target would keep its recipes from ever being tried there."""
    coreset = load_coreset()
    assert {"thumbv6m", "thumbv7m", "thumbv8m.main", "riscv32", "i386"} <= set(coreset.extras)
    for architecture, recipes in coreset.extras.items():
        for recipe in recipes:
            assert not unsafe_settings(recipe, architecture), (architecture, recipe.text)
