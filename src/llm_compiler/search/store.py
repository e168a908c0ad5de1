"""Every measurement ever made, in one SQLite file: searches resume, replay, and share work.

Write-ahead logging, so that several processes may write and a kill -9 loses at most the batch that
was under way. A measurement is keyed by module hash, canonical text of the recipe, LLVM version:
the module holds its own target and flags. Threads take turns.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.closing import Closing
from llm_compiler.errors import ArtifactError, OutputError
from llm_compiler.records import Measurement, PassList, Status

__all__ = ["Store"]

_SCHEMA_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS modules (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL DEFAULT '',
    target_triple TEXT NOT NULL DEFAULT '',
    baseline_size_bytes INTEGER NOT NULL DEFAULT 0,
    baseline_text_data_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS lists (
    id INTEGER PRIMARY KEY,
    pipeline TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS measurements (
    module_id INTEGER NOT NULL REFERENCES modules(id),
    list_id INTEGER NOT NULL REFERENCES lists(id),
    llvm_version TEXT NOT NULL,
    status TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    text_data_bytes INTEGER NOT NULL,
    num_instructions INTEGER NOT NULL,
    result_hash TEXT NOT NULL,
    seconds REAL NOT NULL,
    detail TEXT NOT NULL,
    recorded REAL NOT NULL,
    merged_bytes INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (module_id, list_id, llvm_version)
) WITHOUT ROWID;
"""
_TO_VERSION_2 = "ALTER TABLE measurements ADD COLUMN merged_bytes INTEGER NOT NULL DEFAULT 0"
"""Of what version 1 could measure, a linker merges nothing."""
_MAX_VARIABLES = 500


