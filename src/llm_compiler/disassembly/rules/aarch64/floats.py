"""Scalar floating point of AArch64, in the low parts of vector registers."""

from __future__ import annotations

import struct
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.flags import CONDITIONS, Flags
from llm_compiler.disassembly.rules.aarch64.machine import FLOATS, Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import Immediate, Operand
from llm_compiler.disassembly.rules.nodes import Node, integer

__all__ = ["SCALARS"]

_OVERLOADS: Final = {"float": "f32", "double": "f64", "half": "f16"}
_FORMATS: Final = {"float": "<f", "double": "<d", "half": "<e"}


def _type(machine: Machine, operand: Operand) -> str:
    register = machine.register(operand)
    if not register.is_vector or register.bits not in (16, 32, 64):
        raise machine.refuse()
    return FLOATS[register.bits]


def _number(machine: Machine, type_: str, value: float) -> Node:
    return machine.builder.node("bytes", type_, (), struct.pack(_FORMATS[type_], value))


def _operation(machine: Machine, op: str, negates: bool = False) -> None:
    destination, first, second = machine.parse()
    type_ = _type(machine, destination)
    left, right = machine.scalar(first, type_), machine.scalar(second, type_)
    builder = machine.builder
    result = builder.node(op, type_, (left, right))
    if negates:
        result = builder.node("fneg", type_, (result,))
    machine.put_scalar(destination, result)


def _distance(machine: Machine) -> None:
    destination, first, second = machine.parse()
    type_ = _type(machine, destination)
    builder = machine.builder
    pair = machine.scalar(first, type_), machine.scalar(second, type_)
    difference = builder.node("fsub", type_, pair)
    machine.put_scalar(destination, builder.node("fabs", type_, (difference,)))


def _fused(machine: Machine, negates_product: bool, negates_sum: bool) -> None:
    destination, *sources = machine.parse()
    type_ = _type(machine, destination)
    left, right, added = (machine.scalar(source, type_) for source in sources)
    builder = machine.builder
    if negates_product:
        left = builder.node("fneg", type_, (left,))
    if negates_sum:
        added = builder.node("fneg", type_, (added,))
    machine.put_scalar(
        destination,
        builder.intrinsic("fma", type_, left, right, added, overload=_OVERLOADS[type_]),
    )


def _by_intrinsic(machine: Machine, name: str) -> None:
    destination, *sources = machine.parse()
    type_ = _type(machine, destination)
    values = [machine.scalar(source, type_) for source in sources]
    machine.put_scalar(
        destination,
        machine.builder.intrinsic(name, type_, *values, overload=_OVERLOADS[type_]),
    )


def _sign(machine: Machine, op: str) -> None:
    destination, source = machine.parse()
    type_ = _type(machine, destination)
    value = machine.scalar(source, type_)
    machine.put_scalar(destination, machine.builder.node(op, type_, (value,)))


def _convert(machine: Machine) -> None:
    destination, source = machine.parse()
    to, own = _type(machine, destination), _type(machine, source)
    op = (
        "fpext"
        if machine.register(destination).bits > machine.register(source).bits
        else ("fptrunc")
    )
    machine.put_scalar(destination, machine.builder.cast(op, machine.scalar(source, own), to))


def _from_integer(machine: Machine, op: str) -> None:
    destination, source, *fraction = machine.parse()
    type_ = _type(machine, destination)
    register = machine.register(source)
    value = machine.get(register, register.bits)
    result = machine.builder.cast(op, value, type_)
    machine.put_scalar(destination, _scaled(machine, result, fraction, -1))


def _to_integer(machine: Machine, op: str, rounds: str = "") -> None:
    destination, source, *fraction = machine.parse()
    type_ = _type(machine, source)
    builder = machine.builder
    value = _scaled(machine, machine.scalar(source, type_), fraction, 1)
    if rounds:
        value = builder.intrinsic(rounds, type_, value, overload=_OVERLOADS[type_])
    register = machine.register(destination)
    result = builder.cast(op, value, integer(register.bits))
    if register.is_vector:
        machine.put_scalar(register, result)
    else:
        machine.put(register, result)


