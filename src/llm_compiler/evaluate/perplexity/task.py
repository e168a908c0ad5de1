"""Perplexity as a task: IR and assembly of modules, source code and prose, as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llm_compiler.evaluate.perplexity.ask import PerplexityRow, perplexity_row, reader_of
from llm_compiler.evaluate.perplexity.report import PerplexityFigure, perplexity_report
from llm_compiler.evaluate.report import Report
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.samples import SampleItem, SampleTask
from llm_compiler.evaluate.task import Facts, HeadLine, Work
from llm_compiler.model.engines.engine import Engine

__all__ = ["PerplexityTask"]


@dataclass(frozen=True, slots=True)
class PerplexityTask(SampleTask[PerplexityRow, PerplexityFigure]):
    """An item is a sample of the stage pretraining."""

    name: ClassVar[str] = "perplexity"
    stage: ClassVar[str] = "pretraining"
    row: ClassVar[type[PerplexityRow]] = PerplexityRow

    def items(self, run: Run) -> Work[SampleItem]:
        """Draw samples, where all models give the probabilities of a text."""
        for model in run.models:
            reader_of(model.engine)  # or say at once that there is none
        return SampleTask.items(self, run)

    def row_of(self, engine: Engine, item: SampleItem, model: str) -> PerplexityRow:
        """Read a sample."""
        return perplexity_row(engine, item.sample, suite=item.suite, model=model)

    def summary(
        self, rows: Sequence[PerplexityRow], facts: Facts, run: Run
    ) -> Report[PerplexityFigure]:
        """Return bits a byte by model, target and kind of text."""
        return perplexity_report(rows, facts, self.options)

    def headline(self, summary: Report[PerplexityFigure]) -> Iterable[HeadLine]:
        """Yield all of them."""
        for figure in summary.figures:
            value, low, high = figure.to_json()["bits_a_byte"]
            yield HeadLine(
                target=figure.target,
                who=figure.model,
                figure=f"bits a byte, {figure.task}",
                n=figure.n,
                value=f"{value:.3f} [{low:.3f}, {high:.3f}]",
            )
