"""Section sizes of ELF objects, as `size` and the paper count them.

Reads the section header table and nothing else (a few dozen bytes a section; an object is measured
thousands of times in a search). 32 and 64 bits, both byte orders. Pure functions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llm_compiler.errors import InputError

__all__ = [
    "ObjectSizes",
    "object_contents",
    "object_format",
    "section_groups",
    "section_sizes",
    "undefined_symbols",
]

_SHT_SYMTAB = 2
_SHT_STRTAB = 3
_SHT_RELA = 4
_SHT_NOBITS = 8
_SHT_REL = 9
_SHT_GROUP = 17
_SHF_ALLOC = 2
_SPLIT = (".text.", ".rodata.", ".data.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSizes:
    """Bytes of an object file.

    `size_bytes`: all allocated sections that take space in the file. `text_data_bytes`: those
    named ``.text*`` and ``.data*``, the paper's metric.
    """

    size_bytes: int
    text_data_bytes: int


_MAGIC = {
    b"\x7fELF": "ELF",
    b"\0asm": "WebAssembly",
    b"\xfe\xed\xfa\xce": "Mach-O",
    b"\xfe\xed\xfa\xcf": "Mach-O",
    b"\xce\xfa\xed\xfe": "Mach-O",
    b"\xcf\xfa\xed\xfe": "Mach-O",
    b"BC\xc0\xde": "LLVM bitcode",
    b"\x03\x02\x23\x07": "SPIR-V",
    b"DXBC": "DXContainer",
}
# The first two bytes of a COFF object name the machine; "big" ones begin with 0 and 0xFFFF.
_COFF_MACHINES = (0x014C, 0x8664, 0x01C0, 0x01C4, 0xAA64, 0xA641, 0xA64E)
_XCOFF = (0x01DF, 0x01F7)


def object_format(data: bytes) -> str:
    """Return the format of an object file for people: ``ELF``, ``COFF``, ``Mach-O``, ...

    Of what no compiler of this package writes: ``unknown``.

    >>> object_format(b"\\0asm\\1\\0\\0\\0")
    'WebAssembly'
    """
    if data[:4] in _MAGIC:
        return _MAGIC[data[:4]]
    if int.from_bytes(data[:2], "big") in _XCOFF:
        return "XCOFF"
    if int.from_bytes(data[:2], "little") in _COFF_MACHINES or data[:4] == b"\0\0\xff\xff":
        return "COFF"
    return "unknown"


@dataclass(frozen=True, slots=True)
class _Table:
    """The section headers of an ELF file, and how it is encoded."""

    order: str
    wide: bool
    headers: list[tuple[int, ...]]
    """Name, type, flags, address, offset, size, link, info, alignment, entry size."""
    strings: int
    """Offset of the section names."""


def _read_sections(data: bytes) -> _Table:
    if data[:4] != b"\x7fELF" or len(data) < 52:
        raise InputError("not an ELF object file")
    order, wide = "<" if data[5] == 1 else ">", data[4] == 2
    try:
        if wide:
            table, entry_size, count, names = struct.unpack_from(f"{order}40xQ10xHHH", data)
            entry = struct.Struct(f"{order}IIQQQQIIQQ")
        else:
            table, entry_size, count, names = struct.unpack_from(f"{order}32xI10xHHH", data)
            entry = struct.Struct(f"{order}10I")
        if table and count == 0:
            # More than 65,279 sections: the real numbers stand in section 0 (ELF specification).
            first = entry.unpack_from(data, table)
            count, names = first[5], first[6] if names == 0xFFFF else names
        if count * max(entry_size, entry.size) > len(data):
            raise struct.error(f"{count} sections do not fit in {len(data)} bytes")
        headers = [entry.unpack_from(data, table + i * entry_size) for i in range(count)]
        return _Table(order, wide, headers, headers[names][4] if count else 0)
    except (struct.error, IndexError, OverflowError) as error:
        raise InputError(f"the ELF object's section table is damaged: {error}") from None


def section_sizes(data: bytes) -> ObjectSizes:
    """Add up the sections of an ELF object.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    table = _read_sections(data)
    size = text_data = 0
    for name, kind, flags, _, _, length, *_ in table.headers:
        if not flags & _SHF_ALLOC or kind == _SHT_NOBITS:
            continue
        size += length
        if data.startswith((b".text", b".data"), table.strings + name):
            text_data += length
    return ObjectSizes(size_bytes=size, text_data_bytes=text_data)


