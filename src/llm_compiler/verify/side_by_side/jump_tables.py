"""Jump tables of a linked program: nobody but the compiler can mean their addresses.

A register that code jumped through, or what a comparison's result in its lowest byte has left of
it, is no argument and no result. Knowledge only; safe to share between threads.
"""

from __future__ import annotations

import re

from llm_compiler.llvm.elf import ElfFile

__all__ = ["jump_tables", "table_residues"]

_LABEL = ".LJTI"
_MAX_TABLES = 64
_CONSTANTS = ".llm_constants"
_TAG, _HASHED_BYTES, _ALL = 0xC057000000000000, 64, (1 << 64) - 1
"""As ``canonical`` of execute_driver.c writes addresses of constants."""
_SIZES = {".byte": 1, ".hword": 2, ".short": 2, ".2byte": 2, ".long": 4, ".4byte": 4, ".word": 4,
          ".quad": 8, ".xword": 8, ".8byte": 8}  # fmt: skip
_ENTRY = re.compile(r"^\s*(\.\w+)\s+(.+)$")


def jump_tables(elf: ElfFile) -> tuple[int, ...]:
    """Return where a program's jump tables are, as their labels say."""
    found = {symbol.value for symbol in elf.symbols if symbol.name.startswith(_LABEL)}
    return tuple(sorted(found))[:_MAX_TABLES]


def table_residues(elf: ElfFile, text: str) -> frozenset[int]:
    """Return how the driver writes addresses of jump tables whose lowest byte is 0 or 1.

    ``sete %cl`` leaves one where ``%rcx`` held a table's address. Only places within the table
    itself count: what is beside it may be a constant that somebody means.

    Args:
        text: the function's assembly, which says how long each table is.
    """
    section = next((found for found in elf.sections if found.name == _CONSTANTS), None)
    lengths = _lengths(text)
    if section is None or not lengths:
        return frozenset()
    end = elf.symbol("llm_constants_end")
    limit = (end.value if end is not None else section.address + section.size) - section.address
    found: set[int] = set()
    for symbol in elf.symbols:
        length = lengths.get(symbol.name, 0)
        for low in (0, 1):
            address = symbol.value & ~0xFF | low
            if symbol.value <= address < symbol.value + length:
                start = address - section.address
                found.add(_canonical(section.read(start, min(start + _HASHED_BYTES, limit))))
    return frozenset(found)


def _lengths(text: str) -> dict[str, int]:
    """Return how many bytes each jump table of a text has."""
    found: dict[str, int] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith(_LABEL) and line.rstrip().endswith(":"):
            name = line.strip()[:-1]
            found[name] = 0
        elif name:
            match = _ENTRY.match(line)
            if match is None or match[1] not in _SIZES:
                name = ""
                continue
            found[name] += _SIZES[match[1]] * (match[2].count(",") + 1)
    return found


def _canonical(data: bytes) -> int:
    value = 0
    for byte in data:
        value = _mix((value + byte + 1) & _ALL)
        if not byte:
            break
    return _TAG | value >> 16


def _mix(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & _ALL
    x = (x ^ x >> 27) * 0x94D049BB133111EB & _ALL
    return x ^ x >> 31
