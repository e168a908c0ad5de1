"""What one function refers to: names, places in its own code, and data, which is collected."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from llm_compiler.disassembly.reading.code import Code
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.disassembly.reading.items import OWN, Item, Target
from llm_compiler.disassembly.reading.jump_tables import cut_filler, find_jump_table, table_entries
from llm_compiler.llvm.elf import Section, Symbol, SymbolKind
from llm_compiler.llvm.listing import Instruction

__all__ = ["References"]

_MAX_DATA_BYTES = 1 << 20


class References:
    """Resolves what a function's operands and data refer to, and keeps what was found.

    Attributes:
        items: pieces of data that go into the text, by section and start.
        labels: places in the function that something refers to.
        named: what is referred to by name, with its symbol where the file has one.
    """

    def __init__(self, code: Code) -> None:
        self.code, self.file = code, code.file
        self.binary, self.elf = code.binary, code.elf
        self.architecture = code.architecture
        self.symbol, self.section = code.symbol, code.section
        self.start, self.end = code.start, code.end
        self.items: dict[tuple[int, int], Item] = {}
        self.labels: set[int] = set()
        self.named: dict[str, Symbol | None] = {}

    def of_jump(self, instruction: Instruction, section: Section) -> Target:
        """Return where an instruction without a relocation goes, or what it refers to.

        A jump to the function's own start is a loop, unlike a call.
        """
        assert instruction.target is not None
        is_own = section.index == self.section.index and instruction.target == self.start
        if is_own and self.architecture.is_jump(instruction):
            self.labels.add(self.start)
            return Target(section=OWN, anchor=self.start)
        return self.of_place(section, instruction.target)

    def of_symbol(self, symbol: Symbol, addend: int, *, branch: bool = False) -> Target:
        """Return what a relocation's symbol and addend stand for."""
        if not symbol.is_defined:
            if not symbol.name:
                raise Unreadable("refers to an address without a symbol")
            return self.by_name(symbol, symbol.name, addend)
        section = self.elf.sections[symbol.section]
        value = symbol.value
        if symbol.kind is SymbolKind.SECTION:
            return self.of_place(section, section.address + addend)
        if section.is_code:
            if symbol.index != self.symbol.index and not symbol.name.startswith(".L"):
                # Another name of the function itself is a name, too: it may be weak.
                return self.by_name(symbol, symbol.name, addend)
            if symbol.index == self.symbol.index and not addend:
                return self.by_name(self.symbol, self.symbol.name, 0)
            return self.of_place(section, value + addend)
        if not self._is_own(symbol, section):
            return self.by_name(symbol, symbol.name, addend)
        return self.data_at(section, value, symbol, addend)

    def _is_own(self, symbol: Symbol, section: Section) -> bool:
        """Whether a variable belongs into the text: what only this file, or this library, sees.

        Hidden variables are how extracted functions hold shared static ones (`llvm.extract`).
        """
        return symbol.is_local or (symbol.is_hidden and section.is_writable)

    def by_name(self, symbol: Symbol | None, name: str, addend: int) -> Target:
        """Return a symbol that the text calls by its name."""
        name = name.partition("@")[0]
        self.named.setdefault(name, symbol)
        return Target(name=name, addend=addend)

    def of_place(self, section: Section, place: int) -> Target:
        """Return what stands at a place (an offset, or an address in linked files)."""
        if section.is_code:
            if section.index == self.section.index and self.start < place < self.end:
                if place not in self.code.addresses:
                    raise Unreadable("refers to the middle of an instruction of its own")
                self.labels.add(place)
                return Target(section=OWN, anchor=place)
            if section.index == self.section.index and place == self.start:
                return self.by_name(self.symbol, self.symbol.name, 0)
            return self._function_at(section, place)
        here = self.elf.symbols_at(section.index, place)
        symbols = self.elf.symbols_in(section.index)
        if place < section.address and symbols and not self.file.is_linked:
            # In front of the section is nothing: loops that count first start there.
            first = symbols[0]
            if not self._is_own(first, section):
                return self.by_name(first, first.name, place - first.value)
            return self.data_at(section, first.value, first, place - first.value)
        before = bisect_right(symbols, place, key=lambda each_symbol: each_symbol.value)
        # One past the last element is a place that loops compare with. Where something else
        # begins there, it is that, which stays a neighbour. But objects name visible variables by
        # their symbols: a bare place next to one is the end of what stands before.
        ends_here = place == section.address + section.size or (
            bool(here) and not self.file.is_linked and not self._is_own(here[0], section)
        )
        ends_here = ends_here and not section.is_strings and not section.is_mergeable
        for symbol in reversed(symbols[max(0, before - 8) : before]):
            end = symbol.value + symbol.size
            inside = symbol.value < place < end and not here
            if inside or (ends_here and symbol.size and place == end and symbol.is_local):
                addend = place - symbol.value
                if not self._is_own(symbol, section):
                    return self.by_name(symbol, symbol.name, addend)
                return self.data_at(section, symbol.value, symbol, addend)
        if here and not self._is_own(here[0], section):
            return self.by_name(here[0], here[0].name, 0)
        return self.data_at(section, place, here[0] if here else None, 0)

    def _function_at(self, section: Section, place: int) -> Target:
        found = [
            each_symbol
            for each_symbol in self.elf.symbols_at(section.index, place)
            if not each_symbol.name.startswith(".L")
        ]
        if found:
            return self.by_name(found[0], found[0].name, 0)
        for symbol in self.binary.functions():
            if symbol.section == section.index and symbol.value < place < self.binary.end_of(
                symbol
            ):
                return self.by_name(symbol, symbol.name, place - symbol.value)
        raise Unreadable(f"refers to code at {place:#x} that no symbol names")

    # -- data ---

    def data_at(self, section: Section, start: int, symbol: Symbol | None, addend: int) -> Target:
        """Return a piece of data, which goes into the text with all that it refers to."""
        if not section.is_allocated:
            raise Unreadable(f"refers to {section.name}, which is not in memory when it runs")
        if (section.index, start) not in self.items:
            if symbol is None:
                at = [
                    each_symbol
                    for each_symbol in self.elf.symbols_at(section.index, start)
                    if each_symbol.kind is SymbolKind.OBJECT or each_symbol.name.startswith(".L")
                ]
                symbol = at[0] if at else None
            end = self._end_of_data(section, start, symbol)
            item = Item(section=section, start=start, end=end, symbol=symbol)
            if item.end <= item.start:
                raise Unreadable(f"refers to the end of {section.name}, where nothing is")
            self.items[section.index, start] = item
            cut_filler(self.code, item)
            find_jump_table(self.code, item)
            self.collect_pointers(item)
            if (
                sum(each_item.end - each_item.start for each_item in self.items.values())
                > _MAX_DATA_BYTES
            ):
                raise Unreadable(f"refers to more than {_MAX_DATA_BYTES} bytes of data")
        return Target(section=section.index, anchor=start, addend=addend)

    def _end_of_data(self, section: Section, start: int, symbol: Symbol | None) -> int:
        limit = section.address + section.size
        if symbol is not None and symbol.size and symbol.value == start:
            return min(start + symbol.size, limit)
        offset = start - section.address
        if section.is_strings or (
            self.file.is_linked
            and not section.is_writable
            and symbol is None
            and self.is_string(section, offset)
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
        return self.file.boundary(section, start)

    def is_string(self, section: Section, offset: int) -> bool:
        """Whether bytes of a linked file look like a C string: nothing else says where it ends."""
        if section.name != ".rodata":
            return False
        end = section.data.find(b"\0", offset, offset + 4096)
        text = section.data[offset:end] if end >= 0 else b""
        return len(text) > 0 and all(32 <= byte < 127 or byte in (9, 10, 13, 27) for byte in text)

    def symbolic_values(self, item: Item) -> Iterator[tuple[int, int, Target, bool]]:
        """Yield the symbolic values of an item: offset in it, size, target, whether a distance."""
        if self.file.is_linked:
            for address in range(item.start + -item.start % 8, item.end - 7, 8):
                if address in self.file.slots:
                    name, addend = self.file.slots[address]
                    if name:
                        target = self.by_name(self.elf.symbol(name), name, addend)
                    else:
                        section = self.elf.section_at(addend)
                        if section is None:
                            raise Unreadable(f"refers to {addend:#x}, which is outside the file")
                        target = self.of_place(section, addend)
                    yield address - item.start, 8, target, False
            return
        kinds = self.architecture.target.relocations
        for relocation in self.elf.relocations_in(item.section.index, item.start, item.end):
            if relocation.type in kinds.absolute:
                target = self.of_symbol(relocation.symbol, relocation.addend)
                yield (
                    relocation.offset - item.start,
                    kinds.absolute[relocation.type],
                    target,
                    False,
                )
            elif relocation.type in kinds.relative:
                addend = relocation.addend - (relocation.offset - item.start)
                target = self.of_symbol(relocation.symbol, addend)
                yield (
                    relocation.offset - item.start,
                    kinds.relative[relocation.type],
                    target,
                    True,
                )
            else:
                raise Unreadable(f"refers to data with a relocation of type {relocation.type}")

    def collect_pointers(self, item: Item) -> None:
        """Resolve what a piece of data refers to, so that it is collected too."""
        for _ in self.symbolic_values(item):
            pass
        if item.jump_table:
            for target in table_entries(self.code, item):
                self.labels.add(target)
