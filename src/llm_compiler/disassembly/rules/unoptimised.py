"""Drafts of code that was not optimised: variables stay in the frame, and ``-O0`` lowers them.

Clang's -O0 keeps every variable in memory, in the order in which it declares them, and selects
instructions one by one. A draft of such code keeps its frame: accesses are made volatile while
passes clean the rest, objects are laid out as they lie in the frame, and the function is
``optnone``, which says that it is to be lowered at -O0. Pure functions on text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from llm_compiler.disassembly.rules.frame import FrameObject
from llm_compiler.disassembly.rules.nodes import Graph
from llm_compiler.verify.round_trip import PLAIN_LEVEL

__all__ = [
    "UNOPTIMISED",
    "UNOPTIMISED_PIPELINES",
    "as_optimised",
    "as_unoptimised",
    "with_frame",
]

UNOPTIMISED: Final = "noinline optnone"
"""Attributes, which stand together."""
UNOPTIMISED_PIPELINES: Final = (
    "function(mem2reg)",
    "function(mem2reg,instsimplify)",
    "function(mem2reg,instcombine<no-verify-fixpoint>)",
    "function(mem2reg,instcombine<no-verify-fixpoint>,simplifycfg)",
)
_OBJECT: Final = re.compile(r"^  %s\d+ = alloca .*\n", re.MULTILINE)
_PART: Final = re.compile(r"^  (%t\d+) = getelementptr i8, ptr (%s\d+), i64 -?\d+$", re.MULTILINE)
_ACCESS: Final = re.compile(
    r"^(  (?:%t\d+ = load|store) )(.*, ptr (%[st]\d+), align \d+)$", re.MULTILINE
)
_STORED: Final = re.compile(r"^  store \S+ (%t\d+), ptr (%s\d+), align \d+$", re.MULTILINE)
_POINTED: Final = re.compile(
    r"(?<!, )(?<!ptr )ptr (%s\d+)\b(?!, align)|getelementptr i8, ptr (%s\d+)"
)
_WIDENED: Final = re.compile(r"^  (%\S+) = zext (i\d+) (%\S+) to i64$", re.MULTILINE)
_VOLATILE: Final = re.compile(r"\b(load|store) volatile (?!.*inttoptr)")
_ATTRIBUTES: Final = re.compile(r"^(attributes #\d+ = \{ )(?=[^\n]*\bnoinline\b)", re.MULTILINE)


def with_frame(body: str, objects: Sequence[FrameObject], graph: Graph, *, has_spills: bool) -> str:
    """Return a draft's body whose frame no pass touches, and whose objects lie in the order of
    the frame, with fillers where the code leaves room.

    Args:
        has_spills: what is stored and used again without a load is no variable: the register
            allocator put it there.
    """
    if body.count("label %b0") == 1:
        body = body.replace("  br label %b0\nb0:\n", "", 1)
    spills = _spills(body) if has_spills else set()
    parts = {match[1] for match in _PART.finditer(body)}

    def keep(match: re.Match[str]) -> str:
        is_frame = match[3].startswith("%s") or match[3] in parts
        is_frame = is_frame and match[3] not in spills
        return f"{match[1]}{'volatile ' if is_frame else ''}{match[2]}"

    body = _ACCESS.sub(keep, body)
    first = _OBJECT.search(body)
    if first is None:
        return body
    kept = [(f"%s{number}", frame_object) for number, frame_object in enumerate(objects)]
    plain = "".join(
        f"  {name} = alloca [{frame_object.end - frame_object.start} x i8]\n"
        for name, frame_object in kept
        if name in spills
    )
    kept = [pair for pair in kept if pair[0] not in spills]
    lines = plain + "".join(f"{line}\n" for line in _layout(kept, graph))
    return body[: first.start()] + lines + _OBJECT.sub("", body[first.start() :])


def _spills(body: str) -> set[str]:
    """Return the objects that only hold values which the code goes on using."""
    stored: dict[str, list[str]] = {}
    for match in _STORED.finditer(body):
        stored.setdefault(match[2], []).append(match[1])
    pointed = {name for found in _POINTED.findall(body) for name in found}
    return {
        name
        for name, values in stored.items()
        if name not in pointed
        and all(len(re.findall(rf"{re.escape(value)}\b", body)) > 2 for value in values)
    }


def _layout(objects: Sequence[tuple[str, FrameObject]], graph: Graph) -> list[str]:
    lines: list[str] = []
    used = -min(graph.saved, default=0)
    for name, frame_object in sorted(objects, key=lambda each: -each[1].start):
        size = frame_object.end - frame_object.start
        position = -(-(used + size) // frame_object.alignment) * frame_object.alignment
        if position < -frame_object.start:
            filler = -frame_object.start - used - size
            lines.append(f"  %filler{len(lines)} = alloca [{filler} x i8], align 1")
        lines.append(f"  {name} = alloca [{size} x i8], align {frame_object.alignment}")
        used = -frame_object.start
    return lines


def as_optimised(attributes: str) -> str:
    """Return attributes without ``optnone``: passes leave such functions alone."""
    return attributes.replace(UNOPTIMISED, "noinline")


def as_unoptimised(text: str) -> str:
    """Return a cleaned module's text with a plain frame, to be lowered at -O0."""
    text = _VOLATILE.sub(r"\1 ", text)
    # The index of a jump table is as wide as the variable; the code generator widens it.
    for wide, type_, narrow in _WIDENED.findall(text):
        start, end = f"switch i64 {wide}, label", "\n  ]"
        if (position := text.find(start)) >= 0:
            stop = text.index(end, position)
            cases = text[position:stop].replace(f"i64 {wide}", f"{type_} {narrow}", 1)
            text = text[:position] + cases.replace("    i64 ", f"    {type_} ") + text[stop:]
    return _ATTRIBUTES.sub(rf"\1optnone {PLAIN_LEVEL} ", text)
