"""One function of a binary as assembly in normal form, with the data that it refers to.

The result is what `dataset.assembly` calls the normal form, of a module with this one function:

* it is called by its own name, global, and hidden where it was static;
* jumps go to ``.LBB0_N``, numbered from 1 in their order;
* other functions and visible variables are names only;
* constants, strings and jump tables that only this file sees stand in the text, and so do static
  variables: hidden and global where other functions use them too (as `llvm.extract` leaves them).

Linked files have no relocations left: their operands are resolved by address. `reassemble` proves
each text: it assembles to the same instructions and references again.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.data_text import data_lines
from llm_compiler.disassembly.exception_text import TableText
from llm_compiler.disassembly.operands import (
    ABSOLUTE_DATA,
    RELATIVE_DATA,
    TLSDESC_CALL,
    Form,
    form_of,
    is_branch,
    is_jump,
    with_symbol,
)
from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import (
    AARCH64,
    SHN_COMMON,
    Binding,
    FileKind,
    Relocation,
    Section,
    Symbol,
    SymbolKind,
)
from llm_compiler.llvm.exceptions import Frame, read_exception_table, read_frames
from llm_compiler.llvm.listing import Instruction

__all__ = ["Data", "FunctionReader", "FunctionText", "Unreadable", "Variable"]

_MAX_INSTRUCTIONS = 20_000
_MAX_DATA_BYTES = 200_000
_LLVM_NUMBERED = re.compile(r"^\.L(CPI|JTI)\d+_(\d+)$")
_LLVM_PRIVATE = re.compile(r"^\.L(?!C\d|BB|tmp|func|CPI|JTI|FB|FE|BB)[A-Za-z_.][\w.$]*$")
_PLAIN_NAME = re.compile(r"^[A-Za-z_.$][\w.$]*$")
_NOPS = re.compile(r"^(?:data16 )*(?:nop\w?|xchgw %ax, ?%ax|int3)(?: |$)")


class Unreadable(Exception):
    """A function that cannot be written as assembly; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A static variable that a function refers to: where the input keeps it.

    `name` is what lifted code calls it; `symbol` the input's own name, empty where it has none.
    """

    name: str
    symbol: str
    section: int
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionText:
    """A function as assembly in normal form."""

    name: str
    text: str = field(repr=False)
    num_instructions: int
    size_bytes: int
    is_static: bool
    variables: tuple[Variable, ...]
    static_functions: tuple[str, ...]
    """Functions that it refers to and that only this file sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """A variable or constant as it is in the file.

    `pointers`: by offset, the 8 bytes that hold an address: a symbol's name and an addend.
    """

    name: str
    data: bytes = field(repr=False)
    alignment: int
    pointers: tuple[tuple[int, str, int], ...]
    is_constant: bool
    is_local: bool
    is_private: bool
    """It has no symbol: nothing else refers to it by this name."""
    is_thread_local: bool
    part_of: str = ""
    """The piece that it lies in, `offset` bytes from its start; then it has no bytes of its own."""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class _Target:
    """What an operand or a pointer stands for.

    One of: a name (`name`), a place in the function itself (`section` -1), or data (`section`,
    `anchor`: where the item begins).
    """

    name: str = ""
    section: int = 0
    anchor: int = 0
    addend: int = 0


_OWN = -1


@dataclass(slots=True)
class _Item:
    """A piece of data that goes into the text; offsets count in its section or are addresses."""

    section: Section
    start: int
    end: int
    symbol: Symbol | None
    name: str = ""
    is_shared: bool = False
    jump_table: int = 0
    """Bytes of an entry, where entries are distances within the function that carry no relocation;
    0: none."""
    base: int = 0
    """What such distances count from."""
    scale: int = 1

    @property
    def alignment(self) -> int:
        """In bytes: what section, place and size allow."""
        size, offset = self.end - self.start, self.start - self.section.address
        alignment = self.section.alignment or 1
        if offset:
            alignment = min(alignment, offset & -offset)
        is_known = size >= 16 or self.section.is_strings
        return alignment if is_known else min(alignment, size & -size)


