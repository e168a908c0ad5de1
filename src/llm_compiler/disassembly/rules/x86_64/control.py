"""Jumps, calls and returns of x86-64, and the shape of its jump tables."""

from __future__ import annotations

from typing import Final

from llm_compiler.disassembly.rules.code import Code, Line, Unliftable
from llm_compiler.disassembly.rules.jump_tables import table_index
from llm_compiler.disassembly.rules.nodes import Node
from llm_compiler.disassembly.rules.target import Control
from llm_compiler.disassembly.rules.x86_64.flags import CONDITIONS
from llm_compiler.disassembly.rules.x86_64.machine import Machine
from llm_compiler.disassembly.rules.x86_64.operands import (
    REGISTERS,
    Memory,
    Operand,
    Register,
    parse_operand,
)

__all__ = ["CONTROL", "control", "jump_table"]

_TRAPS: Final = frozenset({"ud2", "int3", "hlt"})
_RETURNS: Final = frozenset({"ret", "retq"})
_JUMPS: Final = frozenset({"jmp", "jmpq"})
_CALLS: Final = frozenset({"call", "callq"})
_EXTENDS: Final = frozenset({"sext", "zext"})
_REACH: Final = 400
"""Instructions in front of a jump in which its table is looked for."""


def control(line: Line, code: Code) -> Control:
    """Return how control leaves an instruction."""
    name = line.mnemonic
    if name in _RETURNS or name in _TRAPS:
        return Control(ends=True, falls=False)
    if name in _CALLS:
        target = line.operands[0]
        if target.startswith("*"):
            return Control(is_indirect=True)
        return Control(call=_symbol(target))
    if name in _JUMPS:
        target = line.operands[0]
        if target.startswith("*"):
            return Control(ends=True, falls=False, is_indirect=True, targets=jump_table(code, line))
        if target in code.labels:
            return Control(ends=True, falls=False, targets=(target,))
        _symbol(target)
        return Control(ends=True, falls=False)
    if name.startswith("j") and name[1:] in CONDITIONS:
        target = line.operands[0]
        return Control(ends=True, targets=(target,) if target in code.labels else ())
    if name in ("jrcxz", "jecxz", "loop", "loope", "loopne"):
        raise Unliftable(f"no rule for '{name}'", line.text)
    return Control()


def _symbol(target: str) -> str:
    name = target.partition("@")[0].strip('"')
    if name.startswith(".L"):
        raise Unliftable("a jump out of the function", target)
    if any(word in name for word in "+-()*%"):
        raise Unliftable("a call of a place inside a function", target)
    return name


def jump_table(code: Code, line: Line) -> tuple[str, ...]:
    """Return the entries of the table that an indirect jump reads: the last one named before."""
    named = next((word for word in line.operands if ".L" in word), "")
    for name in code.tables:
        if named.lstrip("*").startswith(f"{name}("):
            return tuple(dict.fromkeys(code.tables[name]))
    operand = parse_operand(line.operands[0].lstrip("*"))
    if not isinstance(operand, Register):
        return ()
    entries = _table_of(code, line)
    return tuple(dict.fromkeys(entries))


def _table_of(code: Code, line: Line) -> tuple[str, ...]:
    """Return the entries of the table whose address was taken last in front of a jump.

    The jump adds an entry to the table's address: without such an addition, or a load of the
    address itself, it is a tail call.
    """
    before = code.lines[max(0, line.number - 4) : line.number]
    operand = parse_operand(line.operands[0].lstrip("*"))
    assert isinstance(operand, Register)
    wanted = ""
    for item in reversed(before):
        if not item.operands:
            continue
        if item.mnemonic == "addq" and REGISTERS.get(item.operands[-1][1:]) == operand:
            wanted = item.operands[0]
        if item.mnemonic == "movq" and REGISTERS.get(item.operands[-1][1:]) == operand:
            for name in code.tables:
                if item.operands[0].startswith(f"{name}("):
                    return code.tables[name]
            break
    if not wanted:
        return ()
    positions = [
        (value.operands[-1], name)
        for value in reversed(code.lines[max(0, line.number - _REACH) : line.number])
        if value.mnemonic == "leaq"
        for name in code.tables
        if value.operands[0].startswith(f"{name}(")
    ]
    sources = {wanted, line.operands[0].lstrip("*")}
    for register, name in positions:
        if register in sources:
            return code.tables[name]
    tables = list(code.tables.values())
    if len(tables) == 1:
        return tables[0]
    return code.tables[positions[0][1]] if positions else ()


