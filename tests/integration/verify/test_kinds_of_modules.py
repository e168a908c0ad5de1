"""Passes are refused for the kinds of module that they break; the suite contains those kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.api import optimize
from llm_compiler.llvm.constructs import CONSTRUCTS, constructs_of
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import OptimizeOptions, Proposer
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import Suite, built_in_suite, folder_suite
from llm_compiler.verify.target import ARCHITECTURES, find_target
from llm_compiler.workers import LocalPool

KINDS = Path(__file__).parents[2] / "cases" / "kinds"
_PROGRAMS = sorted({program for construct in CONSTRUCTS for program in construct.programs})


@pytest.fixture(scope="module")
def suite() -> Suite:
    return folder_suite(KINDS)


@pytest.fixture(scope="module")
def evaluation(suite: Suite, pool: LocalPool, cache_dir: Path) -> Iterator[PassListEval]:
    with PassListEval(suite, pool=pool, cache_dir=cache_dir) as found:
        yield found


@pytest.mark.parametrize("name", _PROGRAMS)
def test_programs_contain_the_constructs_that_they_stand_for(name: str, tmp_path: Path) -> None:
    (program,) = built_in_suite().subset([name]).programs
    (tmp_path / program.file_name).write_text(program.source)
    found = {}
    for architecture in ARCHITECTURES:
        target = find_target(architecture, find_toolchain())
        arguments = ["-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-S", "-w"]
        target.compile(
            [*arguments, *program.flags, program.file_name, "-o", "module.ll"],
            language=program.language,
            cwd=tmp_path,
        )
        found[architecture] = constructs_of((tmp_path / "module.ll").read_text())
    for construct in CONSTRUCTS:
        if name in construct.programs:
            assert all(construct.name in names for names in found.values()), (construct.name, found)


def test_the_programs_that_strangers_broke_stay_right(evaluation: PassListEval) -> None:
    lists = load_coreset().lists
    risky = [passes for passes in lists if _holds(passes.pipeline, "loop-extract", "scc-oz")]
    assert not any(evaluation.skipped.values())
    for passes in dict.fromkeys((*lists[:8], *risky[:16])):
        assert evaluation.failures(passes) == {name: {} for name in ARCHITECTURES}, passes


def _holds(pipeline: str, *names: str) -> bool:
    return any(name in pipeline for name in names)


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("loop-extract,default<O1>", "setjmp_before_a_loop"),
        ("loop-extract,default<O1>", "return_address_in_a_loop"),
        ("scc-oz-module-inliner,default<Oz>", "generator"),
    ],
)
def test_without_refusals_they_break(
    suite: Suite, pool: LocalPool, cache_dir: Path, text: str, program: str
) -> None:
    with PassListEval(
        suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir, refusals=False
    ) as plain:
        assert program in plain.failures(parse_pass_list(text))["x86_64"]


def test_a_module_that_nobody_covers_gets_the_baseline_and_a_word(
    pool: LocalPool, tmp_path: Path
) -> None:
    source = tmp_path / "wide.c"
    source.write_text(
        "unsigned _BitInt(256) twice(unsigned _BitInt(256) x) { return x + x; }\n"
        "int sum(int *p, int n) { int s = 0; for (int i = 0; i < n; i++) s += p[i]; return s; }\n"
    )
    options = OptimizeOptions(candidates=4, proposer=Proposer.CORESET, trust=True)
    result = optimize(source, options, pool=pool)
    assert (result.passes, result.verdict) == (None, "baseline")
    assert any("no self-testing program" in warning for warning in result.warnings), result.warnings


def test_optimize_never_measures_a_refused_list(pool: LocalPool) -> None:
    options = OptimizeOptions(candidates=16, budget=8, proposer=Proposer.CORESET, trust=True)
    result = optimize(KINDS / "setjmp_before_a_loop.c", options, pool=pool)
    assert "loop-extract" not in (result.passes or "")


def test_an_object_that_calls_what_exists_nowhere_is_not_handed_out(
    pool: LocalPool, tmp_path: Path
) -> None:
    """The compiler is expected to see that the call is never made; clang -Oz does."""
    source = tmp_path / "shift.c"
    source.write_text(
        "extern void link_error(void);\n"
        "int shift(int x) { int r = x << 0; if (r != x) link_error(); return r; }\n"
        "int sum(const char *p, int n) { int s = 0; for (int i = 0; i < n; i++) s += p[i];\n"
        "  if ((0 >> n) != 0) link_error(); return s; }\n"
    )
    options = OptimizeOptions(candidates=128, proposer=Proposer.CORESET, trust=True)
    result = optimize(source, options, pool=pool)
    assert b"link_error" not in result.output
