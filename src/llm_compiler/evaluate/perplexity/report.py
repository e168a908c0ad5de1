"""The report of perplexity, made of its rows alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_compiler.evaluate.document import Image, Table
from llm_compiler.evaluate.figures import Figure, bootstrap
from llm_compiler.evaluate.perplexity.ask import PerplexityRow
from llm_compiler.evaluate.plots import scatter_plot
from llm_compiler.evaluate.report import Report, short_name
from llm_compiler.evaluate.samples import SampleOptions, sample_report
from llm_compiler.evaluate.task import Facts
from llm_compiler.llvm.targets import architecture_of

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    FloatArray = NDArray[numpy.float64]
    IntArray = NDArray[numpy.int64]

__all__ = ["PerplexityFigure", "perplexity_report"]

_TEXTS = ("code", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerplexityFigure:
    """How probable texts of one kind are to a model."""

    model: str
    target: str
    task: str
    n: int
    num_bytes: int
    num_tokens: int
    bits_per_byte: Figure
    perplexity_per_token: Figure

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return {
            "model": self.model,
            "target": self.target,
            "task": self.task,
            "n": self.n,
            "num_bytes": self.num_bytes,
            "num_tokens": self.num_tokens,
            "bits_a_byte": _rounded(self.bits_per_byte),
            "perplexity_a_token": _rounded(self.perplexity_per_token),
        }


def _rounded(figure: Figure) -> list[float]:
    return [round(number, 6) for number in (figure.value, figure.low, figure.high)]


def perplexity_report(
    rows: Sequence[PerplexityRow], facts: Facts, options: SampleOptions
) -> Report[PerplexityFigure]:
    """Return the report of perplexity."""
    import numpy

    seed = options.seed
    lines: list[tuple[str, ...]] = []
    figures: list[PerplexityFigure] = []
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
        bits = [number / math.log(2) for number in nats_a_byte]
        perplexity = [math.exp(min(number, 700.0)) for number in nats_a_token]
        figures.append(
            PerplexityFigure(
                model=model,
                target=target,
                task=task,
                n=len(own),
                num_bytes=sum(r.num_bytes for r in own),
                num_tokens=sum(r.num_tokens for r in own),
                bits_per_byte=Figure(value=bits[0], low=bits[1], high=bits[2]),
                perplexity_per_token=Figure(
                    value=perplexity[0], low=perplexity[1], high=perplexity[2]
                ),
            )
        )
        lines.append(
            (
                short_name(model),
                target or "—",
                task,
                str(len(own)),
                f"{bits[0]:.4f} [{bits[1]:.4f}, {bits[2]:.4f}]",
                f"{perplexity[0]:.3f} [{perplexity[1]:.3f}, {perplexity[2]:.3f}]",
                f"{values[:, 1].sum() / values[:, 2].sum():.2f}",
            )
        )
    header = (
        "model",
        "target",
        "code",
        "n",
        "bits per byte",
        "perplexity per token",
        "bytes per token",
    )
    table = Table(header, tuple(lines), left=3)
    points = {
        f"{short_name(model)}, {task}": [
            (r.num_bytes, r.nats / math.log(2) / r.num_bytes)
            for r in rows
            if (r.model, r.task) == (model, task) and r.nats > 0
        ]
        for model, _, task in sorted(cells)
    }
    image = scatter_plot(points, "bits per byte against bytes of text", diagonal=False)
    return sample_report(
        "Perplexity",
        facts,
        options,
        [
            f"{len({(r.suite, r.index, r.task in _TEXTS) for r in rows})} texts: IR or assembly of "
            "modules of the corpus at one of the optimisation levels, as in pretraining; source "
            "code ('code') and prose ('text') of its packages where --texts names them.",
            "Bits per byte compare models with different tokenizers; perplexity per token does "
            "not. A text that exceeds the context is read in pieces.",
        ],
        figures,
        table,
        Image("texts.png", "Bits per byte by length", image),
    )


def _architecture(row: PerplexityRow) -> str:
    return architecture_of(row.target_triple)
