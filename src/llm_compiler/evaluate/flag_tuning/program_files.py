"""What a suite says of its programs: how they are linked and run.

A suite of sources says in ``programs.toml`` at its top how its programs are run::

    [[programs]]
    name = "sha"
    sources = ["network/sha/*.c"]         # below the suite's folder
    link_flags = ["-lm"]                   # libraries, after the objects
    files = ["network/sha/input.asc"]      # copied to where the program runs
    timeout_s = 20
    [[programs.runs]]
    arguments = ["input.asc"]
    stdin = "network/sha/input.asc"        # a file of the suite
    outputs = ["result.txt"]               # files that it writes, compared too
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.config_file import read_tables, read_toml, read_value
from llm_compiler.errors import ConfigError

__all__ = ["PROGRAMS_FILE", "Program", "Run", "load_programs"]

PROGRAMS_FILE = "programs.toml"
_DEFAULT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One way to call a program; paths are absolute, output files are names in its folder."""

    arguments: tuple[str, ...] = ()
    stdin: Path | None = None
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program of a suite, and how it is called."""

    name: str
    sources: tuple[Path, ...]
    link_flags: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    runs: tuple[Run, ...]
    timeout_s: float = _DEFAULT_TIMEOUT_S


def load_programs(path: Path, root: Path) -> list[Program]:
    """Read a file of programs, whose paths are below the suite's folder `root`.

    Raises:
        ConfigError: it cannot be read, or says what makes no sense, with the place.
    """
    data = read_toml(path)
    entries = read_tables(data, "programs", str(path))
    if not entries or set(data) != {"programs"}:
        raise ConfigError(f"{path} must hold tables [[programs]] and nothing else")
    found = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}, program {number}"
        found.append(_resolved(read_value(_ProgramTable, entry, where), root, where))
    names = [program.name for program in found]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"{path} has two programs '{repeated[0]}'")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunTable:
    """A run as the file says it: files are globs below the suite's folder."""

    arguments: tuple[str, ...] = ()
    stdin: str = ""
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProgramTable:
    """A program as the file says it."""

    name: str
    sources: tuple[str, ...]
    link_flags: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    runs: tuple[_RunTable, ...] = (_RunTable(),)
    timeout_s: float = _DEFAULT_TIMEOUT_S

    def __post_init__(self) -> None:
        if not self.name or not self.sources:
            raise ConfigError("it needs 'name' and 'sources'")
        if not 0 < self.timeout_s < 1e6:
            raise ConfigError("'timeout_s' must be a number above 0")


def _resolved(table: _ProgramTable, root: Path, where: str) -> Program:
    runs = []
    for run in table.runs:
        stdin = _files((run.stdin,) if run.stdin else (), root, f"{where}: stdin")
        runs.append(
            Run(
                arguments=run.arguments,
                stdin=stdin[0] if stdin else None,
                outputs=run.outputs,
            )
        )
    return Program(
        name=table.name,
        sources=_files(table.sources, root, f"{where}: sources"),
        link_flags=table.link_flags,
        files=_files(table.files, root, f"{where}: files"),
        runs=tuple(runs),
        timeout_s=float(table.timeout_s),
    )


def _files(patterns: Sequence[str], root: Path, where: str) -> tuple[Path, ...]:
    found: list[Path] = []
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
            raise ConfigError(f"{where}: '{pattern}' must lie below the suite's folder")
        matches = sorted(path for path in root.glob(pattern) if path.is_file())
        if not matches:
            raise ConfigError(f"{where}: '{pattern}' is no file of the suite")
        found += matches
    return tuple(dict.fromkeys(found))
