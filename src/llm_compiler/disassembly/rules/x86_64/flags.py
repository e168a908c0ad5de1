"""The flags of x86-64, kept as what set them, and read as the comparison that was meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.nodes import Node

__all__ = ["CONDITIONS", "Flags", "condition"]

CONDITIONS: Final = {
    **{
        word: word
        for word in [
            "e",
            "ne",
            "l",
            "le",
            "g",
            "ge",
            "b",
            "be",
            "a",
            "ae",
            "s",
            "ns",
            "o",
            "no",
            "p",
            "np",
        ]
    },
    **dict(
        pair.split("=")
        for pair in [
            "z=e",
            "nz=ne",
            "c=b",
            "nae=b",
            "nc=ae",
            "nb=ae",
            "na=be",
            "nbe=a",
            "nge=l",
            "nl=ge",
            "ng=le",
            "nle=g",
            "pe=p",
            "po=np",
        ]
    ),
}
"""The condition that a suffix stands for."""
_PREDICATES: Final = {
    "e": "eq",
    "ne": "ne",
    "l": "slt",
    "le": "sle",
    "g": "sgt",
    "ge": "sge",
    "b": "ult",
    "be": "ule",
    "a": "ugt",
    "ae": "uge",
}
_FLOATS: Final = {
    "a": "ogt",
    "ae": "oge",
    "b": "ult",
    "be": "ule",
    "e": "ueq",
    "ne": "one",
    "p": "uno",
    "np": "ord",
}
_OPPOSITE: Final = {"ne": "e", "ae": "b", "a": "be", "ns": "s", "no": "o", "np": "p"}


@dataclass(frozen=True, slots=True)
class Flags:
    """What set the flags.

    `kind`: ``subtract`` (left - right), ``add``, ``logic`` (result; no carry, no overflow),
    ``shift``, ``multiply``, ``floats`` (ucomisd), ``step`` (inc and dec: the carry is `carry`, from
    before), ``carry`` (only the carry is known: an i1), ``product`` (carry and overflow are the
    same), ``zero`` (only ZF, from left).
    """

    kind: str
    left: Node
    right: Node | None = None
    result: Node | None = None
    before: Flags | None = None
    """Of ``step``: what the carry is left from."""
    carry: Node | None = None


def condition(builder: Builder, flags: Flags, code: str) -> Node:
    """Return a condition's ``i1``.

    Raises:
        Unliftable: what set the flags does not say.
    """
    found = _condition(builder, flags, code)
    if found is None:
        raise Unliftable(f"no rule for the condition '{code}' after {flags.kind}")
    return found


def _condition(builder: Builder, flags: Flags, code: str) -> Node | None:
    if flags.kind == "floats":
        assert flags.right is not None
        return (
            builder.compare_floats(_FLOATS[code], flags.left, flags.right)
            if (code in _FLOATS)
            else None
        )
    if flags.kind == "subtract":
        return _after_subtraction(builder, flags, code)
    if code in ("p", "np"):
        return None
    if flags.kind in ("carry", "product"):
        assert flags.carry is not None
        is_product = flags.kind == "product"
        if code == "b" or (is_product and code == "o"):
            return flags.carry
        if code == "ae" or (is_product and code == "no"):
            return builder.negated(flags.carry)
        if flags.result is not None and code in ("e", "ne", "s", "ns"):
            return _of_result(builder, flags.result, code)
        return None
    if flags.kind == "zero":
        zero = builder.constant(0, flags.left.type)
        if code in ("e", "ne"):
            return builder.compare(_PREDICATES[code], flags.left, zero)
        return None
    result = flags.result
    assert result is not None
    if code in ("e", "ne", "s", "ns") and flags.kind != "multiply":
        return _of_result(builder, result, code)
    if flags.kind == "logic":
        return _after_logic(builder, result, code)
    if flags.kind == "add":
        return _after_addition(builder, flags, code)
    if flags.kind == "step":
        return _after_step(builder, flags, code)
    if flags.kind == "multiply" and code in ("o", "no", "b", "ae"):
        assert flags.right is not None
        found = builder.overflows("smul", flags.left, flags.right)
        return builder.negated(found) if code in ("no", "ae") else found
    if flags.kind == "shift" and flags.carry is not None and code in ("b", "ae"):
        return builder.negated(flags.carry) if code == "ae" else flags.carry
    return None


def _of_result(builder: Builder, result: Node, code: str) -> Node:
    zero = builder.constant(0, result.type)
    if code in ("e", "ne"):
        return builder.compare(_PREDICATES[code], result, zero)
    if code == "s":
        return builder.compare("slt", result, zero)
    return builder.compare("sgt", result, builder.constant(-1, result.type))


def _after_subtraction(builder: Builder, flags: Flags, code: str) -> Node | None:
    left, right = flags.left, flags.right
    assert right is not None
    if code in _PREDICATES:
        return builder.compare(_PREDICATES[code], left, right)
    if code in ("s", "ns"):
        result = flags.result or builder.binary("sub", left, right)
        return _of_result(builder, result, code)
    if code in ("o", "no"):
        found = builder.overflows("ssub", left, right)
        return builder.negated(found) if code == "no" else found
    if code in ("p", "np"):
        result = flags.result or builder.binary("sub", left, right)
        return _parity(builder, result, code)
    return None


def _parity(builder: Builder, result: Node, code: str) -> Node:
    low = builder.low(result, 8)
    count = builder.intrinsic("ctpop", "i8", low, overload="i8")
    odd = builder.cast("trunc", count, "i1")
    return builder.negated(odd) if code == "p" else odd


def _after_logic(builder: Builder, result: Node, code: str) -> Node | None:
    type_ = result.type
    if code in ("b", "o"):
        return builder.constant(0, "i1")
    if code in ("ae", "no"):
        return builder.constant(1, "i1")
    predicate, number = {
        "l": ("slt", 0),
        "ge": ("sgt", -1),
        "le": ("slt", 1),
        "g": ("sgt", 0),
        "be": ("eq", 0),
        "a": ("ne", 0),
    }[code]
    return builder.compare(predicate, result, builder.constant(number, type_))


def _after_addition(builder: Builder, flags: Flags, code: str) -> Node | None:
    left, right, result = flags.left, flags.right, flags.result
    assert right is not None
    assert result is not None
    if code in ("b", "ae"):
        return builder.compare("ult" if code == "b" else "uge", result, left)
    if code in ("o", "no"):
        found = builder.overflows("sadd", left, right)
        return builder.negated(found) if code == "no" else found
    if code in ("be", "a"):
        carry = builder.compare("ult", result, left)
        zero = builder.compare("eq", result, builder.constant(0, result.type))
        either = builder.binary("or", carry, zero)
        return builder.negated(either) if code == "a" else either
    # Without overflow, the sign of the sum is the order of left and -right.
    sign = builder.compare("slt", result, builder.constant(0, result.type))
    less = builder.binary("xor", sign, builder.overflows("sadd", left, right))
    if code in ("l", "ge"):
        return builder.negated(less) if code == "ge" else less
    zero = builder.compare("eq", result, builder.constant(0, result.type))
    either = builder.binary("or", less, zero)
    return builder.negated(either) if code == "g" else either


def _after_step(builder: Builder, flags: Flags, code: str) -> Node | None:
    left, right = flags.left, flags.right
    assert right is not None
    if code in ("b", "ae"):
        return None if flags.before is None else _condition(builder, flags.before, code)
    if code in ("be", "a"):
        return None
    # left + step is compared as left against -step.
    if code in ("o", "no"):
        found = builder.overflows("ssub", left, right)
        return builder.negated(found) if code == "no" else found
    return builder.compare(_PREDICATES[code], left, right)
