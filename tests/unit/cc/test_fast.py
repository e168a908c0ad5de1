"""The recipes that llm-cc tries at ``fast``."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.cc.fast import CXX_LIST, FAST_LISTS, fast_coreset
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.records import Recipe, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.under_settings import shares_of
from llm_compiler.verify.verdicts import VerdictBook


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_all_have_passed_plainly_and_under_some_settings(architecture: str, tmp_path: Path) -> None:
    coreset = fast_coreset(load_coreset())
    assert [recipe.pipeline for recipe in coreset.lists] == list(FAST_LISTS)
    settings = [Recipe(), *coreset.settings_for(architecture)]
    with VerdictBook(tmp_path / "none.db") as book:
        for passes in coreset.lists:
            known = [
                book.lookup(passes.with_settings_of(setting), 19, architecture)
                for setting in settings
            ]
            passed = [
                verdict is not None and verdict.kind is VerdictKind.PASSED for verdict in known
            ]
            assert passed[0], passes
            # Under settings without a verdict a list is tried plainly, and saves less.
            assert any(passed[1:]), passes


def test_none_differs_from_run_to_run() -> None:
    for text in FAST_LISTS:
        assert parse_pass_list(text) == Recipe(tuple(parse_pass_list(text).elements))
        assert not unsafe_passes(parse_pass_list(text))
        assert not ("loop-extract" in text and "iroutliner" in text)


def test_what_is_for_cxx_is_not_tried_on_c() -> None:
    shipped = load_coreset()
    both = [fast_coreset(shipped, is_cxx=is_cxx).lists for is_cxx in (False, True)]
    assert {recipe.pipeline for recipe in both[1]} - {recipe.pipeline for recipe in both[0]} == {
        CXX_LIST
    }


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_every_list_is_tried_beside_the_settings(architecture: str) -> None:
    """Of as many tries as there are lists and one, the settings take no more than the one."""
    coreset = fast_coreset(load_coreset())
    for is_cxx in (True, False):
        lists = fast_coreset(load_coreset(), is_cxx=is_cxx).lists
        settings = coreset.settings_for(architecture)
        shares = shares_of(settings, (), lambda recipe: True, 1 + len(lists))
        assert shares.num_lists == len(lists)


def test_boards_have_recipes_of_their_own_that_come_first() -> None:
    shipped = load_coreset()
    coreset = fast_coreset(shipped)
    assert set(coreset.extras) == set(shipped.extras) - {"x86_64", "aarch64"}
    for architecture in ("thumbv6m", "thumbv7m", "riscv32"):
        own = coreset.extras_for(architecture)
        assert own == shipped.extras_for(architecture) != ()
        shares = shares_of((), own, lambda recipe: True, len(FAST_LISTS))
        assert shares.whole == own[: len(FAST_LISTS)]
