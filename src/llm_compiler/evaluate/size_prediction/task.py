"""Size prediction as a task: sizes after pass lists that are drawn as training draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llm_compiler.evaluate.report import Report, share_text
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.samples import SampleItem, SampleTask
from llm_compiler.evaluate.size_prediction.ask import SizeRow, size_row
from llm_compiler.evaluate.size_prediction.report import SizeFigure, size_report
from llm_compiler.evaluate.task import Facts, HeadLine
from llm_compiler.model.engines.engine import Engine

__all__ = ["SizePredictionTask"]


@dataclass(frozen=True, slots=True)
class SizePredictionTask(SampleTask[SizeRow, SizeFigure]):
    """An item is a sample of the stage emulation."""

    name: ClassVar[str] = "size-prediction"
    stage: ClassVar[str] = "emulation"
    row: ClassVar[type[SizeRow]] = SizeRow

    def row_of(self, engine: Engine, item: SampleItem, model: str) -> SizeRow:
        """Ask for the sizes of a sample."""
        return size_row(engine, item.sample, suite=item.suite, model=model)

    def summary(self, rows: Sequence[SizeRow], facts: Facts, run: Run) -> Report[SizeFigure]:
        """Return errors by target, model and number."""
        return size_report(rows, facts, self.options)

    def headline(self, summary: Report[SizeFigure]) -> Iterable[HeadLine]:
        """Yield the error of the size per target and model."""
        for figure in summary.figures:
            if figure.metric == "size":
                yield HeadLine(
                    target=figure.target,
                    who=figure.model,
                    figure="mean absolute error of the size",
                    n=figure.num_answered,
                    value=share_text(figure.error),
                )
