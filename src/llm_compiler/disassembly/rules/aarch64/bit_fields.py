"""Shifts, bit fields and orders of bits of AArch64."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.machine import Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import Immediate
from llm_compiler.disassembly.rules.nodes import integer

__all__ = ["BIT_FIELDS"]


def _shift(machine: Machine, kind: str) -> None:
    destination, source, by = machine.parse()
    bits = machine.register(destination).bits
    builder = machine.builder
    value = machine.get(source, bits)
    if isinstance(by, Immediate):
        machine.put(destination, machine.shifted(kind, value, machine.number(by)))
        return
    amount = builder.binary("and", machine.get(by, bits), machine.constant(bits - 1, bits))
    if kind == "ror":
        result = builder.intrinsic("fshr", value.type, value, value, amount, overload=value.type)
    else:
        op = {"lsl": "shl", "lsr": "lshr", "asr": "ashr"}[kind]
        result = builder.binary(op, value, amount)
    machine.put(destination, result)


def _extract_pair(machine: Machine) -> None:
    destination, first, second, amount = machine.parse()
    bits = machine.register(destination).bits
    pair = machine.get(first, bits), machine.get(second, bits)
    by = machine.constant(machine.number(amount), bits)
    type_ = integer(bits)
    machine.put(destination, machine.builder.intrinsic("fshr", type_, *pair, by, overload=type_))


def _move_field(machine: Machine, up: bool, signed: bool) -> None:
    """Move a field, and set the bits above it to 0 or to the field's sign.

    Args:
        up: low bits move up (``ubfiz``, ``sbfiz``); else bits of the middle become the low ones
            (``ubfx``, ``sbfx``).
    """
    destination, source, position, width = machine.parse()
    bits = machine.register(destination).bits
    start, length = machine.number(position), machine.number(width)
    value = machine.get(source, bits)
    builder = machine.builder
    if signed:
        to_top = bits - length if up else bits - start - length
        left = machine.shifted("lsl", value, to_top)
        result = machine.shifted("asr", left, bits - start - length if up else bits - length)
    else:
        moved = value if up else machine.shifted("lsr", value, start)
        result = builder.binary("and", moved, machine.constant((1 << length) - 1, bits))
        if up:
            result = machine.shifted("lsl", result, start)
    machine.put(destination, result)


def _insert_field(machine: Machine, takes: bool = False, clears: bool = False) -> None:
    """``bfi``, ``bfxil`` and ``bfc``: the destination's other bits stay."""
    destination, *sources, position, width = machine.parse()
    bits = machine.register(destination).bits
    start, length = machine.number(position), machine.number(width)
    builder = machine.builder
    mask = (1 << length) - 1
    if clears:
        old = machine.get(destination, bits)
        kept = builder.binary("and", old, machine.constant(~(mask << start), bits))
        machine.put(destination, kept)
        return
    value = machine.get(sources[0], bits)
    old = machine.get(destination, bits)
    if takes:
        moved = machine.shifted("lsr", value, start)
        start = 0
        field = builder.binary("and", moved, machine.constant(mask, bits))
    else:
        low = builder.binary("and", value, machine.constant(mask, bits))
        field = machine.shifted("lsl", low, start)
    kept = builder.binary("and", old, machine.constant(~(mask << start), bits))
    machine.put(destination, builder.binary("or", kept, field))


def _extend(machine: Machine, op: str, source_bits: int) -> None:
    destination, source = machine.parse()
    bits = machine.register(destination).bits
    value = machine.get(source, source_bits)
    machine.put(destination, machine.builder.cast(op, value, integer(bits)))


def _count_zeros(machine: Machine) -> None:
    destination, source = machine.parse()
    value = machine.get(source, machine.register(destination).bits)
    false = machine.builder.constant(0, "i1")
    machine.put(
        destination,
        machine.builder.intrinsic("ctlz", value.type, value, false, overload=value.type),
    )


def _reverse(machine: Machine, name: str, rotated: int = 0) -> None:
    destination, source = machine.parse()
    builder = machine.builder
    value = machine.get(source, machine.register(destination).bits)
    result = builder.intrinsic(name, value.type, value, overload=value.type)
    if rotated and value.type == integer(2 * rotated):
        by = builder.constant(rotated, value.type)
        result = builder.intrinsic("fshl", value.type, result, result, by, overload=value.type)
    elif rotated:  # the bytes of each half word change places
        low = builder.constant(0x00FF00FF00FF00FF, value.type)
        by = builder.constant(8, value.type)
        up = builder.binary("shl", builder.binary("and", value, low), by)
        down = builder.binary("and", builder.binary("lshr", value, by), low)
        result = builder.binary("or", up, down)
    machine.put(destination, result)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "extr": _extract_pair,
        "ubfx": partial(_move_field, up=False, signed=False),
        "sbfx": partial(_move_field, up=False, signed=True),
        "ubfiz": partial(_move_field, up=True, signed=False),
        "sbfiz": partial(_move_field, up=True, signed=True),
        "bfi": _insert_field,
        "bfxil": partial(_insert_field, takes=True),
        "bfc": partial(_insert_field, clears=True),
        "sxtb": partial(_extend, op="sext", source_bits=8),
        "sxth": partial(_extend, op="sext", source_bits=16),
        "sxtw": partial(_extend, op="sext", source_bits=32),
        "uxtb": partial(_extend, op="zext", source_bits=8),
        "uxth": partial(_extend, op="zext", source_bits=16),
        "uxtw": partial(_extend, op="zext", source_bits=32),
        "clz": _count_zeros,
        "rbit": partial(_reverse, name="bitreverse"),
        "rev": partial(_reverse, name="bswap"),
        "rev16": partial(_reverse, name="bswap", rotated=16),
        "rev32": partial(_reverse, name="bswap", rotated=32),
    }
    for name in ("lsl", "lsr", "asr", "ror"):
        table[name] = table[f"{name}v"] = partial(_shift, kind=name)
    return table


BIT_FIELDS: Final = _table()
"""Rules by mnemonic."""
