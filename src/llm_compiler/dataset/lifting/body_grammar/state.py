"""What the lines of a body that are whole have said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Body", "BodyState"]


@dataclass(frozen=True, slots=True)
class Body:
    """What whole lines have said. Never changed: a line makes a new state."""

    result: str = ""
    """The function's result type; empty: the first line is still to come."""
    entry: int = -1
    types: Mapping[int, str] = field(default_factory=dict)
    """Of values; empty where it is not known."""
    blocks: frozenset[int] = frozenset()
    next: int = 0
    """The number of the next value or block."""
    block: int = -1
    """The one that is written."""
    edges: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Of each block that was named, those that branch to it so far."""
    phis: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """Of each block with phi nodes, the blocks that these name."""
    ahead_blocks: frozenset[int] = frozenset()
    ahead_values: Mapping[int, str] = field(default_factory=dict)
    """Named, and not there yet."""
    place: str = "head"
    """``head``; ``phi``: at the beginning of a block; ``block``: further down in it; ``cases``: of
    a switch, `case_type` being its type; ``gap``: after a terminator; ``label``: after the empty
    line that follows it; ``done``."""
    case_type: str = ""


@dataclass(frozen=True, slots=True)
class BodyState:
    """What stands there so far."""

    body: Body
    partial: str
    """Of the line that is not whole."""

    @property
    def is_complete(self) -> bool:
        """Whether the body may end here."""
        return self.body.place == "done" and not self.partial
