"""Basic-block coverage by probes in a function's assembly text: no emulator, no debugger.

Each block marks a byte of memory when it runs. The probes change neither flags nor registers nor
what is read or written otherwise. Pure functions.
"""

from __future__ import annotations

import re

from llm_compiler.verify.architectures import MemoryField, architecture_named

__all__ = [
    "COVERAGE_SYMBOL",
    "address_offsets",
    "comparison_constants",
    "makes_system_calls",
    "memory_fields",
    "with_probes",
]

COVERAGE_SYMBOL = "llm_coverage"
_CODE_END = re.compile(r"^\.(?:type|section|hidden|bss|data|local|weak|globl|text)\b")
_MAX_FIELDS = 200


def code_lines(text: str, name: str) -> tuple[list[str], list[str], list[str]]:
    """Return the lines up to and with the function's label, of its code, and after it."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line in (f"{name}:", f'"{name}":')) + 1
    end = next((i for i in range(start, len(lines)) if _CODE_END.match(lines[i])), len(lines))
    return lines[:start], lines[start:end], lines[end:]


def with_probes(text: str, name: str, architecture: str) -> tuple[str, int]:
    """Return a text that marks ``llm_coverage + N`` when block N runs, and how many blocks."""
    before, code, after = code_lines(text, name)
    known = architecture_named(architecture)
    made: list[str] = []
    outside: list[str] = []
    count = 0
    due = True
    for line in code:
        is_label = line.endswith(":")
        if due and not is_label and not line.startswith("."):
            here, elsewhere = known.probe(count, f"{COVERAGE_SYMBOL}+{count}")
            made += here
            outside += elsewhere
            count += 1
            due = False
        made.append(line)
        due = due or is_label or bool(known.conditional.match(line))
    return "\n".join([*before, *made, *outside, *after]) + "\n", count


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


def makes_system_calls(text: str, name: str, architecture: str) -> bool:
    """Whether code asks the system, or traps, by itself."""
    system = architecture_named(architecture).system
    return any(system.match(line) for line in code_lines(text, name)[1])
