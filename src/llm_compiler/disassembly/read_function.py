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

from collections.abc import Iterable

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.exception_text import TableText
from llm_compiler.disassembly.reading.code import Code, read_code
from llm_compiler.disassembly.reading.data_reader import DataReader
from llm_compiler.disassembly.reading.file_facts import FileFacts
from llm_compiler.disassembly.reading.function_text import Data, FunctionText, Unreadable, Variable
from llm_compiler.disassembly.reading.item_names import name_items
from llm_compiler.disassembly.reading.linked_operands import LinkedOperands
from llm_compiler.disassembly.reading.merged import widen_merged
from llm_compiler.disassembly.reading.object_operands import ObjectOperands
from llm_compiler.disassembly.reading.references import References
from llm_compiler.disassembly.reading.text_writer import TextWriter
from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.exceptions import read_exception_table

__all__ = ["Data", "FunctionReader", "FunctionText", "Unreadable", "Variable"]


class FunctionReader:
    """Writes functions of one binary as assembly."""

    def __init__(self, binary: Binary) -> None:
        self._file = FileFacts(binary)

    def read(self, symbol: Symbol) -> FunctionText:
        """Return a function's text.

        Raises:
            Unreadable: it is no code that an assembler can be given.
        """
        code = read_code(self._file, symbol)
        table = self._exception_table(code)
        references = References(code)
        operands = (LinkedOperands if self._file.is_linked else ObjectOperands)(references)
        found = {
            instruction.address: operands.operand(instruction) for instruction in code.instructions
        }
        opened = widen_merged(references, found)
        name_items(references)
        writer = TextWriter(references, operands, found, table)
        text = "".join(f"{line}\n" for line in writer.lines())
        return FunctionText(
            name=symbol.name,
            text=normalize_assembly(text, code.binary.target_triple),
            num_instructions=len(code.instructions),
            size_bytes=code.end - code.start,
            is_static=symbol.is_local,
            variables=tuple(
                Variable(
                    name=item.name,
                    symbol=item.symbol.name if item.symbol else "",
                    section=item.section.index,
                    offset=item.start - item.section.address,
                )
                for item in references.items.values()
                if item.section.is_writable
            ),
            opened=opened,
            static_functions=tuple(
                name
                for name, each_symbol in references.named.items()
                if each_symbol is not None
                and each_symbol.is_local
                and code.elf.sections[each_symbol.section].is_code
            ),
        )

    def read_data(self, names: Iterable[str], sections: Iterable[int] = ()) -> list[Data]:
        """Return variables of an object by name, and all data of it that they refer to in turn.

        Args:
            sections: of these, all that they hold is returned as one piece each, and what lies in
                them as a `Data.part_of` of that piece.

        Raises:
            Unreadable: one is not there, or where it ends or what it holds is not known.
        """
        return DataReader(self._file, frozenset(sections)).read_data(names)

    def _exception_table(self, code: Code) -> TableText | None:
        frame = self._file.frames.get((code.section.index, code.start))
        if frame is None or frame.table is None:
            return None
        if self._file.is_linked:
            raise Unreadable("has an exception table, which is read from objects only")
        try:
            table = read_exception_table(code.elf, frame)
        except InputError as error:
            raise Unreadable(f"cannot be read: {error}") from None
        size = code.end - code.start
        offsets = {address - code.start for address in code.addresses} | {size}
        for site in table.call_sites:
            inside = {site.start, site.start + site.length} <= offsets
            if not inside or (site.landing_pad and site.landing_pad not in offsets - {size}):
                raise Unreadable("has landing pads or calls that throw in another part of its code")
        return TableText(table, size, code.architecture.target.name)
