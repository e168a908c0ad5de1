"""``llm-compiler evaluate all``: every task on the same suites, in bounded time, on one page."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.commands.evaluation import Outcome, command_line, engines_of
from llm_compiler.commands.options.evaluate import (
    AllArguments,
    DisassemblyArguments,
    EmulationArguments,
    FlagTuningArguments,
    PerplexityArguments,
    SizePredictionArguments,
    TaskArguments,
)
from llm_compiler.console import note, warn
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.evaluate.document import (
    Block,
    Heading,
    Image,
    Items,
    Paragraph,
    Table,
    to_html,
    to_markdown,
)
from llm_compiler.evaluate.lifting import LiftOptions
from llm_compiler.evaluate.rows import locked
from llm_compiler.output import write_atomically

__all__ = ["TASKS", "everything"]

TASKS = {
    "flag-tuning": 0.45,
    "flag-tuning-paper": 0.55,
    "disassembly": 0.80,
    "emulation": 0.92,
    "size-prediction": 0.96,
    "perplexity": 1.0,
}
"""With the share of the time by which each is to be done; what one does not use, the next has."""
_ARGUMENTS: dict[str, type[TaskArguments]] = {
    "flag-tuning": FlagTuningArguments,
    "flag-tuning-paper": FlagTuningArguments,
    "disassembly": DisassemblyArguments,
    "emulation": EmulationArguments,
    "size-prediction": SizePredictionArguments,
    "perplexity": PerplexityArguments,
}
_TITLES = {"flag-tuning-paper": "Flag tuning by the paper's rules"}


def everything(
    options: AllArguments,
    clang_flags: tuple[str, ...],
    run_task: Callable[[TaskArguments, tuple[str, ...]], Outcome],
) -> Outcome:
    """Run all tasks, one after the other, and write the page after each.

    A task that the suites or the engine do not allow is left out with its cause.

    Raises:
        LlmCompilerError: none of them can run, or one fails.
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
        wanted = [name for name in TASKS if name in options.tasks]
        for name in wanted:
            passed = time.monotonic() - started
            minutes = None
            if options.max_minutes:
                # At least a little, so that each task has some rows.
                minutes = max(options.max_minutes * TASKS[name] - passed / 60, 0.2)
            note(f"{name}: {passed / 60:.0f} minutes so far")
            try:
                done[name] = run_task(_options_of(name, options, minutes), clang_flags)
            except (ConfigError, InputError) as error:
                if name == wanted[-1] and not done:
                    raise
                left_out[name] = str(error)
                warn(f"{name} is left out: {error}")
            blocks, table = _page(done, left_out, options, time.monotonic() - started)
            paths = _write(folder, blocks, done, left_out)
    return Outcome(
        told=_told(done, left_out),
        blocks=tuple(blocks),
        table=table,
        paths=tuple(paths),
        left=4,
        num_done=sum(one.num_done for one in done.values()),
        num_wanted=sum(one.num_wanted for one in done.values()),
    )


def _options_of(name: str, options: AllArguments, minutes: float | None) -> TaskArguments:
    """Return the options of one task, as its own command would have them."""
    own: dict[str, Any] = {
        **vars(options),
        "report": options.report / name,
        "max_minutes": minutes,
        "min_size_bytes": 0,
        "max_size_bytes": 0,
        # What `disassemble` does: rules first, then the model.
        "rules": True,
        "search_s": LiftOptions().search_s,
    }
    if name.startswith("flag-tuning"):
        paper = name.endswith("paper")
        own |= {
            "protocol": "paper" if paper else "ours",
            "contenders": ("one-shot", "coreset", "plain") if paper else options.contenders,
            # 256 evaluations a module would leave the other tasks no time.
            "budgets": (1,) if paper else (1, 4, 16, 64),
            "objective": None,
            "min_size_bytes": options.min_size_bytes,
            "store": options.store or options.report / "measurements.db",
        }
    kind = _ARGUMENTS[name]
    names = {one.name for one in dataclasses.fields(kind)} - {"task"}
    return kind(**{key: value for key, value in own.items() if key in names})


# -- the page ------------------------------------------------------------------------------------


