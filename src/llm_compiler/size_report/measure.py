"""One ELF file's bytes, each counted once, by what they belong to.

What counts are allocated sections that take space in the file, as everywhere in this package.
Bytes go to the symbol that covers them (the first of several, by address and size), its file is
the compilation unit's by debug information, else by the symbol table. Inlined code is counted
beside that, by the function that it came from: it lies within symbols.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.demangle import demangled

__all__ = ["FileSizes", "Piece", "measure_file", "template_of"]

_NO_SYMBOL = "(no symbol)"
_NO_FILE = "(unknown file)"
_SHF_ALLOC = 2
_MAX_DIES = 3_000_000
"""Entries of debug information that are read; a page that takes minutes is of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes of one symbol in one section."""

    section: str
    file: str
    symbol: str
    """Demangled."""
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSizes:
    """An ELF file."""

    name: str
    pieces: tuple[Piece, ...] = field(repr=False)
    inlined: dict[str, int] = field(default_factory=dict, repr=False)
    """Bytes of inlined code by the function that it came from, what that inlined included."""
    has_debug_information: bool = False

    @property
    def size_bytes(self) -> int:
        """All bytes that count."""
        return sum(piece.size_bytes for piece in self.pieces)

    def by(self, what: str) -> dict[str, int]:
        """Return bytes by ``section``, ``file``, ``symbol``, ``template`` or ``inlined``."""
        if what == "inlined":
            return dict(self.inlined)
        found: Counter[str] = Counter()
        for piece in self.pieces:
            if what != "template":
                found[getattr(piece, what)] += piece.size_bytes
            elif name := template_of(piece.symbol):
                found[name] += piece.size_bytes
        return dict(found)


_ARGUMENTS = re.compile(r"<[^<>]*>")
_OPERATORS = ("operator<", "operator>", "operator->", "operator<=>")


def template_of(symbol: str) -> str:
    """Return a demangled name without its templates' arguments; empty: it has none.

    >>> template_of("std::vector<int, std::allocator<int>>::push_back(int const&)")
    'std::vector<>::push_back'
    >>> template_of("main")
    ''
    """
    name = symbol
    for operator in _OPERATORS:
        name = name.replace(operator + "(", operator.replace("<", "{").replace(">", "}") + "(")
    if "<" not in name:
        return ""
    before = ""
    while name != before:
        before, name = name, _ARGUMENTS.sub("\0", name)
    name = name.partition("(")[0] or name
    name = name.rsplit(" ", 1)[-1] if "operator" not in name else name
    if "\0" not in name:
        return ""
    return name.replace("\0", "<>").replace("{", "<").replace("}", ">")


def measure_file(path: Path, name: str = "") -> FileSizes:
    """Read an object, a shared library or a program.

    Args:
        name: what it is called; default: its path.

    Raises:
        ConfigError: pyelftools is not installed.
        InputError: it is no ELF file, or damaged.
    """
    try:
        from elftools.common.exceptions import DWARFError, ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ConfigError(
            "the report needs pyelftools: pip install 'llm-compiler[report]'"
        ) from error
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            relocatable = elf.header["e_type"] == "ET_REL"
            units: list[tuple[int, int, str]] = []
            inlined: Counter[str] = Counter()
            has_debug = False
            if not relocatable and elf.has_dwarf_info():
                try:
                    units, inlined = _debug_information(elf)
                    has_debug = bool(units)
                except (DWARFError, ELFError, KeyError, ValueError, AttributeError, TypeError):
                    units, inlined = [], Counter()
            pieces = list(_pieces(elf, relocatable, sorted(units), path))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ELFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no ELF file that can be read: {error}") from error
    names = demangled([*{piece.symbol for piece in pieces}, *inlined])
    return FileSizes(
        name=name or str(path),
        pieces=tuple(
            Piece(
                section=piece.section,
                file=piece.file,
                symbol=names[piece.symbol],
                size_bytes=piece.size_bytes,
            )
            for piece in pieces
        ),
        inlined={names[word]: count for word, count in inlined.items()},
        has_debug_information=has_debug,
    )


@dataclass(slots=True)
class _Symbol:
    start: int
    end: int
    name: str
    file: str


def _symbols(elf: Any) -> dict[int, list[_Symbol]]:
    """Return the symbols with a size by the index of their section, by address."""
    from elftools.elf.sections import SymbolTableSection

    found: dict[int, list[_Symbol]] = {}
    tables = [section for section in elf.iter_sections() if isinstance(section, SymbolTableSection)]
    chosen = [section for section in tables if section.name == ".symtab"] or tables
    for table in chosen[:1]:
        file = ""
        for symbol in table.iter_symbols():
            kind, index = symbol["st_info"]["type"], symbol["st_shndx"]
            if kind == "STT_FILE":
                file = symbol.name
            elif isinstance(index, int) and symbol["st_size"] and kind != "STT_TLS":
                is_local = symbol["st_info"]["bind"] == "STB_LOCAL"
                start = symbol["st_value"]
                found.setdefault(index, []).append(
                    _Symbol(start, start + symbol["st_size"], symbol.name, file if is_local else "")
                )
    for symbols in found.values():
        symbols.sort(
            key=lambda each_symbol: (each_symbol.start, -each_symbol.end, each_symbol.name)
        )
    return found


def _pieces(
    elf: Any, relocatable: bool, units: list[tuple[int, int, str]], path: Path
) -> Iterator[Piece]:
    symbols = _symbols(elf)
    starts = [start for start, _, _ in units]
    own_file = path.name if relocatable else ""

    def file_at(address: int) -> str:
        position = bisect_right(starts, address) - 1
        if position >= 0 and address < units[position][1]:
            return units[position][2]
        return ""

    for index, section in enumerate(elf.iter_sections()):
        if not section["sh_flags"] & _SHF_ALLOC or section["sh_type"] == "SHT_NOBITS":
            continue
        begin = 0 if relocatable else section["sh_addr"]
        end, at = begin + section["sh_size"], begin
        rest = 0
        for symbol in symbols.get(index, []):
            start, stop = max(symbol.start, at), min(symbol.end, end)
            if stop <= start:
                continue
            rest += start - at
            at = stop
            file = symbol.file or file_at(start) or own_file or _NO_FILE
            yield Piece(
                section=section.name, file=file, symbol=symbol.name, size_bytes=stop - start
            )
        rest += end - at
        if rest:
            file = own_file or _NO_FILE
            yield Piece(section=section.name, file=file, symbol=_NO_SYMBOL, size_bytes=rest)


def _debug_information(elf: Any) -> tuple[list[tuple[int, int, str]], Counter[str]]:
    """Return the address ranges of compilation units, and the bytes of inlined functions."""
    dwarf = elf.get_dwarf_info()
    ranges = dwarf.range_lists()
    units: list[tuple[int, int, str]] = []
    inlined: Counter[str] = Counter()
    num_dies = 0
    for unit in dwarf.iter_CUs():
        top = unit.get_top_DIE()
        base = top.attributes["DW_AT_low_pc"].value if "DW_AT_low_pc" in top.attributes else 0
        name = _text(top.attributes.get("DW_AT_name")) or _NO_FILE
        units += [(start, end, name) for start, end in _ranges(top, unit, ranges, base)]
        if num_dies > _MAX_DIES:
            continue
        for die in unit.iter_DIEs():
            num_dies += 1
            if die.tag != "DW_TAG_inlined_subroutine":
                continue
            size = sum(end - start for start, end in _ranges(die, unit, ranges, base))
            if size:
                inlined[_origin(die)] += size
    return units, inlined


def _ranges(die: Any, unit: Any, lists: Any, base: int) -> Iterator[tuple[int, int]]:
    attributes = die.attributes
    if "DW_AT_ranges" in attributes and lists is not None:
        entries = lists.get_range_list_at_offset(attributes["DW_AT_ranges"].value, cu=unit)
        for entry in entries:
            if hasattr(entry, "base_address"):
                base = entry.base_address
            elif getattr(entry, "is_absolute", False):
                yield entry.begin_offset, entry.end_offset
            else:
                yield base + entry.begin_offset, base + entry.end_offset
    elif "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
        low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
        yield low, high.value if high.form == "DW_FORM_addr" else low + high.value


def _origin(die: Any) -> str:
    """Return the linkage name, or the name, of what an inlined piece came from."""
    for _ in range(8):
        for attribute in ("DW_AT_linkage_name", "DW_AT_name"):
            if attribute in die.attributes:
                return _text(die.attributes[attribute])
        for attribute in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if attribute in die.attributes:
                die = die.get_DIE_from_attribute(attribute)
                break
        else:
            break
    return "(unnamed)"


def _text(attribute: Any) -> str:
    if attribute is None:
        return ""
    value = attribute.value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
