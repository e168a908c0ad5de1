"""Figures of disassembly and emulation, from rows made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.report import lifting_report, summarize_lifts
from llm_compiler.evaluate.disassembly.rows import LiftRow
from llm_compiler.evaluate.emulation.ask import EmulationRow
from llm_compiler.evaluate.emulation.report import summarize_emulation
from llm_compiler.evaluate.figures import mean_of, share_of
from llm_compiler.evaluate.task import Facts

pytest.importorskip("numpy")


def lift(
    function: str, candidate: int, verdict: str, bleu: float = 0.0, cause: str = ""
) -> LiftRow:
    return LiftRow(
        suite="s",
        module="m",
        module_hash="h",
        program="p",
        target_triple="x86_64-linux-gnu",
        level="Oz",
        function=function,
        num_instructions=5,
        model="one",
        candidate=candidate,
        verdict=verdict,
        reason="",
        cause=cause,
        attributes="frame pointer" if candidate == 3 else "",
        lowers=int(verdict != "no_answer"),
        bleu=bleu,
        num_inputs=0,
        num_blocks=0,
        num_covered=0,
        counterexample="",
        model_seconds=1.0 if candidate <= 1 else 0.0,
        check_seconds=2.0,
        assembly="",
        answer="",
    )


def test_the_best_of_the_first_answers_counts() -> None:
    rows = [
        lift("f", 1, "refuted", 0.5),
        lift("f", 2, "tests_passed", 0.8),
        lift("f", 3, "exact", 1.0),
        lift("g", 1, "unproved", 0.3),
        lift("g", 2, "no_answer"),
        lift("h", 0, "no_answer", cause="beyond context"),
        lift("i", 0, "no_answer", cause="unreadable"),
    ]
    lift_summary, two, three = (summarize_lifts(rows, k, 0) for k in (1, 2, 3))
    assert lift_summary.verdicts == {"unproved": 1, "refuted": 1, "no_answer": 2}
    assert two.verdicts == {"tests_passed": 1, "unproved": 1, "no_answer": 2}
    assert three.verdicts == {"exact": 1, "unproved": 1, "no_answer": 2}
    assert (three.n, three.num_beyond_context, three.num_unreadable) == (4, 1, 1)
    assert (three.exact.value, three.exact_of_answered.value) == (0.25, 0.5)
    assert (three.bleu.value, three.bleu_of_all.value) == pytest.approx((0.65, 0.325))
    assert (two.num_other_attributes, three.num_other_attributes) == (0, 1)
    assert lift_summary.seconds.value == 3.0
    assert three.seconds.value == pytest.approx((7 + 5 + 3 + 3) / 4)
    assert (three.median_seconds, three.most_seconds) == (4.0, 7.0)


def test_targets_are_told_apart_by_level_and_length() -> None:
    pytest.importorskip("matplotlib")
    arm = "aarch64-linux-gnu"
    rows = [
        lift("f", 1, "exact", 1.0),
        replace(lift("f", 1, "unproved"), level="O2", num_instructions=20),
        replace(lift("g", 1, "refuted"), target_triple=arm, num_instructions=100),
        replace(lift("h", 1, "exact"), target_triple=arm, num_instructions=9),
    ]
    facts = Facts(command="evaluate", settings={}, llvm_version="19.1.7")
    report = lifting_report(rows, facts, LiftOptions(levels=("O2", "Oz"), candidates=1))

    def shares(group: str) -> list[tuple[str, int, float]]:
        figures = [figure for figure in report.figures if figure.group == group]
        return [(figure.name, figure.summary.n, figure.summary.exact.value) for figure in figures]

    assert shares("target and level") == [
        ("aarch64, Oz", 2, 0.5),
        ("x86_64, O2", 1, 0.0),
        ("x86_64, Oz", 1, 1.0),
    ]
    assert shares("target and machine instructions") == [
        ("aarch64, 9 to 16", 1, 1.0),
        ("aarch64, 65 to 128", 1, 0.0),
        ("x86_64, 1 to 8", 1, 1.0),
        ("x86_64, 17 to 32", 1, 0.0),
    ]
    alone = lifting_report(rows[:1], facts, LiftOptions(candidates=1))
    assert not any(" and " in figure.group for figure in alone.figures)


def test_intervals_where_all_or_none_hit() -> None:
    assert share_of([]).value != share_of([]).value
    none, every = share_of([False] * 20), share_of([True] * 20)
    # The exact binomial bound: with this share, 20 misses in a row have probability 2.5 %.
    assert (none.low, (1 - none.high) ** 20) == pytest.approx((0.0, 0.025))
    assert (every.high, every.low**20) == pytest.approx((1.0, 0.025))
    some = share_of([True, False, False, False])
    assert some.value == 0.25
    assert some.low < 0.25 < some.high
    assert mean_of([2.0, 4.0]).value == 3.0
    assert math.isnan(mean_of([]).value)


def test_emulation() -> None:
    row = EmulationRow(
        suite="s",
        module="m",
        module_hash="h",
        program="p",
        target_triple="x86_64-linux-gnu",
        list_kind="random list",
        code="ir",
        passes="x",
        model="one",
        verdict="exact",
        reason="",
        unchanged=1,
        bleu=1.0,
        num_functions=1,
        num_instructions_before=20,
        num_instructions_after=10,
        num_instructions_predicted=12,
        size_bytes_before=200,
        size_bytes_after=100,
        size_bytes_predicted=-1,
        text_data_bytes_before=0,
        text_data_bytes_after=0,
        text_data_bytes_predicted=0,
        model_seconds=1.0,
        check_seconds=1.0,
        question="",
        answer="",
    )
    verdicts = ("exact", "same_code", "tests_passed", "compiles", "differs", "broken", "no_answer")
    rows = [
        replace(row, verdict=verdict, unchanged=int(verdict == "exact")) for verdict in verdicts
    ]
    found = summarize_emulation(rows, 0)
    shares = (found.exact, found.same_code, found.shown, found.compiles)
    assert [round(7 * share.value) for share in shares] == [1, 2, 3, 5]
    assert found.exact_of_changed.value == 0.0
    assert (found.num_unchanged, found.num_without_answer) == (1, 1)
    stated, mape, unchanged = found.errors["instructions"]
    assert (stated, mape.value, unchanged.value) == (7, pytest.approx(0.2), pytest.approx(1.0))
    assert found.errors["size"][0] == 0
    # Nothing is relative to a size of nothing.
    assert found.errors["text-data"][0] == 0
