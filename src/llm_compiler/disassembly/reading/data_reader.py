"""Variables and constants of an object as bytes and pointers."""

from __future__ import annotations

from collections.abc import Iterable

from llm_compiler.disassembly.reading.code import Code
from llm_compiler.disassembly.reading.file_facts import FileFacts
from llm_compiler.disassembly.reading.function_text import Data, Unreadable
from llm_compiler.disassembly.reading.item_names import name_items
from llm_compiler.disassembly.reading.items import Item
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.elf import SHN_COMMON

__all__ = ["DataReader"]


class DataReader:
    """Reads data without a function.

    Args:
        whole: sections that are returned as one piece each.
    """

    def __init__(self, file: FileFacts, whole: frozenset[int] = frozenset()) -> None:
        self.file, self.whole = file, whole
        self.references = References(Code.nothing(file))

    def read_data(self, names: Iterable[str]) -> list[Data]:
        """Return what `FunctionReader.read_data` says."""
        for name in names:
            self.references.named[name] = self.file.elf.symbol(name)
        pieces: dict[int, Item] = {}
        for index in sorted(self.whole):
            section = self.file.elf.sections[index]
            end = section.address + section.size
            item = Item(section=section, start=section.address, end=end, symbol=None)
            item.name = f"section{section.name}"
            pieces[index] = item
            self.references.collect_pointers(item)
        done: set[str] = set()
        # Names of variables are references, too; what each holds is collected on the way.
        while pending := [name for name in self.references.named if name not in done]:
            for name in pending:
                done.add(name)
                symbol = self.file.elf.symbol(name)
                if symbol is not None and symbol.section == SHN_COMMON and not self.whole:
                    raise Unreadable(f"refers to {name}, which other files may define (-fcommon)")
                if symbol is None or not symbol.is_defined:
                    continue
                section = self.file.elf.sections[symbol.section]
                if section.is_code:
                    continue
                if not symbol.size:
                    raise Unreadable(f"refers to {name}, whose size its symbol does not say")
                self.references.data_at(section, symbol.value, symbol, 0)
        name_items(self.references)
        found = [self._as_data(item) for item in pieces.values()]
        for item in self.references.items.values():
            if piece := pieces.get(item.section.index):
                found.append(self._as_part(item, piece))
            else:
                found.append(self._as_data(item))
        return found

    def _as_part(self, item: Item, piece: Item) -> Data:
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

    def _as_data(self, item: Item) -> Data:
        pointers = []
        for offset, size, target, is_distance in self.references.symbolic_values(item):
            if is_distance or size != 8:
                raise Unreadable(f"refers to {item.name}, which holds no whole addresses")
            name = target.name or self.references.items[target.section, target.anchor].name
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
