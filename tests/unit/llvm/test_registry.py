from __future__ import annotations

from collections import Counter

import pytest

from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.llvm.registry import (
    EXCLUDED,
    Level,
    all_entries,
    base_name,
    entry,
    is_default_pipeline,
    known_names,
    level_of,
)

SAFE = [item for item in all_entries() if item.safe]
NOT_SAFE = [item for item in all_entries() if not item.safe]


def test_there_are_as_many_as_the_design_says() -> None:
    assert len(SAFE) >= 150
    assert len({base_name(item.text) for item in SAFE}) >= 110
    assert len(NOT_SAFE) >= 90


@pytest.mark.parametrize("value", SAFE, ids=lambda item: item.text)
def test_every_safe_element_parses_to_itself(value: object) -> None:
    passes = parse_pass_list(value.element)
    assert passes.elements == (value.element,)
    assert parse_pass_list(value.text) == passes
    assert unsafe_passes(passes) == ()


def test_every_excluded_pass_has_a_reason_in_words() -> None:
    assert [item.text for item in NOT_SAFE if len(item.reason) < 10] == []
    assert {item.text for item in NOT_SAFE} == EXCLUDED


@pytest.mark.parametrize(
    "name",
    [
        "structurizecfg",
        "unify-loop-exits",
        "lower-atomic",
        "internalize",
        "strip",
        "asan",
        "trigger-crash-module",
        "print",
        "verify",
    ],
)
def test_passes_known_to_break_or_not_to_transform_are_excluded(name: str) -> None:
    found = entry(name)
    assert found is not None
    assert not found.safe
    assert name not in {base_name(item.text) for item in SAFE}


def test_no_pass_is_both_and_none_is_listed_twice() -> None:
    assert {base_name(item.text) for item in SAFE} & {item.text for item in NOT_SAFE} == set()
    counts = Counter(item.text for item in all_entries())
    assert [text for text, count in counts.items() if count > 1] == []


def test_a_pass_has_one_level_whatever_its_parameters() -> None:
    levels: dict[str, set[Level]] = {}
    for item in all_entries():
        levels.setdefault(base_name(item.text), set()).add(item.level)
    assert {name: found for name, found in levels.items() if len(found) > 1} == {}


def test_levels_wrap_as_opt_needs_them() -> None:
    assert Level.MODULE.wrap("x") == "x"
    assert Level.CGSCC.wrap("x") == "cgscc(x)"
    assert Level.FUNCTION.wrap("x") == "function(x)"
    assert Level.LOOP.wrap("x") == "function(loop(x))"
    assert Level.LOOP_MSSA.wrap("x") == "function(loop-mssa(x))"


def test_names_and_levels_are_found_without_parameters() -> None:
    assert level_of("licm") is Level.LOOP_MSSA
    assert level_of("frobnicate") is None
    assert entry("frobnicate") is None
    assert entry("licm<allowspeculation>") is not None
    assert set(known_names()) == {base_name(item.text) for item in all_entries()}
    assert list(known_names()) == sorted(known_names())


def test_default_pipelines_are_told_from_passes() -> None:
    assert is_default_pipeline("default")
    assert is_default_pipeline("lto-pre-link")
    assert not is_default_pipeline("sroa")


def test_the_passes_that_matter_for_size_come_with_parameters() -> None:
    texts = {item.text for item in SAFE}
    assert {
        "simplifycfg<sink-common-insts>",
        "early-cse<memssa>",
        "inline<only-mandatory>",
    } <= texts
    assert any(text.startswith("loop-unroll<") for text in texts)
