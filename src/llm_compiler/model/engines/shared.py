"""An engine that threads share: one question at a time, in the order in which they come."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import TypeVar

from llm_compiler.model.engines.engine import Engine, WrappedEngine
from llm_compiler.model.engines.requests import Request

__all__ = ["SharedEngine"]

_Answer = TypeVar("_Answer")


class SharedEngine(WrappedEngine):
    """An `Engine` that threads share: one question at a time; tells how long each took."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._lock = threading.Lock()
        self._answering = threading.local()

    def take_seconds(self) -> float:
        """Return how long this thread's questions took since the last call, waiting left out."""
        seconds, self._answering.seconds = float(getattr(self._answering, "seconds", 0.0)), 0.0
        return seconds

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Have the engine to oneself for the block, whose time counts as the question's."""
        with self._lock:
            start = time.monotonic()
            try:
                yield
            finally:
                before = float(getattr(self._answering, "seconds", 0.0))
                self._answering.seconds = before + time.monotonic() - start

    def answer(self, request: Request[_Answer]) -> list[_Answer]:
        """Return the engine's answers, when it is this thread's turn."""
        with self.turn():
            return self._engine.answer(request)
