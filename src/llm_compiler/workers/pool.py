"""The seam between who has work and who does it: the `WorkerPool` protocol.

Callers submit jobs and read results in the order in which they finish; they may submit more while
they read. A pool never raises because a job's code crashed, hung or ate its memory: that is the
step's result (`Job.failed`). Threads may share a pool: each gets the results of its own jobs. The
local pool is `workers.local`; a cluster can take its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from llm_compiler.llvm.module_jobs import Job
from llm_compiler.signals import Interrupted

__all__ = ["PoolInterrupted", "StepResult", "WorkerPool", "run_jobs"]


class PoolInterrupted(Interrupted):
    """What was submitted has been dropped (`WorkerPool.interrupt`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step of one job.

    `last` marks the job's end. `error` is an exception that the job's own code raised: a fault of
    ours, not of the input; the job ends with it.
    """

    ticket: int
    step: int
    value: Any
    last: bool
    error: Exception | None = None


class WorkerPool(Protocol):
    """Runs jobs in worker processes; owned by whoever made it."""

    @property
    def num_workers(self) -> int:
        """How many steps run at the same time."""
        ...

    def submit(self, job: Job) -> int:
        """Queue a job and return its ticket."""
        ...

    def results(self) -> Iterator[StepResult]:
        """Yield results until nothing that this thread submitted is left.

        Raises:
            WorkerLost: workers cannot be started.
            PoolInterrupted: another thread had all work dropped.
        """
        ...

    def interrupt(self) -> None:
        """Drop all work, of every thread, at once; whoever waits for results learns of it."""
        ...

    def close(self) -> None:
        """End all workers; what was not finished is dropped."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None: ...


def run_jobs(pool: WorkerPool, jobs: Iterable[Job]) -> list[list[Any]]:
    """Run jobs to their end and return each one's step results, in order.

    Raises:
        Exception: what a job's own code raised.
    """
    tickets = {pool.submit(job): index for index, job in enumerate(jobs)}
    collected: list[dict[int, Any]] = [{} for _ in tickets]
    for result in pool.results():
        if result.ticket not in tickets:
            continue  # left over from a call that ended early (an error, Ctrl-C)
        if result.error is not None:
            raise result.error
        if result.step >= 0:
            collected[tickets[result.ticket]][result.step] = result.value
    return [[steps[step] for step in sorted(steps)] for steps in collected]
