"""Integer instructions of AArch64: moves, arithmetic, shifts, bit fields, conditions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.flags import CONDITIONS, Flags
from llm_compiler.disassembly.rules.aarch64.machine import FLOATS, Machine
from llm_compiler.disassembly.rules.aarch64.operands import (
    Immediate,
    Memory,
    Modifier,
    Operand,
    Register,
    Symbol,
    Vector,
)
from llm_compiler.disassembly.rules.nodes import ANY, Node, integer

__all__ = ["INTEGERS", "Rule"]

Rule = Callable[[Machine], None]


# -- moves ---


def _move(machine: Machine) -> None:
    destination, source = machine.parse()
    builder = machine.builder
    if isinstance(source, Immediate) or isinstance(destination, Vector | Immediate):
        if not isinstance(destination, Register):
            raise machine.refuse()
        machine.put(destination, machine.get(source, destination.bits))
        return
    first, second = machine.register(destination), machine.register(source)
    if first.bits == second.bits == 64 and not second.is_zero and not first.is_zero:
        value = builder.read(second.name, ANY)
        builder.write(first.name, value, bits=64, is_copy=value.op == "read")
    else:
        machine.put(first, machine.get(second, first.bits))


def _move_wide(machine: Machine, inverts: bool) -> None:
    destination, value, *rest = machine.parse()
    bits = machine.register(destination).bits
    number = machine.number(value) << _amount(machine, rest)
    machine.put(destination, machine.constant(~number if inverts else number, bits))


def _move_keep(machine: Machine) -> None:
    """``movk``: sixteen bits are set, the others stay."""
    destination, value, *rest = machine.parse()
    register = machine.register(destination)
    bits, amount = register.bits, _amount(machine, rest)
    builder = machine.builder
    number = machine.number(value) << amount
    mask = ~(0xFFFF << amount)
    known = builder.values.get(register.name)
    old = machine.get(register, bits)
    if known is not None and known.op == "const" and isinstance(known.data, int):
        before = known.data & ((1 << int(known.type[1:])) - 1)
        machine.put(register, machine.constant(before & mask | number, bits))
        return
    kept = builder.binary("and", old, machine.constant(mask, bits))
    machine.put(register, builder.binary("or", kept, machine.constant(number, bits)))


def _amount(machine: Machine, rest: list[Operand]) -> int:
    if not rest:
        return 0
    if len(rest) > 1 or not isinstance(rest[0], Modifier) or rest[0].kind != "lsl":
        raise machine.refuse()
    return rest[0].amount


def _page(machine: Machine) -> None:
    """``adrp`` and ``adr``: what the following ``:lo12:`` completes names the place again."""
    destination, place = machine.parse()
    if not isinstance(place, Symbol):
        raise machine.refuse()
    builder = machine.builder
    if place.name in builder.code.labels:
        machine.put(destination, builder.undefined("i64"))  # what a jump table counts from
    else:
        machine.put(destination, machine.symbol(place))


def _thread_register(machine: Machine) -> None:
    destination = machine.register(machine.parse()[0])
    if machine.line.operands[1].upper() != "TPIDR_EL0":
        raise machine.refuse()
    machine.put(destination, machine.builder.intrinsic("thread.pointer", "ptr"))


# -- arithmetic ---


def _arithmetic(machine: Machine, op: str, sets: bool = False, inverts: bool = False) -> None:
    """Operations of two sources, the second perhaps shifted or extended."""
    destination, first, *rest = machine.parse()
    register = machine.register(destination)
    bits = register.bits
    builder = machine.builder
    if rest and isinstance(rest[0], Symbol):
        _complete(machine, register, machine.register(first), rest[0])
        return
    if op == "add" and isinstance(first, Register) and len(rest) == 1:
        second = rest[0]
        is_pair = isinstance(second, Register) and not sets
        if isinstance(second, Register) and is_pair:
            found = machine.thread_local(first.name, second.name)
            if found is not None:
                machine.put(register, found)
                return
    left = machine.get(first, bits)
    right = machine.second(rest, bits)
    if inverts:
        right = _inverted(machine, right)
    if op in ("or", "xor", "and") and left.op == "const" and right.op != "const":
        left, right = right, left
    if op == "or" and right.op == "const" and right.data == 0:
        result = left
    else:
        result = builder.binary(op, left, right)
    machine.put(register, result)
    if sets:
        _set_flags(machine, op, left, right, result)


def _complete(machine: Machine, destination: Register, page: Register, symbol: Symbol) -> None:
    builder = machine.builder
    builder.read(page.name, "i64")
    if symbol.modifier == "lo12":
        machine.put(destination, machine.symbol(symbol))
        return
    raise machine.refuse()


def _set_flags(machine: Machine, op: str, left: Node, right: Node, result: Node | None) -> None:
    machine.builder.flags = _flags(machine, op, left, right, result)


def _flags(machine: Machine, op: str, left: Node, right: Node, result: Node | None) -> Flags:
    builder = machine.builder
    if op == "sub":
        return Flags("subtract", left, right, result)
    if op == "add":
        if right.op == "const" and right.data > 0:
            # Also carry and overflow are those of a subtraction.
            return Flags("subtract", left, builder.constant(-right.data, right.type), result)
        return Flags("add", left, right, result or builder.binary("add", left, right))
    return Flags("logic", result=result or builder.binary(op, left, right))


def _inverted(machine: Machine, value: Node) -> Node:
    return machine.builder.binary("xor", value, machine.builder.constant(-1, value.type))


def _compare(machine: Machine, op: str) -> None:
    first, *rest = machine.parse()
    bits = machine.register(first).bits
    left = machine.get(first, bits)
    if op == "and" and rest == [first]:
        machine.builder.flags = Flags("logic", result=left)
        return
    _set_flags(machine, op, left, machine.second(rest, bits), None)


def _compare_if(machine: Machine, op: str) -> None:
    """``ccmp`` and ``ccmn``: a comparison if a condition holds, else four given bits."""
    first, second, number, _ = machine.parse()
    builder = machine.builder
    before = builder.condition(_code(machine))
    bits = machine.register(first).bits
    left, right = machine.get(first, bits), machine.get(second, bits)
    taken = _flags(machine, op, left, right, None)
    builder.flags = Flags("choice", condition=before, taken=taken, number=machine.number(number))


def _code(machine: Machine) -> str:
    found = CONDITIONS.get(machine.line.operands[-1])
    if found is None:
        raise machine.refuse()
    return found


def _negate(machine: Machine, sets: bool = False) -> None:
    destination, *rest = machine.parse()
    bits = machine.register(destination).bits
    zero, value = machine.constant(0, bits), machine.second(rest, bits)
    result = machine.builder.binary("sub", zero, value)
    machine.put(destination, result)
    if sets:
        _set_flags(machine, "sub", zero, value, result)


def _invert(machine: Machine) -> None:
    destination, *rest = machine.parse()
    bits = machine.register(destination).bits
    machine.put(destination, _inverted(machine, machine.second(rest, bits)))


def _with_carry(machine: Machine, op: str, sets: bool, is_unary: bool = False) -> None:
    """``adc`` and ``sbc``, which adds the inverse."""
    destination, *sources = machine.parse()
    bits = machine.register(destination).bits
    builder = machine.builder
    carry = builder.condition("hs")
    left = machine.constant(0, bits) if is_unary else machine.get(sources[0], bits)
    right = machine.get(sources[-1], bits)
    if op == "add":
        extra = builder.cast("zext", carry, integer(bits))
    else:
        extra = builder.cast("zext", builder.negated(carry), integer(bits))
    result = builder.binary(op, builder.binary(op, left, right), extra)
    machine.put(destination, result)
    if sets:
        wide = integer(bits + 1)
        parts = [builder.cast("zext", one, wide) for one in (left, right, extra)]
        total = builder.binary(op, builder.binary(op, parts[0], parts[1]), parts[2])
        above = builder.binary("lshr", total, builder.constant(bits, wide))
        out = builder.cast("trunc", above, "i1")
        out = out if op == "add" else builder.negated(out)
        machine.set_flags("carry", result=result, carry=out)


def _multiply(machine: Machine, op: str = "", extend: str = "") -> None:
    """Products, perhaps of extended sources, added to or subtracted from a third one.

    Args:
        op: ``add`` (``madd``), ``sub`` (``msub``), ``neg`` (``mneg``) or empty.
    """
    destination, first, second, *rest = machine.parse()
    bits = machine.register(destination).bits
    builder = machine.builder
    if extend:
        pair = [builder.cast(extend, machine.get(one, 32), "i64") for one in (first, second)]
    else:
        pair = [machine.get(one, bits) for one in (first, second)]
    result = builder.binary("mul", *pair)
    if op == "neg":
        result = builder.binary("sub", machine.constant(0, bits), result)
    elif op == "add":
        result = builder.binary("add", result, machine.get(rest[0], bits))
    elif op == "sub":
        result = builder.binary("sub", machine.get(rest[0], bits), result)
    machine.put(destination, result)


def _multiply_high(machine: Machine, extend: str) -> None:
    destination, first, second = machine.parse()
    builder = machine.builder
    pair = [builder.cast(extend, machine.get(one, 64), "i128") for one in (first, second)]
    product = builder.binary("mul", *pair)
    above = builder.binary("lshr", product, builder.constant(64, "i128"))
    machine.put(destination, builder.low(above, 64))


def _divide(machine: Machine, op: str) -> None:
    destination, first, second = machine.parse()
    bits = machine.register(destination).bits
    pair = machine.get(first, bits), machine.get(second, bits)
    machine.put(destination, machine.builder.binary(op, *pair))


# -- shifts and bit fields ---


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


def _take_field(machine: Machine, signed: bool) -> None:
    """``ubfx`` and ``sbfx``: bits of the middle become the low ones."""
    destination, source, place, width = machine.parse()
    bits = machine.register(destination).bits
    start, length = machine.number(place), machine.number(width)
    value = machine.get(source, bits)
    builder = machine.builder
    if signed:
        left = machine.shifted("lsl", value, bits - start - length)
        result = machine.shifted("asr", left, bits - length)
    else:
        moved = machine.shifted("lsr", value, start)
        result = builder.binary("and", moved, machine.constant((1 << length) - 1, bits))
    machine.put(destination, result)


def _put_field(machine: Machine, signed: bool) -> None:
    """``ubfiz`` and ``sbfiz``: low bits move up, the others are 0 or the sign."""
    destination, source, place, width = machine.parse()
    bits = machine.register(destination).bits
    start, length = machine.number(place), machine.number(width)
    value = machine.get(source, bits)
    builder = machine.builder
    if signed:
        left = machine.shifted("lsl", value, bits - length)
        result = machine.shifted("asr", left, bits - start - length)
    else:
        low = builder.binary("and", value, machine.constant((1 << length) - 1, bits))
        result = machine.shifted("lsl", low, start)
    machine.put(destination, result)


def _insert_field(machine: Machine, takes: bool = False, clears: bool = False) -> None:
    """``bfi``, ``bfxil`` and ``bfc``: the destination's other bits stay."""
    destination, *sources, place, width = machine.parse()
    bits = machine.register(destination).bits
    start, length = machine.number(place), machine.number(width)
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


