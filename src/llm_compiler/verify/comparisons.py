"""What a function's code compares at run time: lines that note both sides, and what they decide.

A comparison's sides are noted just before it, in memory of the driver's, each time that it runs. So
the last values are known of each input, and a mutant can be drawn on which they are equal. The
added lines change neither flags nor registers. Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Compared", "log_arm", "log_x86", "read_arm", "read_x86"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison of two integers, or a test of bits.

    `left`, `right`: operands whose values are noted, in the words of the assembly; empty where
    `constant` is known instead. `mask`: the bits that are tested; 0 of a comparison.
    """

    bits: int
    left: str
    right: str = ""
    constant: int = 0
    mask: int = 0

    @property
    def operands(self) -> tuple[str, ...]:
        """What is noted."""
        return (self.left, self.right) if self.right else (self.left,)


# -- x86-64 ---

_X86: Final = re.compile(r"^(cmp|test)([bwlq]) (.+)$")
_X86_BITS: Final = {"b": 8, "w": 16, "l": 32, "q": 64}
_X86_MOVES: Final = {
    8: "movb {}, %al",
    16: "movw {}, %ax",
    32: "movl {}, %eax",
    64: "movq {}, %rax",
}
_NUMBER: Final = re.compile(r"\$-?(?:\d+|0x[0-9a-f]+)")
_HIGH_BYTES: Final = re.compile(r"%[abcd]h\b")


def _x86_operands(text: str) -> list[str]:
    found, depth, start = [], 0, 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and not depth:
            found.append(text[start:place].strip())
            start = place + 1
    return [*found, text[start:].strip()]


def read_x86(line: str) -> Compared | None:
    """Return what a line of x86-64 compares; None: nothing, or no integers."""
    match = _X86.match(line)
    if match is None or _HIGH_BYTES.search(line) or "%fs:" in line or "%gs:" in line:
        return None
    operands = _x86_operands(match[3])
    if len(operands) != 2:
        return None
    bits = _X86_BITS[match[2]]
    source, target = operands
    constant = int(source[1:], 0) if _NUMBER.fullmatch(source) else None
    if source.startswith("$") and constant is None:
        return None
    if match[1] == "test":
        if constant is not None:
            return Compared(bits=bits, left=target, mask=constant & ((1 << bits) - 1))
        return Compared(bits=bits, left=target) if source == target else None
    if constant is not None:
        return Compared(bits=bits, left=target, constant=constant & ((1 << bits) - 1))
    return Compared(bits=bits, left=target, right=source)


def log_x86(
    compared: Compared, number: int, places: tuple[str, str, str]
) -> tuple[list[str], list[str]]:
    """Return the lines that note a comparison's sides, in the code and outside.

    Args:
        places: where each side is noted, and where a register is kept meanwhile.
    """
    lines: list[str] = []
    move = _X86_MOVES[compared.bits]
    kept = f"{places[2]}(%rip)"
    for operand, place in zip(compared.operands, places, strict=False):
        lines += [f"movq %rax, {kept}", move.format(operand)]
        lines += [f"movq %rax, {place}(%rip)", f"movq {kept}, %rax"]
    return lines, []


# -- AArch64 ---

_ARM: Final = re.compile(r"^(cmp|subs|tst|cbn?z|tbn?z) (.+)$")
_ARM_REGISTER: Final = re.compile(r"^([wx])(\d+|zr)$")


def read_arm(line: str) -> Compared | None:
    """Return what a line of AArch64 compares; None: nothing, or what is shifted on the way."""
    match = _ARM.match(line)
    if match is None:
        return None
    name = match[1]
    operands = [word.strip() for word in match[2].split(",")]
    if name == "subs":
        operands = operands[1:]
    registers = [_ARM_REGISTER.match(word) for word in operands]
    first = registers[0] if operands else None
    if first is None or not _is_noted(first):
        return None
    bits = 32 if first[1] == "w" else 64
    left = f"x{first[2]}"
    if name in ("cbz", "cbnz"):
        return Compared(bits=bits, left=left)
    value = _arm_number(operands[1]) if len(operands) > 1 else None
    if name in ("tbz", "tbnz"):
        return None if value is None else Compared(bits=bits, left=left, mask=1 << value)
    if len(operands) != 2:
        return None
    if value is not None:
        value &= (1 << bits) - 1
        if name == "tst":
            return Compared(bits=bits, left=left, mask=value)
        return Compared(bits=bits, left=left, constant=value)
    second = registers[1]
    if second is None or not _is_noted(second):
        return None
    if name == "tst":
        return Compared(bits=bits, left=left) if operands[0] == operands[1] else None
    return Compared(bits=bits, left=left, right=f"x{second[2]}")


def _is_noted(register: re.Match[str]) -> bool:
    # x16 and x17 hold the place while a side is noted.
    return register[2] not in ("zr", "16", "17")


def _arm_number(text: str) -> int | None:
    match = re.fullmatch(r"#(-?\d+|0x[0-9a-f]+)", text)
    return int(match[1], 0) if match else None


def log_arm(
    compared: Compared, number: int, places: tuple[str, str, str]
) -> tuple[list[str], list[str]]:
    """Return the lines that note a comparison's sides, in the code and outside.

    One instruction is in the code, so that tables of distances still reach.
    """
    outside = [f".Lcompare_{number}:", "stp x16, x17, [sp, #-16]!"]
    for operand, place in zip(compared.operands, places, strict=False):
        outside += [f"adrp x16, {place}", f"str {operand}, [x16, :lo12:{place}]"]
    outside += ["ldp x16, x17, [sp], #16", f"b .Lcompared_{number}"]
    return [f"b .Lcompare_{number}", f".Lcompared_{number}:"], outside
