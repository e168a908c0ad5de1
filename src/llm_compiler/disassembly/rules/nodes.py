"""What a function means, instruction by instruction: a graph of nodes that all targets share.

A node is a value or an effect. Machine registers are read and written by name; what variables they
stand for, and whether those are pointers, is found later (`webs`). Integers have types ``i1`` to
``i128``; that a 64-bit integer is a pointer is no business of a node. Nodes of a block stand in
program order; a value may be used in blocks that its own block dominates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from llm_compiler.disassembly.rules.code import HandledRange

__all__ = [
    "ANY",
    "BINARY",
    "CASTS",
    "SLOT",
    "AddressParts",
    "Block",
    "CallSite",
    "Graph",
    "Node",
    "bits_of",
    "integer",
]

ANY: Final = "any"
"""The type of a register that is copied or passed: whatever the variable's own is."""
SLOT: Final = "slot."
"""Begins the names of pushed words, which are registers as long as nothing points to them."""
BINARY: Final = frozenset(
    [
        "add",
        "sub",
        "mul",
        "and",
        "or",
        "xor",
        "shl",
        "lshr",
        "ashr",
        "udiv",
        "sdiv",
        "urem",
        "srem",
        "fadd",
        "fsub",
        "fmul",
        "fdiv",
    ]
)
CASTS: Final = frozenset(
    ["zext", "sext", "trunc", "bitcast", "sitofp", "uitofp", "fptosi", "fptoui", "fpext", "fptrunc"]
)
_VECTOR: Final = re.compile(r"<(\d+) x ([a-z]\w*)>$")
_FLOATS: Final = {"half": 16, "float": 32, "double": 64, "ptr": 64, "x86_fp80": 80, "fp128": 128}


def integer(bits: int) -> str:
    """Return the integer type of a width."""
    return f"i{bits}"


def bits_of(type_: str) -> int:
    """Return a type's width in bits."""
    if type_[0] == "i":
        return int(type_[1:])
    if match := _VECTOR.match(type_):
        return int(match[1]) * bits_of(match[2])
    return _FLOATS[type_]


class Node:
    """A value or an effect.

    `op`: LLVM's name of the instruction, or one of: ``const`` (`data`: the number, or the text of
    a constant of another type), ``undef``, ``read`` and ``write`` (`data`: the register),
    ``clobber``, ``restore``, ``frame`` (`data`: bytes from the stack pointer at entry),
    ``address`` (`data`: its `AddressParts`), ``intrinsic`` (`data`: the name), ``overflow``,
    ``result`` (of a call; `data`: the register), ``return``.
    """

    __slots__ = ("args", "bits", "block", "data", "flags", "is_copy", "keeps", "op", "type")

    def __init__(self, op: str, type_: str, args: Sequence[Node] = (), data: Any = None) -> None:
        self.op, self.type, self.args, self.data = op, type_, tuple(args), data
        self.block = -1
        self.bits = 0
        """Of a write: the low bits that it sets."""
        self.keeps = False
        """Of a write: the bits above stay; else they become 0."""
        self.is_copy = False
        """Of a write: the value is another register's, whatever its type."""
        self.flags = ""
        """Words that a load, store or operation carries: ``volatile``, an ordering."""

    def __repr__(self) -> str:
        """Return it as an expression, for debugging."""
        inner = ", ".join(map(repr, self.args))
        return f"{self.op}<{self.type}>({inner}{', ' if inner else ''}{self.data!r})"


@dataclass(frozen=True, slots=True)
class AddressParts:
    """The constant parts of an address; the node's arguments are base and index, if it has them."""

    symbol: str = ""
    displacement: int = 0
    scale: int = 1
    has_base: bool = False
    has_index: bool = False
    frame: int | None = None
    """Bytes from the stack pointer at entry: the address is in the frame."""
    is_thread_local: bool = False
    segment: str = ""
    is_got: bool = False


@dataclass(eq=False, slots=True, kw_only=True)
class CallSite:
    """What is known of a call where it stands."""

    symbol: str = ""
    """Empty: the first argument of the node is the function's address."""
    is_tail: bool = False
    pushed: tuple[int, ...] = ()
    """Frame slots that hold words pushed since the last call, the last pushed first."""
    stored: tuple[tuple[int, str], ...] = ()
    """Frame slots at the stack pointer that were set since the last call, and their types: words
    that are passed on the stack without a push."""
    vector_count: int | None = None
    """What the call says of vector registers for functions with ``...`` (x86-64: al)."""
    landing_pad: int | None = None
    """The block that exceptions unwind to."""
    next_block: int | None = None
    """The block after a call that ends its block."""
    stack_offset: int = 0
    """The stack pointer, in bytes from its value at entry."""


@dataclass(eq=False, slots=True)
class Block:
    """A basic block. The last node is its terminator."""

    number: int
    first: int
    end: int
    """Of its instructions."""
    nodes: list[Node] = field(default_factory=list)
    successors: list[int] = field(default_factory=list)
    predecessors: list[int] = field(default_factory=list)
    landing_pad: HandledRange | None = None
    """Of a block that exceptions unwind to: what it catches."""


@dataclass(eq=False, slots=True)
class Graph:
    """A function as blocks of nodes; blocks that are never reached are not in `order`."""

    blocks: list[Block]
    order: list[int] = field(default_factory=list)
    """Numbers of the reached blocks, in reverse post order."""
    saved: dict[int, str] = field(default_factory=dict)
    """Frame slots that hold a caller's registers."""
    lowest: int = 0
    """The lowest stack pointer, in bytes from its value at entry."""
    aligned_to: int = 0
    """Of a frame that is aligned more than the convention asks, the alignment."""
    sizes: dict[int, int] = field(default_factory=dict)
    """Of objects of the frame, by place, where they are known."""
    num_named: int | None = None
    """Of a function with ``...``: how many integer registers hold named arguments."""
    returns: list[int] = field(default_factory=list)
    """Blocks that end with a return."""
