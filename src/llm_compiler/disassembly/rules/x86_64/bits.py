"""Shifts, rotations and single bits of x86-64."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.nodes import Node, integer
from llm_compiler.disassembly.rules.x86_64.machine import SUFFIXES, Machine, Rule
from llm_compiler.disassembly.rules.x86_64.operands import Immediate, Memory, Operand, Register

__all__ = ["BITS"]


def _count(machine: Machine, operand: Operand, bits: int) -> Node:
    """Return the amount of a shift: its low five or six bits count."""
    limit = 63 if bits == 64 else 31
    if isinstance(operand, Immediate):
        return machine.constant(operand.value & limit, bits)
    builder = machine.builder
    width = min(bits, 32)
    amount = (
        builder.low(machine.get(operand, 8), bits)
        if bits < 32
        else builder.low(builder.read("rcx", integer(width)), bits)
    )
    return builder.binary("and", amount, machine.constant(limit, bits))


def _destination_and_count(machine: Machine, bits: int) -> tuple[Operand, Node]:
    operands = machine.parse()
    by: Operand = operands[0] if len(operands) > 1 else Immediate(1)
    return operands[-1], _count(machine, by, bits)


def _shift(machine: Machine, op: str, bits: int) -> None:
    destination, amount = _destination_and_count(machine, bits)
    value, address = machine.update(destination, bits)
    builder = machine.builder
    if amount.op == "const" and amount.data == 0:
        return
    result = builder.binary(op, value, amount)
    machine.finish(destination, result, address)
    if amount.op != "const":
        builder.flags = None
        return
    last = bits - amount.data if op == "shl" else amount.data - 1
    moved = builder.binary("lshr", value, machine.constant(last, bits))
    machine.set_flags("shift", value, result=result, carry=builder.cast("trunc", moved, "i1"))


def _rotate(machine: Machine, op: str, bits: int) -> None:
    destination, amount = _destination_and_count(machine, bits)
    value, address = machine.update(destination, bits)
    builder = machine.builder
    result = builder.intrinsic(op, value.type, value, value, amount, overload=value.type)
    machine.finish(destination, result, address)
    builder.flags = None


def _shift_pair(machine: Machine, op: str, bits: int) -> None:
    operands = machine.parse()
    by: Operand = operands[0] if len(operands) == 3 else Register("rcx", 8)
    source, destination = operands[-2:]
    amount = _count(machine, by, bits)
    other = machine.get(source, bits)
    value, address = machine.update(destination, bits)
    pair = (value, other) if op == "fshl" else (other, value)
    builder = machine.builder
    result = builder.intrinsic(op, value.type, *pair, amount, overload=value.type)
    machine.finish(destination, result, address)
    if amount.op != "const" or not 0 < amount.data < bits:
        builder.flags = None
        return
    last = bits - amount.data if op == "fshl" else amount.data - 1
    moved = builder.binary("lshr", value, machine.constant(last, bits))
    machine.set_flags("shift", value, result=result, carry=builder.cast("trunc", moved, "i1"))


def _test_bit(machine: Machine, bits: int, change: str = "") -> None:
    """``bt`` and, with a change, ``bts``, ``btr``, ``btc``."""
    index, operand = machine.parse()
    builder = machine.builder
    if isinstance(operand, Memory) and not isinstance(index, Immediate):
        raise machine.refuse()
    value, address = machine.update(operand, bits)
    if isinstance(index, Immediate):
        amount = machine.constant(index.value & (bits - 1), bits)
    else:
        amount = builder.binary("and", machine.get(index, bits), machine.constant(bits - 1, bits))
    if amount.op == "const":
        mask = machine.constant(1 << amount.data, bits)
        found = builder.binary("and", value, mask)
    else:
        mask = builder.binary("shl", machine.constant(1, bits), amount)
        moved = builder.binary("lshr", value, amount)
        found = builder.binary("and", moved, machine.constant(1, bits))
    carry = builder.compare("ne", found, machine.constant(0, bits))
    if change:
        if change == "and":
            mask = builder.binary("xor", mask, machine.constant(-1, bits))
        machine.finish(operand, builder.binary(change, value, mask), address)
    machine.set_flags("carry", value, carry=carry)


def _scan(machine: Machine, forward: bool, bits: int) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    value = machine.get(source, bits)
    name = "cttz" if forward else "ctlz"
    poison = builder.constant(1, "i1")
    result = builder.intrinsic(name, value.type, value, poison, overload=value.type)
    if not forward:
        result = builder.binary("xor", result, machine.constant(bits - 1, bits))
    if builder.keeps_scanned:
        is_none = builder.compare("eq", value, machine.constant(0, bits))
        result = builder.select(is_none, machine.get(destination, bits), result)
    machine.put(destination, result)
    machine.set_flags("zero", value)


def _count_bits(machine: Machine, name: str, bits: int) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    value = machine.get(source, bits)
    more = () if name == "ctpop" else (builder.constant(0, "i1"),)
    result = builder.intrinsic(name, value.type, value, *more, overload=value.type)
    machine.put(destination, result)
    machine.set_flags("zero", value if name == "ctpop" else result)


def _swap_bytes(machine: Machine, bits: int) -> None:
    (operand,) = machine.parse()
    value = machine.get(operand, bits)
    machine.put(operand, machine.builder.intrinsic("bswap", value.type, value, overload=value.type))


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {}
    for letter, bits in SUFFIXES.items():
        for name, op in (("shl", "shl"), ("sal", "shl"), ("shr", "lshr"), ("sar", "ashr")):
            table[f"{name}{letter}"] = partial(_shift, op=op, bits=bits)
        for name, op in (("rol", "fshl"), ("ror", "fshr")):
            table[f"{name}{letter}"] = partial(_rotate, op=op, bits=bits)
        if bits == 8:
            continue
        table[f"shld{letter}"] = partial(_shift_pair, op="fshl", bits=bits)
        table[f"shrd{letter}"] = partial(_shift_pair, op="fshr", bits=bits)
        table[f"bsf{letter}"] = partial(_scan, forward=True, bits=bits)
        table[f"bsr{letter}"] = partial(_scan, forward=False, bits=bits)
        if bits > 16:
            table[f"bswap{letter}"] = partial(_swap_bytes, bits=bits)
        for name, op in (("bt", ""), ("bts", "or"), ("btr", "and"), ("btc", "xor")):
            table[f"{name}{letter}"] = partial(_test_bit, change=op, bits=bits)
        for name, op in (("popcnt", "ctpop"), ("tzcnt", "cttz"), ("lzcnt", "ctlz")):
            table[f"{name}{letter}"] = partial(_count_bits, name=op, bits=bits)
    return table


BITS: Final = _table()
"""Rules by mnemonic."""
