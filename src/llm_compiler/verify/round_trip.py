"""Verdict *exact*: whether two objects hold the same function, with the data that it refers to.

Both objects come from LLVM's assembler: one of the function's own assembly, one of lifted IR that
clang lowered. What must be the same:

* the function's bytes;
* its relocations: place, type, and what they point to. A function or a visible variable counts by
  its name, everything else by what is there: constants, strings and jump tables by their bytes and
  their own relocations, static variables by name and initial value;
* its exception table: ranges, landing pads, actions, and the names of types and personality;
* nothing else is defined: no other function, no other visible variable, no constructor.

What does not count: names of labels and private constants, where in a section something stands,
alignment, frame descriptions (``.eh_frame``), debug information, the symbol table's other fields.
Pure functions over ELF files that were read; safe in threads.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import CompileFailed, InputError, PassCrashed, TimedOut
from llm_compiler.llvm.assembler import triple_of
from llm_compiler.llvm.elf import (
    Binding,
    ElfFile,
    Relocation,
    Section,
    Symbol,
    SymbolKind,
    parse_elf,
)
from llm_compiler.llvm.exceptions import NAME_SLOT, table_of
from llm_compiler.llvm.listing import Listing, make_listing
from llm_compiler.llvm.targets import target_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

__all__ = [
    "LOWER_FLAGS",
    "LOWER_PLAIN_FLAGS",
    "PLAIN_LEVEL",
    "CodeObject",
    "difference",
    "foreign_definitions",
    "lower",
    "lower_flags",
    "read_code_object",
]

LOWER_FLAGS = ("-Oz", "-Xclang", "-disable-llvm-passes")
"""How lifted IR is lowered, whatever the level of the input: code generation as clang -Oz sets it
up, no pass of the optimiser. Functions say by their attributes what they were optimised for."""

LOWER_PLAIN_FLAGS = ("-O0", "-Xclang", "-disable-llvm-passes")
"""For functions that say so (`PLAIN_LEVEL`): code that was not optimised is made by another
selection of instructions and another allocation of registers."""
PLAIN_LEVEL = '"llm-compiler-level"="O0"'
"""A function's attribute. ``optnone`` does not tell: files of -Oz hold such functions, too."""

_PADDING = 16
_TABLES = ".gcc_except_table"
_USUAL_SECTIONS = re.compile(
    r"^\.(?:text|rodata|data|bss|tdata|tbss|eh_frame|comment|note\.GNU-stack|llvm_addrsig|strtab|"
    r"symtab|shstrtab|rela)(?:\.|$)"
)
"""Of code and data alone; others have a meaning for linkers, loaders or the run-time."""


@dataclass(frozen=True, kw_only=True)
class CodeObject:
    """An object with one function, and its instructions; local labels are among the symbols."""

    path: Path
    elf: ElfFile
    listing: Listing


def read_code_object(path: Path, toolchain: Toolchain) -> CodeObject:
    """Read an object that LLVM made.

    Raises:
        InputError: it is damaged.
    """
    elf = parse_elf(path.read_bytes(), path.name)
    return CodeObject(path=path, elf=elf, listing=make_listing(path, elf, toolchain))


def lower(
    source: Path,
    output: Path,
    architecture: str,
    toolchain: Toolchain,
    *,
    timeout_s: float = 60.0,
    keep_labels: bool = True,
    is_merged: bool = False,
    flags: tuple[str, ...] = LOWER_FLAGS,
) -> None:
    """Lower an IR file to an object, with local labels among its symbols or without.

    Args:
        is_merged: it holds several functions, each to be compared with an object of its own: then
            the assembler must not resolve calls among them.
        flags: of clang, which say how.

    Raises:
        CompileFailed, PassCrashed, TimedOut: in clang's own words.
    """
    command: tuple[str | Path, ...] = (
        toolchain.tool("clang"),
        *flags,
        "-c",
        *(["-Wa,-L"] if keep_labels else []),
        *(["-ffunction-sections"] if is_merged else []),
        # What several functions share is compared where it was, before it became a function.
        *target_of(architecture).flags_without_outlining,
        "-Wno-override-module",
        "-Wno-unused-command-line-argument",
        f"--target={triple_of(architecture)}",
        source,
        "-o",
        output,
    )
    completed = run(command, timeout_s=timeout_s, cwd=output.parent)
    if completed.ok:
        return
    if completed.timed_out:
        raise TimedOut(f"clang did not lower {source.name} within {timeout_s:g} s (--timeout-s)")
    said = completed.stderr_text
    errors = [line for line in said.splitlines() if "error:" in line]
    first = (errors or said.strip().splitlines() or ["no message"])[0].strip()[:300]
    if completed.exit_status < 0 or "PLEASE submit a bug report" in said:
        raise PassCrashed(f"clang crashed on {source.name}: {first}", detail=said)
    raise CompileFailed(f"clang does not lower {source.name}: {first}", detail=said)


