"""What surrounds a function while it runs: stubs, external variables, its own static ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from llm_compiler.llvm.elf import ElfFile, SymbolKind
from llm_compiler.llvm.exceptions import NAME_SLOT
from llm_compiler.llvm.targets import target_of
from llm_compiler.verify.library import REAL
from llm_compiler.verify.lifted import LiftInspection, Signature
from llm_compiler.verify.side_by_side.options import Unproved
from llm_compiler.verify.side_by_side.throwing import PERSONALITIES

__all__ = ["NUM_CALLBACKS", "World", "foreign_calls", "make_world"]

_NOT_REFERRED = frozenset({"_GLOBAL_OFFSET_TABLE_"}) | PERSONALITIES
_TYPE_PREFIX = "_ZTI"
_MAX_STUBS = 200
NUM_CALLBACKS = 6
_MAX_DATA_SYMBOLS = 48
_MAX_VARIABLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a function's surroundings are: the same for the original and the lift."""

    functions: tuple[str, ...]
    """Stubs, in the order of their numbers."""
    data: tuple[str, ...]
    variables: tuple[tuple[str, int], ...]
    """Static ones: name and bytes, in the order in which the driver reports them."""
    declared: dict[str, Signature]
    extended: dict[str, tuple[int, bool]] = field(default_factory=dict)
    """Bits and sign of results that functions promise to extend, where the stubs keep to it."""
    leaves_traces: bool = True
    """Stubs change memory that they are passed, as other functions do."""
    arities: Mapping[str, int] = field(default_factory=dict)
    """How many integer arguments some functions take at most, and no numbers of another kind."""
    bounds: Mapping[str, int] = field(default_factory=dict)
    """How many integer registers some functions read at most, whatever else they take."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """How many numbers some functions take at most."""
    fields: frozenset[int] = frozenset()
    """Words of objects on the stack, counted from where they are pointed to, that the original
    writes for callees to read, beyond the first two: they must be the lift's, too."""
    ending: frozenset[str] = frozenset()
    """Functions that never return, beside those that everybody knows."""
    num_repeats: int = 1
    """How often buffers hold their contents: more for code that reaches beyond them."""
    thrown: tuple[str, ...] = ()
    """Types of exceptions that other functions throw; empty: they throw none."""


def make_world(
    original: ElfFile,
    lifted: ElfFile,
    lift: LiftInspection,
    architectures: tuple[str, str],
) -> World:
    """Return the surroundings of both; the architectures are the original's and the lift's."""
    functions: dict[str, None] = {}
    data: dict[str, None] = {}
    branched = _branched(original, architectures[0]) | _branched(lifted, architectures[1])
    for elf in (original, lifted):
        for symbol in elf.symbols:
            if symbol.is_defined or not symbol.name or symbol.kind is SymbolKind.FILE:
                continue
            if symbol.name in REAL or symbol.name in _NOT_REFERRED:
                continue
            is_function = symbol.name in branched or (
                symbol.name in lift.declared and symbol.name not in lift.external_variables
            )
            (functions if is_function else data)[symbol.name] = None
    if len(functions) > _MAX_STUBS - NUM_CALLBACKS:
        raise Unproved(f"it calls {len(functions)} other functions")
    if len(data) > _MAX_DATA_SYMBOLS:
        raise Unproved(f"it refers to {len(data)} external variables")
    return World(
        functions=tuple(sorted(functions)),
        data=tuple(sorted(data)),
        variables=_variables(original, lifted),
        declared=lift.declared,
    )


def _branched(elf: ElfFile, architecture: str) -> set[str]:
    """Return the names that code jumps to or calls."""
    found = set()
    kinds = target_of(architecture).relocations
    for relocations in elf.relocations.values():
        for relocation in relocations:
            if relocation.type in kinds.thread_local:
                raise Unproved("it uses thread-local storage")
            if relocation.type in kinds.branches:
                found.add(relocation.symbol.name)
    return found


def _variables(original: ElfFile, lifted: ElfFile) -> tuple[tuple[str, int], ...]:
    ours, theirs = (
        {
            symbol.name: symbol
            for symbol in elf.symbols
            if symbol.is_defined
            and symbol.size
            and elf.sections[symbol.section].is_writable
            and not symbol.name.startswith(NAME_SLOT)
        }
        for elf in (original, lifted)
    )
    for name in theirs:
        if name not in ours:
            raise Unproved(f"it has a variable '{name}', which the original has not")
    for name, each_symbol in ours.items():
        if name not in theirs:
            raise Unproved(f"it has no variable '{name}' of its own to compare")
        if theirs[name].size != each_symbol.size:
            raise Unproved(f"its variable '{name}' is of another size")
    if sum(our.size + 8 for our in ours.values()) > _MAX_VARIABLE_BYTES:
        raise Unproved("its static variables are too large")
    return tuple(sorted((name, our.size) for name, our in ours.items()))


def foreign_calls(original: ElfFile, lifted: ElfFile) -> str:
    """Return an undefined symbol that only the lift refers to, empty if there is none.

    Types of exceptions are none: to catch another one is to do something else.
    """
    ours, theirs = (
        {
            symbol.name
            for symbol in elf.symbols
            if symbol.section == 0 and symbol.name and not symbol.name.startswith(_TYPE_PREFIX)
        }
        - set(REAL)
        for elf in (original, lifted)
    )
    return min(theirs - ours, default="")
