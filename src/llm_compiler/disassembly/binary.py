"""What a user gives: assembly, an object or an executable, read and ready to be taken apart.

Assembly is assembled with LLVM's assembler, local labels kept, so that everything after this is
about ELF files. Nothing of the input is executed. Safe to call from several threads.
"""

from __future__ import annotations

import contextlib
import re
import struct
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from llm_compiler.disassembly.boundaries import with_found_functions
from llm_compiler.errors import CompileFailed, ConfigError, InputError
from llm_compiler.llvm.assembler import assemble, triple_of
from llm_compiler.llvm.elf import ElfFile, FileKind, Symbol, SymbolKind, parse_elf
from llm_compiler.llvm.listing import Listing, make_listing
from llm_compiler.llvm.stock import C_SUFFIXES
from llm_compiler.llvm.targets import lifted_targets, target_of
from llm_compiler.llvm.toolchain import Toolchain

__all__ = ["PLT_CALL", "Binary", "Origin", "read_binary"]

_MAX_BYTES = 256 * 1024 * 1024
PLT_CALL = re.compile(r"([\w.$]+)@PLT\b")
_INTEL_OPERAND = re.compile(
    r"^\s*(?:mov|lea|push|pop|add|sub|xor|cmp|test|call|jmp)[a-z]*\s+"
    r"(?:(?:byte|[dq]?word) ptr|\[|[re]?[abcd]x\b|[re]?[sd]i\b|r\d+\b|[re]?[sb]p\b)",
    re.MULTILINE | re.IGNORECASE,
)


class Origin(StrEnum):
    """What the input was."""

    ASSEMBLY = "assembly"
    OBJECT = "object"
    EXECUTABLE = "executable"


@dataclass(frozen=True, kw_only=True)
class Binary:
    """An input, as an ELF file with its instructions."""

    path: Path
    origin: Origin
    data: bytes = field(repr=False)
    elf: ElfFile = field(repr=False)
    listing: Listing = field(repr=False)
    called_through_plt: frozenset[str] | None = field(default=None, repr=False)
    """Of assembly: the functions called as ``name@PLT``; objects do not tell (None)."""

    @property
    def target_triple(self) -> str:
        """The triple of what is lifted from it."""
        return triple_of(self.elf.architecture)

    def functions(self) -> list[Symbol]:
        """Return the symbols of functions with code here, by place.

        Empty functions and further names of a function (aliases) are there, too. Assembly that
        marks no function with ``.type`` gets its global labels in code instead. Code that LLVM
        outlined is no function of the program's: it belongs to those that call it.
        """
        code = {section.index for section in self.elf.sections if section.is_code}
        kinds: tuple[SymbolKind, ...] = (SymbolKind.FUNCTION, SymbolKind.IFUNC)
        found = self._symbols(code, kinds, local=True)
        found = [
            symbol for symbol in found if not (symbol.is_local and _OUTLINED.match(symbol.name))
        ]
        return found or self._symbols(code, (SymbolKind.NONE,), local=False)

    def _symbols(self, code: set[int], kinds: tuple[SymbolKind, ...], local: bool) -> list[Symbol]:
        return [
            symbol
            for section in sorted(code)
            for symbol in self.elf.symbols_in(section)
            if symbol.kind in kinds and (local or not symbol.is_local)
        ]

    def is_alias(self, symbol: Symbol, other: Symbol) -> bool:
        """Whether two symbols of functions stand for the same code; an empty one has none."""
        if (symbol.section, symbol.value) != (other.section, other.value):
            return False
        # What is chosen at load time (ifunc) stands where the function that chooses does.
        if (symbol.kind is SymbolKind.IFUNC) != (other.kind is SymbolKind.IFUNC):
            return False
        return symbol.value < self.end_of(symbol) == self.end_of(other)

    def end_of(self, symbol: Symbol) -> int:
        """Return where a function ends, as an offset in its section or an address.

        Without a size (hand-written assembly), it ends where the next symbol stands. But where a
        function with a size begins at the same place, one without is empty: compilers write that
        for what never runs.
        """
        section = self.elf.sections[symbol.section]
        limit = section.address + section.size
        if symbol.size:
            return min(symbol.value + symbol.size, limit)
        if sizes := self._sizes_at(symbol):
            is_empty = symbol.kind is SymbolKind.FUNCTION
            return symbol.value if is_empty else min(symbol.value + max(sizes), limit)
        later = (
            each_symbol.value
            for each_symbol in self.elf.symbols_in(symbol.section)
            if each_symbol.value > symbol.value and not each_symbol.name.startswith(".L")
        )
        return min(next(later, limit), limit)

    def _sizes_at(self, symbol: Symbol) -> list[int]:
        return [
            each_symbol.size
            for each_symbol in self.elf.symbols_at(symbol.section, symbol.value)
            if each_symbol.size and each_symbol.kind is SymbolKind.FUNCTION
        ]