def lower_flags(text: str) -> tuple[str, ...]:
    """Return how a function's IR is lowered: as its attributes say."""
    return LOWER_PLAIN_FLAGS if PLAIN_LEVEL in text else LOWER_FLAGS


def difference(
    original: CodeObject,
    lifted: CodeObject,
    name: str,
    *,
    alone: bool = True,
    detached: frozenset[str] = frozenset(),
) -> str:
    """Say what is not the same in two objects' functions of one name; empty if nothing is.

    Args:
        alone: the lifted object must define nothing else.
        detached: variables that the lifted object may leave to be defined elsewhere.
    """
    try:
        return _Comparison(original, lifted, name, alone, detached).run()
    except InputError as error:
        return str(error)


def foreign_definitions(original: CodeObject, lifted: CodeObject, name: str) -> str:
    """Say what a lifted object brings along that the original has not; empty if nothing.

    Other code, visible variables, constructors: linked into a program, they would change it.
    """
    ours, theirs = _defined_names(original.elf), _defined_names(lifted.elf)
    statics = {symbol.name for symbol in original.elf.symbols if _is_static(original.elf, symbol)}
    # Code with fixed addresses names a personality that other code has a slot for.
    slots = {NAME_SLOT + symbol.name for symbol in original.elf.symbols if not symbol.is_defined}
    for their in theirs:
        if their not in ours and their not in statics and their not in slots:
            return f"it defines '{their}', which is not the function's own"
    own_sections = {each_section.name for each_section in original.elf.sections} & {_TABLES}
    for section in lifted.elf.sections:
        is_usual = _USUAL_SECTIONS.match(section.name) or section.name in own_sections
        if section.size and section.is_allocated and not is_usual:
            return f"it has a section {section.name}"
    function, original_function = lifted.elf.symbol(name), original.elf.symbol(name)
    if function is not None and original_function is not None:
        if function.is_local or (function.is_hidden and not original_function.is_hidden):
            return "it hides the function from other files"
        if function.binding is not Binding.GLOBAL and function.binding != original_function.binding:
            return "it makes the function weak"
    code = sum(each_section.size for each_section in lifted.elf.sections if each_section.is_code)
    if function is not None and function.is_defined:
        whole = lifted.elf.sections[function.section].size - function.value
        if code > (function.size or whole):
            return "it has code outside the function"
    return ""


def _is_static(elf: ElfFile, symbol: Symbol) -> bool:
    """Whether a symbol is a static variable: local, or hidden where functions share it."""
    return (
        symbol.is_defined
        and (symbol.is_local or symbol.is_hidden)
        and elf.sections[symbol.section].is_writable
        and symbol.kind is not SymbolKind.SECTION
    )


def _defined_names(elf: ElfFile) -> dict[str, Symbol]:
    return {
        symbol.name: symbol
        for symbol in elf.symbols
        if symbol.is_defined and not symbol.is_local and symbol.name
    }


class _Different(Exception):
    """The first difference, in words."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What a relocation points to: a name and a distance, or a place in a section."""

    name: str
    section: int
    offset: int
    start: int
    end: int
    """Of the piece of data that is meant, in its section; 0 for names and code."""
    is_sized: bool = False


class _Side:
    """One of the two objects."""

    def __init__(self, code: CodeObject, name: str) -> None:
        self.elf, self.listing = code.elf, code.listing
        symbol = code.elf.symbol(name)
        if symbol is None or not symbol.is_defined:
            raise _Different(f"there is no function '{name}'")
        self.function: Symbol = symbol
        self.section: Section = code.elf.sections[symbol.section]
        size = symbol.size or self.section.size - symbol.value
        self.start, self.end = symbol.value, symbol.value + size

    @property
    def code(self) -> bytes:
        return self.section.read(self.start, self.end)

    def relocations(self, section: int, start: int, end: int) -> list[Relocation]:
        found = self.elf.relocations_in(section, start, end)
        return [relocation for relocation in found if relocation.type]

    def place(self, relocation: Relocation, *, code_end: int = 0) -> _Place:
        """Return what a relocation points to.

        Args:
            code_end: of the instruction that it is in, for relocations relative to the place.
        """
        symbol = relocation.symbol
        offset = relocation.addend
        if code_end and relocation.type in target_of(self.elf.architecture).relocations.from_end:
            offset += code_end - relocation.offset
        if not symbol.is_defined or not (
            symbol.is_local or symbol.name.startswith(".L") or _is_static(self.elf, symbol)
        ):
            return _Place(symbol.name, 0, offset, 0, 0)
        section = self.elf.sections[symbol.section]
        if symbol.kind is not SymbolKind.SECTION:
            offset += symbol.value
        if section.is_code:
            # LLVM calls what cannot be replaced at load time by a label at the same place.
            visible = self.elf.symbols_at(section.index, offset)[:1]
            if section.index != self.section.index and visible and not visible[0].is_local:
                return _Place(visible[0].name, 0, 0, 0, 0)
            return _Place("", section.index, offset - self.start, 0, 0)
        anchor = symbol.value if symbol.kind is not SymbolKind.SECTION else offset
        symbols = self.elf.symbols_in(section.index)
        after = bisect_right(symbols, anchor, key=lambda each: each.value)
        start = symbols[after - 1].value if after else 0
        end = symbols[after].value if after < len(symbols) else section.size
        sizes = [each.size for each in self.elf.symbols_at(section.index, start) if each.size]
        if sizes:
            end = start + max(sizes)
        return _Place("", section.index, offset, start, end, bool(sizes))


