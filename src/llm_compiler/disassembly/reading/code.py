"""The instructions of one function in its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from llm_compiler.disassembly.architectures.architecture import PairedAddress
from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.disassembly.reading.file_facts import FileFacts
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.llvm.elf import NO_SYMBOL, Symbol, SymbolKind
from llm_compiler.llvm.listing import Instruction

__all__ = ["Code", "read_code"]

_MAX_INSTRUCTIONS = 20_000


class Code:
    """A function's place in its file, and its instructions."""

    def __init__(
        self, file: FileFacts, symbol: Symbol, end: int, instructions: Sequence[Instruction]
    ) -> None:
        self.file, self.symbol = file, symbol
        self.binary, self.elf = file.binary, file.elf
        self.architecture = architecture_named(self.elf.architecture)
        self.section = self.elf.sections[symbol.section]
        self.start, self.end = symbol.value, end
        self.instructions = instructions
        self.addresses = {instruction.address for instruction in instructions}

    @classmethod
    def nothing(cls, file: FileFacts) -> Code:
        """Return no code at all, from where data is read."""
        # Section 0 is nowhere, and no place is between its start and its end.
        return cls(file, replace(NO_SYMBOL, index=-1, size=1), 0, ())

    @cached_property
    def paired_addresses(self) -> dict[int, PairedAddress]:
        """Addresses that two instructions make, by the places of both.

        Raises:
            Unreadable: it takes more than two.
        """
        pair = self.architecture.pair_addresses
        return {} if pair is None else pair(self.instructions)

    def address_in(self, instruction: Instruction) -> int | None:
        """Return the address that an instruction of a linked file names or helps to make."""
        if self.architecture.pair_addresses is None:
            return instruction.target
        pair = self.paired_addresses.get(instruction.address)
        return 0 if pair is None else pair.address


def read_code(file: FileFacts, symbol: Symbol) -> Code:
    """Return a function's code.

    Raises:
        Unreadable: it has none, or its bytes are not whole instructions.
    """
    section = file.elf.sections[symbol.section]
    if symbol.kind is SymbolKind.IFUNC:
        raise Unreadable("is chosen at load time (ifunc)")
    if section.takes_no_space:
        raise Unreadable("has no code in this file")
    start, end = symbol.value, file.binary.end_of(symbol)
    found = list(file.binary.listing.between(section.index, start, end))
    if not symbol.size:
        no_operation = architecture_named(file.elf.architecture).no_operation
        while found and no_operation.match(found[-1].text):
            found.pop()
    if not found:
        raise Unreadable("is empty: its symbol stands for no instructions")
    if len(found) > _MAX_INSTRUCTIONS:
        raise Unreadable(
            f"has {len(found)} instructions, and at most {_MAX_INSTRUCTIONS} are lifted"
        )
    if found[0].address != start:
        raise Unreadable("begins in the middle of an instruction")
    if found[-1].end > end:
        raise Unreadable("ends in the middle of an instruction")
    if any(instruction.is_data for instruction in found):
        raise Unreadable("has data among its instructions")
    return Code(file, symbol, found[-1].end, found)
