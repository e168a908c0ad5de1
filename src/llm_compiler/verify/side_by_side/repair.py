"""Inputs mended after a crash: what was used as an address, and is none, becomes one.

A function that takes structures follows pointers in them. Where a drawn word is followed that leads
nowhere, the run says so (`Fault`), and which registers held what. The same word is looked for in
the input. Pure, but for the generator's chance.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from collections.abc import Callable, Sequence

from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.inputs import CONTENT_BYTES, Input
from llm_compiler.verify.side_by_side.outcomes import Fault

__all__ = ["repaired"]

_FIRST, _LAST = 0x39C00000, 0x3C100000
"""Between these are the function's own code, the stubs, the buffers and the stack."""
_REACH = 4096
"""That far from a pointer may be what is read through it; below that, no address is any."""
_NARROW = (1 << 32) - 1
_EXTENDED = (1 << 64) - (1 << 31)
_LEAST_INDEX = 256


def repaired(
    given: Input,
    fault: Fault,
    pointer: Callable[[], int],
    chance: random.Random,
    fields: Sequence[MemoryField],
) -> Input | None:
    """Return an input that leads somewhere where another one crashed; None: nothing is found.

    Args:
        pointer: draws an address that can be read.
        fields: what the code reads at fixed distances from pointers.
    """
    suspects = {
        value for value in (fault.address, *fault.registers) if value >= _REACH and _is_wild(value)
    }

    # Numbers of 32 bits, extended or not, are indices unless they are the place itself.
    pointers = {value for value in suspects if _NARROW < value < _EXTENDED}

    def is_meant(word: int) -> bool:
        near = 0 <= fault.address - word < _REACH
        return word in pointers or (near and word >= _REACH and _is_wild(word))

    address = pointer()
    low, high = fault.address - _REACH, fault.address

    def without(data: bytes) -> bytes:
        # Most words are none of these: they are passed over before anything is called.
        words = struct.unpack_from(f"<{len(data) // 8}Q", data)
        found = [
            index
            for index, word in enumerate(words)
            if (low < word <= high or word in pointers) and is_meant(word)
        ]
        if not found:
            return data
        made = bytearray(data)
        for index in found:
            made[8 * index : 8 * index + 8] = address.to_bytes(8, "little")
        return bytes(made)

    mended = _mapped(given, lambda word: address if is_meant(word) else word, without)
    if mended != given:
        return mended
    indices = {value & _NARROW for value in suspects if value & _NARROW >= _LEAST_INDEX}
    mended = _with_small_indices(given, indices, chance)
    if mended != given:
        return mended
    if fault.address >= _REACH:
        return None
    return _without_null(given, pointer, chance, [field for field in fields if field.size == 8])


def _is_wild(value: int) -> bool:
    return not _FIRST <= value < _LAST


def _mapped(
    given: Input, change: Callable[[int], int], of_bytes: Callable[[bytes], bytes]
) -> Input:
    """Return an input of which each word of eight bytes is what a function makes of it.

    Args:
        of_bytes: the same for all words of some memory.
    """
    return dataclasses.replace(
        given,
        integers=tuple(map(change, given.integers)),
        stack=tuple(map(change, given.stack)),
        # The first also says who answers what.
        choices=(given.choices[0], *map(change, given.choices[1:])),
        variables=None if given.variables is None else of_bytes(given.variables),
        arena=of_bytes(given.arena),
    )


def _with_small_indices(given: Input, indices: set[int], chance: random.Random) -> Input:
    """Return an input in which numbers of 32 bits that led too far are small."""
    small = chance.randrange(16)
    arena = given.arena
    for index in indices:
        arena = arena.replace(index.to_bytes(4, "little"), small.to_bytes(4, "little"))

    def changed(word: int) -> int:
        return small if word & _NARROW in indices else word

    return dataclasses.replace(
        given,
        integers=tuple(map(changed, given.integers)),
        choices=(given.choices[0], *map(changed, given.choices[1:])),
        arena=arena,
    )


def _without_null(
    given: Input,
    pointer: Callable[[], int],
    chance: random.Random,
    fields: Sequence[MemoryField],
) -> Input:
    """Return an input in which some small numbers are pointers: in fields, answers, arguments."""
    kind = chance.choice(("fields", "fields", "answers", "arguments", "variables"))
    if kind == "fields" and fields:
        arena = bytearray(given.arena)
        for field in chance.sample(fields, min(len(fields), chance.choice((1, 1, 2, 4)))):
            for start in range(0, len(arena), CONTENT_BYTES):
                place = start + field.place
                if not 0 <= place <= len(arena) - 8:
                    continue  # in front of the first buffer, or after the last
                if int.from_bytes(arena[place : place + 8], "little") < _REACH:
                    arena[place : place + 8] = pointer().to_bytes(8, "little")
        return dataclasses.replace(given, arena=bytes(arena))

    def changed(word: int) -> int:
        return pointer() if word < _REACH and chance.random() < 0.7 else word

    if kind == "arguments":
        return dataclasses.replace(given, integers=tuple(map(changed, given.integers)))
    if kind == "variables" and given.variables is not None:
        count = len(given.variables) // 8
        words = struct.unpack_from(f"<{count}Q", given.variables)
        data = struct.pack(f"<{count}Q", *map(changed, words)) + given.variables[8 * count :]
        return dataclasses.replace(given, variables=data)
    return dataclasses.replace(given, choices=(given.choices[0], *map(changed, given.choices[1:])))
