"""``llm-compiler completion``: a script for a shell, made by shtab from the parser."""

from __future__ import annotations

import sys

from llm_compiler.commands.options.completion import CompletionArguments
from llm_compiler.commands.parser import build_parser

__all__ = ["run"]


def run(options: CompletionArguments) -> int:
    """Print the script."""
    import shtab  # needed here only

    sys.stdout.write(shtab.complete(build_parser(), options.shell))
    return 0
