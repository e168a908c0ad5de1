"""One search on one module, and the driver that runs many at once over a pool.

A strategy is a generator: it yields batches of pass lists and finds the measurements in its trial
when it goes on. It knows nothing of workers, stores or budgets; the driver measures what is new,
keeps to the budget, and ends the generator when that is spent. Evaluations are counted as distinct
lists asked for, whether or not the worker could answer from shared work.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.records import Measurement, PassList, content_hash
from llm_compiler.search.objective import SIZE, Objective
from llm_compiler.workers.pool import WorkerPool

__all__ = ["MeasurementStore", "Strategy", "Trial", "run_trials"]

Batch = Sequence[PassList]


class MeasurementStore(Protocol):
    """What the driver needs of a store (`search.store`)."""

    def lookup(self, module_hash: str, lists: Sequence[PassList]) -> dict[PassList, Measurement]:
        """Return what is known of lists on a module."""
        ...

    def all_measurements(self, module_hash: str) -> dict[str, Measurement]:
        """Return all that is known of a module, by the texts of recipes."""
        ...

    def record(self, module_hash: str, found: dict[PassList, Measurement]) -> None:
        """Keep what was measured on a module."""
        ...


@dataclass(slots=True)
class Trial:
    """The state of one search on one module.

    `history[i]` is the best value after i + 1 evaluations (None while nothing has compiled).
    """

    bitcode: bytes = field(repr=False)
    budget: int
    objective: Objective = SIZE
    name: str = ""
    timeout_s: float = 30.0
    seconds: float = math.inf
    """From the first batch on; then the search ends, whatever the budget has left."""
    module_hash: str = ""
    constructs: tuple[str, ...] | None = None
    """Of the module; None: they are not known. What a store says of lists that are refused for them
    is from before they were, and is not believed."""
    with_symbols: bool = False
    """Measure what each function takes as well; what a store knows without it is measured again."""
    known: dict[PassList, Measurement] = field(default_factory=dict, repr=False)
    history: list[int | None] = field(default_factory=list, repr=False)
    best: PassList | None = None
    started: float | None = None
    """When the first batch was asked for, by the monotonic clock."""

    def __post_init__(self) -> None:
        self.module_hash = self.module_hash or content_hash(self.bitcode)

    @property
    def num_evaluations(self) -> int:
        """Distinct lists measured so far."""
        return len(self.history)

    @property
    def left(self) -> int:
        """Evaluations that budget and time still allow."""
        return 0 if self.elapsed_s >= self.seconds else self.budget - len(self.history)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first batch was asked for."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    @property
    def share_spent(self) -> float:
        """How much of the budget is spent, of evaluations or of time, whichever is more."""
        return max(len(self.history) / max(1, self.budget), self.elapsed_s / self.seconds)

    def value(self, passes: PassList) -> int | None:
        """Return the objective of a list; None if not measured or not compiled."""
        measurement = self.known.get(passes)
        return self.objective.of(measurement) if measurement and measurement.ok else None

    @property
    def best_value(self) -> int | None:
        """The smallest objective so far."""
        return None if self.best is None else self.value(self.best)

    def add(self, passes: PassList, measurement: Measurement) -> None:
        """Count one evaluation. Among equals the shorter, then the first by name, is best."""
        assert passes not in self.known
        self.known[passes] = measurement
        if measurement.ok and (self.best is None or self._rank(passes) < self._rank(self.best)):
            self.best = passes
        self.history.append(self.best_value)

    def ranked(self) -> list[PassList]:
        """Return the lists that compiled, best first; shorter first among equals."""
        return sorted((p for p, m in self.known.items() if m.ok), key=self._rank)

    def _rank(self, passes: PassList) -> tuple[int, int, tuple[str, ...], str]:
        value = self.value(passes)
        assert value is not None
        return value, len(passes), passes.elements, passes.settings


Strategy = Callable[[Trial], Generator[Batch, None, None]]


@dataclass(slots=True)
class _Running:
    trial: Trial
    steps: Iterator[Batch]
    batch: list[PassList] = field(default_factory=list)
    found: dict[PassList, Measurement] = field(default_factory=dict)
    num_open_jobs: int = 0


def run_trials(
    pool: WorkerPool,
    trials: Iterable[tuple[Trial, Strategy]],
    *,
    store: MeasurementStore | None = None,
    on_progress: Callable[[Trial], None] = lambda trial: None,
    parallel_trials: int | None = None,
    parts: int | None = None,
) -> Iterator[Trial]:
    """Run searches and yield each trial as it ends.

    Args:
        store: asked before anything is measured, and given everything that is measured.
        on_progress: called after each batch of a trial.
        parallel_trials: how many searches are under way at once; default: two a worker.
        parts: in how many jobs a batch is measured side by side; default: as many as keep all
            workers busy with the searches that are under way.

    Closing the generator (or Ctrl-C) leaves in the trials and the store all that was measured.
    """
    waiting = iter(trials)
    limit = parallel_trials or 2 * pool.num_workers
    tickets: dict[int, tuple[_Running, Sequence[PassList]]] = {}
    num_running = 0
    finished: list[Trial] = []

    def flush(running: _Running) -> None:
        if store is not None and running.found:
            store.record(running.trial.module_hash, running.found)
        running.found = {}

    def proceed(running: _Running) -> bool:
        """Submit the next batch that needs measuring; False at the end of the search."""
        trial = running.trial
        while trial.left > 0:
            batch = next(running.steps, None)
            if batch is None:
                return False
            wanted = [p for p in dict.fromkeys(batch) if p not in trial.known][: trial.left]
            stored = store.lookup(trial.module_hash, wanted) if store is not None else {}
            if trial.constructs:
                stored = {p: m for p, m in stored.items() if not refusal_of(p, trial.constructs)}
            if trial.with_symbols:
                stored = {p: m for p, m in stored.items() if m.symbols or not m.ok}
            missing = [p for p in wanted if p not in stored]
            running.batch = wanted
            running.found = {}
            if not missing:
                for passes in wanted:
                    trial.add(passes, stored[passes])
                continue
            for passes, measurement in stored.items():
                running.found[passes] = measurement
            chunks = _chunks(missing, parts or max(1, pool.num_workers // max(1, num_running)))
            for chunk in chunks:
                job = EvaluateJob(
                    bitcode=trial.bitcode,
                    pass_lists=tuple(chunk),
                    timeout_s=trial.timeout_s,
                    module_hash=trial.module_hash,
                    with_symbols=trial.with_symbols,
                    # A store serves whatever is asked later.
                    with_instructions=store is not None or not trial.objective.of_object,
                    constructs=trial.constructs,
                )
                tickets[pool.submit(job)] = (running, chunk)
            running.num_open_jobs = len(chunks)
            return True
        return False

    def refill() -> None:
        nonlocal num_running
        while num_running < limit:
            pair = next(waiting, None)
            if pair is None:
                return
            trial, strategy = pair
            num_running += 1
            trial.started = time.monotonic()
            if not proceed(_Running(trial, iter(strategy(trial)))):
                num_running -= 1
                finished.append(trial)

    try:
        refill()
        while tickets or finished:
            yield from finished
            finished.clear()
            for result in pool.results():
                if result.ticket not in tickets:
                    continue  # left over from a search that ended early (an error, Ctrl-C)
                running, chunk = tickets[result.ticket]
                if result.error is not None:
                    raise result.error
                if not result.last:
                    running.found[chunk[result.step]] = result.value
                    continue
                del tickets[result.ticket]
                running.num_open_jobs -= 1
                if running.num_open_jobs:
                    continue
                trial = running.trial
                for passes in running.batch:
                    # Counted in the order asked for, so that a run is reproducible.
                    if passes in running.found:
                        trial.add(passes, running.found[passes])
                flush(running)
                on_progress(trial)
                if not proceed(running):
                    num_running -= 1
                    finished.append(trial)
                    refill()
                yield from finished
                finished.clear()
    finally:
        # Cut off in the middle (an error, Ctrl-C, nobody asks for more): what is known is kept.
        for running in {
            id(each_running): each_running for each_running, _ in tickets.values()
        }.values():
            for passes in running.batch:
                if passes in running.found and passes not in running.trial.known:
                    running.trial.add(passes, running.found[passes])
            flush(running)


def _chunks(lists: list[PassList], count: int) -> list[list[PassList]]:
    """Split in at most `count` parts of neighbours, so that shared prefixes stay together."""
    size = -(-len(lists) // count)
    return [lists[start : start + size] for start in range(0, len(lists), size)]
