"""A pool without processes, for tests of code that uses one: public, so that users have it too.

Jobs run in this process, in the order submitted; given steps are made to "die" instead of being
run, by a function from (job, step) to a status.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from llm_compiler.closing import Closing
from llm_compiler.llvm.module_jobs import Job, WorkerState
from llm_compiler.records import Status
from llm_compiler.workers.pool import StepResult

__all__ = ["FakePool"]


class FakePool(Closing):
    """Runs jobs here and now; `dies` says which steps die, and of what.

    `submitted` keeps every job for a test to look at.
    """

    def __init__(self, dies: Callable[[Job, int], Status | None] = lambda job, step: None) -> None:
        self._dies = dies
        self._queue: deque[tuple[int, Job]] = deque()
        self._state = WorkerState()
        self.submitted: list[Job] = []

    @property
    def num_workers(self) -> int:
        """Always one."""
        return 1

    def submit(self, job: Job) -> int:
        """Queue a job and return its ticket."""
        self.submitted.append(job)
        self._queue.append((len(self.submitted) - 1, job))
        return len(self.submitted) - 1

    def results(self) -> Iterator[StepResult]:
        """Yield results until nothing that was submitted is left."""
        while self._queue:
            ticket, job = self._queue.popleft()
            step = 0
            running: Iterator[object] | None = None
            while step < job.num_steps:
                if (status := self._dies(job, step)) is not None:
                    value = job.failed(step, status, f"made to die: {status}", 0.0)
                    running = None
                else:
                    running = running or job.run(self._state, step)
                    value = next(running)
                yield StepResult(ticket=ticket, step=step, value=value, last=False)
                step += 1
            yield StepResult(ticket=ticket, step=-1, value=None, last=True)

    def interrupt(self) -> None:
        """Drop what was queued."""
        self._queue.clear()

    def close(self) -> None:
        """Drop what was queued."""
        self._queue.clear()
