"""How ELF files are encoded: headers, section headers, symbols and relocations.

32 and 64 bits, both byte orders; what readers of objects (`elf`, `object_file`, `symbol_sizes`)
share. Gives numbers as they stand in the file; what they mean is the readers' to know. Functions
raise `DAMAGED` where a file is cut short or contradicts itself. Pure; safe in threads and
processes. Why this is no library: docs/decisions/0017-targets-and-elf.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "DAMAGED",
    "MAGIC",
    "SHF_ALLOC",
    "SHF_EXECINSTR",
    "SHF_WRITE",
    "SHN_LORESERVE",
    "SHN_XINDEX",
    "SHT_DYNSYM",
    "SHT_GROUP",
    "SHT_NOBITS",
    "SHT_PROGBITS",
    "SHT_REL",
    "SHT_RELA",
    "SHT_STRTAB",
    "SHT_SYMTAB",
    "STB_LOCAL",
    "Elf",
    "RawRelocation",
    "RawSymbol",
    "SectionHeader",
    "read_elf",
]

MAGIC = b"\x7fELF"
DAMAGED = (struct.error, IndexError, ValueError, OverflowError)
"""What reading a damaged file raises."""
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 1, 2, 3, 4, 8, 9
SHT_DYNSYM, SHT_GROUP = 11, 17
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHN_LORESERVE, SHN_XINDEX = 0xFF00, 0xFFFF
STB_LOCAL = 0
_SMALLEST = 52
"""Bytes of a 32-bit header."""


class SectionHeader(NamedTuple):
    """A row of the section table."""

    name: int
    """Offset in the section names."""
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class RawSymbol(NamedTuple):
    """A row of a symbol table; `name` is an offset in its string table."""

    name: int
    info: int
    other: int
    section: int
    value: int
    size: int


class RawRelocation(NamedTuple):
    """A row of a relocation table; `addend` is 0 where the place itself holds it (SHT_REL)."""

    offset: int
    type: int
    symbol: int
    addend: int


class _Layout(NamedTuple):
    """The encoding of one width and byte order."""

    header: struct.Struct
    """Type, machine, entry point, section table; its entry size, count, names."""
    section: struct.Struct
    symbol: struct.Struct
    rel: struct.Struct
    rela: struct.Struct
    symbol_bits: int
    """Of a relocation's second word: how far up the symbol's number stands."""


def _layout(order: str, wide: bool) -> _Layout:
    if wide:
        forms = ("16xHH4xQ8xQ10xHHH", "IIQQQQIIQQ", "IBBHQQ", "QQ", "QQq")
    else:
        forms = ("16xHH4xI4xI10xHHH", "10I", "IIIBBH", "II", "IIi")
    header, section, symbol, rel, rela = (struct.Struct(order + form) for form in forms)
    return _Layout(header, section, symbol, rel, rela, 32 if wide else 8)


_LAYOUTS = {(order, wide): _layout(order, wide) for order in "<>" for wide in (False, True)}


@dataclass(frozen=True, slots=True)
class Elf:
    """An ELF file and its section table."""

    data: bytes
    order: str
    """``<`` or ``>``, as `struct` writes byte orders."""
    wide: bool
    """Whether it is of 64 bits."""
    type: int
    machine: int
    entry: int
    headers: list[SectionHeader]
    names: int
    """Offset of the section names in the file; 0: there are none."""

    def text(self, start: int) -> bytes:
        """Return the string at an offset of the file."""
        return self.data[start : self.data.index(b"\0", start)]

    def name(self, header: SectionHeader) -> bytes:
        """Return a section's name."""
        return self.text(self.names + header.name)

    def contents(self, header: SectionHeader) -> bytes:
        """Return a section's bytes; none where it takes no space in the file.

        Raises:
            ValueError: it ends after the file.
        """
        if header.type in (0, SHT_NOBITS):
            return b""
        start, size = header.offset, header.size
        if start + size > len(self.data):
            raise ValueError(
                f"a section ends at {start + size}, after the file's {len(self.data)} bytes"
            )
        return self.data[start : start + size]

    def symbols(self, header: SectionHeader) -> Iterator[RawSymbol]:
        """Yield the rows of a symbol table."""
        form = _LAYOUTS[self.order, self.wide].symbol
        rows = form.iter_unpack(_whole(self.contents(header), form.size))
        if self.wide:
            yield from map(RawSymbol._make, rows)
        else:
            for name, value, size, info, other, section in rows:
                yield RawSymbol(name, info, other, section, value, size)

    def symbol_name(self, header: SectionHeader, symbol: RawSymbol) -> bytes:
        """Return the name of a symbol of a table; empty where it has none."""
        return self.text(self.headers[header.link].offset + symbol.name) if symbol.name else b""

    def relocations(self, header: SectionHeader) -> Iterator[RawRelocation]:
        """Yield the rows of a relocation table."""
        layout = _LAYOUTS[self.order, self.wide]
        form = layout.rela if header.type == SHT_RELA else layout.rel
        mask = (1 << layout.symbol_bits) - 1
        for offset, info, *addend in form.iter_unpack(_whole(self.contents(header), form.size)):
            yield RawRelocation(
                offset, info & mask, info >> layout.symbol_bits, addend[0] if addend else 0
            )


def _whole(body: bytes, size: int) -> bytes:
    return body[: len(body) - len(body) % size]


def read_elf(data: bytes) -> Elf:
    """Read the header and the section table of an ELF file.

    Raises:
        ValueError: it is none, or is cut off within its header.
        DAMAGED: the section table does not fit.
    """
    if data[:4] != MAGIC or len(data) < _SMALLEST or data[4] not in (1, 2) or data[5] not in (1, 2):
        raise ValueError("not an ELF file")
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    layout = _LAYOUTS[order, wide]
    kind, machine, entry, table, entry_size, count, names = layout.header.unpack_from(data)
    form = layout.section
    if table and (count == 0 or names == SHN_XINDEX):
        # More than 65,279 sections: the real numbers stand in section 0 (ELF specification).
        first = SectionHeader._make(form.unpack_from(data, table))
        count, names = count or first.size, first.link if names == SHN_XINDEX else names
    if count * max(entry_size, form.size) > len(data):
        raise ValueError(f"{count} sections do not fit into {len(data)} bytes")
    headers = [
        SectionHeader._make(form.unpack_from(data, table + number * entry_size))
        for number in range(count if table else 0)
    ]
    return Elf(
        data=data,
        order=order,
        wide=wide,
        type=kind,
        machine=machine,
        entry=entry,
        headers=headers,
        names=headers[names].offset if headers else 0,
    )
