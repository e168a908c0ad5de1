"""What a search makes small: one entry in one table for each objective.

Options, reports, stores and labels derive from the entry; a new objective is a `register` call::

    register(Objective(name="cold", title="...", unit="bytes", of=lambda found: ...))

Knows nothing of how something is measured. Safe in threads and processes; entries made with
`lambda` cannot be pickled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from llm_compiler.plugins import Table

__all__ = [
    "FLASH",
    "INSTRUCTIONS",
    "SIZE",
    "TEXT_DATA",
    "Measured",
    "Objective",
    "object_objectives",
    "objective_named",
    "objectives",
    "register",
]


class Measured(Protocol):
    """What an objective is a number of: a measurement in process, or an object that clang made."""

    @property
    def size_bytes(self) -> int:
        """All allocated sections that take space in the file."""
        ...

    @property
    def text_data_bytes(self) -> int:
        """.text* + .data*."""
        ...

    @property
    def flash_bytes(self) -> int:
        """What a linker map of firmware counts in flash."""
        ...

    @property
    def num_instructions(self) -> int:
        """IR instructions after the passes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A number that is to be small (docs/decisions/0021).

    Whatever it is, an object that is larger in all than clang -Oz's own is never handed out.
    """

    name: str
    """As options, JSON and stores say it."""
    title: str
    """For reports and help."""
    unit: str
    of: Callable[[Measured], int] = field(repr=False, compare=False)
    column: str = ""
    """The field that tables of labels and of evaluations hold it in; empty: they do not."""
    of_object: bool = True
    """Whether the object alone tells it; else the module after the passes must be looked at."""

    def __str__(self) -> str:
        return self.name

    def rank(self, found: Measured) -> tuple[int, int]:
        """Return what is compared: the number, and among equals all bytes."""
        return self.of(found), found.size_bytes

    def beats(self, found: Measured, other: Measured) -> bool:
        """Whether one is better than the other by this objective."""
        return self.rank(found) < self.rank(other)


def _by_field(
    name: str, title: str, unit: str, column: str, *, of_object: bool = True
) -> Objective:
    getter = attrgetter(column)
    return Objective(
        name=name,
        title=title,
        unit=unit,
        of=getter,
        column=column if of_object else "",
        of_object=of_object,
    )


SIZE = _by_field(
    "size",
    "all allocated bytes of the object that take space in the file",
    "bytes",
    "size_bytes",
)
TEXT_DATA = _by_field("text-data", ".text + .data", "bytes", "text_data_bytes")
"""The paper's metric."""
FLASH = Objective(
    name="flash",
    title="what a linker map of firmware counts in flash: code, constants, initial values",
    unit="bytes",
    of=attrgetter("flash_bytes"),
)
"""All bytes but those that every linker takes away: unwind entries that it merges on Arm, what it
shortens calls by on RISC-V. Of other targets the same as `SIZE`."""
INSTRUCTIONS = _by_field(
    "instructions",
    "IR instructions after the passes",
    "instructions",
    "num_instructions",
    of_object=False,
)

_TABLE: Table[Objective] = Table("an objective")
register = _TABLE.register
"""Add an objective, so that every command that lists them has it."""
for _objective in (SIZE, TEXT_DATA, FLASH, INSTRUCTIONS):
    register(_objective)


def objectives() -> tuple[Objective, ...]:
    """Return all objectives, the default first."""
    return _TABLE.entries()


def object_objectives() -> Iterator[Objective]:
    """Yield the objectives that tables of labels and evaluations have a column for."""
    return (objective for objective in objectives() if objective.column)


def objective_named(name: str | Objective) -> Objective:
    """Return the entry of a name.

    Raises:
        ConfigError: there is none.
    """
    return name if isinstance(name, Objective) else _TABLE.find(name)
