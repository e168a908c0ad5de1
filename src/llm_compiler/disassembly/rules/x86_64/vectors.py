"""SSE and SSE2: moves, bits, shuffles and packed integers; `floats` has the rest."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.nodes import Node, bits_of, integer
from llm_compiler.disassembly.rules.x86_64.lanes import (
    PACKED,
    SCALARS,
    element,
    num_lanes,
    shuffle,
    zeros,
)
from llm_compiler.disassembly.rules.x86_64.machine import Machine, Rule
from llm_compiler.disassembly.rules.x86_64.operands import Immediate, Memory, Operand, Register

__all__ = ["VECTORS"]

_INTEGERS: Final = {"b": "<16 x i8>", "w": "<8 x i16>", "d": "<4 x i32>", "q": "<2 x i64>"}
_BITS: Final = "<2 x i64>"


def _is_vector(operand: Operand) -> bool:
    return isinstance(operand, Register) and operand.is_vector


def _splat(machine: Machine, value: int, type_: str) -> Node:
    width = bits_of(element(type_)) // 8
    data = (value % (1 << 8 * width)).to_bytes(width, "little") * num_lanes(type_)
    return machine.builder.node("bytes", type_, (), data)


# -- moves ---


def _move_scalar(machine: Machine, type_: str) -> None:
    source, destination = machine.parse()
    if isinstance(source, Memory):
        machine.put_scalar(destination, machine.scalar(source, type_), keeps=False)
    elif isinstance(destination, Memory):
        machine.builder.store(machine.address(destination), machine.scalar(source, type_))
    else:
        machine.put_scalar(destination, machine.scalar(source, type_), keeps=True)


def _move_all(machine: Machine, type_: str, alignment: int) -> None:
    source, destination = machine.parse()
    if isinstance(source, Register) and isinstance(destination, Register):
        machine.copy(source, destination)
    elif isinstance(destination, Register):
        value = machine.vector(source, type_, alignment=alignment)
        machine.put_scalar(destination, value, keeps=False)
    else:
        assert isinstance(destination, Memory)
        value = machine.vector(source, type_)
        machine.builder.store(machine.address(destination), value, alignment=alignment)


def _move_bits(machine: Machine, bits: int) -> None:
    """``movd`` and ``movq`` between registers of both kinds and memory."""
    source, destination = machine.parse()
    type_ = integer(bits)
    if _is_vector(destination):
        if isinstance(source, Memory):
            known = machine.scalar(source, {32: "float", 64: "double"}[bits])
            machine.put_scalar(destination, known, keeps=False)
            return
        machine.put_scalar(destination, machine.get(source, bits), keeps=False)
    elif isinstance(destination, Memory):
        value = machine.scalar(source, {32: "float", 64: "double"}[bits])
        machine.builder.store(machine.address(destination), value)
    else:
        assert isinstance(source, Register)
        machine.put(destination, machine.builder.read(source.name, type_))


def _move_half(machine: Machine, high: bool) -> None:
    """``movlps``, ``movhps``, ``movlpd``, ``movhpd``: one half from or to memory."""
    source, destination = machine.parse()
    builder = machine.builder
    position = 1 if high else 0
    if isinstance(destination, Memory):
        if not high:
            value = machine.scalar(source, "double")
        else:
            both = machine.vector(source, "<2 x double>")
            value = builder.node("extractelement", "double", (both,), 1)
        builder.store(machine.address(destination), value)
        return
    value = machine.scalar(source, "double")
    if not high:
        machine.put_scalar(destination, value, keeps=True)
        return
    old = machine.vector(destination, "<2 x double>")
    machine.put_scalar(
        destination,
        builder.node("insertelement", "<2 x double>", (old, value), position),
        keeps=False,
    )


def _move_between_halves(machine: Machine, mask: Sequence[int]) -> None:
    """``movhlps`` and ``movlhps``."""
    source, destination = machine.parse()
    first = machine.vector(destination, "<2 x double>")
    second = machine.vector(source, "<2 x double>")
    machine.put_scalar(destination, shuffle(machine, first, second, mask), keeps=False)


# -- bits ---


def _signs(data: object, value: bool) -> str:
    """Return the vector type whose elements are all a sign bit (or all but it), if one is."""
    if not isinstance(data, bytes):
        return ""
    for type_, width in (("<2 x double>", 8), ("<4 x float>", 4)):
        sign = 1 << (8 * width - 1)
        number = sign if value else sign - 1
        if data[:width] == number.to_bytes(width, "little"):
            return type_
    return ""


def _bitwise(machine: Machine, op: str, inverts: bool = False) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    if source == destination and op == "xor":
        machine.put_scalar(destination, zeros(machine, _BITS), keeps=False)
        return
    if source == destination and op in ("and", "or") and not inverts:
        return
    right = machine.vector(source, _BITS)
    if right.op == "bytes" and not inverts:
        if op == "xor" and (type_ := _signs(right.data, True)):
            value = machine.scalar(destination, type_)
            machine.put_scalar(destination, builder.node("fneg", type_, (value,)), keeps=False)
            return
        if op == "and" and (type_ := _signs(right.data, False)):
            value = machine.scalar(destination, type_)
            machine.put_scalar(destination, builder.node("fabs", type_, (value,)), keeps=False)
            return
    left = machine.vector(destination, _BITS)
    if inverts:
        left = builder.binary("xor", left, _splat(machine, -1, _BITS))
    machine.put_scalar(destination, builder.binary(op, left, right), keeps=False)


# -- packed integers ---


def _packed_operation(machine: Machine, op: str, type_: str) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    if source == destination and op == "sub":
        machine.put_scalar(destination, zeros(machine, type_), keeps=False)
        return
    right = machine.vector(source, type_)
    left = machine.vector(destination, type_)
    machine.put_scalar(destination, builder.binary(op, left, right), keeps=False)


def _packed_compare(machine: Machine, predicate: str, type_: str) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    if source == destination and predicate == "eq":
        machine.put_scalar(destination, _splat(machine, -1, type_), keeps=False)
        return
    right = machine.vector(source, type_)
    left = machine.vector(destination, type_)
    found = builder.node("icmp", f"<{num_lanes(type_)} x i1>", (left, right), predicate)
    machine.put_scalar(destination, builder.cast("sext", found, type_), keeps=False)


def _packed_extreme(machine: Machine, name: str, type_: str) -> None:
    source, destination = machine.parse()
    right = machine.vector(source, type_)
    left = machine.vector(destination, type_)
    overload = f"v{num_lanes(type_)}{element(type_)}"
    value = machine.builder.intrinsic(name, type_, left, right, overload=overload)
    machine.put_scalar(destination, value, keeps=False)


def _packed_shift(machine: Machine, op: str, type_: str) -> None:
    by, destination = machine.parse()
    builder = machine.builder
    value = machine.vector(destination, type_)
    bits = bits_of(element(type_))
    if not isinstance(by, Immediate):
        letter = {16: "w", 32: "d", 64: "q"}[bits]
        word = {"shl": "psll", "lshr": "psrl", "ashr": "psra"}[op]
        amount = machine.vector(by, type_)
        result = builder.intrinsic(f"x86.sse2.{word}.{letter}", type_, value, amount)
    elif by.value >= bits and op != "ashr":
        result = zeros(machine, type_)
    else:
        amount = _splat(machine, min(by.value, bits - 1), type_)
        result = builder.binary(op, value, amount)
    machine.put_scalar(destination, result, keeps=False)


def _byte_shift(machine: Machine, left: bool) -> None:
    by, destination = machine.parse()
    assert isinstance(by, Immediate)
    amount = min(by.value, 16)
    value = machine.vector(destination, "<16 x i8>")
    zero = zeros(machine, "<16 x i8>")
    if left:
        mask = [16 + i - amount if i >= amount else i for i in range(16)]
        result = shuffle(machine, zero, value, mask)
    else:
        result = shuffle(machine, value, zero, [i + amount for i in range(16)])
    machine.put_scalar(destination, result, keeps=False)


def _wide_multiply(machine: Machine) -> None:
    """``pmuludq``: the even 32-bit numbers, as 64-bit products."""
    source, destination = machine.parse()
    builder = machine.builder
    low = _splat(machine, 0xFFFFFFFF, _BITS)
    right = builder.binary("and", machine.vector(source, _BITS), low)
    left = builder.binary("and", machine.vector(destination, _BITS), low)
    machine.put_scalar(destination, builder.binary("mul", left, right), keeps=False)


def _high_multiply(machine: Machine, extend: str) -> None:
    """``pmulhw`` and ``pmulhuw``."""
    source, destination = machine.parse()
    builder = machine.builder
    pair = [
        builder.cast(extend, machine.vector(item, "<8 x i16>"), "<8 x i32>")
        for item in (destination, source)
    ]
    product = builder.binary("mul", *pair)
    high = builder.binary("lshr", product, _splat(machine, 16, "<8 x i32>"))
    machine.put_scalar(destination, builder.cast("trunc", high, "<8 x i16>"), keeps=False)


def _by_intrinsic(machine: Machine, name: str, source_type: str, type_: str) -> None:
    """What only an intrinsic of this target stands for."""
    source, destination = machine.parse()
    right = machine.vector(source, source_type)
    left = machine.vector(destination, source_type)
    value = machine.builder.intrinsic(f"x86.sse2.{name}", type_, left, right)
    machine.put_scalar(destination, value, keeps=False)


def _mask(machine: Machine, type_: str) -> None:
    """``pmovmskb``, ``movmskps``, ``movmskpd``: the signs as a number."""
    source, destination = machine.parse()
    assert isinstance(destination, Register)
    builder = machine.builder
    value = machine.vector(source, type_)
    lanes = num_lanes(type_)
    found = builder.node("icmp", f"<{lanes} x i1>", (value, zeros(machine, type_)), "slt")
    number = builder.cast("bitcast", found, integer(lanes))
    machine.put(destination, builder.low(number, destination.bits))


# -- shuffles ---


def _interleave(machine: Machine, type_: str, high: bool) -> None:
    source, destination = machine.parse()
    second = machine.vector(source, type_)
    first = machine.vector(destination, type_)
    lanes = num_lanes(type_)
    start = lanes // 2 if high else 0
    mask = [place for i in range(lanes // 2) for place in (start + i, lanes + start + i)]
    machine.put_scalar(destination, shuffle(machine, first, second, mask), keeps=False)


def _shuffle_words(machine: Machine, part: str) -> None:
    """``pshufd``, ``pshuflw`` and ``pshufhw``."""
    order, source, destination = machine.parse()
    assert isinstance(order, Immediate)
    picks = [order.value >> (2 * i) & 3 for i in range(4)]
    type_ = "<4 x i32>" if part == "d" else "<8 x i16>"
    value = machine.vector(source, type_)
    mask = {
        "d": picks,
        "lw": [*picks, 4, 5, 6, 7],
        "hw": [0, 1, 2, 3, *(4 + pick for pick in picks)],
    }[part]
    undefined = machine.builder.undefined(type_)
    machine.put_scalar(destination, shuffle(machine, value, undefined, mask), keeps=False)


def _shuffle_floats(machine: Machine, type_: str) -> None:
    order, source, destination = machine.parse()
    assert isinstance(order, Immediate)
    second = machine.vector(source, type_)
    first = machine.vector(destination, type_)
    if type_ == "<2 x double>":
        mask = [order.value & 1, 2 + (order.value >> 1 & 1)]
    else:
        picks = [order.value >> (2 * i) & 3 for i in range(4)]
        mask = [picks[0], picks[1], 4 + picks[2], 4 + picks[3]]
    machine.put_scalar(destination, shuffle(machine, first, second, mask), keeps=False)


def _insert_word(machine: Machine) -> None:
    position, source, destination = machine.parse()
    assert isinstance(position, Immediate)
    value = machine.get(source, 16)
    old = machine.vector(destination, "<8 x i16>")
    made = machine.builder.node("insertelement", old.type, (old, value), position.value & 7)
    machine.put_scalar(destination, made, keeps=False)


def _extract_word(machine: Machine) -> None:
    position, source, destination = machine.parse()
    assert isinstance(position, Immediate)
    assert isinstance(destination, Register)
    value = machine.vector(source, "<8 x i16>")
    word = machine.builder.node("extractelement", "i16", (value,), position.value & 7)
    machine.put(destination, machine.builder.low(word, destination.bits))


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "movd": partial(_move_bits, bits=32),
        "movdqa": partial(_move_all, type_=_BITS, alignment=16),
        "movdqu": partial(_move_all, type_=_BITS, alignment=1),
        "movntdq": partial(_move_all, type_=_BITS, alignment=16),
        "movhlps": partial(_move_between_halves, mask=(3, 1)),
        "movlhps": partial(_move_between_halves, mask=(0, 2)),
        "pmuludq": _wide_multiply,
        "pmullw": partial(_packed_operation, op="mul", type_="<8 x i16>"),
        "pmulhw": partial(_high_multiply, extend="sext"),
        "pmulhuw": partial(_high_multiply, extend="zext"),
        "pmaxsw": partial(_packed_extreme, name="smax", type_="<8 x i16>"),
        "pminsw": partial(_packed_extreme, name="smin", type_="<8 x i16>"),
        "pmaxub": partial(_packed_extreme, name="umax", type_="<16 x i8>"),
        "pminub": partial(_packed_extreme, name="umin", type_="<16 x i8>"),
        "pmovmskb": partial(_mask, type_="<16 x i8>"),
        "movmskps": partial(_mask, type_="<4 x i32>"),
        "movmskpd": partial(_mask, type_="<2 x i64>"),
        "pslldq": partial(_byte_shift, left=True),
        "psrldq": partial(_byte_shift, left=False),
        "pshufd": partial(_shuffle_words, part="d"),
        "pshuflw": partial(_shuffle_words, part="lw"),
        "pshufhw": partial(_shuffle_words, part="hw"),
        "pinsrw": _insert_word,
        "pextrw": _extract_word,
        "unpcklps": partial(_interleave, type_="<4 x float>", high=False),
        "unpckhps": partial(_interleave, type_="<4 x float>", high=True),
        "unpcklpd": partial(_interleave, type_="<2 x double>", high=False),
        "unpckhpd": partial(_interleave, type_="<2 x double>", high=True),
    }
    for name, source_type, type_ in (
        ("packsswb", "<8 x i16>", "<16 x i8>"),
        ("packuswb", "<8 x i16>", "<16 x i8>"),
        ("packssdw", "<4 x i32>", "<8 x i16>"),
    ):
        table[name] = partial(
            _by_intrinsic, name=f"{name}.128", source_type=source_type, type_=type_
        )
    table["psadbw"] = partial(
        _by_intrinsic, name="psad.bw", source_type="<16 x i8>", type_="<2 x i64>"
    )
    table["pmaddwd"] = partial(
        _by_intrinsic, name="pmadd.wd", source_type="<8 x i16>", type_="<4 x i32>"
    )
    table["pavgb"] = partial(
        _by_intrinsic, name="pavg.b", source_type="<16 x i8>", type_="<16 x i8>"
    )
    table["pavgw"] = partial(
        _by_intrinsic, name="pavg.w", source_type="<8 x i16>", type_="<8 x i16>"
    )
    for suffix, type_ in PACKED.items():
        for letter, alignment in (("a", 16), ("u", 1)):
            table[f"mov{letter}{suffix}"] = partial(_move_all, type_=type_, alignment=alignment)
        table[f"movl{suffix}"] = partial(_move_half, high=False)
        table[f"movh{suffix}"] = partial(_move_half, high=True)
        table[f"shuf{suffix}"] = partial(_shuffle_floats, type_=type_)
        for name, op in (("and", "and"), ("or", "or"), ("xor", "xor")):
            table[f"{name}{suffix}"] = partial(_bitwise, op=op)
        table[f"andn{suffix}"] = partial(_bitwise, op="and", inverts=True)
    for name in ("and", "or", "xor"):
        table[f"p{name}"] = partial(_bitwise, op=name)
    table["pandn"] = partial(_bitwise, op="and", inverts=True)
    for suffix, type_ in SCALARS.items():
        table[f"mov{suffix}"] = partial(_move_scalar, type_=type_)
    for letter, type_ in _INTEGERS.items():
        for name in ("add", "sub"):
            table[f"p{name}{letter}"] = partial(_packed_operation, op=name, type_=type_)
        for name, predicate in (("cmpeq", "eq"), ("cmpgt", "sgt")):
            if letter != "q":
                table[f"p{name}{letter}"] = partial(
                    _packed_compare, predicate=predicate, type_=type_
                )
        if letter in "bw":
            for name, op in (
                ("adds", "sadd"),
                ("subs", "ssub"),
                ("addus", "uadd"),
                ("subus", "usub"),
            ):
                table[f"p{name}{letter}"] = partial(_packed_extreme, name=f"{op}.sat", type_=type_)
        if letter != "b":
            table[f"psll{letter}"] = partial(_packed_shift, op="shl", type_=type_)
            table[f"psrl{letter}"] = partial(_packed_shift, op="lshr", type_=type_)
        if letter in "wd":
            table[f"psra{letter}"] = partial(_packed_shift, op="ashr", type_=type_)
    for word, type_ in (
        ("bw", "<16 x i8>"),
        ("wd", "<8 x i16>"),
        ("dq", "<4 x i32>"),
        ("qdq", "<2 x i64>"),
    ):
        table[f"punpckl{word}"] = partial(_interleave, type_=type_, high=False)
        table[f"punpckh{word}"] = partial(_interleave, type_=type_, high=True)
    return table


VECTORS: Final = _table()
"""Rules by mnemonic, less ``movq`` between registers of both kinds, which integers share."""
