"""Integer instructions of AArch64: moves, arithmetic, conditions."""

from __future__ import annotations

from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.flags import CONDITIONS, Flags
from llm_compiler.disassembly.rules.aarch64.machine import Machine, Rule
from llm_compiler.disassembly.rules.aarch64.operands import (
    Immediate,
    Modifier,
    Operand,
    Register,
    Symbol,
    Vector,
)
from llm_compiler.disassembly.rules.nodes import ANY, Node, integer

__all__ = ["INTEGERS"]

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
    destination, position = machine.parse()
    if not isinstance(position, Symbol):
        raise machine.refuse()
    builder = machine.builder
    if position.name in builder.code.labels:
        machine.put(destination, builder.undefined("i64"))  # what a jump table counts from
    else:
        machine.put(destination, machine.symbol(position))


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
    if left.op == "frame" and register.name == "sp" and len(rest) == 1:
        # GCC puts the size of a large frame into a register.
        known = builder.number_in(rest[0].name) if isinstance(rest[0], Register) else None
        right = right if known is None else machine.constant(known, bits)
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
    if (known := machine.thread_symbol(page.name, symbol)) is not None:
        machine.put(destination, known)
        return
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
        parts = [builder.cast("zext", node, wide) for node in (left, right, extra)]
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
        pair = [builder.cast(extend, machine.get(item, 32), "i64") for item in (first, second)]
    else:
        pair = [machine.get(item, bits) for item in (first, second)]
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
    pair = [builder.cast(extend, machine.get(item, 64), "i128") for item in (first, second)]
    product = builder.binary("mul", *pair)
    above = builder.binary("lshr", product, builder.constant(64, "i128"))
    machine.put(destination, builder.low(above, 64))


def _divide(machine: Machine, op: str) -> None:
    destination, first, second = machine.parse()
    bits = machine.register(destination).bits
    pair = machine.get(first, bits), machine.get(second, bits)
    machine.put(destination, machine.builder.binary(op, *pair))


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
        "csel": _choose,
        "csinc": partial(_choose, change="inc"),
        "csinv": partial(_choose, change="inv"),
        "csneg": partial(_choose, change="neg"),
        "cset": partial(_set_if, op="zext"),
        "csetm": partial(_set_if, op="sext"),
        "cinc": partial(_change_if, change="inc"),
        "cinv": partial(_change_if, change="inv"),
        "cneg": partial(_change_if, change="neg"),
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
    return table


INTEGERS: Final = _table()
"""Rules by mnemonic."""
