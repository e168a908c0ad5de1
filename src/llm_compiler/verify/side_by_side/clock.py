"""A limit in seconds of processor time, so that a verdict does not depend on a busy machine."""

from __future__ import annotations

import resource
import time

__all__ = ["Clock"]

_PATIENCE = 4
"""A limit of processor time, times this, also holds for the clock on the wall."""


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
        is_late = time.monotonic() - self._wall > _PATIENCE * self._seconds
        self.was_hurried = self.was_hurried or is_late
        return is_late


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
