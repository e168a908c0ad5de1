"""Integer instructions of x86-64: moves, arithmetic, conditions, atomics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.nodes import ANY, Node, integer
from llm_compiler.disassembly.rules.x86_64.flags import CONDITIONS, Flags
from llm_compiler.disassembly.rules.x86_64.machine import SUFFIXES, Machine, Rule
from llm_compiler.disassembly.rules.x86_64.operands import Immediate, Memory, Operand, Register

__all__ = ["INTEGERS"]

_ACCUMULATOR: Final = {bits: Register("rax", bits) for bits in (8, 16, 32, 64)}
_HIGH: Final = {bits: Register("rdx", bits) for bits in (16, 32, 64)}


# -- moves ---


def _move(machine: Machine, bits: int) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    if isinstance(source, Register) and isinstance(destination, Register):
        if source.is_vector or destination.is_vector:
            machine.put(destination, machine.get(source, bits))
        elif bits == 64:
            machine.copy(source, destination)
        else:
            machine.put(destination, machine.get(source, bits))
    elif isinstance(source, Register) and bits == 64 and not source.is_vector:
        assert isinstance(destination, Memory)
        address = machine.address(destination)
        builder.store(address, builder.read(source.name, "i64"))
    else:
        machine.put(destination, machine.get(source, bits))


def _extend(machine: Machine, op: str, source_bits: int, bits: int) -> None:
    source, destination = machine.parse()
    value = machine.get(source, source_bits)
    machine.put(destination, machine.builder.cast(op, value, integer(bits)))


def _load_address(machine: Machine, bits: int) -> None:
    position, destination = machine.parse()
    assert isinstance(position, Memory)
    if bits == 64 and not position.is_32_bit:
        machine.put(destination, machine.address(position))
    else:
        machine.put(destination, machine.builder.low(machine.sum(position, bits), bits))


def _push(machine: Machine, bits: int) -> None:
    (source,) = machine.parse()
    builder = machine.builder
    if isinstance(source, Register):
        builder.push(builder.read(source.name, ANY), source.name)
    else:
        builder.push(machine.get(source, 64))


def _pop(machine: Machine, bits: int) -> None:
    (destination,) = machine.parse()
    if not isinstance(destination, Register):
        raise machine.refuse()
    machine.builder.pop(destination.name)


def _leave(machine: Machine) -> None:
    builder = machine.builder
    builder.write("rsp", builder.read("rbp", "i64"))
    builder.pop("rbp")


def _exchange(machine: Machine, bits: int) -> None:
    first, second = machine.parse()
    builder = machine.builder
    for item, other in ((first, second), (second, first)):
        if isinstance(item, Memory):
            value = machine.get(other, bits)
            old = builder.node(
                "atomicrmw", value.type, (machine.address(item), value), "xchg", "seq_cst"
            )
            machine.put(other, old)
            return
    values = machine.get(first, bits), machine.get(second, bits)
    machine.put(first, values[1])
    machine.put(second, values[0])


def _widen(machine: Machine, source_bits: int, bits: int) -> None:
    value = machine.get(_ACCUMULATOR[source_bits], source_bits)
    machine.put(_ACCUMULATOR[bits], machine.builder.cast("sext", value, integer(bits)))


def _widen_pair(machine: Machine, bits: int) -> None:
    value = machine.get(_ACCUMULATOR[bits], bits)
    sign = machine.builder.binary("ashr", value, machine.constant(bits - 1, bits))
    machine.put(_HIGH[bits], sign)


# -- arithmetic ---


def _arithmetic(machine: Machine, op: str, bits: int) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    if machine.line.prefix == "lock":
        _locked(machine, op, bits, source, destination)
        return
    if source == destination and isinstance(source, Register) and op in ("xor", "sub"):
        zero = machine.constant(0, bits)
        machine.put(destination, zero)
        machine.set_flags("logic", zero, result=zero)
        return
    if op == "or" and source == Immediate(-1):
        ones = machine.constant(-1, bits)
        machine.put(destination, ones)
        machine.set_flags("logic", ones, result=ones)
        return
    if op == "and" and source == Immediate(0):
        zero = machine.constant(0, bits)
        machine.put(destination, zero)
        machine.set_flags("logic", zero, result=zero)
        return
    right = machine.get(source, bits)
    left, address = machine.update(destination, bits)
    is_distance = isinstance(source, Memory) and source.modifier == "GOTTPOFF"
    if is_distance and op == "add" and machine.is_thread_pointer(left):
        result = right  # the address of the variable itself
    else:
        result = builder.binary(op, left, right)
    machine.finish(destination, result, address)
    _after(machine, op, left, right, result)


def _after(machine: Machine, op: str, left: Node, right: Node, result: Node) -> None:
    if op == "add":
        machine.set_flags("add", left, right, result)
    elif op == "sub":
        machine.set_flags("subtract", left, right, result)
    else:
        machine.set_flags("logic", result, result=result)


def _locked(machine: Machine, op: str, bits: int, source: Operand, destination: Operand) -> None:
    if not isinstance(destination, Memory):
        raise machine.refuse()
    builder = machine.builder
    if op == "or" and source == Immediate(0) and not destination.symbol:
        base = builder.read(destination.base, "i64") if destination.base else None
        if base is not None and base.op == "frame":
            builder.node("fence", "void", (), "", "seq_cst")
            builder.flags = None
            return
    value = machine.get(source, bits)
    old = builder.node(
        "atomicrmw", value.type, (machine.address(destination), value), op, "seq_cst"
    )
    result = builder.binary(op, old, value)
    _after(machine, op, old, value, result)


def _compare(machine: Machine, bits: int) -> None:
    right, left = machine.parse()
    second = machine.get(right, bits)
    first = machine.get(left, bits)
    machine.set_flags("subtract", first, second)


def _test(machine: Machine, bits: int) -> None:
    right, left = machine.parse()
    first = machine.get(left, bits)
    if right == left:
        machine.set_flags("logic", first, result=first)
        return
    result = machine.builder.binary("and", first, machine.get(right, bits))
    machine.set_flags("logic", result, result=result)


def _step(machine: Machine, amount: int, bits: int) -> None:
    (destination,) = machine.parse()
    builder = machine.builder
    node = machine.constant(amount, bits)
    if machine.line.prefix == "lock":
        if not isinstance(destination, Memory):
            raise machine.refuse()
        op = "add" if amount > 0 else "sub"
        unit = machine.constant(1, bits)
        old = builder.node(
            "atomicrmw", node.type, (machine.address(destination), unit), op, "seq_cst"
        )
        result = builder.binary("add", old, node)
        machine.set_flags("step", old, machine.constant(-amount, bits), result)
        return
    before = builder.flags if isinstance(builder.flags, Flags) else None
    left, address = machine.update(destination, bits)
    result = builder.binary("add", left, node)
    machine.finish(destination, result, address)
    machine.set_flags("step", left, machine.constant(-amount, bits), result, before=before)


def _negate(machine: Machine, bits: int) -> None:
    (destination,) = machine.parse()
    value, address = machine.update(destination, bits)
    zero = machine.constant(0, bits)
    result = machine.builder.binary("sub", zero, value)
    machine.finish(destination, result, address)
    machine.set_flags("subtract", zero, value, result)


def _invert(machine: Machine, bits: int) -> None:
    (destination,) = machine.parse()
    value, address = machine.update(destination, bits)
    result = machine.builder.binary("xor", value, machine.constant(-1, bits))
    machine.finish(destination, result, address)


def _with_carry(machine: Machine, op: str, bits: int) -> None:
    source, destination = machine.parse()
    builder = machine.builder
    carry = builder.condition("b")
    if op == "sub" and source == destination and isinstance(source, Register):
        result = builder.cast("sext", carry, integer(bits))
        machine.put(destination, result)
        machine.set_flags("carry", result, result=result, carry=carry)
        return
    right = machine.get(source, bits)
    left, address = machine.update(destination, bits)
    wide = integer(2 * bits)
    first = builder.binary(op, left, right)
    result = builder.binary(op, first, builder.cast("zext", carry, integer(bits)))
    # The carry out is the bit above, of the same sum in twice the width; unused, it vanishes.
    sums = [builder.cast("zext", node, wide) for node in (left, right, carry)]
    total = builder.binary(op, builder.binary(op, sums[0], sums[1]), sums[2])
    above = builder.binary("lshr", total, builder.constant(bits, wide))
    out = builder.cast("trunc", above, "i1")
    machine.finish(destination, result, address)
    machine.set_flags("carry", result, result=result, carry=out)


def _multiply(machine: Machine, bits: int) -> None:
    """``imul`` with two or three operands; with one, it is `_multiply_wide`."""
    operands = machine.parse()
    if len(operands) == 1:
        _wide_product(machine, operands[0], "sext", bits)
        return
    right = machine.get(operands[0], bits)
    left = machine.get(operands[1], bits)
    result = machine.builder.binary("mul", left, right)
    machine.put(operands[-1], result)
    machine.set_flags("multiply", left, right, result)


def _multiply_wide(machine: Machine, bits: int) -> None:
    _wide_product(machine, machine.parse()[0], "zext", bits)


def _wide_product(machine: Machine, operand: Operand, extend: str, bits: int) -> None:
    builder = machine.builder
    wide = integer(2 * bits)
    right = builder.cast(extend, machine.get(operand, bits), wide)
    left = builder.cast(extend, machine.get(_ACCUMULATOR[bits], bits), wide)
    product = builder.binary("mul", left, right)
    if bits == 8:
        machine.put(_ACCUMULATOR[16], product)
        low, high = builder.low(product, 8), None
    else:
        low = builder.low(product, bits)
        above = builder.binary("lshr", product, builder.constant(bits, wide))
        high = builder.low(above, bits)
        machine.put(_ACCUMULATOR[bits], low)
        machine.put(_HIGH[bits], high)
    again = builder.cast(extend, low, wide)
    carry = builder.compare("ne", again, product)
    machine.set_flags("product", product, carry=carry)


def _divide(machine: Machine, signed: bool, bits: int) -> None:
    """Division of a number of twice the width, which compilers make by extending one."""
    (operand,) = machine.parse()
    builder = machine.builder
    divisor = machine.get(operand, bits)
    kind = "s" if signed else "u"
    if bits == 8:
        _divide_word(machine, divisor, signed)
        return
    if _is_extended(machine, signed, bits):
        low = machine.get(_ACCUMULATOR[bits], bits)
        quotient = builder.binary(f"{kind}div", low, divisor)
        rest = builder.binary(f"{kind}rem", low, divisor)
    else:
        wide = integer(2 * bits)
        extend = "sext" if signed else "zext"
        low = builder.cast("zext", machine.get(_ACCUMULATOR[bits], bits), wide)
        high = builder.cast("zext", machine.get(_HIGH[bits], bits), wide)
        high = builder.binary("shl", high, builder.constant(bits, wide))
        number = builder.binary("or", high, low)
        by = builder.cast(extend, divisor, wide)
        quotient = builder.low(builder.binary(f"{kind}div", number, by), bits)
        rest = builder.low(builder.binary(f"{kind}rem", number, by), bits)
    machine.put(_ACCUMULATOR[bits], quotient)
    machine.put(_HIGH[bits], rest)
    builder.flags = None


def _divide_word(machine: Machine, divisor: Node, signed: bool) -> None:
    builder = machine.builder
    kind, extend = ("s", "sext") if signed else ("u", "zext")
    number = machine.get(_ACCUMULATOR[16], 16)
    by = builder.cast(extend, divisor, "i16")
    quotient = builder.low(builder.binary(f"{kind}div", number, by), 8)
    rest = builder.low(builder.binary(f"{kind}rem", number, by), 8)
    high = builder.binary("shl", builder.cast("zext", rest, "i16"), machine.constant(8, 16))
    both = builder.binary("or", high, builder.cast("zext", quotient, "i16"))
    machine.put(_ACCUMULATOR[16], both)
    builder.flags = None


def _is_extended(machine: Machine, signed: bool, bits: int) -> bool:
    """Whether the upper half of the dividend is the sign, or the zeros, of the lower half."""
    high = machine.builder.values.get("rdx")
    if high is None:
        return False
    if not signed:
        return high.op == "const" and high.data == 0
    if high.op != "ashr" or high.type != integer(bits):
        return False
    amount, source = high.args[1], high.args[0]
    if amount.data != bits - 1 or source.op != "read" or source.data != "rax":
        return False
    nodes = machine.builder.block.nodes
    since = nodes[nodes.index(source) :]
    return not any(node.op in ("write", "clobber") and node.data == "rax" for node in since)


# -- conditions ---


def _set(machine: Machine, code: str) -> None:
    (destination,) = machine.parse()
    found = machine.builder.condition(code)
    machine.put(destination, machine.builder.cast("zext", found, "i8"))


def _move_if(machine: Machine, code: str) -> None:
    source, destination = machine.parse()
    assert isinstance(destination, Register)
    bits = destination.bits
    condition = machine.builder.condition(code)
    moved = machine.get(source, bits)
    kept = machine.get(destination, bits)
    machine.put(destination, machine.builder.select(condition, moved, kept))


# -- atomics ---


def _compare_exchange(machine: Machine, bits: int) -> None:
    source, destination = machine.parse()
    if not isinstance(destination, Memory):
        raise machine.refuse()
    builder = machine.builder
    expected = machine.get(_ACCUMULATOR[bits], bits)
    new = machine.get(source, bits)
    address = machine.address(destination)
    pair = builder.node(
        "cmpxchg", f"{{ {expected.type}, i1 }}", (address, expected, new), None, "seq_cst seq_cst"
    )
    old = builder.node("extractvalue", expected.type, (pair,), 0)
    done = builder.node("extractvalue", "i1", (pair,), 1)
    machine.put(_ACCUMULATOR[bits], old)
    same = builder.cast("zext", done, "i8")
    machine.set_flags("subtract", same, builder.constant(1, "i8"))


def _exchange_add(machine: Machine, bits: int) -> None:
    source, destination = machine.parse()
    if not isinstance(destination, Memory) or machine.line.prefix != "lock":
        raise machine.refuse()
    builder = machine.builder
    value = machine.get(source, bits)
    old = builder.node(
        "atomicrmw", value.type, (machine.address(destination), value), "add", "seq_cst"
    )
    machine.put(source, old)
    machine.set_flags("add", old, value, builder.binary("add", old, value))


def _fence(machine: Machine) -> None:
    machine.builder.node("fence", "void", (), "", "seq_cst")


def _nothing(machine: Machine) -> None:
    """No effect that IR knows; what a no-op names is not read."""


def _table() -> dict[str, Rule]:
    table: dict[str, Rule] = {
        "movabsq": partial(_move, bits=64),
        "cltq": partial(_widen, source_bits=32, bits=64),
        "cwtl": partial(_widen, source_bits=16, bits=32),
        "cbtw": partial(_widen, source_bits=8, bits=16),
        "cltd": partial(_widen_pair, bits=32),
        "cqto": partial(_widen_pair, bits=64),
        "cwtd": partial(_widen_pair, bits=16),
        "leave": _leave,
        "leaveq": _leave,
        "mfence": _fence,
        "endbr64": _nothing,
        "nop": _nothing,
        "nopw": _nothing,
        "nopl": _nothing,
        "nopq": _nothing,
        "pause": _nothing,
    }
    for letter, bits in SUFFIXES.items():
        for op in ("add", "sub", "and", "or", "xor"):
            table[f"{op}{letter}"] = partial(_arithmetic, op=op, bits=bits)
        plain: dict[str, Callable[..., None]] = {
            "mov": _move,
            "cmp": _compare,
            "test": _test,
            "neg": _negate,
            "not": _invert,
            "imul": _multiply,
            "mul": _multiply_wide,
            "xchg": _exchange,
            "cmpxchg": _compare_exchange,
            "xadd": _exchange_add,
        }
        for name, rule in plain.items():
            table[f"{name}{letter}"] = partial(rule, bits=bits)
        table[f"inc{letter}"] = partial(_step, amount=1, bits=bits)
        table[f"dec{letter}"] = partial(_step, amount=-1, bits=bits)
        table[f"adc{letter}"] = partial(_with_carry, op="add", bits=bits)
        table[f"sbb{letter}"] = partial(_with_carry, op="sub", bits=bits)
        table[f"div{letter}"] = partial(_divide, signed=False, bits=bits)
        table[f"idiv{letter}"] = partial(_divide, signed=True, bits=bits)
        if bits == 8:
            continue
        table[f"lea{letter}"] = partial(_load_address, bits=bits)
        for code, meaning in CONDITIONS.items():
            table[f"cmov{code}{letter}"] = partial(_move_if, code=meaning)
        for small, width in SUFFIXES.items():
            if width < bits:
                if width < 32:
                    table[f"movz{small}{letter}"] = partial(
                        _extend, op="zext", source_bits=width, bits=bits
                    )
                table[f"movs{small}{letter}"] = partial(
                    _extend, op="sext", source_bits=width, bits=bits
                )
    table["pushq"] = table["push"] = partial(_push, bits=64)
    table["popq"] = table["pop"] = partial(_pop, bits=64)
    for code, meaning in CONDITIONS.items():
        table[f"set{code}"] = partial(_set, code=meaning)
    return table


INTEGERS: Final = _table()
"""Rules by mnemonic."""
