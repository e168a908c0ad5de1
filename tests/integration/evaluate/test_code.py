"""`evaluate disassembly` and `emulation`, with answers from files whose worth is known."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.emulate import EmulateOptions, emulate
from llm_compiler.evaluate.disassembly.ask import AskedModel, lift_rows
from llm_compiler.evaluate.disassembly.items import LiftItem
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.rows import LiftRow
from llm_compiler.evaluate.emulation.ask import EmulationRow
from llm_compiler.evaluate.rows import locked, read_rows
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.evaluate.threads import ThreadTools
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.workers import LocalPool

pytest.importorskip("sacrebleu")

SOURCE = """
int twice(int x) { return x + x; }
int scaled(int x) { return x * 5 + 1; }
unsigned low(unsigned x) { return x & 15; }
int silent(int x) { return x - 3; }
"""
OTHER = "int negated(int x) { return -x; }\n"
HEAD = 'target triple = "x86_64-unknown-linux-gnu"\n'
ATTRIBUTES = "\nattributes #0 = { minsize nounwind optsize }\n"


def function(name: str, *lines: str) -> str:
    body = "".join(f"  {line}\n" if not line.endswith(":") else f"{line}\n" for line in lines)
    return f"{HEAD}define i32 @{name}(i32 noundef %0) #0 {{\n{body}}}\n{ATTRIBUTES}"


ANSWERS = {
    # Wrong, no IR at all, exact.
    "twice.ll": function("twice", "%2 = add i32 %0, 1", "ret i32 %2"),
    "twice.1.ll": "define nothing",
    "twice.2.ll": function("twice", "%2 = shl i32 %0, 1", "ret i32 %2"),
    # Other code, the same results.
    "scaled.ll": function(
        "scaled",
        "%2 = icmp eq i32 %0, 7",
        "br i1 %2, label %3, label %4",
        "3:",
        "ret i32 36",
        "4:",
        "%5 = mul i32 %0, 5",
        "%6 = add i32 %5, 1",
        "ret i32 %6",
    ),
    "low.ll": function("low", "%2 = and i32 %0, 15", "ret i32 %2"),
    "negated.ll": function("negated", "%2 = sub i32 0, %0", "ret i32 %2"),
}


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("suites") / "small"
    for name, text in (("one/unit.c", SOURCE), ("two/other.c", OTHER)):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answers")
    for name, text in ANSWERS.items():
        (folder / name).write_text(text)
    return folder


def evaluate(task: str, suite: Path, answers: Path, report: Path, *arguments: str) -> int:
    command = ["evaluate", task, "--suite", str(suite), "--report", str(report)]
    command += ["--engine", "replay", "--model", str(answers), "--jobs", "2"]
    return main([*command, "--target-triple", "x86_64-unknown-linux-gnu", *arguments])


@pytest.fixture(scope="module")
def lifted(suite: Path, answers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lifted")
    assert evaluate("disassembly", suite, answers, folder, "--candidates", "3") == 0
    return folder


def test_each_answer_has_a_verdict(lifted: Path) -> None:
    rows = read_rows(lifted / "rows.parquet", LiftRow)
    assert {(row.function, row.candidate, row.verdict) for row in rows} == {
        ("twice", 1, "refuted"),
        ("twice", 2, "no_answer"),
        ("twice", 3, "exact"),
        ("scaled", 1, "tests_passed"),
        ("low", 1, "exact"),
        ("negated", 1, "exact"),
        ("silent", 0, "no_answer"),
    }
    by_name = {(row.function, row.candidate): row for row in rows}
    assert by_name["twice", 1].counterexample
    assert by_name["twice", 3].bleu == 1.0
    assert 0 < by_name["scaled", 1].bleu < 1
    assert by_name["twice", 2].lowers == 0
    assert by_name["twice", 2].answer == "define nothing"
    assert by_name["silent", 0].cause == "no answer"
    assert {row.program for row in rows} == {"one", "two"}
    assert "@function" in by_name["low", 1].assembly


def test_the_report_counts_first_and_best_answers(lifted: Path) -> None:
    document = json.loads((lifted / "report.json").read_text())
    first, best = (item for item in document["figures"] if item["group"] == "all")
    assert (first["candidates"], best["candidates"]) == (1, 3)
    assert (first["n"], best["n"]) == (5, 5)
    assert (first["exact"]["value"], best["exact"]["value"]) == (0.4, 0.6)
    assert (first["accepted"]["value"], best["accepted"]["value"]) == (0.6, 0.8)
    assert best["accepted_of_answered"]["value"] == 1.0
    assert best["lowers"]["value"] == 0.8
    assert best["num_without_answer"] == 1
    assert first["exact"]["low"] <= 0.4 <= first["exact"]["high"]
    curve = [
        item["exact"]["value"] for item in document["figures"] if item["group"] == "candidates"
    ]
    assert curve == [0.4, 0.4, 0.6]
    page = (lifted / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    markdown = (lifted / "report.md").read_text()
    assert "LLM Compiler FTD 13B | 2015 | 44.9 % | 0.960 | 13.8 %" in markdown
    assert (lifted / "candidates.png").read_bytes().startswith(b"\x89PNG")


def test_a_killed_lifting_goes_on(
    lifted: Path, suite: Path, answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (lifted / "journal.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:50])
    assert evaluate("disassembly", suite, answers, tmp_path, "--candidates", "3", "--json") == 0
    capsys.readouterr()
    before, after = (
        {(row.function, row.candidate): row for row in read_rows(path / "rows.parquet", LiftRow)}
        for path in (lifted, tmp_path)
    )
    assert {key: row.verdict for key, row in after.items()} == {
        key: row.verdict for key, row in before.items()
    }
    kept = json.loads(lines[1])["rows"][0]
    assert after[kept["function"], kept["candidate"]].check_seconds == kept["check_seconds"]
    assert evaluate("disassembly", suite, answers, tmp_path, "--candidates", "2") == 2
    assert "holds another evaluation (other candidates" in capsys.readouterr().err


def test_what_fell_short_is_asked_again(
    lifted: Path, suite: Path, answers: Path, tmp_path: Path
) -> None:
    lines = [json.loads(line) for line in (lifted / "journal.jsonl").read_text().splitlines()]
    for line in lines[1:]:
        # As an earlier version may have judged it.
        if line["rows"][0]["function"] == "low":
            line["rows"][0] |= {"verdict": "unproved", "reason": "not exact"}
    (tmp_path / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def retry(kind: str) -> tuple[dict[str, str], list[str]]:
        arguments = ("--candidates", "3", "--retry", kind)
        num_before = len((tmp_path / "journal.jsonl").read_text().splitlines())
        assert evaluate("disassembly", suite, answers, tmp_path, *arguments) == 0
        written = (tmp_path / "journal.jsonl").read_text().splitlines()[num_before:]
        asked = sorted(json.loads(line)["rows"][0]["function"] for line in written)
        rows = read_rows(tmp_path / "rows.parquet", LiftRow)
        return {row.function: row.verdict for row in rows}, asked

    verdicts, asked = retry("unproved")
    assert asked == ["low", "silent"]
    assert verdicts["low"] == "exact"
    assert len(verdicts) == 5
    assert "Of the functions, 2 were asked about again" in (tmp_path / "report.md").read_text()
    # What was asked already is a round ahead: a retry that was stopped goes on with the rest.
    verdicts, asked = retry("inexact")
    assert asked == ["scaled"]
    assert (verdicts["scaled"], verdicts["silent"]) == ("tests_passed", "no_answer")


def test_functions_are_drawn_from_each_program(suite: Path, answers: Path, tmp_path: Path) -> None:
    arguments = ("--functions", "2", "--levels", "O2", "--candidates", "1")
    assert evaluate("disassembly", suite, answers, tmp_path, *arguments) == 0
    rows = read_rows(tmp_path / "rows.parquet", LiftRow)
    assert len(rows) == 2
    assert {row.program for row in rows} == {"one", "two"}
    assert {row.level for row in rows} == {"O2"}
    assert "functions at O2," in (tmp_path / "report.md").read_text()


@pytest.fixture(scope="module")
def truth(suite: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What default<Oz> makes of the second file."""
    folder = tmp_path_factory.mktemp("truth")
    how = EmulateOptions(check=True, target_triple="x86_64-unknown-linux-gnu")
    with LocalPool(1) as pool:
        found = emulate(
            suite / "two" / "other.c",
            parse_pass_list("default<Oz>"),
            ReplayEngine(folder),
            how,
            pool=pool,
        )
    assert found.check is not None
    (folder / "emulate.ll").write_text(found.check.code)
    return folder


