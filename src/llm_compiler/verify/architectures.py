"""What verification must know of each architecture's code: one record each, and nowhere else.

How code is written (in the normal form of assembly) that decides, reads memory or sets a frame
pointer; how coverage is marked; what the calling convention does with memory and results. To add an
architecture, write a record like these and list it in `_RECORDS`. Pure; safe in threads and
processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.errors import UnsupportedTarget
from llm_compiler.llvm import targets
from llm_compiler.verify.comparisons import Compared, log_arm, log_x86, read_arm, read_x86

__all__ = ["Architecture", "MemoryField", "architecture_named", "find_architecture"]


@dataclass(frozen=True, slots=True)
class MemoryField:
    """A part of what a pointer leads to that code reads: its place and size in bytes."""

    place: int
    size: int
    constant: int | None = None
    """That it is compared with, where one instruction says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """An architecture whose code can be run side by side. Patterns are of whole lines."""

    target: targets.LiftedTarget
    conditional: re.Pattern[str] = field(repr=False)
    """Branches that may fall through."""
    constant: re.Pattern[str] = field(repr=False)
    """Immediates."""
    offset: re.Pattern[str] = field(repr=False)
    """Of instructions that take an address at a distance from another one: the distance."""
    memory_field: Callable[[str], MemoryField | None] = field(repr=False)
    """Of a line that reads at a fixed distance from a pointer, frames left out: what it reads."""
    probe: Callable[[int, str], tuple[list[str], list[str]]] = field(repr=False)
    """Of a block's number and its byte of memory: lines that mark it, in the code and outside."""
    read_comparison: Callable[[str], Compared | None] = field(repr=False)
    """Of a line that compares integers or tests bits: what."""
    log_comparison: Callable[[Compared, int, tuple[str, str, str]], tuple[list[str], list[str]]] = (
        field(repr=False)
    )
    """Of a comparison, its number and memory: lines that note its sides, in the code and
    outside."""
    table_jump: re.Pattern[str] = field(repr=False)
    """Jumps to where a register or memory says."""
    pointer_call: re.Pattern[str] = field(repr=False)
    """Calls of, and jumps to, what a register or memory holds."""
    stack_access: re.Pattern[str] = field(repr=False)
    """What lines have in them that work on the stack's frame."""
    arithmetic: re.Pattern[str] = field(repr=False)
    """Instructions that compute with floating-point numbers."""
    system: re.Pattern[str] = field(repr=False)
    """Instructions that ask the system, or trap."""
    frame_pointer_setup: re.Pattern[str] = field(repr=False)
    non_leaf: re.Pattern[str] | None = field(default=None, repr=False)
    """Calls, where clang keeps the frame pointer of all functions that make some; None: it keeps
    none or all."""
    passes_memory_on_stack: bool
    """Structs are passed by copies among the stack's words; else by their addresses."""
    has_result_register: bool
    """The address of a result in memory has a register of its own; else it is an argument."""
    kept_at_entry: tuple[int, ...]
    """What registers hold at first that a function keeps for its caller, as execute_driver.c sets
    them, where they are wider than what could be a value by chance."""
    result_at_entry: int | None
    """What the first register of a result holds when the driver calls a function; None: the first
    argument."""
    driver_flags: tuple[str, ...]
    """Of clang, for a driver that has no run-time to call and no hardening to carry."""


# -- x86-64: System V ABI, AMD64 supplement ---

_X86_FIELD: Final = re.compile(
    r"^(?P<name>[a-z]+) (?:\$(?P<constant>-?\d+), )?(?P<place>-?\d*)\(%(?!rsp|rip)\w+[^)]*\)"
)
_X86_WIDENED: Final = re.compile(r"^mov[sz]([bwl])[wlq]$")
_X86_SIZES: Final = {"b": 1, "w": 2, "l": 4, "q": 8}


def _x86_field(line: str) -> MemoryField | None:
    match = _X86_FIELD.match(line)
    if match is None or match["name"].startswith("lea"):
        return None
    widened = _X86_WIDENED.match(match["name"])
    size = _X86_SIZES.get(widened[1] if widened else match["name"][-1])
    if size is None:
        return None
    constant = match["constant"] if match["name"].startswith(("cmp", "test")) else None
    return MemoryField(int(match["place"] or 0), size, None if constant is None else int(constant))


def _x86_probe(number: int, place: str) -> tuple[list[str], list[str]]:
    return [f"movb $1, {place}(%rip)"], []


