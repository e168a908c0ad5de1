"""What the tasks of ``llm-compiler evaluate`` share: models, suites, the command's own words."""

from __future__ import annotations

import contextlib
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.commands.engines import open_engine
from llm_compiler.commands.options.evaluate import TaskArguments
from llm_compiler.console import note, print_json, print_table, warn
from llm_compiler.dataset.records import StageSample
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.document import Block, Table
from llm_compiler.evaluate.flag_tuning import model_fingerprint, prompts_of, sample_fits
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.evaluate.rows import locked
from llm_compiler.evaluate.suites import (
    EvaluationModule,
    Excluded,
    Suite,
    SuiteOptions,
    load_suite,
)
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import has_shipped_model, public_name, weights_of
from llm_compiler.model.engines.registry import DEFAULT_ENGINE
from llm_compiler.parquet import require_pyarrow
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "Outcome",
    "Session",
    "command_line",
    "engines_of",
    "incomplete",
    "load_suites",
    "open_models",
    "open_session",
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
    num_done: int = 0
    num_wanted: int = 0
    """Modules, functions, questions or samples; fewer are done where time is short."""


def engines_of(options: TaskArguments) -> list[tuple[str, str | None]]:
    """Pair engines with models: one engine for all, or one for each.

    Raises:
        ConfigError: their numbers do not fit.
    """
    engines: Sequence[str] = options.engine
    models: Sequence[str | None] = options.model
    if not engines and not models:
        return [(DEFAULT_ENGINE, None)] if has_shipped_model() else []
    if not engines:
        engines = [DEFAULT_ENGINE]
    if len(engines) == 1:
        return [(engines[0], model) for model in models or (None,)]
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
        weights = weights_of(engine_name, model)
        name = public_name(engine.model)
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


@dataclass(slots=True, kw_only=True)
class Session:
    """A task's run: what it holds open, and what it is about."""

    folder: Path
    scratch: Path
    toolchain: Toolchain
    pool: LocalPool
    engines: list[tuple[str, Engine]]
    fits: Callable[[Engine, StageSample], bool]
    settings: dict[str, Any]
    suites: list[Suite]
    excluded: list[Excluded]
    notes: list[str]
    deadline: float | None

    @property
    def modules(self) -> list[EvaluationModule]:
        """Each module once: folders of samples may share some."""
        found: dict[str, EvaluationModule] = {}
        for suite in self.suites:
            for module in suite.modules:
                identity = module.module_hash if module.unit is None else module.key
                found.setdefault(identity, module)
        return list(found.values())


def open_session(
    options: TaskArguments,
    clang_flags: tuple[str, ...],
    stack: contextlib.ExitStack,
    *,
    count: int,
    kind: str = "",
    suites: Sequence[Path] | None = None,
) -> Session:
    """Lock the report's folder, load models and suites; the stack lets go of them.

    Args:
        count: of samples and corpora, so many modules a target; 0: all.
        kind: as in `SuiteOptions`.
        suites: only these; None: all that the user named.

    Raises:
        ConfigError, InputError, ArtifactError, ToolchainError: something is missing or held.
    """
    started = time.monotonic()
    # Before any work is done for them.
    require_pyarrow()
    require_matplotlib()
    toolchain = find_toolchain()
    folder = options.report
    stack.enter_context(locked(folder))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
    named = engines_of(options)
    engines, told = open_models(stack, named, options.task)
    prompts = {
        id(engine): prompts_of(engine, model)
        for (_, engine), (_, model) in zip(engines, named, strict=True)
    }
    pool = stack.enter_context(LocalPool(options.jobs))
    suite_options = SuiteOptions(
        split=options.split,
        architecture=options.architecture,
        modules=count,
        min_size_bytes=options.min_size_bytes,
        max_size_bytes=options.max_size_bytes,
        seed=options.seed,
        clang_flags=clang_flags,
        target_triple=options.target_triple,
        timeout_s=options.timeout_s,
        kind=kind,
    )
    paths = options.suite if suites is None else suites
    loaded = load_suites(paths, suite_options, toolchain=toolchain, pool=pool, scratch=scratch)
    minutes = options.max_minutes
    return Session(
        folder=folder,
        scratch=scratch,
        toolchain=toolchain,
        pool=pool,
        engines=engines,
        fits=lambda engine, sample: sample_fits(engine, prompts[id(engine)], sample),
        settings={"task": options.task, "models": told, "llvm_version": toolchain.version},
        suites=loaded,
        excluded=[one for suite in loaded for one in suite.excluded],
        notes=[f"{suite.name}: {line}." for suite in loaded for line in suite.notes],
        deadline=started + 60 * minutes if minutes else None,
    )


def incomplete(done: int, total: int, what: str, options: TaskArguments) -> list[str]:
    """Return a note for a report that time cut short, or none."""
    if done >= total:
        return []
    return [
        f"{done} of {total} {what} were done within {options.max_minutes:.3g} minutes, the first "
        "in an order that takes targets and programs in turn; the same command goes on."
    ]


def warn_excluded(excluded: Sequence[Excluded], options: TaskArguments) -> None:
    """Say what is left out, and why: once for all the tasks that share `options.warned`."""
    for one in excluded:
        text = f"{one.suite}: {one.name} is left out: {one.cause}"
        if text not in options.warned:
            warn(text)
        options.warned.add(text)


def print_outcome(outcome: Outcome, options: TaskArguments) -> int:
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
