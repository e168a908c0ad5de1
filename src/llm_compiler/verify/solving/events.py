"""What a run of the interpreter leaves: what it decided, and where it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_compiler.verify.solving.terms import Term, Value

__all__ = ["BRANCH", "CHOICE", "EDGE", "PIN", "Ended", "Event", "Run", "Site"]

Site = tuple[str, int, int]
"""A block's label, an instruction's number in it, and one of its decisions."""

BRANCH, CHOICE, EDGE, PIN = "branch", "choice", "edge", "pin"


class Ended(Exception):
    """A run is over: a callee ends it, or it meets what is not interpreted."""


@dataclass(frozen=True, slots=True)
class Event:
    """One decision that depends on the input.

    `kind`: a ``branch`` leads on, a ``choice`` only decides a value, an ``edge`` is where another
    comparison of the same two would come out otherwise, a ``pin`` is an address that was taken as
    what it is. `term`: is true on this input. `others`: outcomes that there are
    beside, and what is true then.
    """

    kind: str
    site: Site
    outcome: int
    term: Term
    others: tuple[tuple[int, Term], ...] = ()


@dataclass(slots=True)
class Run:
    """One input's way through a function."""

    events: list[Event] = field(default_factory=list)
    taken: set[tuple[Site, int]] = field(default_factory=set)
    """Decisions, those too that no input changes."""
    drawn: Sequence[tuple[int, int]] = ()
    """`Answers.drawn`."""
    touched: frozenset[int] = frozenset()
    """Where the ranges of memory begin that were used."""
    end: str = ""
    result: Value | None = None
    """What the function returned, if it did and that is a number."""
    lost: Value | None = None
    """The address at which the run crashed."""
    is_called: bool = False
    """It was called, not read."""