class FunctionReader:
    """Writes functions of one binary as assembly."""

    def __init__(self, binary: Binary) -> None:
        self.binary = binary
        self.elf = binary.elf
        self.is_linked = binary.elf.kind is not FileKind.RELOCATABLE

    def read(self, symbol: Symbol) -> FunctionText:
        """Return a function's text.

        Raises:
            Unreadable: it is no code that an assembler can be given.
        """
        return _Reading(self, symbol).read()

    def read_data(self, names: Iterable[str], sections: Iterable[int] = ()) -> list[Data]:
        """Return variables of an object by name, and all data of it that they refer to in turn.

        Args:
            sections: of these, all that they hold is returned as one piece each, and what lies in
                them as a `Data.part_of` of that piece.

        Raises:
            Unreadable: one is not there, or where it ends or what it holds cannot be told.
        """
        return _DataReading(self, frozenset(sections)).read_data(names)

    # -- what the whole file knows ---

    @cached_property
    def references(self) -> dict[int, list[tuple[int, int, int]]]:
        """By section, where data is referred to: (place, section and place of who refers)."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        if self.is_linked:
            for section in self.elf.sections:
                if section.is_code:
                    for one in self.binary.listing.between(
                        section.index, section.address, section.address + section.size
                    ):
                        if one.target is not None:
                            place = self.elf.section_at(one.target)
                            if place is not None and not place.is_code:
                                referrer = section.index, one.address
                                found.setdefault(place.index, []).append((one.target, *referrer))
        else:
            for index, relocations in self.elf.relocations.items():
                if not self.elf.sections[index].is_allocated:
                    continue
                if self.elf.sections[index].name == ".eh_frame":
                    continue
                for relocation in relocations:
                    target = self._rough_place(index, relocation)
                    if target is not None:
                        referrer = index, relocation.offset
                        found.setdefault(target[0], []).append((target[1], *referrer))
        for places in found.values():
            places.sort()
        return found

    def _rough_place(self, section: int, one: Relocation) -> tuple[int, int] | None:
        """Return where a relocation points to in this file's data, None elsewhere."""
        if not one.symbol.is_defined or self.elf.sections[one.symbol.section].is_code:
            return None
        offset = one.addend
        form = form_of(self.elf.architecture, one.type)
        if self.elf.sections[section].is_code and form is not None and form.relative:
            holder = self.instruction_at(section, one.offset)
            offset += holder.end - one.offset if holder else 4
        if one.symbol.kind is not SymbolKind.SECTION:
            # The distance may lead out of the item: what is meant is the item.
            return one.symbol.section, one.symbol.value
        return one.symbol.section, offset

    def instruction_at(self, section: int, offset: int) -> Instruction | None:
        """Return the instruction that a byte belongs to."""
        found = self.binary.listing.between(section, max(0, offset - 15), offset + 1)
        return found[-1] if found else None

    def boundary(self, section: Section, start: int) -> int:
        """Return where a piece of data without a size ends at the latest."""
        limit = section.address + section.size
        places = self.references.get(section.index, [])
        after = bisect_right(places, start, key=lambda one: one[0])
        if after < len(places):
            limit = min(limit, places[after][0])
        symbols = self.elf.symbols_in(section.index)
        later = bisect_right(symbols, start, key=lambda one: one.value)
        if later < len(symbols):
            limit = min(limit, symbols[later].value)
        return max(limit, start)

    def is_used_outside(
        self, item: Section, start: int, end: int, own: tuple[int, int, int]
    ) -> bool:
        """Whether code other than the own (section, start, end) refers to a piece of data."""
        places = self.references.get(item.index, [])
        first = bisect_left(places, start, key=lambda one: one[0])
        section, own_start, own_end = own
        for place, where, offset in places[first:]:
            if place >= max(end, start + 1):
                return False
            if where != section or not own_start <= offset < own_end:
                return True
        return False

    @cached_property
    def frames(self) -> dict[tuple[int, int], Frame]:
        """Frame descriptions that name exception tables."""
        try:
            return read_frames(self.elf)
        except InputError as error:
            raise Unreadable(f"cannot be read: {error}") from None

    @cached_property
    def slots(self) -> dict[int, tuple[str, int]]:
        """Addresses that the dynamic linker fills in: the symbol's name, if any, and the addend."""
        found = {}
        for one in self.elf.dynamic_relocations:
            found[one.offset] = one.symbol.name.partition("@")[0], one.addend
        return found


