"""Constants and names, as LLVM writes them. Pure functions."""

from __future__ import annotations

import re
import struct
from typing import Final

from llm_compiler.disassembly.rules.nodes import bits_of

__all__ = ["global_name", "lane_type", "literal", "number_text", "overload"]

_FLOATS: Final = {"float": 32, "double": 64}
_PLAIN: Final = re.compile(r"[\w.-]+")


def global_name(name: str) -> str:
    """Return the IR's name of a symbol of the assembly."""
    plain = name.removeprefix(".L")
    return f"@{plain}" if _PLAIN.fullmatch(plain) else f'@"{plain}"'


def number_text(value: int, type_: str) -> str:
    """Return an integer as a constant of a type."""
    if type_ == "ptr":
        return "null" if value == 0 else f"inttoptr (i64 {value} to ptr)"
    bits = bits_of(type_)
    value &= (1 << bits) - 1
    if bits == 1:
        return "true" if value else "false"
    return str(value - (1 << bits) if value >> (bits - 1) else value)


def literal(data: bytes, type_: str) -> str:
    """Return a number's bytes as a constant of a type."""
    if type_ == "double":
        return f"0x{int.from_bytes(data, 'little'):016X}"
    if type_ == "float":
        (number,) = struct.unpack("<f", data)
        if number != number:  # the payload of a NaN does not survive the way over a double
            bits = int.from_bytes(data, "little")
            wide = (bits >> 31) << 63 | 0x7FF << 52 | (bits & 0x7FFFFF) << 29
            return f"0x{wide:016X}"
        return f"0x{int.from_bytes(struct.pack('<d', number), 'little'):016X}"
    return number_text(int.from_bytes(data, "little"), type_)


def lane_type(bits: int, type_: str) -> str:
    """Return the type of a vector's lanes that hold a type."""
    return type_ if type_ in _FLOATS or type_[0] == "i" else f"i{bits}"


def overload(type_: str) -> str:
    """Return what the name of an overloaded intrinsic says of a type."""
    names = {"float": "f32", "double": "f64"}
    if type_ in names:
        return names[type_]
    lanes, element = type_[1:-1].split(" x ")
    return f"v{lanes}{names[element]}"
