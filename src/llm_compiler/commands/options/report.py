"""What ``llm-compiler report`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson
from llm_compiler.option_fields import argument, option, positive

__all__ = ["COMMAND", "ReportArguments"]


@dataclass(frozen=True, kw_only=True)
class ReportArguments(AsJson):
    """As typed."""

    build: Path = argument("BUILD|BINARY", help="a build's folder, a program, library or object")
    against: Path | None = option(
        "--against", None, metavar="OTHER", help="another one, which it is compared with"
    )
    html: Path | None = option("--html", None, metavar="OUT", help="write one page with a treemap")
    markdown: bool = option(
        "--markdown", False, help="print a table for a comment on a pull request"
    )
    journal: Path | None = option(
        "--journal",
        None,
        metavar="FILE",
        help="what llm-cc wrote of its units (default: that of LLM_CC_JOURNAL, or llm-cc's own)",
    )
    explained: Path | None = option(
        "--explained",
        None,
        metavar="FILE",
        help="what 'optimize --json --explain' printed: the page gets a bar for each input, of "
        "what passes, attributes, options and functions of their own saved",
    )
    rows: int = option(
        "--rows",
        10,
        type=positive,
        metavar="N",
        help="of each table in the terminal (default: %(default)s)",
    )


COMMAND = Command(
    name="report",
    description="Say where the bytes of a build or a binary are: by section, file, symbol, "
    "template and inlined function. What counts are allocated sections that take space in the "
    "file. Files of symbols and inlined functions are known with debug information (-g).",
    options=ReportArguments,
    run="report:run",
)
