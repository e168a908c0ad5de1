"""The run of any task: ask what the journal lacks, summarise the rows, write the report."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from llm_compiler.console import progress
from llm_compiler.errors import OutputError
from llm_compiler.evaluate.document import Block, Image, Table, to_html, to_markdown
from llm_compiler.evaluate.rows import Journal, write_rows
from llm_compiler.evaluate.run import OpenModels, RunOptions, open_run
from llm_compiler.evaluate.suites import Excluded
from llm_compiler.evaluate.task import Facts, HeadLine, RowTable, Task
from llm_compiler.output import write_atomically

__all__ = ["Outcome", "run_task", "write_report"]

AnyTask = Task[Any, Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task's run has made: files, and what is said of them."""

    figures: dict[str, Any] = field(repr=False)
    """The report as plain values, as it is written."""
    headlines: tuple[HeadLine, ...] = ()
    blocks: tuple[Block, ...] = field(repr=False)
    table: Table
    """The main table."""
    num_texts: int = 1
    """Its columns that are text."""
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    num_done: int = 0
    num_wanted: int = 0
    """Items; fewer are done where time is short."""


def run_task(
    task: AnyTask,
    options: RunOptions,
    *,
    open_models: OpenModels,
    on_excluded: Callable[[Sequence[Excluded]], None] = lambda excluded: None,
) -> Outcome:
    """Ask what was not asked yet, and write the report about all.

    Args:
        open_models: as in `open_run`.
        on_excluded: called with what is left out, before anything is asked.

    Ctrl-C and kills lose at most the items that are under way: the same call goes on.

    Raises:
        LlmCompilerError: suites, models or options do not allow it.
    """
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(open_run(options, task.needs(), open_models))
        work = task.items(run)
        excluded = (*run.excluded, *work.excluded)
        on_excluded(excluded)
        journal = stack.enter_context(
            Journal(run.folder / "journal.jsonl", dict(work.settings), task.row)
        )
        todo, number = _to_ask(task, work.items, journal)
        done = len(work.items) - len(todo)
        bar = stack.enter_context(progress(len(work.items), task.name))

        def say(what: str) -> None:
            bar.update(done, what[:60])

        say("")
        run = replace(run, has_rows=done > 0, say=say)
        for item, rows in task.ask(todo, run):
            journal.add(item.key, rows, round=number)
            done += 1
            say(item.key.rpartition("|")[2])
        bar.close()
        found = [row for item in work.items for row in journal.rows(item.key) or ()]
        answered = sum(journal.rows(item.key) is not None for item in work.items)
        facts = Facts(
            command=options.command,
            settings=work.settings,
            models=tuple(model.name for model in run.models),
            llvm_version=run.toolchain.version,
            suites=run.described_suites,
            notes=(
                *run.notes,
                *work.notes,
                *_incomplete(answered, len(work.items), task.noun, options),
                *_asked_again(work.items, journal, task.noun),
            ),
            excluded=excluded,
            started=run.started,
        )
        summary = task.summary(found, facts, run)
    blocks = summary.page()
    figures = summary.to_json()
    tables = (RowTable(name="rows", rows=found, row=task.row), *summary.tables)
    paths = write_report(options.report, blocks, figures, tables)
    return Outcome(
        figures=figures,
        headlines=tuple(task.headline(summary)),
        blocks=blocks,
        table=summary.table,
        num_texts=task.num_texts,
        paths=paths,
        notes=summary.notes,
        num_done=done,
        num_wanted=len(work.items),
    )


def _to_ask(task: AnyTask, items: Sequence[Any], journal: Journal[Any]) -> tuple[list[Any], int]:
    """Return what has no rows yet or is asked about again, and which round that is.

    A retry that was stopped goes on: what it has asked already is a round ahead of the rest.
    """
    known = {item.key: journal.rows(item.key) for item in items}
    again = {key for key, rows in known.items() if rows is not None and task.asks_again(rows)}
    number = 1 + min(map(journal.round, again)) if again else 0
    todo = [
        item
        for item in items
        if known[item.key] is None or (item.key in again and journal.round(item.key) < number)
    ]
    return todo, number


def _asked_again(items: Sequence[Any], journal: Journal[Any], what: str) -> list[str]:
    """Return a note for a report that has later answers among its rows, or none."""
    num_later = sum(journal.round(item.key) > 0 for item in items)
    if not num_later:
        return []
    return [f"Of the {what}, {num_later} were asked about again; their last answers count."]


def _incomplete(done: int, total: int, what: str, options: RunOptions) -> list[str]:
    """Return a note for a report that time cut short, or none."""
    if done >= total:
        return []
    return [
        f"{done} of {total} {what} were done within {options.max_minutes:.3g} minutes, the first "
        "in an order that takes targets and programs in turn; the same command goes on."
    ]


def write_report(
    folder: Path,
    blocks: Sequence[Block],
    figures: dict[str, Any],
    tables: Sequence[RowTable] = (),
) -> tuple[Path, ...]:
    """Write a report's files and return their paths.

    Args:
        figures: as ``report.json`` has them.
        tables: each becomes ``NAME.parquet``, with the run's settings in it.

    Raises:
        OutputError: the folder cannot be written.
        ToolchainNotFound: pyarrow is missing.
    """
    files = {
        "report.md": to_markdown(blocks).encode(),
        "report.html": to_html(blocks).encode(),
        "report.json": (json.dumps(figures, indent=1) + "\n").encode(),
    }
    # Images of other reports, on a page about several, are there already.
    files |= {
        block.name: block.data
        for block in blocks
        if isinstance(block, Image)
        if "/" not in block.name
    }
    try:
        for name, data in files.items():
            write_atomically(folder / name, data)
    except OSError as error:
        raise OutputError(f"the report cannot be written to {folder}: {error}") from error
    paths = [folder / f"{table.name}.parquet" for table in tables]
    for path, row_table in zip(paths, tables, strict=True):
        write_rows(row_table.rows, path, figures["settings"], row_table.row)
    return (*paths, *(folder / name for name in files))
