"""What is read of a binary: functions as text, variables and constants as bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Data", "FunctionText", "Unreadable", "Variable"]


class Unreadable(Exception):
    """A function that cannot be written as assembly; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A static variable that a function refers to: where the input keeps it.

    `name` is what lifted code calls it; `symbol` the input's own name, empty where it has none.
    """

    name: str
    symbol: str
    section: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionText:
    """A function as assembly in normal form."""

    name: str
    text: str = field(repr=False)
    num_instructions: int
    size_bytes: int
    is_static: bool
    variables: tuple[Variable, ...]
    static_functions: tuple[str, ...]
    """Functions that it refers to and that only this file sees."""
    opened: tuple[int, ...] = ()
    """Sections in which it may reach one variable from another: their layout is its business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A variable or constant as it is in the file.

    `pointers`: by offset, the 8 bytes that hold an address: a symbol's name and an addend.
    """

    name: str
    data: bytes = field(repr=False)
    alignment: int
    pointers: tuple[tuple[int, str, int], ...]
    is_constant: bool
    is_local: bool
    is_private: bool
    """It has no symbol: nothing else refers to it by this name."""
    is_thread_local: bool
    part_of: str = ""
    """The piece that it lies in, `offset` bytes from its start; then it has no bytes of its own."""
    offset: int = 0
