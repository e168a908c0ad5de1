"""The targets that are known: one record for each.

A record says all that differs between targets in one place: triple and aliases, data layout, what
clang gives its functions, how its assembly is written, which relocations mean what, how programs
for it are linked and run. A new target is one `register` call.
`optimize` works for every triple that clang and libLLVM know; lifting, running and verdicts need a
record. Knows nothing of what instructions do (`disassembly.rules`). Pure; safe in threads and
processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_compiler.errors import ConfigError, UnsupportedTarget
from llm_compiler.plugins import load_plugins

__all__ = [
    "AARCH64",
    "TARGETS",
    "X86_64",
    "AssemblySyntax",
    "BranchEncoding",
    "RelocationTypes",
    "TargetRecord",
    "add_alias",
    "architecture_of",
    "canonical_triple",
    "known_target",
    "of_machine",
    "register",
    "target_names",
    "target_of",
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
class TargetRecord:
    """A target."""

    name: str
    """Of the architecture: what verdicts, samples and options call it."""
    title: str
    """For people."""
    aliases: tuple[str, ...] = ()
    """Other first parts of triples that mean it."""
    triple: str
    """That lifted and synthetic modules carry."""
    data_layout: str
    attributes: str
    """That clang gives a function at -Oz, as the IR writes them."""
    component: str
    """LLVM's name of the code generator (``LLVMInitialize<component>Target``)."""
    pointer_bytes: int = 8
    integer_registers: int
    """That pass arguments, by the calling convention of C."""
    elf_machine: int
    assembly: AssemblySyntax
    relocations: RelocationTypes = field(repr=False)
    outlines_with: BranchEncoding | None = None
    """Of a target whose code generator outlines code: how what it outlined is called, since the
    assembler leaves no relocation. None: nothing is outlined."""
    trap: bytes
    """An instruction, or several, that ends a program: what fills places nobody may run."""
    emulator: str
    """The program that runs executables where the machine is another."""
    sysroot: str
    """Where Debian's cross compiler puts the C library."""
    package: str
    """Debian's package with compiler and C library."""

    @property
    def flags_without_outlining(self) -> tuple[str, ...]:
        """Return clang's flags that leave code in the function that it was written for."""
        return () if self.outlines_with is None else ("-mno-outline",)

    @property
    def linux_triple(self) -> str:
        """Return the triple of programs that run here, natively or emulated."""
        return f"{self.name}-linux-gnu"


X86_64 = TargetRecord(
    name="x86_64",
    title="x86-64",
    aliases=("amd64",),
    triple="x86_64-pc-linux-gnu",
    data_layout="e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128",
    attributes='minsize nounwind optsize uwtable "target-cpu"="x86-64"',
    component="X86",
    integer_registers=6,
    elf_machine=62,
    assembly=AssemblySyntax(
        comment="#",
        comment_pattern=r"\#.*",
        words={1: ".byte", 2: ".short", 4: ".long", 8: ".quad"},
        has_intel_syntax=True,
        uses_suffixes=True,
    ),
    # System V ABI, AMD64 supplement, table 4.9.
    relocations=RelocationTypes(
        absolute={1: 8, 10: 4},
        relative={2: 4, 24: 8},
        branches=frozenset({4}),
        thread_local=frozenset(range(16, 24)) | {32, 34, 35, 36},
        from_end=frozenset({2, 4, 9, 19, 20, 22, 41, 42}),
        # The assembler writes R_X86_64_PLT32 on every call.
        same={4: 2},
    ),
    trap=b"\xcc",
    emulator="qemu-x86_64",
    sysroot="/usr/x86_64-linux-gnu",
    package="g++-x86-64-linux-gnu",
)
AARCH64 = TargetRecord(
    name="aarch64",
    title="AArch64",
    aliases=("arm64",),
    triple="aarch64-unknown-linux-gnu",
    data_layout="e-m:e-i8:8:32-i16:16:32-i64:64-i128:128-n32:64-S128-Fn32",
    attributes=(
        'minsize nounwind optsize uwtable "frame-pointer"="non-leaf" "target-cpu"="generic" '
        '"target-features"="+fp-armv8,+neon,+outline-atomics,+v8a,-fmv"'
    ),
    component="AArch64",
    integer_registers=8,
    elf_machine=183,
    assembly=AssemblySyntax(
        comment="//",
        # A '#' begins an immediate; only a line that starts with it is a comment.
        comment_pattern=r"//.*|^\s*#.*",
        words={1: ".byte", 2: ".hword", 4: ".word", 8: ".xword"},
        options=("--mattr=+all",),
        mapping_symbols=("$x", "$d"),
    ),
    # ELF for the Arm 64-bit Architecture, section 5.7.
    relocations=RelocationTypes(
        absolute={257: 8, 258: 4},
        relative={261: 4, 260: 8},
        branches=frozenset({282, 283}),
        thread_local=frozenset(range(512, 600)),
    ),
    # b and bl
    outlines_with=BranchEncoding(mask=0x7C000000, opcode=0x14000000, distance_bits=26),
    trap=b"\x00\x00\x20\xd4",
    emulator="qemu-aarch64",
    sysroot="/usr/aarch64-linux-gnu",
    package="g++-aarch64-linux-gnu",
)

