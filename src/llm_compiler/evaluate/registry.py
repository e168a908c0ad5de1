"""The table of evaluation tasks: one entry each, for the commands that list or run them.

A new task is a `register` call, in a module that an installed package names (`plugins`), or that
the program imports before it runs a command::

    register(TaskEntry(name="toy", help="...", arguments=ToyArguments, make=lambda options: Toy()))

Loads no task; those of the package are imported when they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from llm_compiler.plugins import Table

if TYPE_CHECKING:
    from llm_compiler.evaluate.task import Task

__all__ = ["TaskEntry", "register", "task_entries", "task_named"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEntry:
    """A task as the command line knows it."""

    name: str
    """As the command says it, and the folder in ``evaluate all``."""
    help: str
    """One line."""
    description: str = ""
    arguments: type[Any] = field(repr=False)
    """A dataclass of options (`option_fields`) that extends
    `commands.options.evaluate.TaskArguments`."""
    make: str | Callable[[Any], Task[Any, Any, Any]] = field(repr=False)
    """From the arguments to the task; as text ``module:function``, imported when it is called."""
    until: float = 1.0
    """Of the time of ``evaluate all``, the share by which it is to be done."""

    def task(self, arguments: Any) -> Task[Any, Any, Any]:
        """Return the task with its options.

        Raises:
            ConfigError: they make no sense together.
        """
        if callable(self.make):
            return self.make(arguments)
        module, _, name = self.make.partition(":")
        made: Task[Any, Any, Any] = getattr(import_module(module), name)(arguments)
        return made


_TABLE: Table[TaskEntry] = Table("an evaluation task")
register = _TABLE.register
"""Add a task, so that every command that lists tasks has it."""


def task_entries() -> tuple[TaskEntry, ...]:
    """Return all tasks, the package's own first."""
    return _TABLE.entries()


def task_named(name: str) -> TaskEntry:
    """Return the entry of a name.

    Raises:
        ConfigError: there is none.
    """
    return _TABLE.find(name)