def _page(
    done: dict[str, Outcome], left_out: dict[str, str], options: AllArguments, seconds: float
) -> tuple[list[Block], Table]:
    lines = [line for name, one in done.items() for line in _headline(name, one.told)]
    table = Table(("task", "target", "who", "figure", "n", "value, 95 %"), tuple(lines), left=4)
    facts = [
        f"{name}: {one.num_done} of {one.num_wanted} done."
        if one.num_done < one.num_wanted
        else f"{name}: {one.num_done} done."
        for name, one in done.items()
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
    for name, one in done.items():
        for block in one.blocks:
            match block:
                case Heading(text, level):
                    title = _TITLES.get(name, text) if level == 1 else text
                    blocks.append(Heading(title, level + 1))
                case Image():
                    blocks.append(dataclasses.replace(block, name=f"{name}/{block.name}"))
                case _:
                    blocks.append(block)
    return blocks, table


def _told(done: dict[str, Outcome], left_out: dict[str, str]) -> dict[str, Any]:
    return {
        "tasks": {
            name: {**one.told, "num_done": one.num_done, "num_wanted": one.num_wanted}
            for name, one in done.items()
        },
        "left_out": left_out,
    }


def _write(
    folder: Path, blocks: Sequence[Block], done: dict[str, Outcome], left_out: dict[str, str]
) -> list[Path]:
    files = {
        "report.md": to_markdown(blocks).encode(),
        "report.html": to_html(blocks).encode(),
        "report.json": (json.dumps(_told(done, left_out), indent=1) + "\n").encode(),
    }
    for name, data in files.items():
        write_atomically(folder / name, data)
    return [folder / name for name in files]


_Line = tuple[str, str, str, str, str, str]


def _headline(name: str, told: dict[str, Any]) -> Iterator[_Line]:
    if name.startswith("flag-tuning"):
        yield from _tuning_headline(name, told)
        return
    for one in told["figures"]:
        who = str(one["model"])
        match name:
            case "disassembly" if one["group"] == "target":
                for key, said in (
                    ("exact", "exact"),
                    ("accepted", "at least tests_passed"),
                    ("lowers", "lowers"),
                ):
                    figure = f"{said}, K = {one['candidates']}"
                    yield name, one["name"], who, figure, str(one["n"]), _share(one[key])
            case "emulation" if one["lists"] == "all lists" and one["target"] != "all":
                for key in ("exact", "same_code"):
                    figure = f"{key.replace('_', ' ')}, {one['code']}"
                    yield name, one["target"], who, figure, str(one["n"]), _share(one[key])
            case "size-prediction" if one["metric"] == "size":
                figure = "mean absolute error of the size"
                n = str(one["num_answered"])
                yield name, one["target"], who, figure, n, _share(one["mape"])
            case "perplexity":
                value, low, high = one["bits_a_byte"]
                n = str(one["n"])
                said = f"{value:.3f} [{low:.3f}, {high:.3f}]"
                yield name, one["target"], who, f"bits a byte, {one['task']}", n, said


def _tuning_headline(name: str, told: dict[str, Any]) -> Iterator[_Line]:
    settings = told["settings"]
    backup = "without" if settings["protocol"] == "paper" else "with"
    for target, found in told["by_group"]["target"].items():
        for one in found:
            if one["contender"].split(" ")[0] not in ("model", "one-shot", "coreset"):
                continue
            gain = next(
                gain
                for gain in one["gains"]
                if (gain["metric"], gain["backup"], gain["mean"])
                == (settings["objective"], backup, "total")
            )
            figure = f"smaller than -Oz at {told['reference_budget']}, {backup} backup"
            n = str(one["num_modules"])
            yield name, target, one["contender"], figure, n, _share(gain)
            share = one["share_of_potential"]
            if share["n"] and backup == "with":
                figure = "share of the autotuner's"
                yield name, target, one["contender"], figure, str(share["n"]), _share(share)


def _share(figure: dict[str, Any]) -> str:
    value, low, high = (figure[key] for key in ("value", "low", "high"))
    if value is None:
        return "—"
    return f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"
