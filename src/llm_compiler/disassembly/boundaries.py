"""Where the functions of a stripped file are: what stands in for its symbol table.

Linked files keep what the dynamic linker needs (``.dynsym``) and what unwinding needs
(``.eh_frame``): names of what is offered, and start and size of nearly every function. What neither
covers is found by calls and by what follows padding. Functions without a name are called
``sub_ADDRESS``. Nothing here is certain but `.dynsym`; each text is proved later.

Pure functions; safe in threads.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import (
    Binding,
    ElfFile,
    FileKind,
    Section,
    Symbol,
    SymbolKind,
)
from llm_compiler.llvm.exceptions import read_ranges
from llm_compiler.llvm.listing import Instruction, Listing

__all__ = ["with_found_functions"]

_LINKERS: Final = re.compile(r"^\.(?:i?plt|init$|fini$)")
"""Sections of code that the linker and the C run-time make."""
_START_BYTES: Final = 80
"""In which ``_start`` has passed ``main`` on."""
_RUN_TIME_BYTES: Final = 80
_RUN_TIME_FUNCTIONS: Final = 4
"""``register_tm_clones``, ``deregister_tm_clones``, ``call_weak_fn``, ..., and their size."""


def with_found_functions(elf: ElfFile, listing: Listing) -> ElfFile:
    """Return a linked file without a symbol table as one with the symbols that can be found."""
    if elf.symbols or elf.kind is FileKind.RELOCATABLE:
        return elf
    symbols = [
        dataclasses.replace(symbol, name=symbol.name.partition("@")[0])
        for symbol in elf.dynamic_symbols
        if symbol.is_defined and symbol.name
    ]
    known = {symbol.value: symbol for symbol in symbols if symbol.kind is SymbolKind.FUNCTION}
    sections = {
        each_section.index: each_section
        for each_section in elf.sections
        if each_section.is_code and not _LINKERS.match(each_section.name)
    }
    sizes: dict[int, int] = {symbol.value: symbol.size for symbol in known.values()}
    with contextlib.suppress(InputError):
        for address, size in read_ranges(elf):
            section = elf.section_at(address)
            if section is not None and section.index in sections and size:
                sizes.setdefault(address, size)
    for section in sections.values():
        instructions = listing.between(
            section.index, section.address, section.address + section.size
        )
        if instructions:
            sizes |= dict(_uncovered(elf, section, instructions, sizes, _run_time_places(elf)))
    names = _known_names(elf, listing)
    for address in _run_time_pieces(sizes, _run_time_places(elf), {*known, *names}):
        del sizes[address]
    number = len(elf.dynamic_symbols)
    for address in sorted(sizes):
        if address in known:
            continue
        section = elf.section_at(address)
        if section is None:
            continue
        symbols.append(
            Symbol(
                index=number,
                name=names.get(address, f"sub_{address:x}"),
                kind=SymbolKind.FUNCTION,
                binding=Binding.LOCAL,
                is_hidden=False,
                section=section.index,
                value=address,
                size=sizes[address],
            )
        )
        number += 1
    return dataclasses.replace(elf, symbols=tuple(symbols))


def _uncovered(
    elf: ElfFile,
    section: Section,
    instructions: Iterable[Instruction],
    sizes: dict[int, int],
    run_time: frozenset[int],
) -> Iterator[tuple[int, int]]:
    """Yield start and size of functions in code that nothing describes.

    Args:
        run_time: places in what the C run-time brings along, whose pieces are no functions of
            anybody's.
    """
    starts = sorted(sizes)
    limit = section.address + section.size
    architecture = architecture_named(elf.architecture)
    padding = architecture.padding
    called = {
        instruction.target
        for instruction in instructions
        if instruction.target is not None
        and architecture.is_branch(instruction)
        and architecture.is_call(instruction)
    }
    gap: list[Instruction] = []

    def functions(found: list[Instruction], end: int) -> Iterator[tuple[int, int]]:
        if any(instruction.address in run_time for instruction in found):
            return
        begins: list[int] = []
        is_after_end = is_padding = True
        for item in found:
            if padding.match(item.text):
                is_padding = True
                continue
            # What follows padding after the end of a function begins another one.
            if (is_after_end and is_padding) or item.address in called:
                begins.append(item.address)
            is_after_end, is_padding = item.mnemonic in architecture.leaving, False
        for number, start in enumerate(begins):
            stop = begins[number + 1] if number + 1 < len(begins) else end
            inside = [
                instruction
                for instruction in found
                if start <= instruction.address < stop and not padding.match(instruction.text)
            ]
            yield start, inside[-1].end - start

    for each_instruction in instructions:
        position = bisect_right(starts, each_instruction.address) - 1
        covered = position >= 0 and each_instruction.address < starts[position] + max(
            1, sizes[starts[position]]
        )
        if not covered:
            gap.append(each_instruction)
        elif gap:
            yield from functions(gap, each_instruction.address)
            gap = []
    if gap:
        yield from functions(gap, limit)


def _run_time_places(elf: ElfFile) -> frozenset[int]:
    """Return what the first entries of the lists of constructors and destructors point to."""
    slots = {
        relocation.offset: relocation.addend
        for relocation in elf.dynamic_relocations
        if not relocation.symbol.name
    }
    found = set()
    for section in elf.sections:
        if section.name in (".init_array", ".fini_array") and section.size >= 8:
            held = int.from_bytes(section.read(0, 8), "little")
            found.add(slots.get(section.address, held))
    return frozenset(found)


def _run_time_pieces(
    sizes: dict[int, int], addresses: frozenset[int], named: set[int]
) -> list[int]:
    """Return the functions without names that come from the C run-time's ``crtbegin``.

    They stand right before the two that the lists of constructors and destructors begin with.
    """
    ordered = sorted(sizes)
    found: list[int] = []
    for position in sorted(addresses & set(sizes)):
        index = ordered.index(position)
        if sizes[position] > _RUN_TIME_BYTES:
            continue
        found.append(position)
        for before in reversed(ordered[max(0, index - _RUN_TIME_FUNCTIONS) : index]):
            if before in named or sizes[before] > _RUN_TIME_BYTES:
                break
            found.append(before)
    return list(dict.fromkeys(found))


def _known_names(elf: ElfFile, listing: Listing) -> dict[int, str]:
    """Return names that an executable's start tells: its own, and ``main``."""
    is_program = elf.kind is FileKind.EXECUTABLE or any(
        each_section.name == ".interp" for each_section in elf.sections
    )
    section = elf.section_at(elf.entry) if elf.entry and is_program else None
    if section is None or not section.is_code:
        return {}
    names = {elf.entry: "_start"}
    architecture = architecture_named(elf.architecture)
    first: list[Instruction] = []
    for instruction in listing.between(section.index, elf.entry, elf.entry + _START_BYTES):
        first.append(instruction)
        if architecture.is_branch(instruction) and architecture.is_call(instruction):
            break
    names |= dict.fromkeys(architecture.main_functions(elf, first), "main")
    return {
        address: name
        for address, name in names.items()
        if (holder := elf.section_at(address)) is not None and holder.is_code
    }
