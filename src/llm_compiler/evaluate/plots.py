"""The plots of an evaluation, as PNG. Needs matplotlib (extra ``plot``), imported on use."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_compiler.evaluate.figures import Figure
from llm_compiler.evaluate.flag_tuning.summary import Summary
from llm_compiler.extras import require

__all__ = ["anytime_plot", "bar_plot", "curve_plot", "require_matplotlib", "scatter_plot"]


def require_matplotlib() -> Any:
    """Return matplotlib's `pyplot`, drawing to memory only.

    Raises:
        ToolchainNotFound: it is not installed.
    """
    require("matplotlib", extra="plot").use("Agg")
    return require("matplotlib.pyplot", extra="plot")


def _png(pyplot: Any, figure: Any) -> bytes:
    stream = io.BytesIO()
    figure.tight_layout()
    # Without the version of matplotlib in it, the same figures give the same file.
    figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
    pyplot.close(figure)
    return stream.getvalue()


def anytime_plot(
    summaries: Sequence[Summary], figure_of: Callable[[Summary, str], Figure], title: str
) -> bytes:
    """Draw gains against evaluations, total and geometric mean, with 95 % intervals.

    Args:
        summaries: of all contenders and budgets.
        figure_of: from a summary and "total" or "geomean" to the gain.
    """
    pyplot = require_matplotlib()
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.4), sharey=True)
    by_contender: dict[str, list[Summary]] = {}
    for summary in summaries:
        if summary.contender.startswith("-O"):
            continue  # their best is drawn
        by_contender.setdefault(summary.contender, []).append(summary)
    for axis, mean in zip(axes, ("total", "geomean"), strict=True):
        for number, (name, members) in enumerate(by_contender.items()):
            members = sorted(members, key=lambda member: member.budget)
            figures = [figure_of(member, mean) for member in members]
            budgets = [member.budget for member in members]
            color = f"C{number % 10}"
            values = [100 * each_figure.value for each_figure in figures]
            low, high = (
                [100 * getattr(each_figure, end) for each_figure in figures]
                for end in ("low", "high")
            )
            if len(members) == 1:
                error = [[values[0] - low[0]], [high[0] - values[0]]]
                axis.errorbar(budgets, values, yerr=error, fmt="x", color=color, label=name)
                continue
            axis.plot(budgets, values, marker="o", markersize=4, color=color, label=name)
            axis.fill_between(budgets, low, high, alpha=0.12, color=color)
        axis.set_xscale("log", base=2)
        ticks = sorted(
            {each_summary.budget for found in by_contender.values() for each_summary in found}
        )
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel("evaluations")
        axis.set_title("total" if mean == "total" else "geometric mean")
        axis.grid(alpha=0.3)
        axis.axhline(0, color="black", linewidth=0.8)
    axes[0].set_ylabel("% smaller than -Oz, 95 % interval")
    axes[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return _png(pyplot, figure)


def curve_plot(
    curves: Mapping[str, Sequence[tuple[int, Figure]]], title: str, *, x: str, y: str
) -> bytes:
    """Draw shares against whole numbers, with 95 % intervals.

    Args:
        curves: from names to points (x, share), at least one each.
        x, y: the axes' names; y is in percent.
    """
    pyplot = require_matplotlib()
    figure, axis = pyplot.subplots(figsize=(7.5, 4.4))
    for number, (name, points) in enumerate(curves.items()):
        positions = [place for place, _ in points]
        color = f"C{number % 10}"
        axis.plot(
            positions,
            [100 * each_figure.value for _, each_figure in points],
            marker="o",
            markersize=4,
            color=color,
            label=name,
        )
        low, high = (
            [100 * getattr(each_figure, end) for _, each_figure in points]
            for end in ("low", "high")
        )
        axis.fill_between(positions, low, high, alpha=0.12, color=color)
    axis.set_xticks(sorted({place for points in curves.values() for place, _ in points}))
    axis.set_xlabel(x)
    axis.set_ylabel(f"{y}, 95 % interval")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    axis.set_title(title, fontsize=10)
    return _png(pyplot, figure)


def bar_plot(
    groups: Mapping[str, Mapping[str, Figure]],
    title: str,
    *,
    y: str = "% smaller than -Oz in total",
) -> bytes:
    """Draw each contender's share in each group, with 95 % intervals.

    Args:
        groups: from a group's name to contenders and their figures.
        y: the axis's name.
    """
    pyplot = require_matplotlib()
    contenders = list(dict.fromkeys(name for found in groups.values() for name in found))
    width = 0.8 / max(1, len(contenders))
    figure, axis = pyplot.subplots(figsize=(max(6.5, 1.1 * len(groups) + 3), 4.4))
    for number, name in enumerate(contenders):
        positions, values, errors = [], [], ([], [])  # type: ignore[var-annotated]
        for position, found in enumerate(groups.values()):
            if (each_figure := found.get(name)) is None or each_figure.value != each_figure.value:
                continue
            positions.append(position + (number - (len(contenders) - 1) / 2) * width)
            values.append(100 * each_figure.value)
            # An interval of few modules may lie beside its value by a rounding error.
            errors[0].append(max(0.0, 100 * (each_figure.value - each_figure.low)))
            errors[1].append(max(0.0, 100 * (each_figure.high - each_figure.value)))
        axis.bar(positions, values, width, yerr=errors, capsize=2, label=name, error_kw={"lw": 0.8})
    axis.set_xticks(range(len(groups)), list(groups), rotation=30, ha="right", fontsize=8)
    axis.set_ylabel(y)
    axis.axhline(0, color="black", linewidth=0.8)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(fontsize=8)
    axis.set_title(title, fontsize=10)
    return _png(pyplot, figure)


def scatter_plot(
    groups: Mapping[str, Sequence[tuple[float, float]]], title: str, *, diagonal: bool = True
) -> bytes:
    """Draw points on logarithmic axes.

    Args:
        groups: from names to points (x, y), all above 0.
        diagonal: draw the line on which both are equal.
    """
    pyplot = require_matplotlib()
    figure, axis = pyplot.subplots(figsize=(6.4, 4.8))
    every = [value for points in groups.values() for point in points for value in point]
    for name, points in groups.items():
        if points:
            x, y = zip(*points, strict=True)
            axis.scatter(x, y, s=9, alpha=0.6, label=f"{name} (n={len(points)})")
    if every:
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.legend(fontsize=8)
        if diagonal:
            ends = min(every), max(every)
            axis.plot(ends, ends, color="black", linewidth=0.8)
    axis.grid(alpha=0.3)
    axis.set_title(title, fontsize=10)
    return _png(pyplot, figure)
