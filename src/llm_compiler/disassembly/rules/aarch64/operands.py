"""Operands of AArch64: registers, immediates, modifiers, memory, symbols."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable

__all__ = [
    "Immediate",
    "Memory",
    "Modifier",
    "Operand",
    "Register",
    "Symbol",
    "Vector",
    "Vectors",
    "parse_operand",
]


@dataclass(frozen=True, slots=True)
class Register:
    """A register or its low part. `name`: ``x0``, ``sp``, ``v0``; ``xzr`` reads as 0."""

    name: str
    bits: int

    @property
    def is_vector(self) -> bool:
        """Whether it is a part of a vector register."""
        return self.name[0] == "v"

    @property
    def is_zero(self) -> bool:
        """Whether it reads as 0 and is set to nothing."""
        return self.name == "xzr"


@dataclass(frozen=True, slots=True)
class Vector:
    """A register as lanes, ``v0.4s``, or one of its lanes, ``v0.s[1]``."""

    name: str
    bits: int
    """Of a lane."""
    lanes: int
    """1 where one lane is meant."""
    lane: int | None = None


@dataclass(frozen=True, slots=True)
class Vectors:
    """Registers in a row, ``{ v0.4s, v1.4s }``; of single lanes, ``{ v0.s }[1]``, each has its
    lane."""

    registers: tuple[Vector, ...]


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number, or a floating-point constant's text."""

    value: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Modifier:
    """How another operand is shifted or extended: ``lsl #3``, ``sxtw``."""

    kind: str
    amount: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol with a distance. `modifier`: ``lo12``, ``got``, ...; empty: the symbol itself."""

    name: str
    distance: int = 0
    modifier: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Base + displacement, or base + index. `updates`: the base is set to the sum (``!``)."""

    base: str
    displacement: int = 0
    index: Register | None = None
    modifier: Modifier = Modifier("lsl", 0)
    symbol: Symbol | None = None
    updates: bool = False


Operand = Register | Vector | Vectors | Immediate | Modifier | Symbol | Memory

_SCALARS: Final = {"b": 8, "h": 16, "s": 32, "d": 64, "q": 128}
_VECTOR: Final = re.compile(r"^v(\d+)\.(\d*)([bhsdq])(?:\[(\d+)\])?$")
_VECTORS: Final = re.compile(r"^\{ ?(.+?) ?\}(?:\[(\d+)\])?$")
_MODIFIER: Final = re.compile(r"^(lsl|lsr|asr|ror|msl|[su]xt[bhwx])(?: #(\d+|0x[\da-f]+))?$")
_SYMBOL: Final = re.compile(
    r'^(?::(?P<modifier>\w+):)?(?P<name>"(?:[^"\\]|\\.)*"|[A-Za-z_.$][\w.$@]*)'
    r"(?P<distance>[+-]\d+)?$"
)
_NUMBER: Final = re.compile(r"^#?(-?(?:0x[\da-fA-F]+|\d+))$")
_FLOAT: Final = re.compile(r"^#(-?\d+\.\d+(?:e[+-]?\d+)?)$")


def _registers() -> dict[str, Register]:
    found = {
        "sp": Register("sp", 64),
        "wsp": Register("sp", 32),
        "xzr": Register("xzr", 64),
        "wzr": Register("xzr", 32),
        "fp": Register("x29", 64),
        "lr": Register("x30", 64),
    }
    for number in range(31):
        found[f"x{number}"] = Register(f"x{number}", 64)
        found[f"w{number}"] = Register(f"x{number}", 32)
    for number in range(32):
        for letter, bits in _SCALARS.items():
            found[f"{letter}{number}"] = Register(f"v{number}", bits)
    return found


_REGISTERS: Final = _registers()


def parse_operand(text: str) -> Operand:
    """Read an operand.

    Raises:
        Unliftable: a form that the rules do not know.
    """
    if (register := _REGISTERS.get(text)) is not None:
        return register
    if match := _VECTOR.match(text):
        bits = _SCALARS[match[3]]
        if match[4] is not None:
            return Vector(f"v{match[1]}", bits, 1, int(match[4]))
        if match[2]:
            return Vector(f"v{match[1]}", bits, int(match[2]))
        raise Unliftable("no rule for a vector of unknown size", text)
    if match := _VECTORS.match(text):
        lane = "" if match[2] is None else f"[{match[2]}]"
        words = [parse_operand(f"{word.strip()}{lane}") for word in match[1].split(",")]
        return Vectors(tuple(word for word in words if isinstance(word, Vector)))
    if text.startswith("["):
        return _memory(text)
    if match := _NUMBER.match(text):
        return Immediate(int(match[1], 0))
    if match := _MODIFIER.match(text):
        return Modifier(match[1], int(match[2] or "0", 0))
    if match := _FLOAT.match(text):
        return Immediate(0, match[1])
    if match := _SYMBOL.match(text):
        return Symbol(
            match["name"].strip('"'), int(match["distance"] or 0), match["modifier"] or ""
        )
    raise Unliftable(f"no rule for the operand '{text}'")


def _memory(text: str) -> Memory:
    updates = text.endswith("!")
    parts = [word.strip() for word in text.rstrip("!")[1:-1].split(",")]
    base = parse_operand(parts[0])
    if not isinstance(base, Register) or base.bits != 64 or base.is_vector:
        raise Unliftable(f"no rule for the operand '{text}'")
    if len(parts) == 1:
        return Memory(base.name, updates=updates)
    second = parse_operand(parts[1])
    if isinstance(second, Immediate) and len(parts) == 2:
        return Memory(base.name, second.value, updates=updates)
    if isinstance(second, Symbol) and len(parts) == 2:
        return Memory(base.name, symbol=second)
    if isinstance(second, Register) and not second.is_vector:
        modifier = parse_operand(parts[2]) if len(parts) == 3 else Modifier("lsl", 0)
        if isinstance(modifier, Modifier):
            return Memory(base.name, index=second, modifier=modifier)
    raise Unliftable(f"no rule for the operand '{text}'")
