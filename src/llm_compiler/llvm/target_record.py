"""What a target record holds: all that differs between targets, as frozen values.

Records are in `targets` and `more_targets`. Pure; safe in threads and processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "AssemblySyntax",
    "BareMetalPrograms",
    "BranchEncoding",
    "LiftedTarget",
    "LinuxPrograms",
    "RelocationTypes",
    "TargetRecord",
    "WasiPrograms",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblySyntax:
    """How LLVM writes and reads the assembly of a target."""

    comment: str
    """What begins a comment that LLVM writes."""
    comment_pattern: str
    """A regular expression of comments, to their end."""
    words: Mapping[int, str]
    """The directive of a number, by its bytes."""
    options: tuple[str, ...] = ()
    """Of llvm-mc and llvm-objdump: for all instructions that there are."""
    has_intel_syntax: bool = False
    uses_suffixes: bool = False
    """Relocations are written after the symbol (``f@PLT``); else in front of it (``:lo12:f``)."""
    mapping_symbols: tuple[str, ...] = ()
    """Begin the names of symbols that say where code and data begin, and name nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelocationTypes:
    """What the numbers of an ELF target's relocations mean (the psABI's tables)."""

    absolute: Mapping[int, int]
    """Of data that hold a symbol's address: their bytes."""
    relative: Mapping[int, int]
    """Of data that hold the distance from the place to the symbol: their bytes."""
    branches: frozenset[int]
    """Of calls and jumps that a linker may lead through the PLT."""
    thread_local: frozenset[int]
    from_end: frozenset[int] = frozenset()
    """Of code: counted from the end of the field, so that the addend is 4 less than the place."""
    same: Mapping[int, int] = field(default_factory=dict)
    """Of types that differ for the linker's sake alone, the other one that counts for both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchEncoding:
    """How an instruction word holds the distance to where it branches."""

    mask: int
    opcode: int
    """What the word is under the mask."""
    distance_bits: int
    """Of the lowest bits, a signed number of instructions."""

    def distance(self, word: int) -> int | None:
        """Return the bytes from a branch to its target; None: the word is another instruction."""
        if word & self.mask != self.opcode:
            return None
        sign = 1 << (self.distance_bits - 1)
        return 4 * ((word & (2 * sign - 1) ^ sign) - sign)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxPrograms:
    """How programs of a target run under Linux: natively, or emulated by qemu-user."""

    triple: str
    """That they are compiled for."""
    emulator: str
    """The program that runs executables where the machine is another."""
    sysroot: str
    """Where Debian's cross compiler puts the C library."""
    package: str
    """Debian's package with compiler and C library."""
    flags: tuple[str, ...] = ()
    """Of clang, beside the triple."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Programs of the suite that cannot serve, whatever is done to them: names and reasons."""

    @property
    def compile_flags(self) -> tuple[str, ...]:
        """Return clang's flags beside the triple, headers included."""
        return self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class BareMetalPrograms:
    """How programs run on a board without an operating system, emulated by qemu-system.

    They are linked with picolibc and GCC's run-time, and print by semihosting.
    """

    triple: str
    """That they are compiled for."""
    flags: tuple[str, ...]
    """Of clang, beside the triple: processor and ABI."""
    emulator: str
    machine: tuple[str, ...]
    """Arguments that name the board."""
    flash: tuple[int, int]
    """Address and bytes of the memory that holds code and constants."""
    ram: tuple[int, int]
    """Address and bytes of the memory for data, heap and stack."""
    tools: str
    """What the names of GNU's linker and compiler begin with."""
    multilib: str
    """Folder of the libraries for the flags, in picolibc's folder and in GCC's."""
    linker_emulation: str
    """GNU ld's name of the format."""
    package: str
    """Debian's packages: emulator, C library, linker and compiler run-time."""

    @property
    def library_folder(self) -> str:
        """Return where Debian puts picolibc: headers, linker script and libraries."""
        return f"/usr/lib/picolibc/{self.tools.removesuffix('-')}"

    @property
    def compile_flags(self) -> tuple[str, ...]:
        """Return clang's flags beside the triple, headers included."""
        return (*self.flags, "-isystem", f"{self.library_folder}/include")


@dataclass(frozen=True, slots=True, kw_only=True)
class WasiPrograms:
    """How programs of WebAssembly run: linked with wasi-libc, each in an instance of its own."""

    triple: str
    """That they are compiled for."""
    emulator: str
    """The program that runs them: Node."""
    sysroot: str
    """Where wasi-libc's libraries are."""
    package: str
    """Debian's packages: Node, C library, linker and compiler run-time."""
    flags: tuple[str, ...] = ()
    """Of clang, beside the triple."""

    @property
    def compile_flags(self) -> tuple[str, ...]:
        """Return clang's flags beside the triple, headers included."""
        return self.flags


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """A target: what compiling, checking recipes and counting bytes need to know of it."""

    name: str
    """Of the architecture: what verdicts, samples and options call it."""
    title: str
    """For people."""
    aliases: tuple[str, ...] = ()
    """Other first parts of triples that mean it."""
    triple: str
    """What its name stands for where a triple is asked for."""
    component: str
    """LLVM's name of the code generator (``LLVMInitialize<component>Target``)."""
    pointer_bytes: int = 8
    elf_machine: int
    """ELF's number of it; 0: its objects are of another format."""
    programs: LinuxPrograms | BareMetalPrograms | WasiPrograms | None
    """How programs run here, to check recipes; None: they do not."""
    front_end_flags: tuple[str, ...] = ()
    """That clang makes the module with that recipes start from, where the user's flags leave it
    open. The baseline is without them."""
    has_object_features: bool = False
    """Whether the assembler goes by features of the whole object, beside the functions' own."""
    outlines_with: BranchEncoding | None = None
    """Of a target whose code generator outlines code: how what it outlined is called, where the
    assembler leaves no relocation. None: nothing is outlined, or there is one."""

    @property
    def is_bare_metal(self) -> bool:
        """Whether programs for it run without an operating system."""
        return isinstance(self.programs, BareMetalPrograms)

    @property
    def flags_without_outlining(self) -> tuple[str, ...]:
        """Return clang's flags that leave code in the function that it was written for."""
        return () if self.outlines_with is None else ("-mno-outline",)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftedTarget(TargetRecord):
    """A target whose assembly and objects are read, too: what lifting needs to know."""

    data_layout: str
    attributes: str
    """That clang gives a function at -Oz, as the IR writes them."""
    integer_registers: int
    """That pass arguments, by the calling convention of C."""
    assembly: AssemblySyntax
    relocations: RelocationTypes = field(repr=False)
    trap: bytes
    """An instruction, or several, that ends a program: what fills places nobody may run."""

    @property
    def linux_triple(self) -> str:
        """Return the triple of programs that run here, natively or emulated."""
        return f"{self.name}-linux-gnu"
