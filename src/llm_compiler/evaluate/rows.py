"""The rows of an evaluation, from which every figure is made.

Kept twice: while a run is under way, module by module in a journal (a killed run goes on from it);
at its end as ``rows.parquet``. Knows nothing of LLVM.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from llm_compiler.closing import Closing
from llm_compiler.errors import ConfigError, OutputError, ShardCorrupt
from llm_compiler.output import take_lock
from llm_compiler.parquet import read_table, require_pyarrow, write_table

__all__ = ["Journal", "locked", "read_rows", "write_rows"]


def locked(folder: Path) -> IO[str]:
    """Hold a report's folder for one run, until what is returned is closed.

    Raises:
        ConfigError: another run holds it.
        OutputError: the folder cannot be made.
    """
    busy = ConfigError(
        f"another evaluation is writing to {folder}: wait for it, or name another folder "
        "with --report"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return take_lock(folder / ".lock", busy)
    except OSError as error:
        raise OutputError(f"cannot write the report folder {folder}: {error.strerror}") from error


_R = TypeVar("_R")


class Journal(Closing, Generic[_R]):
    """The finished modules of a run, one line each, kept beside the report.

    Args:
        kind: the dataclass that rows are of.
        settings: what makes the run what it is; a journal of other settings is not continued.

    Raises:
        ConfigError: the folder holds the journal of another evaluation.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any], kind: type[_R]) -> None:
        self.path = path
        self._kind = kind
        self._found: dict[str, list[_R]] = {}
        self._rounds: dict[str, int] = {}
        # As it comes back from JSON, so that tuples and lists compare equal.
        settings = json.loads(json.dumps(settings))
        try:
            lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        except OSError as error:
            raise OutputError(f"{path} cannot be read: {error.strerror}") from error
        if lines:
            self._read(lines, settings)
        try:
            self._stream = path.open("ab")
            if lines and not lines[-1].endswith(b"\n"):
                self._stream.write(b"\n")
            if not lines:
                self._write({"settings": settings})
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error

    def _read(self, lines: Sequence[bytes], settings: dict[str, Any]) -> None:
        try:
            before = json.loads(lines[0])["settings"]
        except (ValueError, KeyError, TypeError):
            before = None
        if before != settings:
            different = [
                key
                for key in settings
                if not isinstance(before, dict) or before.get(key) != settings[key]
            ]
            raise ConfigError(
                f"{self.path.parent} holds another evaluation (other {', '.join(different)}): name "
                "another folder with --report, or remove its journal.jsonl"
            )
        for line in lines[1:]:
            try:
                kept = json.loads(line)
                rows = [self._kind(**row) for row in kept["rows"]]
                number = int(kept.get("round", 0))
            except (ValueError, KeyError, TypeError):
                continue  # torn by a kill: the module is done again
            self._found[kept["key"]] = rows
            self._rounds[kept["key"]] = number

    def rows(self, key: str) -> list[_R] | None:
        """Return a finished module's rows; None if it is still to be done."""
        return self._found.get(key)

    def round(self, key: str) -> int:
        """Return how many times a module was asked about again."""
        return self._rounds.get(key, 0)

    def add(self, key: str, rows: Sequence[_R], *, round: int = 0) -> None:
        """Keep a finished module, on the disk; what it had before counts no more.

        Args:
            round: how many times it was asked about before.
        """
        self._found[key] = list(rows)
        self._rounds[key] = round
        line: dict[str, Any] = {"key": key, "rows": [_values(row) for row in rows]}
        try:
            self._write(line | ({"round": round} if round else {}))
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error

    def _write(self, value: dict[str, Any]) -> None:
        # One write a line: a kill leaves at most one torn line, which is left out.
        self._stream.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _values(row: Any) -> dict[str, Any]:
    return asdict(row)


def write_rows(rows: Iterable[_R], path: Path, settings: dict[str, Any], kind: type[_R]) -> None:
    """Write the table of rows, atomically; the settings stand in its metadata.

    Raises:
        OutputError: with the system's reason.
    """
    pyarrow, _ = require_pyarrow()
    types = {"int": pyarrow.int64(), "float": pyarrow.float64(), "str": pyarrow.string()}
    schema = pyarrow.schema(
        [
            (field.name, types[getattr(field.type, "__name__", str(field.type))])
            for field in _fields(kind)
        ],
        metadata={"settings": json.dumps(settings)},
    )
    write_table(pyarrow.Table.from_pylist([_values(row) for row in rows], schema=schema), path)


def _fields(kind: Any) -> tuple[Any, ...]:
    return fields(kind)


def read_rows(path: Path, kind: type[_R]) -> list[_R]:
    """Read a table of rows.

    Raises:
        ShardCorrupt: the file is missing, damaged, or no table of rows.
    """
    names = [field.name for field in _fields(kind)]
    try:
        return [kind(**row) for row in read_table(path, names).to_pylist()]
    except TypeError as error:
        raise ShardCorrupt(f"{path} is not a table of rows: {error}") from error
