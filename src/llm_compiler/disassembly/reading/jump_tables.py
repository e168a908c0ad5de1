"""Jump tables without relocations: which data is one, and where its entries lead."""

from __future__ import annotations

import re

from llm_compiler.disassembly.reading.code import Code
from llm_compiler.disassembly.reading.items import Item
from llm_compiler.llvm.elf import AARCH64, SymbolKind
from llm_compiler.llvm.listing import Instruction

__all__ = ["find_jump_table", "table_entries"]

_COMPARED = re.compile(r"^(?:cmp[bwlq] \$(\d+), \S+|cmp [wx]\d+, #(\d+))$")


def find_jump_table(code: Code, item: Item) -> None:
    """Recognise tables of distances that the assembler or linker resolved.

    AArch64: ``(block - base) >> 2`` in one or two bytes, read by ldrb or ldrh in front of an
    indirect branch. Linked files: ``block - table`` in four bytes.
    """
    if item.section.is_writable or item.section.is_strings or item.section.is_mergeable:
        return
    indirect = any(
        one.text.startswith(("jmpq *%", "notrack jmpq *%", "br ")) for one in code.instructions
    )
    if not indirect:
        return
    if code.architecture == AARCH64 and (shape := _arm_table(code, item)) is not None:
        item.jump_table, item.base = shape
        item.scale = 4
    elif code.file.is_linked:
        item.jump_table, item.base = 4, item.start
    else:
        return
    count = len(table_entries(code, item))
    bound = _bound(code, item)
    if bound is not None and bound <= count:
        count = bound
    if count < 2:
        item.jump_table = 0
        return
    item.end = item.start + count * item.jump_table


def table_entries(code: Code, item: Item) -> list[int]:
    """Return the targets of a table, as far as they are instructions of the function."""
    found = []
    size = item.jump_table
    signed = item.scale == 1
    offset = item.start - item.section.address
    data = item.section.read(offset, item.end - item.section.address)
    for position in range(0, len(data) - size + 1, size):
        distance = int.from_bytes(data[position : position + size], "little", signed=signed)
        place = item.base + distance * item.scale
        if place not in code.addresses:
            break
        found.append(place)
    return found


def _arm_table(code: Code, item: Item) -> tuple[int, int] | None:
    users = [i for i, one in enumerate(code.instructions) if _mentions(code, one, item)]
    for index in users:
        window = code.instructions[index : index + 12]
        size = base = 0
        for one in window:
            if one.mnemonic == "ldrb" and not size:
                size = 1
            elif one.mnemonic == "ldrh" and not size:
                size = 2
            elif one.mnemonic == "adr" and one.target in code.addresses:
                base = one.target or 0
            elif one.mnemonic == "br" and size and base:
                return size, base
    return None


def _mentions(code: Code, one: Instruction, item: Item) -> bool:
    if code.file.is_linked:
        return code.arm_addresses.get(one.address, (0, False))[0] == item.start
    for reloc in code.elf.relocations_in(code.section.index, one.address, one.end):
        if reloc.symbol.is_defined and reloc.symbol.section == item.section.index:
            value = 0 if reloc.symbol.kind is SymbolKind.SECTION else reloc.symbol.value
            return value + reloc.addend == item.start
    return False


def _bound(code: Code, item: Item) -> int | None:
    """Return how many entries the comparison in front of the table's use allows."""
    for index, one in enumerate(code.instructions):
        refers = (
            one.target == item.start
            if code.file.is_linked and code.architecture != AARCH64
            else _mentions(code, one, item)
        )
        if not refers:
            continue
        for before in reversed(code.instructions[max(0, index - 12) : index]):
            if match := _COMPARED.match(before.text):
                return int(match[1] or match[2]) + 1
    return None
