"""How near a draft's code is to what it was lifted from, as lines of assembly."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.errors import InputError

__all__ = ["CodeLines", "Likeness", "code_lines", "compare"]

_FUNCTION: Final = re.compile(r'^\.type ("(?:[^"\\]|\\.)*"|[^,\s]+), @function$', re.MULTILINE)
_PRIVATE: Final = re.compile(r"\.L(?:CPI|JTI)\w+")
_LABEL: Final = re.compile(r"\.L(?:BB|tmp)\w+")
_PREFIX: Final = re.compile(r"^(rep|repe|repne|lock);\s*")
_LONGEST: Final = 400
"""Lines up to which the order of lines counts exactly."""

CodeLines = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Likeness:
    """1 for the same lines; `first`: the line in which they differ, -1 if none."""

    value: float
    first: int
    changed: tuple[str, ...] = ()
    """Around the first difference: lines of the original, ``-``, and of the draft, ``+``."""

    @property
    def is_same(self) -> bool:
        """Whether nothing differs."""
        return self.first < 0


def code_lines(text: str, triple: str, *, is_normal: bool = False) -> CodeLines:
    """Return a function's instructions and labels, named by their order.

    Args:
        is_normal: the text is in normal form already.

    Raises:
        InputError: it holds no function.
    """
    if not is_normal:
        text = normalize_assembly(text, triple)
    match = _FUNCTION.search(text)
    if match is None:
        raise InputError("the assembly holds no function")
    private: dict[str, str] = {}
    labels: dict[str, str] = {}

    def of_pool(found: re.Match[str]) -> str:
        return private.setdefault(found[0], f".K{len(private)}")

    def of_code(found: re.Match[str]) -> str:
        return labels.setdefault(found[0], f".B{len(labels)}")

    lines = []
    for line in _body(text, match[1]):
        # The code generator prints prefixes of its own with a semicolon.
        line = _PREFIX.sub(r"\1 ", line.replace("@PLT", ""))
        line = _PRIVATE.sub(of_pool, line)
        lines.append(_LABEL.sub(of_code, line))
    return tuple(lines)


def _body(text: str, name: str) -> Iterator[str]:
    is_inside = False
    for line in text.splitlines():
        if line == f"{name}:":
            is_inside = True
        elif is_inside:
            if line.startswith((".section ", ".text", ".data", ".bss")):
                return
            if line.startswith((".Lfunc_end", ".size ", ".type ", ".hidden ", ".comm ")):
                return
            if not line.startswith((".cfi_", ".p2align", ".Lfunc_begin")):
                yield line


def compare(original: CodeLines, other: CodeLines) -> Likeness:
    """Return how near two functions are."""
    if original == other:
        return Likeness(1.0, -1)
    first = next(
        (i for i, pair in enumerate(zip(original, other, strict=False)) if pair[0] != pair[1]),
        min(len(original), len(other)),
    )
    changed = (
        *(f"-{line}" for line in original[first : first + 2]),
        *(f"+{line}" for line in other[first : first + 2]),
    )
    return Likeness(_ratio(original, other), first, changed)


def _ratio(original: Sequence[str], other: Sequence[str]) -> float:
    counts = Counter(original)
    counts.subtract(other)
    different = sum(abs(number) for number in counts.values())
    bag = 1 - different / (len(original) + len(other))
    if len(original) > _LONGEST or bag < 0.6:
        return 0.5 * bag
    matched = SequenceMatcher(None, original, other, autojunk=False).ratio()
    return min(0.9999, 0.4 * bag + 0.6 * matched)