TARGETS: list[TargetRecord] = [X86_64, AARCH64]
"""All, in the order in which they are listed and tried."""
_ALIASES: dict[str, str] = {}
"""Short names of whole triples."""


def register(target: TargetRecord) -> TargetRecord:
    """Add a target, so that every command that lists targets has it.

    Raises:
        ConfigError: another one has its name or an alias.
    """
    for name in (target.name, *target.aliases):
        _refuse_taken(name)
    TARGETS.append(target)
    return target


def add_alias(alias: str, triple: str) -> None:
    """Let a short name stand for a triple wherever one is named: ``--target-triple ALIAS``.

    Raises:
        ConfigError: it is the name of something else, or the triple's target has no record.
    """
    _refuse_taken(alias)
    if known_target(triple) is None:
        raise ConfigError(f"'{triple}' is of no target that is known: {', '.join(target_names())}")
    _ALIASES[alias] = triple


def _refuse_taken(name: str) -> None:
    if name in _ALIASES or _find(name) is not None:
        raise ConfigError(f"there is a target '{name}' already")


def _find(name: str) -> TargetRecord | None:
    return next(
        (
            target_record
            for target_record in TARGETS
            if name == target_record.name or name in target_record.aliases
        ),
        None,
    )


def target_names() -> tuple[str, ...]:
    """Return the names of all targets and the aliases of triples.

    Raises:
        ConfigError: a plug-in cannot be loaded.
    """
    load_plugins()
    return (*(target_record.name for target_record in TARGETS), *_ALIASES)


def canonical_triple(name: str) -> str:
    """Return the triple that is meant by what was typed: a triple, an alias, a target's name.

    >>> canonical_triple("arm64"), canonical_triple("arm64-apple-macosx14"), canonical_triple("")
    ('aarch64-unknown-linux-gnu', 'arm64-apple-macosx14', '')
    """
    found = _find(name.lower())
    if found is None and name:
        load_plugins()
        found = _find(name.lower())
    if name in _ALIASES:
        return _ALIASES[name]
    return name if found is None else found.triple


def known_target(triple: str) -> TargetRecord | None:
    """Return the record of a triple or an alias; None: there is none."""
    found = _find(_ALIASES.get(triple, triple).split("-", 1)[0].lower())
    if found is None and triple:
        load_plugins()
        found = _find(_ALIASES.get(triple, triple).split("-", 1)[0].lower())
    return found


def target_of(triple: str, *, what: str = "handled") -> TargetRecord:
    """Return the record of a triple or an alias.

    Args:
        what: cannot be done without one, for the message.

    Raises:
        UnsupportedTarget: there is none.
    """
    found = known_target(triple)
    if found is None:
        titles = " and ".join(target_record.title for target_record in TARGETS)
        raise UnsupportedTarget(f"'{triple}' cannot be {what}: only {titles} are")
    return found


def architecture_of(triple: str) -> str:
    """Return the architecture that verdicts are keyed by; of unknown ones the triple's first part.

    >>> architecture_of("arm64-apple-macosx14"), architecture_of("x86_64-pc-linux-gnu")
    ('aarch64', 'x86_64')
    """
    found = known_target(triple)
    return triple.split("-", 1)[0].lower() if found is None else found.name


def of_machine(number: int) -> TargetRecord | None:
    """Return the target of an ELF machine; None: it has no record."""
    return next(
        (target_record for target_record in TARGETS if target_record.elf_machine == number), None
    )
