"""A report as blocks (headings, paragraphs, tables, images), written as Markdown or as one page.

The HTML page holds its images and style in itself: one file to hand on. Knows nothing of what is
reported.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Block", "Heading", "Image", "Items", "Paragraph", "Table", "to_html", "to_markdown"]

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #8884; text-align: left; }
td.number, th.number { text-align: right; white-space: nowrap; }
img { max-width: 100%; background: white; border-radius: 4px; }
code { font-size: .92em; overflow-wrap: anywhere; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text; code between backquotes."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list of lines."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; all but the first `left` columns are numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.header) for row in self.rows), self.header


@dataclass(frozen=True, slots=True)
class Image:
    """A PNG: its file's name beside the report, its bytes for the page."""

    name: str
    caption: str
    data: bytes


Block = Heading | Paragraph | Items | Table | Image


def to_markdown(blocks: Sequence[Block]) -> str:
    """Return the report as Markdown; images are named as files beside it."""
    parts = []
    for block in blocks:
        match block:
            case Heading(text, level):
                parts.append(f"{'#' * level} {text}")
            case Paragraph(text):
                parts.append(text)
            case Items(lines):
                parts.append("\n".join(f"* {line}" for line in lines))
            case Table(header, rows, left):
                marks = ["---" if i < left else "---:" for i in range(len(header))]
                lines_ = [_line(header), "|" + "|".join(marks) + "|", *map(_line, rows)]
                parts.append("\n".join(lines_))
            case Image(name, caption, _):
                parts.append(f"![{caption}]({name})")
    return "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def to_html(blocks: Sequence[Block]) -> str:
    """Return the report as one page that needs no other file."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Report")
    body = "\n".join(_block_html(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _block_html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_text_html(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_text_html(text)}</p>"
        case Items(lines):
            return "<ul>" + "".join(f"<li>{_text_html(line)}</li>" for line in lines) + "</ul>"
        case Table(header, rows, left):
            head = _cells_html("th", header, left)
            body = "\n".join(_cells_html("td", row, left) for row in rows)
            table = f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
            return f'<div class="scroll">{table}</div>'
        case Image(_, caption, data):
            source = "data:image/png;base64," + base64.b64encode(data).decode()
            return f'<p><img alt="{html.escape(caption)}" src="{source}"></p>'


def _cells_html(tag: str, cells: Sequence[str], left: int) -> str:
    parts = []
    for index, cell in enumerate(cells):
        kind = "" if index < left else ' class="number"'
        parts.append(f"<{tag}{kind}>{_text_html(cell)}</{tag}>")
    return "<tr>" + "".join(parts) + "</tr>"


def _text_html(text: str) -> str:
    pieces = html.escape(text).split("`")
    if len(pieces) % 2 == 0:
        return html.escape(text)  # a backquote of the text's own
    return "".join(
        f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces)
    )