def section_groups(data: bytes) -> dict[str, int]:
    """Return what the allocated sections of an ELF object take in the file, by name.

    Those of single functions and variables (``.text.f``, ``.rodata.cst8``) count with their kind.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    table = _read_sections(data)
    found: dict[str, int] = {}
    for name, kind, flags, _, _, length, *_ in table.headers:
        if flags & _SHF_ALLOC and kind != _SHT_NOBITS and length:
            start = table.strings + name
            text = data[start : data.index(b"\0", start)].decode("utf-8", "replace")
            group = ".".join(text.split(".")[:2]) if text.startswith(_SPLIT) else text
            found[group] = found.get(group, 0) + length
    return found


def undefined_symbols(data: bytes) -> frozenset[str]:
    """Return the names that an ELF object refers to and does not define.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    table = _read_sections(data)
    # name, ..., section index: the fields lie differently in 32 and 64 bits.
    entry = struct.Struct(f"{table.order}IBBHQQ" if table.wide else f"{table.order}IIIBBH")
    index = 3 if table.wide else 5
    found = set()
    for _, kind, _, _, offset, length, link, *_ in table.headers:
        if kind != _SHT_SYMTAB:
            continue
        strings = table.headers[link][4]
        for fields in entry.iter_unpack(data[offset : offset + length - length % entry.size]):
            if fields[index] == 0 and fields[0]:
                start = strings + fields[0]
                found.add(data[start : data.index(b"\0", start)].decode("utf-8", "replace"))
    return frozenset(found)


def object_contents(data: bytes) -> tuple[tuple[object, ...], ...]:
    """Return all that an ELF object says, but which compiler made it: to compare two objects.

    Left out is ``.comment``. Since it moves and renumbers others, sections and symbols are named
    instead of numbered, and offsets in the file are left out.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    table = _read_sections(data)
    try:
        return _contents(data, table)
    except (struct.error, IndexError, ValueError) as error:
        raise InputError(f"the ELF object is damaged: {error}") from None


def _contents(data: bytes, table: _Table) -> tuple[tuple[object, ...], ...]:
    def text(start: int) -> bytes:
        return data[start : data.index(b"\0", start)]

    names = [text(table.strings + header[0]) for header in table.headers]
    symbols: list[tuple[object, ...]] = []
    for _, kind, _, _, offset, length, link, *_ in table.headers:
        if kind == _SHT_SYMTAB:
            entry = struct.Struct(f"{table.order}IBBHQQ" if table.wide else f"{table.order}IIIBBH")
            for fields in entry.iter_unpack(data[offset : offset + length]):
                rest = list(fields[1:])
                section = rest.pop(2 if table.wide else 4)
                place = names[section] if section < len(names) else section
                symbols.append((text(table.headers[link][4] + fields[0]), place, *rest))
    contents: list[tuple[object, ...]] = [one for one in symbols if one[1] != b".comment"]
    for name, header in zip(names, table.headers, strict=True):
        _, kind, flags, address, offset, length, _, info, alignment, _ = header
        if kind in (_SHT_SYMTAB, _SHT_STRTAB) or name == b".comment":
            continue
        body = data[offset : offset + length] if kind != _SHT_NOBITS else b""
        known: list[object] = [name, kind, flags, address, length, alignment]
        if kind in (_SHT_RELA, _SHT_REL):
            form = ("QQq" if table.wide else "IIi")[: 3 if kind == _SHT_RELA else 2]
            bits = 32 if table.wide else 8
            for place, what, *addend in struct.iter_unpack(table.order + form, body):
                known += [place, what % 2**bits, symbols[what >> bits], *addend]
        elif kind == _SHT_GROUP:
            first, *members = (word for (word,) in struct.iter_unpack(f"{table.order}I", body))
            known += [symbols[info], first, *(names[member] for member in members)]
        else:
            known.append(body)
        contents.append(tuple(known))
    return tuple(contents)
