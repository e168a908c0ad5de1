"""Searches on real LLVM: budgets, stores, determinism, and what a crash does to a search."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

from llm_compiler.llvm.module_jobs import Job
from llm_compiler.records import PassList, Status
from llm_compiler.search.autotune import Method, autotune_strategy, module_rng
from llm_compiler.search.store import Store
from llm_compiler.search.strategies import fixed, local_search, random_search
from llm_compiler.search.trial import Trial, run_trials
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import StepResult

CompileUnit = Callable[[str], bytes]


class CountingPool:
    """A pool that counts the lists given to it."""

    def __init__(self, pool: LocalPool) -> None:
        self._pool = pool
        self.num_lists = 0
        self.num_workers = pool.num_workers

    def submit(self, job: Job) -> int:
        self.num_lists += job.num_steps
        return self._pool.submit(job)

    def results(self) -> Iterator[StepResult]:
        return self._pool.results()


def tune(pool: object, bitcode: bytes, space: tuple[str, ...], store: Store | None = None) -> Trial:
    trial = Trial(bitcode=bitcode, budget=40, name="m")
    strategy = autotune_strategy(
        Method.LOCAL, space=space, budget=40, rng=module_rng(0, trial.module_hash)
    )
    (done,) = run_trials(pool, [(trial, strategy)], store=store)
    return done


def test_a_second_run_measures_nothing_and_ends_the_same(
    pool: LocalPool, space: tuple[str, ...], compile_unit: CompileUnit, tmp_path: Path
) -> None:
    bitcode = compile_unit("bit_tricks.c")
    runs = []
    for expected in (40, 0):
        counting = CountingPool(pool)
        with Store(tmp_path / "m.db", llvm_version="19.1.7") as store:
            runs.append(tune(counting, bitcode, space, store))
            assert store.num_measurements() == 40
        assert counting.num_lists == expected
    assert runs[0].history == runs[1].history
    assert list(runs[0].known) == list(runs[1].known)
    assert runs[0].best == runs[1].best


def test_a_search_in_a_fresh_worker_is_the_same_every_time(
    space: tuple[str, ...], compile_unit: CompileUnit
) -> None:
    # With other numbers of workers, work is shared otherwise: use-list orders may then decide
    # a few bytes, and so the path of the search.
    runs = []
    for _ in range(2):
        with LocalPool(1) as fresh:
            runs.append(tune(fresh, compile_unit("bit_tricks.c"), space))
    assert list(runs[0].known) == list(runs[1].known)
    assert runs[0].history == runs[1].history


def test_the_budget_holds_over_many_modules(
    pool: LocalPool, space: tuple[str, ...], compile_unit: CompileUnit
) -> None:
    names = ("bit_tricks.c", "switch_dense.c", "recursion_mutual.c")
    pairs = [
        (
            Trial(bitcode=compile_unit(name), budget=9, name=name),
            random_search(space, random.Random(0), max_length=5),
        )
        for name in names
    ]
    done = list(run_trials(pool, pairs))
    assert {(trial.name, trial.num_evaluations) for trial in done} == {(n, 9) for n in names}


def test_crashes_and_refusals_do_not_end_a_search(
    pool: LocalPool, compile_unit: CompileUnit
) -> None:
    lists = [
        PassList(("trigger-crash-module",)),
        PassList(("frobnicate",)),
        PassList(("default<Oz>",)),
        # As one element: of many, sharing would notice that O3 after O3 changes nothing.
        PassList((",".join(["default<O3>"] * 20_000),)),
    ]
    trial = Trial(bitcode=compile_unit("bit_tricks.c"), budget=20, timeout_s=2)
    (done,) = run_trials(pool, [(trial, fixed(lists))])
    assert [done.known[passes].status for passes in lists] == [
        Status.CRASHED,
        Status.REFUSED,
        Status.OK,
        Status.TIMED_OUT,
    ]
    assert done.best == lists[2]


def test_a_search_space_full_of_crashes_still_ends(
    pool: LocalPool, compile_unit: CompileUnit
) -> None:
    space = ("trigger-crash-module", "function(mem2reg)")
    trial = Trial(bitcode=compile_unit("bit_tricks.c"), budget=25)
    strategy = local_search(space, random.Random(0), max_length=4)
    (done,) = run_trials(pool, [(trial, strategy)])
    statuses = {measurement.status for measurement in done.known.values()}
    assert statuses == {Status.OK, Status.CRASHED}
    assert done.best is not None
