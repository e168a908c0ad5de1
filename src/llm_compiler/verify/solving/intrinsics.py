"""LLVM's own functions, as far as lifts call them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from bitwuzla import Kind

from llm_compiler.verify.solving.events import Ended
from llm_compiler.verify.solving.ir_types import Type
from llm_compiler.verify.solving.library_calls import call_library
from llm_compiler.verify.solving.memory import Memory
from llm_compiler.verify.solving.terms import Terms, Value, as_float, float_bits, signed
from llm_compiler.verify.solving.typed_values import Anything

__all__ = ["call_intrinsic", "intrinsic_name"]

_NOTHING_WORDS = (
    "lifetime.start lifetime.end assume donothing dbg.value dbg.declare prefetch sideeffect "
    "experimental.noalias.scope.decl invariant.start invariant.end stackrestore"
)
_NOTHING = frozenset(_NOTHING_WORDS.split())
_OF_NUMBERS: dict[str, Callable[..., float]] = {
    "fabs": abs,
    "sqrt": lambda x: math.sqrt(x) if x >= 0 else math.nan,
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "trunc": lambda x: float(math.trunc(x)),
    "rint": lambda x: float(round(x)),
    "nearbyint": lambda x: float(round(x)),
    "roundeven": lambda x: float(round(x)),
    "copysign": math.copysign,
    "minnum": min,
    "maxnum": max,
    "fmuladd": lambda a, b, c: a * b + c,
    "fma": lambda a, b, c: a * b + c,
}


def intrinsic_name(name: str) -> str | None:
    """Return an intrinsic without its types; None: it is none.

    Those of the C library's numbers are named as its functions, ``f`` after those of 32 bits.
    """
    if not name.startswith("llvm."):
        return None
    short = name.removeprefix("llvm.")
    plain = short
    while (cut := re.sub(r"\.(?:v\d+)?(?:[if]\d+|p\d+)$", "", plain)) != plain:
        plain = cut
    if plain in _OF_NUMBERS and short.endswith("f32"):
        return plain + "f"
    return plain


def call_intrinsic(
    name: str,
    kind: Type,
    arguments: Sequence[tuple[Type, Anything]],
    memory: Memory,
    terms: Terms,
) -> Anything:
    """Return an intrinsic's result.

    Raises:
        Ended: it ends the run, or is not interpreted.
        Fault: memory is not there.
    """
    if name in _NOTHING:
        return 0, None
    if name in ("trap", "debugtrap", "ubsantrap"):
        raise Ended("trap")
    values = [value for _, value in arguments]
    plain = name.removesuffix(".inline").removesuffix(".element.unordered.atomic")
    if plain in ("memcpy", "memmove", "memset"):
        words = [
            terms.resized("zext", value, 64 if each.kind == "pointer" else each.bits, 64)
            for each, value in arguments[:3]
            if isinstance(value, tuple)
        ]
        return call_library(plain, words, memory, terms)
    if name in ("expect", "expect.with.probability", "ptr.annotation", "launder.invariant.group"):
        return values[0]
    if name == "is.constant":
        return 0, None
    if name == "stacksave":
        return 0, None
    if name == "objectsize":
        return (1 << kind.bits) - 1, None
    return _of_each(name, kind, arguments, terms)


def _of_each(
    name: str,
    kind: Type,
    arguments: Sequence[tuple[Type, Anything]],
    terms: Terms,
) -> Anything:
    values = [value for _, value in arguments]
    if kind.is_sequence:
        element = kind.parts[0]
        lanes = []
        for index in range(kind.count):
            picked = [
                (
                    each.parts[0] if isinstance(value, list) else each,
                    value[index] if isinstance(value, list) else value,
                )
                for each, value in arguments
            ]
            lanes.append(_of_each(name, element, picked, terms))
        return lanes
    if kind.kind == "float" and name.removesuffix("f") in _OF_NUMBERS and kind.bits in (32, 64):
        function = _OF_NUMBERS.get(name) or _OF_NUMBERS[name.removesuffix("f")]
        numbers = [as_float(value[0], kind.bits) for value in values if isinstance(value, tuple)]
        scalars = [value for value in values if isinstance(value, tuple)]
        try:
            known = float_bits(function(*numbers), kind.bits)
        except (OverflowError, ValueError):
            return values[0]
        return known, terms.of_number(name.removesuffix("f"), scalars, kind.bits)
    if name.endswith(".with.overflow"):
        return _with_overflow(name, arguments, terms)
    if name not in _OF_INTEGERS:
        raise Ended(f"not interpreted: '{name}'")
    first = arguments[0][0]
    bits = 64 if first.kind == "pointer" else first.bits
    return _OF_INTEGERS[name](terms, bits, *values)


def _with_overflow(name: str, arguments: Sequence[tuple[Type, Anything]], terms: Terms) -> Anything:
    """Return a sum, difference or product, and whether it has more bits."""
    bits = arguments[0][0].bits
    a, b = (value for _, value in arguments[:2])
    assert isinstance(a, tuple)
    assert isinstance(b, tuple)
    operation = name[1:4]
    extension = "sext" if name[0] == "s" else "zext"
    wide = 2 * bits
    whole = terms.operate(
        operation,
        terms.resized(extension, a, bits, wide),
        terms.resized(extension, b, bits, wide),
        wide,
    )
    result = terms.resized("trunc", whole, wide, bits)
    back = terms.resized(extension, result, bits, wide)
    return [result, terms.compare("ne", whole, back, wide)]


def _extreme(predicate: str) -> Callable[..., Value]:
    def chosen(terms: Terms, bits: int, a: Value, b: Value) -> Value:
        return terms.choose(terms.compare(predicate, a, b, bits), a, b, bits)

    return chosen


def _abs(terms: Terms, bits: int, a: Value, _: Value) -> Value:
    zero: Value = (0, None)
    is_negative = terms.compare("slt", a, zero, bits)
    return terms.choose(is_negative, terms.operate("sub", zero, a, bits), a, bits)


def _bswap(terms: Terms, bits: int, a: Value) -> Value:
    known = int.from_bytes(a[0].to_bytes(bits // 8, "little"), "big")
    if a[1] is None:
        return known, None
    parts = [terms.part(a[1], place + 7, place) for place in range(0, bits, 8)]
    return known, terms.joined(parts)


def _ctpop(terms: Terms, bits: int, a: Value) -> Value:
    return a[0].bit_count(), None


def _ctlz(terms: Terms, bits: int, a: Value, _: Value = (0, None)) -> Value:
    return _first_bit(terms, bits, a, range(bits - 1, -1, -1))


def _cttz(terms: Terms, bits: int, a: Value, _: Value = (0, None)) -> Value:
    return _first_bit(terms, bits, a, range(bits))


def _first_bit(terms: Terms, bits: int, a: Value, order: Sequence[int]) -> Value:
    """Return how many zero bits come before the first one."""
    known = next((n for n, place in enumerate(order) if a[0] >> place & 1), bits)
    if a[1] is None:
        return known, None
    found = terms.constant(bits, bits)
    for number, place in reversed(list(enumerate(order))):
        bit = terms.make(Kind.EQUAL, [terms.part(a[1], place, place), terms.constant(1, 1)])
        found = terms.make(Kind.ITE, [bit, terms.constant(number, bits), found])
    return known, found


def _funnel(operation: str) -> Callable[..., Value]:
    def shifted(terms: Terms, bits: int, a: Value, b: Value, count: Value) -> Value:
        left = operation == "fshl"
        rest = terms.operate("urem", count, (bits, None), bits)
        wide = 2 * bits
        high = terms.operate("shl", terms.resized("zext", a, bits, wide), (bits, None), wide)
        whole = terms.operate("or", high, terms.resized("zext", b, bits, wide), wide)
        steps = terms.resized("zext", rest, bits, wide)
        if left:
            moved = terms.operate("shl", whole, steps, wide)
            moved = terms.operate("lshr", moved, (bits, None), wide)
        else:
            moved = terms.operate("lshr", whole, steps, wide)
        return terms.resized("trunc", moved, wide, bits)

    return shifted


def _saturated(name: str) -> Callable[..., Value]:
    def bounded(terms: Terms, bits: int, a: Value, b: Value) -> Value:
        is_signed = name[0] == "s"
        if is_signed:
            limit = 1 << (bits - 1)
            exact = (
                (signed(a[0], bits) + signed(b[0], bits))
                if "add" in name
                else (signed(a[0], bits) - signed(b[0], bits))
            )
            return max(-limit, min(limit - 1, exact)) & ((1 << bits) - 1), None
        if "add" in name:
            total = terms.operate("add", a, b, bits)
            wraps = terms.compare("ult", total, a, bits)
            return terms.choose(wraps, ((1 << bits) - 1, None), total, bits)
        below = terms.compare("ult", a, b, bits)
        return terms.choose(below, (0, None), terms.operate("sub", a, b, bits), bits)

    return bounded


def _ptrmask(terms: Terms, bits: int, a: Value, mask: Value) -> Value:
    return terms.operate("and", a, mask, bits)


_OF_INTEGERS: dict[str, Callable[..., Value]] = {
    "smin": _extreme("slt"),
    "smax": _extreme("sgt"),
    "umin": _extreme("ult"),
    "umax": _extreme("ugt"),
    "abs": _abs,
    "bswap": _bswap,
    "ctpop": _ctpop,
    "ctlz": _ctlz,
    "cttz": _cttz,
    "fshl": _funnel("fshl"),
    "fshr": _funnel("fshr"),
    "uadd.sat": _saturated("uadd"),
    "usub.sat": _saturated("usub"),
    "sadd.sat": _saturated("sadd"),
    "ssub.sat": _saturated("ssub"),
    "ptrmask": _ptrmask,
}
"""Of integers: the terms, the bits of the first argument, and the arguments give the result."""
