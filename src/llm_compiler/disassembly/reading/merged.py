"""Variables that code reaches from a neighbour: what the compiler laid out as one.

For some targets LLVM puts small variables of a file into one (GlobalMerge), and GCC counts from
section anchors: code takes the address of one variable, and reaches others from there. Their
distances are then part of the code's meaning. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from llm_compiler.disassembly.architectures.architecture import Form
from llm_compiler.disassembly.reading.items import Item, Target
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.elf import Section

__all__ = ["widen_merged"]

_REACH: Final = 4096
"""Bytes from the start of merged variables to the last: what an instruction's field holds."""


def widen_merged(
    references: References, found: Mapping[int, tuple[Target, Form, int] | None]
) -> tuple[int, ...]:
    """Let data go as far as code may reach from it; return the sections that are one piece so.

    Args:
        found: by the address of an instruction, what it refers to.
    """
    code = references.code
    merged = code.architecture.merged_variables
    if merged is None or references.file.is_linked:
        return ()
    reach = max((merged.reach(instruction) for instruction in code.instructions), default=0)
    opened: dict[int, None] = {}
    for instruction in code.instructions:
        operand = found[instruction.address]
        if operand is None or not merged.takes_address(instruction):
            continue
        target = operand[0]
        position = _variable(references, target)
        if position is None:
            continue
        section, size = position
        if section.is_writable and not section.is_thread_local and target.addend + reach > size:
            opened[section.index] = None
    for index in opened:
        _widen(references, index)
    return tuple(opened)


def _variable(references: References, target: Target) -> tuple[Section, int] | None:
    """Return the section and size of the variable that an operand names."""
    if target.name:
        symbol = references.named.get(target.name)
        if symbol is None or not symbol.is_defined:
            return None
        section = references.elf.sections[symbol.section]
        return None if section.is_code else (section, symbol.size)
    item = references.items.get((target.section, target.anchor))
    return None if item is None else (item.section, item.end - item.start)


def _widen(references: References, index: int) -> None:
    """Let the pieces of a section go on up to the next one."""
    pieces: list[Item] = sorted(
        (item for item in references.items.values() if item.section.index == index),
        key=lambda item: item.start,
    )
    for number, piece in enumerate(pieces):
        limit = piece.section.address + piece.section.size
        if number + 1 < len(pieces):
            limit = pieces[number + 1].start
        piece.end = max(piece.end, min(limit, piece.start + 2 * _REACH))
        references.collect_pointers(piece)
