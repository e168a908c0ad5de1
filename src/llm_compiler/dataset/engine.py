"""Have samples made by a pool of workers, in the order of their indexes.

An index whose draw gives no sample is drawn again with the next attempt: which draws fail depends
on the draw alone, so the number of workers, their speed and the order in which they end change
nothing. (A pass that runs into the time limit is the one exception; the limit is far above what a
module within `max_instructions` takes.) Memory is bounded by the window of samples at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llm_compiler.dataset.draws import Draw, DrawJob
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import Stage
from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.workers import WorkerPool, run_jobs

__all__ = ["MAX_ATTEMPTS", "Result", "make_samples", "safe_elements"]

MAX_ATTEMPTS = 100
_DRAWS_A_JOB = 8
"""A worker goes on by itself while the front is busy; a dead one costs nothing of what is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A sample, and the causes of the draws before it that gave none."""

    sample: StageSample
    causes: tuple[str, ...] = ()


def safe_elements(pool: WorkerPool) -> tuple[str, ...]:
    """Return the safe passes of the LLVM at hand, which emulation draws from."""
    found: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
    return found


def make_samples(
    stage: Stage,
    indexes: Iterable[int],
    pool: WorkerPool,
    *,
    window: int | None = None,
    timeout_s: float = 60.0,
) -> Iterator[Result]:
    """Yield the sample of each index, in their order.

    Args:
        indexes: may be endless.
        window: how many samples are at hand at most: in work, or waiting for an earlier draw.
        timeout_s: limit of one draw.

    Raises:
        ArtifactError: an index gave no sample in `MAX_ATTEMPTS` draws.
        WorkerLost: workers cannot be started.
    """
    engine = _Engine(stage, pool, timeout_s)
    window = window or 4 * _DRAWS_A_JOB * pool.num_workers
    rest = iter(indexes)
    order: list[int] = []  # asked for and not yet yielded, by turn
    exhausted = False
    while True:
        while not exhausted and len(order) < window:
            index = next(rest, None)
            if index is None:
                exhausted = True
                break
            order.append(index)
            engine.ask(index)
        while order and order[0] in engine.done:
            yield engine.done.pop(order.pop(0))
        if not order:
            if exhausted:
                return
            continue
        if exhausted or engine.holds_back(order[0]):
            engine.flush()
        engine.step()


class _Engine:
    def __init__(self, stage: Stage, pool: WorkerPool, timeout_s: float) -> None:
        self._stage, self._pool, self._timeout_s = stage, pool, timeout_s
        self._causes: dict[int, list[str]] = {}
        self._pending: list[Draw] = []
        self._tickets: dict[int, tuple[Draw, ...]] = {}
        self._results = pool.results()
        self.done: dict[int, Result] = {}

    def ask(self, index: int, attempt: int = 0) -> None:
        """Draw for an index; what needs LLVM waits until it fills a job."""
        if attempt >= MAX_ATTEMPTS:
            causes = Counter(self._causes[index]).most_common()
            raise ArtifactError(
                f"{self._stage.name}: {attempt} draws of index {index} gave no sample ("
                + ", ".join(f"{count} {cause}" for cause, count in causes)
                + "): the samples do not suit this stage"
            )
        drawn = self._stage.draw(index, attempt)
        if isinstance(drawn, StageSample):
            self.done[index] = Result(sample=drawn, causes=tuple(self._causes.pop(index, ())))
            return
        self._pending.append(drawn)
        if attempt or len(self._pending) >= _DRAWS_A_JOB:
            # A replacement is waited for: it goes at once.
            self.flush()

    def holds_back(self, index: int) -> bool:
        """Whether the draw of an index waits for its job to fill."""
        return any(draw.sample.index == index for draw in self._pending)

    def flush(self) -> None:
        """Send what waits."""
        if self._pending:
            draws = tuple(self._pending)
            self._pending.clear()
            job = DrawJob(draws=draws, timeout_s=self._timeout_s)
            self._tickets[self._pool.submit(job)] = draws

    def step(self) -> None:
        """Take in one result from the pool."""
        result = next(self._results, None)
        if result is None:
            # The pool had nothing left; something was submitted since, or nothing ever will be.
            assert self._tickets
            self._results = self._pool.results()
            return
        draws = self._tickets.get(result.ticket)
        if draws is None:
            return  # left over from a call that ended early
        if result.error is not None:
            raise result.error
        if result.last:
            del self._tickets[result.ticket]
            return
        made, sample = result.value, draws[result.step].sample
        if made.sample is not None:
            causes = tuple(self._causes.pop(sample.index, ()))
            self.done[sample.index] = Result(sample=made.sample, causes=causes)
        else:
            self._causes.setdefault(sample.index, []).append(made.cause)
            self.ask(sample.index, sample.draw + 1)
