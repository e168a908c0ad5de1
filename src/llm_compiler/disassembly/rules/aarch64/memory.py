"""Loads and stores of AArch64, of integers and of scalar floating-point numbers."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.machine import FLOATS, Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import Memory, Operand, Register
from llm_compiler.disassembly.rules.nodes import Node, integer

__all__ = ["ACCESSES"]


def _load(machine: Machine, bits: int = 0, extend: str = "zext") -> None:
    destination, position, *rest = machine.parse()
    register = machine.register(destination)
    width = bits or register.bits
    address = _place(machine, position, width // 8, rest)
    builder = machine.builder
    if isinstance(address, Node) and address.op == "address" and address.data.is_got:
        machine.put(register, address)
        return
    if register.is_vector:
        machine.put_scalar(
            register, _pooled(machine, position, width) or _loaded(address, machine, width)
        )
        return
    known = machine.pool(position, integer(width)) if isinstance(position, Memory) else None
    value = builder.load(address, integer(width)) if known is None else known
    if value.op == "entry" or width == register.bits:
        machine.put(register, value)
    else:
        machine.put(register, builder.cast(extend, value, integer(register.bits)))


def _acquire(machine: Machine, bits: int = 0) -> None:
    """``ldar``: no access after it in the code is done before it."""
    destination, position = machine.parse()
    register = machine.register(destination)
    width = bits or register.bits
    address = _place(machine, position, width // 8, [])
    value = machine.builder.load(
        address, integer(width), alignment=width // 8, flags="atomic seq_cst"
    )
    if width != register.bits:
        value = machine.builder.cast("zext", value, integer(register.bits))
    machine.put(register, value)


def _release(machine: Machine, bits: int = 0) -> None:
    """``stlr``: every access before it in the code is done before it."""
    source, position = machine.parse()
    register = machine.register(source)
    width = bits or register.bits
    machine.builder.store(
        _place(machine, position, width // 8, []),
        machine.get(register, width),
        alignment=width // 8,
        flags="atomic seq_cst",
    )


def _loaded(address: Node, machine: Machine, width: int) -> Node:
    return machine.builder.load(address, FLOATS[width])


def _pooled(machine: Machine, place: Operand, width: int) -> Node | None:
    return machine.pool(place, FLOATS[width]) if isinstance(place, Memory) else None


def _store(machine: Machine, bits: int = 0) -> None:
    source, position, *rest = machine.parse()
    register = machine.register(source)
    width = bits or register.bits
    value = _stored(machine, register, width)
    machine.builder.store(_place(machine, position, width // 8, rest), value)


def _stored(machine: Machine, register: Register, width: int) -> Node:
    if register.is_vector:
        return machine.scalar(register, FLOATS[width])
    return machine.get(register, width)


def _place(machine: Machine, place: Operand, size: int, rest: list[Operand]) -> Node:
    """Return the address of an access, and set the base where the access does."""
    if not isinstance(place, Memory):
        raise machine.refuse()
    address = machine.address(place, size)
    if rest:
        if place.index is not None or place.displacement:
            raise machine.refuse()
        builder = machine.builder
        base = builder.read(place.base, "i64")
        step = machine.constant(machine.number(rest[0]), 64)
        builder.write(place.base, builder.binary("add", base, step))
        return base
    return address


def _pair(machine: Machine, loads: bool, bits: int = 0) -> None:
    """``ldp``, ``stp`` and ``ldpsw``: two registers and neighbouring places."""
    first, second, position, *rest = machine.parse()
    registers = machine.register(first), machine.register(second)
    width = bits or registers[0].bits
    builder = machine.builder
    if loads:
        address = _place(machine, position, width // 8, rest)
        positions = [address, _next_to(machine, address, width // 8)]
        type_ = FLOATS[width] if registers[0].is_vector else integer(width)
        values = [builder.load(each_node, type_) for each_node in positions]
        for register, value in zip(registers, values, strict=True):
            if register.is_vector:
                machine.put_scalar(register, value)
            elif bits:
                machine.put(register, builder.cast("sext", value, "i64"))
            else:
                machine.put(register, value)
        return
    values = [_stored(machine, each_register, width) for each_register in registers]
    address = _place(machine, position, width // 8, rest)
    for node, value in zip((address, _next_to(machine, address, width // 8)), values, strict=True):
        builder.store(node, value)


def _next_to(machine: Machine, address: Node, size: int) -> Node:
    if address.op == "frame":
        return Node("frame", "i64", (), address.data + size)
    return machine.builder.address(base=address, displacement=size)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "ldp": partial(_pair, loads=True),
        "stp": partial(_pair, loads=False),
        "ldpsw": partial(_pair, loads=True, bits=32),
    }
    for letter, bits in (("", 0), ("b", 8), ("h", 16)):
        table[f"ldar{letter}"] = partial(_acquire, bits=bits)
        table[f"stlr{letter}"] = partial(_release, bits=bits)
        for prefix in ("r", "ur"):
            table[f"ld{prefix}{letter}"] = partial(_load, bits=bits)
            table[f"st{prefix}{letter}"] = partial(_store, bits=bits)
    for letter, bits in (("b", 8), ("h", 16), ("w", 32)):
        for prefix in ("r", "ur"):
            table[f"ld{prefix}s{letter}"] = partial(_load, bits=bits, extend="sext")
    return table


ACCESSES: Final = _table()
"""Rules by mnemonic."""