def test_emulation(
    suite: Path, truth: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = suite / "two"
    assert evaluate("emulation", program, truth, tmp_path, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row.list_kind: row for row in read_rows(tmp_path / "rows.parquet", EmulationRow)}
    assert set(rows) == {"single pass", "default<Oz>", "random list"}
    exact = rows["default<Oz>"]
    assert (exact.verdict, exact.bleu, exact.unchanged) == ("exact", 1.0, 0)
    assert exact.num_instructions_before > exact.num_instructions_after > 0
    assert exact.num_instructions_predicted == -1
    assert rows["random list"].passes.count(",") >= 1
    assert rows["single pass"].passes.count(",") == 0
    assert re.search(r"^define ", exact.question, re.MULTILINE)
    by_kind = {item["lists"]: item for item in document["figures"]}
    assert by_kind["default<Oz>"]["exact"]["value"] == 1.0
    assert by_kind["all lists"]["n"] == 3
    assert by_kind["all lists"]["errors"]["size"]["n"] == 0
    assert "changes nothing" in (tmp_path / "report.md").read_text()
    # Lists depend on the seed and the module; a finished run is not done again.
    assert evaluate("emulation", program, truth, tmp_path, "--json") == 0
    again = read_rows(tmp_path / "rows.parquet", EmulationRow)
    assert {row.list_kind: row for row in again} == rows


@pytest.mark.parametrize("task", ["disassembly", "emulation"])
def test_nothing_to_ask(
    task: str, answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text, word in (
        ("empty", None, "holds no C, C++, IR or bitcode file"),
        ("broken", "int f( {", "none of its 1 files compiles"),
    ):
        root = tmp_path / name
        root.mkdir()
        if text is not None:
            (root / "a.c").write_text(text)
        assert evaluate(task, root, answers, tmp_path / "report") == 4
        assert word in capsys.readouterr().err


def test_assembly_that_cannot_be_read_is_counted(
    answers: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    """Of a module whose machine code the assembler rejects, and one whose symbol is not there."""
    module = EvaluationModule(
        suite="s",
        name="m",
        program="p",
        bitcode=b"",
        target_triple="x86_64-linux-gnu",
        num_functions=2,
        num_instructions=1,
    )
    texts = {"broken": ".type f, @function\nf:\n  nonsense\n", "other": "g:\n  ret\n"}
    items = []
    for name, text in texts.items():
        path = tmp_path / f"{name}.s"
        path.write_text(f".globl g\n.type g, @function\n{text}")
        items.append(LiftItem(module=module, level=name, function="f", assembly=path))
    models = [("replayed", AskedModel(ReplayEngine(answers), lambda engine, sample: True))]
    with LocalPool(1) as pool:
        tools = ThreadTools(pool, tmp_path)
        rows = [
            row
            for item in items
            for row in lift_rows(item, LiftOptions(), models, toolchain, tools)
        ]
    assert [(row.verdict, row.cause) for row in rows] == [("no_answer", "unreadable")] * 2
    assert "nonsense" in rows[0].reason or "mnemonic" in rows[0].reason
    assert "no symbol" in rows[1].reason


def test_two_runs_into_one_folder(
    suite: Path, answers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path):
        assert evaluate("disassembly", suite, answers, tmp_path) == 2
    assert "another evaluation is writing" in capsys.readouterr().err