class _Reading:
    """The state of writing one function."""

    def __init__(self, reader: FunctionReader, symbol: Symbol) -> None:
        self.reader, self.symbol = reader, symbol
        self.binary, self.elf = reader.binary, reader.elf
        self.architecture = self.elf.architecture
        self.section = self.elf.sections[symbol.section]
        self.start, self.end = symbol.value, self.binary.end_of(symbol)
        self.items: dict[tuple[int, int], _Item] = {}
        self.labels: set[int] = set()
        self.named: dict[str, Symbol | None] = {}
        self.called: set[str] = set()
        self.suffixes: dict[int, str] = {}
        self._first_alignment = 1
        self.table: TableText | None = None

    # -- the way through ---

    def read(self) -> FunctionText:
        symbol = self.symbol
        if symbol.kind is SymbolKind.IFUNC:
            raise Unreadable("is chosen at load time (ifunc)")
        if self.section.takes_no_space:
            raise Unreadable("has no code in this file")
        self.instructions = self._instructions()
        self.places = {one.address for one in self.instructions}
        self._read_exception_table()
        operands = {one.address: self._operand(one) for one in self.instructions}
        self._collect(target for found in operands.values() if found for target in (found[0],))
        self._name_items()
        body = self._body(operands)
        text = "".join(f"{line}\n" for line in self._module(body))
        text = normalize_assembly(text, self.binary.target_triple)
        return FunctionText(
            name=symbol.name,
            text=text,
            num_instructions=len(self.instructions),
            size_bytes=self.end - self.start,
            is_static=symbol.is_local,
            variables=tuple(
                Variable(
                    name=item.name,
                    symbol=item.symbol.name if item.symbol else "",
                    section=item.section.index,
                    offset=item.start - item.section.address,
                )
                for item in self.items.values()
                if item.section.is_writable
            ),
            static_functions=tuple(
                name
                for name, one in self.named.items()
                if one is not None and one.is_local and self.elf.sections[one.section].is_code
            ),
        )

    def _instructions(self) -> list[Instruction]:
        found = list(self.binary.listing.between(self.section.index, self.start, self.end))
        if not self.symbol.size:
            while found and _NOPS.match(found[-1].text):
                found.pop()
        if not found:
            raise Unreadable("is empty: its symbol stands for no instructions")
        if len(found) > _MAX_INSTRUCTIONS:
            raise Unreadable(
                f"has {len(found)} instructions, and at most {_MAX_INSTRUCTIONS} are lifted"
            )
        if found[0].address != self.start:
            raise Unreadable("begins in the middle of an instruction")
        if found[-1].end > self.end:
            raise Unreadable("ends in the middle of an instruction")
        self.end = found[-1].end
        if any(one.is_data for one in found):
            raise Unreadable("has data among its instructions")
        return found

    def _read_exception_table(self) -> None:
        frame = self.reader.frames.get((self.section.index, self.start))
        if frame is None or frame.table is None:
            return
        if self.reader.is_linked:
            raise Unreadable("has an exception table, which is read from objects only")
        try:
            table = read_exception_table(self.elf, frame)
        except InputError as error:
            raise Unreadable(f"cannot be read: {error}") from None
        size = self.end - self.start
        places = {one - self.start for one in self.places} | {size}
        for site in table.call_sites:
            inside = {site.start, site.start + site.length} <= places
            if not inside or (site.landing_pad and site.landing_pad not in places - {size}):
                raise Unreadable("has landing pads or calls that throw in another part of its code")
        self.table = TableText(table, size, self.architecture)

    # -- operands ---

    def _operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        """Return what an instruction refers to, how it is written, and where its field ends."""
        if self.reader.is_linked:
            return self._linked_operand(one)
        relocations = self.elf.relocations_in(self.section.index, one.address, one.end)
        relocations = [
            reloc for reloc in relocations if not self._is_tls_marker(one, reloc) and reloc.type
        ]
        if not relocations:
            return self._resolved_operand(one)
        if len(relocations) > 1:
            raise Unreadable(f"has two symbols in one instruction ({one.text})")
        reloc = relocations[0]
        form = form_of(self.architecture, reloc.type)
        if form is None:
            raise Unreadable(f"has a relocation of type {reloc.type}, which is not known here")
        addend = reloc.addend
        if form.relative:
            addend += one.end - reloc.offset
        target = self._of_symbol(reloc.symbol, addend, branch=is_branch(self.architecture, one))
        if form.suffix in ("@TLSGD", "@TLSLD"):
            self.suffixes[one.address] = "tls"
        size = 8 if reloc.type == 1 else 4
        return target, form, one.end - reloc.offset - size

    def _is_tls_marker(self, one: Instruction, reloc: Relocation) -> bool:
        if self.architecture == AARCH64 and reloc.type == TLSDESC_CALL:
            self.suffixes[one.address] = f".tlsdesccall {_name(reloc.symbol.name)}"
            return True
        return False

    def _resolved_operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        """Return what the assembler resolved by itself: places in the same section."""
        if one.target is None or one.target < 0:
            return None
        relative = "(%rip)" in one.text or one.mnemonic in ("adr", "adrp")
        if self.architecture == AARCH64 and one.mnemonic == "ldr" and "[" not in one.text:
            relative = True
        if not relative and not is_branch(self.architecture, one):
            return None
        return self._of_jump(one, self.section), Form(), 0

    def _of_jump(self, one: Instruction, section: Section) -> _Target:
        """Return where an instruction without a relocation goes, or what it refers to.

        A jump to the function's own start is a loop, unlike a call.
        """
        assert one.target is not None
        is_own = section.index == self.section.index and one.target == self.start
        if is_own and is_jump(self.architecture, one):
            self.labels.add(self.start)
            return _Target(section=_OWN, anchor=self.start)
        return self._of_place(section, one.target)

    def _of_symbol(self, symbol: Symbol, addend: int, *, branch: bool = False) -> _Target:
        if not symbol.is_defined:
            if not symbol.name:
                raise Unreadable("refers to an address without a symbol")
            return self._by_name(symbol, symbol.name, addend)
        section = self.elf.sections[symbol.section]
        value = symbol.value
        if symbol.kind is SymbolKind.SECTION:
            return self._of_place(section, section.address + addend)
        if section.is_code:
            if symbol.index != self.symbol.index and not symbol.name.startswith(".L"):
                # Another name of the function itself is a name, too: it may be weak.
                return self._by_name(symbol, symbol.name, addend)
            if symbol.index == self.symbol.index and not addend:
                return self._by_name(self.symbol, self.symbol.name, 0)
            return self._of_place(section, value + addend)
        if not self._is_own(symbol, section):
            return self._by_name(symbol, symbol.name, addend)
        return self._data(section, value, symbol, addend)

    def _is_own(self, symbol: Symbol, section: Section) -> bool:
        """Whether a variable belongs into the text: what only this file, or this library, sees.

        Hidden variables are how extracted functions hold shared static ones (`llvm.extract`).
        """
        return symbol.is_local or (symbol.is_hidden and section.is_writable)

    def _by_name(self, symbol: Symbol | None, name: str, addend: int) -> _Target:
        name = name.partition("@")[0]
        self.named.setdefault(name, symbol)
        return _Target(name=name, addend=addend)

    def _of_place(self, section: Section, place: int) -> _Target:
        """Return what stands at a place (an offset, or an address in linked files)."""
        if section.is_code:
            if section.index == self.section.index and self.start < place < self.end:
                if place not in self.places:
                    raise Unreadable("refers to the middle of an instruction of its own")
                self.labels.add(place)
                return _Target(section=_OWN, anchor=place)
            if section.index == self.section.index and place == self.start:
                return self._by_name(self.symbol, self.symbol.name, 0)
            return self._function_at(section, place)
        here = self.elf.symbols_at(section.index, place)
        symbols = self.elf.symbols_in(section.index)
        if place < section.address and symbols and not self.reader.is_linked:
            # In front of the section is nothing: loops that count first start there.
            first = symbols[0]
            if not self._is_own(first, section):
                return self._by_name(first, first.name, place - first.value)
            return self._data(section, first.value, first, place - first.value)
        before = bisect_right(symbols, place, key=lambda one: one.value)
        # One behind the last element is a place that loops compare with. Where something else
        # begins there, it is that, which stays a neighbour. But objects name visible variables by
        # their symbols: a bare place next to one is the end of what stands before.
        ends_here = place == section.address + section.size or (
            bool(here) and not self.reader.is_linked and not self._is_own(here[0], section)
        )
        ends_here = ends_here and not section.is_strings and not section.is_mergeable
        for symbol in reversed(symbols[max(0, before - 8) : before]):
            end = symbol.value + symbol.size
            inside = symbol.value < place < end and not here
            if inside or (ends_here and symbol.size and place == end and symbol.is_local):
                addend = place - symbol.value
                if not self._is_own(symbol, section):
                    return self._by_name(symbol, symbol.name, addend)
                return self._data(section, symbol.value, symbol, addend)
        if here and not self._is_own(here[0], section):
            return self._by_name(here[0], here[0].name, 0)
        return self._data(section, place, here[0] if here else None, 0)

    def _function_at(self, section: Section, place: int) -> _Target:
        found = [
            one
            for one in self.elf.symbols_at(section.index, place)
            if not one.name.startswith(".L")
        ]
        if found:
            return self._by_name(found[0], found[0].name, 0)
        for symbol in self.binary.functions():
            if symbol.section == section.index and symbol.value < place < self.binary.end_of(
                symbol
            ):
                return self._by_name(symbol, symbol.name, place - symbol.value)
        raise Unreadable(f"refers to code at {place:#x} that no symbol names")

    # -- linked files ---

    def _linked_operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        if self.architecture == AARCH64:
            return self._linked_arm_operand(one)
        if one.target is None:
            return self._absolute_operand(one)
        if is_branch(self.architecture, one):
            return self._of_branch(one), Form(), 0
        if "(%rip)" not in one.text:
            return None
        return (*self._of_address(one.target, "@GOTPCREL"), 0)

    def _of_branch(self, one: Instruction) -> _Target:
        assert one.target is not None
        section = self.elf.section_at(one.target)
        if section is None:
            raise Unreadable(f"jumps to {one.target:#x}, which is outside the file")
        if section.name.startswith((".plt", ".iplt")):
            name, _, rest = one.hint.partition("@")
            if not name or not rest.startswith("plt") or "+" in rest:
                raise Unreadable(
                    f"calls {one.target:#x}, an entry of {section.name} without a name"
                )
            self.called.add(name)
            return self._by_name(None, name, 0)
        return self._of_jump(one, section)

    def _of_address(self, address: int, slot_suffix: str) -> tuple[_Target, Form]:
        section = self.elf.section_at(address)
        if section is None:
            raise Unreadable(f"refers to {address:#x}, which is outside the file")
        if section.name.startswith(".got"):
            prefix = slot_suffix if slot_suffix.startswith(":") else ""
            form = Form(prefix=prefix, suffix="" if prefix else slot_suffix, through_table=True)
            if address in self.reader.slots:
                name, addend = self.reader.slots[address]
                if name:
                    return self._by_name(self.elf.symbol(name), name, 0), form
                value = addend
            else:
                offset = address - section.address
                value = int.from_bytes(section.read(offset, offset + 8), "little")
            held = self.elf.section_at(value) if value else None
            if held is None:
                raise Unreadable(f"loads an address from {address:#x} that nothing fills in")
            target = self._of_place(held, value)
            if target.section == _OWN:
                raise Unreadable("loads the address of a label of its own from a table")
            return target, form
        return self._of_place(section, address), Form()

    def _absolute_operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        """Return the address in an instruction of an executable that is not loaded anywhere else.

        A displacement is taken for an address where it lies in a section; an immediate only in
        ``mov`` and ``push``.
        """
        if self.elf.kind is not FileKind.EXECUTABLE:
            return None
        displacement = _DISPLACEMENT.search(one.text)
        immediate = _MOVED.match(one.text)
        match = displacement or immediate
        if match is None:
            return None
        address = int(match[1])
        section = self.elf.section_at(address)
        if section is None or (section.is_code and not self.elf.symbols_at(section.index, address)):
            return None
        return self._of_place(section, address), Form(), 0 if immediate and not displacement else 4

    def _linked_arm_operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        if is_branch(self.architecture, one):
            return self._of_branch(one), Form(), 0
        if one.mnemonic == "adr" or (one.mnemonic == "ldr" and "[" not in one.text):
            if one.target is None:
                return None
            return (*self._of_address(one.target, ":got:"), 0)
        return self._arm_operand(one)

    @cached_property
    def _arm_addresses(self) -> dict[int, tuple[int, bool]]:
        """Pair each adrp with what adds the rest: by place, the address, and whether it is low."""
        found: dict[int, tuple[int, bool]] = {}
        pages: dict[str, tuple[int, int]] = {}
        for one in self.instructions:
            words = re.split(r"[ ,\[\]]+", one.text)
            if one.mnemonic == "adrp" and one.target is not None:
                pages[words[1]] = one.address, one.target
                continue
            if match := _ARM_LOW.search(one.text):
                register = match[1] or match[3]
                if register in pages:
                    source, page = pages[register]
                    address = page + int(match[2] or match[4] or 0)
                    found[one.address] = address, True
                    found.setdefault(source, (address, False))
            if words[0].startswith(("b", "ret")):
                continue
            if not one.mnemonic.startswith(("st", "cmp", "cmn", "tst", "cb", "tb", "prfm")):
                loaded = words[1:3] if one.mnemonic.startswith(("ldp", "ldxp")) else words[1:2]
                for register in loaded:
                    pages.pop(register.replace("w", "x", 1), None)
        for one in self.instructions:
            if one.mnemonic == "adrp" and one.address not in found:
                raise Unreadable(f"computes an address in more than two steps ({one.text})")
        return found

    def _arm_operand(self, one: Instruction) -> tuple[_Target, Form, int] | None:
        if one.address not in self._arm_addresses:
            return None
        address, is_low = self._arm_addresses[one.address]
        target, form = self._of_address(address, ":got:")
        if is_low:
            low = ":got_lo12:" if form.through_table else ":lo12:"
            form = Form(prefix=low, through_table=form.through_table)
        return target, form, 0

    # -- data ---

    def _data(self, section: Section, start: int, symbol: Symbol | None, addend: int) -> _Target:
        if not section.is_allocated:
            raise Unreadable(f"refers to {section.name}, which is not in memory when it runs")
        if (section.index, start) not in self.items:
            if symbol is None:
                at = [
                    one
                    for one in self.elf.symbols_at(section.index, start)
                    if one.kind is SymbolKind.OBJECT or one.name.startswith(".L")
                ]
                symbol = at[0] if at else None
            end = self._end_of_data(section, start, symbol)
            item = _Item(section=section, start=start, end=end, symbol=symbol)
            if item.end <= item.start:
                raise Unreadable(f"refers to the end of {section.name}, where nothing is")
            self.items[section.index, start] = item
            self._find_jump_table(item)
            self._collect_pointers(item)
            if sum(one.end - one.start for one in self.items.values()) > _MAX_DATA_BYTES:
                raise Unreadable(f"refers to more than {_MAX_DATA_BYTES} bytes of data")
        return _Target(section=section.index, anchor=start, addend=addend)

    def _end_of_data(self, section: Section, start: int, symbol: Symbol | None) -> int:
        limit = section.address + section.size
        if symbol is not None and symbol.size and symbol.value == start:
            return min(start + symbol.size, limit)
        offset = start - section.address
        if section.is_strings or (
            self.reader.is_linked
            and not section.is_writable
            and symbol is None
            and self._is_string(section, offset)
        ):
            width = section.entry_size or 1
            data = section.data
            while offset + width <= len(data):
                if not any(data[offset : offset + width]):
                    return section.address + offset + width
                offset += width
            return limit
        if section.is_mergeable and section.entry_size:
            size = section.entry_size
            return min(start - offset % size + size, limit)
        return self.reader.boundary(section, start)

    def _is_string(self, section: Section, offset: int) -> bool:
        """Whether bytes of a linked file look like a C string: nothing else says where it ends."""
        if section.name != ".rodata":
            return False
        end = section.data.find(b"\0", offset, offset + 4096)
        text = section.data[offset:end] if end >= 0 else b""
        return len(text) > 0 and all(32 <= byte < 127 or byte in (9, 10, 13, 27) for byte in text)

    def _collect(self, targets: Iterator[_Target]) -> None:
        for _ in targets:
            pass  # made on the way; the items have what they refer to

    def _relocations(self, item: _Item) -> Iterator[tuple[int, int, _Target, bool]]:
        """Yield the symbolic values of an item: offset in it, size, target, whether a distance."""
        if self.reader.is_linked:
            for address in range(item.start + -item.start % 8, item.end - 7, 8):
                if address in self.reader.slots:
                    name, addend = self.reader.slots[address]
                    if name:
                        target = self._by_name(self.elf.symbol(name), name, addend)
                    else:
                        section = self.elf.section_at(addend)
                        if section is None:
                            raise Unreadable(f"refers to {addend:#x}, which is outside the file")
                        target = self._of_place(section, addend)
                    yield address - item.start, 8, target, False
            return
        for one in self.elf.relocations_in(item.section.index, item.start, item.end):
            if one.type in ABSOLUTE_DATA[self.architecture]:
                target = self._of_symbol(one.symbol, one.addend)
                yield (
                    one.offset - item.start,
                    ABSOLUTE_DATA[self.architecture][one.type],
                    target,
                    False,
                )
            elif one.type in RELATIVE_DATA[self.architecture]:
                addend = one.addend - (one.offset - item.start)
                target = self._of_symbol(one.symbol, addend)
                yield (
                    one.offset - item.start,
                    RELATIVE_DATA[self.architecture][one.type],
                    target,
                    True,
                )
            else:
                raise Unreadable(f"refers to data with a relocation of type {one.type}")

    def _collect_pointers(self, item: _Item) -> None:
        for _ in self._relocations(item):
            pass
        if item.jump_table:
            for target in self._entries(item):
                self.labels.add(target)

    # -- jump tables without relocations ---

    def _find_jump_table(self, item: _Item) -> None:
        """Recognise tables of distances that the assembler or linker resolved.

        AArch64: ``(block - base) >> 2`` in one or two bytes, read by ldrb or ldrh in front of an
        indirect branch. Linked files: ``block - table`` in four bytes.
        """
        if item.section.is_writable or item.section.is_strings or item.section.is_mergeable:
            return
        indirect = any(
            one.text.startswith(("jmpq *%", "notrack jmpq *%", "br ")) for one in self.instructions
        )
        if not indirect:
            return
        if self.architecture == AARCH64 and (shape := self._arm_table(item)) is not None:
            item.jump_table, item.base = shape
            item.scale = 4
        elif self.reader.is_linked:
            item.jump_table, item.base = 4, item.start
        else:
            return
        count = len(self._entries(item))
        bound = self._bound(item)
        if bound is not None and bound <= count:
            count = bound
        if count < 2:
            item.jump_table = 0
            return
        item.end = item.start + count * item.jump_table

    def _entries(self, item: _Item) -> list[int]:
        """Return the targets of a table, as far as they are instructions of the function."""
        found = []
        size = item.jump_table
        signed = item.scale == 1
        offset = item.start - item.section.address
        data = item.section.read(offset, item.end - item.section.address)
        for position in range(0, len(data) - size + 1, size):
            distance = int.from_bytes(data[position : position + size], "little", signed=signed)
            place = item.base + distance * item.scale
            if place not in self.places:
                break
            found.append(place)
        return found

    def _arm_table(self, item: _Item) -> tuple[int, int] | None:
        users = [i for i, one in enumerate(self.instructions) if self._mentions(one, item)]
        for index in users:
            window = self.instructions[index : index + 12]
            size = base = 0
            for one in window:
                if one.mnemonic == "ldrb" and not size:
                    size = 1
                elif one.mnemonic == "ldrh" and not size:
                    size = 2
                elif one.mnemonic == "adr" and one.target in self.places:
                    base = one.target or 0
                elif one.mnemonic == "br" and size and base:
                    return size, base
        return None

    def _mentions(self, one: Instruction, item: _Item) -> bool:
        if self.reader.is_linked:
            return self._arm_addresses.get(one.address, (0, False))[0] == item.start
        for reloc in self.elf.relocations_in(self.section.index, one.address, one.end):
            if reloc.symbol.is_defined and reloc.symbol.section == item.section.index:
                value = 0 if reloc.symbol.kind is SymbolKind.SECTION else reloc.symbol.value
                return value + reloc.addend == item.start
        return False

    def _bound(self, item: _Item) -> int | None:
        """Return how many entries the comparison in front of the table's use allows."""
        for index, one in enumerate(self.instructions):
            refers = (
                one.target == item.start
                if self.reader.is_linked and self.architecture != AARCH64
                else self._mentions(one, item)
            )
            if not refers:
                continue
            for before in reversed(self.instructions[max(0, index - 12) : index]):
                if match := _COMPARED.match(before.text):
                    return int(match[1] or match[2]) + 1
        return None

    # -- names and text ---

    def _name_items(self) -> None:
        counts: dict[str, int] = {}
        taken: set[str] = set()

        def fresh(stem: str, first: str) -> str:
            while True:
                number = counts.get(stem, 0)
                counts[stem] = number + 1
                name = first if not number and first else f"{stem}{number}"
                if name not in taken:
                    return name

        # Names that the input gives come first, so that made-up ones keep out of their way.
        for item in self.items.values():
            item.name = self._given_name(item)
            taken.add(item.name)
        for item in sorted(self.items.values(), key=lambda one: (one.section.index, one.start)):
            if item.name:
                continue
            if item.section.is_writable:
                offset = item.start - item.section.address
                item.name = f"lifted_data_{item.section.index}_{offset:x}"
            elif item.section.is_strings:
                item.name = fresh(".L.str.", ".L.str")
            elif item.section.is_mergeable:
                item.name = fresh(".LCPI0_", "")
            elif item.jump_table or self._is_jump_table(item):
                item.name = fresh(".LJTI0_", "")
            elif self.reader.is_linked and self._is_string(
                item.section, item.start - item.section.address
            ):
                item.name = fresh(".L.str.", ".L.str")
            else:
                item.name = fresh(f".L__const.{self.symbol.name}.", f".L__const.{self.symbol.name}")
            taken.add(item.name)
        own = self.section.index, self.start, self.end
        for item in self.items.values():
            if item.section.is_writable:
                one = item.symbol
                item.is_shared = (
                    one is None
                    or not one.is_local
                    or one.name.startswith(".L")
                    # Who refers to what is known function by function only.
                    or (self.reader.is_linked and self.architecture == AARCH64)
                    or self.reader.is_used_outside(item.section, item.start, item.end, own)
                )

    def _given_name(self, item: _Item) -> str:
        if item.symbol is None:
            return ""
        name = item.symbol.name
        if not name.startswith(".L"):
            return name
        if item.section.is_writable:
            return ""
        if match := _LLVM_NUMBERED.match(name):
            return f".L{match[1]}0_{match[2]}"
        return name if _LLVM_PRIVATE.match(name) else ""

    def _is_jump_table(self, item: _Item) -> bool:
        found = list(self._relocations(item))
        return bool(found) and all(target.section == _OWN for _, _, target, _ in found)

    @cached_property
    def _label_names(self) -> dict[int, str]:
        return {place: f".LBB0_{i}" for i, place in enumerate(sorted(self.labels), 1)}

    def _expression(self, target: _Target) -> str:
        if target.section == _OWN:
            name = self._label_names[target.anchor]
        elif target.name:
            name = _name(target.name)
        else:
            name = _name(self.items[target.section, target.anchor].name)
        return name + (f"{target.addend:+d}" if target.addend else "")

    def _is_preemptible(self, name: str) -> bool:
        """Whether another definition may take a function's place, so that it is called by @PLT."""
        if self.binary.called_through_plt is not None:
            return name in self.binary.called_through_plt
        symbol = self.named.get(name)
        return symbol is None or not (symbol.is_local or symbol.is_hidden)

    def _body(self, operands: dict[int, tuple[_Target, Form, int] | None]) -> list[str]:
        lines: list[str] = []
        after_tls = False
        padding = self._padding()
        for one in self.instructions:
            if one.address in padding:
                lines += [".p2align 4, 0x90"] if padding[one.address] else []
                continue
            lines += self._labels_at(one.address)
            suffix = self.suffixes.get(one.address, "")
            if suffix == "tls":
                if one.size == 8:
                    lines.append("data16")
            elif suffix:
                lines.append(suffix)
            elif after_tls and one.size == 8:
                lines += ["data16", "data16", "rex64"]
            after_tls = suffix == "tls"
            operand = operands[one.address]
            if operand is None:
                lines.append(one.text)
                continue
            target, form, field_end = operand
            symbol = self._expression(target)
            if (
                self.architecture != AARCH64
                and target.name
                and is_branch(self.architecture, one)
                and (target.name in self.called or self._is_preemptible(target.name))
                and (target.name != self.symbol.name or self._is_relocated(one))
            ):
                form = Form(suffix="@PLT")
            text = with_symbol(self.architecture, one, symbol, form, field_end)
            if text is None:
                raise Unreadable(f"has a symbol in an operand that is not known here ({one.text})")
            lines.append(text)
        return lines

    def _labels_at(self, address: int) -> list[str]:
        own = [f"{self._label_names[address]}:"] if address in self.labels else []
        if self.table is None:
            return own
        before, behind = self.table.labels_at(address - self.start)
        return [*before, *own, *behind]

    def _is_relocated(self, one: Instruction) -> bool:
        return bool(self.elf.relocations_in(self.section.index, one.address, one.end))

    def _padding(self) -> dict[int, bool]:
        """Return the no-ops that align a block (x86-64), and whether each begins a run."""
        found: dict[int, bool] = {}
        if self.architecture == AARCH64 or self.start % 16 or self.section.alignment < 16:
            return found
        run: list[int] = []
        for one in self.instructions:
            if _NOPS.match(one.text) and not self._labels_at(one.address):
                run.append(one.address)
                continue
            if run and one.address % 16 == 0 and one.address - run[0] < 16:
                found |= {address: address == run[0] for address in run}
            run = []
        return found

    def _module(self, body: Sequence[str]) -> Iterator[str]:
        symbol, name = self.symbol, _name(self.symbol.name)
        yield ".text"
        ordered = sorted(self.items.values(), key=lambda one: (one.section.index, one.start))
        constants = [one for one in ordered if one.name.startswith(".LCPI")]
        tables = [one for one in ordered if one.name.startswith(".LJTI")]
        others = [one for one in ordered if one not in constants and one not in tables]
        section = ".text"
        before: _Item | None = None
        for item in constants:
            yield from self._item(item, section, before)
            section, before = _directive(item.section), item
        if section != ".text":
            yield ".text"
            section = ".text"
        if symbol.is_local or symbol.is_hidden:
            yield f".hidden {name}"
        yield f".{'weak' if symbol.binding == 'weak' else 'globl'} {name}"
        if self.architecture == AARCH64:
            yield ".p2align 2"
        elif self.section.alignment >= 16 and self.start % 16 == 0:
            yield ".p2align 4, 0x90"
        elif symbol.name.startswith("_ZN"):
            # A pointer to a member function needs the lowest bit.
            yield ".p2align 1, 0x90"
        yield f".type {name}, @function"
        yield f"{name}:"
        if self.table is not None:
            yield from self.table.head()
            yield from body
            yield from self._labels_at(self.end)
            yield from self.table.end()
        else:
            yield from body
        before = None
        for item in tables:
            yield from self._item(item, section, before)
            section, before = _directive(item.section), item
        if self.table is not None:
            yield from self.table.directives()
            section, before = "", None
        for item in others:
            yield from self._item(item, section, before)
            if not self._is_common(item):
                section, before = _directive(item.section), item
        if self.table is not None:
            yield from self.table.slots(section)
        for other, one in self.named.items():
            if other == self.symbol.name:
                continue
            if one is not None and (one.is_local or one.is_hidden):
                yield f".hidden {_name(other)}"
            elif one is not None and one.binding == "weak" and not one.is_defined:
                yield f".weak {_name(other)}"

    def _is_common(self, item: _Item) -> bool:
        return (
            item.section.name.startswith(".bss")
            and not item.is_shared
            and item.section.takes_no_space
        )

    def _item(self, item: _Item, section: str, before: _Item | None) -> Iterator[str]:
        name = _name(item.name)
        is_label = item.name.startswith((".LCPI", ".LJTI"))
        size = item.end - item.start
        alignment = item.alignment
        if item.is_shared:
            yield f".hidden {name}"
        if not is_label:
            yield f".type {name}, @object"
        if self._is_common(item):
            yield f".local {name}"
            yield f".comm {name}, {size}, {alignment}"
            return
        if (own := _directive(item.section)) != section:
            yield own
        if item.is_shared:
            yield f".globl {name}"
        # Neighbours stay neighbours: code may count from one into the next. What the first of them
        # is not aligned to would push the others away.
        follows = before is not None and before.section is item.section and before.end == item.start
        if not follows:
            self._first_alignment = alignment
        if 1 < alignment <= self._first_alignment:
            fill = "" if item.jump_table and item.scale > 1 else ", 0x0"
            yield f".p2align {alignment.bit_length() - 1}{fill}"
        yield f"{name}:"
        yield from self._values(item, alignment)
        if not is_label:
            yield f".size {name}, {size}"

    def _values(self, item: _Item, alignment: int) -> list[str]:
        start, end = (place - item.section.address for place in (item.start, item.end))
        data = item.section.read(start, end)
        symbols = {}
        own = _name(item.name)
        if item.jump_table:
            base = own if item.scale == 1 else self._label_names[item.base]
            for index, place in enumerate(self._entries(item)):
                distance = f"{self._label_names[place]}-{base}"
                expression = distance if item.scale == 1 else f"({distance})>>2"
                symbols[index * item.jump_table] = item.jump_table, expression
        for place, size, target, is_distance in self._relocations(item):
            expression = self._expression(target)
            symbols[place] = size, f"{expression}-{own}" if is_distance else expression
        return data_lines(
            self.architecture,
            data,
            alignment,
            symbols,
            is_string=item.section.is_strings or item.name.startswith(".L.str"),
            as_bits=item.name.startswith(".LCPI"),
        )


