"""The Python API: who may win, with verdicts from a stand-in for the checker."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.api import optimize
from llm_compiler.errors import ConfigError, InputError, LlmCompilerError
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.optimize import (
    Optimized,
    OptimizeOptions,
    OutputKind,
    Proposer,
    optimize_each,
    optimize_many,
)
from llm_compiler.records import PassList, VerdictKind
from llm_compiler.search import objective
from llm_compiler.search.coreset import Coreset, Pick
from llm_compiler.workers import LocalPool

from .small_source import SOURCE

SMALL = parse_pass_list("sroa,simplifycfg,instcombine,default<Oz>")
LARGE = parse_pass_list("loop-unroll<O3>,default<O3>,reg2mem")
CRASH = PassList(("trigger-crash-module",))
REFUSED = PassList(("globalopt", "frobnicate"))
UNSAFE = parse_pass_list("default<Oz>,structurizecfg")


class Judge:
    """Stands in for `verify.checker.Checker`."""

    def __init__(self, known: dict[PassList, VerdictKind], later: VerdictKind) -> None:
        self._known = known
        self._later = later
        self.asked: list[PassList] = []

    def search_space(self) -> tuple[str, ...]:
        return ("function(simplifycfg)", "function(mem2reg)", "globalopt")

    def known(self, passes: PassList, target_triple: str) -> VerdictKind:
        return self._known.get(passes, VerdictKind.UNCHECKED)

    def check(self, passes: PassList, target_triple: str) -> VerdictKind:
        self.asked.append(passes)
        return self._later

    def not_checkable(self, target_triple: str) -> str:
        return ""

    def why_unchecked(self, target_triple: str) -> str:
        return "nobody checked"


def coreset(*lists: PassList) -> Coreset:
    picks = tuple(
        Pick(passes=recipe, geomean_gain=0.0, total_gain=0.0, num_best=0) for recipe in lists
    )
    return Coreset(llvm_major=19, picks=picks)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "unit.c"
    path.write_text(SOURCE)
    return path


Run = Callable[..., Optimized]


@pytest.fixture
def run(pool: LocalPool, source: Path) -> Run:
    def run_one(judge: Judge, *lists: PassList, **options: object) -> Optimized:
        results = list(
            optimize_many(
                [source],
                OptimizeOptions(**{"proposer": Proposer.CORESET, **options}),
                pool=pool,
                checker=judge,
                coreset=coreset(*lists),
            )
        )
        (result,) = results
        if isinstance(result, LlmCompilerError):
            raise result
        return result

    return run_one


def passed(*lists: PassList) -> Judge:
    return Judge(dict.fromkeys(lists, VerdictKind.PASSED), VerdictKind.REJECTED)


def test_larger_crashing_and_refused_lists_never_win(run: Run) -> None:
    lists = (LARGE, CRASH, REFUSED)
    found = run(passed(*lists), *lists)
    assert (found.passes, found.proposer, found.verdict) == (None, "baseline", "baseline")
    assert found.optimized_bytes == found.baseline_bytes
    assert found.num_evaluations == 3
    assert section_sizes(found.output).size_bytes == found.baseline_bytes


def test_an_unsafe_pass_never_wins_even_with_a_verdict_or_trust(run: Run) -> None:
    assert run(passed(UNSAFE), UNSAFE).passes is None
    assert run(passed(UNSAFE), UNSAFE, trust=True).passes is None


def test_no_list_is_compiled_where_none_has_passed(run: Run) -> None:
    judge = Judge({}, VerdictKind.PASSED)
    found = run(judge, SMALL, LARGE)
    assert (found.passes, found.num_evaluations) == (None, 0)
    assert "nobody checked" in found.warnings
    assert judge.asked == [], "the coreset's lists are not checked on the way"


@pytest.mark.parametrize("later", list(VerdictKind))
def test_new_lists_that_win_are_checked_first(run: Run, later: VerdictKind) -> None:
    judge = Judge({}, later)
    found = run(judge, proposer=Proposer.SEARCH, candidates=6, budget=30, seed=1)
    assert found.num_evaluations == 36
    if later is VerdictKind.PASSED:
        assert found.optimized_bytes <= found.baseline_bytes
        assert (found.passes is None) == (found.verdict == "baseline")
    else:
        assert found.passes is None
    assert len(judge.asked) <= 6


def test_instructions_are_counted_in_what_the_stock_tools_make(run: Run) -> None:
    lists = (SMALL, parse_pass_list("default<Oz>,reg2mem"), parse_pass_list("default<O1>"))
    found = run(
        passed(*lists), *lists, objective="instructions", kind=OutputKind.TEXT, candidates=3
    )
    lines = re.findall(rb"^  [^ \]]", found.output, re.MULTILINE)
    assert found.optimized_value == len(lines) > 0
    honest = run(passed(), objective="instructions", kind=OutputKind.TEXT, candidates=0)
    lines = re.findall(rb"^  [^ \]]", honest.output, re.MULTILINE)
    assert found.baseline_value == honest.baseline_value == len(lines)
    assert (found.optimized_value < found.baseline_value) == (found.passes is not None)


def test_a_new_objective_is_one_entry(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        objective._TABLE,
        "_entries",
        {each_objective.name: each_objective for each_objective in objective.objectives()},
    )
    objective.register(
        objective.Objective(
            name="what-is-left",
            title="bytes of neither .text nor .data",
            unit="bytes",
            of=lambda found: found.size_bytes - found.text_data_bytes,
        )
    )
    found = run(passed(SMALL), SMALL, objective="what-is-left")
    assert found.to_json()["objective"] == "what-is-left"
    assert found.baseline_value == found.baseline_bytes - found.baseline_text_data_bytes
    assert found.optimized_value == found.optimized_bytes - found.optimized_text_data_bytes
    assert found.optimized_value <= found.baseline_value


def test_output_replays_name_the_output(pool: LocalPool, source: Path) -> None:
    found = optimize(
        source, OptimizeOptions(candidates=0), pool=pool, checker=passed(), output=Path("x/y.o")
    )
    assert found.replay[-1].endswith("-o x/y.o")
    assert not Path("x").exists()


def test_errors_are_raised_by_the_single_file_call(pool: LocalPool, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        optimize(tmp_path / "none.c", pool=pool, checker=passed())


@pytest.mark.parametrize("options", [{"candidates": -1}, {"budget": -1}, {"timeout_s": 0}])
def test_options_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        OptimizeOptions(**options)


def test_results_come_in_the_order_of_the_inputs(pool: LocalPool, tmp_path: Path) -> None:
    paths = []
    for index in range(5):
        path = tmp_path / f"f{index}.c"
        path.write_text("int f( {" if index == 2 else f"int f(int x) {{ return x + {index}; }}")
        paths.append(path)
    results = list(optimize_many(paths, OptimizeOptions(candidates=0), pool=pool, checker=passed()))
    assert isinstance(results[2], InputError)
    assert [r.input for r in results if isinstance(r, Optimized)] == [
        str(path) for i, path in enumerate(paths) if i != 2
    ]


def test_a_search_that_is_told_to_stop_answers_with_what_it_has(
    source: Path, pool: LocalPool
) -> None:
    stop = threading.Event()

    def stop_at_the_first(_: Path, done: int, total: int) -> None:
        if 0 < done < total and not stop.is_set():
            stop.set()
            pool.interrupt()

    options = OptimizeOptions(proposer=Proposer.CORESET, candidates=16, budget=64)
    ((_, found),) = optimize_each(
        [source], options, pool=pool, stop=stop, on_progress=stop_at_the_first
    )
    assert isinstance(found, Optimized)
    assert 0 < found.num_evaluations < 80
    assert found.optimized_bytes <= found.baseline_bytes
    assert "interrupted: this is the best found until then" in found.warnings
