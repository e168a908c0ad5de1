"""Vectors of AArch64: what has arrangements (``v0.4s``) or lanes (``v0.s[1]``) for operands."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.machine import Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import (
    Immediate,
    Modifier,
    Operand,
    Register,
    Vector,
)
from llm_compiler.disassembly.rules.aarch64.structures import STRUCTURES
from llm_compiler.disassembly.rules.nodes import Node, bits_of, integer

__all__ = ["VECTORS"]

_FLOATS: Final = {32: "float", 64: "double"}
_NAMES: Final = {"float": "f32", "double": "f64"}


def _whole(machine: Machine, operand: Operand) -> Vector:
    if not isinstance(operand, Vector) or operand.lane is not None:
        raise machine.refuse()
    return operand


def _integers(machine: Machine, operand: Operand) -> str:
    vector = _whole(machine, operand)
    return f"<{vector.lanes} x i{vector.bits}>"


def _numbers(machine: Machine, operand: Operand) -> str:
    vector = _whole(machine, operand)
    if vector.bits not in _FLOATS:
        raise machine.refuse()
    return f"<{vector.lanes} x {_FLOATS[vector.bits]}>"


def _type(machine: Machine, operand: Operand, floats: bool) -> str:
    return _numbers(machine, operand) if floats else _integers(machine, operand)


def _lanes(type_: str) -> int:
    return int(type_[1:-1].split(" x ")[0])


def _element(type_: str) -> str:
    return type_[1:-1].split(" x ")[1]


def _overload(type_: str) -> str:
    element = _element(type_)
    return f"v{_lanes(type_)}{_NAMES.get(element, element)}"


def _put(machine: Machine, operand: Operand, value: Node) -> None:
    if not isinstance(operand, Vector | Register):
        raise machine.refuse()
    machine.builder.write(operand.name, value)


def _splat(machine: Machine, value: int, type_: str) -> Node:
    width = bits_of(_element(type_)) // 8
    data = (value % (1 << 8 * width)).to_bytes(width, "little") * _lanes(type_)
    return machine.builder.node("bytes", type_, (), data)


def _shuffle(machine: Machine, first: Node, second: Node, mask: Sequence[int]) -> Node:
    type_ = f"<{len(mask)} x {_element(first.type)}>"
    return machine.builder.node("shufflevector", type_, (first, second), tuple(mask))


# -- moves ---


def _move_number(machine: Machine, inverts: bool = False) -> None:
    """``movi`` and ``mvni``."""
    destination, value, *rest = machine.parse()
    number = machine.number(value)
    if isinstance(destination, Register):
        data = number.to_bytes(8, "little")
        _put(machine, destination, machine.builder.node("bytes", "double", (), data))
        return
    type_ = _integers(machine, destination)
    if rest:
        shift = rest[0]
        if not isinstance(shift, Modifier):
            raise machine.refuse()
        number <<= shift.amount
        if shift.kind == "msl":
            number |= (1 << shift.amount) - 1
    _put(machine, destination, _splat(machine, ~number if inverts else number, type_))


def _move_float(machine: Machine) -> None:
    destination, value = machine.parse()
    if not isinstance(value, Immediate):
        raise machine.refuse()
    type_ = _numbers(machine, destination)
    form = "<f" if _element(type_) == "float" else "<d"
    data = struct.pack(form, float(value.text or value.value)) * _lanes(type_)
    _put(machine, destination, machine.builder.node("bytes", type_, (), data))


def _duplicate(machine: Machine) -> None:
    destination, source = machine.parse()
    type_ = _integers(machine, destination)
    builder = machine.builder
    if isinstance(source, Vector):
        value = _lane(machine, source)
    else:
        value = machine.get(source, bits_of(_element(type_)))
    first = builder.node("insertelement", type_, (builder.undefined(type_), value), 0)
    _put(
        machine,
        destination,
        _shuffle(machine, first, builder.undefined(type_), [0] * _lanes(type_)),
    )


def _lane(machine: Machine, operand: Vector) -> Node:
    """Return one lane as an integer."""
    if operand.lane is None:
        raise machine.refuse()
    type_ = f"<{128 // operand.bits} x i{operand.bits}>"
    whole = machine.builder.read(operand.name, type_)
    return machine.builder.node("extractelement", integer(operand.bits), (whole,), operand.lane)


def _move(machine: Machine, extend: str = "zext") -> None:
    """``mov`` of whole vectors and of lanes; ``umov``, ``smov``, ``ins``."""
    destination, source = machine.parse()
    builder = machine.builder
    if isinstance(destination, Vector) and destination.lane is not None:
        type_ = f"<{128 // destination.bits} x i{destination.bits}>"
        if isinstance(source, Vector):
            value = _lane(machine, source)
        else:
            value = machine.get(source, destination.bits)
        old = builder.read(destination.name, type_)
        _put(
            machine,
            destination,
            builder.node("insertelement", type_, (old, value), destination.lane),
        )
    elif isinstance(destination, Vector):
        type_ = _integers(machine, destination)
        _put(machine, destination, machine.lanes(source, type_))
    elif isinstance(source, Vector) and isinstance(destination, Register):
        value = _lane(machine, source)
        if destination.is_vector:
            if destination.bits in _FLOATS:
                value = builder.cast("bitcast", value, _FLOATS[destination.bits])
            _put(machine, destination, value)
        else:
            machine.put(destination, builder.cast(extend, value, integer(destination.bits)))
    else:
        raise machine.refuse()


# -- lane by lane ---


def _operation(machine: Machine, op: str, floats: bool = False, inverts: bool = False) -> None:
    destination, *sources = machine.parse()
    type_ = _type(machine, destination, floats)
    builder = machine.builder
    if isinstance(sources[0], Immediate):  # orr and bic of a constant
        number, *shift = sources
        value = machine.number(number)
        if shift:
            assert isinstance(shift[0], Modifier)
            value <<= shift[0].amount
        left, right = machine.lanes(destination, type_), _splat(machine, value, type_)
    else:
        left, right = machine.lanes(sources[0], type_), _right(machine, sources[1], type_)
    if inverts:
        right = builder.binary("xor", right, _splat(machine, -1, type_))
    _put(machine, destination, builder.node(op, type_, (left, right)))


def _right(machine: Machine, operand: Operand, type_: str) -> Node:
    """Return a second source: lanes, or one lane for all."""
    if not isinstance(operand, Vector) or operand.lane is None:
        return machine.lanes(operand, type_)
    builder = machine.builder
    element = _element(type_)
    value = _lane(machine, operand)
    if element[0] != "i":
        value = builder.cast("bitcast", value, element)
    first = builder.node("insertelement", type_, (builder.undefined(type_), value), 0)
    return _shuffle(machine, first, builder.undefined(type_), [0] * _lanes(type_))


def _added_product(machine: Machine, op: str) -> None:
    """``mla`` and ``mls``."""
    destination, first, second = machine.parse()
    type_ = _integers(machine, destination)
    builder = machine.builder
    left, right = machine.lanes(first, type_), _right(machine, second, type_)
    product = builder.node("mul", type_, (left, right))
    old = machine.lanes(destination, type_)
    _put(machine, destination, builder.node(op, type_, (old, product)))


def _fused(machine: Machine, negates: bool) -> None:
    destination, first, second = machine.parse()
    type_ = _numbers(machine, destination)
    builder = machine.builder
    left, right = machine.lanes(first, type_), _right(machine, second, type_)
    if negates:
        left = builder.node("fneg", type_, (left,))
    old = machine.lanes(destination, type_)
    result = builder.intrinsic("fma", type_, left, right, old, overload=_overload(type_))
    _put(machine, destination, result)


def _by_intrinsic(machine: Machine, name: str, floats: bool = False, flag: bool = False) -> None:
    destination, *sources = machine.parse()
    type_ = _type(machine, destination, floats)
    builder = machine.builder
    values = [machine.lanes(source, type_) for source in sources]
    if flag:
        values.append(builder.constant(0, "i1"))
    _put(
        machine,
        destination,
        builder.intrinsic(name, type_, *values, overload=_overload(type_)),
    )


def _negate(machine: Machine) -> None:
    destination, source = machine.parse()
    type_ = _integers(machine, destination)
    value = machine.lanes(source, type_)
    zero = _splat(machine, 0, type_)
    _put(machine, destination, machine.builder.node("sub", type_, (zero, value)))


def _invert(machine: Machine) -> None:
    destination, source = machine.parse()
    type_ = _integers(machine, destination)
    value = machine.lanes(source, type_)
    ones = _splat(machine, -1, type_)
    _put(machine, destination, machine.builder.node("xor", type_, (value, ones)))


def _sign(machine: Machine, op: str) -> None:
    destination, source = machine.parse()
    type_ = _numbers(machine, destination)
    value = machine.lanes(source, type_)
    _put(machine, destination, machine.builder.node(op, type_, (value,)))


def _compare(machine: Machine, predicate: str, floats: bool = False) -> None:
    destination, first, second = machine.parse()
    type_ = _type(machine, destination, floats)
    builder = machine.builder
    left = machine.lanes(first, type_)
    if isinstance(second, Immediate):
        right = builder.literal("zeroinitializer", type_)
    else:
        right = machine.lanes(second, type_)
    found = builder.node(
        "fcmp" if floats else "icmp", f"<{_lanes(type_)} x i1>", (left, right), predicate
    )
    _put(machine, destination, builder.cast("sext", found, _integers(machine, destination)))


def _shift(machine: Machine, op: str) -> None:
    destination, source, amount = machine.parse()
    type_ = _integers(machine, destination)
    bits, by = bits_of(_element(type_)), machine.number(amount)
    value = machine.lanes(source, type_)
    if by >= bits and op == "lshr":
        result = machine.builder.literal("zeroinitializer", type_)
    else:
        count = _splat(machine, min(by, bits - 1), type_)
        result = machine.builder.node(op, type_, (value, count))
    _put(machine, destination, result)


def _select(machine: Machine, mask: int) -> None:
    """``bsl`` (0: the destination chooses), ``bit`` and ``bif`` (2: the second source does)."""
    destination, *sources = machine.parse()
    type_ = _integers(machine, destination)
    builder = machine.builder
    old = machine.lanes(destination, type_)
    first, second = (machine.lanes(source, type_) for source in sources)
    ones = _splat(machine, -1, type_)
    if mask == 0:
        chosen, yes, no = old, first, second
    else:
        chosen, yes, no = second, *((first, old) if mask == 1 else (old, first))
    taken = builder.node("and", type_, (chosen, yes))
    rest = builder.node("and", type_, (builder.node("xor", type_, (chosen, ones)), no))
    _put(machine, destination, builder.node("or", type_, (taken, rest)))


# -- widths ---


def _widen(machine: Machine, op: str, high: bool) -> None:
    """``ushll``, ``sshll``, ``uxtl``, ``sxtl``, and their second forms."""
    destination, source, *amount = machine.parse()
    type_, own = _integers(machine, destination), _integers(machine, source)
    builder = machine.builder
    value = machine.lanes(source, own)
    if high:
        half = _lanes(own) // 2
        value = _shuffle(machine, value, builder.undefined(own), range(half, 2 * half))
    result = builder.cast(op, value, type_)
    if amount and (by := machine.number(amount[0])):
        result = builder.node("shl", type_, (result, _splat(machine, by, type_)))
    _put(machine, destination, result)


def _narrow(machine: Machine, shifts: bool = False) -> None:
    """``xtn`` and ``shrn``."""
    destination, source, *amount = machine.parse()
    type_, own = _integers(machine, destination), _integers(machine, source)
    builder = machine.builder
    value = machine.lanes(source, own)
    if shifts:
        by = _splat(machine, machine.number(amount[0]), own)
        value = builder.node("lshr", own, (value, by))
    _put(machine, destination, builder.cast("trunc", value, type_))


def _convert(machine: Machine, op: str) -> None:
    destination, source = machine.parse()
    to_number = op in ("sitofp", "uitofp")
    own = _type(machine, source, not to_number)
    type_ = _type(machine, destination, to_number)
    _put(machine, destination, machine.builder.cast(op, machine.lanes(source, own), type_))


def _reduce(machine: Machine, name: str, extend: str = "") -> None:
    """``addv``, ``uaddlv``, ``umaxv`` and their kind: one number of all lanes."""
    destination, source = machine.parse()
    own = _integers(machine, source)
    builder = machine.builder
    value = machine.lanes(source, own)
    if extend:
        own = f"<{_lanes(own)} x i{machine.register(destination).bits}>"
        value = builder.cast(extend, value, own)
    result = builder.intrinsic(
        f"vector.reduce.{name}", _element(own), value, overload=_overload(own)
    )
    _put(machine, destination, result)


def _pair_sum(machine: Machine, floats: bool) -> None:
    """``addp d0, v0.2d`` and ``faddp``: the sum of two lanes, or the sums of all pairs."""
    destination, source, *more = machine.parse()
    builder = machine.builder
    if more:
        type_ = _type(machine, destination, floats)
        pair = machine.lanes(source, type_), machine.lanes(more[0], type_)
        every = range(0, 2 * _lanes(type_), 2)
        parts = [_shuffle(machine, *pair, [place + odd for place in every]) for odd in (0, 1)]
        _put(machine, destination, builder.node("fadd" if floats else "add", type_, parts))
        return
    if not isinstance(destination, Register):
        raise machine.refuse()
    type_ = _type(machine, source, floats)
    value = machine.lanes(source, type_)
    parts = [builder.node("extractelement", _element(type_), (value,), place) for place in (0, 1)]
    _put(machine, destination, builder.node("fadd" if floats else "add", parts[0].type, parts))


# -- shuffles ---


def _permute(machine: Machine, how: str) -> None:
    destination, first, second = machine.parse()
    type_ = _integers(machine, destination)
    lanes = _lanes(type_)
    half, odd = range(lanes // 2), how.endswith("2")
    if how.startswith("zip"):
        start = lanes // 2 if odd else 0
        mask = [place for i in half for place in (start + i, lanes + start + i)]
    elif how.startswith("uzp"):
        mask = [2 * i + odd for i in range(lanes)]
    else:
        mask = [place for i in half for place in (2 * i + odd, lanes + 2 * i + odd)]
    pair = machine.lanes(first, type_), machine.lanes(second, type_)
    _put(machine, destination, _shuffle(machine, *pair, mask))


def _extract(machine: Machine) -> None:
    destination, first, second, amount = machine.parse()
    type_ = _integers(machine, destination)
    start = machine.number(amount)
    pair = machine.lanes(first, type_), machine.lanes(second, type_)
    mask = range(start, start + _lanes(type_))
    _put(machine, destination, _shuffle(machine, *pair, mask))


def _reverse(machine: Machine, bits: int) -> None:
    destination, source = machine.parse()
    type_ = _integers(machine, destination)
    group = bits // bits_of(_element(type_))
    mask = [i // group * group + group - 1 - i % group for i in range(_lanes(type_))]
    value = machine.lanes(source, type_)
    undefined = machine.builder.undefined(type_)
    _put(machine, destination, _shuffle(machine, value, undefined, mask))


def _long(machine: Machine, op: str, extend: str, high: bool, adds: bool = False) -> None:
    """``smull``, ``uaddl``, ``smlal`` and their kind: lanes twice as wide as the sources'."""
    destination, first, second = machine.parse()
    type_, own = _integers(machine, destination), _integers(machine, first)
    builder = machine.builder
    values = [machine.lanes(first, own), _right(machine, second, own)]
    if high:
        half = _lanes(own) // 2
        upper = range(half, 2 * half)
        values = [_shuffle(machine, value, builder.undefined(own), upper) for value in values]
    result = builder.node(op, type_, [builder.cast(extend, value, type_) for value in values])
    if adds:
        result = builder.node("add", type_, (machine.lanes(destination, type_), result))
    _put(machine, destination, result)


