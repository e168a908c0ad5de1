"""Write docs/command-line.md from the commands' own --help; with --check, say if it is stale."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from llm_compiler.commands.parser import build_parser

TARGET = Path(__file__).resolve().parent.parent / "docs" / "command-line.md"


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and all below it, in the order of the help."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def render() -> str:
    os.environ["COLUMNS"] = "96"  # argparse wraps to the terminal
    os.environ["NO_COLOR"] = "1"
    parts = ["# Command line\n\nMade by `python scripts/generate_docs.py` from `--help`.\n"]
    parts += [
        f"## {parser.prog}\n\n```\n{parser.format_help()}```\n"
        for parser in parsers(build_parser())
    ]
    return "\n".join(parts)


def main() -> int:
    text = render()
    if "--check" in sys.argv:
        if TARGET.read_text() != text:
            print(f"{TARGET.name} is stale: run 'python scripts/generate_docs.py'", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
