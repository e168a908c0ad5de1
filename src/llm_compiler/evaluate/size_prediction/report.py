"""The report of size prediction, made of its rows alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_compiler.evaluate.document import Image, Table
from llm_compiler.evaluate.figures import Figure, mean_of
from llm_compiler.evaluate.plots import scatter_plot
from llm_compiler.evaluate.report import Report, short_name
from llm_compiler.evaluate.samples import SampleOptions, sample_report
from llm_compiler.evaluate.size_prediction.ask import SizeRow
from llm_compiler.evaluate.task import Facts
from llm_compiler.llvm.targets import architecture_of

__all__ = ["SizeFigure", "size_report"]

_SIZES = {
    "size": "size_bytes",
    "text-data": "text_data_bytes",
    "instructions": "num_instructions",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeFigure:
    """How far statements of one number are from the real number; NaN: none was stated."""

    target: str
    model: str
    """Or ``no change``: the number before the list."""
    metric: str
    num_asked: int
    num_answered: int
    error: Figure
    """Mean absolute error, relative to the real value."""
    median_error: float
    exact: float
    within_5_percent: float

    def to_json(self) -> dict[str, Any]:
        """Return the figure as plain values."""
        return {
            "target": self.target,
            "model": self.model,
            "metric": self.metric,
            "num_asked": self.num_asked,
            "num_answered": self.num_answered,
            "mape": self.error.to_json(),
            "median_error": _rounded(self.median_error),
            "exact": _rounded(self.exact),
            "within_5_percent": _rounded(self.within_5_percent),
        }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def size_report(
    rows: Sequence[SizeRow], facts: Facts, options: SampleOptions
) -> Report[SizeFigure]:
    """Return the report of size prediction.

    The yardstick "no change" states what was before the pass list.
    """
    import numpy

    seed = options.seed
    lines: list[tuple[str, ...]] = []
    figures: list[SizeFigure] = []
    targets = ["all", *sorted({_architecture(row) for row in rows})]
    models = list(dict.fromkeys(row.model for row in rows))
    for target in targets if len(targets) > 2 else targets[:1]:
        for model in models:
            own = [r for r in rows if r.model == model and target in ("all", _architecture(r))]
            for metric, column in _SIZES.items():
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
                        SizeFigure(
                            target=target,
                            model=who,
                            metric=metric,
                            num_asked=len(asked),
                            num_answered=len(stated),
                            error=mape,
                            median_error=median,
                            exact=exact,
                            within_5_percent=near,
                        )
                    )
                    lines.append(
                        (
                            target,
                            short_name(who),
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
        short_name(model): [
            (r.size_bytes_after, r.size_bytes_predicted)
            for r in rows
            if r.model == model and r.size_bytes_predicted > 0
        ]
        for model in models
    }
    image = scatter_plot(points, "predicted against real object size, bytes")
    seconds = sum(row.seconds for row in rows) / max(1, len(rows))
    return sample_report(
        "Size prediction",
        facts,
        options,
        [
            f"{len({(r.suite, r.index) for r in rows})} samples: a module of the corpus, a pass "
            "list drawn as for emulation, and the model's statement of instruction count and sizes "
            "after it, before any code.",
            "Errors are absolute, relative to the real value (their mean is MAPE). What a model "
            "does not answer (its prompt exceeds the context) is counted, not measured. 'no "
            "change' states what was before.",
            f"{seconds:.2f} s a prediction.",
            *(f"Suite {suite}." for suite in facts.suites),
            *facts.notes,
        ],
        figures,
        table,
        Image("sizes.png", "Predicted and real sizes", image),
    )


def _architecture(row: SizeRow) -> str:
    return architecture_of(row.target_triple)
