"""What the tables of AArch64 share: reading and writing operands while an instruction is given
its meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llm_compiler.disassembly.rules.aarch64.flags import Flags
from llm_compiler.disassembly.rules.aarch64.operands import (
    Immediate,
    Memory,
    Modifier,
    Operand,
    Register,
    Symbol,
    Vector,
    parse_operand,
)
from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Line, Unliftable
from llm_compiler.disassembly.rules.nodes import Node, bits_of, integer

__all__ = ["FLOATS", "Machine", "Rule"]

FLOATS: Final = {32: "float", 64: "double", 128: "<2 x i64>", 16: "half", 8: "i8"}
"""What a scalar in a vector register is, by its width."""
_EXTENDS: Final = {
    f"{letter}xt{size}": (op, bits)
    for letter, op in (("s", "sext"), ("u", "zext"))
    for size, bits in (("b", 8), ("h", 16), ("w", 32), ("x", 64))
}
_WHOLE: Final = frozenset({"lo12", ""})


class Machine:
    """One instruction of AArch64 and the builder that takes its meaning."""

    def __init__(self, builder: Builder, line: Line) -> None:
        self.builder, self.line = builder, line

    def parse(self) -> list[Operand]:
        """Return the operands, the destination first as in the text."""
        return [parse_operand(operand) for operand in self.line.operands]

    def refuse(self) -> Unliftable:
        """Return the error that names this instruction."""
        return Unliftable(f"no rule for '{self.line.mnemonic}'", self.line.text)

    def register(self, operand: Operand) -> Register:
        """Return an operand that must be a register."""
        if not isinstance(operand, Register):
            raise self.refuse()
        return operand

    def number(self, operand: Operand) -> int:
        """Return an operand that must be a number."""
        if not isinstance(operand, Immediate) or operand.text:
            raise self.refuse()
        return operand.value

    def constant(self, value: int, bits: int) -> Node:
        """Return a number."""
        return self.builder.constant(value, integer(bits))

    # -- registers ---

    def get(self, operand: Operand, bits: int) -> Node:
        """Return an operand's low bits as an integer."""
        builder = self.builder
        if isinstance(operand, Immediate):
            return self.constant(self.number(operand), bits)
        register = self.register(operand)
        if register.is_zero:
            return self.constant(0, bits)
        return builder.read(register.name, integer(bits))

    def put(self, operand: Operand, value: Node) -> None:
        """Set a register; what is above it becomes 0."""
        register = self.register(operand)
        if not register.is_zero:
            self.builder.write(register.name, value, bits=register.bits)

    def second(self, operands: list[Operand], bits: int) -> Node:
        """Return the last source of an instruction: a register or number, perhaps shifted.

        Args:
            operands: it, and its modifier, if any.
        """
        if not operands or len(operands) > 2:
            raise self.refuse()
        source = operands[0]
        modifier = operands[1] if len(operands) == 2 else None
        if modifier is not None and not isinstance(modifier, Modifier):
            raise self.refuse()
        if isinstance(source, Immediate):
            amount = modifier.amount if modifier is not None else 0
            return self.constant(self.number(source) << amount, bits)
        if modifier is None:
            return self.get(source, bits)
        return self.modified(self.register(source), modifier, bits)

    def modified(self, register: Register, modifier: Modifier, bits: int) -> Node:
        """Return a register's value, extended or shifted."""
        builder = self.builder
        if modifier.kind in _EXTENDS:
            op, width = _EXTENDS[modifier.kind]
            value = self.get(register, min(width, bits))
            value = builder.cast(op, value, integer(bits))
            return self.shifted("lsl", value, modifier.amount)
        return self.shifted(modifier.kind, self.get(register, bits), modifier.amount)

    def shifted(self, kind: str, value: Node, amount: int) -> Node:
        """Return a value shifted by a constant."""
        if amount == 0:
            return value
        builder = self.builder
        by = builder.constant(amount, value.type)
        if kind == "ror":
            return builder.intrinsic("fshr", value.type, value, value, by, overload=value.type)
        op = {"lsl": "shl", "lsr": "lshr", "asr": "ashr"}.get(kind)
        if op is None:
            raise self.refuse()
        return builder.binary(op, value, by)

    # -- scalars and vectors ---

    def scalar(self, operand: Operand, type_: str = "") -> Node:
        """Return the low part of a vector register, as a floating-point number by default."""
        register = self.register(operand)
        if not register.is_vector:
            raise self.refuse()
        return self.builder.read(register.name, type_ or FLOATS[register.bits])

    def put_scalar(self, operand: Operand, value: Node) -> None:
        """Set the low part of a vector register; the rest becomes 0."""
        register = self.register(operand)
        if not register.is_vector:
            raise self.refuse()
        self.builder.write(register.name, value)

    def lanes(self, operand: Operand, type_: str) -> Node:
        """Return a register's lanes."""
        if not isinstance(operand, Vector) or operand.lane is not None:
            raise self.refuse()
        return self.builder.read(operand.name, type_)

    # -- memory ---

    def address(self, operand: Memory, size: int) -> Node:
        """Return the address of a memory operand; `size`: bytes, for scaled indices."""
        builder = self.builder
        base = builder.read(operand.base, "i64")
        if operand.symbol is not None:
            known = self.thread_symbol(operand.base, operand.symbol)
            return self.symbol(operand.symbol) if known is None else known
        if operand.index is None:
            if operand.updates:
                base = builder.binary("add", base, self.constant(operand.displacement, 64))
                builder.write(operand.base, base)
                return base
            if base.op != "frame" and self._is_thread_pointer(operand.base):
                return builder.binary("add", base, self.constant(operand.displacement, 64))
            return builder.address(base=base, displacement=operand.displacement)
        if (known := self.thread_local(operand.base, operand.index.name)) is not None:
            return known
        kind, amount = operand.modifier.kind, operand.modifier.amount
        if kind in _EXTENDS:
            op, width = _EXTENDS[kind]
            index = builder.cast(op, self.get(operand.index, width), "i64")
        else:
            index = self.get(operand.index, 64)
        if 1 << amount > 8:
            index, amount = self.shifted("lsl", index, amount), 0
        return builder.address(base=base, index=index, scale=1 << amount)

    def symbol(self, symbol: Symbol) -> Node:
        """Return the address that a relocation's symbol stands for."""
        builder = self.builder
        if symbol.modifier in _WHOLE:
            return builder.address(symbol=symbol.name, displacement=symbol.distance)
        if symbol.modifier in ("got", "got_lo12") and not symbol.distance:
            return builder.got_address(symbol.name)
        if symbol.modifier in ("gottprel", "gottprel_lo12") and not symbol.distance:
            return builder.got_address(symbol.name, is_thread_local=True)
        raise Unliftable(f"no rule for the relocation '{symbol.modifier}'", self.line.text)

    def _is_thread_pointer(self, register: str) -> bool:
        known = self.builder.values.get(register)
        return known is not None and known.op == "intrinsic" and "thread.pointer" in known.data

    def thread_symbol(self, register: str, symbol: Symbol) -> Node | None:
        """Return the address of a thread-local variable that code computes in two steps.

        The first adds the high bits of its distance to the thread's base, the second the low ones:
        what the first leaves is taken for the address, and the second has to name the same.
        """
        if not symbol.modifier.startswith("tprel_"):
            return None
        is_base = self._is_thread_pointer(register)
        if is_base and symbol.modifier != "tprel_lo12_nc":
            return self.builder.address(
                symbol=symbol.name, displacement=symbol.distance, is_thread_local=True
            )
        known = self.builder.values.get(register)
        is_first = known is not None and known.op == "address" and known.data.is_thread_local
        if known is None or not is_first or symbol.modifier == "tprel_hi12":
            return None
        same = (known.data.symbol, known.data.displacement) == (symbol.name, symbol.distance)
        return known if same and not known.args else None

    def thread_local(self, first: str, second: str) -> Node | None:
        """Return a thread-local variable's address, where two registers hold the thread's place
        and the variable's distance from it."""
        for word, other in ((first, second), (second, first)):
            known = self.builder.values.get(other)
            is_distance = known is not None and known.op == "address" and known.data.is_thread_local
            if self._is_thread_pointer(word) and is_distance:
                return known
        return None

    def pool(self, operand: Memory, type_: str) -> Node | None:
        """Return a constant of the pool."""
        symbol = operand.symbol
        if symbol is None or symbol.modifier != "lo12" or not symbol.name.startswith(".LCPI"):
            return None
        data = self.builder.code.constants.get(symbol.name)
        size = bits_of(type_) // 8
        part = (data or b"")[symbol.distance : symbol.distance + size]
        if len(part) < size:
            return None
        self.builder.read(operand.base, "i64")
        return self.builder.constant_of(part, type_)

    # -- flags ---

    def set_flags(
        self,
        kind: str,
        left: Node | None = None,
        right: Node | None = None,
        result: Node | None = None,
        *,
        carry: Node | None = None,
    ) -> None:
        """Remember what set the flags."""
        self.builder.flags = Flags(kind, left, right, result, carry=carry)


Rule = Callable[[Machine], None]
"""Gives an instruction its meaning."""
