"""Recipes as text: one canonical form, read again as it was written, and clear refusals."""

from __future__ import annotations

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.settings import (
    SettingKind,
    all_settings,
    backend_flags,
    find_setting,
    opt_flags,
    unfit_settings,
    unsafe_settings,
)
from llm_compiler.records import Recipe
from llm_compiler.search.coreset import load_coreset


def test_a_pass_list_keeps_the_text_that_stores_and_verdicts_know() -> None:
    for recipe in load_coreset().lists:
        assert recipe.text == recipe.pipeline
        assert parse_recipe(recipe.text) == recipe
        assert recipe.is_pass_list


@pytest.mark.parametrize(
    "text",
    [
        "",
        "globalopt",
        "+frame-pointer=non-leaf",
        "globalopt,function(adce) +frame-pointer=all",
        "default<Oz> --outliner-benefit-threshold=24",
        "default<Oz> +frame-pointer=non-leaf --outliner-benefit-threshold=24",
        'globalopt {"main":"globaldce +frame-pointer=all","operator{}":"globalopt"}',
    ],
)
def test_canonical_texts_are_read_as_they_were_written(text: str) -> None:
    assert parse_recipe(text).text == text


def test_spellings_meet_in_one_recipe() -> None:
    wanted = Recipe(parse_pass_list("sroa,globalopt").elements, ("frame-pointer=non-leaf",))
    for text in (
        "sroa,globalopt +frame-pointer=non-leaf",
        "  -passes=sroa,globalopt   +frame-pointer=non-leaf +frame-pointer=non-leaf ",
        "-p 'sroa,globalopt' +frame-pointer=non-leaf",
    ):
        assert parse_recipe(text) == wanted, text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("globalopt +frame-pointer=sometimes", "is one of non-leaf, all"),
        ("globalopt +no-such-thing=1", "there is no attribute 'no-such-thing'"),
        ("globalopt --no-such-option=1", "there is no option 'no-such-option'"),
        ("globalopt +frame-pointer=all +frame-pointer=non-leaf", "given twice"),
        ("globalopt +frame-pointer=all and more", "neither '\\+attribute=value'"),
        ("globalopt {main: globaldce}", "not JSON"),
        ('globalopt ["main"]', "brackets|not a pass|unknown"),
    ],
)
def test_what_is_no_recipe_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_recipe(text)


def test_changes_of_the_passes_keep_the_settings() -> None:
    recipe = Recipe(("globalopt", "globaldce"), ("frame-pointer=non-leaf",))
    for changed in (
        recipe.without(0),
        recipe.with_inserted(1, "mergefunc"),
        recipe.with_swapped(0),
        recipe.with_replaced(1, "mergefunc"),
    ):
        assert changed.attributes == recipe.attributes
        assert changed != recipe
    plain = Recipe(("mergefunc",))
    assert plain.with_settings_of(recipe).text == "mergefunc +frame-pointer=non-leaf"


def test_settings_are_for_their_architectures() -> None:
    framed = parse_recipe("globalopt +frame-pointer=non-leaf")
    assert unsafe_settings(framed, "x86_64") == ()
    ((name, reason),) = unsafe_settings(framed, "aarch64")
    assert name == "frame-pointer=non-leaf"
    assert "aarch64" in reason
    unknown = Recipe((), ("no-such-thing=1",))
    assert unsafe_settings(unknown, "x86_64") == (("no-such-thing=1", "not in the registry"),)


def test_stock_tools_get_the_settings() -> None:
    recipe = parse_recipe("globalopt +frame-pointer=all --outliner-benefit-threshold=24")
    assert opt_flags(recipe) == ["--frame-pointer=all"]
    assert backend_flags(recipe) == ["-mllvm", "-outliner-benefit-threshold=24"]
    found = find_setting(SettingKind.ATTRIBUTE, "frame-pointer")
    assert found is not None
    assert found.stock("all") == "opt --frame-pointer=all"


@pytest.mark.parametrize(
    ("text", "unfit"),
    [
        ('call void asm sideeffect "mov $0, %ebp", "~{ebp}"()', True),
        ('call i64 asm "movq %rbp, $0", "=r,~{dirflag}"()', True),
        ('call void asm sideeffect "nop", "~{rbp},~{flags}"()', True),
        ('call void asm sideeffect "cpuid # bypass", "~{ebx},~{dirflag}"()', False),
        ('call void asm sideeffect "", "~{memory}"()', False),
        ("define ghccc void @haskell() {", True),
        ('!0 = !{!"rbp"}', True),
        ('!0 = !{!"rsp"}', False),
        ("define i32 @bp(i32 %bp) {", False),
    ],
)
def test_code_that_uses_the_frame_register_itself_is_known(text: str, unfit: bool) -> None:
    assert unfit_settings(f"; a module\n{text}\n") == (("frame-pointer",) if unfit else ())


def test_every_entry_says_what_it_is_for() -> None:
    names = [(each_setting.kind, each_setting.name) for each_setting in all_settings()]
    assert len(names) == len(set(names))
    for setting in all_settings():
        assert setting.effect
        assert setting.values
        assert setting.safe == (not setting.reason and not setting.contract)
