"""Basic-block coverage by probes in a function's assembly text: no emulator, no debugger.

Each block marks a byte of memory when it runs. The probes change neither flags nor registers nor
what is read or written otherwise. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_compiler.verify.architectures import Architecture, MemoryField, architecture_named
from llm_compiler.verify.comparisons import Compared

__all__ = [
    "COVERAGE_BYTES",
    "COVERAGE_SYMBOL",
    "Branching",
    "Probed",
    "address_offsets",
    "calls_pointers",
    "comparison_constants",
    "computes_numbers",
    "makes_system_calls",
    "memory_fields",
    "reaches_beyond",
    "with_probes",
]

COVERAGE_SYMBOL = "llm_coverage"
COVERAGE_BYTES = 0x10000
"""As much memory is there, as in execute_driver.c."""
_CODE_END = re.compile(r"^\.(?:type|section|hidden|bss|data|local|weak|globl|text)\b")
_MAX_FIELDS = 200
_MAX_COMPARISONS = 1000
_LARGE = 16384
"""Bytes; buffers are not larger, whatever is done."""
_NEAR = 12
"""Lines after a comparison in which its branches are looked for."""


def code_lines(text: str, name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines up to and with the function's label, of its code, and after it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line in (f"{name}:", f'"{name}":')) + 1
    end = next((i for i in range(start, len(lines)) if _CODE_END.match(lines[i])), len(lines))
    return lines[:start], lines[start:end], lines[end:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branching:
    """A comparison of a probed function, and where it leads.

    `block`: that it ends. `leads_to`: the blocks that its branches choose from; empty: any, by a
    jump table. `offset`: where its sides are noted, in bytes after ``llm_coverage``.
    """

    compared: Compared
    block: int
    leads_to: frozenset[int]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """A text that marks ``llm_coverage + N`` when block N runs, and notes what is compared."""

    text: str = field(repr=False)
    num_blocks: int
    branchings: tuple[Branching, ...] = field(default=(), repr=False)
    num_bytes: int = 0
    """After ``llm_coverage``: marks and notes."""


def with_probes(text: str, name: str, architecture: str, *, notes: bool = False) -> Probed:
    """Return a text with probes.

    Args:
        notes: comparisons are noted, too.
    """
    before, code, after = code_lines(text, name)
    known = architecture_named(architecture)
    compared = _comparisons(code, known) if notes else {}
    blocks = _blocks(code, known)
    count = 1 + max(
        (blocks[place] for place, line in enumerate(code) if not _is_no_code(line)), default=-1
    )
    start = (count + 7) // 8 * 8
    kept = f"{COVERAGE_SYMBOL}+{start}"
    made: list[str] = []
    outside: list[str] = []
    branchings: list[Branching] = []
    last = -1
    for number, line in enumerate(code):
        block = blocks[number]
        if block != last and not _is_no_code(line):
            here, elsewhere = known.probe(block, f"{COVERAGE_SYMBOL}+{block}")
            made += here
            outside += elsewhere
            last = block
        if number in compared:
            offset = start + 8 + 16 * len(branchings)
            sides = f"{COVERAGE_SYMBOL}+{offset}", f"{COVERAGE_SYMBOL}+{offset + 8}", kept
            here, elsewhere = known.log_comparison(compared[number], len(branchings), sides)
            made += here
            outside += elsewhere
            leads_to = _leads_to(code, number, blocks, known)
            branchings.append(
                Branching(compared=compared[number], block=block, leads_to=leads_to, offset=offset)
            )
        made.append(line)
    return Probed(
        text="\n".join([*before, *made, *outside, *after]) + "\n",
        num_blocks=count,
        branchings=tuple(branchings),
        num_bytes=start + 8 + 16 * len(branchings) if branchings else count,
    )


def _is_no_code(line: str) -> bool:
    return line.endswith(":") or line.startswith(".")


def _comparisons(code: Sequence[str], known: Architecture) -> dict[int, Compared]:
    """Return the comparisons by their lines, as far as there is room for them."""
    found: dict[int, Compared] = {}
    for number, line in enumerate(code):
        if len(found) < _MAX_COMPARISONS and (compared := known.read_comparison(line)) is not None:
            found[number] = compared
    return found


def _blocks(code: Sequence[str], known: Architecture) -> list[int]:
    """Return each line's block: a new one begins after a label or a branch that may fall through.

    Labels belong to the block that follows.
    """
    found: list[int] = []
    block, due = -1, True
    for line in code:
        is_label = line.endswith(":")
        if due and not _is_no_code(line):
            block += 1
            due = False
        due = due or is_label or bool(known.conditional.match(line))
        found.append(block + 1 if due and is_label else block)
    return found


def _leads_to(
    code: Sequence[str], number: int, blocks: Sequence[int], known: Architecture
) -> frozenset[int]:
    """Return the blocks that the branches after a comparison choose from."""
    labels = {line[:-1]: blocks[place] for place, line in enumerate(code) if line.endswith(":")}
    found: set[int] = set()
    for place in range(number, min(number + _NEAR, len(code))):
        line = code[place]
        if known.table_jump.match(line):
            return frozenset()
        if line.endswith(":") or (place > number and known.read_comparison(line) is not None):
            break
        if known.conditional.match(line):
            target = line.rpartition(" ")[2]
            if target in labels:
                found.add(labels[target])
            if place + 1 < len(code):
                found.add(blocks[place + 1])
    return frozenset(found) or frozenset({blocks[number]})


def comparison_constants(text: str, name: str, architecture: str) -> list[int]:
    """Return the immediates of a function's code, which decide where it goes."""
    known = architecture_named(architecture)
    found: dict[int, None] = {}
    for line in code_lines(text, name)[1]:
        # Of stack frames, nothing is decided.
        if known.stack_access.search(line):
            continue
        for value in known.constant.findall(line):
            found[int(value)] = None
    return list(found)[:200]


