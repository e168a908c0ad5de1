"""`evaluate flag-tuning` as a user types it, on a folder laid out as MiBench is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.rows import locked, read_rows
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.stock import Stock, parse_clang_flags
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.tokenizer import train_tokenizer

from ...unit.model.reference import tiny_config, write_checkpoint
from ..small_source import SOURCE

OLD = """
#include "weight.h"
length(s)
char *s;
{
    int n = 0;
    while (s[n])
        n++;
    return n;
}
main(argc, argv)
int argc;
char **argv;
{
    int i, total = 0;
    for (i = 0; i < argc; i++)
        total = total + length(argv[i]) * WEIGHT;
    printf("%d\\n", total);
    return total != 0;
}
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("suites") / "mi"
    for name, text in (
        ("consumer/modern/unit.c", SOURCE),
        ("network/old/old.c", OLD),
        ("network/old/include/weight.h", "#define WEIGHT 3\n"),
        ("network/broken/broken.c", "int broken( { return 1;\n"),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def evaluate(suite: Path, report: Path, *arguments: str) -> int:
    command = ["evaluate", "flag-tuning", "--suite", str(suite), "--report", str(report)]
    return main([*command, "--no-check", "--jobs", "2", *arguments])


@pytest.fixture(scope="module")
def report(suite: Path, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    assert evaluate(suite, folder, "--model", str(checkpoint), "--budgets", "1,6") == 0
    return folder


@pytest.fixture(scope="module")
def rows(report: Path) -> list[Row]:
    return read_rows(report / "rows.parquet", Row)


def test_every_contender_has_a_row_at_every_budget(rows: list[Row]) -> None:
    modules = {"consumer/modern/unit.c", "network/old/old.c"}
    contenders = ("optimize", "model", "one-shot", "coreset", "local", "autotuner", "random")
    expected = {
        (name, contender, k) for name in modules for contender in contenders for k in (1, 6)
    }
    plain = {(name, f"-O{level}", 1) for name in modules for level in "zs2"}
    others = {(name, "best of -Oz, -Os, -O2", 3) for name in modules}
    others |= {(name, "model-local", 80) for name in modules}
    assert {(r.module, r.contender, r.budget) for r in rows} == expected | plain | others
    assert all(r.num_evaluations <= r.budget for r in rows)
    assert {r.contender for r in rows if r.num_assemblies} <= {"optimize"}
    assert all(r.num_evaluations == r.budget for r in rows if r.contender in ("model", "random"))
    assert {r.program for r in rows} == {"consumer/modern", "network/old"}


def test_more_evaluations_are_never_worse(rows: list[Row]) -> None:
    for name in ("coreset", "one-shot", "random"):
        for module in {r.module for r in rows}:
            sizes = [
                r.size_bytes
                for r in sorted(rows, key=lambda r: r.budget)
                if (r.contender, r.module) == (name, module) and r.passes
            ]
            assert sizes == sorted(sizes, reverse=True)


def test_a_row_can_be_replayed(
    rows: list[Row], suite: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    lists = [r for r in rows if r.passes]
    row = min(lists, key=lambda r: r.size_bytes - r.baseline_size_bytes)
    assert row.size_bytes < row.baseline_size_bytes
    source = suite / row.module
    stock = Stock(toolchain=toolchain, flags=parse_clang_flags(shlex.split(row.flags)))
    bitcode, optimized, output = (tmp_path / name for name in ("1.bc", "2.bc", "3.o"))
    stock.compile_source(stock.frontend_command(source, bitcode), source)
    stock.run_opt(parse_pass_list(row.passes), bitcode, optimized, pic=True)
    stock.run_backend(optimized, output)
    assert section_sizes(output.read_bytes()).size_bytes == row.size_bytes
    stock.compile_source(stock.baseline_command(source, output), source)
    assert section_sizes(output.read_bytes()).size_bytes == row.baseline_size_bytes


def test_optimize_is_what_a_user_gets(
    report: Path,
    rows: list[Row],
    suite: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = next(r for r in rows if (r.contender, r.budget) == ("optimize", 6) and r.object_name)
    output = tmp_path / "unit.o"
    command = ["optimize", str(suite / row.module), "-o", str(output), "--json", "--jobs", "1"]
    command += ["--candidates", "6", "--model", str(checkpoint), "--trust"]
    assert main([*command, "--", *shlex.split(row.flags)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["baseline_bytes"], found["optimized_bytes"]) == (
        row.baseline_size_bytes,
        row.size_bytes,
    )
    assert (report / "objects" / f"{row.object_name}.o").read_bytes() == output.read_bytes()
    assert row.size_bytes < row.baseline_size_bytes
    assert row.recipe or row.passes


def test_the_report_says_what_was_done_and_left_out(report: Path) -> None:
    document = json.loads((report / "report.json").read_text())
    assert document["num_modules"] == 2
    assert [item["name"] for item in document["excluded"]] == ["network/broken/broken.c"]
    assert "expected" in document["excluded"][0]["cause"]
    (note,) = document["notes"]
    assert "-std=gnu89" in note
    assert "-idirafter" in note
    assert "old.c" in note
    markdown = (report / "report.md").read_text()
    assert note in markdown
    page = (report / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert 'src="anytime.png"' not in page
    for name in ("anytime", "by_target", "by_size", "by_program"):
        assert (report / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_run_goes_on(
    report: Path, rows: list[Row], suite: Path, checkpoint: Path, tmp_path: Path
) -> None:
    lines = (report / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3
    (tmp_path / "journal.jsonl").write_bytes(lines[0] + lines[1] + lines[2][:100])
    assert evaluate(suite, tmp_path, "--model", str(checkpoint), "--budgets", "1,6") == 0
    again = read_rows(tmp_path / "rows.parquet", Row)

    def figures(found: list[Row]) -> list[tuple[object, ...]]:
        # A long local search may take another way: workers share a module's states differently.
        return [
            (r.module, r.contender, r.budget, r.passes, r.size_bytes)
            for r in found
            if r.contender != "model-local"
        ]

    assert figures(again) == figures(rows)
    # The finished module was not done again: its seconds are those of the first run.
    name = json.loads(lines[1])["rows"][0]["module"]
    kept = [r for r in again if r.module == name]
    assert kept == [r for r in rows if r.module == name]


def test_the_papers_protocol(suite: Path, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ("--model", str(checkpoint), "--protocol", "paper")
    assert evaluate(suite, tmp_path, *arguments) == 0
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["settings"]["objective"] == "text-data"
    assert document["settings"]["budgets"] == [1]
    assert "one shot" in (tmp_path / "report.md").read_text()
    rows = read_rows(tmp_path / "rows.parquet", Row)
    assert {r.contender for r in rows} >= {"one-shot", "coreset", "-Oz"}


def test_long_units_are_split_or_count_as_oz(
    suite: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("short")
    tokenizer = train_tokenizer(iter([SOURCE] * 3), folder / "tokenizer", vocab_size=600)
    config = tiny_config(tokenizer.vocab_size, context=150)
    short = write_checkpoint(folder / "checkpoint", config, tokenizer=tokenizer)
    arguments = ("--model", str(short), "--protocol", "paper", "--contenders", "one-shot")
    assert evaluate(suite, tmp_path, *arguments) == 0
    rows = read_rows(tmp_path / "rows.parquet", Row)
    assert {r.module for r in rows} >= {"network/old/old.c:main", "network/old/old.c:length"}
    assert {r.verdict for r in rows} == {"baseline"}
    assert {r.num_evaluations for r in rows} == {0}
    assert "split into" in (tmp_path / "report.md").read_text()


def test_samples_are_measured_in_process(
    samples_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--split", "train", "--contenders", "coreset", "plain", "--budgets", "2")
    assert evaluate(samples_folder, tmp_path, *arguments, "--modules", "2", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_modules"] == 4  # two per target
    assert list(report["by_group"]["target"]) == ["aarch64", "x86_64"]
    assert "drawn with seed 0" in report["suites"][0]
    rows = read_rows(tmp_path / "rows.parquet", Row)
    assert {r.baseline for r in rows} == {"default<Oz> in process"}
    assert all(r.size_bytes == r.baseline_size_bytes for r in rows if r.contender == "-Oz")
    assert all(r.size_bytes == r.in_process_size_bytes for r in rows)
    twice = ("--suite", str(samples_folder), "--architecture", "aarch64", "--modules", "2")
    arguments = ("--split", "train", "--contenders", "plain", "--json")
    assert evaluate(samples_folder, tmp_path / "twice", *twice, *arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_modules"] == 2
    assert "2 modules were there twice" in report["notes"][0]
    assert evaluate(samples_folder, tmp_path / "none", "--split", "test") == 4
    assert "no sample of split 'test'" in capsys.readouterr().err


def test_compile_databases_and_flags_files(tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "src").mkdir(parents=True)
    (root / "inc").mkdir()
    (root / "inc" / "x.h").write_text("#define X 4\n")
    text = '#include "x.h"\nint f(int a) { return a * X + Y; }\n'
    (root / "src" / "a.c").write_text(text)
    (root / "compile_flags.txt").write_text("-Iinc\n-DY=3\n")
    assert evaluate(root, tmp_path / "one", "--contenders", "plain") == 0
    (row, *_) = read_rows(tmp_path / "one" / "rows.parquet", Row)
    assert "-DY=3" in row.flags
    (root / "compile_flags.txt").unlink()
    entry = {
        "directory": "src",
        "file": "a.c",
        "command": "cc -O2 -DY=5 -I ../inc -MD -MF a.d -o a.o -c a.c",
    }
    # Once for a shared and once for a static library, say, which is one module.
    again = {**entry, "command": entry["command"].replace("a.o", "b.o")}
    (root / "compile_commands.json").write_text(json.dumps([entry, again]))
    assert evaluate(root, tmp_path / "two", "--contenders", "plain") == 0
    rows = read_rows(tmp_path / "two" / "rows.parquet", Row)
    assert [r.contender for r in rows].count("-Oz") == 1
    row = rows[0]
    assert "-DY=5" in row.flags
    assert row.module == "src/a.c"
    assert not (root / "src" / "a.d").exists()


def test_ir_without_minsize_is_told(toolchain: Toolchain, tmp_path: Path) -> None:
    root = tmp_path / "ir"
    root.mkdir()
    (root / "weak.ll").write_text("define i32 @f(i32 %x) {\n  ret i32 %x\n}\n")
    (root / "broken.ll").write_text("define i32 @f(i32 %x) {\n")
    assert evaluate(root, tmp_path / "report", "--contenders", "coreset", "--budgets", "2") == 0
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    assert "1 have functions without 'minsize'" in document["notes"][0]
    assert [item["name"] for item in document["excluded"]] == ["broken.ll"]


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ({}, "holds no C, C++, IR or bitcode file"),
        ({"a.c": "int f( {", "b.c": "nonsense"}, "none of its 2 files compiles"),
        ({"a.c": "int variable;"}, "it has no function"),
    ],
)
def test_nothing_to_measure(
    files: dict[str, str], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "suite"
    root.mkdir()
    for name, text in files.items():
        (root / name).write_text(text)
    assert evaluate(root, tmp_path / "report", "--contenders", "coreset") == 4
    (line,) = [
        each_word for each_word in capsys.readouterr().err.splitlines() if "error: " in each_word
    ][-1:]
    assert word in line


def test_two_runs_into_one_folder(
    suite: Path, report: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path):
        assert evaluate(suite, tmp_path, "--contenders", "plain") == 2
    assert "another evaluation is writing" in capsys.readouterr().err
    assert evaluate(suite, report, "--contenders", "plain") == 2
    assert "holds another evaluation (other" in capsys.readouterr().err


def test_models_that_are_not_there(
    suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(suite, tmp_path, "--model", "nowhere") == 7
    assert "no checkpoint" in capsys.readouterr().err
    twice = ("--engine", "embedded", "--engine", "openai", "--model", "x")
    assert evaluate(suite, tmp_path, *twice) == 2
