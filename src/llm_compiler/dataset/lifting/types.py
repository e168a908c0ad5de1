"""Types of IR as text: where a type ends, and its layout on x86-64 and AArch64 Linux."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from llm_compiler.errors import InputError

__all__ = ["TypeReader", "closing", "split_commas"]

_SCALAR: Final = re.compile(
    r"i\d+|half|bfloat|float|double|x86_fp80|fp128|x86_amx|ptr(?: addrspace\(\d+\))?|void|label"
    r'|metadata|token|%(?:[\w.$-]+|"(?:[^"\\]|\\.)*")'
)
_SIZES: Final = {"half": 2, "bfloat": 2, "float": 4, "double": 8, "x86_fp80": 16, "fp128": 16}
_PAIRS: Final = {"(": ")", "[": "]", "{": "}", "<": ">"}


def closing(text: str, start: int) -> int:
    """Return the place after the bracket that closes the one at `start`.

    Raises:
        InputError: none does.
    """
    stack: list[str] = []
    for position in _outside_strings(text, start):
        character = text[position]
        if character in _PAIRS:
            stack.append(_PAIRS[character])
        elif stack and character == stack[-1]:
            stack.pop()
            if not stack:
                return position + 1
    raise InputError(f"a bracket stays open: '{text[start : start + 60]}'")


def split_commas(text: str) -> list[str]:
    """Split at the commas outside brackets and strings."""
    parts: list[str] = []
    start = closed = 0
    for position in _outside_strings(text, 0):
        if position < closed:
            continue
        if text[position] in _PAIRS:
            closed = closing(text, position)
        elif text[position] == ",":
            parts.append(text[start:position].strip())
            start = position + 1
    if text[start:].strip():
        parts.append(text[start:].strip())
    return parts


def _outside_strings(text: str, start: int) -> Iterator[int]:
    """Yield the places outside strings, up to a string that does not end."""
    position = start
    while position < len(text):
        if text[position] != '"':
            yield position
        elif (position := text.find('"', position + 1)) < 0:
            return
        position += 1


class TypeReader:
    """Reads types of one module.

    Args:
        named: the bodies of its named types, by name (``%struct.stat``).
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = named
        self._layouts: dict[str, tuple[int, int]] = {}

    def end(self, text: str, start: int) -> int:
        """Return the place after the type that begins at `start`.

        Raises:
            InputError: none does.
        """
        if start < len(text) and text[start] in "[{<":
            return closing(text, start)
        match = _SCALAR.match(text, start)
        if match is None:
            raise InputError(f"no type: '{text[start : start + 60]}'")
        return match.end()

    def layout(self, type_: str) -> tuple[int, int]:
        """Return a type's allocated size and its ABI alignment, in bytes.

        Raises:
            InputError: it has none that is known here.
        """
        found = self._layouts.get(type_)
        if found is None:
            found = self._layouts[type_] = self._layout(type_)
        return found

    def _layout(self, type_: str) -> tuple[int, int]:
        if match := re.fullmatch(r"i(\d+)", type_):
            size = 1 << max((int(match[1]) + 7) // 8 - 1, 0).bit_length()
            alignment = min(size, 16)
            return -(-((int(match[1]) + 7) // 8) // alignment) * alignment, alignment
        if type_ == "ptr":
            return 8, 8
        if type_ in _SIZES:
            return _SIZES[type_], _SIZES[type_]
        if type_[0] == "%":
            body = self._named.get(type_)
            if body is None or body == "opaque":
                raise InputError(f"a type without a body: {type_}")
            return self.layout(body)
        if type_[0] == "[":
            number, _, element = type_[1:-1].partition(" x ")
            size, alignment = self.layout(element)
            return int(number) * size, alignment
        if type_.startswith("<{"):
            return sum(self.layout(comma)[0] for comma in split_commas(type_[2:-2])), 1
        if type_[0] == "<":
            number, _, element = type_[1:-1].partition(" x ")
            if not number.isdigit():
                raise InputError(f"a vector without a fixed size: {type_}")
            bits = 1 if element == "i1" else 8 * self.layout(element)[0]
            size = 1 << max((int(number) * bits + 7) // 8 - 1, 0).bit_length()
            return size, size
        if type_[0] == "{":
            return self.struct(type_)[1:]
        raise InputError(f"a type of no size: {type_}")

    def struct(self, type_: str) -> tuple[list[tuple[int, str]], int, int]:
        """Return a struct's fields with their offsets, its size and its alignment, in bytes."""
        if type_[0] == "%":
            body = self._named.get(type_, "opaque")
            if body == "opaque":
                raise InputError(f"a type without a body: {type_}")
            return self.struct(body)
        packed = type_.startswith("<{")
        if not packed and type_[0] != "{":
            raise InputError(f"no struct: {type_}")
        fields: list[tuple[int, str]] = []
        offset, most = 0, 1
        for comma in split_commas(type_[2:-2] if packed else type_[1:-1]):
            size, alignment = self.layout(comma)
            alignment = 1 if packed else alignment
            offset = -(-offset // alignment) * alignment
            fields.append((offset, comma))
            offset += size
            most = max(most, alignment)
        return fields, -(-offset // most) * most, most

    def resolve(self, type_: str) -> str:
        """Return a type's body, if it has a name."""
        while type_ in self._named:
            type_ = self._named[type_]
        return type_

    def plain(self, type_: str) -> str:
        """Return a type of the same size without names: bytes, where it is a struct."""
        if type_[0] != "%" and "%" not in type_:
            return type_
        return f"[{self.layout(type_)[0]} x i8]"

    def literal(self, type_: str) -> str:
        """Return a type with its names replaced by their bodies."""
        pattern = re.compile(r'%(?:[\w.$-]+|"(?:[^"\\]|\\.)*")')
        for _ in range(20):
            changed = pattern.sub(lambda match: self._named.get(match[0], match[0]), type_)
            if changed == type_:
                break
            type_ = changed
        return type_
