"""Lines of IR as they are appended, and values converted from one type to another.

Knows no node: a value is a text and a type. One writer serves one body.
"""

from __future__ import annotations

import re
from typing import Final

from llm_compiler.disassembly.rules.constants import lane_type, number_text
from llm_compiler.disassembly.rules.nodes import bits_of

__all__ = ["Value", "Writer"]

Value = tuple[str, str]
"""Text and type."""

_FLOATS: Final = {"half": 16, "float": 32, "double": 64}


class Writer:
    """Appends lines to the current block."""

    def __init__(self) -> None:
        """Start without a block."""
        self._lines: list[str] = []
        self._count = 0

    def begin(self, label: str) -> list[str]:
        """Start a block; its lines are appended to what is returned."""
        self._lines = [f"{label}:"]
        return self._lines

    def label(self, name: str) -> None:
        """Go on in another block, in the same list of lines."""
        self._lines.append(f"{name}:")

    def assign(self, text: str) -> str:
        """Append an instruction that has a result; return the result's new name."""
        self._count += 1
        name = f"%t{self._count}"
        self._lines.append(f"  {name} = {text}")
        return name

    def append(self, text: str) -> None:
        """Append an instruction without a result."""
        self._lines.append(f"  {text}")

    def convert(self, value: Value, type_: str) -> str:
        """Return a value's low bits as another type, zero-extended where it is narrower."""
        text, own = value
        if own == type_:
            return text
        if text == "zeroinitializer" and type_[0] != "<":
            return {"float": "0.0", "double": "0.0", "ptr": "null"}.get(type_, "0")
        if own[0] == "<" or type_[0] == "<":
            return self._convert_vector(value, type_)
        if own in _FLOATS:
            number = f"i{_FLOATS[own]}"
            return self.convert((self.assign(f"bitcast {own} {text} to {number}"), number), type_)
        if type_ in _FLOATS:
            number = f"i{_FLOATS[type_]}"
            text = self.convert(value, number)
            return self.assign(f"bitcast {number} {text} to {type_}")
        if own == "ptr":
            if text == "null":
                return "0"
            return self.convert((self.assign(f"ptrtoint ptr {text} to i64"), "i64"), type_)
        if type_ == "ptr":
            text = self.convert(value, "i64")
            return "null" if text == "0" else self.assign(f"inttoptr i64 {text} to ptr")
        return self._resize(text, bits_of(own), bits_of(type_))

    def _resize(self, text: str, own: int, bits: int) -> str:
        if text in ("undef", "poison"):
            return text
        if re.fullmatch(r"-?\d+", text) or text in ("true", "false"):
            number = {"true": 1, "false": 0}.get(text)
            number = int(text) if number is None else number
            return number_text(number & ((1 << min(own, bits)) - 1), f"i{bits}")
        return self.assign(f"{'zext' if bits > own else 'trunc'} i{own} {text} to i{bits}")

    def _convert_vector(self, value: Value, type_: str) -> str:
        text, own = value
        if own[0] == "<" and type_[0] == "<":
            if text == "zeroinitializer":
                return text
            if bits_of(own) == bits_of(type_):
                return self.assign(f"bitcast {own} {text} to {type_}")
            whole = f"i{min(bits_of(own), bits_of(type_))}"
            return self.convert((self.convert(value, whole), whole), type_)
        if own[0] == "<" and bits_of(own) < bits_of(type_):
            narrow = f"i{bits_of(own)}"
            return self.convert((self.assign(f"bitcast {own} {text} to {narrow}"), narrow), type_)
        if own[0] == "<":
            element = lane_type(bits_of(type_), type_)
            lanes = f"<{bits_of(own) // bits_of(element)} x {element}>"
            vector = self.convert(value, lanes)
            low = self.assign(f"extractelement {lanes} {vector}, i64 0")
            return self.convert((low, element), type_)
        if bits_of(own) == bits_of(type_):
            return self.assign(f"bitcast {own} {self.convert(value, own)} to {type_}")
        if bits_of(own) > bits_of(type_):
            narrow = f"i{bits_of(type_)}"
            return self.convert((self.convert(value, narrow), narrow), type_)
        element = lane_type(bits_of(own), own)
        part = self.convert(value, element)
        lanes = f"<{bits_of(type_) // bits_of(element)} x {element}>"
        vector = self.assign(f"insertelement {lanes} zeroinitializer, {element} {part}, i64 0")
        return self.convert((vector, lanes), type_)
