"""A report as one page that needs nothing else: a treemap to walk through, and tables.

Plotly draws, and its script is part of the page.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence

from llm_compiler.errors import ConfigError
from llm_compiler.size_report.build import KINDS, Sizes, changes
from llm_compiler.size_report.explained import PARTS, Explained
from llm_compiler.size_report.journal import Record

__all__ = ["page"]

_MAX_ROWS = 40
_MAX_LEAVES = 4000
_MAX_BARS = 30
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #8884; text-align: left; }
td.number, th.number { text-align: right; white-space: nowrap; }
td { overflow-wrap: anywhere; }
"""


def page(
    sizes: Sizes,
    against: Sizes | None,
    journal: Sequence[Record],
    explained: Sequence[Explained] = (),
) -> str:
    """Return the page.

    Args:
        explained: what saved what, the inputs that saved most first.

    Raises:
        ConfigError: Plotly is not installed.
    """
    title = f"{sizes.name}: {sizes.size_bytes} bytes"
    if against is not None:
        title += f", {against.name}: {against.size_bytes}"
    parts = [
        "<!doctype html><meta charset='utf-8'>",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
        _treemap(sizes, against),
    ]
    if explained:
        parts += ["<h2>What saved what</h2>", _stacked_bars(explained)]
    for what in ("binary", *KINDS):
        parts.append(_section(what, sizes, against))
    if journal:
        rows: list[tuple[str, ...]] = [
            (
                record.source or record.output,
                str(record.baseline_bytes),
                str(record.optimized_bytes),
                str(record.baseline_bytes - record.optimized_bytes),
                record.recipe or "clang's object stands",
            )
            for record in sorted(
                journal,
                key=lambda each_record: each_record.optimized_bytes - each_record.baseline_bytes,
            )
        ]
        header = ("unit", "clang", "llm-cc", "saved", "recipe")
        parts += ["<h2>What each unit saved</h2>", _table(header, rows)]
    return "\n".join(parts) + "\n"


def _section(what: str, sizes: Sizes, against: Sizes | None) -> str:
    after = sizes.by(what)
    if against is None:
        listed = sorted(after.items(), key=lambda key: (-key[1], key[0]))[:_MAX_ROWS]
        rows: list[tuple[str, ...]] = [(name, str(count)) for name, count in listed]
        header: tuple[str, ...] = (what, "bytes")
    else:
        found = changes(against.by(what), after)[:_MAX_ROWS]
        rows = [(o.name, str(o.before), str(o.after), f"{o.difference:+d}") for o in found]
        header = (what, "before", "after", "difference")
    return f"<h2>By {what}</h2>\n{_table(header, rows)}" if rows else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def cell(tag: str, text: str, index: int) -> str:
        is_number = 0 < index < 4
        kind = " class='number'" if is_number else ""
        return f"<{tag}{kind}>{html.escape(text)}</{tag}>"

    lines = ["".join(cell("th", text, i) for i, text in enumerate(header))]
    lines += ["".join(cell("td", text, i) for i, text in enumerate(row)) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _treemap(sizes: Sizes, against: Sizes | None) -> str:
    try:
        import plotly.graph_objects as graph
    except ImportError as error:
        raise ConfigError("the page needs Plotly: pip install 'llm-compiler[report]'") from error
    values = _leaves(sizes)
    before = _leaves(against) if against is not None else Counter[tuple[str, ...]]()
    largest = dict(values.most_common(_MAX_LEAVES))
    totals: Counter[tuple[str, ...]] = Counter()
    earlier: Counter[tuple[str, ...]] = Counter()
    for path, count in values.items():
        # What is too small to be seen is one leaf of its file.
        shown = path if path in largest else (*path[:-1], "(smaller symbols)")
        for depth in range(len(shown) + 1):
            totals[shown[:depth]] += count
            earlier[shown[:depth]] += before.get(path, 0)
    paths = sorted(totals)
    figure = graph.Figure(
        graph.Treemap(
            ids=["\0".join(path) or "all" for path in paths],
            labels=[html.escape(path[-1]) if path else html.escape(sizes.name) for path in paths],
            parents=[("\0".join(path[:-1]) or "all") if path else "" for path in paths],
            values=[totals[path] for path in paths],
            customdata=[[earlier[path], totals[path] - earlier[path]] for path in paths],
            branchvalues="total",
            maxdepth=4,
            hovertemplate="%{label}<br>%{value} bytes"
            + ("<br>before: %{customdata[0]} (%{customdata[1]:+d})" if against else "")
            + "<extra></extra>",
            marker={
                "colors": [totals[path] - earlier[path] for path in paths],
                "colorscale": [[0, "#2a9d55"], [0.5, "#dddddd"], [1, "#c0392b"]],
                "cmid": 0,
            }
            if against
            else {},
        )
    )
    figure.update_layout(margin={"t": 20, "l": 0, "r": 0, "b": 0}, height=640)
    drawn: str = figure.to_html(full_html=False, include_plotlyjs=True)
    return drawn


def _stacked_bars(explained: Sequence[Explained]) -> str:
    """Return a bar for all inputs and one for each, of what kind of element saved the bytes."""
    import plotly.graph_objects as graph

    rest = explained[_MAX_BARS:]
    bars = [(f"all {len(explained)}", explained)] if len(explained) > 1 else []
    bars += [(row.input, [row]) for row in explained[:_MAX_BARS]]
    if rest:
        bars.append((f"{len(rest)} more", rest))
    bars.reverse()  # the first bar is drawn at the bottom
    figure = graph.Figure(
        [
            graph.Bar(
                name=name,
                orientation="h",
                y=[html.escape(label) for label, _ in bars],
                x=[sum(row.parts.get(part, 0) for row in rows) for _, rows in bars],
                hovertemplate="%{y}<br>" + name + ": %{x} bytes<extra></extra>",
            )
            for part, name in PARTS.items()
        ]
    )
    figure.update_layout(
        barmode="stack",
        margin={"t": 40, "l": 0, "r": 0, "b": 0},
        height=140 + 24 * len(bars),
        xaxis_title="bytes saved over clang -Oz",
        legend={"orientation": "h", "traceorder": "normal", "yanchor": "bottom", "y": 1.02},
    )
    figure.update_yaxes(automargin=True, type="category")
    drawn: str = figure.to_html(full_html=False, include_plotlyjs=False)
    return drawn


def _leaves(sizes: Sizes) -> Counter[tuple[str, ...]]:
    """Return bytes by binary, section, file and symbol."""
    found: Counter[tuple[str, ...]] = Counter()
    for file in sizes.files:
        for piece in file.pieces:
            found[file.name, piece.section, piece.file, piece.symbol] += piece.size_bytes
    return found
