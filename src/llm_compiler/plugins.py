"""What installed packages add to the tables of objectives, targets, engines and evaluation tasks.

A package names modules in its entry points of the group ``llm_compiler.plugins``; importing one
registers what it brings (docs/extending.md). Only what is installed where Python looks for packages
is found: nothing of the current folder or of an input's is ever imported (`isolation`). The tables
load them by themselves, where all entries are listed or a name is not among the package's own: so
they are there for commands, Python programs, servers and workers, and cost nothing elsewhere.
Knows nothing of what is registered. Safe in threads.
"""

from __future__ import annotations

import threading
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, Protocol, TypeVar

from llm_compiler.errors import ConfigError

__all__ = ["Table", "load_plugins"]

_GROUP = "llm_compiler.plugins"


class _Loader:
    """Loads once in a process; a package that failed fails again, with the same words."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._has_begun = False
        self._failure = ""

    def load(self) -> None:
        # A plug-in that looks something up while it is imported finds the lock its own.
        with self._lock:
            if not self._has_begun:
                self._has_begun = True
                for point in entry_points(group=_GROUP):
                    self._failure = self._failure or _load(point)
        if self._failure:
            raise ConfigError(self._failure)


_LOADER = _Loader()


def load_plugins() -> None:
    """Import, once in a process, the modules that installed packages name.

    Raises:
        ConfigError: one cannot be imported; the sentence names its package.
    """
    _LOADER.load()


def _load(point: EntryPoint) -> str:
    """Import a module, and return what is wrong with it."""
    try:
        point.load()
    except Exception as error:
        return (
            f"the plug-in '{point.name}' of the package {_package(point)} cannot be loaded: "
            f"{type(error).__name__}: {error}; mend it, or remove the package"
        )
    return ""


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Entry = TypeVar("_Entry", bound=_Named)


class Table(Generic[_Entry]):
    """Entries by name, in the order in which they were registered.

    Args:
        what: an entry is, with its article, for messages: ``an engine``.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: dict[str, _Entry] = {}

    def register(self, entry: _Entry) -> _Entry:
        """Add an entry, so that every command that lists them has it.

        Raises:
            ConfigError: another one has its name.
        """
        if self._entries.setdefault(entry.name, entry) is not entry:
            raise ConfigError(f"there is {self._what} '{entry.name}' already")
        return entry

    def entries(self) -> tuple[_Entry, ...]:
        """Return all entries, the package's own first.

        Raises:
            ConfigError: a plug-in cannot be loaded.
        """
        load_plugins()
        return tuple(self._entries.values())

    def find(self, name: str) -> _Entry:
        """Return the entry of a name.

        Raises:
            ConfigError: there is none, or a plug-in cannot be loaded.
        """
        if name not in self._entries:
            load_plugins()
        if name not in self._entries:
            names = ", ".join(self._entries)
            raise ConfigError(f"there is no {self._noun} '{name}': it is one of {names}")
        return self._entries[name]

    @property
    def _noun(self) -> str:
        return self._what.partition(" ")[2]
