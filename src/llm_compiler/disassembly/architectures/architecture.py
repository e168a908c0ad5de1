"""What an architecture is to the readers of machine code: one record.

How instructions name places, which relocation stands for which symbolic operand, how its compilers
lay out code and tables. What instructions do is not here (`disassembly.rules`). To add an
architecture, write a module like `x86_64` and list its record in `table`. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from llm_compiler.llvm.elf import ElfFile
from llm_compiler.llvm.listing import Instruction
from llm_compiler.llvm.targets import LiftedTarget

__all__ = ["Architecture", "Form", "MergedVariables", "PairedAddress", "ShortTable", "decorated"]


@dataclass(frozen=True, slots=True)
class Form:
    """How a relocation type is written: around the symbol, and whether it counts from the place.

    `relative`: the addend of an x86-64 relocation counts from the field instead of from the
    instruction's end. `through_table`: the operand is not the symbol's place but a slot for it.
    """

    prefix: str = ""
    suffix: str = ""
    relative: bool = False
    through_table: bool = False


@dataclass(frozen=True, slots=True)
class PairedAddress:
    """What an instruction adds to, or takes of, an address that two instructions make."""

    address: int
    is_low: bool
    """It is the second one, which completes the address."""


@dataclass(frozen=True, slots=True)
class ShortTable:
    """A jump table of distances from a place in the code.

    `entry_bytes`: of an entry. `scale`: the unit of distances, in bytes. `use`: how many
    instructions after the one that names the table an entry is read. `is_signed`: distances may
    lead back.
    """

    entry_bytes: int
    base: int
    scale: int
    use: int
    is_signed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedVariables:
    """Of targets where compilers lay out several variables as one and count from the first."""

    reach: Callable[[Instruction], int]
    """The bytes after a register that an instruction may touch."""
    takes_address: Callable[[Instruction], bool]
    """Whether an instruction makes the address that others count from."""
    clang_flags: tuple[str, ...]
    """That keep variables apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An architecture whose code can be read."""

    target: LiftedTarget
    forms: Mapping[int, Form] = field(repr=False)
    """How relocations of code are written, by their types."""
    thread_local_call: int | None = None
    """The relocation that marks the call of a thread-local variable's resolver."""
    plt_suffix: str = ""
    """Of functions that are called through the PLT; empty: that shows nowhere."""

    # Instructions
    is_branch: Callable[[Instruction], bool] = field(repr=False)
    """Whether it goes to a place that it names: a jump or call that is not through a register."""
    is_call: Callable[[Instruction], bool] = field(repr=False)
    names_place: Callable[[Instruction], bool] = field(repr=False)
    """Whether it reads, or takes the address of, a place at a distance from itself."""
    names_page: Callable[[Instruction], bool] = field(repr=False)
    """Whether it takes only the upper part of such an address."""
    write_symbol: Callable[[Instruction, str, Form, int], str | None] = field(repr=False)
    """As `with_symbol`, of what is no branch."""
    pair_addresses: Callable[[Sequence[Instruction]], dict[int, PairedAddress]] | None = field(
        default=None, repr=False
    )
    """By instruction, the addresses that two of them make; None: one is enough."""
    main_functions: Callable[[ElfFile, Sequence[Instruction]], Iterator[int]] = field(repr=False)
    """Of a program's first instructions up to the first call: what they pass as ``main``."""

    # Layout
    no_operation: re.Pattern[str] = field(repr=False)
    """Instructions that do nothing, and stand where code is aligned."""
    padding: re.Pattern[str] = field(repr=False)
    """Instructions that linkers put between functions."""
    leaving: frozenset[str]
    """Mnemonics after which the next instruction is not reached."""
    code_alignment: int
    """Of functions, in bytes, where nothing asks for more."""
    code_fill: str = ""
    """What fills up to a larger alignment inside code; empty: code is never aligned more."""
    indirect_jumps: tuple[str, ...]
    """How instructions begin that jump where a register says."""
    comparison: re.Pattern[str] = field(repr=False)
    """Comparisons of a register with a number, which is the first group."""
    find_short_table: (
        Callable[[Sequence[Instruction], Collection[int]], ShortTable | None] | None
    ) = field(default=None, repr=False)
    """Of instructions from the one that names a jump table on, and the function's addresses: what
    table it is. None: entries are always distances from the table in four bytes."""
    merged_variables: MergedVariables | None = None

    def is_jump(self, instruction: Instruction) -> bool:
        """Whether it is a branch that is no call."""
        return self.is_branch(instruction) and not self.is_call(instruction)

    def with_symbol(
        self, instruction: Instruction, symbol: str, form: Form, field_end: int
    ) -> str | None:
        """Return an instruction's text with a symbolic operand in place of the number there.

        Args:
            symbol: with its addend (``table+8``).
            field_end: where the number ends, in bytes from the instruction's end; x86-64 has up
                to two.

        Returns:
            None where no operand can be it.
        """
        if self.is_branch(instruction):
            return instruction.text.rpartition(" ")[0] + " " + decorated(symbol, form)
        return self.write_symbol(instruction, symbol, form, field_end)


def decorated(symbol: str, form: Form) -> str:
    """Put the suffix after the name, in front of the addend."""
    if not form.suffix:
        return symbol
    match = re.fullmatch(r'("[^"]*"|[^+-]*(?:[^+-])*?)([+-]\d+)?', symbol)
    name, addend = (match[1], match[2] or "") if match else (symbol, "")
    return f"{name}{form.suffix}{addend}"
