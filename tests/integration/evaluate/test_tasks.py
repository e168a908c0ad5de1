"""A task that a program registers is a task like those of the package."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from llm_compiler.cli import main
from llm_compiler.commands.options.evaluate import TaskArguments
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate import registry
from llm_compiler.evaluate.document import Heading, Table
from llm_compiler.evaluate.report import Report, facts_of
from llm_compiler.evaluate.rows import read_rows
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.evaluate.task import Facts, HeadLine, Needs, Task, Work, each_in_turn


@dataclass(frozen=True, kw_only=True)
class CountRow:
    module: str
    functions: int


@dataclass(frozen=True)
class CountFigure:
    functions: int

    def to_json(self) -> dict[str, Any]:
        return {"functions": self.functions}


@dataclass(frozen=True, kw_only=True)
class CountArguments(TaskArguments):
    task: str = "counting"


@dataclass(frozen=True)
class Counting(Task[EvaluationModule, CountRow, Report[CountFigure]]):
    """Counts functions; dies at modules that are named so, as a run that is killed would."""

    dies_at: str = ""
    name: ClassVar[str] = "counting"
    row: ClassVar[type[CountRow]] = CountRow
    noun: ClassVar[str] = "modules"

    def needs(self) -> Needs:
        return Needs(model=False)

    def items(self, run: Run) -> Work[EvaluationModule]:
        return Work(items=run.modules, settings=run.settings)

    def ask(
        self, items: Sequence[EvaluationModule], run: Run
    ) -> Iterator[tuple[EvaluationModule, list[CountRow]]]:
        for item in each_in_turn(items, run):
            if item.name == self.dies_at:
                raise ConfigError(f"died at {item.name}")
            yield item, [CountRow(module=item.name, functions=item.num_functions)]

    def summary(self, rows: Sequence[CountRow], facts: Facts, run: Run) -> Report[CountFigure]:
        figure = CountFigure(sum(row.functions for row in rows))
        table = Table(("what", "count"), (("functions", str(figure.functions)),))
        assert f"LLVM {facts.llvm_version}." in facts_of(facts)
        return Report(
            facts=facts, figures=(figure,), blocks=(Heading("Counting", 1), table), table=table
        )

    def headline(self, summary: Report[CountFigure]) -> Iterable[HeadLine]:
        count = summary.figures[0].functions
        yield HeadLine(target="all", who="LLVM", figure="functions", n=count, value=str(count))


ENTRY = registry.TaskEntry(
    name="counting",
    help="how many functions there are",
    arguments=CountArguments,
    make=lambda options: Counting(),
)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> dict[str, registry.TaskEntry]:
    found = {entry.name: entry for entry in registry.task_entries()}
    monkeypatch.setattr(registry._TABLE, "_entries", found)
    return found


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    folder = tmp_path / "suite"
    folder.mkdir()
    for name in ("a", "b", "c"):
        (folder / f"{name}.c").write_text(f"int {name}(int x) {{ return x * 3 + 1; }}\n")
    return folder


def evaluate(suite: Path, report: Path, *more: str) -> int:
    named = ("--suite", str(suite), "--report", str(report), "--jobs", "1")
    return main(["evaluate", "counting", *named, *more])


def test_it_runs_goes_on_and_stands_on_the_page_of_all(
    table: dict[str, registry.TaskEntry],
    suite: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.register(ENTRY)
    with pytest.raises(ConfigError, match="already"):
        registry.register(replace(ENTRY))
    report = tmp_path / "report"
    table["counting"] = replace(ENTRY, make=lambda options: Counting("c.c"))
    assert evaluate(suite, report) == 2
    assert "died at c.c" in capsys.readouterr().err
    table["counting"] = replace(ENTRY, make=lambda options: Counting("a.c"))
    assert evaluate(suite, report, "--json") == 0, "a.c and b.c are in the journal"
    assert json.loads(capsys.readouterr().out)["figures"] == [{"functions": 3}]
    rows = read_rows(report / "rows.parquet", CountRow)
    assert rows == [CountRow(module=f"{name}.c", functions=1) for name in "abc"]
    named = ("--suite", str(suite), "--report", str(tmp_path / "all"), "--jobs", "1")
    some = ("--model", str(checkpoint), "--tasks", "counting", "--json")
    table["counting"] = ENTRY
    assert main(["evaluate", "all", *named, *some]) == 0
    assert list(json.loads(capsys.readouterr().out)["tasks"]) == ["counting"]
    assert (
        "| counting | all | LLVM | functions | 3 | 3 |"
        in (tmp_path / "all" / "report.md").read_text()
    )
    assert (tmp_path / "all" / "counting" / "rows.parquet").is_file()


def test_without_time_the_first_item_is_done_and_said_so(
    table: dict[str, registry.TaskEntry], suite: Path, tmp_path: Path
) -> None:
    registry.register(ENTRY)
    report = tmp_path / "report"
    assert evaluate(suite, report, "--max-minutes", "0.0001") == 0
    (note,) = json.loads((report / "report.json").read_text())["notes"]
    assert note.startswith("1 of 3 modules were done within 0.0001 minutes")
    assert evaluate(suite, report) == 0
    assert json.loads((report / "report.json").read_text())["notes"] == []


def test_an_unknown_task() -> None:
    with pytest.raises(ConfigError, match="there is no evaluation task 'dancing'"):
        registry.task_named("dancing")
