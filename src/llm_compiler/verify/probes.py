"""Basic-block coverage by probes in a function's assembly text: no emulator, no debugger.

Each block marks a byte of memory when it runs. The probes change neither flags nor registers nor
what is read or written otherwise. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llm_compiler.llvm.elf import AARCH64

__all__ = [
    "COVERAGE_SYMBOL",
    "MemoryField",
    "address_offsets",
    "comparison_constants",
    "makes_system_calls",
    "memory_fields",
    "with_probes",
]

COVERAGE_SYMBOL = "llm_coverage"
_CODE_END = re.compile(r"^\.(?:type|section|hidden|bss|data|local|weak|globl|text)\b")
_X86_CONDITIONAL = re.compile(r"^(?:j(?!mp)\w+|loop\w*) ")
_ARM_CONDITIONAL = re.compile(r"^(?:b\.\w+|cbn?z|tbn?z) ")
_X86_CONSTANT = re.compile(r"\$(-?\d+)")
_ARM_CONSTANT = re.compile(r"#(-?\d+)")
_X86_FIELD = re.compile(
    r"^(?P<name>[a-z]+) (?:\$(?P<constant>-?\d+), )?(?P<place>-?\d*)\(%(?!rsp|rip)\w+[^)]*\)"
)
_X86_WIDENED = re.compile(r"^mov[sz]([bwl])[wlq]$")
_X86_SIZES = {"b": 1, "w": 2, "l": 4, "q": 8}
_ARM_FIELD = re.compile(
    r"^ld(?:u?r)(?P<part>s?[bhw])? (?P<register>[wx])\d+, \[x\d+(?:, #(?P<place>-?\d+))?\]$"
)
_ARM_SIZES = {"b": 1, "h": 2, "w": 4}
_X86_OFFSET = re.compile(r"^(?:leaq |addq \$)(\d+)(?:\(%(?!rsp|rip)\w+\)|, %(?!rsp)\w+$)")
_ARM_OFFSET = re.compile(r"^add x\d+, x\d+, #(\d+)$")
_MAX_FIELDS = 200
_SYSTEM = re.compile(
    r"^(?:syscall|sysenter|int |int3|hlt|in[bwl]? |out[bwl]? |svc |hvc |smc |brk |wrmsr|rdmsr|msr )"
)


@dataclass(frozen=True, slots=True)
class MemoryField:
    """A part of what a pointer leads to that code reads: its place and size in bytes."""

    place: int
    size: int
    constant: int | None = None
    """That it is compared with, where one instruction says so."""


def code_lines(text: str, name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines up to and with the function's label, of its code, and behind it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line in (f"{name}:", f'"{name}":')) + 1
    end = next((i for i in range(start, len(lines)) if _CODE_END.match(lines[i])), len(lines))
    return lines[:start], lines[start:end], lines[end:]


def with_probes(text: str, name: str, architecture: str) -> tuple[str, int]:
    """Return a text that marks ``llm_coverage + N`` when block N runs, and how many blocks."""
    before, code, behind = code_lines(text, name)
    conditional = _ARM_CONDITIONAL if architecture == AARCH64 else _X86_CONDITIONAL
    made: list[str] = []
    outside: list[str] = []
    count = 0
    due = True
    for line in code:
        is_label = line.endswith(":")
        if due and not is_label and not line.startswith("."):
            for one, where in _probe(count, architecture):
                (made if where == "here" else outside).append(one)
            count += 1
            due = False
        made.append(line)
        due = due or is_label or bool(conditional.match(line))
    return "\n".join([*before, *made, *outside, *behind]) + "\n", count


def _probe(number: int, architecture: str) -> Iterator[tuple[str, str]]:
    place = f"{COVERAGE_SYMBOL}+{number}"
    if architecture != AARCH64:
        yield f"movb $1, {place}(%rip)", "here"
        return
    # One instruction in the code, so that tables of distances still reach.
    yield f"b .Lprobe_{number}", "here"
    yield f".Lprobed_{number}:", "here"
    for line in (
        f".Lprobe_{number}:",
        "stp x16, x17, [sp, #-16]!",
        f"adrp x16, {place}",
        "movz w17, #1",
        f"strb w17, [x16, :lo12:{place}]",
        "ldp x16, x17, [sp], #16",
        f"b .Lprobed_{number}",
    ):
        yield line, "outside"


def comparison_constants(text: str, name: str, architecture: str) -> list[int]:
    """Return the immediates of a function's code, which decide where it goes."""
    pattern = _ARM_CONSTANT if architecture == AARCH64 else _X86_CONSTANT
    found: dict[int, None] = {}
    for line in code_lines(text, name)[1]:
        # Of stack frames, nothing is decided.
        if "rsp" in line or "sp," in line:
            continue
        for value in pattern.findall(line):
            found[int(value)] = None
    return list(found)[:200]


def address_offsets(text: str, name: str, architecture: str) -> list[int]:
    """Return the distances at which a function's code takes addresses within what it is given."""
    pattern = _ARM_OFFSET if architecture == AARCH64 else _X86_OFFSET
    found: dict[int, None] = {}
    for line in code_lines(text, name)[1]:
        if match := pattern.match(line):
            found[int(match[1])] = None
    return list(found)[:_MAX_FIELDS]


def memory_fields(text: str, name: str, architecture: str) -> list[MemoryField]:
    """Return what a function's code reads at fixed distances from pointers, frames left out.

    Those that are compared with constants come in front.
    """
    read = _arm_field if architecture == AARCH64 else _x86_field
    found = dict.fromkeys(one for line in code_lines(text, name)[1] if (one := read(line)))
    return sorted(found, key=lambda one: one.constant is None)[:_MAX_FIELDS]


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


def _arm_field(line: str) -> MemoryField | None:
    match = _ARM_FIELD.match(line)
    if match is None:
        return None
    whole = 8 if match["register"] == "x" else 4
    size = _ARM_SIZES[match["part"][-1]] if match["part"] else whole
    return MemoryField(int(match["place"] or 0), size)


def makes_system_calls(text: str, name: str) -> bool:
    """Whether code asks the system, or traps, by itself."""
    return any(_SYSTEM.match(line) for line in code_lines(text, name)[1])
