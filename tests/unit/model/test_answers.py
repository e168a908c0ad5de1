"""Answers written out as the paper's models give them, and as they fail to."""

from __future__ import annotations

import pytest

from llm_compiler.model.engines.answers import parse_answer_text

CODE = "; ModuleID = 'a.c'\ndefine i32 @f() {\n  ret i32 11\n}\n"
SROA = "function(sroa<modify-cfg>)"


@pytest.mark.parametrize(
    ("text", "pipeline"),
    [
        ("opt -p 'globaldce' reduces the binary size", "globaldce"),
        ("opt -p 'module(default<Oz>),module(iroutliner)'", "default<Oz>,iroutliner"),
        ('Run "opt -passes=function(sroa,adce),mergefunc".', f"{SROA},function(adce),mergefunc"),
        ("opt --passes='cgscc(inline), function(adce)' on it", "cgscc(inline),function(adce)"),
        ("Passes:\nmodule(globaldce),function(adce)\n", "globaldce,function(adce)"),
        ("Best (of all: sroa,adce).", f"{SROA},function(adce)"),
        ("opt -p mem2reg", "function(mem2reg)"),
        # The longest one, not the first one.
        ("Not opt -p 'adce' but opt -p 'adce,globaldce'", "function(adce),globaldce"),
        # No list in the code, however much it looks like one.
        (f"opt -p 'adce'\n\n<code>; opt -p 'globaldce,mergefunc'\n{CODE}</code>", "function(adce)"),
    ],
)
def test_lists_are_found_by_grammar(text: str, pipeline: str) -> None:
    stated = parse_answer_text(text).stated_list
    assert stated is not None
    assert (stated.passes.pipeline, stated.dropped) == (pipeline, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "No pass list makes this code smaller.",
        "You could inline, sink and reassociate; internalize nothing.",
        f"<code>{CODE}</code>",
        "opt -p 'frobnicate,defragment'",
        "opt -p ''",
        ")))<<<,,,(((",
    ],
)
def test_no_list(text: str) -> None:
    assert parse_answer_text(text).stated_list is None


@pytest.mark.parametrize(
    ("text", "pipeline", "dropped"),
    [
        # LLVM 17 had passes that are gone, and some change what a program means.
        ("opt -p 'module(globaldce),typepromotion2,adce'", "globaldce,function(adce)", 1),
        ("opt -p 'internalize,globaldce'", "globaldce", 1),
        ("opt -p 'function(sroa,gone,adce)'", f"{SROA},function(adce)", 1),
        # Cut short: nobody knows what the last one was to be.
        ("opt -p 'globaldce,function(simplifycfg<no-spec", "globaldce", 1),
        ("opt -p 'globaldce,cgscc(inline),mem", "globaldce,cgscc(inline)", 1),
        ("opt -p 'globaldce,function(adce", "globaldce", 1),
    ],
)
def test_what_cannot_be_used_is_left_out(text: str, pipeline: str, dropped: int) -> None:
    stated = parse_answer_text(text, finished=False).stated_list
    assert stated is not None
    assert stated.passes.pipeline == pipeline
    assert len(stated.dropped) == dropped


def test_where_a_list_stands() -> None:
    text = "Use opt -p 'globaldce,function(adce)' here"
    stated = parse_answer_text(text).stated_list
    assert stated is not None
    assert text[stated.start : stated.end] == "globaldce,function(adce)"


@pytest.mark.parametrize(
    ("text", "count", "sizes"),
    [
        # As Meta's models write it, with their training data's misspelling.
        (f"  The LLVM-IR will have instruction count 48 and binary sise 348 bytes:\n\n"
         f"<code>{CODE}</code>", 48, (348,)),
        ("The assembly will have instruction count 7 and binary size 1077 bytes:", 7, (1077,)),
        (f"opt -p 'adce' reduces the binary size from 1100 to 1077 bytes:\n\n<code>{CODE}</code>",
         None, (1100, 1077)),
        ("Binary size before: 115. Binary size after: 28. Pass 3 of 4 counts.", None, (115, 28)),
        ("Of i32 and -O2 nothing is 12% as good.", None, ()),
        ("instruction count 99999999999999999999 and binary size 99999999999999999999", None, ()),
    ],
)  # fmt: skip
def test_sizes(text: str, count: int | None, sizes: tuple[int, ...]) -> None:
    contents = parse_answer_text(text)
    assert (contents.num_instructions, contents.sizes_bytes) == (count, sizes)


def test_a_number_that_is_cut_short_is_not_stated() -> None:
    text = "The LLVM-IR will have instruction count 48 and binary size 34"
    assert parse_answer_text(text, finished=False).sizes_bytes == ()
    assert parse_answer_text(text[:41], finished=False).num_instructions is None
    assert parse_answer_text(text[:42], finished=True).num_instructions == 48


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"<code>{CODE}</code>", CODE),
        (f"Here:\n\n[code]{CODE}[/code] done", CODE),
        ('<code>@s = c"</code>"\n</code>', '@s = c"</code>"\n'),
        (f"<code>{CODE}", None),
        (f"<code>{CODE}[/code]", None),
        (CODE, None),
        (f"</code>{CODE}<code>", None),
    ],
)
def test_code(text: str, code: str | None) -> None:
    assert parse_answer_text(text).code == code


@pytest.mark.parametrize(
    "piece", ["opt -p '", "a,", "sroa(", "function(adce,", "1. 2 ", "<code>", "size 12 "]
)
def test_long_nonsense_states_no_list(piece: str) -> None:
    answer = parse_answer_text(piece * 20_000, finished=False)
    assert (answer.stated_list, answer.code) == (None, None)
