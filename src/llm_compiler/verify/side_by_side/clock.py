"""Limits in seconds of processor time, so that a verdict does not depend on a busy machine."""

from __future__ import annotations

import resource
import time

__all__ = ["Budget", "Clock"]

_PATIENCE, _LEAST_PATIENCE_S = 4, 10.0
"""A limit of processor time, times this, also holds for the clock on the wall; at least so long."""


class Clock:
    """Counts this thread's time and that of the programs that it ran.

    Args:
        seconds: until it is over.
        sharers: threads that run programs side by side: the system counts their programs together.
    """

    def __init__(self, seconds: float, sharers: int = 1) -> None:
        self._seconds, self._sharers = seconds, sharers
        self._own, self._programs, self._wall = time.thread_time(), _children(), time.monotonic()
        self.was_hurried = False
        """The machine was too busy: patience ended before the time was used."""

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        own = time.thread_time() - self._own
        used = own + (_children() - self._programs) / self._sharers
        if used > self._seconds:
            return True
        patience = max(_PATIENCE * self._seconds, _LEAST_PATIENCE_S)
        is_late = time.monotonic() - self._wall > patience
        self.was_hurried = self.was_hurried or is_late
        return is_late


class Budget:
    """What is left of the time for one thing: this thread's, that of the programs that it ran, and
    what workers say that they spent.

    Args:
        seconds: at first.
        sharers: as for a `Clock`.
    """

    def __init__(self, seconds: float, sharers: int = 1) -> None:
        self._seconds, self._sharers = seconds, sharers
        self._own, self._programs = time.thread_time(), _children()

    def spend(self, seconds: float) -> None:
        """Count what was spent elsewhere."""
        self._seconds -= seconds

    @property
    def left(self) -> float:
        """Seconds; less than none if it is overdrawn."""
        own = time.thread_time() - self._own
        return self._seconds - own - (_children() - self._programs) / self._sharers


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
