"""Documents of many samples: encoded in worker processes, held as arrays.

Samples come from shards of stage data; the order is theirs, whatever the workers do. Needs numpy,
and the extras ``model`` and ``data``.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stored import read_stage_samples
from llm_compiler.errors import WorkerLost
from llm_compiler.isolation import spawning_python
from llm_compiler.model.prompts import Prompts, load_prompts
from llm_compiler.model.special import TASKS

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["EncodedShard", "encode_samples", "encode_shards"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedShard:
    """The documents of some samples, one after the other."""

    tokens: NDArray[numpy.uint16]
    documents: NDArray[numpy.int64]
    """(number of documents, 4): where a document begins in `tokens`, how many tokens it has, how
    many of them are the prompt, and its task's place in `TASKS`."""
    counts: NDArray[numpy.int64]
    """(number of samples,): documents of each sample; 0 if it is too long for the context."""


def encode_samples(samples: Iterable[StageSample], prompts: Prompts, context: int) -> EncodedShard:
    """Return the documents of samples."""
    import numpy

    tokens: list[NDArray[numpy.uint16]] = []
    documents: list[tuple[int, int, int, int]] = []
    counts: list[int] = []
    start = 0
    for sample in samples:
        found = prompts.documents(sample, context)
        counts.append(len(found))
        for document in found:
            ids = numpy.asarray(document.ids, dtype=numpy.uint16)
            tokens.append(ids)
            documents.append((start, len(ids), document.answer_start, TASKS.index(sample.task)))
            start += len(ids)
    return EncodedShard(
        tokens=numpy.concatenate(tokens) if tokens else numpy.zeros(0, numpy.uint16),
        documents=numpy.array(documents, dtype=numpy.int64).reshape(-1, 4),
        counts=numpy.array(counts, dtype=numpy.int64),
    )


_prompts: Prompts | None = None


def _start_worker(tokenizer: Path) -> None:
    global _prompts
    # One process each for as many processors: threads inside would only be in their way.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _prompts = load_prompts(tokenizer)


def _encode(path: Path, context: int) -> EncodedShard:
    assert _prompts is not None
    return encode_samples(read_stage_samples(path), _prompts, context)


def encode_shards(
    paths: Iterable[Path], tokenizer: Path, context: int, *, num_workers: int
) -> Iterator[EncodedShard]:
    """Yield the documents of each shard of stage data, in their order.

    Args:
        tokenizer: the tokenizer's folder.
        num_workers: processes; 0: none but this process.

    Raises:
        ShardCorrupt: a shard cannot be read.
        WorkerLost: a worker died.
    """
    if num_workers == 0:
        prompts = load_prompts(tokenizer)
        for path in paths:
            yield encode_samples(read_stage_samples(path), prompts, context)
        return
    # Spawned, not forked: this process may have threads (PyTorch, tokenizers).
    pool = ProcessPoolExecutor(
        num_workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
        initargs=(tokenizer,),
    )
    rest = iter(paths)
    waiting: deque[Future[Any]] = deque()
    try:
        while True:
            for each_path in itertools.islice(rest, num_workers + 2 - len(waiting)):
                with spawning_python():  # all workers start at the first one
                    waiting.append(pool.submit(_encode, each_path, context))
            if not waiting:
                return
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise WorkerLost("a process that encodes samples died: too little memory?") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
