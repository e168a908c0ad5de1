"""The frame as objects."""

from __future__ import annotations

from llm_compiler.disassembly.rules.frame import (
    FrameAccesses,
    FrameObject,
    alignment_at,
    frame_objects,
)
from llm_compiler.disassembly.rules.nodes import Block, Graph

FIRST = 8


def objects_of(accesses: FrameAccesses, how: str = "parts") -> list[FrameObject]:
    return frame_objects(accesses, Graph([Block(0, 0, 0)]), how, FIRST)


def test_an_object_begins_early_enough_for_what_relies_on_its_alignment() -> None:
    # movapd at a place that is aligned, 8 bytes above where the object began.
    accesses = FrameAccesses(direct=((-80, 8), (-72, 16)), pointed=(), aligned=((-72, 16),))
    (whole,) = objects_of(accesses, "whole")
    assert (whole.start - FIRST) % 16 == 0
    assert whole.start <= -80
    assert alignment_at([whole], -72) == 16
    assert alignment_at([whole], -80) == 8
    assert alignment_at([whole], 100) == 0


def test_a_place_in_the_middle_of_a_word_is_within_a_buffer() -> None:
    # A line and the character after its first one: one object.
    accesses = FrameAccesses(direct=(), pointed=(-1040, -1039))
    assert [item.start for item in objects_of(accesses)] == [-1040]
    # Two characters that are passed by their addresses stay two.
    accesses = FrameAccesses(direct=(), pointed=(-2, -1))
    assert [item.start for item in objects_of(accesses)] == [-2, -1]


def test_a_small_object_beside_a_register_that_is_kept() -> None:
    """AArch64 keeps registers in pairs: what is left beside a single one holds a number."""
    accesses = FrameAccesses(direct=((-64, 8), (-20, 4)), pointed=(-64, -20))
    graph = Graph([Block(0, 0, 0)], saved=dict.fromkeys((-48, -40, -32, -16, -8), "x19"))
    found = [(item.start, item.end) for item in frame_objects(accesses, graph, "parts", 0)]
    assert found == [(-64, -48), (-20, -16)]


def test_what_is_only_written_is_a_field_of_the_object_below() -> None:
    # As mp_root_u32 of libtommath copies a structure of 24 bytes and passes its address: the copy's
    # last word is written, and read by callees alone.
    accesses = FrameAccesses(
        direct=((-88, 16), (-80, 4), (-72, 8), (-64, 8)), pointed=(-88,), read=((-64, 8),)
    )
    ends = {item.start: item.end for item in objects_of(accesses, "each")}
    assert ends[-88] == -64
    # The function reads the next place, which may be a register that was spilled.
    assert -64 in ends
    # Code that was not optimised also writes what nobody reads.
    assert {-88, -72, -64} == {item.start for item in objects_of(accesses, "slots")}


def test_a_field_that_is_read_is_in_the_object_that_goes_on_above_it() -> None:
    accesses = FrameAccesses(
        direct=((-40, 8), (-32, 8), (-24, 8), (-16, 8)), pointed=(-40,), read=((-32, 8), (-16, 8))
    )
    assert [(item.start, item.end) for item in objects_of(accesses, "each")] == [
        (-40, -16),
        (-16, -8),
    ]
