"""What the tables of x86-64 share: reading and writing operands while an instruction is given
its meaning."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Final

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Line, Unliftable
from llm_compiler.disassembly.rules.nodes import ANY, Node, bits_of, integer
from llm_compiler.disassembly.rules.x86_64.flags import Flags
from llm_compiler.disassembly.rules.x86_64.operands import (
    REGISTERS,
    Immediate,
    Memory,
    Operand,
    Register,
    parse_operand,
)

__all__ = ["SUFFIXES", "Machine", "Rule"]

SUFFIXES: Final = {"b": 8, "w": 16, "l": 32, "q": 64}
"""Last letters of mnemonics, and the width of their operands in bits."""
_THREAD_LOCAL: Final = frozenset({"TPOFF", "GOTTPOFF", "DTPOFF"})


class Machine:
    """One instruction of x86-64 and the builder that takes its meaning."""

    def __init__(self, builder: Builder, line: Line) -> None:
        self.builder, self.line = builder, line
        self.operands: list[Operand] = []

    def parse(self) -> list[Operand]:
        """Return the operands, the destination last as in the text."""
        self.operands = [parse_operand(operand) for operand in self.line.operands]
        return self.operands

    def refuse(self) -> Unliftable:
        """Return the error that names this instruction."""
        name = f"{self.line.prefix} {self.line.mnemonic}".strip()
        return Unliftable(f"no rule for '{name}'", self.line.text)

    def constant(self, value: int, bits: int) -> Node:
        """Return a number."""
        return self.builder.constant(value, integer(bits))

    # -- operands ---

    def get(self, operand: Operand, bits: int) -> Node:
        """Return an operand's low bits as an integer."""
        builder = self.builder
        if isinstance(operand, Immediate):
            if operand.modifier:
                distance = self.thread_distance(operand.symbol, operand.value)
                return builder.low(distance, bits)
            if operand.symbol:
                address = builder.address(symbol=operand.symbol, displacement=operand.value)
                return builder.low(address, bits)
            return self.constant(operand.value, bits)
        if isinstance(operand, Register):
            if operand.is_vector:
                return builder.read(operand.name, integer(bits))
            if operand.shift:
                word = builder.read(operand.name, "i16")
                high = builder.binary("lshr", word, self.constant(8, 16))
                return builder.low(high, 8)
            return builder.read(operand.name, integer(bits))
        if operand.modifier == "GOTPCREL":
            if bits != 64:
                raise self.refuse()
            return builder.got_address(operand.symbol)
        if operand.modifier == "GOTTPOFF":
            # Its distance from the thread's base: `_thread_local` makes an address of both.
            return builder.got_address(operand.symbol, is_thread_local=True)
        # GCC has integers in the pool, too.
        known = self._pool(operand, integer(bits))
        return builder.load(self.address(operand), integer(bits)) if known is None else known

    def put(self, operand: Operand, value: Node, *, is_copy: bool = False) -> None:
        """Set an operand. Narrow registers keep what is above them."""
        if isinstance(operand, Register):
            if operand.shift:
                self._put_high(operand, value)
            else:
                bits = operand.bits
                self.builder.write(operand.name, value, bits=bits, keeps=bits < 32, is_copy=is_copy)
        elif isinstance(operand, Memory):
            self.builder.store(self.address(operand), value)
        else:
            raise self.refuse()

    def _put_high(self, operand: Register, value: Node) -> None:
        builder = self.builder
        old = builder.read(operand.name, "i64")
        kept = builder.binary("and", old, self.constant(~0xFF00, 64))
        moved = builder.binary("shl", builder.low(value, 64), self.constant(8, 64))
        builder.write(operand.name, builder.binary("or", kept, moved))

    def update(self, operand: Operand, bits: int) -> tuple[Node, Node | None]:
        """Return an operand's value and, of memory, its address, to be set by `finish`."""
        if isinstance(operand, Memory):
            address = self.address(operand)
            return self.builder.load(address, integer(bits)), address
        return self.get(operand, bits), None

    def finish(self, operand: Operand, value: Node, address: Node | None) -> None:
        """Set an operand that `update` read."""
        if address is None:
            self.put(operand, value)
        else:
            self.builder.store(address, value)

    def address(self, operand: Memory) -> Node:
        """Return the address of a memory operand."""
        builder = self.builder
        if operand.is_32_bit:
            return builder.cast("zext", self.sum(operand, 32), "i64")
        if operand.modifier == "GOTPCREL":
            raise Unliftable("no rule for a memory operand in the GOT", self.line.text)
        is_thread_local = operand.modifier in _THREAD_LOCAL
        segment = operand.segment
        base = builder.read(REGISTERS[operand.base].name, "i64") if operand.base else None
        if segment == "fs" and is_thread_local and not operand.base and not operand.index:
            segment = ""  # the variable itself
        elif operand.modifier == "TPOFF" and not segment and base is not None:
            if self.is_thread_pointer(base):
                base = None  # the variable itself
            else:
                distance = self.thread_distance(operand.symbol, operand.displacement)
                plain = dataclasses.replace(operand, symbol="", displacement=0, modifier="")
                return builder.binary("add", self.sum(plain, 64), distance)
        elif is_thread_local or (segment and operand.symbol):
            raise Unliftable("no rule for thread-local storage of this kind", self.line.text)
        elif segment == "fs" and self._is_thread_local(base):
            segment = ""
        index = builder.read(REGISTERS[operand.index].name, "i64") if operand.index else None
        return builder.address(
            base=base,
            index=index,
            scale=operand.scale,
            displacement=operand.displacement,
            symbol=operand.symbol,
            segment=segment,
            is_thread_local=is_thread_local,
        )

    def is_thread_pointer(self, value: Node) -> bool:
        """Whether a register holds the word at ``%fs:0``, which is the thread's base."""
        known = self.builder.values.get(value.data) if value.op == "read" else None
        if known is None or known.op != "load" or known.args[0].op != "address":
            return False
        parts = known.args[0].data
        plain = not (known.args[0].args or parts.symbol or parts.displacement)
        return parts.segment == "fs" and plain

    def thread_distance(self, symbol: str, displacement: int) -> Node:
        """Return how far a variable is from the thread's base."""
        builder = self.builder
        variable = builder.address(symbol=symbol, displacement=displacement, is_thread_local=True)
        base = builder.load(builder.address(segment="fs"), "i64")
        return builder.binary("sub", variable, base)

    def _is_thread_local(self, base: Node | None) -> bool:
        """Whether a register holds the distance of a variable from the thread's base."""
        if base is None or base.op != "read":
            return False
        known = self.builder.values.get(base.data)
        return known is not None and known.op == "address" and bool(known.data.is_thread_local)

    def sum(self, operand: Memory, bits: int) -> Node:
        """Return base + index * scale + displacement as a number."""
        builder = self.builder
        if operand.symbol:
            raise self.refuse()
        total: Node | None = None
        if operand.index:
            total = builder.read(REGISTERS[operand.index].name, integer(bits))
            if operand.scale > 1:
                amount = self.constant(operand.scale.bit_length() - 1, bits)
                total = builder.binary("shl", total, amount)
        if operand.base:
            base = builder.read(REGISTERS[operand.base].name, integer(bits))
            total = base if total is None else builder.binary("add", base, total)
        if total is None:
            return self.constant(operand.displacement, bits)
        if operand.displacement:
            total = builder.binary("add", total, self.constant(operand.displacement, bits))
        return total

    # -- vectors and floating point ---

    def scalar(self, operand: Operand, type_: str) -> Node:
        """Return a float or double of a register's low part or of memory."""
        if isinstance(operand, Register):
            return self.builder.read(operand.name, type_)
        if isinstance(operand, Memory):
            if (known := self._pool(operand, type_)) is not None:
                return known
            return self.builder.load(self.address(operand), type_)
        raise self.refuse()

    def vector(self, operand: Operand, type_: str, *, alignment: int = 16) -> Node:
        """Return all 128 bits as a vector of a type."""
        return self.scalar_or_vector(operand, type_, alignment)

    def scalar_or_vector(self, operand: Operand, type_: str, alignment: int) -> Node:
        """Return a register's or memory's value of a type, memory with an alignment."""
        if isinstance(operand, Register):
            return self.builder.read(operand.name, type_)
        if isinstance(operand, Memory):
            if (known := self._pool(operand, type_)) is not None:
                return known
            return self.builder.load(self.address(operand), type_, alignment=alignment)
        raise self.refuse()

    def put_scalar(self, register: Operand, value: Node, *, keeps: bool) -> None:
        """Set the low part of a vector register. `keeps`: the rest stays; else it becomes 0."""
        if not isinstance(register, Register) or not register.is_vector:
            raise self.refuse()
        self.builder.write(register.name, value, keeps=keeps)

    def _pool(self, operand: Memory, type_: str) -> Node | None:
        """Return a constant of the pool."""
        if operand.base or operand.index or operand.segment or operand.modifier:
            return None
        data = self.builder.code.constants.get(operand.symbol)
        if data is None or not operand.symbol.startswith(".LCPI"):
            return None
        size = bits_of(type_) // 8
        part = data[operand.displacement : operand.displacement + size]
        if len(part) < size:
            return None
        return self.builder.constant_of(part, type_)

    # -- flags ---

    def set_flags(
        self,
        kind: str,
        left: Node,
        right: Node | None = None,
        result: Node | None = None,
        *,
        carry: Node | None = None,
        before: Flags | None = None,
    ) -> None:
        """Remember what set the flags."""
        self.builder.flags = Flags(kind, left, right, result, before=before, carry=carry)

    def copy(self, source: Register, destination: Register) -> None:
        """Copy a register as a whole, whatever type its variable has."""
        value = self.builder.read(source.name, ANY)
        self.builder.write(
            destination.name,
            value,
            bits=source.bits,
            is_copy=True,
        )


Rule = Callable[[Machine], None]
"""Gives an instruction its meaning."""
