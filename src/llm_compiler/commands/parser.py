"""The parser of the whole command line, made of what each command says in `commands.options`."""

from __future__ import annotations

import argparse

from llm_compiler import __version__
from llm_compiler.commands import COMMANDS, load_command
from llm_compiler.commands.command import add_command, exit_codes

__all__ = ["build_parser"]


def build_parser(command: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of the whole command line.

    Args:
        command: only this has its options, and only its module is loaded; None: all have.
    """
    parser = argparse.ArgumentParser(
        prog="llm-compiler",
        description="Make code smaller than clang -Oz, with the real compiler in the loop.",
        epilog=exit_codes("a negative verdict"),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in COMMANDS.items():
        if command in (None, name):
            add_command(commands, load_command(name), help=words)
        else:
            commands.add_parser(name, help=words)
    return parser
