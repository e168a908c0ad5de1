"""Read 64-bit little-endian ELF files of x86-64 and AArch64: sections, symbols, relocations.

What disassembly and round trips need of an object or executable, as frozen values; nothing is
decoded here. Pure functions; safe in threads and processes.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from llm_compiler.errors import InputError, UnsupportedTarget

__all__ = [
    "AARCH64",
    "SHN_COMMON",
    "X86_64",
    "Binding",
    "ElfFile",
    "FileKind",
    "Relocation",
    "Section",
    "Symbol",
    "SymbolKind",
    "parse_elf",
]

X86_64, AARCH64 = "x86_64", "aarch64"
_MACHINES = {62: X86_64, 183: AARCH64}
_OTHER_MACHINES = {
    2: "SPARC",
    3: "32-bit x86",
    8: "MIPS",
    20: "PowerPC",
    21: "64-bit PowerPC",
    22: "S/390",
    40: "32-bit Arm",
    43: "64-bit SPARC",
    243: "RISC-V",
    258: "LoongArch",
}
_HEADER = struct.Struct("<16xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")

_SHT_SYMTAB, _SHT_RELA, _SHT_NOBITS, _SHT_REL, _SHT_DYNSYM = 2, 4, 8, 9, 11
_SHF_WRITE, _SHF_ALLOC, _SHF_EXECINSTR, _SHF_MERGE, _SHF_STRINGS, _SHF_TLS = 1, 2, 4, 16, 32, 1024
_SHN_LORESERVE = 0xFF00
SHN_ABS, SHN_COMMON, _SHN_XINDEX = 0xFFF1, 0xFFF2, 0xFFFF


class FileKind(StrEnum):
    """The type in an ELF file's header."""

    RELOCATABLE = "relocatable"
    EXECUTABLE = "executable"
    SHARED = "shared"
    """Shared libraries, and executables that can be loaded anywhere (PIE)."""


class SymbolKind(StrEnum):
    """What a symbol stands for."""

    NONE = "none"
    OBJECT = "object"
    FUNCTION = "function"
    SECTION = "section"
    FILE = "file"
    COMMON = "common"
    TLS = "tls"
    IFUNC = "ifunc"
    OTHER = "other"


class Binding(StrEnum):
    """Who may see a symbol."""

    LOCAL = "local"
    GLOBAL = "global"
    WEAK = "weak"


