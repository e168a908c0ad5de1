"""Items of an evaluation, done in threads: each with a pool of its own, one model for all.

What costs time beside the model is clang, LLVM and the programs that are run, all in other
processes; so threads share the machine, and take turns at the model, which is not thread-safe.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from llm_compiler.evaluate.rows import Journal
from llm_compiler.workers.pool import WorkerPool

__all__ = ["HasKey", "ThreadTools", "work_through"]


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


def work_through(
    items: Sequence[_Item],
    do: Callable[[_Item, ThreadTools], list[_R]],
    journal: Journal[_R],
    *,
    num_threads: int,
    make_pool: Callable[[], AbstractContextManager[WorkerPool]],
    deadline: float | None = None,
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[_Item]:
    """Do what the journal does not have yet, each item kept as soon as it ends.

    Args:
        do: makes an item's rows; called in threads.
        make_pool: makes a pool of one worker; called in each thread.
        deadline: as `time.monotonic` counts; behind it no item is begun, but a first one.
        on_progress: called with (items done, items in all, the last one's key).

    Returns:
        The items that are done, in their order: all, unless the deadline came first.

    Whatever `do` raises ends the run; so does Ctrl-C. What was finished until then is kept.
    """
    todo = [item for item in items if journal.rows(item.key) is None]
    done = len(items) - len(todo)
    on_progress(done, len(items), "")
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
        rest = iter(todo)
        running: dict[Future[list[_R]], _Item] = {}

        def begin() -> None:
            late = deadline is not None and time.monotonic() > deadline
            if late and (done or running):
                return
            if (item := next(rest, None)) is not None:
                running[threads.submit(lambda item=item: do(item, tools()))] = item  # type: ignore[misc]

        try:
            for _ in range(num_threads):
                begin()
            while running:
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in ended:
                    item = running.pop(future)
                    journal.add(item.key, future.result())
                    done += 1
                    on_progress(done, len(items), item.key)
                    begin()
        except BaseException:
            # Before their pools are closed.
            threads.shutdown(wait=True, cancel_futures=True)
            raise
    return [item for item in items if journal.rows(item.key) is not None]
