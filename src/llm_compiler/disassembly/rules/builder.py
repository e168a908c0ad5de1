"""What a target's table writes meanings with: nodes of one block after the other.

The builder knows what every target has: a stack whose places are known, registers that a function
saves for its caller, flags of the last comparison, calls that leave registers undefined. So no
table says anything of frames. One builder serves one function.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from llm_compiler.disassembly.rules.code import Code, Unliftable
from llm_compiler.disassembly.rules.control_flow import ControlFlow
from llm_compiler.disassembly.rules.dynamic_stack import DYNAMIC_STACK, allocate_below
from llm_compiler.disassembly.rules.known_numbers import KnownNumbers
from llm_compiler.disassembly.rules.nodes import (
    ANY,
    SLOT,
    AddressParts,
    Block,
    Graph,
    Node,
    bits_of,
    integer,
)
from llm_compiler.disassembly.rules.target import Target

__all__ = ["Builder"]

_FLAG: Final = "flag."
_SAVED: Final = ("i64", "double")
"""Types of the registers that a function saves for its caller."""
_FOLDED: Final[dict[str, Callable[[int, int], int]]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}


@dataclass(frozen=True, slots=True)
class _Joined:
    """The flags at the beginning of a block that several others lead to."""

    block: int


class Builder:
    """Appends nodes to the current block."""

    def __init__(self, graph: Graph, code: Code, target: Target, slots: frozenset[int]) -> None:
        """Start before any block.

        Args:
            slots: frame places that are pushed but read or written as memory, too.
        """
        self.graph, self.code, self.target = graph, code, target
        self.convention = target.convention
        self._slots = slots
        self._tracks_frame_pointer = target.has_frame_pointer(code)
        self.block: Block = graph.blocks[0]
        self.frame: dict[str, int] = {self.convention.stack_pointer: 0}
        """Registers that hold a known place of the frame."""
        self.intact = set(self.convention.callee_saved)
        """Registers of the caller that nothing was written to yet."""
        self.keeps_scanned = False
        """Scans leave their destination where no bit is set: what processors do, though manuals
        leave it open."""
        self.flags: Any = None
        self.pushed: list[int] = []
        self.values: dict[str, Node] = {}
        """Of the current block: what registers were set to as a whole."""
        self.accessed: set[int] = set()
        """Words of the frame that are read or written as memory, or pointed to."""
        self._flags_out: dict[int, Any] = {}
        self._pushed_out: dict[int, list[int]] = {}
        self.states: dict[int, tuple[dict[str, int], set[str]]] = {}
        """How blocks end: known places of the frame, and registers of the caller as they were."""
        self._wanted: list[tuple[int, str]] = []
        self._numbers = KnownNumbers(graph, self.states)
        self.flow = ControlFlow(self)

    # -- blocks ---

    def enter(self, block: Block) -> None:
        """Go on with a block whose predecessor, if any, was written already."""
        self.block = block
        known = [
            (_at_entry(self, block, predecessor), self.states[predecessor][1])
            for predecessor in block.predecessors
            if predecessor in self.states
        ]
        if known:
            self.frame = dict(known[0][0])
            self.intact = set.intersection(*(row[1] for row in known))
            if any(row[0] != self.frame for row in known[1:]):
                raise Unliftable("a stack pointer that depends on the way")
        ways = [self._pushed_out.get(number, []) for number in block.predecessors]
        # Several ways that push the same words may share the call.
        shared = len(ways) > 1 and all(way == ways[0] for way in ways)
        self.values, self.pushed = {}, list(ways[0]) if shared else []
        before = block.predecessors
        if len(before) == 1 and before[0] in self._flags_out and block.number != 0:
            self.flags = self._flags_out[before[0]]
        else:
            self.flags = _Joined(block.number) if before else None

    def leave(self) -> None:
        """Remember how the current block ends."""
        self._flags_out[self.block.number] = self.flags
        self._pushed_out[self.block.number] = self.pushed
        self.states[self.block.number] = dict(self.frame), set(self.intact)

    def finish(self) -> None:
        """Write the conditions that blocks with several predecessors ask for.

        Raises:
            Unliftable: one of the predecessors does not set them, or a block that was written later
                sets a register that was taken for a number.
        """
        self._numbers.check()
        done: set[tuple[int, str]] = set()
        while self._wanted:
            number, code = self._wanted.pop()
            if (number, code) in done:
                continue
            done.add((number, code))
            for before in self.graph.blocks[number].predecessors:
                if before not in self._flags_out:
                    continue
                self.block = self.graph.blocks[before]
                terminator = self.block.nodes.pop()
                self.flags = self._flags_out[before]
                self.frame = dict(self.states[before][0])
                self.write(f"{_FLAG}{number}.{code}", self.condition(code))
                self.block.nodes.append(terminator)

    # -- values ---

    def append(self, node: Node) -> Node:
        """Append a node to the current block, and return it."""
        node.block = self.block.number
        self.block.nodes.append(node)
        return node

    def constant_of(self, data: bytes, type_: str) -> Node:
        """Return a constant by its bytes, the lowest first; a number where it is an integer."""
        if type_[0] == "i":
            return self.constant(int.from_bytes(data, "little"), type_)
        return self.node("bytes", type_, (), data)

    def constant(self, value: int, type_: str) -> Node:
        """Return a number of a type; what exceeds its width is cut off."""
        bits = bits_of(type_)
        value &= (1 << bits) - 1
        if value >> (bits - 1) and bits > 1:
            value -= 1 << bits
        return Node("const", type_, (), value)

    def literal(self, text: str, type_: str) -> Node:
        """Return a constant of a type that is no integer, in LLVM's words."""
        return Node("const", type_, (), text)

    def undefined(self, type_: str) -> Node:
        """Return a value that is not known."""
        return Node("undef", type_)

    def binary(self, op: str, left: Node, right: Node) -> Node:
        """Return an operation of two values of one type. Places of the frame stay places."""
        if left.op == "frame" and right.op == "const" and isinstance(right.data, int):
            if op == "add":
                return Node("frame", left.type, (), left.data + right.data)
            if op == "sub":
                return Node("frame", left.type, (), left.data - right.data)
            if op == "and" and right.data < 0 and -right.data & (-right.data - 1) == 0:
                return self._align(left, -right.data)
        if op == "add" and right.op == "frame":
            return self.binary(op, right, left)
        is_known = left.op == right.op == "const" and op in _FOLDED
        if is_known and isinstance(left.data, int) and isinstance(right.data, int):
            return self.constant(_FOLDED[op](left.data, right.data), left.type)
        return self.append(Node(op, left.type, (left, right)))

    def _align(self, place: Node, alignment: int) -> Node:
        # As if the caller's frame ended at a multiple of the alignment.
        self.graph.aligned_to = max(self.graph.aligned_to, alignment)
        above = self.convention.first_stack_argument
        return Node("frame", place.type, (), (place.data - above) // alignment * alignment + above)

    def cast(self, op: str, value: Node, type_: str) -> Node:
        """Return a value converted to another type."""
        if value.type == type_:
            return value
        if value.op == "const" and isinstance(value.data, int) and type_[0] == "i":
            if op == "zext":
                return self.constant(value.data & ((1 << bits_of(value.type)) - 1), type_)
            if op in ("sext", "trunc"):
                return self.constant(value.data, type_)
        return self.append(Node(op, type_, (value,)))

    def low(self, value: Node, bits: int) -> Node:
        """Return the low bits of an integer, or the integer zero-extended."""
        width = bits_of(value.type)
        if width == bits:
            return value
        return self.cast("trunc" if width > bits else "zext", value, integer(bits))

    def compare(self, predicate: str, left: Node, right: Node) -> Node:
        """Return an ``i1``: an integer predicate (``ult``) of two values of one type."""
        return self.append(Node("icmp", "i1", (left, right), predicate))

    def compare_floats(self, predicate: str, left: Node, right: Node) -> Node:
        """Return the ``i1`` of a floating-point predicate (``olt``)."""
        return self.append(Node("fcmp", "i1", (left, right), predicate))

    def select(self, condition: Node, yes: Node, no: Node) -> Node:
        """Return one of two values of one type."""
        return self.append(Node("select", yes.type, (condition, yes, no)))

    def negated(self, condition: Node) -> Node:
        """Return the opposite of an ``i1``."""
        return self.binary("xor", condition, self.constant(1, "i1"))

    def intrinsic(self, name: str, type_: str, *arguments: Node, overload: str = "") -> Node:
        """Return the result of an intrinsic of LLVM.

        Args:
            overload: of the name, as in ``fshl.i32``; empty: the name is whole.
        """
        full = f"llvm.{name}.{overload}" if overload else f"llvm.{name}"
        return self.append(Node("intrinsic", type_, arguments, full))

    def overflows(self, op: str, left: Node, right: Node) -> Node:
        """Return whether ``sadd``, ``usub``, ``smul`` ... of two integers overflows; an ``i1``."""
        return self.append(Node("overflow", "i1", (left, right), op))

    def node(
        self, op: str, type_: str, args: Sequence[Node], data: Any = None, flags: str = ""
    ) -> Node:
        """Append any other node: vector operations, atomic accesses, fences."""
        made = self.append(Node(op, type_, args, data))
        made.flags = flags
        return made

    # -- registers ---

    def read(self, register: str, type_: str) -> Node:
        """Return a register's low bits as a value of a type, or `ANY`."""
        if (position := self.frame.get(register)) is not None:
            node = Node("frame", "i64", (), position)
            return node if type_ in ("i64", ANY) else self.low(node, bits_of(type_))
        if register == self.convention.stack_pointer:
            register = DYNAMIC_STACK
        return self.append(Node("read", type_, (), register))

    def write(
        self,
        register: str,
        value: Node,
        *,
        bits: int = 0,
        keeps: bool = False,
        is_copy: bool = False,
    ) -> None:
        """Set a register.

        Args:
            bits: how many low bits are set; 0: as many as the value has.
            keeps: the bits above stay; else they become 0.
            is_copy: of another register's, read as `ANY`.
        """
        self.values.pop(register, None)
        if register == self.convention.stack_pointer:
            self._set_stack_pointer(value)
            return
        if value.op == "entry":
            if value.data != register:
                raise Unliftable("a caller's register that moves")
            self.restore(register)
            return
        if register == self.convention.frame_pointer and self._tracks_frame_pointer:
            if value.op != "frame":
                raise Unliftable("a frame pointer that changes")
            self.frame[register] = value.data
            return
        self.intact.discard(register)
        if not keeps:
            self.values[register] = value
        if value.op == "frame":
            self.touch(value.data)
        node = Node("write", "void", (value,), register)
        node.bits = bits or (0 if value.type == ANY else bits_of(value.type))
        node.keeps, node.is_copy = keeps, is_copy
        self.append(node)

    def number_in(self, register: str) -> int | None:
        """Return the number that a register holds here, on every way; None: not known."""
        return self._numbers.at(self.block, register)

    def _set_stack_pointer(self, value: Node) -> None:
        # GCC keeps it in a register while words for a call are pushed.
        kept = value.op == "read" and self._numbers.place_at(self.block, value.data)
        if value.op == "frame" or kept:
            self.frame[self.convention.stack_pointer] = place = kept or value.data
            self.graph.lowest = min(self.graph.lowest, place)
            return
        if not allocate_below(self, value):
            raise Unliftable("a stack pointer that is computed")
        self.frame.pop(self.convention.stack_pointer, None)
        self.write(DYNAMIC_STACK, value)

    def restore(self, register: str) -> None:
        """Give a register back its caller's value."""
        self.frame.pop(register, None)
        self.intact.add(register)
        self.append(Node("restore", "void", (), register))

    # -- memory ---

    def address(
        self,
        *,
        base: Node | None = None,
        index: Node | None = None,
        scale: int = 1,
        displacement: int = 0,
        symbol: str = "",
        segment: str = "",
        is_thread_local: bool = False,
    ) -> Node:
        """Return an address: symbol + base + index * scale + displacement."""
        frame = None
        if base is not None and base.op == "frame":
            frame, displacement = base.data + displacement, 0
            base = None
            if index is None and not symbol:
                return Node("frame", "i64", (), frame)
        parts = AddressParts(
            symbol=symbol,
            displacement=displacement,
            scale=scale,
            has_base=base is not None,
            has_index=index is not None,
            frame=frame,
            is_thread_local=is_thread_local,
            segment=segment,
        )
        if frame is not None:
            self.touch(frame)
        args = tuple(node for node in (base, index) if node is not None)
        return self.append(Node("address", "i64", args, parts))

    def got_address(self, symbol: str, *, is_thread_local: bool = False) -> Node:
        """Return the address of a symbol that the dynamic linker fills in."""
        parts = AddressParts(symbol=symbol, is_got=True, is_thread_local=is_thread_local)
        return self.append(Node("address", "i64", (), parts))

    def touch(self, place: int) -> None:
        """Note that a place of the frame is memory."""
        self.accessed.add(place)

    def load(self, address: Node, type_: str, *, alignment: int = 1, flags: str = "") -> Node:
        """Return what is at an address."""
        if address.op == "frame":
            if (saved := self.graph.saved.get(address.data)) and type_ in (*_SAVED, ANY):
                return Node("entry", type_, (), saved)
            self.touch(address.data)
        node = self.append(Node("load", type_, (address,), alignment))
        node.flags = flags
        return node

    def store(self, address: Node, value: Node, *, alignment: int = 1, flags: str = "") -> None:
        """Set what is at an address."""
        if address.op == "frame":
            if value.op == "read" and value.data in self.intact and value.type in _SAVED:
                self.graph.saved[address.data] = value.data
                return
            self.touch(address.data)
        if value.op == "frame":
            self.touch(value.data)
        node = self.append(Node("store", "void", (value, address), alignment))
        node.flags = flags

    def push(self, value: Node, register: str = "") -> None:
        """Put a word on the stack. `register`: that it is a copy of, read as `ANY`."""
        pointer = self.convention.stack_pointer
        if pointer not in self.frame:
            raise Unliftable("a word pushed where the stack pointer is not known")
        position = self.frame[pointer] - 8
        self.frame[pointer] = position
        self.graph.lowest = min(self.graph.lowest, position)
        if register in self.intact:
            self.graph.saved[position] = register
        elif position in self._slots:
            if value.type == ANY:
                value = self.read(register, "i64")
            self.append(Node("store", "void", (value, Node("frame", "i64", (), position)), 8))
            self.accessed.add(position)
        else:
            self.write(f"{SLOT}{position}", value, bits=64, is_copy=bool(register))
            self.pushed.append(position)

    def pop(self, register: str) -> None:
        """Take a word from the stack into a register."""
        pointer = self.convention.stack_pointer
        if pointer not in self.frame:
            raise Unliftable("a word popped where the stack pointer is not known")
        position = self.frame[pointer]
        self.frame[pointer] = position + 8
        # On a way without the prologue, a word may be where the prologue saves a register.
        is_own = bool(self.pushed) and self.pushed[-1] == position
        if position in self.graph.saved and not is_own:
            if self.graph.saved[position] == register:
                self.restore(register)
                return
            # What is popped only to move the stack pointer is read by nobody.
            self.append(Node("clobber", "void", (), register))
            return
        if position in self._slots:
            self.accessed.add(position)
            node = Node("load", "i64", (Node("frame", "i64", (), position),), 8)
            self.write(register, self.append(node))
            return
        known = self.values.get(f"{SLOT}{position}")
        if known is not None and known.op == "const":
            self.write(register, known)
        elif position >= 0:
            raise Unliftable("a word popped that the caller pushed")
        else:
            self.write(register, self.read(f"{SLOT}{position}", ANY), bits=64, is_copy=True)
        if self.pushed and self.pushed[-1] == position:
            self.pushed.pop()

    # -- flags ---

    def condition(self, code: str) -> Node:
        """Return whether a condition of the target's holds; an ``i1``.

        Raises:
            Unliftable: nothing that is known has set the flags.
        """
        if isinstance(self.flags, _Joined):
            self._wanted.append((self.flags.block, code))
            return self.read(f"{_FLAG}{self.flags.block}.{code}", "i1")
        if self.flags is None:
            raise Unliftable("a condition that nothing sets")
        return self.target.condition(self, self.flags, code)


def _at_entry(builder: Builder, block: Block, before: int) -> dict[str, int]:
    """Return the registers that hold a known place when a block is entered from another one."""
    frame, pointer = dict(builder.states[before][0]), builder.convention.stack_pointer
    if block.landing_pad is not None and pointer in frame:
        last = builder.graph.blocks[before].end - 1
        frame[pointer] += builder.target.released_after(builder.code, last)
    return frame