_X86_64: Final = Architecture(
    target=targets.X86_64,
    conditional=re.compile(r"^(?:j(?!mp)\w+|loop\w*) "),
    constant=re.compile(r"\$(-?\d+)"),
    offset=re.compile(r"^(?:leaq |addq \$)(\d+)(?:\(%(?!rsp|rip)\w+\)|, %(?!rsp)\w+$)"),
    memory_field=_x86_field,
    probe=_x86_probe,
    read_comparison=read_x86,
    log_comparison=log_x86,
    table_jump=re.compile(r"^jmpq? \*"),
    pointer_call=re.compile(r"^(?:jmpq?|callq?) \*"),
    stack_access=re.compile(r"rsp|sp,"),
    arithmetic=re.compile(r"^v?(?:add|sub|mul|div|min|max|sqrt|hadd|hsub|addsub)[sp][sd] "),
    system=re.compile(r"^(?:syscall|sysenter|int |int3|hlt|in[bwl]? |out[bwl]? |wrmsr|rdmsr)"),
    frame_pointer_setup=re.compile(r"^pushq %rbp\n(?:\.cfi.*\n)*movq %rsp, %rbp$", re.MULTILINE),
    passes_memory_on_stack=True,
    has_result_register=False,
    kept_at_entry=(0x1B1B1B1B, 0x2B2B2B2B, 0x3C3C3C3C, 0x3D3D3D3D, 0x3E3E3E3E, 0x3F3F3F3F),
    # As of words of the stack that nobody has set, which a push of rax makes room for.
    result_at_entry=0xA5A5A5A5A5A5A5A5,
    driver_flags=("-fcf-protection=none",),
)


# -- AArch64: Procedure Call Standard for the Arm 64-bit Architecture ---

_ARM_FIELD: Final = re.compile(
    r"^ld(?:u?r)(?P<part>s?[bhw])? (?P<register>[wx])\d+, \[x\d+(?:, #(?P<place>-?\d+))?\]$"
)
_ARM_SIZES: Final = {"b": 1, "h": 2, "w": 4}


def _arm_field(line: str) -> MemoryField | None:
    match = _ARM_FIELD.match(line)
    if match is None:
        return None
    whole = 8 if match["register"] == "x" else 4
    size = _ARM_SIZES[match["part"][-1]] if match["part"] else whole
    return MemoryField(int(match["place"] or 0), size)


def _arm_probe(number: int, place: str) -> tuple[list[str], list[str]]:
    # One instruction in the code, so that tables of distances still reach.
    return [f"b .Lprobe_{number}", f".Lprobed_{number}:"], [
        f".Lprobe_{number}:",
        "stp x16, x17, [sp, #-16]!",
        f"adrp x16, {place}",
        "movz w17, #1",
        f"strb w17, [x16, :lo12:{place}]",
        "ldp x16, x17, [sp], #16",
        f"b .Lprobed_{number}",
    ]


_AARCH64: Final = Architecture(
    target=targets.AARCH64,
    conditional=re.compile(r"^(?:b\.\w+|cbn?z|tbn?z) "),
    constant=re.compile(r"#(-?\d+)"),
    offset=re.compile(r"^add x\d+, x\d+, #(\d+)$"),
    memory_field=_arm_field,
    probe=_arm_probe,
    read_comparison=read_arm,
    log_comparison=log_arm,
    table_jump=re.compile(r"^br "),
    pointer_call=re.compile(r"^blr? "),
    stack_access=re.compile(r"sp,"),
    arithmetic=re.compile(r"^f(?:n?m(?:add|sub|ul)|ml[as]|addp?|sub|div|max|min|sqrt|abd)\w* "),
    system=re.compile(r"^(?:svc |hvc |smc |brk |msr )"),
    frame_pointer_setup=re.compile(r"^(?:mov x29, sp|add x29, sp, #\d+)$", re.MULTILINE),
    non_leaf=re.compile(r"^blr? ", re.MULTILINE),
    passes_memory_on_stack=False,
    has_result_register=True,
    kept_at_entry=(),
    result_at_entry=None,
    driver_flags=("-mno-outline-atomics",),
)

_RECORDS: Final = {architecture.target.name: architecture for architecture in (_X86_64, _AARCH64)}


def find_architecture(name: str) -> Architecture | None:
    """Return the record of an architecture; None: its code cannot be run side by side."""
    return _RECORDS.get(name)


def architecture_named(name: str) -> Architecture:
    """Return the record of an architecture.

    Raises:
        UnsupportedTarget: there is none.
    """
    found = find_architecture(name)
    if found is None:
        raise UnsupportedTarget(f"{name} code cannot be verified: only {' and '.join(_RECORDS)}")
    return found
