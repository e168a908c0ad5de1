"""What the reports of tasks have in common: facts, figures as JSON, numbers as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from llm_compiler.evaluate.document import Block, Heading, Table
from llm_compiler.evaluate.figures import Figure
from llm_compiler.evaluate.suites import Excluded
from llm_compiler.evaluate.task import Facts, RowTable

__all__ = [
    "HasJson",
    "Report",
    "decimal_text",
    "facts_of",
    "not_measured",
    "share_text",
    "short_name",
]


class HasJson(Protocol):
    """A figure."""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        ...


FigureT = TypeVar("FigureT", bound=HasJson)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Generic[FigureT]):
    """The summary of most tasks: a list of figures of one kind, and the page about them."""

    facts: Facts
    figures: tuple[FigureT, ...]
    blocks: tuple[Block, ...] = field(repr=False)
    table: Table
    names_suites: bool = True
    """Whether suites and what was left out stand in the JSON by themselves."""
    notes: tuple[str, ...] = ()
    tables: tuple[RowTable, ...] = ()

    def page(self) -> tuple[Block, ...]:
        """Return the blocks."""
        return self.blocks

    def to_json(self) -> dict[str, Any]:
        """Return what ``report.json`` holds."""
        facts = self.facts
        suites = {"suites": list(facts.suites)} if self.names_suites else {}
        excluded = {
            "excluded": [
                {
                    "suite": each_excluded.suite,
                    "name": each_excluded.name,
                    "cause": each_excluded.cause,
                }
                for each_excluded in facts.excluded
            ]
        }
        return {
            "command": facts.command,
            "settings": dict(facts.settings),
            **suites,
            "notes": list(facts.notes),
            **(excluded if self.names_suites else {}),
            "figures": [figure.to_json() for figure in self.figures],
        }


def facts_of(facts: Facts) -> list[str]:
    """Return the sentences on LLVM, suites, notes and models."""
    return [
        f"LLVM {facts.llvm_version}.",
        *(f"Suite {suite}." for suite in facts.suites),
        *facts.notes,
        *(model.described(number) for number, model in enumerate(facts.models, 1)),
    ]


def not_measured(excluded: Sequence[Excluded]) -> list[Block]:
    """Return the table of what was left out, if anything was."""
    causes = tuple(
        (each_excluded.suite, each_excluded.name, each_excluded.cause) for each_excluded in excluded
    )
    if not causes:
        return []
    return [Heading("Not measured"), Table(("suite", "unit", "cause"), causes, left=3)]


def share_text(figure: Figure) -> str:
    """Return ``3.41 % [2.90, 4.02]`` of what a report's JSON holds."""
    if math.isnan(figure.value):
        return "—"
    value, low, high = (round(number, 6) for number in (figure.value, figure.low, figure.high))
    return f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def decimal_text(figure: Figure) -> str:
    """Return ``0.341 [0.290, 0.402]``."""
    if math.isnan(figure.value):
        return "—"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"


def short_name(model: str) -> str:
    """Return a model's name, its beginning cut where it is long."""
    return model if len(model) < 40 else "..." + model[-36:]
