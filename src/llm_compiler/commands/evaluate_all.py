"""``llm-compiler evaluate all``: every task on the same suites, in bounded time, on one page."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from llm_compiler.commands.evaluation import command_line, engines_of
from llm_compiler.commands.options.evaluate import (
    PAPER_PART,
    AllArguments,
    FlagTuningArguments,
    TaskArguments,
)
from llm_compiler.console import note, warn
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.document import Block, Heading, Image, Items, Paragraph, Table
from llm_compiler.evaluate.registry import TaskEntry, task_entries
from llm_compiler.evaluate.rows import locked
from llm_compiler.evaluate.runner import Outcome, write_report

__all__ = ["everything"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A task of the page."""

    name: str
    entry: TaskEntry
    until: float
    """Of the time, the share by which it is to be done; what one does not use, the next has."""
    title: str = ""
    """Other than the report's own."""


def _parts() -> Iterator[_Part]:
    for entry in task_entries():
        yield _Part(name=entry.name, entry=entry, until=entry.until)
        if entry.arguments is FlagTuningArguments:
            yield _Part(
                name=PAPER_PART,
                entry=entry,
                until=0.55,
                title="Flag tuning by the paper's rules",
            )


def everything(options: AllArguments, run_one: Callable[[TaskArguments], Outcome]) -> Outcome:
    """Run all tasks, one after the other, and write the page after each.

    A task that the suites or the engine do not allow is left out with its cause.

    Raises:
        LlmCompilerError: none of the tasks can run, or a task fails.
    """
    started = time.monotonic()
    if not engines_of(options):
        raise ConfigError(
            "'evaluate all' needs a model: name a checkpoint with --model; this installation has "
            "none"
        )
    folder = options.report
    done: dict[str, Outcome] = {}
    left_out: dict[str, str] = {}
    with locked(folder):
        wanted = [
            each_part
            for each_part in _parts()
            if not options.tasks or each_part.name in options.tasks
        ]
        for part in wanted:
            passed = time.monotonic() - started
            minutes = None
            if options.max_minutes:
                # At least a little, so that each task has some rows.
                minutes = max(options.max_minutes * part.until - passed / 60, 0.2)
            note(f"{part.name}: {passed / 60:.0f} minutes so far")
            try:
                done[part.name] = run_one(_options_of(part, options, minutes))
            except (ConfigError, InputError) as error:
                if part is wanted[-1] and not done:
                    raise
                left_out[part.name] = str(error)
                warn(f"{part.name} is left out: {error}")
            titles = {each_part.name: each_part.title for each_part in wanted if each_part.title}
            blocks, table = _page(done, left_out, options, time.monotonic() - started, titles)
            figures = _figures(done, left_out)
            paths = write_report(folder, blocks, figures)
    return Outcome(
        figures=figures,
        blocks=tuple(blocks),
        table=table,
        num_texts=4,
        paths=paths,
        num_done=sum(outcome.num_done for outcome in done.values()),
        num_wanted=sum(outcome.num_wanted for outcome in done.values()),
    )


def _options_of(part: _Part, options: AllArguments, minutes: float | None) -> TaskArguments:
    """Return the options of one task, as its own command would have them."""
    kind: type[TaskArguments] = part.entry.arguments
    own: dict[str, Any] = {
        **vars(options),
        "report": options.report / part.name,
        "max_minutes": minutes,
        "min_size_bytes": 0,
        "max_size_bytes": 0,
        # What `disassemble` does: rules first, then the model.
        "rules": True,
        "search_s": LiftOptions().search_s,
        "function_s": LiftOptions().function_s,
    }
    if kind is FlagTuningArguments:
        paper = part.name == PAPER_PART
        own |= {
            "protocol": "paper" if paper else "ours",
            "contenders": ("one-shot", "coreset", "plain") if paper else options.contenders,
            # 256 evaluations a module would leave the other tasks no time.
            "budgets": (1,) if paper else (1, 4, 16, 64),
            "objective": None,
            "min_size_bytes": options.min_size_bytes,
            "store": options.store or options.report / "measurements.db",
        }
    names = {field.name for field in dataclasses.fields(kind)} - {"task"}
    return kind(**{key: value for key, value in own.items() if key in names})


# -- the page ------------------------------------------------------------------------------------


def _page(
    done: dict[str, Outcome],
    left_out: dict[str, str],
    options: AllArguments,
    seconds: float,
    titles: dict[str, str],
) -> tuple[list[Block], Table]:
    lines = [
        (name, headline.target, headline.who, headline.figure, str(headline.n), headline.value)
        for name, outcome in done.items()
        for headline in outcome.headlines
    ]
    table = Table(("task", "target", "who", "figure", "n", "value, 95 %"), tuple(lines), left=4)
    facts = [
        f"{name}: {outcome.num_done} of {outcome.num_wanted} done."
        if outcome.num_done < outcome.num_wanted
        else f"{name}: {outcome.num_done} done."
        for name, outcome in done.items()
    ]
    facts += [f"{name} is left out: {cause}." for name, cause in left_out.items()]
    facts.append(f"{seconds / 60:.0f} minutes, of {options.max_minutes or 0:.3g} at most.")
    if not options.max_minutes:
        facts[-1] = f"{seconds / 60:.0f} minutes."
    blocks: list[Block] = [
        Heading("Evaluation", 1),
        Paragraph(f"`{command_line('all')}`"),
        Items(tuple(facts)),
        table,
        Paragraph(
            "Each task has a folder of its own with its report, its plots, and the rows that its "
            "figures are computed from (`rows.parquet`)."
        ),
    ]
    for name, each_outcome in done.items():
        for block in each_outcome.blocks:
            match block:
                case Heading(text, level):
                    title = titles.get(name, text) if level == 1 else text
                    blocks.append(Heading(title, level + 1))
                case Image():
                    blocks.append(dataclasses.replace(block, name=f"{name}/{block.name}"))
                case _:
                    blocks.append(block)
    return blocks, table


def _figures(done: dict[str, Outcome], left_out: dict[str, str]) -> dict[str, Any]:
    return {
        "tasks": {
            name: {
                **outcome.figures,
                "num_done": outcome.num_done,
                "num_wanted": outcome.num_wanted,
            }
            for name, outcome in done.items()
        },
        "left_out": left_out,
    }
