"""What the commands of ``llm-compiler evaluate`` share: models, and how an outcome is printed."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.commands.engines import open_engine
from llm_compiler.commands.options.evaluate import TaskArguments
from llm_compiler.commands.pools import pool_spec
from llm_compiler.console import print_json, print_table, warn
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.models import model_fingerprint, prompts_of
from llm_compiler.evaluate.run import OpenModel, OpenModels, RunOptions
from llm_compiler.evaluate.runner import Outcome
from llm_compiler.evaluate.suites import Excluded, SuiteOptions
from llm_compiler.model.engines.loader import has_shipped_model, weights_of
from llm_compiler.model.engines.registry import DEFAULT_ENGINE

__all__ = [
    "command_line",
    "engines_of",
    "models_of",
    "print_outcome",
    "run_options",
    "warn_excluded",
]


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


def models_of(options: TaskArguments) -> OpenModels:
    """Return what loads the models that are named, under distinct names."""

    def open_models(stack: contextlib.ExitStack, needed: bool) -> list[OpenModel]:
        """Load them; the stack closes them.

        Raises:
            ConfigError: there is none, and there must be.
            CheckpointMismatch, TokenizerMismatch, EngineError, ToolchainNotFound: an engine
                cannot be loaded.
        """
        named = engines_of(options)
        if needed and not named:
            raise ConfigError(
                f"'{options.task}' needs a model: name a checkpoint with --model; this "
                "installation has none"
            )
        found: list[OpenModel] = []
        for engine_name, model in named:
            engine = stack.enter_context(
                open_engine(engine_name, model, f"evaluate {options.task}")
            )
            weights = weights_of(engine_name, model)
            name = model_fingerprint(engine, weights)
            same = sum(open_model.name.model == name.model for open_model in found)
            found.append(
                OpenModel(
                    name=name,
                    row_name=f"{name.model} #{same + 1}" if same else name.model,
                    engine=engine,
                    prompts=prompts_of(engine, weights),
                )
            )
        return found

    return open_models


def run_options(options: TaskArguments) -> RunOptions:
    """Return what every task is given."""
    return RunOptions(
        task=options.task,
        report=options.report,
        suites=options.suite,
        suite_options=SuiteOptions(
            split=options.split,
            architecture=options.architecture,
            min_size_bytes=options.min_size_bytes,
            max_size_bytes=options.max_size_bytes,
            seed=options.seed,
            clang_flags=options.clang_flags,
            target_triple=options.target_triple,
            timeout_s=options.timeout_s,
        ),
        jobs=options.jobs,
        pool=pool_spec(options),
        max_minutes=options.max_minutes,
        command=command_line(options.task),
    )


def warn_excluded(excluded: Sequence[Excluded], options: TaskArguments) -> None:
    """Say what is left out, and why: once for all the tasks that share `options.warned`."""
    for each_excluded in excluded:
        text = f"{each_excluded.suite}: {each_excluded.name} is left out: {each_excluded.cause}"
        if text not in options.warned:
            warn(text)
        options.warned.add(text)


def print_outcome(outcome: Outcome, options: TaskArguments) -> int:
    """Print a task's outcome and return the exit code."""
    if options.json:
        print_json(outcome.figures)
        return 0
    for line in outcome.notes:
        print(line)
    table = outcome.table
    right = "l" * outcome.num_texts + "r" * (len(table.header) - outcome.num_texts)
    print_table(table.header, table.rows, right=right)
    print("\nwritten: " + ", ".join(str(path) for path in sorted(outcome.paths)))
    return 0
