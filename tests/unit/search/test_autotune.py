from __future__ import annotations

import random
import statistics

import pytest

from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.records import PassList
from llm_compiler.search.autotune import (
    Method,
    autotune_strategy,
    broadcast,
    first_part,
    module_rng,
    starting_lists,
)
from llm_compiler.search.strategies import fixed, random_search
from llm_compiler.search.trial import Trial, run_trials

SPACE = tuple(f"pass{i}" for i in range(10))


def size_of(passes: PassList) -> int:
    names = passes.elements
    return 200 - 10 * ("pass3" in names) - 15 * ("pass7" in names) + (len(names) > 25)


def tuned(make_pool, method: Method, seed: int = 0, budget: int = 200) -> Trial:
    trial = Trial(bitcode=b"m", budget=budget)
    strategy = autotune_strategy(method, space=SPACE, budget=budget, rng=random.Random(seed))
    (done,) = run_trials(make_pool(size_of), [(trial, strategy)])
    return done


@pytest.mark.parametrize("method", list(Method))
def test_both_autotuners_find_the_short_best_list(make_pool, method: Method) -> None:
    done = tuned(make_pool, method)
    assert done.best_value == 175
    assert done.best == PassList(("pass3", "pass7"))
    assert done.num_evaluations <= 200


@pytest.mark.parametrize("method", list(Method))
def test_autotuners_are_determined_by_their_seed(make_pool, method: Method) -> None:
    trial, same, other = (tuned(make_pool, method, seed) for seed in (1, 1, 2))
    assert list(trial.known) == list(same.known)
    assert list(trial.known) != list(other.known)


def test_local_starts_from_the_given_lists(make_pool) -> None:
    start = (PassList(("pass9",)), PassList(("pass8",)))
    trial = Trial(bitcode=b"m", budget=20)
    strategy = autotune_strategy(
        Method.LOCAL, space=SPACE, budget=20, rng=random.Random(0), start=start
    )
    (done,) = run_trials(make_pool(size_of), [(trial, strategy)])
    assert tuple(done.known)[:2] == start


def test_mixed_draws_at_random_between_the_given_lists_and_local_search(make_pool) -> None:
    start = tuple(PassList((f"pass{i}",)) for i in range(10))

    def known(method: Method, budget: int) -> list[PassList]:
        trial = Trial(bitcode=b"m", budget=budget)
        strategy = autotune_strategy(
            method, space=SPACE, budget=budget, rng=random.Random(0), start=start
        )
        return list(next(run_trials(make_pool(size_of), [(trial, strategy)])).known)

    mixed, local = known(Method.MIXED, 80), known(Method.LOCAL, 80)
    assert tuple(mixed[:10]) == tuple(local[:10]) == start
    # Random lists have 1 to 50 passes; local search's are one or two steps from the best.
    assert statistics.mean(map(len, mixed[10:30])) > 15
    assert statistics.mean(map(len, mixed[30:38])) < 15
    assert statistics.mean(map(len, local[10:18])) < 4


def test_starting_lists_are_canonical_and_safe() -> None:
    assert starting_lists()[0].pipeline == "default<Oz>"
    for passes in starting_lists():
        assert parse_pass_list(passes.pipeline) == passes
        assert unsafe_passes(passes) == ()


def test_first_part_stops_at_its_budget(make_pool) -> None:
    trial = Trial(bitcode=b"m", budget=100)
    strategy = first_part(random_search(SPACE, random.Random(0), batch_size=16), 21)
    (done,) = run_trials(make_pool(size_of), [(trial, strategy)])
    assert done.num_evaluations == 21


def test_a_modules_numbers_depend_on_seed_and_module_only() -> None:
    def draw(seed: int, name: str) -> float:
        return module_rng(seed, name).random()

    assert draw(0, "x") == draw(0, "x")
    assert len({draw(0, "x"), draw(1, "x"), draw(0, "y")}) == 3


def test_broadcast_tries_winners_on_all_modules(make_pool) -> None:
    pool = make_pool(size_of)
    lists = [[PassList(("pass3",))], [PassList(("pass7",))], [PassList(("pass7",))]]
    pairs = [
        (Trial(bitcode=str(i).encode(), budget=1), fixed(group)) for i, group in enumerate(lists)
    ]
    trials = list(run_trials(pool, pairs))
    done = list(broadcast(pool, trials, num_lists=1))
    assert len(done) == 3
    # The most frequent winner is pass7; it is new to one module only.
    assert {trial.best_value for trial in done} == {185}
    assert sorted(trial.num_evaluations for trial in done) == [1, 1, 2]
