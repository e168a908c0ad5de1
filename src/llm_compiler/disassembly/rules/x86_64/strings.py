"""String instructions of x86-64: copies and fills, single or repeated."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.nodes import Node, integer
from llm_compiler.disassembly.rules.x86_64.machine import SUFFIXES, Machine, Rule

__all__ = ["STRINGS"]


def _string_copy(machine: Machine, bits: int) -> None:
    builder = machine.builder
    size = bits // 8
    source, destination = builder.read("rsi", "i64"), builder.read("rdi", "i64")
    if not machine.line.prefix:
        builder.store(destination, builder.load(source, integer(bits)))
        length: Node = machine.constant(size, 64)
    elif machine.line.prefix == "rep":
        length = _string_length(machine, size)
        false = builder.constant(0, "i1")
        made = builder.intrinsic("memcpy.any", "void", destination, source, length, false)
        made.bits = size  # what the pointers are aligned to, as far as clang knew
        builder.write("rcx", machine.constant(0, 64))
    else:
        raise machine.refuse()
    builder.write("rsi", builder.binary("add", source, length))
    builder.write("rdi", builder.binary("add", destination, length))


def _string_store(machine: Machine, bits: int) -> None:
    builder = machine.builder
    size = bits // 8
    destination = builder.read("rdi", "i64")
    value = builder.read("rax", integer(bits))
    if not machine.line.prefix:
        builder.store(destination, value)
        length: Node = machine.constant(size, 64)
    elif machine.line.prefix == "rep":
        length = _string_length(machine, size)
        byte = builder.low(value, 8)
        if bits > 8:
            number = builder.number_in("rax")
            whole = (
                None if number is None else (number & ((1 << bits) - 1)).to_bytes(size, "little")
            )
            if whole is None or len(set(whole)) > 1:
                raise machine.refuse()
            byte = builder.constant(whole[0], "i8")
        false = builder.constant(0, "i1")
        made = builder.intrinsic("memset.any", "void", destination, byte, length, false)
        made.bits = size
        builder.write("rcx", machine.constant(0, 64))
    else:
        raise machine.refuse()
    builder.write("rdi", builder.binary("add", destination, length))


def _string_length(machine: Machine, size: int) -> Node:
    builder = machine.builder
    known = builder.number_in("rcx")
    if known is not None:
        return machine.constant(known * size, 64)
    count = builder.read("rcx", "i64")
    if size == 1:
        return count
    return builder.binary("shl", count, machine.constant(size.bit_length() - 1, 64))


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {}
    for letter, bits in SUFFIXES.items():
        table[f"movs{letter}"] = partial(_string_copy, bits=bits)
        table[f"stos{letter}"] = partial(_string_store, bits=bits)
    return table


STRINGS: Final = _table()
"""Rules by mnemonic."""
