"""What people see: tables on standard output, progress and warnings on standard error.

Progress bars are drawn only on a terminal. Knows nothing of compilers.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llm_compiler.errors import CompileFailed, InputError, LlmCompilerError

__all__ = [
    "Progress",
    "Table",
    "name_width",
    "note",
    "percent",
    "print_error",
    "print_json",
    "print_table",
    "progress",
    "shorten",
    "warn",
]


_MIN_NAME = 12


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
    with _bar_away():
        print(json.dumps(value), flush=True)


def percent(part: float, whole: float) -> str:
    """Return a share as text: ``3.4 %``."""
    return f"{100 * part / whole:.1f} %" if whole else "0.0 %"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """Print a table in aligned columns; cells are never cut, since scripts read them.

    Args:
        right: one character a column, ``r`` for columns of numbers.
    """
    table = Table(header, rows, right=right)
    table.begin()
    for row in rows:
        table.add(row)


def name_width(others: int) -> int:
    """Return how wide a column of names may be on a terminal beside `others`; else no limit.

    Scripts read whole names; people read lines that are not broken.
    """
    if not sys.stdout.isatty():
        return sys.maxsize
    return max(_MIN_NAME, shutil.get_terminal_size().columns - others)


def shorten(name: str, width: int) -> str:
    """Return a name in at most `width` characters: the end of a path tells the most.

    >>> shorten("a/long/path/file.c", 10)
    '.../file.c'
    """
    return name if len(name) <= width else "..." + name[len(name) + 3 - width :]


class Table:
    """A table in aligned columns whose rows are printed when they are there.

    Args:
        widest: rows as wide as any that will come; a wider row still is printed, out of line.
        right: one character a column, ``r`` for columns of numbers.
    """

    def __init__(
        self, header: Sequence[str], widest: Sequence[Sequence[str]], *, right: str = ""
    ) -> None:
        rows = [header, *widest]
        self._widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
        self._widths[-1] = 0
        self._right = right
        self._header: Sequence[str] | None = header

    def begin(self) -> None:
        """Print the header, unless that has been done."""
        header, self._header = self._header, None
        if header is not None:
            with _bar_away():
                print(self._line(header), flush=True)

    def add(self, row: Sequence[str]) -> None:
        """Print a row, and the header above the first row."""
        self.begin()
        with _bar_away():
            print(self._line(row), flush=True)

    def _line(self, row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if self._right[column : column + 1] == "r" else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, self._widths, strict=True))
        ]
        return "  ".join(cells).rstrip()


_shown: Progress | None = None
"""The bar on the terminal: what is printed must not end up in its line."""


@contextmanager
def _bar_away() -> Iterator[None]:
    """Take the bar off the terminal while something else is printed on it."""
    bar = _shown
    if bar is None or not sys.stdout.isatty():
        yield
        return
    bar.hide()
    try:
        yield
    finally:
        bar.show()


class Progress:
    """A running count with rate, best so far, and time left; silent off a terminal."""

    def __init__(self, total: int | None, what: str) -> None:
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
                # Where that goes to a file, it must not be printed on the terminal instead.
                redirect_stdout=sys.stdout.isatty(),
            )
            self._task = self._bar.add_task(what, total=total, note="", rate="")
            self._bar.start()

    def hide(self) -> None:
        """Take the bar off the terminal for a while."""
        if self._bar is not None:
            self._bar.stop()

    def show(self) -> None:
        """Put it back."""
        if self._bar is not None:
            self._bar.start()

    def update(self, done: int, note: str = "", total: int | None = None) -> None:
        """Show how many are done, and a short note; `total` says a better figure than before."""
        if self._bar is not None:
            if total is not None:
                self._bar.update(self._task, total=total)
            speed = self._bar.tasks[0].speed
            rate = f"{speed:.0f}/s" if speed else ""
            self._bar.update(self._task, completed=done, note=note, rate=rate)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def progress(total: int | None, what: str) -> Iterator[Progress]:
    """Show a progress bar while the block runs, if standard error is a terminal.

    Args:
        total: None: nobody knows; the bar only shows that something goes on, and for how long.
    """
    global _shown
    bar = Progress(total, what)
    before, _shown = _shown, bar
    try:
        yield bar
    finally:
        _shown = before
        bar.close()
