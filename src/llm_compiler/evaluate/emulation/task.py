"""Emulation as a task: what models say a pass list makes of a module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llm_compiler.dataset.engine import safe_elements
from llm_compiler.evaluate.emulation.ask import (
    EmulationItem,
    EmulationOptions,
    EmulationRow,
    ask_model,
    emulation_items,
)
from llm_compiler.evaluate.emulation.report import EmulationFigure, emulation_report
from llm_compiler.evaluate.report import Report, share_text
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.task import Facts, HeadLine, Needs, Task, Work, side_by_side
from llm_compiler.evaluate.text_distance import require_sacrebleu
from llm_compiler.evaluate.threads import ThreadTools
from llm_compiler.model.engines.shared import SharedEngine
from llm_compiler.records import content_hash

__all__ = ["EmulationTask"]


@dataclass(frozen=True, slots=True)
class EmulationTask(Task[EmulationItem, EmulationRow, Report[EmulationFigure]]):
    """An item is a module, a kind of list and a kind of code."""

    options: EmulationOptions
    name: ClassVar[str] = "emulation"
    row: ClassVar[type[EmulationRow]] = EmulationRow
    noun: ClassVar[str] = "questions"
    num_texts: ClassVar[int] = 4

    def needs(self) -> Needs:
        """Return modules, and models."""
        require_sacrebleu()
        return Needs(count=self.options.modules)

    def items(self, run: Run) -> Work[EmulationItem]:
        """Draw modules, and ask for each kind of list and code."""
        items = emulation_items(run.modules, self.options)
        keys = "\n".join(sorted(item.key for item in items))
        return Work(
            items=items,
            settings={
                **run.settings,
                **self.options.to_json(),
                "items": content_hash(keys.encode()),
                "space": content_hash("\n".join(safe_elements(run.pool)).encode()),
            },
        )

    def ask(
        self, items: Sequence[EmulationItem], run: Run
    ) -> Iterator[tuple[EmulationItem, list[EmulationRow]]]:
        """Ask every model, several questions side by side."""
        space = safe_elements(run.pool)
        models = [(model.row_name, SharedEngine(model.engine)) for model in run.models]

        def do(item: EmulationItem, tools: ThreadTools) -> list[EmulationRow]:
            return [
                ask_model(item, self.options, name, engine, space, tools) for name, engine in models
            ]

        return side_by_side(items, do, run)

    def summary(
        self, rows: Sequence[EmulationRow], facts: Facts, run: Run
    ) -> Report[EmulationFigure]:
        """Return shares by code, target and kind of list."""
        return emulation_report(rows, facts, self.options)

    def headline(self, summary: Report[EmulationFigure]) -> Iterable[HeadLine]:
        """Yield two shares per target, code and model."""
        for emulation_figure in summary.figures:
            if emulation_figure.lists != "all lists" or emulation_figure.target == "all":
                continue
            found = emulation_figure.summary
            for figure, said in ((found.exact, "exact"), (found.same_code, "same code")):
                yield HeadLine(
                    target=emulation_figure.target,
                    who=found.model,
                    figure=f"{said}, {emulation_figure.code}",
                    n=found.n,
                    value=share_text(figure),
                )