class _Comparison:
    def __init__(
        self,
        original: CodeObject,
        lifted: CodeObject,
        name: str,
        alone: bool,
        detached: frozenset[str],
    ) -> None:
        self.name, self.alone, self.detached = name, alone, detached
        self.objects = original, lifted

    def run(self) -> str:
        try:
            self.a, self.b = (_Side(code_object, self.name) for code_object in self.objects)
            self.seen: set[tuple[int, int, int, int]] = set()
            self._compare_code()
            self._compare_exception_tables()
            if self.alone:
                self._compare_definitions()
            self._compare_references(
                self.a.section.index,
                self.a.start,
                self.b.section.index,
                self.b.start,
                self.a.end - self.a.start,
                in_code=True,
            )
        except _Different as found:
            return str(found)
        return ""

    def _compare_code(self) -> None:
        a, b = self.a, self.b
        if a.code == b.code:
            return
        ours, theirs = (
            [
                instruction.text
                for instruction in side.listing.between(side.section.index, side.start, side.end)
            ]
            for side in (a, b)
        )
        for index, (word, other) in enumerate(zip(ours, theirs, strict=False)):
            if word != other:
                raise _Different(f"instruction {index + 1} is '{other}' instead of '{word}'")
        if len(ours) != len(theirs):
            raise _Different(f"it has {len(theirs)} instructions instead of {len(ours)}")
        raise _Different("the same instructions are encoded differently")

    def _compare_exception_tables(self) -> None:
        ours, theirs = (
            table_of(side.elf, side.section.index, side.start) for side in (self.a, self.b)
        )
        if ours == theirs:
            return
        if ours is None or theirs is None:
            raise _Different(f"it has {'no' if theirs is None else 'an'} exception table")
        if ours.call_sites != theirs.call_sites:
            raise _Different("its calls have other landing pads")
        if ours.types != theirs.types or ours.filters != theirs.filters:
            kinds = [", ".join(word or "all" for word in each.types) for each in (ours, theirs)]
            raise _Different(
                f"it catches {kinds[1] or 'nothing'} instead of {kinds[0] or 'nothing'}"
            )
        raise _Different("its exception table is another one")

    def _compare_definitions(self) -> None:
        """Nothing but the function, and what the original defines as well, may be defined."""
        if found := foreign_definitions(*self.objects, self.name):
            raise _Different(found)
        defined = [_defined_names(code_object.elf) for code_object in self.objects]
        for name, symbol in defined[0].items():
            if name == self.name:
                continue
            other = self.objects[1].elf.symbol(name)
            if other is None or not other.is_defined:
                raise _Different(f"it lacks the variable '{name}'")
            self._compare_data(_whole(self.a.elf, symbol), _whole(self.b.elf, other))

    def _compare_references(
        self,
        section_a: int,
        start_a: int,
        section_b: int,
        start_b: int,
        size: int,
        *,
        in_code: bool,
    ) -> None:
        ours = self.a.relocations(section_a, start_a, start_a + size)
        theirs = self.b.relocations(section_b, start_b, start_b + size)
        for our, other in zip(ours, theirs, strict=False):
            self._compare_one(our, start_a, other, start_b, in_code)
        if len(ours) != len(theirs):
            raise _Different(f"it has {len(theirs)} relocations instead of {len(ours)}")

    def _compare_one(
        self, relocation: Relocation, start_a: int, other: Relocation, start_b: int, in_code: bool
    ) -> None:
        if relocation.offset - start_a != other.offset - start_b:
            raise _Different("its relocations are at other places")
        same = target_of(self.a.elf.architecture).relocations.same
        types = [same.get(each.type, each.type) for each in (relocation, other)]
        if types[0] != types[1]:
            raise _Different(f"a relocation is of type {other.type} instead of {relocation.type}")
        ends = [0, 0]
        if in_code:
            ends = [
                _instruction_end(side, each.offset)
                for side, each in ((self.a, relocation), (self.b, other))
            ]
        ours, theirs = (
            self.a.place(relocation, code_end=ends[0]),
            self.b.place(other, code_end=ends[1]),
        )
        self._compare_places(ours, theirs)

    def _is_detached(self, ours: _Place, theirs: _Place) -> bool:
        """Whether one side names a variable that the other one holds itself."""
        if ours.name or theirs.name not in self.detached:
            return False
        section = self.a.elf.sections[ours.section]
        names = {symbol.name for symbol in self.a.elf.symbols_at(ours.section, ours.start)}
        is_same = theirs.name in names and ours.offset - ours.start == theirs.offset
        return is_same and section.is_writable and not section.is_code

    def _compare_places(self, ours: _Place, theirs: _Place) -> None:
        if self._is_detached(ours, theirs):
            return
        if ours.name != theirs.name:
            kinds = [place.name or "data of its own" for place in (ours, theirs)]
            raise _Different(f"it refers to {kinds[1]} instead of {kinds[0]}")
        if ours.name:
            if ours.offset != theirs.offset:
                raise _Different(
                    f"it refers to {ours.name}{theirs.offset:+d} instead of {ours.offset:+d}"
                )
            return
        code = [
            side.elf.sections[place.section].is_code
            for side, place in ((self.a, ours), (self.b, theirs))
        ]
        if code[0] != code[1]:
            raise _Different("it refers to code instead of data or the reverse")
        if code[0]:
            if ours.offset != theirs.offset:
                raise _Different("it refers to another place in its code")
            return
        self._compare_data(ours, theirs)

    def _compare_data(self, ours: _Place, theirs: _Place) -> None:
        key = ours.section, ours.offset, theirs.section, theirs.offset
        if key in self.seen:
            return
        self.seen.add(key)
        a, b = self.a.elf.sections[ours.section], self.b.elf.sections[theirs.section]
        if a.is_writable != b.is_writable or a.is_thread_local != b.is_thread_local:
            kinds = [
                "a variable" if each_section.is_writable else "a constant"
                for each_section in (a, b)
            ]
            raise _Different(f"it refers to {kinds[1]} instead of {kinds[0]}")
        if a.is_writable:
            self._compare_names(ours, theirs)
        # Both pieces as seen from the place referred to: each side's own idea of their extent.
        start = min(ours.start - ours.offset, theirs.start - theirs.offset)
        ends = [ours.end - ours.offset, theirs.end - theirs.offset]
        end = max(ends)
        # Constants that code reads in parts look like several in an object: what the lift has in
        # one must be there, all of it, where the original's first part is.
        is_in_parts = not a.is_writable and ends[0] < ends[1] <= a.size - ours.offset
        if ends[0] != ends[1] and not is_in_parts:
            shorter, longer = sorted(((ends[0], 0), (ends[1], 1)))
            position = (ours, theirs)[longer[1]]
            section = (a, b)[longer[1]]
            rest = section.read(position.offset + shorter[0], position.offset + longer[0])
            if not position.is_sized and len(rest) < _PADDING and not any(rest):
                end = shorter[0]
            else:
                raise _Different(f"data that it refers to ends {ends[1] - ends[0]:+d} bytes later")
        for section, position in ((a, ours), (b, theirs)):
            if position.offset + start < 0 or position.offset + end > section.size:
                raise _Different("data that it refers to is longer or shorter")
        first = a.read(ours.offset + start, ours.offset + end)
        second = b.read(theirs.offset + start, theirs.offset + end)
        if first != second:
            at = next(
                i for i, pair in enumerate(zip(first, second, strict=True)) if len(set(pair)) > 1
            )
            raise _Different(
                f"data that it refers to differs: byte {at} is {second[at]} instead of {first[at]}"
            )
        self._compare_references(
            a.index, ours.offset + start, b.index, theirs.offset + start, end - start, in_code=False
        )

    def _compare_names(self, ours: _Place, theirs: _Place) -> None:
        names = [
            {symbol.name for symbol in side.elf.symbols_at(place.section, place.start)}
            for side, place in ((self.a, ours), (self.b, theirs))
        ]
        if not names[0] & names[1]:
            raise _Different(
                f"it refers to the variable {min(names[1], default='?')} instead of "
                f"{min(names[0], default='?')}"
            )
        if ours.offset - ours.start != theirs.offset - theirs.start:
            raise _Different("it refers to another place in a variable")


def _whole(elf: ElfFile, symbol: Symbol) -> _Place:
    section = elf.sections[symbol.section]
    end = symbol.value + symbol.size if symbol.size else section.size
    return _Place("", symbol.section, symbol.value, symbol.value, end, bool(symbol.size))


def _instruction_end(side: _Side, offset: int) -> int:
    found = side.listing.between(side.section.index, max(0, offset - 15), offset + 1)
    return found[-1].end if found else offset + 4
