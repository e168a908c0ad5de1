"""The reports of size-prediction and perplexity, made of their rows alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_compiler.evaluate.document import (
    Block,
    Heading,
    Image,
    Items,
    Paragraph,
    Table,
    to_html,
    to_markdown,
)
from llm_compiler.evaluate.language import PerplexityRow, SizeRow
from llm_compiler.evaluate.plots import scatter_plot
from llm_compiler.evaluate.rows import write_rows
from llm_compiler.evaluate.statistics import bootstrap, mean_of
from llm_compiler.output import write_atomically

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    FloatArray = NDArray[numpy.float64]
    IntArray = NDArray[numpy.int64]

__all__ = ["LanguageReport", "perplexity_report", "size_report", "write_language_report"]

_SIZES = {
    "size": ("size_bytes", "all allocated bytes"),
    "text-data": ("text_data_bytes", ".text + .data"),
    "instructions": ("num_instructions", "IR instructions"),
}
_TEXTS = ("code", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageReport:
    """Figures as JSON, and the blocks of the page."""

    told: dict[str, Any]
    blocks: tuple[Block, ...]
    table: Table
    rows: Sequence[Any] = field(repr=False)
    kind: type[Any] = SizeRow
    """The dataclass of the rows."""


def _head(title: str, settings: dict[str, Any], command: str, facts: Sequence[str]) -> list[Block]:
    models = [
        f"Model {number}: {one['model']} ({one['engine']} engine, weights "
        f"{one.get('weights', 'unknown')})."
        for number, one in enumerate(settings["models"], 1)
    ]
    shared = [
        f"LLVM {settings['llvm_version']}; split '{settings['split']}', seed {settings['seed']}; "
        "intervals are 95 %, bootstrap over samples.",
        *models,
    ]
    return [Heading(title, 1), Paragraph(f"`{command}`"), Items((*facts, *shared))]


def size_report(
    rows: Sequence[SizeRow], settings: dict[str, Any], command: str, *, notes: Sequence[str] = ()
) -> LanguageReport:
    """Return the report of size-prediction.

    The yardstick "no change" states what was before the pass list.
    """
    import numpy

    seed = int(settings["seed"])
    lines: list[tuple[str, ...]] = []
    figures: list[dict[str, Any]] = []
    targets = ["all", *sorted({_architecture(row) for row in rows})]
    models = list(dict.fromkeys(row.model for row in rows))
    for target in targets if len(targets) > 2 else targets[:1]:
        for model in models:
            own = [r for r in rows if r.model == model and target in ("all", _architecture(r))]
            for metric, (column, _) in _SIZES.items():
                for who in (model, "no change") if model == models[-1] else (model,):
                    suffix = "predicted" if who == model else "before"
                    pairs = numpy.array(
                        [
                            (getattr(r, f"{column}_{suffix}"), getattr(r, f"{column}_after"))
                            for r in own
                        ],
                        dtype=numpy.float64,
                    ).reshape(-1, 2)
                    asked = pairs[pairs[:, 1] > 0]
                    stated = asked[asked[:, 0] >= 0]
                    errors = numpy.abs(stated[:, 0] - stated[:, 1]) / stated[:, 1]
                    exact = float((errors == 0).mean()) if len(errors) else math.nan
                    near = float((errors <= 0.05).mean()) if len(errors) else math.nan
                    mape = mean_of(errors.tolist(), seed)
                    median = float(numpy.median(errors)) if len(errors) else math.nan
                    figures.append(
                        {
                            "target": target,
                            "model": who,
                            "metric": metric,
                            "num_asked": len(asked),
                            "num_answered": len(stated),
                            "mape": mape.to_json(),
                            "median_error": None if math.isnan(median) else round(median, 6),
                            "exact": None if math.isnan(exact) else round(exact, 6),
                            "within_5_percent": None if math.isnan(near) else round(near, 6),
                        }
                    )
                    lines.append(
                        (
                            target,
                            _short(who),
                            metric,
                            f"{len(stated)} of {len(asked)}",
                            mape.text(),
                            "—" if math.isnan(median) else f"{100 * median:.1f} %",
                            "—" if math.isnan(exact) else f"{100 * exact:.1f} %",
                            "—" if math.isnan(near) else f"{100 * near:.1f} %",
                        )
                    )
    header = (
        "target",
        "model",
        "of what",
        "answered",
        "mean absolute error",
        "median",
        "exact",
        "within 5 %",
    )
    table = Table(header, tuple(lines), left=3)
    points = {
        _short(model): [
            (r.size_bytes_after, r.size_bytes_predicted)
            for r in rows
            if r.model == model and r.size_bytes_predicted > 0
        ]
        for model in models
    }
    image = scatter_plot(points, "predicted against real object size, bytes")
    seconds = sum(row.seconds for row in rows) / max(1, len(rows))
    blocks = _head(
        "Size prediction",
        settings,
        command,
        [
            f"{len({(r.suite, r.index) for r in rows})} samples: a module of the corpus, a pass "
            "list drawn as for emulation, and the model's statement of instruction count and sizes "
            "behind it, before any code.",
            "Errors are absolute, relative to the real value (their mean is MAPE). What a model "
            "does not answer (its prompt exceeds the context) is counted, not measured. 'no "
            "change' states what was before.",
            f"{seconds:.2f} s a prediction.",
            *notes,
        ],
    )
    told = {
        "command": command,
        "settings": settings,
        "notes": list(notes),
        "figures": figures,
    }
    return LanguageReport(
        told=told,
        blocks=(*blocks, table, Image("sizes.png", "Predicted and real sizes", image), _TRACE),
        table=table,
        rows=rows,
    )


def perplexity_report(
    rows: Sequence[PerplexityRow],
    settings: dict[str, Any],
    command: str,
    *,
    notes: Sequence[str] = (),
) -> LanguageReport:
    """Return the report of perplexity."""
    import numpy

    seed = int(settings["seed"])
    lines: list[tuple[str, ...]] = []
    figures: list[dict[str, Any]] = []
    cells: dict[tuple[str, str, str], list[PerplexityRow]] = {}
    for row in rows:
        cells.setdefault((row.model, _architecture(row), row.task), []).append(row)
    for (model, target, task), own in sorted(cells.items()):
        values = numpy.array([(r.nats, r.num_bytes, r.num_tokens) for r in own])

        def rate(column: int, values: FloatArray = values) -> Callable[[IntArray], FloatArray]:
            def measure(drawn: IntArray) -> FloatArray:
                found: FloatArray = values[drawn, 0].sum(1) / values[drawn, column].sum(1)
                return found

            return measure

        nats_a_byte = bootstrap(len(own), rate(1), seed)
        nats_a_token = bootstrap(len(own), rate(2), seed)
        bits = [one / math.log(2) for one in nats_a_byte]
        perplexity = [math.exp(min(one, 700.0)) for one in nats_a_token]
        figures.append(
            {
                "model": model,
                "target": target,
                "task": task,
                "n": len(own),
                "num_bytes": sum(r.num_bytes for r in own),
                "num_tokens": sum(r.num_tokens for r in own),
                "bits_a_byte": [round(one, 6) for one in bits],
                "perplexity_a_token": [round(one, 6) for one in perplexity],
            }
        )
        lines.append(
            (
                _short(model),
                target or "—",
                task,
                str(len(own)),
                f"{bits[0]:.4f} [{bits[1]:.4f}, {bits[2]:.4f}]",
                f"{perplexity[0]:.3f} [{perplexity[1]:.3f}, {perplexity[2]:.3f}]",
                f"{values[:, 1].sum() / values[:, 2].sum():.2f}",
            )
        )
    header = ("model", "target", "code", "n", "bits a byte", "perplexity a token", "bytes a token")
    table = Table(header, tuple(lines), left=3)
    points = {
        f"{_short(model)}, {task}": [
            (r.num_bytes, r.nats / math.log(2) / r.num_bytes)
            for r in rows
            if (r.model, r.task) == (model, task) and r.nats > 0
        ]
        for model, _, task in sorted(cells)
    }
    image = scatter_plot(points, "bits a byte against bytes of text", diagonal=False)
    blocks = _head(
        "Perplexity",
        settings,
        command,
        [
            f"{len({(r.suite, r.index, r.task in _TEXTS) for r in rows})} texts: IR or assembly of "
            "modules of the corpus at one of the optimisation levels, as in pretraining; source "
            "code ('code') and prose ('text') of its packages where --texts names them.",
            "Bits a byte compare models with different tokenizers; perplexity a token does not. "
            "A text that exceeds the context is read in pieces.",
        ],
    )
    told = {
        "command": command,
        "settings": settings,
        "notes": list(notes),
        "figures": figures,
    }
    return LanguageReport(
        told=told,
        blocks=(*blocks, table, Image("texts.png", "Bits a byte by length", image), _TRACE),
        table=table,
        rows=rows,
        kind=PerplexityRow,
    )


_TRACE = Paragraph(
    "Each row of `rows.parquet` is one sample and model; `llm-compiler dataset show` makes the "
    "sample again from seed and index."
)


def _architecture(row: SizeRow | PerplexityRow) -> str:
    return row.target_triple.split("-", 1)[0]


def _short(model: str) -> str:
    return model if len(model) < 40 else "..." + model[-36:]


def write_language_report(report: LanguageReport, folder: Path) -> list[Path]:
    """Write the report's files and return their paths.

    Raises:
        OutputError: the folder cannot be written.
    """
    files = {
        "report.md": to_markdown(report.blocks).encode(),
        "report.html": to_html(report.blocks).encode(),
        "report.json": (json.dumps(report.told, indent=1) + "\n").encode(),
    }
    files |= {one.name: one.data for one in report.blocks if isinstance(one, Image)}
    for name, data in files.items():
        write_atomically(folder / name, data)
    write_rows(report.rows, folder / "rows.parquet", report.told["settings"], report.kind)
    return [folder / "rows.parquet", *(folder / name for name in files)]
