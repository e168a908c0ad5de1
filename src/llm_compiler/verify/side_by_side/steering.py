"""Inputs drawn so that a comparison goes the other way: its sides are looked for in the input.

What a function compares is, more often than not, a word of its input as it stands, or one that is a
small constant away. So where a run noted both sides of a comparison, the words of the input that
hold one of them are set to the other one. Pure, but for the generator's chance.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from collections.abc import Sequence

from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.inputs import CONTENT_BYTES, STRIDE, Input, buffer_address
from llm_compiler.verify.probes import Branching

__all__ = ["sides_of", "steered"]

_USUAL = frozenset({0, 1})
"""Values that too many words hold."""
_FRONT = 512
"""Bytes of a buffer in which most structures and texts end."""
_SMALL = 4096
_MOST_PLACES = 64
_LIKELY_SHARE = 0.6


def sides_of(branching: Branching, coverage: bytes) -> tuple[int, int]:
    """Return what a comparison's sides were when it ran last."""
    compared = branching.compared
    mask = (1 << compared.bits) - 1
    left, right = struct.unpack_from("<2Q", coverage, branching.offset)
    return left & mask, (right if compared.right else compared.constant) & mask


def steered(
    given: Input,
    branching: Branching,
    sides: tuple[int, int],
    constants: Sequence[int],
    chance: random.Random,
    fields: Sequence[MemoryField] = (),
) -> Input | None:
    """Return an input on which a comparison may go another way; None: nothing is found in it.

    Args:
        sides: what they were on `given`.
        constants: of the code, that may stand between a word of the input and what is compared.
        fields: what the code reads at fixed distances from pointers.
    """
    bits = branching.compared.bits
    if mask := branching.compared.mask:
        value = sides[0]
        bit = chance.choice([place for place in range(bits) if mask >> place & 1])
        wanted = value & ~mask if value & mask else value | 1 << bit
    else:
        left, right = sides
        value, other = (
            (left, right)
            if branching.compared.right == "" or chance.random() < 0.5
            else (right, left)
        )
        wanted = _wanted(value, other, chance)
    step = 0
    if chance.random() < 0.3 and constants:
        step = chance.choice((1, -1)) * chance.choice(constants)
    limit = (1 << bits) - 1
    change = (value + step) & limit, (wanted + step) & limit
    return _replaced(given, change, bits, chance, _read_places(given, fields))


def _wanted(value: int, other: int, chance: random.Random) -> int:
    """Return what a side may be instead, to be equal, next, or somewhere below."""
    if value == other:
        return other + chance.choice((1, -1, 1, -1, chance.randrange(2, 256)))
    wanted = other + chance.choice((0, 0, 0, 1, -1))
    if other < _SMALL and chance.random() < 0.35:
        wanted = chance.randrange(other + 1)
    return wanted


def _read_places(given: Input, fields: Sequence[MemoryField]) -> frozenset[int]:
    """Return the bytes of the arena that the code reads, for all that is known of its pointers:
    arguments, and what is at their fields.
    """
    found: set[int] = set()
    bases = [place for word in given.integers if (place := _place_of(word)) is not None]
    for _ in range(2):
        places = {
            base + field.place
            for base in bases
            for field in fields
            if 0 <= base % CONTENT_BYTES + field.place < CONTENT_BYTES
        }
        found |= places
        words = (given.arena[place : place + 8] for place in sorted(places)[:_MOST_PLACES])
        bases = [
            place
            for word in words
            if (place := _place_of(int.from_bytes(word, "little"))) is not None
        ]
    return frozenset(found)


def _place_of(address: int) -> int | None:
    """Return the byte of the arena that an address stands for; None if it has none."""
    buffer, offset = divmod(address - buffer_address(0), STRIDE)
    return buffer * CONTENT_BYTES + offset if 0 <= buffer < 64 and offset < CONTENT_BYTES else None


def _replaced(
    given: Input,
    change: tuple[int, int],
    bits: int,
    chance: random.Random,
    read: frozenset[int],
) -> Input | None:
    """Return an input in which some words that hold a value hold another one.

    Args:
        read: bytes of the arena that the code reads: their words come first.
    """
    value, wanted = change
    places: list[tuple[str, int, int]] = []
    for size in (8, 4, 2, 1):
        if 8 * size > bits and size > 1:
            continue
        is_whole = 8 * size == bits
        if not is_whole and not (_fits(value, bits, size) and _fits(wanted, bits, size)):
            continue
        places += _words(given, value, size)
    if not places:
        return None
    likely = [place for place in places if place[0] != "arena" or place[1] in read]
    if likely and chance.random() < _LIKELY_SHARE:
        places = likely
    count = min(len(places), chance.choice((1, 1, 2, 4, len(places))))
    return _with(given, chance.sample(places, count), wanted)


def _fits(value: int, bits: int, size: int) -> bool:
    """Whether a value is a narrower one, extended with zeros or its sign."""
    narrow = 8 * size
    return value < 1 << narrow or value >= (1 << bits) - (1 << (narrow - 1))


def _words(given: Input, value: int, size: int) -> list[tuple[str, int, int]]:
    """Return where an input holds a number: what part, which byte, how many bytes."""
    low = value & ((1 << 8 * size) - 1)
    found: list[tuple[str, int, int]] = []
    if size >= 4 or value not in _USUAL:
        for part in ("integers", "stack", "choices"):
            words: tuple[int, ...] = getattr(given, part)
            found += [
                (part, place, size)
                for place, word in enumerate(words)
                if word & ((1 << 8 * size) - 1) == low and (part != "choices" or place)
            ]
    sample = low.to_bytes(size, "little")
    for part, data, every in (
        ("variables", given.variables or b"", len(given.variables or b"")),
        ("arena", given.arena, CONTENT_BYTES),
    ):
        start = data.find(sample)
        while start >= 0 and len(found) < _SMALL:
            if start % size == 0 and (not every or start % every < _FRONT or part == "variables"):
                found.append((part, start, size))
            start = data.find(sample, start + 1)
    return found


def _with(given: Input, places: Sequence[tuple[str, int, int]], wanted: int) -> Input:
    arena = bytearray(given.arena)
    variables = None if given.variables is None else bytearray(given.variables)
    words = {part: list(getattr(given, part)) for part in ("integers", "stack", "choices")}
    for part, place, size in places:
        mask = (1 << 8 * size) - 1
        data = (wanted & mask).to_bytes(size, "little")
        if part == "arena":
            arena[place : place + size] = data
        elif part == "variables" and variables is not None:
            variables[place : place + size] = data
        elif part in words:
            words[part][place] = words[part][place] & ~mask | wanted & mask
    return dataclasses.replace(
        given,
        arena=bytes(arena),
        variables=None if variables is None else bytes(variables),
        integers=tuple(words["integers"]),
        stack=tuple(words["stack"]),
        choices=tuple(words["choices"]),
    )