def read_binary(
    path: Path, toolchain: Toolchain, folder: Path, *, target_triple: str = ""
) -> Binary:
    """Read an input.

    Args:
        folder: for the object of an assembly file; the caller owns it.
        target_triple: of assembly; empty: x86-64 or AArch64, whichever it assembles for.

    Raises:
        InputError: it cannot be read, or holds no functions that symbols name.
        UnsupportedTarget: another architecture.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise InputError(f"{path} has {len(data)} bytes, and at most {_MAX_BYTES} are read")
    if not data.strip():
        raise InputError(f"{path} is empty: expected assembly, an object or an executable")
    called: frozenset[str] | None = None
    if data[:4] == b"\x7fELF":
        elf = parse_elf(data, str(path))
        origin = Origin.OBJECT if elf.kind is FileKind.RELOCATABLE else Origin.EXECUTABLE
        position = path
        if target_triple and target_of(target_triple, what="disassembled").name != elf.architecture:
            raise ConfigError(
                f"--target-triple {target_triple} does not fit {path}, which is {elf.architecture}"
            )
    else:
        _refuse_other_formats(path, data)
        position, origin = folder / "input.o", Origin.ASSEMBLY
        called = frozenset(PLT_CALL.findall(data.decode("utf-8", "replace")))
        data = _assemble_input(path, data, toolchain, position, target_triple)
        elf = parse_elf(data, str(path))
    listing = make_listing(position, elf, toolchain)
    elf = with_found_functions(elf, listing)
    if not elf.symbols:
        raise InputError(
            f"{path} has no symbol table (stripped), and nothing else tells where functions are"
        )
    binary = Binary(
        path=path,
        origin=origin,
        data=data,
        elf=elf,
        listing=listing,
        called_through_plt=called,
    )
    if not binary.functions():
        raise InputError(f"{path} names no function: its symbol table has none in code sections")
    return binary


_IR = re.compile(
    rb"^(; ModuleID|source_filename =|target (triple|datalayout) =|define |declare |[@%]\S+ = )",
    re.MULTILINE,
)


_OUTLINED = re.compile(r"^OUTLINED_FUNCTION_\d+$")
_COFF_HEADER = struct.Struct("<HHIIIHH")
_COFF_MACHINES = frozenset({0x14C, 0x1C4, 0x8664, 0xAA64, 0xA641})
"""i386, Arm, x86-64, AArch64 (and its EC form), PE format specification, machine types."""
_COFF_SYMBOL_BYTES = 18


def _refuse_other_formats(path: Path, data: bytes) -> None:
    if path.suffix in C_SUFFIXES:
        raise InputError(
            f"{path} is C or C++ by its name: expected assembly or an ELF file "
            f"('clang -S -emit-llvm {path}' makes LLVM-IR of it)"
        )
    if path.suffix == ".ll" or (b"\t.text" not in data and _IR.search(data)):
        raise InputError(f"{path} is LLVM-IR already: expected assembly or an ELF file")
    known = (
        (b"!<thin>\n", "is a thin archive: give the objects that it names"),
        (b"!<arch>\n", "is an archive: its members are read one by one ('disassemble')"),
        (b"MZ", "is a Windows executable: only ELF files are read"),
        (b"\xcf\xfa\xed\xfe", "is a Mach-O file: only ELF files are read"),
        (b"\xce\xfa\xed\xfe", "is a Mach-O file: only ELF files are read"),
        (b"\xca\xfe\xba\xbe", "is a Mach-O file: only ELF files are read"),
        (b"BC\xc0\xde", "is LLVM bitcode already: 'llvm-dis' prints it"),
    )
    for magic, reason in known:
        if data.startswith(magic):
            raise InputError(f"{path} {reason}")
    if _is_coff(data):
        raise InputError(f"{path} is a COFF object (Windows): only ELF files are read")
    if b"\0" in data:
        raise InputError(f"{path} is neither an ELF file nor assembly")


def _is_coff(data: bytes) -> bool:
    """Whether data begins as a COFF object: a known machine, as many symbols as fit after it."""
    if len(data) < _COFF_HEADER.size:
        return False
    machine, sections, _, symbols_at, symbols, optional = _COFF_HEADER.unpack_from(data)[:6]
    end = symbols_at + symbols * _COFF_SYMBOL_BYTES
    return machine in _COFF_MACHINES and sections < 4096 and not optional and end <= len(data)


def _assemble_input(
    path: Path, data: bytes, toolchain: Toolchain, output: Path, target_triple: str
) -> bytes:
    text = data.decode("utf-8", "surrogateescape")
    named = target_of(target_triple, what="disassembled").name if target_triple else ""
    failures: dict[str, CompileFailed] = {}
    names = (named,) if named else tuple(each_target.name for each_target in lifted_targets())
    for architecture in names:
        try:
            assemble(text, architecture, toolchain, output, name=str(path))
            return output.read_bytes()
        except CompileFailed as failed:
            failures[architecture] = failed
    # The fewer complaints, the likelier it was meant for that target.
    architecture, error = min(failures.items(), key=lambda key: key[1].detail.count(": error: "))
    intel = next(
        each_target for each_target in lifted_targets() if each_target.assembly.has_intel_syntax
    )
    if "%" not in text and _INTEL_OPERAND.search(text) and named in ("", intel.name):
        with contextlib.suppress(CompileFailed):
            assemble(text, intel.name, toolchain, output, name=str(path), intel=True)
            return output.read_bytes()
    raise InputError(
        f"{path} does not assemble for {architecture}: {str(error).removeprefix(str(path))[1:]}",
        detail=error.detail,
    ) from error
