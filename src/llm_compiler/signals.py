"""Ctrl-C, SIGTERM and SIGHUP: one rule for every command.

The first signal raises `Interrupted` in the main thread, wherever that is: what is finished is
written, what is temporary goes, and the command ends with 128 + the signal's number. What is still
under way after `GRACE_S` (a compiler that hangs, a worker) is stopped by whoever registered with
`when_overdue`. A second signal stops it at once; a third ends the process as it is. Knows nothing
of what is stopped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from types import FrameType
from typing import Final, TypeVar

__all__ = [
    "GRACE_S",
    "Interrupted",
    "default_signals",
    "described",
    "forget",
    "guarded",
    "handle_signals",
    "holding_back",
    "received",
    "record",
    "when_overdue",
]

GRACE_S: Final = 6.0
"""How long what is under way may take to end by itself."""
_NAMES: Final = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated (SIGTERM)",
    signal.SIGHUP: "hung up (SIGHUP)",
}
_T = TypeVar("_T")


class Interrupted(KeyboardInterrupt):
    """A signal asks this process to end."""


_received = 0
_count = 0
_held = 0
_pending = False
_overdue: list[Callable[[], None]] = []


def received() -> int:
    """Return the number of the first signal that came; 0: none."""
    return _received


def described() -> str:
    """Say in a word what came."""
    return _NAMES.get(signal.Signals(_received or signal.SIGINT), "interrupted")


def forget() -> None:
    """Begin anew: what came until now is of another command in this process."""
    global _received, _count, _pending
    _received = _count = 0
    _pending = False


def record(number: int) -> None:
    """Take note of a signal that somebody else handles."""
    global _received
    _received = _received or number


def when_overdue(stop: Callable[[], None]) -> None:
    """Register what stops work that has not ended by itself."""
    _overdue.append(stop)


def handle_signals() -> None:
    """Install the rule; a signal that is ignored (``nohup``, a job in the background) stays so."""
    for number in _NAMES:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)


def default_signals() -> None:
    """Let signals end this process as they do by default: its work is done."""
    for number in _NAMES:
        if signal.getsignal(number) is _handle:
            signal.signal(number, signal.SIG_DFL)


def _handle(number: int, frame: FrameType | None) -> None:
    global _count, _pending
    record(number)
    _count += 1
    if _count > 2:
        os._exit(128 + number)
    if _count == 2:
        _stop_overdue()
        return
    threading.Thread(target=_watch, daemon=True, name="signals").start()
    if _held:
        _pending = True
        return
    raise Interrupted


def _watch() -> None:
    pause = threading.Event()
    pause.wait(GRACE_S)
    while True:
        _stop_overdue()
        pause.wait(1.0)


def _stop_overdue() -> None:
    for stop in _overdue:
        stop()


@contextlib.contextmanager
def _holding() -> Iterator[None]:
    global _held
    _held += 1
    try:
        yield
    finally:
        _held -= 1


@contextlib.contextmanager
def holding_back() -> Iterator[None]:
    """Let a signal wait until this is over, where an exception may not come at any moment.

    Raises:
        Interrupted: at the end, if one came.
    """
    global _pending
    with _holding():
        yield
    if _pending and not _held:
        _pending = False
        raise Interrupted


def guarded(results: Generator[_T, None, None]) -> Iterator[_T]:
    """Yield results; a signal that comes while the caller handles one is raised in `results`.

    So that the caller finishes what it does with a result, and the source of the results can end
    as it does when a signal comes at any other time.
    """
    global _pending
    try:
        result = next(results)
        while True:
            with _holding():
                yield result
            if _pending:
                _pending = False
                result = results.throw(Interrupted())
            else:
                result = next(results)
    except StopIteration:
        return
    finally:
        results.close()
