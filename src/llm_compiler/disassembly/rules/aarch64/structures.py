"""Loads and stores of several vectors or of single lanes of AArch64 (``ld1`` to ``ld4``, ``st1`` to
``st4``, ``ld1r``), and table look-ups."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.machine import Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import (
    Immediate,
    Memory,
    Operand,
    Register,
    Vector,
    Vectors,
)
from llm_compiler.disassembly.rules.nodes import Node, bits_of, integer

__all__ = ["STRUCTURES"]


def _load(machine: Machine, step: int) -> None:
    """``ld1`` to ``ld4``: `step` registers take turns, element by element."""
    listed, place, *rest = machine.parse()
    vectors = _listed(machine, listed, step)
    builder = machine.builder
    address = _address(machine, place, rest)
    first = vectors[0]
    if first.lane is not None:
        for number, vector in enumerate(vectors):
            element = builder.load(
                _at(machine, address, number * vector.bits // 8), integer(vector.bits)
            )
            type_ = f"<{128 // vector.bits} x i{vector.bits}>"
            old = builder.read(vector.name, type_)
            data = vector.lane
            builder.write(vector.name, builder.node("insertelement", type_, (old, element), data))
        return
    if step == 1:
        for number, vector in enumerate(vectors):
            at = _at(machine, address, number * vector.bits * vector.lanes // 8)
            builder.write(vector.name, builder.load(at, _type(vector)))
        return
    lanes = first.lanes * step
    whole = builder.load(address, f"<{lanes} x i{first.bits}>")
    undefined = builder.undefined(whole.type)
    for number, vector in enumerate(vectors):
        mask = tuple(range(number, lanes, step))
        builder.write(
            vector.name, builder.node("shufflevector", _type(vector), (whole, undefined), mask)
        )


def _store(machine: Machine, step: int) -> None:
    """``st1`` to ``st4``."""
    listed, place, *rest = machine.parse()
    vectors = _listed(machine, listed, step)
    builder = machine.builder
    first = vectors[0]
    if first.lane is not None:
        type_ = f"<{128 // first.bits} x i{first.bits}>"
        element = integer(first.bits)
        values = [
            builder.node("extractelement", element, (builder.read(v.name, type_),), v.lane)
            for v in vectors
        ]
    else:
        values = [builder.read(vector.name, _type(vector)) for vector in vectors]
        if step > 1:
            values = [_interleaved(machine, values)]
    address = _address(machine, place, rest)
    size = bits_of(values[0].type) // 8
    for number, value in enumerate(values):
        builder.store(_at(machine, address, number * size), value)


def _interleaved(machine: Machine, values: list[Node]) -> Node:
    """Return one vector in which the lanes of several take turns."""
    builder = machine.builder
    lanes, element = values[0].type[1:-1].split(" x ")
    count, each = len(values), int(lanes)
    wide = values[0]
    for number, value in enumerate(values[1:], 1):
        # Both sides of a shuffle are as wide as what there is so far.
        held = number * each
        type_ = f"<{held} x {element}>"
        mask = (*range(each), *[0] * (held - each))
        other = value
        if held > each:
            other = builder.node(
                "shufflevector", type_, (value, builder.undefined(value.type)), mask
            )
        wide = builder.node(
            "shufflevector",
            f"<{held + each} x {element}>",
            (wide, other),
            (*range(held), *range(held, held + each)),
        )
    mask = tuple(number * each + lane for lane in range(each) for number in range(count))
    type_ = f"<{count * each} x {element}>"
    return builder.node("shufflevector", type_, (wide, builder.undefined(wide.type)), mask)


def _load_to_all(machine: Machine) -> None:
    """``ld1r``: one element for all lanes."""
    listed, place, *rest = machine.parse()
    (vector,) = _listed(machine, listed, 1)
    builder = machine.builder
    element = builder.load(_address(machine, place, rest), integer(vector.bits))
    type_ = _type(vector)
    undefined = builder.undefined(type_)
    first = builder.node("insertelement", type_, (undefined, element), 0)
    mask = (0,) * vector.lanes
    builder.write(vector.name, builder.node("shufflevector", type_, (first, undefined), mask))


def _look_up(machine: Machine) -> None:
    """``tbl``: bytes of one to four registers by their numbers; 0 beyond."""
    destination, listed, numbers = machine.parse()
    if not isinstance(destination, Vector) or not isinstance(listed, Vectors):
        raise machine.refuse()
    builder = machine.builder
    tables = [builder.read(vector.name, "<16 x i8>") for vector in listed.registers]
    type_ = _type(destination)
    builder.write(
        destination.name,
        builder.intrinsic(
            f"aarch64.neon.tbl{len(tables)}",
            type_,
            *tables,
            machine.lanes(numbers, type_),
            overload=f"v{destination.lanes}i8",
        ),
    )


def _type(vector: Vector) -> str:
    return f"<{vector.lanes} x i{vector.bits}>"


def _listed(machine: Machine, operand: Operand, step: int) -> tuple[Vector, ...]:
    if not isinstance(operand, Vectors) or not operand.registers:
        raise machine.refuse()
    if step > 1 and len(operand.registers) != step:
        raise machine.refuse()
    return operand.registers


def _address(machine: Machine, place: Operand, rest: list[Operand]) -> Node:
    """Return the address of an access, and set the base where the access does."""
    if not isinstance(place, Memory) or place.index is not None or place.displacement:
        raise machine.refuse()
    builder = machine.builder
    base = builder.read(place.base, "i64")
    if rest:
        if not isinstance(rest[0], Immediate | Register):
            raise machine.refuse()
        builder.write(place.base, builder.binary("add", base, machine.get(rest[0], 64)))
    return base


def _at(machine: Machine, address: Node, distance: int) -> Node:
    if not distance:
        return address
    if address.op == "frame":
        return Node("frame", "i64", (), address.data + distance)
    return machine.builder.address(base=address, displacement=distance)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {"ld1r": _load_to_all, "tbl": _look_up}
    for step in (1, 2, 3, 4):
        table[f"ld{step}"] = partial(_load, step=step)
        table[f"st{step}"] = partial(_store, step=step)
    return table


STRUCTURES: Final = _table()
"""Rules by mnemonic."""
