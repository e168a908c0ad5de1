"""What people see: tables on standard output, progress and warnings on standard error.

Progress bars are drawn only on a terminal. Knows nothing of compilers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_compiler.errors import CompileFailed, InputError, LlmCompilerError

__all__ = [
    "Progress",
    "note",
    "percent",
    "print_error",
    "print_json",
    "print_table",
    "progress",
    "warn",
]


def warn(message: str) -> None:
    """Print one warning line to standard error."""
    print(f"llm-compiler: warning: {message}", file=sys.stderr)


def print_error(error: LlmCompilerError) -> None:
    """Print one error line to standard error, after the compiler's own words where it has any."""
    if isinstance(error, InputError | CompileFailed) and error.detail.strip():
        print(error.detail.rstrip("\n"), file=sys.stderr)
    print(f"llm-compiler: error: {error}", file=sys.stderr)


def note(message: str) -> None:
    """Print one line of news to standard error, if somebody is looking."""
    if sys.stderr.isatty():
        print(f"llm-compiler: {message}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON object on a line of its own."""
    print(json.dumps(value), flush=True)


def percent(part: float, whole: float) -> str:
    """Return a share as text: ``3.4 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """Print a table in aligned columns; cells are never cut, since scripts read them.

    Args:
        right: one character a column, ``r`` for columns of numbers.
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    widths[-1] = 0
    for row in [header, *rows]:
        cells = [
            cell.rjust(width) if right[column : column + 1] == "r" else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


class Progress:
    """A running count with rate, best so far, and time left; silent off a terminal."""

    def __init__(self, total: int, what: str) -> None:
        self._bar: Any = None
        self._task: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(what, total=total, note="", rate="")
            self._bar.start()

    def update(self, done: int, note: str = "") -> None:
        """Show how many are done, and a short note."""
        if self._bar is not None:
            speed = self._bar.tasks[0].speed
            rate = f"{speed:.0f}/s" if speed else ""
            self._bar.update(self._task, completed=done, note=note, rate=rate)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(total: int, what: str) -> Iterator[Progress]:
    """Show a progress bar while the block runs, if standard error is a terminal."""
    bar = Progress(total, what)
    try:
        yield bar
    finally:
        bar.close()
