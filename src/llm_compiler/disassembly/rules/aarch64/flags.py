"""The flags of AArch64, kept as what set them, and read as the comparison that was meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.nodes import Node

__all__ = ["CONDITIONS", "OPPOSITE", "Flags", "condition"]

CONDITIONS: Final = {
    **{
        word: word
        for word in [
            "eq",
            "ne",
            "hs",
            "lo",
            "mi",
            "pl",
            "vs",
            "vc",
            "hi",
            "ls",
            "ge",
            "lt",
            "gt",
            "le",
        ]
    },
    "cs": "hs",
    "cc": "lo",
}
"""The condition that a suffix stands for."""
OPPOSITE: Final = {
    "eq": "ne",
    "ne": "eq",
    "hs": "lo",
    "lo": "hs",
    "mi": "pl",
    "pl": "mi",
    "vs": "vc",
    "vc": "vs",
    "hi": "ls",
    "ls": "hi",
    "ge": "lt",
    "lt": "ge",
    "gt": "le",
    "le": "gt",
}
_PREDICATES: Final = {
    "eq": "eq",
    "ne": "ne",
    "lt": "slt",
    "le": "sle",
    "gt": "sgt",
    "ge": "sge",
    "lo": "ult",
    "ls": "ule",
    "hi": "ugt",
    "hs": "uge",
}
_FLOATS: Final = {
    "eq": "oeq",
    "ne": "une",
    "mi": "olt",
    "lo": "olt",
    "ls": "ole",
    "gt": "ogt",
    "ge": "oge",
    "lt": "ult",
    "le": "ule",
    "hi": "ugt",
    "hs": "uge",
    "pl": "uge",
    "vs": "uno",
    "vc": "ord",
}


@dataclass(frozen=True, slots=True)
class Flags:
    """What set the flags.

    `kind`: ``subtract`` (left - right), ``add``, ``logic`` (result; no carry, no overflow),
    ``floats``, ``carry`` (the carry is `carry`; zero and sign are the result's), ``choice`` (ccmp:
    `taken`, where `condition` holds, else the four bits of `number`).
    """

    kind: str
    left: Node | None = None
    right: Node | None = None
    result: Node | None = None
    condition: Node | None = None
    taken: Flags | None = None
    number: int = 0
    carry: Node | None = None


def condition(builder: Builder, flags: Flags, code: str) -> Node:
    """Return a condition's ``i1``.

    Raises:
        Unliftable: what set the flags does not say.
    """
    if flags.kind == "choice":
        assert flags.taken is not None
        assert flags.condition is not None
        found = condition(builder, flags.taken, code)
        if _holds(flags.number, code):
            return builder.binary("or", builder.negated(flags.condition), found)
        return builder.binary("and", flags.condition, found)
    if flags.kind == "floats":
        assert flags.left is not None
        assert flags.right is not None
        return builder.compare_floats(_FLOATS[code], flags.left, flags.right)
    if flags.kind == "subtract":
        return _after_subtraction(builder, flags, code)
    if flags.result is None:
        raise Unliftable(f"no rule for the condition '{code}' after {flags.kind}")
    if code in ("eq", "ne", "mi", "pl"):
        return _of_result(builder, flags.result, code)
    if flags.kind == "logic":
        return _after_logic(builder, flags.result, code)
    if flags.kind == "add":
        return _after_addition(builder, flags, code)
    if flags.kind == "carry" and code in ("hs", "lo"):
        assert flags.carry is not None
        return flags.carry if code == "hs" else builder.negated(flags.carry)
    raise Unliftable(f"no rule for the condition '{code}' after {flags.kind}")


def _holds(number: int, code: str) -> bool:
    """Return whether a condition holds of the four bits N, Z, C, V."""
    negative, zero = bool(number & 8), bool(number & 4)
    carry, overflow = bool(number & 2), bool(number & 1)
    return {
        "eq": zero,
        "ne": not zero,
        "hs": carry,
        "lo": not carry,
        "mi": negative,
        "pl": not negative,
        "vs": overflow,
        "vc": not overflow,
        "hi": carry and not zero,
        "ls": not carry or zero,
        "ge": negative == overflow,
        "lt": negative != overflow,
        "gt": not zero and negative == overflow,
        "le": zero or negative != overflow,
    }[code]


def _of_result(builder: Builder, result: Node, code: str) -> Node:
    zero = builder.constant(0, result.type)
    if code in ("eq", "ne"):
        return builder.compare(code, result, zero)
    if code == "mi":
        return builder.compare("slt", result, zero)
    return builder.compare("sgt", result, builder.constant(-1, result.type))


def _after_subtraction(builder: Builder, flags: Flags, code: str) -> Node:
    left, right = flags.left, flags.right
    assert left is not None
    assert right is not None
    if code in _PREDICATES:
        return builder.compare(_PREDICATES[code], left, right)
    if code in ("mi", "pl"):
        result = flags.result or builder.binary("sub", left, right)
        return _of_result(builder, result, code)
    found = builder.overflows("ssub", left, right)
    return builder.negated(found) if code == "vc" else found


def _after_logic(builder: Builder, result: Node, code: str) -> Node:
    if code in ("hs", "hi", "vs"):
        return builder.constant(0, "i1")
    if code in ("lo", "ls", "vc"):
        return builder.constant(1, "i1")
    predicate, number = {"lt": ("slt", 0), "ge": ("sgt", -1), "le": ("slt", 1), "gt": ("sgt", 0)}[
        code
    ]
    return builder.compare(predicate, result, builder.constant(number, result.type))


def _after_addition(builder: Builder, flags: Flags, code: str) -> Node:
    left, right, result = flags.left, flags.right, flags.result
    assert left is not None
    assert right is not None
    assert result is not None
    if code in ("hs", "lo"):
        return builder.compare("ult" if code == "hs" else "uge", result, left)
    if code in ("vs", "vc"):
        found = builder.overflows("sadd", left, right)
        return builder.negated(found) if code == "vc" else found
    zero = builder.compare("eq", result, builder.constant(0, result.type))
    if code in ("hi", "ls"):
        lower = builder.compare("uge", result, left)
        either = builder.binary("or", lower, zero)
        return builder.negated(either) if code == "hi" else either
    sign = builder.compare("slt", result, builder.constant(0, result.type))
    less = builder.binary("xor", sign, builder.overflows("sadd", left, right))
    if code in ("lt", "ge"):
        return builder.negated(less) if code == "ge" else less
    either = builder.binary("or", less, zero)
    return builder.negated(either) if code == "gt" else either