def _neon(machine: Machine, name: str, adds: bool = False) -> None:
    """What only an intrinsic of the target says; `adds`: to the destination."""
    destination, first, second = machine.parse()
    type_ = _integers(machine, destination)
    pair = machine.lanes(first, type_), machine.lanes(second, type_)
    builder = machine.builder
    result = builder.intrinsic(f"aarch64.neon.{name}", type_, *pair, overload=_overload(type_))
    if adds:
        result = builder.node("add", type_, (machine.lanes(destination, type_), result))
    _put(machine, destination, result)


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "movi": _move_number,
        "mvni": partial(_move_number, inverts=True),
        "fmov": _move_float,
        "dup": _duplicate,
        "mov": _move,
        "umov": _move,
        "smov": partial(_move, extend="sext"),
        "ins": _move,
        "mla": partial(_added_product, op="add"),
        "mls": partial(_added_product, op="sub"),
        "fmla": partial(_fused, negates=False),
        "fmls": partial(_fused, negates=True),
        "neg": _negate,
        "mvn": _invert,
        "not": _invert,
        "fneg": partial(_sign, op="fneg"),
        "fabs": partial(_sign, op="fabs"),
        "abs": partial(_by_intrinsic, name="abs", flag=True),
        "cnt": partial(_by_intrinsic, name="ctpop"),
        "fsqrt": partial(_by_intrinsic, name="sqrt", floats=True),
        "shl": partial(_shift, op="shl"),
        "ushr": partial(_shift, op="lshr"),
        "sshr": partial(_shift, op="ashr"),
        "bsl": partial(_select, mask=0),
        "bit": partial(_select, mask=1),
        "bif": partial(_select, mask=2),
        "xtn": _narrow,
        "shrn": partial(_narrow, shifts=True),
        "scvtf": partial(_convert, op="sitofp"),
        "ucvtf": partial(_convert, op="uitofp"),
        "fcvtzs": partial(_convert, op="fptosi"),
        "fcvtzu": partial(_convert, op="fptoui"),
        "fcvtl": partial(_convert_width, op="fpext"),
        "fcvtn": partial(_convert_width, op="fptrunc"),
        "addv": partial(_reduce, name="add"),
        "uaddlv": partial(_reduce, name="add", extend="zext"),
        "saddlv": partial(_reduce, name="add", extend="sext"),
        "addp": partial(_pair_sum, floats=False),
        "faddp": partial(_pair_sum, floats=True),
        "ext": _extract,
    }
    for name, op in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("eor", "xor")):
        table[name] = partial(_operation, op=op)
    for name, op in (("and", "and"), ("orr", "or")):
        table[name] = partial(_operation, op=op)
    table["bic"] = partial(_operation, op="and", inverts=True)
    table["orn"] = partial(_operation, op="or", inverts=True)
    for name in ("fadd", "fsub", "fmul", "fdiv"):
        table[name] = partial(_operation, op=name, floats=True)
    for name in ("smax", "smin", "umax", "umin"):
        table[name] = partial(_by_intrinsic, name=name)
        table[f"{name}v"] = partial(_reduce, name=name)
    for name, intrinsic in (
        ("fminnm", "minnum"),
        ("fmaxnm", "maxnum"),
        ("fmin", "minimum"),
        ("fmax", "maximum"),
    ):
        table[name] = partial(_by_intrinsic, name=intrinsic, floats=True)
    for name, intrinsic in (("sqadd", "sadd"), ("uqadd", "uadd"), ("sqsub", "ssub")):
        table[name] = partial(_by_intrinsic, name=f"{intrinsic}.sat")
    table["uqsub"] = partial(_by_intrinsic, name="usub.sat")
    for name, predicate in (
        ("eq", "eq"),
        ("gt", "sgt"),
        ("ge", "sge"),
        ("hi", "ugt"),
        ("hs", "uge"),
        ("lt", "slt"),
        ("le", "sle"),
    ):
        table[f"cm{name}"] = partial(_compare, predicate=predicate)
        if predicate in ("eq", "sgt", "sge", "slt", "sle"):
            ordered = f"o{predicate.removeprefix('s')}"
            table[f"fcm{name}"] = partial(_compare, predicate=ordered, floats=True)
    for letter, op in (("u", "zext"), ("s", "sext")):
        for name in ("shll", "xtl"):
            table[f"{letter}{name}"] = partial(_widen, op=op, high=False)
            table[f"{letter}{name}2"] = partial(_widen, op=op, high=True)
    for name in ("zip1", "zip2", "uzp1", "uzp2", "trn1", "trn2"):
        table[name] = partial(_permute, how=name)
    for letter, extend in (("u", "zext"), ("s", "sext")):
        table[f"{letter}shl"] = partial(_neon, name=f"{letter}shl")
        table[f"{letter}abd"] = partial(_neon, name=f"{letter}abd")
        table[f"{letter}aba"] = partial(_neon, name=f"{letter}abd", adds=True)
        for way in ("max", "min"):
            table[f"{letter}{way}p"] = partial(_neon, name=f"{letter}{way}p")
        for suffix in ("", "2"):
            for name, op in (("mull", "mul"), ("addl", "add"), ("subl", "sub")):
                table[f"{letter}{name}{suffix}"] = partial(
                    _long, op=op, extend=extend, high=bool(suffix)
                )
            table[f"{letter}mlal{suffix}"] = partial(
                _long, op="mul", extend=extend, high=bool(suffix), adds=True
            )
    for bits in (16, 32, 64):
        table[f"rev{bits}"] = partial(_reverse, bits=bits)
    return table | STRUCTURES


def _convert_width(machine: Machine, op: str) -> None:
    destination, source = machine.parse()
    type_, own = _numbers(machine, destination), _numbers(machine, source)
    if _lanes(type_) != _lanes(own):
        raise machine.refuse()
    _put(machine, destination, machine.builder.cast(op, machine.lanes(source, own), type_))


VECTORS: Final = _table()
"""Rules by mnemonic, where an operand is a vector or a lane."""
