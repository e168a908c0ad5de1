"""Variables that AArch64's code reaches from a neighbour: what the compiler laid out as one.

LLVM puts small variables of a file into one (GlobalMerge), GCC counts from section anchors: code
takes the address of one variable, and reaches others from there. Their distances are then part of
the code's meaning. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from llm_compiler.disassembly.operands import Form
from llm_compiler.disassembly.reading.items import Item, Target
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.elf import AARCH64, Section
from llm_compiler.llvm.listing import Instruction

__all__ = ["widen_merged"]

_ACCESS: Final = re.compile(
    r"^(?P<name>(?:ld|st)\w+) (?P<register>[wxbhsdq])\d+.*\[x\d+(?:, #(?P<place>\d+))?\]"
)
_SUM: Final = re.compile(r"^add x\d+, x\d+, #(?P<place>\d+)$")
_WIDTHS: Final = {"b": 1, "h": 2, "s": 4, "w": 4, "d": 8, "x": 8, "q": 16}
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
    if code.architecture != AARCH64 or references.file.is_linked:
        return ()
    reach = max((_reach(one) for one in code.instructions), default=0)
    opened: dict[int, None] = {}
    for one in code.instructions:
        operand = found[one.address]
        if operand is None or one.mnemonic != "add":
            continue
        target = operand[0]
        place = _variable(references, target)
        if place is None:
            continue
        section, size = place
        if section.is_writable and not section.is_thread_local and target.addend + reach > size:
            opened[section.index] = None
    for index in opened:
        _widen(references, index)
    return tuple(opened)


def _reach(one: Instruction) -> int:
    """Return how many bytes behind a register an instruction may touch."""
    if match := _ACCESS.match(one.text):
        narrow = match["name"][-1] if match["name"][-1] in "bh" else match["register"]
        width = _WIDTHS[narrow] * (2 if match["name"][2] == "p" else 1)
        return int(match["place"] or 0) + width
    if match := _SUM.match(one.text):
        return int(match["place"]) + 1
    return 0


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
        (one for one in references.items.values() if one.section.index == index),
        key=lambda one: one.start,
    )
    for number, one in enumerate(pieces):
        limit = one.section.address + one.section.size
        if number + 1 < len(pieces):
            limit = pieces[number + 1].start
        one.end = max(one.end, min(limit, one.start + 2 * _REACH))
        references.collect_pointers(one)
