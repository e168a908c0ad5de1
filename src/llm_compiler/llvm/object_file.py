"""Section sizes of ELF objects, as `size` and the paper count them, and of WebAssembly.

Reads the section header table and nothing else (a few dozen bytes a section; an object is measured
thousands of times in a search). 32 and 64 bits, both byte orders. Pure functions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf_core import (
    DAMAGED,
    MAGIC,
    SHF_ALLOC,
    SHF_WRITE,
    SHT_GROUP,
    SHT_NOBITS,
    SHT_PROGBITS,
    SHT_REL,
    SHT_RELA,
    SHT_STRTAB,
    SHT_SYMTAB,
    STB_LOCAL,
    Elf,
    read_elf,
)
from llm_compiler.llvm.relaxation import relaxed_bytes
from llm_compiler.llvm.wasm_object import is_wasm, wasm_groups, wasm_sizes, wasm_symbols

__all__ = [
    "ObjectSizes",
    "allocated_sections",
    "defined_symbols",
    "has_sizes",
    "object_contents",
    "object_format",
    "section_data",
    "section_groups",
    "section_sizes",
    "undefined_symbols",
]

_SPLIT = (".text.", ".rodata.", ".data.")
_ARM, _SHT_ARM_EXIDX, _CANNOT_UNWIND = 40, 0x70000001, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSizes:
    """Bytes of an object file.

    `size_bytes`: all allocated sections that take space in the file. `text_data_bytes`: those
    named ``.text*`` and ``.data*``, the paper's metric. `merged_bytes`: of `size_bytes`, what a
    linker takes away: entries that it merges into one (Arm's index of functions that nothing
    unwinds through), and what it shortens calls by (RISC-V's, `llvm.relaxation`).
    `ram_bytes`: what a linker map of firmware counts there, ``.data`` and ``.bss``.
    """

    size_bytes: int
    text_data_bytes: int
    merged_bytes: int = 0
    ram_bytes: int = 0

    @property
    def flash_bytes(self) -> int:
        """What a linker map counts in flash: code, constants, initial values, unwind tables."""
        return self.size_bytes - self.merged_bytes


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


def has_sizes(data: bytes) -> bool:
    """Whether `section_sizes` knows the format of an object."""
    return data[:4] == MAGIC or is_wasm(data)


def _read(data: bytes) -> Elf:
    if data[:4] != b"\x7fELF" or len(data) < 52:
        raise InputError("not an ELF object file")
    try:
        return read_elf(data)
    except DAMAGED as error:
        raise InputError(f"the ELF object's section table is damaged: {error}") from None


def section_sizes(data: bytes) -> ObjectSizes:
    """Add up the sections of an ELF object, or of one of WebAssembly (`wasm_object`).

    Raises:
        InputError: `data` is neither, or is cut short.
    """
    if is_wasm(data):
        found = wasm_sizes(data)
        return ObjectSizes(
            size_bytes=found.size_bytes,
            text_data_bytes=found.code_data_bytes,
            ram_bytes=found.ram_bytes,
        )
    elf = _read(data)
    size = text_data = merged = ram = 0
    for header in elf.headers:
        if not header.flags & SHF_ALLOC:
            continue
        if header.flags & SHF_WRITE and header.type in (SHT_PROGBITS, SHT_NOBITS):
            # What only relocation writes to stays in flash, where there is no dynamic linker.
            is_constant = data.startswith(b".data.rel.ro", elf.names + header.name)
            ram += 0 if is_constant else header.size
        if header.type == SHT_NOBITS:
            continue
        size += header.size
        if header.type == _SHT_ARM_EXIDX and elf.machine == _ARM:
            merged += _merged_entries(data[header.offset : header.offset + header.size])
        if data.startswith((b".text", b".data"), elf.names + header.name):
            text_data += header.size
    try:
        merged += relaxed_bytes(elf)
    except DAMAGED as error:
        raise InputError(f"the ELF object is damaged: {error}") from None
    return ObjectSizes(
        size_bytes=size, text_data_bytes=text_data, merged_bytes=merged, ram_bytes=ram
    )


def _merged_entries(index: bytes) -> int:
    """Return the bytes of an index's entries that say that nothing unwinds through a function.

    Exception Handling ABI for the Arm Architecture, section 6: two words; the second one is 1.
    """
    words = struct.iter_unpack("<II", index[: len(index) // 8 * 8])
    return 8 * len([second for _, second in words if second == _CANNOT_UNWIND])


def section_groups(data: bytes) -> dict[str, int]:
    """Return what the allocated sections of an object take in the file, by name.

    Those of single functions and variables (``.text.f``, ``.rodata.cst8``) count with their kind.

    Raises:
        InputError: `data` is neither ELF nor WebAssembly, or is cut short.
    """
    if is_wasm(data):
        return wasm_groups(data)
    elf = _read(data)
    found: dict[str, int] = {}
    for header in elf.headers:
        if header.flags & SHF_ALLOC and header.type != SHT_NOBITS and header.size:
            text = elf.name(header).decode("utf-8", "replace")
            group = ".".join(text.split(".")[:2]) if text.startswith(_SPLIT) else text
            found[group] = found.get(group, 0) + header.size
    return found


def allocated_sections(data: bytes) -> frozenset[str]:
    """Return the names of an ELF file's sections that take memory.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    elf = _read(data)
    return frozenset(
        elf.name(header).decode("utf-8", "replace")
        for header in elf.headers
        if header.flags & SHF_ALLOC and header.size
    )


def section_data(data: bytes, name: str) -> bytes | None:
    """Return the bytes of the first section of an ELF file with a name; None: there is none.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    elf = _read(data)
    try:
        for header in elf.headers:
            if elf.name(header) == name.encode():
                return elf.contents(header)
    except DAMAGED as error:
        raise InputError(f"the ELF object is damaged: {error}") from None
    return None


def undefined_symbols(data: bytes) -> frozenset[str]:
    """Return the names that an object refers to and does not define.

    Raises:
        InputError: `data` is neither ELF nor WebAssembly, or is cut short.
    """
    if is_wasm(data):
        return wasm_symbols(data)[1]
    elf = _read(data)
    return frozenset(
        elf.symbol_name(header, symbol).decode("utf-8", "replace")
        for header in elf.headers
        if header.type == SHT_SYMTAB
        for symbol in elf.symbols(header)
        if symbol.section == 0 and symbol.name
    )


def defined_symbols(data: bytes) -> frozenset[str]:
    """Return the names that an ELF object defines for others.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    elf = _read(data)
    return frozenset(
        elf.symbol_name(header, symbol).decode("utf-8", "replace")
        for header in elf.headers
        if header.type == SHT_SYMTAB
        for symbol in elf.symbols(header)
        if symbol.section and symbol.name and symbol.info >> 4 != STB_LOCAL
    )


def object_contents(data: bytes) -> tuple[tuple[object, ...], ...]:
    """Return all that an ELF object says, but which compiler made it: to compare two objects.

    Left out is ``.comment``. Since it moves and renumbers others, sections and symbols are named
    instead of numbered, and offsets in the file are left out.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    elf = _read(data)
    try:
        return _contents(elf)
    except DAMAGED as error:
        raise InputError(f"the ELF object is damaged: {error}") from None


def _contents(elf: Elf) -> tuple[tuple[object, ...], ...]:
    names = [elf.name(header) for header in elf.headers]
    symbols: list[tuple[object, ...]] = []
    for header in elf.headers:
        if header.type == SHT_SYMTAB:
            for symbol in elf.symbols(header):
                name, info, other, section, value, size = symbol
                where = names[section] if section < len(names) else section
                named = elf.text(elf.headers[header.link].offset + name)
                symbols.append((named, where, info, other, value, size))
    contents: list[tuple[object, ...]] = [pair for pair in symbols if pair[1] != b".comment"]
    for own, header in zip(names, elf.headers, strict=True):
        if header.type in (SHT_SYMTAB, SHT_STRTAB) or own == b".comment":
            continue
        body = elf.contents(header)
        known: list[object] = [
            *(own, header.type, header.flags),
            *(header.address, header.size, header.alignment),
        ]
        if header.type in (SHT_RELA, SHT_REL):
            for relocation in elf.relocations(header):
                known += [
                    relocation.offset,
                    relocation.type,
                    symbols[relocation.symbol],
                    relocation.addend,
                ]
        elif header.type == SHT_GROUP:
            first, *members = (word for (word,) in struct.iter_unpack(f"{elf.order}I", body))
            known += [symbols[header.info], first, *(names[member] for member in members)]
        else:
            known.append(body)
        contents.append(tuple(known))
    return tuple(contents)