# -- conditions ---


def _choose(machine: Machine, change: str = "") -> None:
    """``csel``, ``csinc``, ``csinv``, ``csneg``."""
    destination, yes, no, _ = machine.parse()
    builder = machine.builder
    test = builder.condition(_code(machine))
    register = machine.register(destination)
    bits = register.bits
    first, second = machine.get(yes, bits), machine.get(no, bits)
    machine.put(register, builder.select(test, first, _changed(machine, second, change)))


def _changed(machine: Machine, value: Node, change: str) -> Node:
    builder = machine.builder
    if change == "inc":
        return builder.binary("add", value, builder.constant(1, value.type))
    if change == "inv":
        return _inverted(machine, value)
    if change == "neg":
        return builder.binary("sub", builder.constant(0, value.type), value)
    return value


def _set_if(machine: Machine, op: str) -> None:
    destination, _ = machine.parse()
    bits = machine.register(destination).bits
    builder = machine.builder
    test = builder.condition(_code(machine))
    machine.put(destination, builder.cast(op, test, integer(bits)))


def _change_if(machine: Machine, change: str) -> None:
    """``cinc``, ``cinv``, ``cneg``: the source, changed where a condition holds."""
    destination, source, _ = machine.parse()
    bits = machine.register(destination).bits
    builder = machine.builder
    test = builder.condition(_code(machine))
    value = machine.get(source, bits)
    machine.put(destination, builder.select(test, _changed(machine, value, change), value))


