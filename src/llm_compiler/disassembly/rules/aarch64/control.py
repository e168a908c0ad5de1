"""Branches, calls and returns of AArch64, and the shape of its jump tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Final

from llm_compiler.disassembly.rules.aarch64.flags import CONDITIONS
from llm_compiler.disassembly.rules.aarch64.machine import Machine
from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Code, Line, Unliftable
from llm_compiler.disassembly.rules.jump_tables import table_index
from llm_compiler.disassembly.rules.nodes import Node
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.disassembly.rules.prototypes import PROTOTYPES
from llm_compiler.disassembly.rules.target import Control

__all__ = ["CONTROL", "control", "jump_table"]

_TRAPS: Final = frozenset({"brk", "udf", "hlt"})
_REACH: Final = 400
"""Instructions in front of a jump in which its table is looked for."""
_NEAR: Final = 40
"""Instructions in front of a jump in which its target is added up."""
_EXTENDS: Final = frozenset({"sext", "zext", "shl"})
_TABLE: Final = re.compile(r":lo12:(\.L[\w.]+)$")
_BRANCHES: Final = frozenset({"cbz", "cbnz", "tbz", "tbnz"})
_VECTORS: Final = tuple(f"v{number}" for number in range(8))


def control(line: Line, code: Code) -> Control:
    """Return how control leaves an instruction."""
    name = line.mnemonic
    if name == "ret" or name in _TRAPS:
        return Control(ends=True, falls=False)
    if name == "bl":
        return Control(call=_symbol(line.operands[0]))
    if name == "blr":
        return Control(is_indirect=True)
    if name == "br":
        return Control(ends=True, falls=False, is_indirect=True, targets=jump_table(code, line))
    if name == "b":
        target = line.operands[0]
        if target in code.labels:
            return Control(ends=True, falls=False, targets=(target,))
        _symbol(target)
        return Control(ends=True, falls=False)
    if name in _BRANCHES or _condition(name):
        target = line.operands[-1]
        return Control(ends=True, targets=(target,) if target in code.labels else ())
    return Control()


def _condition(name: str) -> str:
    return CONDITIONS.get(name[2:], "") if name.startswith("b.") else ""


def _symbol(target: str) -> str:
    name = target.strip('"')
    if name.startswith(".L"):
        raise Unliftable("a jump out of the function", target)
    if name.startswith(PREFIX):
        raise Unliftable("a call of code that the compiler outlined", target)
    return name


def jump_table(code: Code, line: Line) -> tuple[str, ...]:
    """Return the entries of the table whose address was taken last in front of a jump."""
    return tuple(dict.fromkeys(_entries(code, line)))


def _entries(code: Code, line: Line) -> tuple[str, ...]:
    before = code.lines[max(0, line.number - _NEAR) : line.number]
    setters = [
        value
        for value in before
        if value.operands and value.operands[0] == line.operands[0] and value.mnemonic[:2] != "st"
    ]
    if not setters or setters[-1].mnemonic != "add" or len(setters[-1].operands) < 3:
        return ()
    for item in reversed(code.lines[max(0, line.number - _REACH) : line.number]):
        for operand in item.operands:
            if (match := _TABLE.search(operand)) and match[1] in code.tables:
                return code.tables[match[1]]
    return ()


# -- rules ---


def _jump(machine: Machine) -> None:
    builder, target = machine.builder, machine.line.operands[0]
    if target in builder.code.labels:
        builder.flow.jump(builder.flow.block_at(target))
        return
    _check_stack(machine)
    name = _symbol(target)
    builder.flow.tail_call(name, vector_count=_vector_count(builder, name))


def _jump_to_register(machine: Machine) -> None:
    builder = machine.builder
    register = machine.register(machine.parse()[0])
    entries = _entries(builder.code, machine.line)
    if not entries:
        _check_stack(machine)
        builder.flow.tail_call(target=machine.get(register, 64))
        return
    value = builder.values.get(register.name)
    index = None if value is None else table_index(builder, value, _EXTENDS)
    if index is None:
        raise Unliftable("a jump table whose index is not seen", machine.line.text)
    blocks = [builder.flow.block_at(label) for label in entries]
    builder.flow.switch(index, blocks, register.name)


def _vector_count(builder: Builder, symbol: str) -> int | None:
    """Return how many vector registers a call of a function with ``...`` was given in its block."""
    prototype = PROTOTYPES.get(symbol)
    if prototype is None or not prototype.is_variadic:
        return None
    written: set[str] = set()
    for node in builder.block.nodes:
        if node.op == "write" and node.data in _VECTORS and node.args[0].op != "result":
            written.add(node.data)
        elif node.op == "clobber":
            written.discard(node.data)
    count = 0
    while count < len(_VECTORS) and _VECTORS[count] in written:
        count += 1
    return count


def _check_stack(machine: Machine) -> None:
    if machine.builder.frame.get("sp") != 0:
        raise Unliftable("a return with words left on the stack", machine.line.text)


def _jump_if(machine: Machine, code: str) -> None:
    _branch(machine, machine.builder.condition(code))


def _jump_if_zero(machine: Machine, predicate: str) -> None:
    register = machine.register(machine.parse()[0])
    value = machine.get(register, register.bits)
    zero = machine.constant(0, register.bits)
    _branch(machine, machine.builder.compare(predicate, value, zero))


def _jump_if_bit(machine: Machine, is_set: bool) -> None:
    first, position, _ = machine.parse()
    register, number = machine.register(first), machine.number(position)
    builder, bits = machine.builder, register.bits
    value = machine.get(register, bits)
    if number == bits - 1:
        limit, predicate = (0, "slt") if is_set else (-1, "sgt")
        _branch(machine, builder.compare(predicate, value, machine.constant(limit, bits)))
        return
    bit = builder.binary("and", value, machine.constant(1 << number, bits))
    predicate = "ne" if is_set else "eq"
    _branch(machine, builder.compare(predicate, bit, machine.constant(0, bits)))


def _branch(machine: Machine, condition: Node) -> None:
    builder, line = machine.builder, machine.line
    target = line.operands[-1]
    following = builder.flow.block_after(line)
    if target in builder.code.labels:
        builder.flow.branch(condition, builder.flow.block_at(target), following)
    else:
        _check_stack(machine)
        builder.flow.tail_call_if(condition, _symbol(target), following)


def _call(machine: Machine) -> None:
    name = _symbol(machine.line.operands[0])
    machine.builder.flow.call(name, vector_count=_vector_count(machine.builder, name))


def _call_register(machine: Machine) -> None:
    register = machine.register(machine.parse()[0])
    machine.builder.flow.call(target=machine.get(register, 64))


def _return(machine: Machine) -> None:
    if machine.line.operands:
        raise machine.refuse()
    _check_stack(machine)
    machine.builder.flow.give_back()


def _trap(machine: Machine) -> None:
    if machine.line.mnemonic == "brk":
        if machine.line.operands not in (("#0x1",), ("#1",)):
            raise machine.refuse()
        machine.builder.intrinsic("trap", "void")
    machine.builder.flow.unreachable()


CONTROL: Final[dict[str, Callable[[Machine], None]]] = {
    "b": _jump,
    "br": _jump_to_register,
    "bl": _call,
    "blr": _call_register,
    "ret": _return,
    "cbz": partial(_jump_if_zero, predicate="eq"),
    "cbnz": partial(_jump_if_zero, predicate="ne"),
    "tbz": partial(_jump_if_bit, is_set=False),
    "tbnz": partial(_jump_if_bit, is_set=True),
    **{f"b.{name}": partial(_jump_if, code=code) for name, code in CONDITIONS.items()},
    **dict.fromkeys(_TRAPS, _trap),
}
"""Rules by mnemonic."""
