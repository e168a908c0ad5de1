"""`evaluate all`: every task on one page, in bounded time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.evaluate.rows import locked

pytest.importorskip("sacrebleu")

TASKS = {
    "flag-tuning": "Flag tuning",
    "flag-tuning-paper": "Flag tuning by the paper&#x27;s rules",
    "disassembly": "Disassembly",
    "emulation": "Emulation",
    "size-prediction": "Size prediction",
    "perplexity": "Perplexity",
}


def evaluate(suite: Path, report: Path, checkpoint: Path, *arguments: str) -> int:
    command = ["evaluate", "all", "--suite", str(suite), "--report", str(report)]
    command += ["--model", str(checkpoint), "--modules", "1", "--functions", "1", "--samples", "2"]
    return main([*command, "--jobs", "1", "--candidates", "1", *arguments])


def test_one_page_about_all_tasks(
    samples_folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = ("--split", "train", "--contenders", "coreset", "one-shot", "--no-check", "--json")
    assert evaluate(samples_folder, tmp_path, checkpoint, *drawn) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["tasks"]) == list(TASKS)
    assert document["left_out"] == {}
    page = (tmp_path / "report.html").read_text()
    markdown = (tmp_path / "report.md").read_text()
    for folder, title in TASKS.items():
        assert f"<h2>{title}</h2>" in page
        assert (tmp_path / folder / "rows.parquet").is_file()
    assert page.count("data:image/png;base64,") >= 10
    images = [line.split("](")[1].rstrip(")") for line in markdown.splitlines() if line[:2] == "!["]
    assert all((tmp_path / name).is_file() for name in images)
    # Flag tuning and lifts have a row for each target at the top, with n and an interval.
    for target in ("aarch64", "x86_64"):
        head = f"| flag-tuning | {target} | coreset | smaller than -Oz at 16, with backup | 1 | "
        assert head in markdown
    # Fewer evaluations than flag tuning's own command: there are other tasks to be done.
    settings = json.loads((tmp_path / "flag-tuning" / "report.json").read_text())["settings"]
    assert settings["budgets"] == [1, 4, 16, 64]
    settings = json.loads((tmp_path / "flag-tuning-paper" / "report.json").read_text())["settings"]
    assert settings["budgets"] == [1]
    # The same command finds all done.
    before = (tmp_path / "disassembly" / "journal.jsonl").read_bytes()
    assert evaluate(samples_folder, tmp_path, checkpoint, *drawn) == 0
    assert (tmp_path / "disassembly" / "journal.jsonl").read_bytes() == before


def test_sources_and_too_little_time(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "suite"
    for name in ("a", "b", "c"):
        (suite / name).mkdir(parents=True)
        (suite / name / "unit.c").write_text(f"int {name}(int x) {{ return x * 3 + {ord(name)}; }}")
    (suite / "a" / "broken.c").write_text("int broken(")
    some = ("--tasks", "emulation", "size-prediction", "perplexity", "--max-minutes", "0.001")
    report = tmp_path / "report"
    with locked(report):
        assert evaluate(suite, report, checkpoint, *some) == 2
    assert evaluate(suite, report, checkpoint, *some, "--json") == 0
    out, err = capsys.readouterr()
    assert err.count("a/broken.c is left out") == 1
    document = json.loads(out)
    assert {name: item["num_wanted"] for name, item in document["tasks"].items()} == {
        "emulation": 3,
        "size-prediction": 2,
        "perplexity": 2,
    }
    assert all(item["num_done"] >= 1 for item in document["tasks"].values())


def test_no_task_can_run(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert evaluate(empty, tmp_path / "report", checkpoint) == 4
    assert "holds no C, C++, IR or bitcode file" in capsys.readouterr().err