class _DataReading(_Reading):
    """Reads data without a function."""

    def __init__(self, reader: FunctionReader, whole: frozenset[int] = frozenset()) -> None:
        self.whole = whole
        # Section 0 is nowhere, and no place is between its start and its end.
        nothing = Symbol(
            index=-1,
            name="",
            kind=SymbolKind.NONE,
            binding=Binding.LOCAL,
            is_hidden=False,
            section=0,
            value=0,
            size=1,
        )
        super().__init__(reader, nothing)
        self.instructions: list[Instruction] = []
        self.places: set[int] = set()

    def read_data(self, names: Iterable[str]) -> list[Data]:
        for name in names:
            self.named[name] = self.elf.symbol(name)
        pieces: dict[int, _Item] = {}
        for index in sorted(self.whole):
            section = self.elf.sections[index]
            end = section.address + section.size
            item = _Item(section=section, start=section.address, end=end, symbol=None)
            item.name = f"section{section.name}"
            pieces[index] = item
            self._collect_pointers(item)
        done: set[str] = set()
        # Names of variables are references, too; what each holds is collected on the way.
        while pending := [name for name in self.named if name not in done]:
            for name in pending:
                done.add(name)
                symbol = self.elf.symbol(name)
                if symbol is not None and symbol.section == SHN_COMMON and not self.whole:
                    raise Unreadable(f"refers to {name}, which other files may define (-fcommon)")
                if symbol is None or not symbol.is_defined:
                    continue
                section = self.elf.sections[symbol.section]
                if section.is_code:
                    continue
                if not symbol.size:
                    raise Unreadable(f"refers to {name}, whose size its symbol does not say")
                self._data(section, symbol.value, symbol, 0)
        self._name_items()
        found = [self._as_data(item) for item in pieces.values()]
        for item in self.items.values():
            if piece := pieces.get(item.section.index):
                found.append(self._as_part(item, piece))
            else:
                found.append(self._as_data(item))
        return found

    def _as_part(self, item: _Item, piece: _Item) -> Data:
        return Data(
            name=item.name,
            data=bytes(item.end - item.start),
            alignment=1,
            pointers=(),
            is_constant=False,
            is_local=item.symbol is None or item.symbol.is_local,
            is_private=False,
            is_thread_local=item.section.is_thread_local,
            part_of=piece.name,
            offset=item.start - piece.start,
        )

    def _as_data(self, item: _Item) -> Data:
        pointers = []
        for offset, size, target, is_distance in self._relocations(item):
            if is_distance or size != 8:
                raise Unreadable(f"refers to {item.name}, which holds no whole addresses")
            name = target.name or self.items[target.section, target.anchor].name
            pointers.append((offset, name, target.addend))
        base = item.section.address
        symbol = item.symbol
        is_private = symbol is None or item.name != symbol.name or item.name.startswith(".L")
        if is_private and item.section.is_writable and item.section.index not in self.whole:
            raise Unreadable("refers to a variable without a symbol, which may be part of another")
        return Data(
            name=item.name,
            data=item.section.read(item.start - base, item.end - base),
            alignment=item.alignment,
            pointers=tuple(pointers),
            is_constant=not item.section.is_writable,
            is_local=symbol is None or symbol.is_local,
            is_private=is_private,
            is_thread_local=item.section.is_thread_local,
        )


