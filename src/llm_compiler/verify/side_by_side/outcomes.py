"""What one run of a function left, as the driver (``execute_driver.c``) reports it."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

__all__ = ["CRASHED", "HUNG", "RETURNED", "SIGNALS", "THROWN", "Fault", "Outcome", "parse_outcomes"]

RETURNED, _ENDED, _TOO_MANY, CRASHED, HUNG, THROWN = 1, 2, 4, 5, 6, 7
# 8: a call throws that must not, which says nothing of the original.
_CALL_WORDS = 40
_HEAD = struct.Struct("<4Q" + "2Q8Q8Q4Q")
SIGNALS = {
    4: "SIGILL",
    5: "SIGTRAP",
    6: "SIGABRT",
    7: "SIGBUS",
    8: "SIGFPE",
    9: "SIGKILL",
    11: "SIGSEGV",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A crash for want of memory."""

    address: int
    """0 where the processor does not say: no address of any program."""
    registers: tuple[int, ...]
    """Sixteen general ones, at that instruction."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run left, as the driver reports it."""

    kind: int
    detail: int
    integers: tuple[int, ...]
    floats: tuple[int, ...]
    broken: int
    calls: tuple[tuple[int, ...], ...] = field(repr=False)
    changes: bytes = field(repr=False)
    coverage: bytes = field(repr=False)

    @property
    def fault(self) -> Fault | None:
        """Where memory was asked for that is not there, if the run ended so."""
        if self.kind != CRASHED or self.detail not in (7, 11):
            return None
        return Fault(address=self.broken, registers=self.integers + self.floats)

    @property
    def is_complete(self) -> bool:
        """Whether the run says something: it neither crashed nor hung."""
        return self.kind in (RETURNED, _ENDED, _TOO_MANY, THROWN)


def parse_outcomes(data: bytes) -> list[Outcome]:
    """Read the driver's reports, as many as are whole."""
    found = []
    position = 0
    while position + _HEAD.size <= len(data):
        words = _HEAD.unpack_from(data, position)
        calls, changes, variable_words, coverage = words[:4]
        start = position + _HEAD.size
        after_calls = start + calls * _CALL_WORDS * 8
        after_changes = after_calls + changes * 16 + variable_words * 8
        end = after_changes + coverage
        if end > len(data):
            break
        found.append(
            Outcome(
                kind=words[4],
                detail=words[5],
                integers=words[6:14],
                floats=words[14:22],
                broken=words[22],
                calls=tuple(
                    struct.unpack_from(f"<{_CALL_WORDS}Q", data, start + i * _CALL_WORDS * 8)
                    for i in range(calls)
                ),
                changes=data[after_calls:after_changes],
                coverage=data[after_changes:end],
            )
        )
        position = end
    return found
