"""Inputs mended after a crash."""

from __future__ import annotations

import dataclasses
import random
import struct

from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.inputs import CONTENT_BYTES, Input, buffer_address
from llm_compiler.verify.side_by_side.outcomes import Fault
from llm_compiler.verify.side_by_side.repair import repaired

POINTER = buffer_address(3)
WILD = 0x1234_5678_9ABC_DEF0


def _input(words: dict[int, int]) -> Input:
    arena = bytearray(2 * CONTENT_BYTES)
    for place, word in words.items():
        struct.pack_into("<Q", arena, place, word)
    return Input(
        integers=(buffer_address(0), *range(7)),
        indirect=0,
        floats=(0,) * 16,
        stack=(),
        choices=(5,) * 16,
        variables=None,
        arena=bytes(arena),
    )


def _word(given: Input, place: int) -> int:
    return int(struct.unpack_from("<Q", given.arena, place)[0])


def _repaired(given: Input, fault: Fault, *fields: MemoryField) -> Input | None:
    return repaired(given, fault, lambda: POINTER, random.Random(0), fields)


def test_the_word_that_a_register_held_becomes_a_pointer() -> None:
    given = _input({16: WILD, 24: 77, CONTENT_BYTES + 8: WILD})
    fault = Fault(address=0, registers=(buffer_address(0), WILD, *range(14)))
    mended = _repaired(given, fault)
    assert mended is not None
    assert [_word(mended, place) for place in (16, 24, CONTENT_BYTES + 8)] == [POINTER, 77, POINTER]
    assert mended.integers == given.integers


def test_a_word_a_little_below_the_address_becomes_a_pointer() -> None:
    given = _input({16: 0x5000_0000})
    mended = _repaired(given, Fault(address=0x5000_0000 + 120, registers=(1,) * 16))
    assert mended is not None
    assert _word(mended, 16) == POINTER


def test_an_index_that_led_too_far_becomes_small() -> None:
    given = dataclasses.replace(_input({}), integers=(buffer_address(0), 0xFFF1_2345, *range(6)))
    far = buffer_address(0) + 4 * 0xFFF1_2345
    mended = _repaired(given, Fault(address=far, registers=(0xFFF1_2345, *range(15))))
    assert mended is not None
    assert mended.integers[0] == given.integers[0]
    assert mended.integers[1] < 16


def test_a_null_pointer_is_looked_for_in_fields() -> None:
    given = _input({})
    fault = Fault(address=8, registers=(0,) * 16)
    fields = [MemoryField(40, 8), MemoryField(48, 4)]
    mended = [repaired(given, fault, lambda: POINTER, random.Random(n), fields) for n in range(20)]
    found = {_word(one, 40) for one in mended if one is not None}
    assert POINTER in found
    assert all(_word(one, 48) == 0 for one in mended if one is not None)


def test_what_is_not_in_the_input_is_not_mended() -> None:
    given = _input({16: 3})
    assert _repaired(given, Fault(address=WILD & 0x7FFF_FFFF_FFFF, registers=(2,) * 16)) is None


def test_fields_in_front_of_a_pointer_or_far_after_it_make_no_input_longer() -> None:
    given = _input({})
    fault = Fault(address=8, registers=(0,) * 16)
    fields = [MemoryField(place=-8, size=8), MemoryField(place=10 * CONTENT_BYTES, size=8)]
    chance = random.Random(3)
    for _ in range(64):
        mended = repaired(given, fault, lambda: buffer_address(1), chance, fields)
        assert mended is None or len(mended.arena) == len(given.arena)