_DISPLACEMENT = re.compile(r"(?<![\w$(])(\d{5,})(?=\(|$|, %)")
_MOVED = re.compile(r"^(?:mov[lq]|pushq) \$(\d{5,})(?:, %\w+)?$")
_ARM_LOW = re.compile(r"(?:^add x\d+, (x\d+), #(\d+)$)|(?:\[(x\d+)(?:, #(\d+))?\]$)")
_COMPARED = re.compile(r"^(?:cmp[bwlq] \$(\d+), \S+|cmp [wx]\d+, #(\d+))$")


def _name(name: str) -> str:
    """Quote a symbol's name where an assembler would not take it for one."""
    if _PLAIN_NAME.match(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _directive(section: Section) -> str:
    """Return the directive that changes to the usual section for such data."""
    if section.is_thread_local:
        if section.takes_no_space:
            return '.section .tbss, "awT", @nobits'
        return '.section .tdata, "awT", @progbits'
    if section.is_strings:
        size = section.entry_size or 1
        return f'.section .rodata.str{size}.{section.alignment or 1}, "aMS", @progbits, {size}'
    if section.is_mergeable:
        size = section.entry_size
        return f'.section .rodata.cst{size}, "aM", @progbits, {size}'
    if section.is_writable:
        return ".bss" if section.takes_no_space else ".data"
    if section.name.startswith(".data.rel.ro"):
        return '.section .data.rel.ro, "aw", @progbits'
    return '.section .rodata, "a", @progbits'
