"""Operands of x86-64 in AT&T syntax: registers, immediates, memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable

__all__ = ["REGISTERS", "WIDE", "Immediate", "Memory", "Operand", "Register", "parse_operand"]

WIDE: Final = (
    "rax",
    "rcx",
    "rdx",
    "rbx",
    "rsp",
    "rbp",
    "rsi",
    "rdi",
    "r8",
    "r9",
    "r10",
    "r11",
    "r12",
    "r13",
    "r14",
    "r15",
)
"""The sixteen general registers by their widest parts."""


@dataclass(frozen=True, slots=True)
class Register:
    """A register or a part of one. `shift`: 8 for ``ah`` and its like."""

    name: str
    bits: int
    shift: int = 0

    @property
    def is_vector(self) -> bool:
        """Whether it is an ``xmm`` register."""
        return self.name.startswith("xmm")


@dataclass(frozen=True, slots=True)
class Immediate:
    """A number, or the address of a symbol with a distance (`value`).

    `modifier`: ``TPOFF``, where it is the variable's distance from the thread's base.
    """

    value: int
    symbol: str = ""
    modifier: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """Segment, symbol + displacement + base + index * scale. `modifier`: ``GOTPCREL``, ..."""

    displacement: int = 0
    base: str = ""
    index: str = ""
    scale: int = 1
    symbol: str = ""
    modifier: str = ""
    segment: str = ""
    is_32_bit: bool = False


Operand = Register | Immediate | Memory


def _registers() -> dict[str, Register]:
    found = {}
    for name in WIDE:
        found[name] = Register(name, 64)
        if name[1].isdigit():
            parts = {32: f"{name}d", 16: f"{name}w", 8: f"{name}b"}
        else:
            short = name[1:]
            low = f"{short[0]}l" if short in ("ax", "bx", "cx", "dx") else f"{short}l"
            parts = {32: f"e{short}", 16: short, 8: low}
        for bits, part in parts.items():
            found[part] = Register(name, bits)
    for letter in "abcd":
        found[f"{letter}h"] = Register(f"r{letter}x", 8, 8)
    for number in range(16):
        found[f"xmm{number}"] = Register(f"xmm{number}", 128)
    return found


REGISTERS: Final = _registers()
_SEGMENT: Final = re.compile(r"^%(fs|gs|es|ds|cs|ss):")
_MEMORY: Final = re.compile(
    r"^(?P<place>[^()]*?)(?:\((?:%(?P<base>\w+))?(?:, ?%(?P<index>\w+)(?:, ?(?P<scale>\d))?)?\))?$"
)
_SYMBOL: Final = re.compile(
    r'^(?P<name>"(?:[^"\\]|\\.)*"|[A-Za-z_.$][\w.$]*)(?:@(?P<modifier>\w+))?(?P<distance>[+-]\d+)?$'
)


def parse_operand(text: str) -> Operand:
    """Read an operand.

    Raises:
        Unliftable: a register or a form that the rules do not know.
    """
    if text.startswith("%") and ":" not in text:
        found = REGISTERS.get(text[1:])
        if found is None:
            raise Unliftable(f"no rule for the register '{text}'")
        return found
    if text.startswith("$"):
        value, symbol, modifier = _place(text[1:])
        if modifier not in ("", "TPOFF"):
            raise Unliftable(f"no rule for the relocation '{modifier}'")
        return Immediate(value, symbol, modifier)
    segment = ""
    if match := _SEGMENT.match(text):
        segment, text = match[1], text[match.end() :]
    matched = _MEMORY.match(text)
    if matched is None:
        raise Unliftable(f"no rule for the operand '{text}'")
    displacement, symbol, modifier = _place(matched["place"])
    base, index = matched["base"] or "", matched["index"] or ""
    is_32_bit = False
    for name in (base, index):
        if name and name not in ("rip", "riz"):
            register = REGISTERS.get(name)
            if register is None or register.is_vector:
                raise Unliftable(f"no rule for the register '%{name}'")
            is_32_bit |= register.bits == 32
    return Memory(
        displacement=displacement,
        base="" if base == "rip" else base,
        index="" if index == "riz" else index,
        scale=int(matched["scale"] or 1),
        symbol=symbol,
        modifier=modifier,
        segment=segment if segment in ("fs", "gs") else "",
        is_32_bit=is_32_bit,
    )


def _place(text: str) -> tuple[int, str, str]:
    """Return distance, symbol and modifier of ``counter@GOTPCREL+8``."""
    if not text:
        return 0, "", ""
    try:
        return int(text, 0), "", ""
    except ValueError:
        pass
    match = _SYMBOL.match(text)
    if match is None:
        raise Unliftable(f"no rule for the expression '{text}'")
    return int(match["distance"] or 0), match["name"].strip('"'), match["modifier"] or ""
