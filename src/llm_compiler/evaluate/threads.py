"""Items of an evaluation, done in threads: each with a pool of its own, one model for all.

What costs time beside the model is clang, LLVM and the programs that are run, all in other
processes; so threads share the machine, and take turns at the model, which is not thread-safe.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from llm_compiler.workers.pool import WorkerPool

__all__ = ["HasKey", "ThreadTools", "in_threads"]


class HasKey(Protocol):
    """What can be done: named by a key, which is the same in every run."""

    @property
    def key(self) -> str:
        """Return the name."""
        ...


_Item = TypeVar("_Item", bound=HasKey)
_R = TypeVar("_R")


@dataclass(slots=True)
class ThreadTools:
    """What one thread works with; `kept` holds what it wants to find again at the next item."""

    pool: WorkerPool
    folder: Path
    kept: dict[str, Any] = field(default_factory=dict)


def in_threads(
    items: Sequence[_Item],
    do: Callable[[_Item, ThreadTools], list[_R]],
    *,
    num_threads: int,
    make_pool: Callable[[], AbstractContextManager[WorkerPool]],
    is_late: Callable[[bool], bool] = lambda begun: False,
) -> Iterator[tuple[_Item, list[_R]]]:
    """Yield each item with its rows, as soon as it ends.

    Args:
        do: makes an item's rows; called in threads.
        make_pool: makes a pool of one worker; called in each thread.
        is_late: whether no further item is to be begun, given whether any was.

    Whatever `do` raises ends the run; so does Ctrl-C.
    """
    with contextlib.ExitStack() as stack:
        own = threading.local()
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        # Entered from several threads, left from this one, when they are at rest.
        lock = threading.Lock()

        def tools() -> ThreadTools:
            if not hasattr(own, "tools"):
                with lock:
                    pool = stack.enter_context(make_pool())
                    folder = root / f"thread-{threading.get_ident()}"
                folder.mkdir()
                own.tools = ThreadTools(pool, folder)
            found: ThreadTools = own.tools
            return found

        threads = stack.enter_context(ThreadPoolExecutor(max_workers=num_threads))
        rest = iter(items)
        running: dict[Future[list[_R]], _Item] = {}
        begun = False

        def begin() -> None:
            nonlocal begun
            if is_late(begun):
                return
            if (item := next(rest, None)) is not None:
                begun = True
                running[threads.submit(lambda item=item: do(item, tools()))] = item  # type: ignore[misc]

        try:
            for _ in range(num_threads):
                begin()
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    item = running.pop(future)
                    yield item, future.result()
                    begin()
        except BaseException:
            # Before their pools are closed.
            threads.shutdown(wait=True, cancel_futures=True)
            raise
