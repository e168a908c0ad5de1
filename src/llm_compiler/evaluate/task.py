"""The contract of an evaluation task: items, the asking, rows, a summary, headlines.

A task says what it asks about (`items`), asks (`ask`), and computes from the rows alone what they
show (`summary`); `evaluate.runner` keeps the rows of each finished item in a journal, so that a
killed run goes on, and writes the report. A new task is one entry in the table of
`evaluate.registry`. Knows nothing of arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from llm_compiler.evaluate.document import Block, Table
from llm_compiler.evaluate.models import ModelName
from llm_compiler.evaluate.suites import Excluded
from llm_compiler.evaluate.threads import HasKey, ThreadTools, in_threads
from llm_compiler.workers import LocalPool, num_local_processes

if TYPE_CHECKING:
    from llm_compiler.evaluate.run import Run

__all__ = [
    "Facts",
    "HeadLine",
    "Needs",
    "RowTable",
    "Summary",
    "Task",
    "Work",
    "each_in_turn",
    "side_by_side",
]

ItemT = TypeVar("ItemT", bound=HasKey)
RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What is to be opened before a task can say its items."""

    count: int = 0
    """Modules drawn per target, of samples and corpora; 0: all."""
    kind: str = ""
    """Of samples: "function" or "unit", if a folder has any of that kind; empty: all."""
    model: bool = True
    """Whether there is nothing to do without a model."""
    suites: Sequence[Path] | None = None
    """Of those named, the ones that are read as modules; None: all."""
    known: Collection[str] = ()
    """Hashes of modules that are drawn first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Generic[ItemT]):
    """What a run asks about.

    Any beginning of `items` is spread over targets and programs, since time may be short.
    """

    items: Sequence[ItemT] = field(repr=False)
    settings: Mapping[str, Any]
    """What makes the run what it is, as JSON: a run of other settings is another run."""
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a report says beside its figures."""

    command: str
    settings: Mapping[str, Any] = field(repr=False)
    models: tuple[ModelName, ...] = ()
    llvm_version: str
    suites: tuple[str, ...] = ()
    """How modules were chosen, one sentence each."""
    notes: tuple[str, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    started: float = field(default=0.0, repr=False)
    """Of this run, by the monotonic clock."""

    @property
    def seconds(self) -> float:
        """How long it took; of a run that went on after a stop, only since then."""
        return time.monotonic() - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLine:
    """A line of the table on top of ``evaluate all``."""

    target: str
    who: str
    figure: str
    n: int
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTable:
    """A table of rows beside the report; `row` is their dataclass."""

    name: str
    rows: Sequence[Any] = field(repr=False)
    row: type[Any]


class Summary(Protocol):
    """What rows show: figures, the page, and its main table."""

    @property
    def table(self) -> Table:
        """The main table."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is printed above it."""
        ...

    @property
    def tables(self) -> tuple[RowTable, ...]:
        """Further tables of rows."""
        ...

    def page(self) -> tuple[Block, ...]:
        """Return the report's blocks, plots drawn."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values."""
        ...


SummaryT = TypeVar("SummaryT", bound=Summary)


class Task(Generic[ItemT, RowT, SummaryT]):
    """An evaluation task; a frozen value with its options.

    Class attributes:
        name: as options and reports say it.
        row: the dataclass of a row; all fields are texts and numbers.
        noun: what items are, in the plural.
        num_texts: columns of the main table that are text.
    """

    name: ClassVar[str]
    row: ClassVar[type[Any]]
    noun: ClassVar[str] = "items"
    num_texts: ClassVar[int] = 1

    def needs(self) -> Needs:
        """Return what is opened for the task.

        Raises:
            ConfigError, ToolchainNotFound: something is missing; nothing was done until then.
        """
        return Needs()

    def items(self, run: Run) -> Work[ItemT]:
        """Return what is asked about.

        Raises:
            InputError: there is nothing.
        """
        raise NotImplementedError

    def ask(self, items: Sequence[ItemT], run: Run) -> Iterator[tuple[ItemT, list[RowT]]]:
        """Yield each item with its rows, as soon as they are there; none is begun when it is late.

        `each_in_turn` and `side_by_side` are the usual ways.
        """
        raise NotImplementedError

    def asks_again(self, rows: Sequence[RowT]) -> bool:
        """Return whether an item that has these rows is asked about once more."""
        return False

    def summary(self, rows: Sequence[RowT], facts: Facts, run: Run) -> SummaryT:
        """Return what rows show; the same rows give the same summary."""
        raise NotImplementedError

    def headline(self, summary: SummaryT) -> Iterable[HeadLine]:
        """Return the figures that stand on top of ``evaluate all``."""
        return ()


def each_in_turn(items: Iterable[ItemT], run: Run) -> Iterator[ItemT]:
    """Yield items until it is late; the first item in any case, so that there are some rows."""
    for number, item in enumerate(items):
        if run.is_late and (number or run.has_rows):
            return
        yield item


def side_by_side(
    items: Sequence[ItemT], do: Callable[[ItemT, ThreadTools], list[RowT]], run: Run
) -> Iterator[tuple[ItemT, list[RowT]]]:
    """Yield items with their rows, done in as many threads as the run has workers.

    Args:
        do: makes an item's rows; called in threads.
    """
    return in_threads(
        items,
        do,
        num_threads=num_local_processes(run.pool),
        make_pool=lambda: LocalPool(1),
        is_late=lambda begun: run.is_late and (begun or run.has_rows),
    )
