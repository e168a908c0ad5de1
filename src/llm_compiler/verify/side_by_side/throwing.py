"""What a function does with exceptions that the functions it calls throw.

No unwinder runs: a stub is called by the function itself, so it can do what an unwinder would do
there, and go on at the landing pad that the function's own exception table names. Each executable
has its own table; both are thrown the same kinds of exceptions by the same calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from llm_compiler.errors import InputError
from llm_compiler.llvm.elf import ElfFile
from llm_compiler.llvm.exceptions import (
    NAME_SLOT,
    CallSite,
    ExceptionTable,
    caught_filters,
    table_of,
)
from llm_compiler.verify.architectures import architecture_named
from llm_compiler.verify.inputs import assign_locations
from llm_compiler.verify.lifted import Signature
from llm_compiler.verify.side_by_side.options import Unproved

__all__ = [
    "MAX_KINDS",
    "PERSONALITIES",
    "Site",
    "how_often",
    "passes_words",
    "sites_of",
    "thrown_kinds",
]

MAX_KINDS = 8
"""As in execute_driver.c."""
_ANY_OTHER = ""
PERSONALITIES = frozenset({"__gxx_personality_v0", "__gcc_personality_v0"})
"""That choose landing pads as this module does: of C++, and of C's cleanups."""
_LANDS = 1 << 32
_NEVER = re.compile(
    r"^(?:__cxa_(?:begin_catch|get_exception_ptr|allocate_exception|free_exception|guard_\w+)|"
    r"_Zd[al]Pv\w*|free|malloc|calloc|realloc|_ZSt9terminatev|__clang_call_terminate|"
    r"_?_?exit|abort|_Unwind_Resume|__stack_chk_fail)$"
)
_ALWAYS = re.compile(r"^(?:__cxa_(?:re)?throw|__cxa_bad_cast|_ZSt\d+__throw_\w+|_ZSt\w*bad_\w+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A range of code, in bytes from the function's start, and what a throw in it leads to.

    `selectors`: of each kind of exception the filter that the landing pad is given, and
    ``1 << 32``; 0: the exception leaves the function.
    """

    start: int
    end: int
    pad: int
    selectors: tuple[int, ...]


def thrown_kinds(
    original: ElfFile,
    lifted: ElfFile,
    name: str,
    declared: Mapping[str, Signature],
    architecture: str,
) -> tuple[str, ...]:
    """Return the types of exceptions that are thrown, at most `MAX_KINDS`; one is caught by no
    name. Empty: nothing throws, since the original has no exception table.

    Args:
        declared: what is called.

    Raises:
        Unproved: a table is of another language, cannot be read, or has exception specifications.
    """
    ours, theirs = _table(original, name), _table(lifted, name)
    if ours is None:
        return ()
    if passes_words(declared, architecture):
        raise Unproved("it catches exceptions and passes words on the stack, which is not run")
    names = dict.fromkeys(name for table in (ours, theirs) if table for name in table.types if name)
    return (*list(names)[: MAX_KINDS - 1], _ANY_OTHER)


def sites_of(elf: ElfFile, name: str, kinds: tuple[str, ...]) -> tuple[Site, ...]:
    """Return the ranges of a function's exception table.

    Args:
        elf: a relocatable file.
        kinds: as `thrown_kinds` returns them.

    Raises:
        Unproved: the table cannot be run.
    """
    table = _table(elf, name) if kinds else None
    return tuple(_sites(table, kinds)) if table is not None else ()


def passes_words(declared: Mapping[str, Signature], architecture: str) -> bool:
    """Whether a function called is passed words that are pushed: an unwinder takes them off the
    stack by the call's frame description, which a function's text does not have.
    """
    if not architecture_named(architecture).passes_memory_on_stack:
        return False
    frames = (assign_locations(signature, architecture) for signature in declared.values())
    return any(
        place.kind == "stack" for frame in frames if frame is not None for place in frame.locations
    )


def how_often(name: str) -> int:
    """Return 0 for a function that never throws, 2 for one that does nothing else, else 1."""
    return 0 if _NEVER.match(name) else 2 if _ALWAYS.match(name) else 1


def _table(elf: ElfFile, name: str) -> ExceptionTable | None:
    symbol = elf.symbol(name)
    if symbol is None:
        return None
    try:
        table = table_of(elf, symbol.section, symbol.value)
    except InputError as error:
        raise Unproved(str(error)) from None
    if table is not None:
        personality = table.personality.removeprefix(NAME_SLOT)
        if personality not in PERSONALITIES:
            raise Unproved(f"its exceptions are handled by {personality}")
    if table is not None and table.filters:
        raise Unproved("it has exception specifications")
    return table


def _sites(table: ExceptionTable, kinds: tuple[str, ...]) -> Iterator[Site]:
    for site in table.call_sites:
        yield Site(
            start=site.start,
            end=site.start + site.length,
            pad=site.landing_pad,
            selectors=tuple(_selector(table, site, kind) for kind in kinds),
        )


def _selector(table: ExceptionTable, site: CallSite, kind: str) -> int:
    filters = caught_filters(table, site)
    for caught in filters:
        if caught > 0 and table.types[caught - 1] in (_ANY_OTHER, kind):
            return _LANDS | caught
    return _LANDS if 0 in filters else 0
