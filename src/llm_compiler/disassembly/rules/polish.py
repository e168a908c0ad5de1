"""Small edits of a cleaned draft that keep its meaning, to bring its code nearer.

LLVM's passes write comparisons, sums and blocks in a form of their own, which the code that was
lifted need not have had: operands the other way around, `x > 1` for `x >= 2`, two loads in the
other order. Each edit changes one such place of a module's text. Pure functions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

__all__ = ["Edit", "edits_of"]

_COMPARE: Final = re.compile(r"^  (%\S+) = icmp (?:samesign )?(\w+) (ptr|i\d+) (\S+), (\S+)$")
_SUM: Final = re.compile(
    r"^(  %\S+ = (?:add|mul|and|or|xor|fadd|fmul)(?: nuw| nsw| disjoint)* \w+) (%\S+), (%\S+)$"
)
_BRANCH: Final = re.compile(r"^  br i1 (%\S+), label (%\S+), label (%[^,\s]+)(.*)$")
_SELECT: Final = re.compile(r"^(  %\S+ = select i1 (%\S+), )(\S+ [^,]+), (\S+ [^,]+)$")
_LABEL: Final = re.compile(r'^([\w.$-]+|"[^"]*"):')
_RESULT: Final = re.compile(r"^  (%\S+) = ")
_NAME: Final = re.compile(r'%(?:[\w.$-]+|"[^"]*")')
_LOAD: Final = re.compile(r"^  %\S+ = load (?!atomic|volatile)")
_MEMORY: Final = re.compile(
    r"^  (?:%\S+ = )?(?:(?:tail |musttail |notail )?call|store|load|atomicrmw|cmpxchg|fence"
    r"|alloca|invoke|va_arg|[us]div|[us]rem)\b"
)
"""What does not change places with others of its kind: a division may trap."""
_NUMBERED: Final = re.compile(r"%(\d+)(?![\w.$-])")
_NUMBERED_LABEL: Final = re.compile(r"^(\d+):")
_ENDS: Final = (
    "  br ",
    "  ret ",
    "  switch ",
    "  unreachable",
    "  invoke ",
    "  resume ",
    "  indirectbr ",
)
_SWAPPED: Final = {
    "eq": "eq",
    "ne": "ne",
    "slt": "sgt",
    "sgt": "slt",
    "sle": "sge",
    "sge": "sle",
    "ult": "ugt",
    "ugt": "ult",
    "ule": "uge",
    "uge": "ule",
}
_OPPOSITE: Final = {
    "eq": "ne",
    "ne": "eq",
    "slt": "sge",
    "sge": "slt",
    "sle": "sgt",
    "sgt": "sle",
    "ult": "uge",
    "uge": "ult",
    "ule": "ugt",
    "ugt": "ule",
}
_STRICT: Final = {
    "slt": ("sle", -1),
    "sle": ("slt", 1),
    "sgt": ("sge", 1),
    "sge": ("sgt", -1),
    "ult": ("ule", -1),
    "ule": ("ult", 1),
    "ugt": ("uge", 1),
    "uge": ("ugt", -1),
}
_MOST: Final = 600
"""Edits of one draft."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of a module's text. `kind`: what it may change in the code."""

    kind: str
    make: Callable[[], str]


@dataclass(frozen=True, slots=True)
class _Body:
    """A module's one function: lines before it, its blocks, lines after it."""

    before: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    after: tuple[str, ...]

    def text(self) -> str:
        lines = [*self.before, *(line for block in self.blocks for line in block), *self.after]
        return "\n".join(lines) + "\n"

    def with_block(self, number: int, lines: Sequence[str]) -> str:
        blocks = list(self.blocks)
        blocks[number] = tuple(lines)
        return _Body(self.before, tuple(blocks), self.after).text()


def edits_of(text: str, chance: random.Random, first: str = "") -> list[Edit]:
    """Return what can be changed in a module with one function, in random order.

    Args:
        first: the kind that comes in front: ``branch``, ``order``, or ``volatile``, of which there
            are none otherwise.
    """
    body = _body_of(text)
    if body is None:
        return []
    found = [*_of_lines(body), *_of_blocks(body)]
    if first == "volatile":
        found += _of_loads(body)
    chance.shuffle(found)
    found.sort(key=lambda edit: edit.kind != first)
    return found[:_MOST]


def _body_of(text: str) -> _Body | None:
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("define ")), -1)
    if start < 0:
        return None
    end = lines.index("}", start)
    # Values without names are numbered in the order in which they stand.
    for place in range(start, end):
        line = _NUMBERED_LABEL.sub(r"v.\1:", lines[place])
        lines[place] = _NUMBERED.sub(r"%v.\1", line)
    blocks: list[list[str]] = [[]]
    for line in lines[start + 1 : end]:
        if not line.strip():
            continue
        if _LABEL.match(line):
            # What the label's comment says of predecessors is made anew.
            line = line.partition(" ")[0]
            if blocks[-1]:
                blocks.append([])
        elif line.startswith(("    ", "  ]")) or (blocks[-1] and not line.startswith("  ")):
            blocks[-1][-1] += "\n" + line
            continue
        blocks[-1].append(line)
    return _Body(tuple(lines[: start + 1]), tuple(map(tuple, blocks)), tuple(lines[end:]))


