from __future__ import annotations

import random

import pytest

from llm_compiler.errors import InputError, UnknownPass
from llm_compiler.llvm.passes import element_name, parse_pass_list, search_space, unsafe_passes
from llm_compiler.llvm.registry import all_entries
from llm_compiler.records import PassList

SAFE = [entry.element for entry in all_entries() if entry.safe]


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", ()),
        ("   ", ()),
        (",", ()),
        ("globalopt", ("globalopt",)),
        ("adce", ("function(adce)",)),
        ("function(adce)", ("function(adce)",)),
        ("module(function(adce))", ("function(adce)",)),
        ("function(adce,dce)", ("function(adce)", "function(dce)")),
        ("cgscc(inline)", ("cgscc(inline)",)),
        ("inline,adce", ("cgscc(inline)", "function(adce)")),
        ("loop-rotate", ("function(loop(loop-rotate))",)),
        ("function(loop(loop-rotate,indvars))", ()),
        ("licm", ("function(loop-mssa(licm))",)),
        ("function(loop-mssa(licm,loop-rotate))", ()),
        ("sroa,globalopt,licm", ()),
        ("cgscc(devirt<4>(inline))", None),
        ("module( globalopt , function( adce ) )", ("globalopt", "function(adce)")),
        ("function<eager-inv>(adce)", ("function(adce)",)),
        ("-Oz", ("default<Oz>",)),
        ("default<O2>,lto-pre-link<Oz>", ("default<O2>", "lto-pre-link<Oz>")),
        ("simplifycfg<>", ("function(simplifycfg)",)),
        (
            "simplifycfg<hoist-common-insts;sink-common-insts>",
            ("function(simplifycfg<hoist-common-insts;sink-common-insts>)",),
        ),
    ],
)
def test_every_spelling_becomes_canonical(text: str, elements: tuple[str, ...] | None) -> None:
    expected = {
        "function(loop(loop-rotate,indvars))": (
            "function(loop(loop-rotate))",
            "function(loop(indvars))",
        ),
        # A loop pass that was asked for with MemorySSA keeps it.
        "function(loop-mssa(licm,loop-rotate))": (
            "function(loop-mssa(licm))",
            "function(loop-mssa(loop-rotate))",
        ),
        "sroa,globalopt,licm": (
            "function(sroa<modify-cfg>)",
            "globalopt",
            "function(loop-mssa(licm))",
        ),
    }.get(text, elements)
    if expected is None:
        with pytest.raises(InputError, match="cannot be part of a list"):
            parse_pass_list(text)
    else:
        assert parse_pass_list(text).elements == expected


@pytest.mark.parametrize(
    "text",
    [
        "opt -p 'module(default<Oz>),module(iroutliner)'",
        "opt -p 'module(default<Oz>,iroutliner)'",
        "opt-19 -passes='default<Oz>,iroutliner'",
        "/usr/bin/opt --passes='default<Oz>,iroutliner'",
        "-passes=default<Oz>,iroutliner",
        "-p default<Oz>,iroutliner",
        "'default<Oz>,iroutliner'",
        "default<Oz>,iroutliner",
        "Oz,iroutliner",
    ],
)
def test_the_papers_and_opts_command_lines(text: str) -> None:
    assert parse_pass_list(text).elements == ("default<Oz>", "iroutliner")


@pytest.mark.parametrize(
    "text", ["-sroa -licm", "--sroa --licm", "-sroa, -licm", "opt -sroa -licm"]
)
def test_the_old_spelling(text: str) -> None:
    assert parse_pass_list(text).elements == (
        "function(sroa<modify-cfg>)",
        "function(loop-mssa(licm))",
    )


def test_instcombine_never_asks_for_a_fixpoint() -> None:
    # Alone, opt 19 aborts where one iteration is not enough.
    plain = parse_pass_list("instcombine").elements
    assert plain == ("function(instcombine<no-verify-fixpoint>)",)
    assert parse_pass_list("instcombine<no-verify-fixpoint>").elements == plain
    assert parse_pass_list("instcombine<max-iterations=2>").elements == (
        "function(instcombine<max-iterations=2;no-verify-fixpoint>)",
    )


