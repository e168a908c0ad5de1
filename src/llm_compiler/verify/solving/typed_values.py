"""Values of types, vectors and aggregates too: in registers, in memory, and as bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_compiler.verify.solving.events import Ended
from llm_compiler.verify.solving.ir_types import Type, field_offsets, size_of
from llm_compiler.verify.solving.memory import Memory
from llm_compiler.verify.solving.terms import Terms, Value

__all__ = [
    "CONVERTED",
    "KEPT",
    "RESIZED",
    "Anything",
    "bits_of",
    "cast",
    "each_lane",
    "from_words",
    "read_typed",
    "replaced",
    "write_typed",
    "zero_of",
]

Anything = Value | list["Anything"]
"""A scalar, or the values of an aggregate or a vector."""

RESIZED = frozenset({"trunc", "zext", "sext"})
CONVERTED = frozenset({"fptrunc", "fpext", "fptoui", "fptosi", "uitofp", "sitofp"})
KEPT = frozenset({"ptrtoint", "inttoptr", "bitcast"})
"""Casts that change no bit, but for zeros in front."""
_OTHER_FORMATS = frozenset({16, 80, 128})


def bits_of(kind: Type) -> int:
    """Return how many bits a scalar has."""
    return 64 if kind.kind == "pointer" else kind.bits


def _element(kind: Type) -> Type:
    return kind.parts[0] if kind.is_sequence else kind


def zero_of(kind: Type) -> Anything:
    """Return the value of a type that is all zeros."""
    if kind.is_sequence:
        return [zero_of(kind.parts[0])] * kind.count
    if kind.kind == "struct":
        return [zero_of(part) for part in kind.parts]
    return 0, None


def each_lane(kind: Type, function: Callable[..., Value], *values: Anything) -> Anything:
    """Return a function of scalars and their type, of each lane where they are vectors."""
    if kind.is_sequence:
        lanes = [value for value in values if isinstance(value, list)]
        return [each_lane(kind.parts[0], function, *lane) for lane in zip(*lanes, strict=True)]
    return function(kind, *values)


def replaced(whole: Anything, path: Sequence[int], part: Anything) -> Anything:
    """Return an aggregate with one of its values, which indices lead to, in another's place."""
    if not path:
        return part
    assert isinstance(whole, list)
    made = list(whole)
    made[path[0]] = replaced(made[path[0]], path[1:], part)
    return made


def from_words(terms: Terms, kind: Type, words: Sequence[Value]) -> Anything:
    """Return what registers of 64 bits hold as a value of a type.

    Raises:
        Ended: no registers hold such a value.
    """
    if kind.kind == "vector":
        element = kind.parts[0]
        bits = bits_of(element)
        lanes: list[Anything] = []
        for lane in range(kind.count):
            word = words[lane * bits // 64]
            moved = terms.operate("lshr", word, (lane * bits % 64, None), 64)
            lanes.append(from_words(terms, element, [moved]))
        return lanes
    bits = bits_of(kind)
    if bits > 64:
        if kind.kind != "integer" or len(words) < 2 or bits > 128:
            raise Ended("not interpreted: a wide value")
        low, high = (terms.resized("zext", word, 64, 128) for word in words[:2])
        shifted = terms.operate("shl", high, (64, None), 128)
        return terms.resized("trunc", terms.operate("or", low, shifted, 128), 128, bits)
    value = terms.resized("trunc", words[0], 64, bits) if bits < 64 else words[0]
    return terms.float_of(value, bits) if kind.kind == "float" else value


# -- casts -----------------------------------------------------------------------------------------


def cast(terms: Terms, operation: str, given: Type, wanted: Type, value: Anything) -> Anything:
    """Return a value as one of another type.

    Raises:
        Ended: a number of a format that is not known.
    """
    source = _element(given)
    if operation == "bitcast":
        return _unpacked(terms, wanted, _packed(terms, given, value))
    if operation in CONVERTED:
        is_of_integer = operation in ("sitofp", "uitofp")
        floats = {bits for bits, known in ((source.bits, not is_of_integer),) if known}
        if operation not in ("fptosi", "fptoui"):
            floats.add(_element(wanted).bits)
        if floats & _OTHER_FORMATS:
            raise Ended("not interpreted: a number of another format")
        return each_lane(
            wanted,
            lambda kind, each: terms.converted(operation, each, source.bits, kind.bits),
            value,
        )

    def resized(kind: Type, each: Value) -> Value:
        bits, more = bits_of(source), bits_of(kind)
        how = operation if operation in RESIZED else "zext" if more > bits else "trunc"
        return terms.resized(how, each, bits, more)

    return each_lane(wanted, resized, value)


def _packed(terms: Terms, kind: Type, value: Anything) -> Value:
    """Return the bits of a value as one integer."""
    if isinstance(value, tuple):
        return terms.bits_of(value) if kind.kind == "float" else value
    element = kind.parts[0]
    bits = bits_of(element)
    total = bits * kind.count
    found: Value = (0, None)
    for index, lane in enumerate(value):
        wide = terms.resized("zext", _packed(terms, element, lane), bits, total)
        shifted = terms.operate("shl", wide, (index * bits, None), total)
        found = terms.operate("or", found, shifted, total)
    return found


def _unpacked(terms: Terms, kind: Type, whole: Value) -> Anything:
    if not kind.is_sequence:
        return terms.float_of(whole, kind.bits) if kind.kind == "float" else whole
    element = kind.parts[0]
    bits = bits_of(element)
    total = bits * kind.count
    found: list[Anything] = []
    for index in range(kind.count):
        moved = terms.operate("lshr", whole, (index * bits, None), total)
        found.append(_unpacked(terms, element, terms.resized("trunc", moved, total, bits)))
    return found


# -- memory ----------------------------------------------------------------------------------------


def read_typed(memory: Memory, terms: Terms, kind: Type, place: int) -> Anything:
    """Return the value of a type that is in memory.

    Raises:
        Fault: it is not there.
    """
    if kind.kind == "struct":
        return [
            read_typed(memory, terms, part, place + offset) for offset, part in field_offsets(kind)
        ]
    if kind.is_sequence:
        step = size_of(kind.parts[0])
        return [
            read_typed(memory, terms, kind.parts[0], place + index * step)
            for index in range(kind.count)
        ]
    size, bits = size_of(kind), bits_of(kind)
    value = memory.read((place, None), size)
    if bits < 8 * size:
        value = terms.resized("trunc", value, 8 * size, bits)
    return terms.float_of(value, bits) if kind.kind == "float" else value


def write_typed(memory: Memory, terms: Terms, kind: Type, place: int, value: Anything) -> None:
    """Store a value of a type.

    Raises:
        Fault: there is no memory.
    """
    if isinstance(value, list):
        if kind.kind == "struct":
            for (offset, part), each in zip(field_offsets(kind), value, strict=True):
                write_typed(memory, terms, part, place + offset, each)
            return
        step = size_of(kind.parts[0])
        for index, each in enumerate(value):
            write_typed(memory, terms, kind.parts[0], place + index * step, each)
        return
    if kind.kind == "float":
        value = terms.bits_of(value)
    size, bits = size_of(kind), bits_of(kind)
    if bits < 8 * size:
        value = terms.resized("zext", value, bits, 8 * size)
    memory.write((place, None), value, size)