def address_offsets(text: str, name: str, architecture: str) -> list[int]:
    """Return the distances at which a function's code takes addresses within what it is given."""
    pattern = architecture_named(architecture).offset
    found: dict[int, None] = {}
    for line in code_lines(text, name)[1]:
        if match := pattern.match(line):
            found[int(match[1])] = None
    return list(found)[:_MAX_FIELDS]


def memory_fields(text: str, name: str, architecture: str) -> list[MemoryField]:
    """Return what a function's code reads at fixed distances from pointers, frames left out.

    Those that are compared with constants come in front.
    """
    read = architecture_named(architecture).memory_field
    found = dict.fromkeys(
        memory_field for line in code_lines(text, name)[1] if (memory_field := read(line))
    )
    return sorted(found, key=lambda field: field.constant is None)[:_MAX_FIELDS]


def reaches_beyond(text: str, name: str, architecture: str, num_bytes: int) -> bool:
    """Whether a function's code has to do with objects larger than some bytes.

    It reads further from a pointer, or compares with a number that may be such a size.
    """
    fields = memory_fields(text, name, architecture)
    if any(field.place + field.size > num_bytes for field in fields):
        return True
    constants = comparison_constants(text, name, architecture)
    return any(num_bytes < constant < _LARGE for constant in constants)


def calls_pointers(text: str, name: str, architecture: str) -> bool:
    """Whether code calls, or jumps to, what a register or memory holds."""
    pattern = architecture_named(architecture).pointer_call
    return any(pattern.match(line) for line in code_lines(text, name)[1])


def makes_system_calls(text: str, name: str, architecture: str) -> bool:
    """Whether code asks the system, or traps, by itself."""
    system = architecture_named(architecture).system
    return any(system.match(line) for line in code_lines(text, name)[1])


def computes_numbers(text: str, name: str, architecture: str) -> bool:
    """Whether code adds, multiplies or otherwise computes with floating-point numbers."""
    pattern = architecture_named(architecture).arithmetic
    return any(pattern.match(line) for line in code_lines(text, name)[1])
