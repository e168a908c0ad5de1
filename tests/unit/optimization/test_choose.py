"""Who wins: a table of what a bench answers, and the decision with its trace."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from llm_compiler.optimization.choose import Built, Decision, Outcome, choose
from llm_compiler.records import Measurement, PassList, Status, VerdictKind
from llm_compiler.search.objective import INSTRUCTIONS, SIZE, TEXT_DATA, Objective

BASELINE = Built(size_bytes=200, text_data_bytes=150, num_instructions=40)


def made(size: int, text_data: int = 100, instructions: int = 30, *dangling: str) -> Built:
    return Built(
        size_bytes=size,
        text_data_bytes=text_data,
        num_instructions=instructions,
        dangling=dangling,
    )


def named(name: str) -> PassList:
    """A list of safe passes that stands for a name of the table."""
    return PassList((f"function(instcombine<{name}>)",))


def name_of(passes: PassList) -> str:
    return passes.pipeline.removeprefix("function(instcombine<").removesuffix(">)")


@dataclass
class Table:
    """Answers from tables; in process everything measures as the stock tools build it."""

    objects: dict[str, Built | str]
    verdicts: dict[str, VerdictKind] = field(default_factory=dict)
    later: VerdictKind = VerdictKind.PASSED
    in_process: dict[str, Built] = field(default_factory=dict)
    built: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)

    def known(self, passes: PassList) -> VerdictKind:
        return self.verdicts.get(name_of(passes), VerdictKind.PASSED)

    def check(self, passes: PassList) -> VerdictKind:
        self.checked.append(name_of(passes))
        return self.later

    def build(self, passes: PassList, measured: Measurement) -> Built | str:
        self.built.append(name_of(passes))
        return self.objects[name_of(passes)]

    def decide(self, objective: Objective = SIZE, *, trust: bool = False) -> Decision:
        tried = []
        for name, built in self.objects.items():
            seen = self.in_process.get(name, built)
            assert isinstance(seen, Built)
            measured = Measurement(
                status=Status.OK,
                size_bytes=seen.size_bytes,
                text_data_bytes=seen.text_data_bytes,
                num_instructions=seen.num_instructions,
                result_hash=name,
            )
            tried.append((named(name), measured))
        return choose(tried, BASELINE, objective, self, trust=trust)


def winner(decision: Decision) -> str | None:
    return name_of(decision.winner.passes) if decision.winner is not None else None


def test_the_fewest_instructions_win_though_a_later_finalist_is_admissible_too() -> None:
    # In process and stock differ everywhere, so that all three are built.
    table = Table(
        {"ten": made(190, 100, 10), "twenty": made(180, 100, 20), "thirty": made(170, 100, 30)},
        in_process={name: made(150, 100, n) for name, n in (("ten", 10), ("twenty", 20))},
    )
    decision = table.decide(INSTRUCTIONS)
    assert winner(decision) == "ten"
    assert {name_of(s.passes): s.outcome for s in decision.trace}["twenty"] is Outcome.NOT_BETTER


def test_as_many_instructions_as_the_baseline_are_no_win() -> None:
    assert winner(Table({"more": made(100, 100, 41)}).decide(INSTRUCTIONS)) is None
    assert winner(Table({"equal": made(200, 100, 40)}).decide(INSTRUCTIONS)) is None
    assert winner(Table({"smaller": made(199, 100, 40)}).decide(INSTRUCTIONS)) == "smaller"


@pytest.mark.parametrize("objective", [SIZE, TEXT_DATA, INSTRUCTIONS], ids=str)
def test_nothing_that_is_larger_in_all_wins(objective: Objective) -> None:
    decision = Table({"moved": made(210, 50, 5)}).decide(objective)
    assert decision.winner is None
    if objective is not SIZE:
        # Without clang -Oz as backup it would be the best by this objective.
        (step,) = decision.trace
        assert step.outcome is Outcome.LARGER
        assert decision.best_built is step


def test_many_that_are_larger_in_all_do_not_hide_a_smaller_win() -> None:
    objects = {f"moved{n}": made(210 + n, 50 + n) for n in range(20)}
    table = Table({**objects, "fair": made(200, 149)})
    assert winner(table.decide(TEXT_DATA)) == "fair"


def test_the_stock_tools_decide_not_the_measurement() -> None:
    table = Table(
        {"a": made(199), "b": made(180), "c": made(190)},
        in_process={"a": made(100), "b": made(110), "c": made(120)},
    )
    decision = table.decide()
    assert winner(decision) == "b"
    assert [step.outcome for step in decision.trace] == [
        Outcome.BEATEN,
        Outcome.WON,
        Outcome.NOT_BETTER,
    ]


def test_where_both_agree_one_object_is_built() -> None:
    table = Table({"a": made(150), "b": made(160)})
    assert winner(table.decide()) == "a"
    assert table.built == ["a"]


def test_what_calls_functions_that_exist_nowhere_loses() -> None:
    table = Table({"a": made(150, 100, 30, "std::f"), "b": made(160)})
    decision = table.decide()
    assert winner(decision) == "b"
    assert decision.trace[0].outcome is Outcome.DANGLING


def test_rejected_and_failing_lists_lose_and_are_told() -> None:
    table = Table(
        {"bad": made(100), "breaks": "opt says no", "good": made(160)},
        verdicts={"bad": VerdictKind.REJECTED},
        in_process={"breaks": made(120)},
    )
    decision = table.decide()
    assert winner(decision) == "good"
    assert [step.outcome for step in decision.trace] == [
        Outcome.REJECTED,
        Outcome.BUILD_FAILED,
        Outcome.WON,
    ]
    assert decision.trace[1].detail == "opt says no"


@pytest.mark.parametrize(
    ("later", "outcome"),
    [(VerdictKind.REJECTED, Outcome.REJECTED), (VerdictKind.UNCHECKED, Outcome.UNVERIFIED)],
)
def test_new_lists_are_checked_only_if_they_win(later: VerdictKind, outcome: Outcome) -> None:
    new = {f"new{n}": made(100 + n) for n in range(10)}
    table = Table(
        {**new, "known": made(160), "worse": made(250)},
        verdicts={**dict.fromkeys(new, VerdictKind.UNCHECKED), "worse": VerdictKind.UNCHECKED},
        later=later,
    )
    decision = table.decide()
    assert winner(decision) == "known"
    assert table.checked == [f"new{n}" for n in range(6)]
    assert len(decision.with_outcome(outcome)) == 6
    assert winner(table.decide(trust=True)) == "new0"


def test_of_equal_results_a_passed_list_is_taken() -> None:
    same = Measurement(
        status=Status.OK, size_bytes=100, text_data_bytes=100, result_hash="one module"
    )
    table = Table({"a": made(100), "b": made(100)}, verdicts={"a": VerdictKind.UNCHECKED})
    decision = choose([(named("a"), same), (named("b"), same)], BASELINE, SIZE, table)
    assert (winner(decision), table.checked) == ("b", [])
