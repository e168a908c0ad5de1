"""Numbers of types in exception tables, back as the types that they stand for.

A landing pad compares the selector that it is given with numbers of types. They count within one
function's table: inlined into another, or without one of its calls, the function would have other
ones. ``llvm.eh.typeid.for`` is the number, whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from llm_compiler.disassembly.rules.constants import global_name

__all__ = ["with_types"]

_EXTRACTED = re.compile(r"\s*(%[\w.]+) = extractvalue \{ ptr, i32 \} %[\w.]+, 1$")
_MOVED = re.compile(r"\s*(%[\w.]+) = (?:zext|sext|trunc) i\d+ (%[\w.]+) to i\d+$")
_LOADED = re.compile(r"\s*(%[\w.]+) = load i\d+, ptr (%w\d+)$")
_STORED = re.compile(r"\s*store i\d+ ([^,]+), ptr (%w\d+)$")
_COMPARED = re.compile(r"(\s*%[\w.]+ = icmp (?:eq|ne) )(i\d+) (%[\w.]+), (\d+)$")


def with_types(body: str, types: Sequence[str]) -> str:
    """Return a draft's body in which selectors are compared with types.

    Args:
        body: as drafts are emitted, variables in memory.
        types: by number, from 1 on; what catches everything is empty.
    """
    lines = body.splitlines()
    selectors = _selectors(lines)
    if not selectors:
        return body
    made: list[str] = []
    for number, line in enumerate(lines):
        match = _COMPARED.match(line)
        name = _type_at(int(match[4]), types) if match and match[3] in selectors else ""
        if not match or not name:
            made.append(line)
            continue
        type_ = f"%y{number}"
        made.append(f"  {type_} = call i32 @llvm.eh.typeid.for.p0(ptr {global_name(name)})")
        if match[2] != "i32":
            cast = "zext" if int(match[2][1:]) > 32 else "trunc"
            made.append(f"  {type_}.w = {cast} i32 {type_} to {match[2]}")
            type_ += ".w"
        made.append(f"{match[1]}{match[2]} {match[3]}, {type_}")
    return "\n".join(made) + "\n"


def _type_at(number: int, types: Sequence[str]) -> str:
    return types[number - 1] if 0 < number <= len(types) else ""


def _selectors(lines: Sequence[str]) -> set[str]:
    """Return the values that hold a selector and nothing else, on every way."""
    selectors = {match[1] for line in lines if (match := _EXTRACTED.match(line))}
    if not selectors:
        return selectors
    stored: dict[str, set[str]] = {}
    for line in lines:
        if match := _STORED.match(line):
            stored.setdefault(match[2], set()).add(match[1])
    while True:
        held = {
            variable
            for variable, values in stored.items()
            if values - {"undef"} and values - {"undef"} <= selectors
        }
        found = {
            match[1]
            for line in lines
            for match in (_MOVED.match(line), _LOADED.match(line))
            if match and (match[2] in selectors or match[2] in held)
        }
        if found <= selectors:
            return selectors
        selectors |= found
