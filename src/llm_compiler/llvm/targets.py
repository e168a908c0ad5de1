"""The targets that are known: one record for each.

A record says all that differs between targets in one place: triple and aliases, how programs for it
are linked and run; of a lifted target (`LiftedTarget`) data layout, what clang gives its functions,
how its assembly is written, which relocations mean what. A new target is one `register` call.
`optimize` compiles for every triple that clang and libLLVM know, with clang -Oz's own object where
there is no record; verdicts need a record, lifting a lifted target's. Knows nothing of what
instructions do (`disassembly.rules`). Pure; safe in threads and processes.
"""

from __future__ import annotations

from llm_compiler.errors import ConfigError, UnsupportedTarget
from llm_compiler.llvm.more_targets import BARE_ARM_FLAGS, MORE_TARGETS
from llm_compiler.llvm.target_record import (
    AssemblySyntax,
    BareMetalPrograms,
    BranchEncoding,
    LiftedTarget,
    LinuxPrograms,
    RelocationTypes,
    TargetRecord,
    WasiPrograms,
)
from llm_compiler.plugins import load_plugins

__all__ = [
    "AARCH64",
    "TARGETS",
    "X86_64",
    "AssemblySyntax",
    "BareMetalPrograms",
    "BranchEncoding",
    "LiftedTarget",
    "LinuxPrograms",
    "RelocationTypes",
    "TargetRecord",
    "WasiPrograms",
    "add_alias",
    "architecture_of",
    "canonical_triple",
    "front_end_flags",
    "is_bare_metal",
    "known_target",
    "lifted_targets",
    "of_machine",
    "register",
    "target_names",
    "target_of",
]


X86_64 = LiftedTarget(
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
    programs=LinuxPrograms(
        triple="x86_64-linux-gnu",
        emulator="qemu-x86_64",
        sysroot="/usr/x86_64-linux-gnu",
        package="g++-x86-64-linux-gnu",
    ),
)
AARCH64 = LiftedTarget(
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
    programs=LinuxPrograms(
        triple="aarch64-linux-gnu",
        emulator="qemu-aarch64",
        sysroot="/usr/aarch64-linux-gnu",
        package="g++-aarch64-linux-gnu",
    ),
)

TARGETS: list[TargetRecord] = [X86_64, AARCH64, *MORE_TARGETS]
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


def front_end_flags(triple: str) -> tuple[str, ...]:
    """Return what the module that recipes start from is made with, beside the user's flags.

    >>> front_end_flags("arm-none-eabi"), front_end_flags("x86_64-pc-linux-gnu")
    (('-fomit-frame-pointer',), ())
    """
    found = known_target(triple)
    if found is None and is_bare_metal(triple) and triple.lower().startswith("arm"):
        return BARE_ARM_FLAGS  # -mcpu or -march say which it is
    return () if found is None else found.front_end_flags


def is_bare_metal(triple: str) -> bool:
    """Whether a triple says that there is no operating system.

    >>> [is_bare_metal(t) for t in ("thumbv7m-none-eabi", "riscv32-unknown-unknown-elf")]
    [True, True]
    >>> [is_bare_metal(t) for t in ("armv7-unknown-linux-gnueabihf", "x86_64-pc-linux-gnu", "")]
    [False, False, False]
    """
    _, *rest = triple.lower().split("-")
    return "none" in rest or bool(rest and rest[-1].startswith(("elf", "eabi")))


def lifted_targets() -> tuple[LiftedTarget, ...]:
    """Return the targets whose code is lifted."""
    return tuple(found for found in TARGETS if isinstance(found, LiftedTarget))


def target_of(triple: str, *, what: str = "handled") -> LiftedTarget:
    """Return the record of a lifted target by a triple or an alias.

    Args:
        what: cannot be done without one, for the message.

    Raises:
        UnsupportedTarget: there is none.
    """
    found = known_target(triple)
    if not isinstance(found, LiftedTarget):
        titles = " and ".join(target_record.title for target_record in lifted_targets())
        raise UnsupportedTarget(f"'{triple}' cannot be {what}: only {titles} are")
    return found


def architecture_of(triple: str) -> str:
    """Return the architecture that verdicts are keyed by; of unknown ones the triple's first part.

    >>> architecture_of("arm64-apple-macosx14"), architecture_of("x86_64-pc-linux-gnu")
    ('aarch64', 'x86_64')
    """
    found = known_target(triple)
    return triple.split("-", 1)[0].lower() if found is None else found.name


def of_machine(number: int) -> LiftedTarget | None:
    """Return the lifted target of an ELF machine; None: there is none."""
    return next((found for found in lifted_targets() if found.elf_machine == number), None)
