"""``llm-compiler report``: where bytes are, and what has changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from llm_compiler.commands.options.report import ReportArguments
from llm_compiler.console import name_width, percent, print_json, print_table, shorten
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.output import check_writable, write_atomically
from llm_compiler.size_report.build import KINDS, Sizes, changes, measure
from llm_compiler.size_report.explained import read_explained
from llm_compiler.size_report.journal import Record, read_journal
from llm_compiler.user_folders import llm_cc_folder

__all__ = ["run"]

_MAX_NAME = 100
"""Characters: a C++ symbol may have thousands."""
_TITLES = {"binary": "binaries", "inlined": "inlined from"}


def run(options: ReportArguments) -> int:
    """Measure, and print or write what was found."""
    if options.json and options.markdown:
        raise ConfigError("--json and --markdown would both be printed")
    if options.html is not None:
        check_writable(options.html)
    elif options.explained is not None:
        raise ConfigError("--explained is drawn on the page: name it with --html OUT")
    explained = read_explained(options.explained) if options.explained is not None else []
    sizes = measure(options.build)
    against = measure(options.against) if options.against is not None else None
    if against is not None:
        against = against.named_like(sizes)
    journal = _journal(options)
    if options.html is not None:
        from llm_compiler.size_report.page import page

        write_atomically(
            options.html, page(sizes, against, journal, explained).encode("utf-8", "replace")
        )
    if options.json:
        print_json(_document(sizes, against, journal))
    elif options.markdown:
        print(_markdown(sizes, against, options.rows))
    else:
        _print(sizes, against, journal, options.rows)
    return 0


def _journal(options: ReportArguments) -> list[Record]:
    """Return what is known of the units of a build.

    Raises:
        InputError: the journal that was named cannot be read.
    """
    path = options.journal
    if path is None:
        folder = llm_cc_folder(os.environ)
        named = os.environ.get("LLM_CC_JOURNAL")
        path = Path(named) if named else folder / "journal.jsonl" if folder else None
    if path is None:
        return []
    below = options.build if options.build.is_dir() else options.build.parent
    try:
        return read_journal(path, below)
    except OSError as error:
        if options.journal is None:
            return []
        raise InputError(f"the journal {path} cannot be read: {error.strerror}") from error


def _print(sizes: Sizes, against: Sizes | None, journal: Sequence[Record], num_rows: int) -> None:
    for what in ("binary", *KINDS):
        header, rows = _rows(what, sizes, against)
        if not rows:
            continue
        width = min(_MAX_NAME, name_width(3 * 12))
        shown = [(shorten(row[0], width), *row[1:]) for row in rows[:num_rows]]
        print_table(header, shown, right="l" + "r" * (len(header) - 1))
        if len(rows) > num_rows:
            print(f"... {len(rows) - num_rows} more")
        print()
    before = against.size_bytes if against is not None else None
    if before is None:
        print(f"{sizes.name}: {sizes.size_bytes} bytes")
    else:
        saved = percent(before - sizes.size_bytes, before) if before else "nothing"
        print(f"{sizes.name}: {sizes.size_bytes} bytes, before {before} ({saved} saved)")
    if journal:
        first = sum(record.baseline_bytes for record in journal if record.source)
        now = sum(record.optimized_bytes for record in journal if record.source)
        saved = percent(first - now, first) if first else "nothing"
        print(f"llm-cc: {len(journal)} outputs, objects {first} -> {now} bytes ({saved} saved)")


def _rows(
    what: str, sizes: Sizes, against: Sizes | None
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    title = _TITLES.get(what, what)
    if against is None:
        found = sorted(sizes.by(what).items(), key=lambda key: (-key[1], key[0]))
        return (title, "bytes"), [(name, str(count)) for name, count in found]
    rows: list[tuple[str, ...]] = [
        (change.name, str(change.before), str(change.after), f"{change.difference:+d}")
        for change in changes(against.by(what), sizes.by(what))
    ]
    return (title, "before", "after", "difference"), rows


def _markdown(sizes: Sizes, against: Sizes | None, num_rows: int) -> str:
    """Return what a comment on a pull request says."""
    lines = []
    if against is not None:
        difference = sizes.size_bytes - against.size_bytes
        share = f" ({100 * difference / against.size_bytes:+.2f} %)" if against.size_bytes else ""
        lines += [f"**Size: {sizes.size_bytes} bytes, {difference:+d}{share}**", ""]
    else:
        lines += [f"**Size: {sizes.size_bytes} bytes**", ""]
    for what in ("binary", "section", "symbol"):
        header, rows = _rows(what, sizes, against)
        if not rows:
            continue
        lines += ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
        for name, *counts in rows[:num_rows]:
            safe = shorten(name, _MAX_NAME).replace("|", "\\|").replace("`", "'")
            lines.append(f"| `{safe}` | " + " | ".join(counts) + " |")
        lines.append("")
    return "\n".join(lines).rstrip()


def _document(sizes: Sizes, against: Sizes | None, journal: Sequence[Record]) -> dict[str, object]:
    def as_json(measured: Sizes) -> dict[str, object]:
        kinds = ("binary", *KINDS)
        return {"name": measured.name, "bytes": measured.size_bytes} | {
            what: measured.by(what) for what in kinds
        }

    found: dict[str, object] = {
        "report": as_json(sizes),
        "units": [asdict(unit) for unit in journal],
    }
    if against is not None:
        found["against"] = as_json(against)
        found["difference_bytes"] = sizes.size_bytes - against.size_bytes
    return found
