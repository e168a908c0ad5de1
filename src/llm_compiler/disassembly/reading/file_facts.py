"""What a whole file says of its data: who refers to it, and where its pieces end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import cached_property

from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import FileKind, Relocation, Section, SymbolKind
from llm_compiler.llvm.exceptions import Frame, read_frames
from llm_compiler.llvm.listing import Instruction

__all__ = ["FileFacts"]


class FileFacts:
    """One binary; each fact is found when it is first asked for, and kept."""

    def __init__(self, binary: Binary) -> None:
        self.binary = binary
        self.elf = binary.elf
        self.is_linked = binary.elf.kind is not FileKind.RELOCATABLE

    @cached_property
    def references(self) -> dict[int, list[tuple[int, int, int]]]:
        """By section, where data is referred to: (place, section and place of who refers)."""
        found: dict[int, list[tuple[int, int, int]]] = {}
        if self.is_linked:
            for section in self.elf.sections:
                if section.is_code:
                    for instruction in self.binary.listing.between(
                        section.index, section.address, section.address + section.size
                    ):
                        if instruction.target is not None:
                            position = self.elf.section_at(instruction.target)
                            if position is not None and not position.is_code:
                                referrer = section.index, instruction.address
                                found.setdefault(position.index, []).append(
                                    (instruction.target, *referrer)
                                )
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
        for positions in found.values():
            positions.sort()
        return found

    def _rough_place(self, section: int, relocation: Relocation) -> tuple[int, int] | None:
        """Return where a relocation points to in this file's data, None elsewhere."""
        if not relocation.symbol.is_defined or self.elf.sections[relocation.symbol.section].is_code:
            return None
        offset = relocation.addend
        form = architecture_named(self.elf.architecture).forms.get(relocation.type)
        if self.elf.sections[section].is_code and form is not None and form.relative:
            holder = self.instruction_at(section, relocation.offset)
            offset += holder.end - relocation.offset if holder else 4
        if relocation.symbol.kind is not SymbolKind.SECTION:
            # The distance may lead out of the item: what is meant is the item.
            return relocation.symbol.section, relocation.symbol.value
        return relocation.symbol.section, offset

    def instruction_at(self, section: int, offset: int) -> Instruction | None:
        """Return the instruction that a byte belongs to."""
        found = self.binary.listing.between(section, max(0, offset - 15), offset + 1)
        return found[-1] if found else None

    def boundary(self, section: Section, start: int) -> int:
        """Return where a piece of data without a size ends at the latest."""
        limit = section.address + section.size
        positions = self.references.get(section.index, [])
        after = bisect_right(positions, start, key=lambda position: position[0])
        if after < len(positions):
            limit = min(limit, positions[after][0])
        symbols = self.elf.symbols_in(section.index)
        later = bisect_right(symbols, start, key=lambda symbol: symbol.value)
        if later < len(symbols):
            limit = min(limit, symbols[later].value)
        return max(limit, start)

    def is_used_outside(
        self, item: Section, start: int, end: int, own: tuple[int, int, int]
    ) -> bool:
        """Whether code other than the own (section, start, end) refers to a piece of data."""
        positions = self.references.get(item.index, [])
        first = bisect_left(positions, start, key=lambda row: row[0])
        section, own_start, own_end = own
        for position, where, offset in positions[first:]:
            if position >= max(end, start + 1):
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
        for relocation in self.elf.dynamic_relocations:
            found[relocation.offset] = relocation.symbol.name.partition("@")[0], relocation.addend
        return found
