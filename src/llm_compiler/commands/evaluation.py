"""What the tasks of ``llm-compiler evaluate`` share: models, suites, the command's own words."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.commands.disassemble import open_engine
from llm_compiler.console import note, print_json, print_table, warn
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.document import Block, Table
from llm_compiler.evaluate.flag_tuning import model_fingerprint
from llm_compiler.evaluate.suites import Excluded, Suite, SuiteOptions, load_suite
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import has_shipped_model, shipped_model
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "Outcome",
    "command_line",
    "engines_of",
    "load_suites",
    "open_models",
    "print_outcome",
    "warn_excluded",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a task's run has made: files, and what is said of them."""

    told: dict[str, Any] = field(repr=False)
    """The report as plain values."""
    blocks: tuple[Block, ...] = field(repr=False)
    table: Table
    """The main table."""
    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    left: int = 1
    """Columns of the table that are text."""
    is_complete: bool = True
    """Nothing was left out for lack of time."""


def engines_of(options: argparse.Namespace) -> list[tuple[str, str | None]]:
    """Pair engines with models: one engine for all, or one for each.

    Raises:
        ConfigError: their numbers do not fit.
    """
    engines, models = options.engine or [], options.model or []
    if not engines and not models:
        return [("embedded", None)] if has_shipped_model() else []
    if not engines:
        engines = ["embedded"]
    if len(engines) == 1:
        return [(engines[0], model) for model in models or [None]]
    if len(engines) != len(models):
        raise ConfigError(
            f"{len(engines)} engines and {len(models)} models: name one --engine for all, or one "
            "for each --model"
        )
    return list(zip(engines, models, strict=True))


def command_line(task: str) -> str:
    """Return the command as it was typed, for the report."""
    arguments = [*sys.argv[1:]] if Path(sys.argv[0]).stem.startswith("llm") else []
    if not arguments:
        return f"llm-compiler evaluate {task}"
    return shlex.join(["llm-compiler", *arguments])


def open_models(
    stack: contextlib.ExitStack, named: Sequence[tuple[str, str | None]], task: str
) -> tuple[list[tuple[str, Engine]], list[dict[str, Any]]]:
    """Load engines, which the stack closes; return them under distinct names, and what they are.

    Raises:
        ConfigError: there is none.
        CheckpointMismatch, TokenizerMismatch, EngineError, ToolchainNotFound: one cannot be loaded.
    """
    if not named:
        raise ConfigError(
            f"'{task}' needs a model: name a checkpoint with --model; this installation has none"
        )
    found: list[tuple[str, Engine]] = []
    told = []
    for engine_name, model in named:
        engine = stack.enter_context(open_engine(engine_name, model, f"evaluate {task}"))
        weights = model or (shipped_model() if engine_name == "embedded" else None)
        # Without the machine's folders, which are nobody's business in a report.
        name = "shipped model"
        if model is not None:
            name = Path(model).resolve().name if Path(model).is_dir() else engine.model
        told.append({**model_fingerprint(engine, weights), "model": name})
        same = sum(one.split(" #")[0] == name for one, _ in found)
        found.append((f"{name} #{same + 1}" if same else name, engine))
    return found, told


def load_suites(
    paths: Sequence[Path],
    options: SuiteOptions,
    *,
    toolchain: Toolchain,
    pool: WorkerPool,
    scratch: Path,
    known: Collection[str] = (),
) -> list[Suite]:
    """Load what the user named, each under a name of its own.

    Raises:
        InputError: one of them has nothing to measure.
    """
    suites: list[Suite] = []
    for number, path in enumerate(paths):
        own = scratch / f"suite-{number}"
        own.mkdir()
        name = path.resolve().name
        if name in {suite.name for suite in suites}:
            name = f"{name} ({number + 1})"
        suites.append(
            load_suite(
                path,
                options,
                toolchain=toolchain,
                pool=pool,
                scratch=own,
                name=name,
                known=known,
                notify=note,
            )
        )
    return suites


def warn_excluded(excluded: Sequence[Excluded]) -> None:
    """Say what is left out, and why."""
    for one in excluded:
        warn(f"{one.suite}: {one.name} is left out: {one.cause}")


def print_outcome(outcome: Outcome, options: argparse.Namespace) -> int:
    """Print a task's outcome and return the exit code."""
    if options.json:
        print_json(outcome.told)
        return 0
    for line in outcome.notes:
        print(line)
    table = outcome.table
    right = "l" * outcome.left + "r" * (len(table.header) - outcome.left)
    print_table(table.header, table.rows, right=right)
    print("\nwritten: " + ", ".join(str(path) for path in sorted(outcome.paths)))
    return 0
