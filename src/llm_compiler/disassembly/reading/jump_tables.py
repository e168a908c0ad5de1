"""Jump tables without relocations: which data is one, and where its entries lead."""

from __future__ import annotations

from llm_compiler.disassembly.reading.code import Code
from llm_compiler.disassembly.reading.items import Item
from llm_compiler.llvm.elf import SymbolKind
from llm_compiler.llvm.listing import Instruction

__all__ = ["cut_filler", "find_jump_table", "table_entries"]

_WINDOW = 12
"""Instructions: so near to each other are a table's use, the comparison before it and the jump."""


_MAX_FILLER = 31
"""Bytes between a table and what is aligned after it."""


def cut_filler(code: Code, item: Item) -> None:
    """End a table of an object where its entries end: zeros follow if what is next is aligned."""
    if code.file.is_linked or item.section.is_writable:
        return
    if item.symbol is not None and not item.symbol.name.startswith(".L"):
        return  # it has a size
    sizes = code.architecture.target.relocations.relative
    end = item.start
    for relocation in code.elf.relocations_in(item.section.index, item.start, item.end):
        is_own = relocation.symbol.is_defined and relocation.symbol.section == code.section.index
        if relocation.offset != end or relocation.type not in sizes or not is_own:
            return
        end += sizes[relocation.type]
    offset = end - item.section.address
    rest = item.section.read(offset, item.end - item.section.address)
    if end > item.start and 0 < len(rest) <= _MAX_FILLER and not any(rest):
        item.end = end


def find_jump_table(code: Code, item: Item) -> None:
    """Recognise tables of distances that the assembler or linker resolved.

    Some architectures have short ones, from a place in the code. In linked files, the others hold
    ``block - table`` in four bytes.
    """
    section = item.section
    if section.is_writable or section.is_strings or section.is_mergeable or _is_named(item):
        return
    indirect = code.architecture.indirect_jumps
    if not any(instruction.text.startswith(indirect) for instruction in code.instructions):
        return
    use = _short_table(code, item)
    if use is None:
        if not code.file.is_linked:
            return
        item.jump_table, item.base = 4, item.start
    count = len(table_entries(code, item))
    bound = _bound(code, item) if use is None else _bound_before(code, use)
    if bound is not None and bound <= count:
        count = bound
    if count < 2:
        item.jump_table = 0
        return
    item.end = item.start + count * item.jump_table


def _is_named(item: Item) -> bool:
    """Whether a piece of data is a variable of the program's."""
    symbol = item.symbol
    return symbol is not None and symbol.kind is SymbolKind.OBJECT and symbol.name[:2] != ".L"


def table_entries(code: Code, item: Item) -> list[int]:
    """Return the targets of a table, as far as they are instructions of the function."""
    found = []
    size = item.jump_table
    offset = item.start - item.section.address
    data = item.section.read(offset, item.end - item.section.address)
    for position in range(0, len(data) - size + 1, size):
        distance = int.from_bytes(data[position : position + size], "little", signed=item.is_signed)
        place = item.base + distance * item.scale
        if place not in code.addresses:
            break
        found.append(place)
    return found


def _short_table(code: Code, item: Item) -> int | None:
    """Note what table an item is, if it is a short one; return which instruction reads it."""
    find = code.architecture.find_short_table
    if find is None:
        return None
    for index, instruction in enumerate(code.instructions):
        if _mentions(code, instruction, item):
            found = find(code.instructions[index:], code.addresses)
            if found is not None:
                item.jump_table, item.base, item.scale = found.entry_bytes, found.base, found.scale
                item.is_signed = found.is_signed
                return index + found.use
    return None


def _mentions(code: Code, instruction: Instruction, item: Item) -> bool:
    if code.file.is_linked:
        return code.address_in(instruction) == item.start
    for reloc in code.elf.relocations_in(code.section.index, instruction.address, instruction.end):
        if reloc.symbol.is_defined and reloc.symbol.section == item.section.index:
            value = 0 if reloc.symbol.kind is SymbolKind.SECTION else reloc.symbol.value
            return value + reloc.addend == item.start
    return False


def _bound(code: Code, item: Item) -> int | None:
    """Return how many entries the comparison in front of the table's use allows."""
    for index, instruction in enumerate(code.instructions):
        if not _mentions(code, instruction, item):
            continue
        if (bound := _bound_before(code, index)) is not None:
            return bound
    return None


def _bound_before(code: Code, index: int) -> int | None:
    """Return how many entries the last comparison in front of an instruction allows."""
    for before in reversed(code.instructions[max(0, index - _WINDOW) : index]):
        if match := code.architecture.comparison.match(before.text):
            return int(match[1]) + 1
    return None
