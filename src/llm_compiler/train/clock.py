"""A run's clock: how much of it is over, by steps and by minutes, and whether another step fits in.

A run that is bounded in time ends with a low learning rate and a checkpoint, so time is kept for
the last validation and the last checkpoint.
"""

from __future__ import annotations

import math
import time

from llm_compiler.train.configs import TrainConfig

__all__ = ["Clock", "learning_rate"]


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Return the rate of a step.

    Args:
        progress: how much of the run is over, 0 to 1.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    low = config.min_learning_rate_ratio
    cosine = low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.learning_rate * warm * cosine


class Clock:
    """The run's progress, by steps and by minutes.

    Args:
        max_minutes: of wall time from `started` on; None: no limit.
        time_progress: how much of the run was over by its minutes, 0 to 1, when it was resumed.
        started: by `time.monotonic`.
    """

    def __init__(
        self, max_steps: int, max_minutes: float | None, time_progress: float, started: float
    ) -> None:
        self._max_steps = max_steps
        self._started = started
        self._limit_s = None if max_minutes is None else 60 * max_minutes
        self._before = time_progress
        self._finish_s = 0.0 if self._limit_s is None else min(5.0, 0.05 * self._limit_s)

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    @property
    def time_progress(self) -> float:
        """How much of the run is over by its minutes, those of earlier runs among them."""
        if self._limit_s is None:
            return self._before
        by_time = self.seconds / max(1e-9, self._limit_s - self._finish_s)
        return min(1.0, self._before + (1 - self._before) * by_time)

    def progress(self, step: int) -> float:
        """Return how much of the run is over, 0 to 1."""
        return max(step / self._max_steps, self.time_progress)

    def has_room(self, finish_s: float) -> bool:
        """Whether a run can end with something that long."""
        return self._limit_s is None or finish_s < 0.5 * self._limit_s

    def keep_for_the_end(self, seconds: float) -> None:
        """Keep at least so much time for the last validation and the last checkpoint."""
        self._finish_s = max(self._finish_s, seconds)

    def end(self) -> None:
        """Let the run be over: its learning rate is down, so that nobody goes on with it."""
        self._before, self._limit_s = 1.0, None

    def is_over(self, next_step_s: float) -> bool:
        """Whether there is no time for another step."""
        left = math.inf if self._limit_s is None else self._limit_s - self._finish_s - self.seconds
        return next_step_s >= left