# -- rules ---


def _jump(machine: Machine) -> None:
    builder, line = machine.builder, machine.line
    target = line.operands[0]
    if not target.startswith("*"):
        if target in builder.code.labels:
            builder.flow.jump(builder.flow.block_at(target))
        else:
            builder.flow.tail_call(_symbol(target), vector_count=_vector_count(machine))
        return
    operand = parse_operand(target[1:])
    if jump_table(builder.code, line):
        _table_jump(machine, operand)
        return
    if isinstance(operand, Memory) and operand.modifier == "GOTPCREL":
        builder.flow.tail_call(operand.symbol, vector_count=_vector_count(machine))
        return
    address = machine.get(operand, 64)
    builder.flow.tail_call(target=address, vector_count=_vector_count(machine))


def _table_jump(machine: Machine, operand: Operand) -> None:
    builder = machine.builder
    index: Node | None = None
    if isinstance(operand, Memory):
        index = builder.read(REGISTERS[operand.index].name, "i64")
        names = [table for table in builder.code.tables if operand.symbol == table]
    else:
        assert isinstance(operand, Register)
        names = []
        value = builder.values.get(operand.name)
        index = None if value is None else table_index(builder, value, _EXTENDS)
    if index is None:
        raise Unliftable("a jump table whose index is not seen", machine.line.text)
    tables = builder.code.tables
    entries = tables[names[0]] if names else _table_of(builder.code, machine.line)
    through = operand.name if isinstance(operand, Register) else ""
    builder.flow.switch(index, [builder.flow.block_at(label) for label in entries], through)


def _vector_count(machine: Machine) -> int | None:
    """Return what al is set to for the call, if its block sets it to a constant."""
    for node in reversed(machine.builder.block.nodes):
        if node.op in ("write", "clobber") and node.data == "rax":
            value = node.args[0] if node.op == "write" else None
            if value is None or value.op != "const" or not isinstance(value.data, int):
                return None
            return value.data if 0 <= value.data <= 8 else None
    return None


def _jump_if(machine: Machine) -> None:
    builder, line = machine.builder, machine.line
    condition = builder.condition(CONDITIONS[line.mnemonic[1:]])
    target = line.operands[0]
    following = builder.flow.block_after(line)
    if target in builder.code.labels:
        builder.flow.branch(condition, builder.flow.block_at(target), following)
    else:
        builder.flow.tail_call_if(condition, _symbol(target), following)


def _call(machine: Machine) -> None:
    builder = machine.builder
    target = machine.line.operands[0]
    count = _vector_count(machine)
    if not target.startswith("*"):
        builder.flow.call(_symbol(target), vector_count=count)
        return
    operand = parse_operand(target[1:])
    if isinstance(operand, Memory) and operand.modifier == "GOTPCREL":
        builder.flow.call(operand.symbol, vector_count=count)
        return
    builder.flow.call(target=machine.get(operand, 64), vector_count=count)


def _return(machine: Machine) -> None:
    if machine.line.operands:
        raise machine.refuse()
    if machine.builder.frame.get("rsp") != 0:
        raise Unliftable("a return with words left on the stack", machine.line.text)
    machine.builder.flow.give_back()


def _trap(machine: Machine) -> None:
    if machine.line.mnemonic == "ud2":
        machine.builder.intrinsic("trap", "void")
    machine.builder.flow.unreachable()


CONTROL: Final = {
    **dict.fromkeys(_JUMPS, _jump),
    **{f"j{code}": _jump_if for code in CONDITIONS},
    **dict.fromkeys(_CALLS, _call),
    **dict.fromkeys(_RETURNS, _return),
    **dict.fromkeys(_TRAPS, _trap),
}
"""Rules by mnemonic."""
