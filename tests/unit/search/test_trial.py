from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from llm_compiler.records import Measurement, PassList, Status
from llm_compiler.search.objective import INSTRUCTIONS, SIZE, TEXT_DATA, Objective
from llm_compiler.search.strategies import fixed, random_search
from llm_compiler.search.trial import Trial, run_trials

SPACE = ("a", "b", "c", "d")


def size_of(passes: PassList) -> int:
    return 100 + len(passes) - 7 * passes.elements.count("b")


class MemoryStore:
    def __init__(self) -> None:
        self.known: dict[tuple[str, PassList], Measurement] = {}

    def all_measurements(self, module_hash: str) -> dict[str, Measurement]:
        return {}

    def lookup(self, module_hash: str, lists: Sequence[PassList]) -> dict[PassList, Measurement]:
        return {p: self.known[module_hash, p] for p in lists if (module_hash, p) in self.known}

    def record(self, module_hash: str, found: dict[PassList, Measurement]) -> None:
        self.known.update({(module_hash, p): m for p, m in found.items()})


def trial(budget: int, bitcode: bytes = b"m") -> Trial:
    return Trial(bitcode=bitcode, budget=budget)


def num_measured(pool) -> int:
    return sum(len(job.pass_lists) for job in pool.submitted)


def test_the_budget_is_kept_exactly(make_pool) -> None:
    pool = make_pool(size_of)
    (done,) = run_trials(pool, [(trial(37), random_search(SPACE, random.Random(0)))])
    assert done.num_evaluations == 37 == num_measured(pool)
    assert done.left == 0
    assert len(done.history) == len(done.known) == 37


def test_a_list_asked_for_twice_counts_once(make_pool) -> None:
    pool = make_pool(size_of)
    recipe = PassList(("a",))
    (done,) = run_trials(pool, [(trial(10), fixed([recipe, recipe, PassList(("b",)), recipe]))])
    assert done.num_evaluations == 2 == num_measured(pool)


def test_the_history_is_the_best_so_far(make_pool) -> None:
    lists = [PassList(("a",)), PassList(("b",)), PassList(("a", "a")), PassList(("b", "b"))]
    (done,) = run_trials(make_pool(size_of), [(trial(10), fixed(lists))])
    assert done.history == [101, 94, 94, 88]
    assert done.best == PassList(("b", "b"))
    assert [p.elements for p in done.ranked()] == [("b", "b"), ("b",), ("a",), ("a", "a")]


def test_among_equals_the_shorter_list_is_better(make_pool) -> None:
    lists = [PassList(("a", "a")), PassList(("a",)), PassList(("c", "a"))]
    (done,) = run_trials(make_pool(lambda passes: 5), [(trial(10), fixed(lists))])
    assert done.best == PassList(("a",))


def test_failures_are_measured_but_never_best(make_pool) -> None:
    def objective(passes: PassList) -> int | Status:
        return Status.TIMED_OUT if "b" in passes.elements else 9

    lists = [PassList(("b",)), PassList(("a",))]
    (done,) = run_trials(make_pool(objective), [(trial(10), fixed(lists))])
    assert done.history == [None, 9]
    assert done.known[PassList(("b",))].status is Status.TIMED_OUT
    assert done.value(PassList(("b",))) is None
    assert done.ranked() == [PassList(("a",))]


def test_a_second_run_with_a_store_measures_nothing(make_pool) -> None:
    store = MemoryStore()
    first_pool, second_pool = make_pool(size_of), make_pool(size_of)
    runs = [
        next(
            iter(
                run_trials(pool, [(trial(50), random_search(SPACE, random.Random(1)))], store=store)
            )
        )
        for pool in (first_pool, second_pool)
    ]
    assert num_measured(first_pool) == 50
    assert second_pool.submitted == []
    assert list(runs[0].known.items()) == list(runs[1].known.items())
    assert runs[0].history == runs[1].history
    assert runs[0].best == runs[1].best


def test_what_the_store_knows_is_not_measured_again(make_pool) -> None:
    store = MemoryStore()
    lists = [PassList((name,)) for name in SPACE]
    list(run_trials(make_pool(size_of), [(trial(9), fixed(lists[:2]))], store=store))
    pool = make_pool(size_of)
    (done,) = run_trials(pool, [(trial(9), fixed(lists))], store=store)
    assert [p for job in pool.submitted for p in job.pass_lists] == lists[2:]
    assert list(done.known) == lists, "counted in the order asked for"


def test_stores_tell_modules_apart(make_pool) -> None:
    store = MemoryStore()
    pool = make_pool(size_of)
    pairs = [(trial(5, bitcode), fixed([PassList(("a",))])) for bitcode in (b"one", b"two")]
    assert len(list(run_trials(pool, pairs, store=store))) == 2
    assert num_measured(pool) == 2
    assert len(store.known) == 2


def test_many_trials_all_end(make_pool) -> None:
    pool = make_pool(size_of)
    pairs = [
        (trial(index, str(index).encode()), random_search(SPACE, random.Random(index)))
        for index in range(12)
    ]
    done = list(run_trials(pool, pairs, parallel_trials=3))
    assert sorted(each_trial.num_evaluations for each_trial in done) == list(range(12))


def test_a_stopped_run_keeps_what_was_measured(make_pool) -> None:
    store = MemoryStore()
    calls = 0

    def stop(item: Trial) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt

    each_trial = trial(100)
    with pytest.raises(KeyboardInterrupt):
        list(
            run_trials(
                make_pool(size_of),
                [(each_trial, random_search(SPACE, random.Random(0), batch_size=8))],
                store=store,
                on_progress=stop,
            )
        )
    assert each_trial.num_evaluations >= 8
    assert {p for _, p in store.known} == set(each_trial.known)
    assert each_trial.best is not None


def test_two_runs_are_the_same(make_pool) -> None:
    runs = [
        next(
            iter(
                run_trials(
                    make_pool(size_of),
                    [(trial(60), random_search(SPACE, random.Random(4)))],
                )
            )
        )
        for _ in range(2)
    ]
    assert list(runs[0].known) == list(runs[1].known)


@pytest.mark.parametrize(
    ("objective", "value"),
    [(SIZE, 30), (TEXT_DATA, 20), (INSTRUCTIONS, 10)],
)
def test_objectives_read_their_number(objective: Objective, value: int) -> None:
    measurement = Measurement(
        status=Status.OK, size_bytes=30, text_data_bytes=20, num_instructions=10
    )
    assert objective.of(measurement) == value


def test_results_left_over_from_a_stopped_search_are_passed_over(make_pool) -> None:
    pool = make_pool(size_of)

    def stop(item: Trial) -> None:
        raise KeyboardInterrupt

    stopped = run_trials(
        pool,
        [(trial(100, name), random_search(SPACE, random.Random(0))) for name in (b"x", b"y")],
        on_progress=stop,
    )
    with pytest.raises(KeyboardInterrupt):
        next(stopped)
    (done,) = run_trials(pool, [(trial(20), random_search(SPACE, random.Random(1)))])
    assert done.num_evaluations == 20
