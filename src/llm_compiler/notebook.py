"""What results look like in a notebook: one card of HTML, all text escaped, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["card"]

_BOX = "border:1px solid #8884;border-radius:8px;padding:10px 14px;max-width:60em;margin:4px 0"
_CELL = "text-align:left;padding:2px 12px 2px 0;vertical-align:top"


def card(
    headline: str,
    facts: Mapping[str, str],
    *,
    header: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
) -> str:
    """Return a headline, facts by name, and a table.

    >>> "8 &lt; 9" in card("-12 %", {"bytes": "8 < 9"})
    True
    """
    parts = [f'<div style="font-size:1.6em;font-weight:600">{escape(headline)}</div>']
    parts.append(_table((), [(name, value) for name, value in facts.items() if value]))
    if rows:
        parts.append(_table(header, rows))
    return f'<div style="{_BOX}">{"".join(parts)}</div>'


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = []
    if header:
        names = "".join(f'<th style="{_CELL};opacity:.7">{escape(word)}</th>' for word in header)
        cells.append(f"<thead><tr>{names}</tr></thead>")
    for row in rows:
        first, *rest = row
        line = f'<th style="{_CELL}">{escape(first)}</th>'
        line += "".join(f'<td style="{_CELL}">{escape(word)}</td>' for word in rest)
        cells.append(f"<tr>{line}</tr>")
    return f'<table style="border-collapse:collapse">{"".join(cells)}</table>'
