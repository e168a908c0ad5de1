"""Linked programs, built with chosen lists, beside their -O2 build."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.flag_tuning.program_files import load_programs
from llm_compiler.evaluate.flag_tuning.programs import ProgramRow, ready_programs, run_programs
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.load_suite import load_suite
from llm_compiler.evaluate.rows import Journal, read_rows
from llm_compiler.evaluate.suites import SuiteOptions
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
SUM = """
int weight = 3;
int sum(const int *v, int n) { int s = 0; while (n--) s += *v++; return s; }
"""
MAIN = r"""
#include <stdio.h>
#include <stdlib.h>
extern int weight, sum(const int *, int);
int main(int argc, char **argv) {
    int values[64], n = 0;
    while (n < 64 && scanf("%d", &values[n]) == 1) n++;
    FILE *file = fopen("result.txt", "w");
    fprintf(file, "%d\n", sum(values, n) * weight);
    fclose(file);
    printf("%d numbers, %s\n", n, argc > 1 ? argv[1] : "none");
    return n % 7;
}
"""
RANDOM = r"""
#include <stdio.h>
#include <unistd.h>
int main(void) { printf("%d\n", (int)getpid()); return 0; }
"""
PROGRAMS = """
[[programs]]
name = "sum"
sources = ["sum/*.c"]
[[programs.runs]]
arguments = ["two words"]
stdin = "sum/numbers.txt"
outputs = ["result.txt"]
[[programs.runs]]

[[programs]]
name = "pid"
sources = ["other/pid.c"]
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    root = tmp_path / "suite"
    for name, text in (
        ("sum/sum.c", SUM),
        ("sum/main.c", MAIN),
        ("sum/constants.c", "int unused = 5;\n"),
        ("sum/numbers.txt", "1 2 3 4 5\n"),
        ("other/pid.c", RANDOM),
        ("programs.toml", PROGRAMS),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", "aarch64-linux-gnu"])
def test_programs_of_a_suite_are_run(
    triple: str, suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    command = ["evaluate", "flag-tuning", "--suite", str(suite), "--report", str(report)]
    command += ["--no-check", "--contenders", "optimize", "coreset", "--budgets", "1,4"]
    assert main([*command, "--target-triple", triple, "--jobs", "2", "--json"]) == 0
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert "program pid is left out" in found.err
    rows = read_rows(report / "programs.parquet", ProgramRow)
    assert {(row.contender, row.budget, row.run) for row in rows} == {
        (name, budget, number)
        for name in ("optimize", "coreset")
        for budget in (1, 4)
        for number in (0, 1)
    }
    assert {row.verdict for row in rows} == {"equal"}
    assert {(row.run, row.expected_status, row.exit_status) for row in rows} == {
        (0, 5, 5),
        (1, 0, 0),
    }
    assert all(row.num_units == 3 for row in rows)
    assert all(row.num_changed == 2 for row in rows if row.contender == "coreset")
    assert any("object " in row.lists for row in rows if row.contender == "optimize")
    assert [item["equal"]["value"] for item in document["programs"]] == [1.0] * 4
    assert "not give the same twice" in (report / "report.md").read_text()
    assert "Whole programs, linked and run" in (report / "report.md").read_text()
    assert not (suite / "result.txt").exists()


def test_a_broken_build_is_seen(suite: Path, toolchain: Toolchain, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with LocalPool(1) as pool:
        loaded = load_suite(suite, SuiteOptions(), toolchain=toolchain, pool=pool, scratch=scratch)
        programs = load_programs(suite / "programs.toml", suite)[:1]
        ready, excluded = ready_programs(loaded, programs, toolchain, tmp_path / "programs")
        assert excluded == []
        (unit,) = (each_unit for path, each_unit in loaded.units.items() if path.name == "sum.c")
        for number, (text, verdict, reason) in enumerate(
            (
                (SUM, "equal", ""),
                (SUM.replace("= 3", "= 4"), "differs", "other output files"),
                (SUM.replace("return s", "__builtin_trap()"), "differs", "it dies of signal"),
                (SUM.replace("weight", "wait"), "not built", "undefined reference"),
            )
        ):
            source, output = tmp_path / f"{number}.c", tmp_path / f"{number}.o"
            source.write_text(text)
            command = [toolchain.tool("clang"), "-Oz", "-c", source, "-o", output]
            assert run(command, timeout_s=60).ok
            # Units are frozen: a broken build takes the place of the right one.
            object.__setattr__(unit, "baseline", output.read_bytes())
            with Journal(tmp_path / f"{number}.jsonl", {}, ProgramRow) as journal:
                rows = run_programs(ready, _rows(loaded.modules), journal, pool=pool)
            first = next(row for row in rows if row.run == 0)
            assert first.verdict == verdict
            assert reason in first.reason
            assert set(json.loads(first.lists).values()) == {""}


@pytest.mark.slow
def test_the_examples_can_be_compared(toolchain: Toolchain, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with LocalPool(1) as pool:
        loaded = load_suite(
            EXAMPLES, SuiteOptions(), toolchain=toolchain, pool=pool, scratch=scratch
        )
    programs = load_programs(EXAMPLES / "programs.toml", EXAMPLES)
    ready, excluded = ready_programs(loaded, programs, toolchain, tmp_path / "programs")
    assert excluded == []
    assert {
        each_ready.program.name: [run.status for run in each_ready.expected] for each_ready in ready
    } == {
        "lisp": [0, 0, 0, 1],
        "sheet": [0, 0, 0, 0, 0, 0, 2],
    }


def _rows(modules: object) -> list[Row]:
    """What a contender without any list leaves."""
    assert isinstance(modules, list)
    return [
        Row(
            suite=module.suite,
            module=module.name,
            module_hash=module.module_hash,
            program=module.program,
            target_triple=module.target_triple,
            num_functions=1,
            num_instructions=1,
            baseline="clang -Oz",
            flags="",
            baseline_size_bytes=1,
            baseline_text_data_bytes=1,
            contender="nobody",
            model="",
            budget=1,
            num_evaluations=0,
            passes="",
            size_bytes=1,
            text_data_bytes=1,
            in_process_size_bytes=1,
            verdict="baseline",
            num_rejected=0,
            ceiling_size_bytes=-1,
            ceiling_text_data_bytes=-1,
            compile_seconds=0.0,
            model_seconds=0.0,
        )
        for module in modules
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("programs = 3", "[[programs]]"),
        ("[[programs]", "is not valid TOML"),
        ("[[programs]]\nname = 'a'", "sources is missing"),
        ("[[programs]]\nsources = ['a.c']", "name is missing"),
        ("[[programs]]\nname = 'a'\nsources = ['no.c']", "sources: 'no.c' is no file"),
        ("[[programs]]\nname = 'a'\nsources = ['../a.c']", "must lie below"),
        ("[[programs]]\nname = 'a'\nsources = ['a.c']\nargument = []", "unknown key argument"),
        ("[[programs]]\nname = 'a'\nsources = ['a.c']\nruns = [{x = 1}]", "runs: unknown key x"),
        ("[[programs]]\nname = 'a'\nsources = ['a.c']\ntimeout_s = 0", "'timeout_s'"),
        ("[[programs]]\nname = 'a'\nsources = ['a.c']\n" * 2, "two programs 'a'"),
    ],
)
def test_files_of_programs_that_make_no_sense(text: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n")
    path = tmp_path / "programs.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_programs(path, tmp_path)
    assert word in str(caught.value)
