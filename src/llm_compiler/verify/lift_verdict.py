"""What a lifted function is worth, in one word. Imports nothing of LLVM: options name it too."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["LiftVerdict"]


class LiftVerdict(StrEnum):
    """What is known of a lifted function, best first."""

    EXACT = "exact"
    TESTS_PASSED = "tests_passed"
    UNPROVED = "unproved"
    REFUTED = "refuted"
    NO_ANSWER = "no_answer"

    @property
    def rank(self) -> int:
        """0 for the best."""
        return list(LiftVerdict).index(self)

    @property
    def is_accepted(self) -> bool:
        """Whether a function with this verdict takes the original's place."""
        return self in (LiftVerdict.EXACT, LiftVerdict.TESTS_PASSED)