class Store(Closing):
    """A store of measurements; a context manager.

    Args:
        path: the file; it is made if missing, its folder is not.
        llvm_version: the version that measurements are looked up and recorded for.

    Raises:
        OutputError: the file cannot be made or written.
        ArtifactError: the file is not a store, or one of a newer version of this package.
    """

    def __init__(self, path: Path, *, llvm_version: str) -> None:
        self.path = path
        self.llvm_version = llvm_version
        self._turn = threading.RLock()
        opened = contextlib.ExitStack()
        try:
            if not path.parent.is_dir():
                raise OutputError(
                    f"the store {path} cannot be made: there is no directory {path.parent}"
                )
            self._connection = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            opened.callback(self._connection.close)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _SCHEMA_VERSION:
                raise ArtifactError(
                    f"{path} was written by a newer version of this package (schema {version}): "
                    "update the package or name another store"
                )
            self._connection.executescript(_SCHEMA)
            self._upgrade(self._connection)
            opened.pop_all()
        except sqlite3.DatabaseError as error:
            if "not a database" in str(error) or "malformed" in str(error):
                raise ArtifactError(f"{path} is not a store of measurements: {error}") from error
            raise OutputError(f"the store {path} cannot be opened: {error}") from error
        except OSError as error:
            raise OutputError(f"the store {path} cannot be made: {error.strerror}") from error
        finally:
            opened.close()  # only what failed is still in there
        self._list_ids: dict[str, int] = {}
        self._module_ids: dict[str, int] = {}

    @staticmethod
    def _upgrade(connection: sqlite3.Connection) -> None:
        """Bring a file of an older version up to this one's; another process may be at it."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 1:
                connection.execute(_TO_VERSION_2)
            connection.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            yield from self._in_transaction()

    def _in_transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OutputError(f"the store {self.path} cannot be written: {error}") from error
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise OutputError(f"the store {self.path} cannot be written: {error}") from error
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if type(error) is sqlite3.DatabaseError:
                raise self._damaged(error) from error
            raise

    def _damaged(self, error: sqlite3.DatabaseError) -> ArtifactError:
        return ArtifactError(f"the store {self.path} is damaged: {error}; name another store")

    def _read(self, query: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            with self._turn:
                return self._connection.execute(query, tuple(values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    # -- modules and measurements ----------------------------------------------------------------

    def _module_id(self, connection: sqlite3.Connection, module_hash: str) -> int:
        if module_hash not in self._module_ids:
            connection.execute("INSERT OR IGNORE INTO modules(hash) VALUES (?)", (module_hash,))
            row = connection.execute("SELECT id FROM modules WHERE hash=?", (module_hash,))
            self._module_ids[module_hash] = row.fetchone()[0]
        return self._module_ids[module_hash]

    def _list_id(self, connection: sqlite3.Connection, passes: PassList) -> int:
        pipeline = passes.text
        if pipeline not in self._list_ids:
            connection.execute("INSERT OR IGNORE INTO lists(pipeline) VALUES (?)", (pipeline,))
            row = connection.execute("SELECT id FROM lists WHERE pipeline=?", (pipeline,))
            self._list_ids[pipeline] = row.fetchone()[0]
        return self._list_ids[pipeline]

    def describe(
        self,
        module_hash: str,
        *,
        name: str,
        target_triple: str,
        baseline_size_bytes: int,
        baseline_text_data_bytes: int,
    ) -> None:
        """Record what a module is called and what ``clang -Oz`` makes of it."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE modules SET name=?, target_triple=?, baseline_size_bytes=?, "
                "baseline_text_data_bytes=? WHERE id=?",
                (
                    name,
                    target_triple,
                    baseline_size_bytes,
                    baseline_text_data_bytes,
                    self._module_id(connection, module_hash),
                ),
            )

    def record(self, module_hash: str, found: dict[PassList, Measurement]) -> None:
        """Store measurements of one module, all or none; what is there already stays."""
        now = time.time()
        try:
            with self._transaction() as connection:
                module_id = self._module_id(connection, module_hash)
                connection.executemany(
                    "INSERT OR IGNORE INTO measurements VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
                    [
                        (
                            module_id,
                            self._list_id(connection, passes),
                            self.llvm_version,
                            measurement.status.value,
                            measurement.size_bytes,
                            measurement.text_data_bytes,
                            measurement.num_instructions,
                            measurement.result_hash,
                            measurement.seconds,
                            measurement.detail,
                            now,
                            measurement.merged_bytes,
                        )
                        for passes, measurement in found.items()
                    ],
                )
        except BaseException:
            # Ids made in a transaction that was rolled back are not there.
            self._list_ids.clear()
            self._module_ids.clear()
            raise

    def lookup(self, module_hash: str, lists: Sequence[PassList]) -> dict[PassList, Measurement]:
        """Return what is known of given lists on a module."""
        found: dict[PassList, Measurement] = {}
        by_text = {passes.text: passes for passes in lists}
        texts = list(by_text)
        for start in range(0, len(texts), _MAX_VARIABLES):
            part = texts[start : start + _MAX_VARIABLES]
            marks = ",".join("?" * len(part))
            rows = self._read(
                "SELECT pipeline, status, size_bytes, text_data_bytes, num_instructions, "
                "result_hash, seconds, detail, merged_bytes FROM measurements "
                "JOIN lists ON lists.id=list_id JOIN modules ON modules.id=module_id "
                f"WHERE hash=? AND llvm_version=? AND pipeline IN ({marks})",
                (module_hash, self.llvm_version, *part),
            )
            for pipeline, *values in rows:
                found[by_text[pipeline]] = _measurement(values)
        return found

    def all_measurements(self, module_hash: str) -> dict[str, Measurement]:
        """Return all measurements of one module by pipeline text, in the order recorded."""
        rows = self._read(
            "SELECT pipeline, status, size_bytes, text_data_bytes, num_instructions, result_hash, "
            "seconds, detail, merged_bytes FROM measurements JOIN lists ON lists.id=list_id "
            "JOIN modules ON modules.id=module_id WHERE hash=? AND llvm_version=? "
            "ORDER BY recorded, list_id",
            (module_hash, self.llvm_version),
        )
        return {pipeline: _measurement(values) for pipeline, *values in rows}

    def modules(self) -> list[tuple[str, str, str, int, int]]:
        """Return (hash, name, target triple, baseline size, baseline text + data) of each."""
        rows = self._read(
            "SELECT hash, name, target_triple, baseline_size_bytes, baseline_text_data_bytes "
            "FROM modules ORDER BY id"
        )
        return [tuple(row) for row in rows]

    def num_measurements(self) -> int:
        """Return how many measurements there are, over all modules and versions."""
        return int(self._read("SELECT COUNT(*) FROM measurements")[0][0])


def _measurement(values: Sequence[object]) -> Measurement:
    status, size, text_data, instructions, result_hash, seconds, detail, merged = values
    return Measurement(
        status=Status(str(status)),
        size_bytes=int(str(size)),
        text_data_bytes=int(str(text_data)),
        num_instructions=int(str(instructions)),
        merged_bytes=int(str(merged)),
        result_hash=str(result_hash),
        seconds=float(str(seconds)),
        detail=str(detail),
    )
