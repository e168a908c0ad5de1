"""``llm-compiler evaluate``: measure models and searches on suites, and write the report."""

from __future__ import annotations

from llm_compiler.commands.evaluate_all import everything
from llm_compiler.commands.evaluation import models_of, print_outcome, run_options, warn_excluded
from llm_compiler.commands.options.evaluate import AllArguments, TaskArguments
from llm_compiler.evaluate.registry import task_named
from llm_compiler.evaluate.runner import Outcome, run_task

__all__ = ["outcome_of", "run"]


def run(options: TaskArguments) -> int:
    """Run one task's evaluation; a run that was stopped goes on."""
    return print_outcome(outcome_of(options), options)


def outcome_of(options: TaskArguments) -> Outcome:
    """Run one task's evaluation and write its report.

    Raises:
        LlmCompilerError: the suites, models or options do not allow it.
    """
    if isinstance(options, AllArguments):
        return everything(options, outcome_of)
    return run_task(
        task_named(options.task).task(options),
        run_options(options),
        open_models=models_of(options),
        on_excluded=lambda excluded: warn_excluded(excluded, options),
    )
