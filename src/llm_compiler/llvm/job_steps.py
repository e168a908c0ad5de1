"""What jobs of the same kind of steps share; how a step is carried out is the job's own.

Light records that can be pickled, as all jobs (`llvm.module_jobs`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["OneStepJob", "TextsJob"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OneStepJob:
    """A job of a single step."""

    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One."""
        return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TextsJob:
    """A job on texts of LLVM-IR, with a step for each."""

    texts: tuple[str, ...] = field(repr=False)
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each text."""
        return len(self.texts)
