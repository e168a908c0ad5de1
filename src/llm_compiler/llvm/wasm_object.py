"""Objects of WebAssembly: what their sections take, and which names they leave to others.

A module is a list of sections; numbers are LEB128 (WebAssembly Core Specification 2.0, chapter 5).
What relocatable objects add is in custom sections (tool-conventions, Linking.md). Counted is what a
linked program keeps: code, data, tables of functions and their types; not imports, which other
objects satisfy, custom sections, or variables that begin as zero, which the linker leaves out.
Pure; safe in threads and processes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.errors import InputError

__all__ = ["WasmSizes", "is_wasm", "wasm_groups", "wasm_sizes", "wasm_symbols"]

_MAGIC = b"\0asm\1\0\0\0"
_CUSTOM, _IMPORT, _CODE, _DATA = 0, 2, 10, 11
_NAMES = {
    1: "types",
    3: "functions",
    4: "tables",
    5: "memory",
    6: "globals",
    7: "exports",
    8: "start",
    9: "elements",
    10: "code",
    11: "data",
    12: "data count",
    13: "tags",
}
"""Of the sections that are counted."""
_SEGMENT_INFO, _SYMBOL_TABLE = 5, 8
"""Subsections of ``linking``."""
_FUNCTION, _DATA_SYMBOL, _GLOBAL, _SECTION, _EVENT, _TABLE = range(6)
_LOCAL, _UNDEFINED, _EXPLICIT_NAME = 0x02, 0x10, 0x40
_WRITABLE_KINDS = (".data", ".bss", ".tdata", ".tbss")


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmSizes:
    """Bytes of an object: all that is counted, code and data, and memory that is written."""

    size_bytes: int
    code_data_bytes: int
    ram_bytes: int


@dataclass(slots=True)
class _Reader:
    """Reads numbers and names from a part of a module."""

    data: bytes = field(repr=False)
    position: int
    end: int

    def byte(self) -> int:
        if self.position >= self.end:
            raise ValueError("it is cut short")
        self.position += 1
        return self.data[self.position - 1]

    def number(self) -> int:
        """Return an unsigned LEB128 of at most 64 bits."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")

    def skip(self, length: int) -> None:
        if self.position + length > self.end:
            raise ValueError("it is cut short")
        self.position += length

    def name(self) -> str:
        length = self.number()
        start = self.position
        self.skip(length)
        return self.data[start : self.position].decode("utf-8", "surrogateescape")

    def part(self) -> _Reader:
        """Return a reader of the next part, which says its length first, and step over it."""
        length = self.number()
        start = self.position
        self.skip(length)
        return _Reader(self.data, start, self.position)


def is_wasm(data: bytes) -> bool:
    """Whether a file is a module of WebAssembly."""
    return data[:4] == _MAGIC[:4]


def _sections(data: bytes) -> Iterator[tuple[int, int, _Reader]]:
    """Yield the sections: number, bytes in the file, and a reader of what is in it."""
    if data[:8] != _MAGIC:
        raise ValueError("its version is not 1")
    whole = _Reader(data, len(_MAGIC), len(data))
    while whole.position < whole.end:
        start = whole.position
        number = whole.byte()
        body = whole.part()
        yield number, whole.position - start, body


def _linking(data: bytes, wanted: int) -> _Reader | None:
    """Return a subsection of ``linking``; None: there is none."""
    for number, _, body in _sections(data):
        if number != _CUSTOM or body.name() != "linking":
            continue
        body.number()  # the version
        while body.position < body.end:
            kind = body.byte()
            part = body.part()
            if kind == wanted:
                return part
    return None


def _segment_names(data: bytes) -> list[str]:
    part = _linking(data, _SEGMENT_INFO)
    names = []
    for _ in range(part.number() if part else 0):
        assert part is not None
        names.append(part.name())
        part.number()  # alignment
        part.number()  # flags
    return names


def _segments(body: _Reader) -> Iterator[tuple[int, int]]:
    """Yield the segments of a data section: bytes in the file, bytes of memory."""
    for _ in range(body.number()):
        start = body.position
        mode = body.number()
        if mode == 2:
            body.number()  # the memory
        if mode != 1:
            while body.byte() != 0x0B:  # i32.const N end
                body.number()
        length = body.number()
        body.skip(length)
        yield body.position - start, length


