"""SSE and SSE2: floating-point arithmetic, comparisons and conversions, scalar and packed."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.nodes import bits_of, integer
from llm_compiler.disassembly.rules.x86_64.lanes import (
    PACKED,
    SCALARS,
    element,
    num_lanes,
    shuffle,
    zeros,
)
from llm_compiler.disassembly.rules.x86_64.machine import Machine, Rule
from llm_compiler.disassembly.rules.x86_64.operands import Immediate, Memory, Register

__all__ = ["FLOATS"]

_PREDICATES: Final = {
    "eq": "oeq",
    "lt": "olt",
    "le": "ole",
    "unord": "uno",
    "neq": "une",
    "nlt": "uge",
    "nle": "ugt",
    "ord": "ord",
}


def _float_operation(machine: Machine, op: str, type_: str) -> None:
    source, destination = machine.parse()
    right = machine.scalar_or_vector(source, type_, 16)
    left = machine.scalar(destination, type_)
    result = machine.builder.binary(op, left, right)
    machine.put_scalar(destination, result, keeps=type_[0] != "<")


def _square_root(machine: Machine, type_: str) -> None:
    source, destination = machine.parse()
    value = machine.scalar_or_vector(source, type_, 16)
    name = {"float": "f32", "double": "f64"}.get(type_) or (
        f"v{num_lanes(type_)}{'f32' if 'float' in type_ else 'f64'}"
    )
    result = machine.builder.intrinsic("sqrt", type_, value, overload=name)
    machine.put_scalar(destination, result, keeps=type_[0] != "<")


def _extreme(machine: Machine, predicate: str, type_: str) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    right = machine.scalar_or_vector(source, type_, 16)
    left = machine.scalar(destination, type_)
    kind = "i1" if type_[0] != "<" else f"<{num_lanes(type_)} x i1>"
    found = builder.node("fcmp", kind, (left, right), predicate)
    machine.put_scalar(destination, builder.select(found, left, right), keeps=type_[0] != "<")


def _compare_flags(machine: Machine, type_: str) -> None:
    source, destination = machine.parse()
    right = machine.scalar(source, type_)
    machine.set_flags("floats", machine.scalar(destination, type_), right)


def _compare_mask(machine: Machine, type_: str, predicate: str = "") -> None:
    """``cmpltsd`` and its like: all bits set where it holds."""
    operands = machine.parse()
    if not predicate:
        number = operands[0]
        assert isinstance(number, Immediate)
        predicate = list(_PREDICATES.values())[number.value & 7]
    source, destination = operands[-2:]
    builder = machine.builder
    right = machine.scalar_or_vector(source, type_, 16)
    left = machine.scalar(destination, type_)
    bits = bits_of(element(type_))
    if type_[0] != "<":
        found = builder.compare_floats(predicate, left, right)
        mask = builder.cast("sext", found, integer(bits))
        machine.put_scalar(destination, mask, keeps=True)
        return
    lanes = num_lanes(type_)
    found = builder.node("fcmp", f"<{lanes} x i1>", (left, right), predicate)
    mask = builder.cast("sext", found, f"<{lanes} x i{bits}>")
    machine.put_scalar(destination, mask, keeps=False)


def _from_integer(machine: Machine, type_: str, bits: int) -> None:
    source, destination = machine.parse()
    if not bits:
        bits = source.bits if isinstance(source, Register) else 32
    value = machine.get(source, bits)
    machine.put_scalar(destination, machine.builder.cast("sitofp", value, type_), keeps=True)


def _to_integer(machine: Machine, type_: str) -> None:
    source, destination = machine.parse()
    assert isinstance(destination, Register)
    value = machine.scalar(source, type_)
    machine.put(destination, machine.builder.cast("fptosi", value, integer(destination.bits)))


def _round_to_integer(machine: Machine, type_: str) -> None:
    """``cvtsd2si``: with the current rounding, which lrint names."""
    source, destination = machine.parse()
    assert isinstance(destination, Register)
    value = machine.scalar(source, type_)
    to = integer(destination.bits)
    name = {"float": "f32", "double": "f64"}[type_]
    machine.put(destination, machine.builder.intrinsic("lrint", to, value, overload=f"{to}.{name}"))


def _convert_scalar(machine: Machine, op: str, source_type: str, type_: str) -> None:
    source, destination = machine.parse()
    value = machine.builder.cast(op, machine.scalar(source, source_type), type_)
    machine.put_scalar(destination, value, keeps=True)


def _widen_packed(machine: Machine, op: str, source_type: str) -> None:
    """``cvtdq2pd`` and ``cvtps2pd``: the low two numbers become doubles."""
    source, destination = machine.parse()
    builder = machine.builder
    if isinstance(source, Memory):
        low = builder.load(machine.address(source), f"<2 x {element(source_type)}>", alignment=8)
    else:
        whole = machine.vector(source, source_type)
        low = shuffle(machine, whole, builder.undefined(source_type), (0, 1))
    machine.put_scalar(destination, builder.cast(op, low, "<2 x double>"), keeps=False)


def _narrow_packed(machine: Machine) -> None:
    """``cvtpd2ps``."""
    source, destination = machine.parse()
    builder = machine.builder
    low = builder.cast("fptrunc", machine.vector(source, "<2 x double>"), "<2 x float>")
    whole = shuffle(machine, low, zeros(machine, "<2 x float>"), (0, 1, 2, 3))
    machine.put_scalar(destination, whole, keeps=False)


def _convert_packed(machine: Machine) -> None:
    """``cvtdq2ps``."""
    source, destination = machine.parse()
    value = machine.builder.cast("sitofp", machine.vector(source, "<4 x i32>"), "<4 x float>")
    machine.put_scalar(destination, value, keeps=False)


def _convert_by_intrinsic(machine: Machine, name: str, source_type: str, type_: str) -> None:
    source, destination = machine.parse()
    value = machine.builder.intrinsic(
        f"x86.sse2.{name}", type_, machine.vector(source, source_type)
    )
    machine.put_scalar(destination, value, keeps=False)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "cvtss2sd": partial(_convert_scalar, op="fpext", source_type="float", type_="double"),
        "cvtsd2ss": partial(_convert_scalar, op="fptrunc", source_type="double", type_="float"),
        "cvtdq2pd": partial(_widen_packed, op="sitofp", source_type="<4 x i32>"),
        "cvtps2pd": partial(_widen_packed, op="fpext", source_type="<4 x float>"),
        "cvtpd2ps": _narrow_packed,
        "cvtdq2ps": _convert_packed,
    }
    for name, source_type in (("cvttps2dq", "<4 x float>"), ("cvttpd2dq", "<2 x double>")):
        table[name] = partial(
            _convert_by_intrinsic, name=name, source_type=source_type, type_="<4 x i32>"
        )
    for suffix, type_ in (*SCALARS.items(), *PACKED.items()):
        for name in ("add", "sub", "mul", "div"):
            table[f"{name}{suffix}"] = partial(_float_operation, op=f"f{name}", type_=type_)
        table[f"sqrt{suffix}"] = partial(_square_root, type_=type_)
        table[f"max{suffix}"] = partial(_extreme, predicate="ogt", type_=type_)
        table[f"min{suffix}"] = partial(_extreme, predicate="olt", type_=type_)
        table[f"cmp{suffix}"] = partial(_compare_mask, type_=type_)
        for word, predicate in _PREDICATES.items():
            table[f"cmp{word}{suffix}"] = partial(_compare_mask, type_=type_, predicate=predicate)
    for suffix, type_ in SCALARS.items():
        for name in ("ucomi", "comi"):
            table[f"{name}{suffix}"] = partial(_compare_flags, type_=type_)
        for letter, bits in (("", 0), ("l", 32), ("q", 64)):
            table[f"cvtsi2{suffix}{letter}"] = partial(_from_integer, type_=type_, bits=bits)
        table[f"cvtt{suffix}2si"] = partial(_to_integer, type_=type_)
        table[f"cvt{suffix}2si"] = partial(_round_to_integer, type_=type_)
    return table


FLOATS: Final = _table()
"""Rules by mnemonic."""
