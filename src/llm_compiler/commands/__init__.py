"""The commands: what each takes is in `options`, what it does in the module of its name.

Results go to standard output, diagnostics to standard error.
"""

from __future__ import annotations

from importlib import import_module

from llm_compiler.commands.command import Command

__all__ = ["COMMANDS", "load_command"]

COMMANDS = {
    "optimize": "make objects smaller than clang -Oz",
    "disassemble": "lift machine code to LLVM-IR, with a verdict for each function",
    "emulate": "predict what a pass list makes of code",
    "autotune": "search pass lists for modules and keep every measurement",
    "coreset": "build or show the fixed list of lists",
    "validate": "put pass lists to PassListEval",
    "passes": "print the pass registry",
    "doctor": "what is installed, what is missing, how to mend it",
    "corpus": "collect real code as unoptimised bitcode",
    "labels": "what each list of the coreset makes of a corpus",
    "dataset": "make the samples that training learns from",
    "tokenizer": "the tokenizer of the package's own models",
    "train": "train a model in one of the four stages",
    "kit": "train on a borrowed GPU: pack here, train there, ship here",
    "model": "merge adapters, describe or hand on a checkpoint",
    "evaluate": "measure models and searches on suites of programs, and write a report",
    "report": "where the bytes of a build or a binary are, and what changed",
    "serve": "answer over HTTP, with a page: each job in a sandbox",
    "completion": "complete commands and options in bash, zsh or fish",
}
"""Names with one line of help: the list of commands is printed without loading any."""


def load_command(name: str) -> Command:
    """Return what a command takes, from ``options/NAME.py``."""
    command: Command = import_module(f"llm_compiler.commands.options.{name}").COMMAND
    return command