# -- memory ---


def _load(machine: Machine, bits: int = 0, extend: str = "zext") -> None:
    destination, place, *rest = machine.parse()
    register = machine.register(destination)
    width = bits or register.bits
    address = _place(machine, place, width // 8, rest)
    builder = machine.builder
    if isinstance(address, Node) and address.op == "address" and address.data.is_got:
        machine.put(register, address)
        return
    if register.is_vector:
        machine.put_scalar(
            register, _pooled(machine, place, width) or _loaded(address, machine, width)
        )
        return
    value = builder.load(address, integer(width))
    if value.op == "entry" or width == register.bits:
        machine.put(register, value)
    else:
        machine.put(register, builder.cast(extend, value, integer(register.bits)))


def _loaded(address: Node, machine: Machine, width: int) -> Node:
    return machine.builder.load(address, FLOATS[width])


def _pooled(machine: Machine, place: Operand, width: int) -> Node | None:
    return machine.pool(place, FLOATS[width]) if isinstance(place, Memory) else None


def _store(machine: Machine, bits: int = 0) -> None:
    source, place, *rest = machine.parse()
    register = machine.register(source)
    width = bits or register.bits
    value = _stored(machine, register, width)
    machine.builder.store(_place(machine, place, width // 8, rest), value)


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
    first, second, place, *rest = machine.parse()
    registers = machine.register(first), machine.register(second)
    width = bits or registers[0].bits
    builder = machine.builder
    if loads:
        address = _place(machine, place, width // 8, rest)
        places = [address, _behind(machine, address, width // 8)]
        type_ = FLOATS[width] if registers[0].is_vector else integer(width)
        values = [builder.load(one, type_) for one in places]
        for register, value in zip(registers, values, strict=True):
            if register.is_vector:
                machine.put_scalar(register, value)
            elif bits:
                machine.put(register, builder.cast("sext", value, "i64"))
            else:
                machine.put(register, value)
        return
    values = [_stored(machine, one, width) for one in registers]
    address = _place(machine, place, width // 8, rest)
    for one, value in zip((address, _behind(machine, address, width // 8)), values, strict=True):
        builder.store(one, value)


def _behind(machine: Machine, address: Node, size: int) -> Node:
    if address.op == "frame":
        return Node("frame", "i64", (), address.data + size)
    return machine.builder.address(base=address, displacement=size)


def _nothing(machine: Machine) -> None:
    """Hints."""


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "mov": _move,
        "movz": partial(_move_wide, inverts=False),
        "movn": partial(_move_wide, inverts=True),
        "movk": _move_keep,
        "adrp": _page,
        "adr": _page,
        "mrs": _thread_register,
        "cmp": partial(_compare, op="sub"),
        "cmn": partial(_compare, op="add"),
        "tst": partial(_compare, op="and"),
        "ccmp": partial(_compare_if, op="sub"),
        "ccmn": partial(_compare_if, op="add"),
        "neg": _negate,
        "negs": partial(_negate, sets=True),
        "mvn": _invert,
        "mul": _multiply,
        "madd": partial(_multiply, op="add"),
        "msub": partial(_multiply, op="sub"),
        "mneg": partial(_multiply, op="neg"),
        "smulh": partial(_multiply_high, extend="sext"),
        "umulh": partial(_multiply_high, extend="zext"),
        "sdiv": partial(_divide, op="sdiv"),
        "udiv": partial(_divide, op="udiv"),
        "extr": _extract_pair,
        "ubfx": partial(_take_field, signed=False),
        "sbfx": partial(_take_field, signed=True),
        "ubfiz": partial(_put_field, signed=False),
        "sbfiz": partial(_put_field, signed=True),
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
        "csel": _choose,
        "csinc": partial(_choose, change="inc"),
        "csinv": partial(_choose, change="inv"),
        "csneg": partial(_choose, change="neg"),
        "cset": partial(_set_if, op="zext"),
        "csetm": partial(_set_if, op="sext"),
        "cinc": partial(_change_if, change="inc"),
        "cinv": partial(_change_if, change="inv"),
        "cneg": partial(_change_if, change="neg"),
        "ldp": partial(_pair, loads=True),
        "stp": partial(_pair, loads=False),
        "ldpsw": partial(_pair, loads=True, bits=32),
        "nop": _nothing,
        "bti": _nothing,
        "prfm": _nothing,
    }
    for name, op in (("add", "add"), ("sub", "sub"), ("and", "and"), ("orr", "or"), ("eor", "xor")):
        table[name] = partial(_arithmetic, op=op)
    for name, op in (("adds", "add"), ("subs", "sub"), ("ands", "and")):
        table[name] = partial(_arithmetic, op=op, sets=True)
    for name, op, sets in (
        ("bic", "and", False),
        ("bics", "and", True),
        ("orn", "or", False),
        ("eon", "xor", False),
    ):
        table[name] = partial(_arithmetic, op=op, sets=sets, inverts=True)
    for name, op in (("adc", "add"), ("sbc", "sub")):
        table[name] = partial(_with_carry, op=op, sets=False)
        table[f"{name}s"] = partial(_with_carry, op=op, sets=True)
    table["ngc"] = partial(_with_carry, op="sub", sets=False, is_unary=True)
    for letter, extend in (("s", "sext"), ("u", "zext")):
        table[f"{letter}mull"] = partial(_multiply, extend=extend)
        table[f"{letter}mnegl"] = partial(_multiply, op="neg", extend=extend)
        table[f"{letter}maddl"] = partial(_multiply, op="add", extend=extend)
        table[f"{letter}msubl"] = partial(_multiply, op="sub", extend=extend)
    for name in ("lsl", "lsr", "asr", "ror"):
        table[name] = table[f"{name}v"] = partial(_shift, kind=name)
    for letter, bits in (("", 0), ("b", 8), ("h", 16)):
        for prefix in ("r", "ur"):
            table[f"ld{prefix}{letter}"] = partial(_load, bits=bits)
            table[f"st{prefix}{letter}"] = partial(_store, bits=bits)
    for letter, bits in (("b", 8), ("h", 16), ("w", 32)):
        for prefix in ("r", "ur"):
            table[f"ld{prefix}s{letter}"] = partial(_load, bits=bits, extend="sext")
    return table


INTEGERS: Final = _table()
"""Rules by mnemonic."""
