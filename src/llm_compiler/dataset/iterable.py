"""Samples made on the fly, as an iterable: training never sees the same emulation sample twice.

Fits `torch.utils.data.IterableDataset` without knowing torch: `__iter__` gives samples in the
order of their indexes. Each iteration has a thread of its own that drives a pool of workers and
runs ahead of the reader by a bounded number of samples. Pickled (for a loader's worker processes),
it is opened again there.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Iterator

from llm_compiler.dataset.engine import make_samples
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import Stage
from llm_compiler.errors import ConfigError
from llm_compiler.workers import LocalPool

__all__ = ["StageStream"]


class StageStream:
    """The samples of a stage: indexes start + rank, start + rank + world, ...

    Args:
        shard: (rank, world): this reader's share of the indexes; readers with the same stage and
            different ranks see different samples.
        start: the first index of all ranks; a training run that stops after n samples on each of
            `world` ranks goes on with ``start + n * world``.
        stop: the index after the last; None: endless.
        num_workers: processes that make samples.
        prefetch: samples that are ready ahead of the reader, at most.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        shard: tuple[int, int] = (0, 1),
        start: int = 0,
        stop: int | None = None,
        num_workers: int = 1,
        prefetch: int = 64,
    ) -> None:
        rank, world = shard
        if not 0 <= rank < world:
            raise ConfigError(f"shard {rank} of {world}: the first counts from 0 to {world - 1}")
        if start < 0 or num_workers < 1 or prefetch < 1:
            raise ConfigError("start counts from 0, num_workers and prefetch from 1")
        self._stage, self._shard, self._start, self._stop = stage, shard, start, stop
        self._num_workers, self._prefetch = num_workers, prefetch

    def indexes(self) -> Iterator[int]:
        """Yield the indexes of this reader's samples."""
        rank, world = self._shard
        first = self._start + rank
        if self._stop is None:
            return itertools.count(first, world)
        return iter(range(first, self._stop, world))

    def __iter__(self) -> Iterator[StageSample]:
        """Yield samples; workers end with the iterator.

        Raises:
            ArtifactError, WorkerLost: see `engine.make_samples`.
        """
        ready: queue.Queue[StageSample | BaseException | None] = queue.Queue(self._prefetch)
        stopped = threading.Event()
        thread = threading.Thread(
            target=self._produce, args=(ready, stopped), name="samples", daemon=True
        )
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stopped.set()
            while thread.is_alive():
                # Room for what the thread may be waiting to put.
                while not ready.empty():
                    ready.get_nowait()
                thread.join(0.05)

    def _produce(
        self,
        ready: queue.Queue[StageSample | BaseException | None],
        stopped: threading.Event,
    ) -> None:
        end: BaseException | None = None
        try:
            # The pool belongs to this thread alone.
            with LocalPool(self._num_workers) as pool:
                for result in make_samples(self._stage, self.indexes(), pool):
                    ready.put(result.sample)
                    if stopped.is_set():
                        break
        except BaseException as error:
            end = error
        ready.put(end)
