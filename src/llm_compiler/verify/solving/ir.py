"""One function's IR as records: instructions, operands, blocks; and the module's variables."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_compiler.verify.solving.ir_types import Type

__all__ = [
    "Address",
    "Expression",
    "Function",
    "Instruction",
    "Local",
    "Many",
    "Number",
    "Operand",
    "Undefined",
    "Unreadable",
    "Variable",
]


class Unreadable(Exception):
    """The text has something that is not interpreted."""


@dataclass(frozen=True, slots=True)
class Local:
    """An instruction's result, or a parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Number:
    """A constant: an integer, a pointer, or a float's bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Address:
    """Of a function or a variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Many:
    """A constant of several values."""

    values: tuple[tuple[Type, Operand], ...]


@dataclass(frozen=True, slots=True)
class Undefined:
    """Any value, taken as zeros: ``undef``, ``poison``, ``zeroinitializer``."""


@dataclass(frozen=True, slots=True)
class Expression:
    """An operation on constants: ``getelementptr`` of a type, a cast to one, two numbers."""

    operation: str
    type: Type
    arguments: tuple[tuple[Type, Operand], ...]


Operand = Local | Number | Address | Many | Undefined | Expression


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    `type`: of the result, of what is stored, or that a ``getelementptr`` steps over. `detail`: the
    predicate of a comparison, the operation of an ``atomicrmw``. `labels`: where a terminator
    leads, the default of a ``switch`` first; the blocks that a ``phi``'s values come from.
    `numbers`: a switch's cases, the indices into an aggregate, a shuffle's lanes.
    """

    operation: str
    result: str
    type: Type
    operands: tuple[tuple[Type, Operand], ...] = ()
    detail: str = ""
    labels: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Function:
    """A function's parameters and blocks, by their labels, the entry first.

    `by_value`: of each parameter, the type that it is passed in memory as, or none.
    """

    parameters: tuple[tuple[str, Type], ...]
    by_value: tuple[Type | None, ...]
    blocks: dict[str, tuple[Instruction, ...]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the text defines, or only declares (`initial` is None)."""

    type: Type
    initial: Operand | None
