"""Disassembly as a task: lift the functions of suites, and say what each answer is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from llm_compiler.evaluate.disassembly.ask import AskedModel, lift_rows
from llm_compiler.evaluate.disassembly.items import LiftItem, lift_items
from llm_compiler.evaluate.disassembly.options import LiftOptions
from llm_compiler.evaluate.disassembly.report import LiftFigure, lifting_report
from llm_compiler.evaluate.disassembly.rows import LiftRow
from llm_compiler.evaluate.report import Report, share_text
from llm_compiler.evaluate.run import Run
from llm_compiler.evaluate.task import Facts, HeadLine, Needs, Task, Work, side_by_side
from llm_compiler.evaluate.text_distance import require_sacrebleu
from llm_compiler.evaluate.threads import ThreadTools
from llm_compiler.records import content_hash
from llm_compiler.verify.lifted import LiftVerdict

__all__ = ["DisassemblyTask"]


@dataclass(frozen=True, slots=True)
class DisassemblyTask(Task[LiftItem, LiftRow, Report[LiftFigure]]):
    """An item is one function at one level."""

    options: LiftOptions
    name: ClassVar[str] = "disassembly"
    row: ClassVar[type[LiftRow]] = LiftRow
    noun: ClassVar[str] = "functions"

    def needs(self) -> Needs:
        """Return samples of functions, and models."""
        require_sacrebleu()
        return Needs(count=self.options.functions, kind="function")

    def items(self, run: Run) -> Work[LiftItem]:
        """Compile the modules and draw functions."""
        folder = run.scratch / "assembly"
        folder.mkdir()
        items, failed = lift_items(run.modules, self.options, run.pool, folder)
        keys = "\n".join(sorted(item.key for item in items))
        return Work(
            items=items,
            settings={
                **run.settings,
                **self.options.to_json(),
                "items": content_hash(keys.encode()),
            },
            excluded=tuple(failed),
        )

    def ask(self, items: Sequence[LiftItem], run: Run) -> Iterator[tuple[LiftItem, list[LiftRow]]]:
        """Lift functions, several side by side."""
        models = [(model.row_name, AskedModel(model.engine, run.fits)) for model in run.models]

        def do(item: LiftItem, tools: ThreadTools) -> list[LiftRow]:
            return list(lift_rows(item, self.options, models, run.toolchain, tools))

        return side_by_side(items, do, run)

    def asks_again(self, rows: Sequence[LiftRow]) -> bool:
        """Whether the best answer of some contender falls short of what a retry is for."""
        if not self.options.retry:
            return False
        best: dict[str, LiftVerdict] = {}
        for row in rows:
            verdict = LiftVerdict(row.verdict)
            best[row.model] = min(best.get(row.model, verdict), verdict, key=lambda it: it.rank)
        if self.options.retry == "inexact":
            return any(verdict is not LiftVerdict.EXACT for verdict in best.values())
        return not all(verdict.is_accepted for verdict in best.values())

    def summary(self, rows: Sequence[LiftRow], facts: Facts, run: Run) -> Report[LiftFigure]:
        """Return shares by answers, target, level and length."""
        return lifting_report(rows, facts, self.options)

    def headline(self, summary: Report[LiftFigure]) -> Iterable[HeadLine]:
        """Yield three shares per target, model and number of answers."""
        for lift_figure in summary.figures:
            if lift_figure.group != "target":
                continue
            found = lift_figure.summary
            for figure, said in (
                (found.exact, "exact"),
                (found.accepted, "at least tests_passed"),
                (found.lowers, "lowers"),
            ):
                yield HeadLine(
                    target=lift_figure.name,
                    who=found.model,
                    figure=f"{said}, K = {found.candidates}",
                    n=found.n,
                    value=share_text(figure),
                )
