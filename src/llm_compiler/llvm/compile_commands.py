"""``compile_commands.json``: how a build compiles each of its files.

Reads the format that CMake, Meson, Ninja and Bear write (clang's "JSON Compilation Database"). Runs
nothing.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import InputError

__all__ = ["COMPILE_COMMANDS", "CompileCommand", "read_compile_commands"]

COMPILE_COMMANDS = "compile_commands.json"
_LAUNCHERS = ("ccache", "sccache", "distcc", "icecc")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCommand:
    """One compilation."""

    directory: Path
    """Absolute: where the compiler is started."""
    source: str
    """As the command names it: relative to the directory, or absolute."""
    flags: tuple[str, ...]
    """All arguments but the compiler and the source."""

    @property
    def path(self) -> Path:
        """The source's absolute path."""
        return Path(os.path.normpath(self.directory / self.source))


def read_compile_commands(path: Path) -> list[CompileCommand]:
    """Return the compilations of a database, in its order, each once.

    Raises:
        InputError: it cannot be read, or is no compile database.
    """
    found: dict[CompileCommand, None] = {}
    try:
        entries = json.loads(path.read_text("utf-8", "surrogateescape"))
        if not isinstance(entries, list):
            raise ValueError("it is not a list")
        for entry in entries:
            folder = Path(os.path.abspath(path.parent / entry["directory"]))
            arguments = list(entry.get("arguments") or shlex.split(entry["command"]))
            while arguments and os.path.basename(arguments[0]) in _LAUNCHERS:
                del arguments[0]
            source = str(entry["file"])
            target = os.path.normpath(folder / source)
            flags = tuple(
                argument for argument in arguments[1:] if not _names(argument, target, folder)
            )
            found[CompileCommand(directory=folder, source=source, flags=flags)] = None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a compile database: {error!r}") from error
    return list(found)


def _names(argument: str, source: str, folder: Path) -> bool:
    if argument.startswith("-"):
        return argument == "--"
    return os.path.normpath(folder / argument) == source
