from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status
from llm_compiler.workers.fake import FakePool
from llm_compiler.workers.pool import run_jobs


@dataclass(frozen=True)
class Count:
    """Yields its own name and step; a dead step is `died N`."""

    name: str
    num_steps: int
    timeout_s: float = 1.0
    affinity: str = ""

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        for step in range(first_step, self.num_steps):
            yield f"{self.name}{step}"

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        return f"{self.name}{step} {status}"


class Faulty(Count):
    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        yield f"{self.name}{first_step}"
        raise ZeroDivisionError


def test_results_come_in_the_order_submitted() -> None:
    with FakePool() as pool:
        jobs = [Count("a", 2), Count("b", 3)]
        assert run_jobs(pool, jobs) == [["a0", "a1"], ["b0", "b1", "b2"]]
        assert pool.submitted == jobs


def test_steps_made_to_die_leave_the_others() -> None:
    pool = FakePool(lambda job, step: Status.CRASHED if step in (0, 2) else None)
    assert run_jobs(pool, [Count("a", 4)]) == [["a0 crashed", "a1", "a2 crashed", "a3"]]


def test_every_job_ends_with_a_last_result() -> None:
    pool = FakePool()
    pool.submit(Count("a", 1))
    pool.submit(Count("b", 0))
    results = list(pool.results())
    assert [(r.ticket, r.step, r.last) for r in results] == [
        (0, 0, False),
        (0, -1, True),
        (1, -1, True),
    ]


def test_jobs_may_be_submitted_while_results_are_read() -> None:
    pool = FakePool()
    pool.submit(Count("a", 1))
    seen = []
    for result in pool.results():
        if result.last:
            continue
        seen.append(result.value)
        if len(seen) < 3:
            pool.submit(Count("b", 1))
    assert seen == ["a0", "b0", "b0"]


def test_a_fault_of_the_jobs_own_code_is_raised_to_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        run_jobs(FakePool(), [Faulty("a", 3)])


def test_close_drops_what_was_queued() -> None:
    pool = FakePool()
    pool.submit(Count("a", 1))
    pool.close()
    assert list(pool.results()) == []