_KINDS = {
    0: SymbolKind.NONE,
    1: SymbolKind.OBJECT,
    2: SymbolKind.FUNCTION,
    3: SymbolKind.SECTION,
    4: SymbolKind.FILE,
    5: SymbolKind.COMMON,
    6: SymbolKind.TLS,
    10: SymbolKind.IFUNC,
}
_BINDINGS = {0: Binding.LOCAL, 1: Binding.GLOBAL, 2: Binding.WEAK, 10: Binding.GLOBAL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section; `data` is empty where it takes no space in the file (``.bss``)."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    size: int
    alignment: int
    entry_size: int
    data: bytes = field(repr=False)

    @property
    def is_code(self) -> bool:
        """Whether it is executable."""
        return bool(self.flags & _SHF_EXECINSTR)

    @property
    def is_allocated(self) -> bool:
        """Whether it is in memory when the program runs."""
        return bool(self.flags & _SHF_ALLOC)

    @property
    def is_writable(self) -> bool:
        """Whether the program may write to it; data that only relocation writes to counts not."""
        return bool(self.flags & _SHF_WRITE) and not self.name.startswith(".data.rel.ro")

    @property
    def is_strings(self) -> bool:
        """Whether it holds strings that end with a zero, which a linker may merge."""
        return self.flags & (_SHF_MERGE | _SHF_STRINGS) == _SHF_MERGE | _SHF_STRINGS

    @property
    def is_mergeable(self) -> bool:
        """Whether it holds constants of `entry_size` bytes that a linker may merge."""
        return bool(self.flags & _SHF_MERGE) and not self.is_strings

    @property
    def is_thread_local(self) -> bool:
        """Whether each thread has a copy."""
        return bool(self.flags & _SHF_TLS)

    @property
    def takes_no_space(self) -> bool:
        """Whether it is all zeros and not in the file."""
        return self.type == _SHT_NOBITS

    def read(self, start: int, end: int) -> bytes:
        """Return bytes by their offsets in the section."""
        return bytes(end - start) if self.takes_no_space else self.data[start:end]


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """One symbol. `value` is an offset in its section (relocatable files) or an address.

    `section` is the section's index, 0 for undefined ones, `SHN_ABS` or `SHN_COMMON`.
    """

    index: int
    name: str
    kind: SymbolKind
    binding: Binding
    is_hidden: bool
    section: int
    value: int
    size: int

    @property
    def is_defined(self) -> bool:
        """Whether it stands for a place in a section of this file."""
        return 0 < self.section < _SHN_LORESERVE

    @property
    def is_local(self) -> bool:
        """Whether only this file sees it."""
        return self.binding is Binding.LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Relocation:
    """A place that a linker fills in: `offset` counts in its section (or is an address)."""

    offset: int
    type: int
    symbol: Symbol
    addend: int


@dataclass(frozen=True, kw_only=True)
class ElfFile:
    """An ELF file, read whole."""

    architecture: str
    kind: FileKind
    sections: tuple[Section, ...] = field(repr=False)
    symbols: tuple[Symbol, ...] = field(repr=False)
    """Of ``.symtab``; without one (stripped) empty."""
    dynamic_symbols: tuple[Symbol, ...] = field(repr=False)
    relocations: dict[int, tuple[Relocation, ...]] = field(repr=False)
    """By the section that they change, in the order of their offsets."""
    dynamic_relocations: tuple[Relocation, ...] = field(repr=False)
    """Of an executable: what the dynamic linker fills in; offsets are addresses."""
    entry: int = 0
    """Where an executable starts; 0: nowhere."""

    @cached_property
    def _by_name(self) -> dict[str, Symbol]:
        named: dict[str, Symbol] = {}
        for symbol in self.symbols:
            if symbol.name and (symbol.name not in named or not symbol.is_local):
                named[symbol.name] = symbol
        return named

    def symbol(self, name: str) -> Symbol | None:
        """Return the symbol of a name; a global one rather than a local one."""
        return self._by_name.get(name)

    @cached_property
    def _defined(self) -> dict[int, tuple[list[int], list[Symbol]]]:
        found: dict[int, list[Symbol]] = {}
        for symbol in self.symbols:
            if not symbol.is_defined or symbol.kind in (SymbolKind.SECTION, SymbolKind.FILE):
                continue
            # AArch64's mapping symbols say where code and data begin, not what is there.
            if symbol.name and not symbol.name.startswith(("$x", "$d")):
                found.setdefault(symbol.section, []).append(symbol)
        sorted_: dict[int, tuple[list[int], list[Symbol]]] = {}
        for section, symbols in found.items():
            symbols.sort(key=lambda one: (one.value, one.binding is Binding.LOCAL, -one.size))
            sorted_[section] = [one.value for one in symbols], symbols
        return sorted_

    def symbols_in(self, section: int) -> Sequence[Symbol]:
        """Return the named symbols of a section by place; at one place, global ones first."""
        return self._defined.get(section, ([], []))[1]

    def symbols_at(self, section: int, value: int) -> Sequence[Symbol]:
        """Return the symbols at one place, global ones first."""
        values, symbols = self._defined.get(section, ([], []))
        return symbols[bisect_left(values, value) : bisect_right(values, value)]

    def section_at(self, address: int) -> Section | None:
        """Return the section of a linked file that an address lies in."""
        for section in self.sections:
            if (
                section.is_allocated
                and not section.is_thread_local
                and section.address <= address < section.address + section.size
            ):
                return section
        return None

    def relocations_in(self, section: int, start: int, end: int) -> Sequence[Relocation]:
        """Return the relocations of a piece of a section."""
        found = self.relocations.get(section, ())
        first = bisect_left(found, start, key=lambda one: one.offset)
        last = bisect_left(found, end, key=lambda one: one.offset)
        return found[first:last]


def parse_elf(data: bytes, name: str = "the file") -> ElfFile:
    """Read an ELF file.

    Raises:
        InputError: it is not an ELF file, or is damaged.
        UnsupportedTarget: of another architecture.
    """
    if data[:4] != b"\x7fELF":
        raise InputError(f"{name} is not an ELF file")
    if len(data) < 20 or data[5] != 1 or data[4] not in (1, 2):
        if len(data) >= 20 and data[5] == 2:
            raise UnsupportedTarget(f"{name} is big-endian: only x86-64 and AArch64 are read")
        raise InputError(f"{name} is cut off within its ELF header")
    machine = struct.unpack_from("<H", data, 18)[0]
    if machine not in _MACHINES or data[4] != 2:
        what = _OTHER_MACHINES.get(machine, f"ELF machine {machine}")
        what = "32-bit code" if machine in _MACHINES else what
        raise UnsupportedTarget(f"{name} holds {what}: only x86-64 and AArch64 are read")
    try:
        return _parse(data, _MACHINES[machine], name)
    except (struct.error, IndexError, ValueError, OverflowError) as error:
        raise InputError(f"{name} is a damaged ELF file: {error}") from None


def _parse(data: bytes, architecture: str, name: str) -> ElfFile:
    fields = _HEADER.unpack_from(data)
    kinds = {1: FileKind.RELOCATABLE, 2: FileKind.EXECUTABLE, 3: FileKind.SHARED}
    if fields[0] not in kinds:
        raise InputError(f"{name} is neither an object nor an executable (ELF type {fields[0]})")
    kind = kinds[fields[0]]
    table, count, names = fields[5], fields[11], fields[12]
    if not table:
        raise InputError(f"{name} has no section table: it was stripped of it")
    if count == 0 or names == _SHN_XINDEX:
        first = _SECTION.unpack_from(data, table)
        count, names = count or first[5], first[6] if names == _SHN_XINDEX else names
    if table + count * _SECTION.size > len(data):
        raise ValueError(f"{count} section headers do not fit into {len(data)} bytes")
    headers = [_SECTION.unpack_from(data, table + i * _SECTION.size) for i in range(count)]
    strings = _contents(data, headers[names])
    sections = tuple(
        Section(
            index=index,
            name=_text(strings, header[0]),
            type=header[1],
            flags=header[2],
            address=header[3],
            size=header[5],
            alignment=header[8],
            entry_size=header[9],
            data=_contents(data, header),
        )
        for index, header in enumerate(headers)
    )
    tables = {
        index: _symbols(data, headers, index)
        for index, header in enumerate(headers)
        if header[1] in (_SHT_SYMTAB, _SHT_DYNSYM)
    }
    relocations: dict[int, tuple[Relocation, ...]] = {}
    dynamic: list[Relocation] = []
    for index, header in enumerate(headers):
        if header[1] == _SHT_REL:
            raise InputError(f"{name} has relocations without addends, which its target never has")
        if header[1] != _SHT_RELA:
            continue
        symbols = tables.get(header[6], ())
        body = sections[index].data
        found = [
            Relocation(
                offset=offset,
                type=info & 0xFFFFFFFF,
                symbol=symbols[info >> 32] if info >> 32 or symbols else _NO_SYMBOL,
                addend=addend,
            )
            for offset, info, addend in _RELA.iter_unpack(body[: len(body) // 24 * 24])
        ]
        if kind is FileKind.RELOCATABLE:
            if not 0 < header[7] < len(headers):
                raise ValueError(f"{sections[index].name} belongs to no section")
            found.sort(key=lambda one: one.offset)
            relocations[header[7]] = (*relocations.get(header[7], ()), *found)
        elif header[2] & _SHF_ALLOC:
            dynamic += found
    static = [i for i, header in enumerate(headers) if header[1] == _SHT_SYMTAB]
    shared = [i for i, header in enumerate(headers) if header[1] == _SHT_DYNSYM]
    return ElfFile(
        architecture=architecture,
        kind=kind,
        sections=sections,
        symbols=tables[static[0]] if static else (),
        dynamic_symbols=tables[shared[0]] if shared else (),
        relocations=relocations,
        dynamic_relocations=tuple(sorted(dynamic, key=lambda one: one.offset)),
        entry=fields[3],
    )


_NO_SYMBOL = Symbol(
    index=0,
    name="",
    kind=SymbolKind.NONE,
    binding=Binding.LOCAL,
    is_hidden=False,
    section=0,
    value=0,
    size=0,
)


def _contents(data: bytes, header: tuple[int, ...]) -> bytes:
    if header[1] in (0, _SHT_NOBITS):
        return b""
    start, size = header[4], header[5]
    if start + size > len(data):
        raise ValueError(f"a section ends at {start + size}, behind the file's {len(data)} bytes")
    return data[start : start + size]


def _text(strings: bytes, start: int) -> str:
    return strings[start : strings.index(b"\0", start)].decode("utf-8", "replace")


def _symbols(data: bytes, headers: list[tuple[int, ...]], table: int) -> tuple[Symbol, ...]:
    header = headers[table]
    strings = _contents(data, headers[header[6]])
    body = _contents(data, header)
    found = []
    for index, (name, info, other, section, value, size) in enumerate(
        _SYMBOL.iter_unpack(body[: len(body) // _SYMBOL.size * _SYMBOL.size])
    ):
        if section < _SHN_LORESERVE and section >= len(headers):
            raise ValueError(f"symbol {index} is in section {section} of {len(headers)}")
        if section == _SHN_XINDEX:
            raise ValueError("more than 65,279 sections")
        found.append(
            Symbol(
                index=index,
                name=_text(strings, name) if name else "",
                kind=_KINDS.get(info & 15, SymbolKind.OTHER),
                binding=_BINDINGS.get(info >> 4, Binding.GLOBAL),
                is_hidden=other & 3 in (1, 2),
                section=section,
                value=value,
                size=size,
            )
        )
    return tuple(found)
