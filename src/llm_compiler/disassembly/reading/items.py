"""What operands and pointers stand for, and the pieces of data that go into a function's text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_compiler.llvm.elf import Section, Symbol

__all__ = ["OWN", "Item", "Target", "directive", "quoted"]

_PLAIN_NAME = re.compile(r"^[A-Za-z_.$][\w.$]*$")
OWN = -1
"""The section of places in the function itself."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an operand or a pointer stands for.

    One of: a name (`name`), a place in the function itself (`section` -1), or data (`section`,
    `anchor`: where the item begins).
    """

    name: str = ""
    section: int = 0
    anchor: int = 0
    addend: int = 0


@dataclass(slots=True)
class Item:
    """A piece of data that goes into the text; offsets count in its section or are addresses."""

    section: Section
    start: int
    end: int
    symbol: Symbol | None
    name: str = ""
    is_shared: bool = False
    jump_table: int = 0
    """Bytes of an entry, where entries are distances within the function that carry no relocation;
    0: none."""
    base: int = 0
    """What such distances count from."""
    scale: int = 1
    is_signed: bool = True

    @property
    def alignment(self) -> int:
        """In bytes: what section, place and size allow."""
        size, offset = self.end - self.start, self.start - self.section.address
        alignment = self.section.alignment or 1
        if offset:
            alignment = min(alignment, offset & -offset)
        is_known = size >= 16 or self.section.is_strings
        return alignment if is_known else min(alignment, size & -size)


def quoted(name: str) -> str:
    """Quote a symbol's name where an assembler would not take it for one."""
    if _PLAIN_NAME.match(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def directive(section: Section) -> str:
    """Return the directive that changes to the usual section for such data."""
    if section.is_thread_local:
        if section.takes_no_space:
            return '.section .tbss, "awT", @nobits'
        return '.section .tdata, "awT", @progbits'
    if section.is_strings:
        size = section.entry_size or 1
        return f'.section .rodata.str{size}.{section.alignment or 1}, "aMS", @progbits, {size}'
    if section.is_mergeable:
        size = section.entry_size
        return f'.section .rodata.cst{size}, "aM", @progbits, {size}'
    if section.is_writable:
        return ".bss" if section.takes_no_space else ".data"
    if section.name.startswith(".data.rel.ro"):
        return '.section .data.rel.ro, "aw", @progbits'
    return '.section .rodata, "a", @progbits'
