"""Read 64-bit little-endian ELF files of x86-64 and AArch64: sections, symbols, relocations.

What disassembly and round trips need of an object or executable, as frozen values; nothing is
decoded here. Pure functions; safe in threads and processes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from llm_compiler.errors import InputError, UnsupportedTarget
from llm_compiler.llvm.elf_core import (
    DAMAGED,
    MAGIC,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHN_LORESERVE,
    SHN_XINDEX,
    SHT_DYNSYM,
    SHT_NOBITS,
    SHT_REL,
    SHT_RELA,
    SHT_SYMTAB,
    Elf,
    SectionHeader,
    read_elf,
)
from llm_compiler.llvm.targets import lifted_targets, of_machine

__all__ = [
    "NO_SYMBOL",
    "SHN_COMMON",
    "Binding",
    "ElfFile",
    "FileKind",
    "Relocation",
    "Section",
    "Symbol",
    "SymbolKind",
    "parse_elf",
]

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

_SHF_WRITE, _SHF_MERGE, _SHF_STRINGS, _SHF_TLS = 1, 16, 32, 1024
SHN_ABS, SHN_COMMON = 0xFFF1, 0xFFF2


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
        return bool(self.flags & SHF_EXECINSTR)

    @property
    def is_allocated(self) -> bool:
        """Whether it is in memory when the program runs."""
        return bool(self.flags & SHF_ALLOC)

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
        return self.type == SHT_NOBITS

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
        return 0 < self.section < SHN_LORESERVE

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
            symbols.sort(
                key=lambda each_symbol: (
                    each_symbol.value,
                    each_symbol.binding is Binding.LOCAL,
                    -each_symbol.size,
                )
            )
            sorted_[section] = [each_symbol.value for each_symbol in symbols], symbols
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
        first = bisect_left(found, start, key=lambda relocation: relocation.offset)
        last = bisect_left(found, end, key=lambda relocation: relocation.offset)
        return found[first:last]


def parse_elf(data: bytes, name: str = "the file") -> ElfFile:
    """Read an ELF file.

    Raises:
        InputError: it is not an ELF file, or is damaged.
        UnsupportedTarget: of another architecture.
    """
    if data[:4] != MAGIC:
        raise InputError(f"{name} is not an ELF file")
    if len(data) < 20 or data[5] not in (1, 2) or data[4] not in (1, 2):
        raise InputError(f"{name} is cut off within its ELF header")
    readable = " and ".join(target_record.title for target_record in lifted_targets())
    machine = int.from_bytes(data[18:20], "little" if data[5] == 1 else "big")
    target = of_machine(machine)
    if data[5] == 2:
        raise UnsupportedTarget(f"{name} is big-endian: only {readable} are read")
    if target is None or (data[4] == 2) != (target.pointer_bytes == 8):
        what = _OTHER_MACHINES.get(machine, f"ELF machine {machine}")
        what = "32-bit code" if target is not None and data[4] == 1 else what
        raise UnsupportedTarget(f"{name} holds {what}: only {readable} are read")
    try:
        return _parse(read_elf(data), target.name, name)
    except DAMAGED as error:
        raise InputError(f"{name} is a damaged ELF file: {error}") from None


def _parse(elf: Elf, architecture: str, name: str) -> ElfFile:
    kinds = {1: FileKind.RELOCATABLE, 2: FileKind.EXECUTABLE, 3: FileKind.SHARED}
    if elf.type not in kinds:
        raise InputError(f"{name} is neither an object nor an executable (ELF type {elf.type})")
    kind = kinds[elf.type]
    if not elf.headers:
        raise InputError(f"{name} has no section table: it was stripped of it")
    sections = tuple(
        Section(
            index=index,
            name=elf.name(header).decode("utf-8", "replace"),
            type=header.type,
            flags=header.flags,
            address=header.address,
            size=header.size,
            alignment=header.alignment,
            entry_size=header.entry_size,
            data=elf.contents(header),
        )
        for index, header in enumerate(elf.headers)
    )
    tables = {
        index: _symbols(elf, header)
        for index, header in enumerate(elf.headers)
        if header.type in (SHT_SYMTAB, SHT_DYNSYM)
    }
    relocations: dict[int, tuple[Relocation, ...]] = {}
    dynamic: list[Relocation] = []
    for index, header in enumerate(elf.headers):
        if header.type == SHT_REL:
            raise InputError(f"{name} has relocations without addends, which its target never has")
        if header.type != SHT_RELA:
            continue
        symbols = tables.get(header.link, ())
        found = [
            Relocation(
                offset=relocation.offset,
                type=relocation.type,
                symbol=symbols[relocation.symbol] if relocation.symbol or symbols else NO_SYMBOL,
                addend=relocation.addend,
            )
            for relocation in elf.relocations(header)
        ]
        if kind is FileKind.RELOCATABLE:
            if not 0 < header.info < len(elf.headers):
                raise ValueError(f"{sections[index].name} belongs to no section")
            found.sort(key=lambda relocation: relocation.offset)
            relocations[header.info] = (*relocations.get(header.info, ()), *found)
        elif header.flags & SHF_ALLOC:
            dynamic += found
    static = [i for i, header in enumerate(elf.headers) if header.type == SHT_SYMTAB]
    shared = [i for i, header in enumerate(elf.headers) if header.type == SHT_DYNSYM]
    return ElfFile(
        architecture=architecture,
        kind=kind,
        sections=sections,
        symbols=tables[static[0]] if static else (),
        dynamic_symbols=tables[shared[0]] if shared else (),
        relocations=relocations,
        dynamic_relocations=tuple(sorted(dynamic, key=lambda relocation: relocation.offset)),
        entry=elf.entry,
    )


NO_SYMBOL = Symbol(
    index=0,
    name="",
    kind=SymbolKind.NONE,
    binding=Binding.LOCAL,
    is_hidden=False,
    section=0,
    value=0,
    size=0,
)


def _symbols(elf: Elf, table: SectionHeader) -> tuple[Symbol, ...]:
    found = []
    for index, symbol in enumerate(elf.symbols(table)):
        if symbol.section < SHN_LORESERVE and symbol.section >= len(elf.headers):
            raise ValueError(f"symbol {index} is in section {symbol.section} of {len(elf.headers)}")
        if symbol.section == SHN_XINDEX:
            raise ValueError("more than 65,279 sections")
        found.append(
            Symbol(
                index=index,
                name=elf.symbol_name(table, symbol).decode("utf-8", "replace"),
                kind=_KINDS.get(symbol.info & 15, SymbolKind.OTHER),
                binding=_BINDINGS.get(symbol.info >> 4, Binding.GLOBAL),
                is_hidden=symbol.other & 3 in (1, 2),
                section=symbol.section,
                value=symbol.value,
                size=symbol.size,
            )
        )
    return tuple(found)
