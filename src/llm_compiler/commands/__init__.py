"""What each command of `cli` does: read the options, call the package, print the results.

Each ``run_*`` takes the parsed options and clang's flags and returns the exit code. Results go to
standard output, diagnostics to standard error.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import Protocol, cast

__all__ = [
    "run_autotune",
    "run_coreset",
    "run_corpus",
    "run_dataset",
    "run_disassemble",
    "run_doctor",
    "run_emulate",
    "run_evaluate",
    "run_kit",
    "run_labels",
    "run_model",
    "run_optimize",
    "run_passes",
    "run_tokenizer",
    "run_train",
    "run_validate",
]


class _Command(Protocol):
    def run(self, options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int: ...


def _call(name: str, options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    # Imported on use: a command should not wait for what the others need.
    command = cast(_Command, import_module(f"llm_compiler.commands.{name}"))
    return command.run(options, clang_flags)


def run_optimize(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Make objects smaller than clang -Oz."""
    return _call("optimize", options, clang_flags)


def run_disassemble(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Lift machine code to LLVM-IR with verdicts."""
    return _call("disassemble", options, clang_flags)


def run_emulate(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Predict what a pass list makes of code."""
    return _call("emulate", options, clang_flags)


def run_autotune(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Search pass lists and keep every measurement."""
    return _call("autotune", options, clang_flags)


def run_coreset(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Build or show the coreset."""
    return _call("coreset", options, clang_flags)


def run_validate(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Put pass lists to PassListEval."""
    return _call("validate", options, clang_flags)


def run_passes(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Print the pass registry."""
    return _call("passes", options, clang_flags)


def run_doctor(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Say what is installed and what is missing."""
    return _call("doctor", options, clang_flags)


def run_corpus(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Collect real code as unoptimised bitcode."""
    return _call("corpus", options, clang_flags)


def run_labels(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Measure the coreset on every module, and what a full search finds."""
    return _call("labels", options, clang_flags)


def run_dataset(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Make the samples that training learns from."""
    return _call("dataset", options, clang_flags)


def run_tokenizer(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Train and show tokenizers, and encode stage data."""
    return _call("tokenizer", options, clang_flags)


def run_model(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Merge adapters, describe or hand on a checkpoint."""
    return _call("model", options, clang_flags)


def run_train(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Train a model."""
    return _call("train", options, clang_flags)


def run_evaluate(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Measure models and searches on suites of programs."""
    return _call("evaluate", options, clang_flags)


def run_kit(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Train on a borrowed GPU: pack, train, wait, ship."""
    return _call("kit", options, clang_flags)
