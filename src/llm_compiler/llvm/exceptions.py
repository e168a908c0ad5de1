"""Read exception tables (``.gcc_except_table``) and the frame descriptions that name them.

The format is the one of the Itanium C++ ABI's language-specific data area, as GCC and LLVM write it
for ELF. Places are counted from the function's start; what a linker fills in is read from the
relocations. Pure functions over ELF files that were read; safe in threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import ElfFile, FileKind, Relocation, Section, SymbolKind

__all__ = [
    "INDIRECT",
    "NAME_SLOT",
    "OMITTED",
    "RELATIVE",
    "CallSite",
    "ExceptionTable",
    "Frame",
    "caught_filters",
    "read_exception_table",
    "read_frames",
    "read_ranges",
    "table_of",
    "type_size",
]

OMITTED = 0xFF
NAME_SLOT = "DW.ref."
"""What variables' names begin with that only exception tables refer to: compilers make them."""
INDIRECT, RELATIVE = 0x80, 0x10
_ULEB128 = 1
_SIZES = {0x0: 8, 0x3: 4, 0x4: 8, 0xB: 4, 0xC: 8}
_POINTER_TYPES = (1, 257)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The description of a function that names a personality or an exception table.

    Encodings are those of ``DW_EH_PE_*``. `table`: section and offset; of linked files (0, 0).
    """

    personality: str
    personality_encoding: int
    table: tuple[int, int] | None
    table_encoding: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSite:
    """A range of code: what happens when a call in it throws.

    `landing_pad`: its place, or 0: the exception goes on. `action`: one more than the offset of
    its first record among the table's actions, or 0: only clean up.
    """

    start: int
    length: int
    landing_pad: int
    action: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExceptionTable:
    """The exception table of one function.

    `types` are the names of type descriptions by filter, from 1 on; empty ones catch everything.
    `actions` and `filters` (of exception specifications) are as they are in the table.
    """

    personality: str
    personality_encoding: int
    table_encoding: int
    type_encoding: int
    call_sites: tuple[CallSite, ...]
    actions: bytes = field(repr=False)
    types: tuple[str, ...]
    filters: bytes = field(repr=False)
    place: tuple[int, int, int] = field(compare=False)
    """Section, start and end."""


def type_size(encoding: int) -> int:
    """Return how many bytes a value of an encoding has; 0 for encodings without a fixed size."""
    return _SIZES.get(encoding & 0x0F, 0)


class _Bytes:
    """Reads numbers one after the other."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.position = data, position

    def byte(self) -> int:
        if self.position < 0:
            raise IndexError
        self.position += 1
        return self.data[self.position - 1]

    def word(self, size: int) -> int:
        end = self.position + size
        if end > len(self.data):
            raise IndexError
        value = int.from_bytes(self.data[self.position : end], "little")
        self.position = end
        return value

    def uleb(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def sleb(self) -> int:
        start = self.position
        value = self.uleb()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if value >> (bits - 1) else value


def read_frames(elf: ElfFile) -> dict[tuple[int, int], Frame]:
    """Return the frame descriptions with a personality, by their functions' section and start.

    Raises:
        InputError: ``.eh_frame`` is damaged.
    """
    found: dict[tuple[int, int], Frame] = {}
    for section in elf.sections:
        if section.name == ".eh_frame" and section.data:
            try:
                found.update(_frames(elf, section))
            except (IndexError, KeyError, ValueError):
                raise InputError("its .eh_frame is damaged, or of an unknown kind") from None
    return found


def read_ranges(elf: ElfFile) -> list[tuple[int, int]]:
    """Return address and size of every piece of code that a linked file's frames describe.

    Raises:
        InputError: ``.eh_frame`` is damaged.
    """
    found = []
    for section in elf.sections:
        if section.name != ".eh_frame" or not section.data:
            continue
        try:
            found += list(_ranges(elf, section))
        except (IndexError, KeyError, ValueError):
            raise InputError("its .eh_frame is damaged, or of an unknown kind") from None
    return sorted(set(found))


def _ranges(elf: ElfFile, section: Section) -> Iterator[tuple[int, int]]:
    for reader, shared in _descriptions(elf, section):
        encoding = shared.code_encoding
        size = _SIZES[encoding & 0x0F]
        at = reader.position
        value = reader.word(size)
        if value >> (8 * size - 1):
            value -= 1 << (8 * size)
        address = value + (section.address + at if encoding & 0x70 else 0)
        yield address, reader.word(size)


@dataclass(frozen=True, slots=True)
class _Common:
    """What frame descriptions share (a CIE)."""

    code_encoding: int
    table_encoding: int
    personality: str
    personality_encoding: int


def _frames(elf: ElfFile, section: Section) -> Iterator[tuple[tuple[int, int], Frame]]:
    for reader, shared in _descriptions(elf, section):
        if shared.personality:
            yield _frame(elf, section, reader, shared)


def _descriptions(elf: ElfFile, section: Section) -> Iterator[tuple[_Bytes, _Common]]:
    """Yield each frame description (FDE), read up to its range, and what it shares (its CIE)."""
    common: dict[int, _Common] = {}
    position = 0
    while position + 4 <= len(section.data):
        reader = _Bytes(section.data, position)
        length = reader.word(4)
        if length == 0xFFFFFFFF:
            raise ValueError
        end = reader.position + length
        if length:
            place = reader.position
            identity = reader.word(4)
            if identity == 0:
                common[position] = _common(elf, section, reader)
            else:
                yield reader, common[place - identity]
        position = end


def _common(elf: ElfFile, section: Section, reader: _Bytes) -> _Common:
    version = reader.byte()
    name = bytearray()
    while byte := reader.byte():
        name.append(byte)
    reader.uleb()
    reader.sleb()
    if version == 1:
        reader.byte()
    else:
        reader.uleb()
    code, table, personality, personality_encoding = 0, OMITTED, "", 0
    if name[:1] == b"z":
        reader.uleb()
        for letter in name[1:].decode():
            if letter == "R":
                code = reader.byte()
            elif letter == "L":
                table = reader.byte()
            elif letter == "P":
                personality_encoding = reader.byte()
                personality = _name_at(elf, section, reader.position) or "?"
                reader.word(_SIZES[personality_encoding & 0x0F])
            elif letter not in "SBG":
                raise ValueError
    return _Common(code, table, personality, personality_encoding)


def _frame(
    elf: ElfFile, section: Section, reader: _Bytes, common: _Common
) -> tuple[tuple[int, int], Frame]:
    size = _SIZES[common.code_encoding & 0x0F]
    at = reader.position
    value = reader.word(size)
    reader.word(size)
    reader.uleb()
    table: tuple[int, int] | None = None
    if elf.kind is FileKind.RELOCATABLE:
        function = _place_at(elf, section, at)
        if function is None:
            raise ValueError
        if common.table_encoding != OMITTED:
            table = _place_at(elf, section, reader.position)
    else:
        if value >> (8 * size - 1):
            value -= 1 << (8 * size)
        address = value + (section.address + at if common.code_encoding & 0x70 else 0)
        holder = elf.section_at(address)
        function = (holder.index if holder else 0), address
        if common.table_encoding != OMITTED and reader.word(_SIZES[common.table_encoding & 0x0F]):
            table = 0, 0
    frame = Frame(
        personality=common.personality,
        personality_encoding=common.personality_encoding,
        table=table,
        table_encoding=common.table_encoding,
    )
    return function, frame


def _relocation_at(elf: ElfFile, section: Section, offset: int) -> Relocation | None:
    found = [
        relocation
        for relocation in elf.relocations_in(section.index, offset, offset + 1)
        if relocation.type
    ]
    return found[0] if found else None


def _place_at(elf: ElfFile, section: Section, offset: int) -> tuple[int, int] | None:
    """Return the section and the offset that an address at a place stands for."""
    relocation = _relocation_at(elf, section, offset)
    if relocation is None or not relocation.symbol.is_defined:
        return None
    value = 0 if relocation.symbol.kind is SymbolKind.SECTION else relocation.symbol.value
    return relocation.symbol.section, value + relocation.addend


def _name_at(elf: ElfFile, section: Section, offset: int) -> str:
    """Return the name of the symbol that an address at a place stands for; empty if it has none."""
    relocation = _relocation_at(elf, section, offset)
    if relocation is None:
        return ""
    if relocation.symbol.kind is not SymbolKind.SECTION:
        return relocation.symbol.name if not relocation.addend else ""
    at = [
        symbol
        for symbol in elf.symbols_at(relocation.symbol.section, relocation.addend)
        if not symbol.name.startswith(".L")
    ]
    return at[0].name if at else ""


def read_exception_table(elf: ElfFile, frame: Frame) -> ExceptionTable:
    """Return the table that a frame description of a relocatable file names.

    Raises:
        InputError: it is damaged, or of a kind that neither GCC nor LLVM writes.
    """
    assert frame.table is not None
    try:
        return _table(elf, frame, *frame.table)
    except (IndexError, KeyError, ValueError) as error:
        raise InputError(f"its exception table cannot be read ({error or 'cut off'})") from None


def caught_filters(table: ExceptionTable, site: CallSite) -> tuple[int, ...]:
    """Return what a landing pad catches, in order: filters of types, from 1 on; 0 is a cleanup,
    below 0 is an exception specification.
    """
    if not site.action:
        return (0,) if site.landing_pad else ()
    reader = _Bytes(table.actions, site.action - 1)
    found = []
    while True:
        found.append(reader.sleb())
        at = reader.position
        following = reader.sleb()
        if not following or len(found) > len(table.actions):
            return tuple(found)
        reader.position = at + following


def table_of(elf: ElfFile, section: int, start: int) -> ExceptionTable | None:
    """Return the exception table of the function that begins at a place, if it has one.

    Raises:
        InputError: it cannot be read.
    """
    frame = read_frames(elf).get((section, start))
    return read_exception_table(elf, frame) if frame is not None and frame.table else None


def _table(elf: ElfFile, frame: Frame, index: int, start: int) -> ExceptionTable:
    section = elf.sections[index]
    reader = _Bytes(section.data, start)
    if reader.byte() != OMITTED:
        raise ValueError("landing pads are elsewhere")
    encoding = reader.byte()
    base = 0
    if encoding != OMITTED:
        distance = reader.uleb()
        base = reader.position + distance
    if reader.byte() != _ULEB128:
        raise ValueError("an unknown encoding of places")
    length = reader.uleb()
    end_of_sites = reader.position + length
    sites = []
    while reader.position < end_of_sites:
        numbers = [reader.uleb() for _ in range(4)]
        sites.append(
            CallSite(start=numbers[0], length=numbers[1], landing_pad=numbers[2], action=numbers[3])
        )
    if reader.position != end_of_sites:
        raise ValueError("call sites end amiss")
    end = end_of_sites
    seen: set[int] = set()
    num_types = 0
    specifications: list[int] = []
    for site in sites:
        at = end_of_sites + site.action - 1 if site.action else -1
        while at >= 0 and at not in seen:
            seen.add(at)
            reader.position = at
            kind = reader.sleb()
            position = reader.position
            following = reader.sleb()
            end = max(end, reader.position)
            num_types = max(num_types, kind)
            if kind < 0:
                specifications.append(-kind - 1)
            at = position + following if following else -1
    actions = section.data[end_of_sites:end]
    filters = b""
    if specifications:
        for offset in specifications:
            reader.position = base + offset
            while kind := reader.uleb():
                num_types = max(num_types, kind)
            filters = max(filters, section.data[base : reader.position], key=len)
    size = type_size(encoding) if encoding != OMITTED else 0
    if num_types and not size:
        raise ValueError("an unknown encoding of types")
    if num_types and base - num_types * size < end:
        raise ValueError("types overlap actions")
    types = tuple(
        _type(elf, section, base - number * size, encoding) for number in range(1, num_types + 1)
    )
    return ExceptionTable(
        personality=frame.personality,
        personality_encoding=frame.personality_encoding,
        table_encoding=frame.table_encoding,
        type_encoding=encoding,
        call_sites=tuple(sites),
        actions=actions,
        types=types,
        filters=filters,
        place=(index, start, max(end, base + len(filters))),
    )


def _type(elf: ElfFile, section: Section, offset: int, encoding: int) -> str:
    """Return the name of a type's description; empty where there is none: it catches all."""
    if _relocation_at(elf, section, offset) is None:
        if any(section.data[offset : offset + type_size(encoding)]):
            raise ValueError("a type without a symbol")
        return ""
    if encoding & INDIRECT:
        slot = _place_at(elf, section, offset)
        relocation = _relocation_at(elf, section, offset)
        if slot is None:
            # Another file has the slot: GCC's DW.ref._ZTIi says whose it is.
            name = relocation.symbol.name if relocation else ""
            if not name.startswith(NAME_SLOT):
                raise ValueError("a type in an unknown slot")
            return name.removeprefix(NAME_SLOT)
        holder = elf.sections[slot[0]]
        filled = _relocation_at(elf, holder, slot[1])
        if filled is None or filled.type not in _POINTER_TYPES:
            raise ValueError("a type in an empty slot")
        name = _name_at(elf, holder, slot[1])
        symbol = elf.symbol(name)
    else:
        name = _name_at(elf, section, offset)
        symbol = elf.symbol(name)
    if not name:
        raise ValueError("a type without a name")
    if symbol is not None and symbol.is_local:
        raise ValueError("a type that only this file sees")
    return name
