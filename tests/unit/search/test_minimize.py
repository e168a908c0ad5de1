from __future__ import annotations

import random

import pytest

from llm_compiler.records import PassList, Status
from llm_compiler.search.minimize import minimize
from llm_compiler.search.objective import INSTRUCTIONS
from llm_compiler.search.strategies import fixed, in_sequence
from llm_compiler.search.trial import Trial, run_trials

NOISE = tuple(f"noise{i}" for i in range(10))


def in_order(passes: PassList, *names: str) -> bool:
    """Whether the names occur in this order, other passes between them allowed."""
    rest = iter(passes.elements)
    return all(name in rest for name in names)


def size_of(passes: PassList) -> int:
    """`mergefunc` before `globalopt` saves 20 bytes, `adce` anywhere 10; the rest does nothing."""
    return 100 - 20 * in_order(passes, "mergefunc", "globalopt") - 10 * ("adce" in passes.elements)


def minimized(make_pool, start, budget=2000, size=size_of, **options) -> Trial:
    trial = Trial(bitcode=b"m", budget=budget)
    strategy = in_sequence(fixed([PassList(start)]), minimize(**options))
    (done,) = run_trials(make_pool(size), [(trial, strategy)])
    return done


@pytest.mark.parametrize("seed", range(12))
def test_finds_the_known_minimal_list_in_canonical_order(make_pool, seed: int) -> None:
    rng = random.Random(seed)
    start = [rng.choice(NOISE) for _ in range(rng.randint(5, 30))]
    # mergefunc before globalopt; adce wherever.
    first, second = sorted(rng.sample(range(len(start) + 1), 2))
    start.insert(second, "globalopt")
    start.insert(first, "mergefunc")
    start.insert(rng.randint(0, len(start)), "adce")
    done = minimized(make_pool, tuple(start), insertion=False)
    # The first two do not commute, so their order stays; adce does, so it is sorted.
    assert done.best == PassList(("adce", "mergefunc", "globalopt"))
    assert done.best_value == 70


def test_equal_passes_that_commute_end_in_the_same_text(make_pool) -> None:
    def size(passes: PassList) -> int:
        return 100 - 10 * len({"a", "b", "c"} & set(passes.elements))

    for start in (("c", "b", "a"), ("b", "x", "a", "c"), ("a", "b", "c", "a")):
        done = minimized(make_pool, start, size=size, insertion=False)
        final = [p for p in done.known if done.value(p) == 70 and len(p) == 3]
        assert PassList(("a", "b", "c")) in final


def test_redundant_lists_become_empty(make_pool) -> None:
    done = minimized(make_pool, NOISE, insertion=False)
    assert done.best == PassList()


def test_insertion_search_adds_what_is_missing(make_pool) -> None:
    space = (*NOISE, "adce", "mergefunc")
    done = minimized(
        make_pool, ("noise1", "globalopt", "noise2"), space=space, rng=random.Random(0)
    )
    # Dropped first, since alone it saves nothing; adce is found by insertion.
    assert done.best == PassList(("adce",))
    done = minimized(make_pool, ("mergefunc", "globalopt"), space=space, rng=random.Random(0))
    assert done.best is not None
    assert done.best_value == 70
    assert sorted(done.best.elements) == ["adce", "globalopt", "mergefunc"]


def test_a_larger_or_failing_neighbour_is_never_taken(make_pool) -> None:
    def size(passes: PassList) -> int | Status:
        return 50 if passes.elements == ("b", "a") else Status.CRASHED

    done = minimized(make_pool, ("b", "a"), size=size, space=("a", "b"), rng=random.Random(1))
    assert done.best == PassList(("b", "a"))
    assert done.best_value == 50


def test_nothing_to_minimise_where_nothing_compiles(make_pool) -> None:
    done = minimized(make_pool, ("a",), size=lambda passes: Status.REFUSED)
    assert done.best is None
    assert done.num_evaluations == 1


def test_a_budget_that_ends_early_is_kept(make_pool) -> None:
    done = minimized(make_pool, (*NOISE, "adce", *NOISE), budget=7, space=NOISE)
    assert done.num_evaluations == 7
    assert done.best_value == 90


def test_minimises_the_objective_of_the_trial(make_pool) -> None:
    trial = Trial(bitcode=b"m", budget=500, objective=INSTRUCTIONS)
    strategy = in_sequence(fixed([PassList(("adce", "noise1"))]), minimize(insertion=False))
    (done,) = run_trials(make_pool(size_of), [(trial, strategy)])
    assert done.best == PassList(("adce",))
    assert done.best_value == 30


def test_minimisation_is_determined_by_its_seed(make_pool) -> None:
    runs = [
        minimized(make_pool, (*NOISE, "adce"), space=NOISE, rng=random.Random(3)) for _ in range(2)
    ]
    assert list(runs[0].known) == list(runs[1].known)