def _groups(data: bytes) -> tuple[dict[str, int], int]:
    """Return the bytes of each kind of section, and those of memory that is written."""
    found: dict[str, int] = {}
    ram = 0
    for number, size, body in _sections(data):
        if number in (_CUSTOM, _IMPORT):
            continue
        if number not in _NAMES:
            raise ValueError(f"there is no section {number}")
        if number == _DATA:
            names = _segment_names(data)
            for index, (in_file, in_memory) in enumerate(_segments(body)):
                name = names[index] if index < len(names) else ".data"
                ram += in_memory if name.startswith(_WRITABLE_KINDS) else 0
                size -= in_file if name.startswith((".bss", ".tbss")) else 0
        found[_NAMES[number]] = found.get(_NAMES[number], 0) + size
    return found, ram


def wasm_groups(data: bytes) -> dict[str, int]:
    """Return what the sections of an object that are counted take in the file, by kind.

    Raises:
        InputError: it is damaged.
    """
    try:
        return _groups(data)[0]
    except ValueError as error:
        raise InputError(f"the WebAssembly object is damaged: {error}") from None


def wasm_sizes(data: bytes) -> WasmSizes:
    """Add up the sections of an object.

    Raises:
        InputError: it is damaged.
    """
    try:
        groups, ram = _groups(data)
    except ValueError as error:
        raise InputError(f"the WebAssembly object is damaged: {error}") from None
    return WasmSizes(
        size_bytes=sum(groups.values()),
        code_data_bytes=groups.get("code", 0) + groups.get("data", 0),
        ram_bytes=ram,
    )


def wasm_symbols(data: bytes) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names that an object defines for others, and those that it leaves to others.

    Raises:
        InputError: it is damaged.
    """
    try:
        return _symbols(data)
    except (ValueError, IndexError) as error:
        raise InputError(f"the WebAssembly object is damaged: {error}") from None


def _imported(data: bytes) -> dict[int, list[str]]:
    """Return the names of imported functions, globals, tables and tags, in their order."""
    found: dict[int, list[str]] = {_FUNCTION: [], _GLOBAL: [], _TABLE: [], _EVENT: []}
    for number, _, body in _sections(data):
        if number != _IMPORT:
            continue
        for _ in range(body.number()):
            body.name()
            name, kind = body.name(), body.byte()
            if kind == 0:
                body.number()
                found[_FUNCTION].append(name)
            elif kind in (1, 2):  # a table is of a type, then has limits as a memory
                if kind == 1:
                    body.byte()
                    found[_TABLE].append(name)
                has_most = body.number() & 1
                body.number()
                if has_most:
                    body.number()
            elif kind == 3:
                body.byte()
                body.byte()
                found[_GLOBAL].append(name)
            elif kind == 4:
                body.byte()
                body.number()
                found[_EVENT].append(name)
            else:
                raise ValueError(f"there is no kind {kind} of import")
    return found


def _symbols(data: bytes) -> tuple[frozenset[str], frozenset[str]]:
    table = _linking(data, _SYMBOL_TABLE)
    if table is None:
        return frozenset(), frozenset()
    imported = _imported(data)
    defined: set[str] = set()
    undefined: set[str] = set()
    for _ in range(table.number()):
        kind, flags = table.byte(), table.number()
        if kind == _SECTION:
            table.number()
            continue
        if kind == _DATA_SYMBOL:
            name = table.name()
            if not flags & _UNDEFINED:
                for _ in range(3):  # segment, offset, size
                    table.number()
        elif kind in imported:
            index = table.number()
            own = flags & _EXPLICIT_NAME or not flags & _UNDEFINED
            name = table.name() if own else imported[kind][index]
        else:
            raise ValueError(f"there is no kind {kind} of symbol")
        if flags & _UNDEFINED:
            undefined.add(name)
        elif not flags & _LOCAL:
            defined.add(name)
    return frozenset(defined), frozenset(undefined)
