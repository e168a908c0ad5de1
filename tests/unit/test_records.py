from __future__ import annotations

import pickle
import random

import pytest

from llm_compiler.records import Measurement, PassList, Status, content_hash

ABC = PassList(("a", "b", "c"))


def test_pipeline_is_the_text_for_opt() -> None:
    assert ABC.pipeline == "a,b,c"
    assert str(ABC) == "a,b,c"
    assert len(ABC) == 3
    assert PassList().pipeline == ""
    assert len(PassList()) == 0


def test_without_leaves_out_one_element() -> None:
    assert [ABC.without(i).elements for i in range(3)] == [("b", "c"), ("a", "c"), ("a", "b")]


def test_with_inserted_puts_an_element_in_front_of_a_position() -> None:
    assert ABC.with_inserted(0, "x").elements == ("x", "a", "b", "c")
    assert ABC.with_inserted(2, "x").elements == ("a", "b", "x", "c")
    assert ABC.with_inserted(3, "x").elements == ("a", "b", "c", "x")
    assert PassList().with_inserted(0, "x").elements == ("x",)


def test_with_swapped_exchanges_neighbours() -> None:
    assert ABC.with_swapped(0).elements == ("b", "a", "c")
    assert ABC.with_swapped(1).elements == ("a", "c", "b")
    with pytest.raises(ValueError, match="unpack"):
        ABC.with_swapped(2)


def test_with_replaced_exchanges_one_element() -> None:
    assert ABC.with_replaced(1, "x").elements == ("a", "x", "c")


def test_edits_leave_the_original_alone_and_can_be_undone() -> None:
    rng = random.Random(7)
    for _ in range(200):
        passes = PassList(tuple(rng.choice("abcdef") for _ in range(rng.randint(2, 9))))
        before = passes.elements
        index = rng.randrange(len(passes))
        removed = passes.elements[index]
        assert passes.without(index).with_inserted(index, removed) == passes
        swap = rng.randrange(len(passes) - 1)
        assert passes.with_swapped(swap).with_swapped(swap) == passes
        assert passes.with_replaced(index, "x").with_replaced(index, removed) == passes
        assert passes.elements == before


def test_pass_lists_are_values() -> None:
    assert PassList(("a", "b", "c")) == ABC
    assert len({PassList(("a", "b", "c")), ABC}) == 1
    assert pickle.loads(pickle.dumps(ABC)) == ABC


def test_a_measurement_that_is_not_ok_has_no_size() -> None:
    with pytest.raises(AssertionError):
        Measurement(status=Status.CRASHED, size_bytes=1)


def test_text_and_data_cannot_exceed_the_whole() -> None:
    with pytest.raises(AssertionError):
        Measurement(status=Status.OK, size_bytes=10, text_data_bytes=11)


def test_ok_means_there_is_an_object() -> None:
    assert Measurement(status=Status.OK, size_bytes=3, text_data_bytes=2).ok
    assert [s for s in Status if s is not Status.OK and Measurement(status=s).ok] == []


def test_content_hash_is_128_bits_and_stable() -> None:
    assert content_hash(b"") == "cae66941d9efbd404e4d88758ea67670"
    assert len(content_hash(b"x")) == 32
    assert content_hash(b"x") != content_hash(b"y")