def _scaled(machine: Machine, value: Node, fraction: list[Operand], sign: int) -> Node:
    """Return a number times a power of two: of a fixed-point number, how many bits are fraction."""
    if not fraction:
        return value
    factor = _number(machine, value.type, 2.0 ** (sign * machine.number(fraction[0])))
    return machine.builder.binary("fmul", value, factor)


def _move(machine: Machine) -> None:
    destination, source = machine.parse()
    builder = machine.builder
    first = machine.register(destination)
    if isinstance(source, Immediate):
        type_ = _type(machine, first)
        machine.put_scalar(first, _number(machine, type_, float(source.text or source.value)))
        return
    second = machine.register(source)
    if first.is_vector and second.is_vector:
        machine.put_scalar(first, machine.scalar(second))
    elif first.is_vector:
        if second.is_zero:
            machine.put_scalar(first, _number(machine, FLOATS[first.bits], 0.0))
        else:
            machine.put_scalar(first, machine.get(second, first.bits))
    else:
        machine.put(first, builder.read(second.name, integer(first.bits)))


def _compare(machine: Machine) -> None:
    machine.builder.flags = _compared(machine, machine.parse()[:2])


def _compared(machine: Machine, operands: list[Operand]) -> Flags:
    first, second = operands
    type_ = _type(machine, first)
    left = machine.scalar(first, type_)
    if isinstance(second, Immediate):
        right = _number(machine, type_, 0.0)
    else:
        right = machine.scalar(second, type_)
    return Flags("floats", left, right)


def _compare_if(machine: Machine) -> None:
    first, second, number, _ = machine.parse()
    code = CONDITIONS[machine.line.operands[-1]]
    before = machine.builder.condition(code)
    taken = _compared(machine, [first, second])
    machine.builder.flags = Flags(
        "choice", condition=before, taken=taken, number=machine.number(number)
    )


def _choose(machine: Machine) -> None:
    destination, yes, no, _ = machine.parse()
    type_ = _type(machine, destination)
    test = machine.builder.condition(CONDITIONS[machine.line.operands[-1]])
    values = machine.scalar(yes, type_), machine.scalar(no, type_)
    machine.put_scalar(destination, machine.builder.select(test, *values))


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "fnmul": partial(_operation, op="fmul", negates=True),
        "fmadd": partial(_fused, negates_product=False, negates_sum=False),
        "fmsub": partial(_fused, negates_product=True, negates_sum=False),
        "fnmadd": partial(_fused, negates_product=True, negates_sum=True),
        "fnmsub": partial(_fused, negates_product=False, negates_sum=True),
        "fabd": _distance,
        "fabs": partial(_sign, op="fabs"),
        "fneg": partial(_sign, op="fneg"),
        "fcvt": _convert,
        "scvtf": partial(_from_integer, op="sitofp"),
        "ucvtf": partial(_from_integer, op="uitofp"),
        "fmov": _move,
        "fcmp": _compare,
        "fcmpe": _compare,
        "fccmp": _compare_if,
        "fcsel": _choose,
    }
    for name in ("fadd", "fsub", "fmul", "fdiv"):
        table[name] = partial(_operation, op=name)
    for name, intrinsic in (
        ("fsqrt", "sqrt"),
        ("fminnm", "minnum"),
        ("fmaxnm", "maxnum"),
        ("fmin", "minimum"),
        ("fmax", "maximum"),
        ("frintm", "floor"),
        ("frintp", "ceil"),
        ("frintz", "trunc"),
        ("frinta", "round"),
        ("frintx", "rint"),
        ("frinti", "nearbyint"),
        ("frintn", "roundeven"),
    ):
        table[name] = partial(_by_intrinsic, name=intrinsic)
    for letter, op in (("s", "fptosi"), ("u", "fptoui")):
        table[f"fcvtz{letter}"] = partial(_to_integer, op=op)
        for rounding, intrinsic in (("m", "floor"), ("p", "ceil"), ("a", "round")):
            table[f"fcvt{rounding}{letter}"] = partial(_to_integer, op=op, rounds=intrinsic)
    return table


SCALARS: Final = _table()
"""Rules by mnemonic, where no operand is a vector."""