def test_an_unknown_pass_is_named_with_its_neighbours() -> None:
    with pytest.raises(UnknownPass, match=r"unknown pass 'instcombin'; did you mean instcombine"):
        parse_pass_list("sroa,instcombin")
    with pytest.raises(UnknownPass, match=r"unknown pass 'qqqqq' \('llm-compiler passes'"):
        parse_pass_list("qqqqq")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("function(adce", r"'\(' is never closed"),
        ("adce)", r"'\)' without its partner"),
        ("function(adce>)", "without its partner"),
        ("simplifycfg<a", "'<' is never closed"),
        ("function(adce)dce", "text after the bracket"),
        ("require<domtree>(adce)", "cannot be part of a list"),
        ("repeat<3>(adce)", "cannot be part of a list"),
        ("a$b", "is not a pass name"),
        ("sroa licm", "is not a pass name|unknown pass"),
        ("x" * 100_001, "too long"),
        ("(adce)", "cannot be part of a list"),
        ("(" * 50_000 + ")" * 50_000, "nested more than"),
        ("function(" * 5_000 + "adce" + ")" * 5_000, "nested more than"),
    ],
    ids=lambda text: text[:20],
)
def test_malformed_lists_are_input_errors(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_pass_list(text)


def test_canonical_text_is_a_fixed_point() -> None:
    rng = random.Random(11)
    for _ in range(300):
        passes = PassList(tuple(rng.choice(SAFE) for _ in range(rng.randint(0, 40))))
        again = parse_pass_list(passes.pipeline)
        assert again == passes
        assert parse_pass_list(again.pipeline) == again
        assert parse_pass_list(f"opt -p 'module({passes.pipeline})'") == passes


def test_random_noise_gives_a_list_or_an_input_error() -> None:
    rng = random.Random(13)
    words = ["sroa", "licm", "function", "module", "loop", "(", ")", "<", ">", ",", "-", " ", "'"]
    words += ["default<Oz>", "cgscc(", "\n", "\x00", "é", ";", "O2", "-p "]
    for _ in range(3000):
        text = "".join(rng.choice(words) for _ in range(rng.randint(0, 12)))
        try:
            passes = parse_pass_list(text)
        except InputError:
            continue
        assert parse_pass_list(passes.pipeline) == passes, text


def test_element_name_takes_the_adaptors_off() -> None:
    assert element_name("globalopt") == "globalopt"
    assert element_name("cgscc(inline<only-mandatory>)") == "inline<only-mandatory>"
    assert element_name("function(loop(loop-rotate))") == "loop-rotate"
    for entry in all_entries():
        assert element_name(entry.element) == entry.text


def test_unsafe_passes_are_named_with_a_reason() -> None:
    passes = parse_pass_list("sroa,structurizecfg,default<Oz>,unify-loop-exits,lower-atomic")
    assert [name for name, _ in unsafe_passes(passes)] == [
        "structurizecfg",
        "unify-loop-exits",
        "lower-atomic",
    ]
    assert all(reason for _, reason in unsafe_passes(passes))


def test_safe_passes_stay_safe_with_other_parameters() -> None:
    passes = parse_pass_list("loop-unroll<full-unroll-max=7>,simplifycfg<bonus-inst-threshold=3>")
    assert unsafe_passes(passes) == ()


def test_an_excluded_pass_stays_excluded_with_parameters() -> None:
    assert unsafe_passes(parse_pass_list("structurizecfg<skip-uniform-regions>"))
    assert unsafe_passes(parse_pass_list("print<domtree>"))


def test_an_element_that_nobody_knows_is_unsafe() -> None:
    assert unsafe_passes(PassList(("function(frobnicate)",))) == (
        ("frobnicate", "not in the registry"),
    )


def test_search_space_is_the_safe_ones() -> None:
    assert search_space(all_entries()) == tuple(SAFE)
