from __future__ import annotations

import itertools
import random
from collections import Counter

import pytest

from llm_compiler.records import Measurement, PassList, Status
from llm_compiler.search.strategies import (
    fixed,
    in_sequence,
    local_search,
    random_list,
    random_search,
)
from llm_compiler.search.trial import Strategy, Trial, run_trials

SPACE = tuple(f"pass{i}" for i in range(12))


def lists(strategy: Strategy, count: int) -> list[PassList]:
    trial = Trial(bitcode=b"m", budget=10_000)
    batches = strategy(trial)
    return list(itertools.islice(itertools.chain.from_iterable(batches), count))


def size_of(passes: PassList) -> int:
    """Fewer passes of odd number, and pass0 in front, are better; deterministic."""
    odd = sum(int(name.removeprefix("pass")) % 2 for name in passes.elements)
    return (
        100 + 3 * odd - 20 * (passes.elements[:1] == ("pass0",)) - 5 * ("pass4" in passes.elements)
    )


def test_random_search_is_determined_by_its_seed() -> None:
    group, same, other = (
        lists(random_search(SPACE, random.Random(seed)), 200) for seed in (1, 1, 2)
    )
    assert group == same
    assert group != other


def test_random_lists_have_all_lengths_and_passes() -> None:
    drawn = lists(random_search(SPACE, random.Random(0), max_length=5), 2000)
    assert Counter(map(len, drawn)).keys() == {1, 2, 3, 4, 5}
    assert {name for recipe in drawn for name in recipe.elements} == set(SPACE)


def test_random_list_keeps_to_its_length() -> None:
    rng = random.Random(5)
    assert max(len(random_list(SPACE, rng, 7)) for _ in range(500)) == 7
    assert min(len(random_list(SPACE, rng, 7)) for _ in range(500)) == 1


def test_fixed_keeps_the_order() -> None:
    wanted = [PassList((f"p{i}",)) for i in range(37)]
    assert lists(fixed(wanted), 100) == wanted
    assert lists(fixed([]), 100) == []


def test_in_sequence_runs_one_after_another() -> None:
    first, second = [PassList(("a",))], [PassList(("b",)), PassList(("c",))]
    assert lists(in_sequence(fixed(first), fixed(second)), 9) == first + second


def run(pool: object, seed: int, budget: int = 120) -> Trial:
    trial = Trial(bitcode=b"m", budget=budget)
    strategy = local_search(SPACE, random.Random(seed), max_length=8)
    (done,) = run_trials(pool, [(trial, strategy)])
    return done


def test_local_search_is_determined_by_its_seed(make_pool) -> None:
    trial, same, other = (run(make_pool(size_of), seed) for seed in (1, 1, 2))
    assert list(trial.known) == list(same.known)
    assert trial.history == same.history
    assert list(trial.known) != list(other.known)


def test_local_search_never_asks_twice_and_keeps_to_its_length(make_pool) -> None:
    asked: list[PassList] = []

    def objective(passes: PassList) -> int:
        asked.append(passes)
        return size_of(passes)

    run(make_pool(objective), 3, budget=300)
    assert len(asked) == len(set(asked)) == 300
    assert max(map(len, asked)) <= 8


def test_local_search_finds_what_is_easy_to_find(make_pool) -> None:
    trial = run(make_pool(size_of), 4, budget=600)
    assert trial.best_value == 75
    assert trial.history == sorted(trial.history, reverse=True)


def test_local_search_lives_with_a_compiler_that_always_fails(make_pool) -> None:
    trial = run(make_pool(lambda passes: Status.CRASHED), 5, budget=50)
    assert trial.best is None
    assert trial.num_evaluations == 50


def test_local_search_ends_when_there_is_nothing_new(make_pool) -> None:
    trial = Trial(bitcode=b"m", budget=10_000)
    strategy = local_search(("a",), random.Random(0), max_length=2)
    (done,) = run_trials(make_pool(lambda passes: 5), [(trial, strategy)])
    assert {p.elements for p in done.known} <= {(), ("a",), ("a", "a")}


def test_weights_decide_what_is_inserted(make_pool) -> None:
    weights = [1.0] + [0.0] * (len(SPACE) - 1)
    trial = Trial(bitcode=b"m", budget=60)
    strategy = local_search(SPACE, random.Random(0), weights=weights, max_length=4)
    # Exchanged passes are drawn by weight too: no other pass can ever come in.
    (done,) = run_trials(make_pool(size_of), [(trial, strategy)])
    assert {name for passes in done.known for name in passes.elements} == {"pass0"}


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.OK])
def test_failed_lists_are_no_parents(status: Status) -> None:
    trial = Trial(bitcode=b"m", budget=100)
    trial.add(PassList(("bad",)), Measurement(status=status))
    good = PassList(("good",))
    trial.add(good, Measurement(status=Status.OK, size_bytes=9, result_hash="h"))
    batch = next(iter(local_search(("x",), random.Random(0))(trial)))
    assert all("bad" not in passes.elements for passes in batch)
