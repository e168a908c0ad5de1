"""What is known of pass lists: the user's own verdicts first, then those shipped in the package.

Keyed by the canonical text of a recipe, LLVM major version and architecture. The user's are in an
SQLite file that several processes may write; the shipped ones in ``data/verdicts.jsonl``, read on
the first look-up. Threads must take turns.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib import resources
from pathlib import Path

from llm_compiler.closing import Closing
from llm_compiler.errors import ArtifactError, InputError, OutputError
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.records import PassList, Verdict, VerdictKind
from llm_compiler.user_folders import data_folder

__all__ = ["VerdictBook", "read_verdicts", "write_verdicts"]

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS verdicts (
    pipeline TEXT NOT NULL,
    llvm_major INTEGER NOT NULL,
    architecture TEXT NOT NULL,
    kind TEXT NOT NULL,
    program TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    num_programs INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (pipeline, llvm_major, architecture)
) WITHOUT ROWID
"""
_COLUMNS = "pipeline, llvm_major, architecture, kind, program, reason, num_programs"
_Key = tuple[str, int, str]


def _key(verdict: Verdict) -> _Key:
    return verdict.passes.text, verdict.llvm_major, verdict.architecture


def _to_document(verdict: Verdict) -> dict[str, object]:
    return {
        "pipeline": verdict.passes.text,
        "llvm_major": verdict.llvm_major,
        "architecture": verdict.architecture,
        "kind": verdict.kind.value,
        "program": verdict.program,
        "reason": verdict.reason,
        "num_programs": verdict.num_programs,
    }


def _from_document(document: dict[str, object]) -> Verdict:
    passes = parse_recipe(str(document["pipeline"]))
    if passes.text != document["pipeline"]:
        raise ValueError(f"its recipe is not canonical: '{document['pipeline']}'")
    return Verdict(
        kind=VerdictKind(str(document["kind"])),
        passes=passes,
        llvm_major=int(str(document["llvm_major"])),
        architecture=str(document["architecture"]),
        program=str(document["program"]),
        reason=str(document["reason"]),
        num_programs=int(str(document["num_programs"])),
    )


def write_verdicts(verdicts: Iterable[Verdict]) -> str:
    """Return verdicts as JSON lines, one for each list, version and architecture, sorted."""
    by_key = {_key(verdict): verdict for verdict in verdicts}
    lines = [json.dumps(_to_document(by_key[key])) for key in sorted(by_key)]
    return "".join(line + "\n" for line in lines)


def read_verdicts(text: str, name: str) -> Iterator[Verdict]:
    """Yield the verdicts of JSON lines; `name` is for messages.

    Raises:
        ArtifactError: a line is no verdict.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield _from_document(json.loads(line))
        except (ValueError, KeyError, TypeError, InputError) as error:
            raise ArtifactError(f"{name}:{number} is not a verdict: {error}") from error


class VerdictBook(Closing):
    """Looks verdicts up and keeps new ones; a context manager.

    Args:
        path: the user's own file; default: in the user's data folder. It is made on the first
            `record`; a missing or unreadable one is an empty one to `lookup`.
        shipped: JSON lines that stand after it; default: those of the package.
    """

    def __init__(self, path: Path | None = None, *, shipped: str | None = None) -> None:
        self.path = path or data_folder() / "verdicts.db"
        self._shipped_text = shipped
        self._connection: sqlite3.Connection | None = None

    @cached_property
    def _shipped(self) -> dict[_Key, Verdict]:
        text = self._shipped_text
        if text is None:
            file = resources.files("llm_compiler") / "data" / "verdicts.jsonl"
            text = file.read_text() if file.is_file() else ""
        return {_key(verdict): verdict for verdict in read_verdicts(text, "verdicts.jsonl")}

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(
                    self.path, timeout=60, isolation_level=None, check_same_thread=False
                )
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version > _SCHEMA_VERSION:
                    raise ArtifactError(
                        f"{self.path} was written by a newer version of this package: update it "
                        "or move the file away"
                    )
                connection.execute(_SCHEMA)
                connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
            except sqlite3.OperationalError as error:
                raise OutputError(f"the verdicts {self.path} cannot be opened: {error}") from error
            except sqlite3.DatabaseError as error:
                raise ArtifactError(f"{self.path} is no file of verdicts: {error}") from error
            except OSError as error:
                raise OutputError(
                    f"the verdicts {self.path} cannot be made: {error.strerror}"
                ) from error
            self._connection = connection
        return self._connection

    def lookup(self, passes: PassList, llvm_major: int, architecture: str) -> Verdict | None:
        """Return what is known of a list; None where nothing is.

        Raises:
            ArtifactError: the user's file is damaged.
        """
        key = passes.text, llvm_major, architecture
        if self._connection is not None or self.path.exists():
            row = (
                self._open()
                .execute(
                    f"SELECT {_COLUMNS} FROM verdicts "
                    "WHERE pipeline=? AND llvm_major=? AND architecture=?",
                    key,
                )
                .fetchone()
            )
            if row is not None:
                return _from_row(row)
        return self._shipped.get(key)

    def record(self, *verdicts: Verdict) -> None:
        """Keep verdicts; a newer one takes an older one's place. UNCHECKED ones are not kept.

        Raises:
            OutputError: the file cannot be written.
        """
        rows = [
            (*_key(v), v.kind.value, v.program, v.reason, v.num_programs)
            for v in verdicts
            if v.kind is not VerdictKind.UNCHECKED
        ]
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                f"INSERT OR REPLACE INTO verdicts ({_COLUMNS}) VALUES (?,?,?,?,?,?,?)", rows
            )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise OutputError(f"the verdicts {self.path} cannot be written: {error}") from error

    def shipped(self, llvm_major: int, architecture: str) -> tuple[Verdict, ...]:
        """Return the shipped verdicts for one version and architecture."""
        return tuple(
            verdict
            for (_, major, name), verdict in self._shipped.items()
            if (major, name) == (llvm_major, architecture)
        )

    def own(self) -> tuple[Verdict, ...]:
        """Return the user's own verdicts, sorted by key."""
        if self._connection is None and not self.path.exists():
            return ()
        rows = self._open().execute(f"SELECT {_COLUMNS} FROM verdicts ORDER BY 1, 2, 3")
        return tuple(map(_from_row, rows))

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _from_row(row: tuple[str, int, str, str, str, str, int]) -> Verdict:
    pipeline, llvm_major, architecture, kind, program, reason, num_programs = row
    return Verdict(
        kind=VerdictKind(kind),
        passes=parse_recipe(pipeline),
        llvm_major=llvm_major,
        architecture=architecture,
        program=program,
        reason=reason,
        num_programs=num_programs,
    )