def _of_lines(body: _Body) -> Iterator[Edit]:
    uses = _uses(body)
    for number, block in enumerate(body.blocks):
        for place, line in enumerate(block):
            for kind, changed in _line_edits(line):
                lines = (*block[:place], changed, *block[place + 1 :])
                yield Edit(kind, partial(body.with_block, number, lines))
            if (other := _inverted(block, place, uses)) is not None:
                yield Edit("branch", partial(body.with_block, number, other))
            if place + 1 < len(block) and _may_swap(line, block[place + 1]):
                lines = (*block[:place], block[place + 1], line, *block[place + 2 :])
                yield Edit("order", partial(body.with_block, number, lines))


def _of_loads(body: _Body) -> Iterator[Edit]:
    """Loads that nothing may be made of: a counter that other threads change is read so."""
    for number, block in enumerate(body.blocks):
        for place, line in enumerate(block):
            if _LOAD.match(line):
                changed = line.replace(" = load ", " = load volatile ", 1)
                lines = (*block[:place], changed, *block[place + 1 :])
                yield Edit("volatile", partial(body.with_block, number, lines))


def _line_edits(line: str) -> Iterator[tuple[str, str]]:
    if match := _COMPARE.match(line):
        name, predicate, type_, left, right = match.groups()
        if right.startswith("%") and left.startswith("%"):
            yield "branch", f"  {name} = icmp {_SWAPPED[predicate]} {type_} {right}, {left}"
        if predicate in _STRICT and re.fullmatch(r"-?\d+", right) and type_ != "ptr":
            other, step = _STRICT[predicate]
            if _is_in_range(int(right) + step, int(type_[1:]), predicate[0] == "s"):
                yield "branch", f"  {name} = icmp {other} {type_} {left}, {int(right) + step}"
    if match := _SUM.match(line):
        yield "order", f"{match[1]} {match[3]}, {match[2]}"


def _is_in_range(value: int, bits: int, is_signed: bool) -> bool:
    """Whether a constant moved by one did not leave its type, in which it would come back."""
    if is_signed:
        return -(1 << (bits - 1)) <= value < 1 << (bits - 1)
    # LLVM prints what is above the middle as negative numbers.
    return value not in (-1, 0, 1 << (bits - 1), (1 << (bits - 1)) - 1)


def _inverted(block: Sequence[str], place: int, uses: dict[str, int]) -> tuple[str, ...] | None:
    """Return a block in which a choice asks the opposite question, and has its sides swapped."""
    line = block[place]
    if match := _BRANCH.match(line):
        condition, other = match[1], f"  br i1 {match[1]}, label {match[3]}, label {match[2]}"
        if match[4]:
            return None
    elif match := _SELECT.match(line):
        condition, other = match[2], f"{match[1]}{match[4]}, {match[3]}"
    else:
        return None
    for number, candidate in enumerate(block[:place]):
        compared = _COMPARE.match(candidate)
        if compared and compared[1] == condition and uses.get(condition) == 1:
            name, predicate, type_, left, right = compared.groups()
            asked = f"  {name} = icmp {_OPPOSITE[predicate]} {type_} {left}, {right}"
            return (*block[:number], asked, *block[number + 1 : place], other, *block[place + 1 :])
    return None


def _may_swap(line: str, following: str) -> bool:
    """Whether two instructions mean the same in the other order."""
    if line[:2] != "  " or following.startswith(_ENDS) or line.startswith(_ENDS):
        return False
    if (" = phi " in line) != (" = phi " in following):
        return False
    result = _RESULT.match(line)
    if result and " = phi " not in line and result[1] in _NAME.findall(following):
        return False
    touches = bool(_MEMORY.match(line)), bool(_MEMORY.match(following))
    return not all(touches) or (bool(_LOAD.match(line)) and bool(_LOAD.match(following)))


def _uses(body: _Body) -> dict[str, int]:
    """Return how often each value is used."""
    found: dict[str, int] = {}
    for block in body.blocks:
        for line in block:
            names = _NAME.findall(line)
            for name in names[1:] if _RESULT.match(line) else names:
                found[name] = found.get(name, 0) + 1
    return found


def _of_blocks(body: _Body) -> Iterator[Edit]:
    """Yield changes of the blocks' order: each after one that leads to it, or at the end."""
    labels = {
        f"%{match[1]}": number
        for number, block in enumerate(body.blocks)
        if number and (match := _LABEL.match(block[0]))
    }
    for number, block in enumerate(body.blocks):
        for target in set(_NAME.findall(block[-1])) & labels.keys():
            moved = labels[target]
            # A block that jumps to itself stays where it is.
            if moved not in (number, number + 1):
                yield Edit("branch", partial(_moved, body, moved, number))
    for number in range(1, len(body.blocks) - 1):
        yield Edit("branch", partial(_moved, body, number, len(body.blocks) - 1))


def _moved(body: _Body, moved: int, after: int) -> str:
    order = [number for number in range(len(body.blocks)) if number != moved]
    order.insert(order.index(after) + 1, moved)
    blocks = tuple(body.blocks[number] for number in order)
    return _Body(body.before, blocks, body.after).text()
