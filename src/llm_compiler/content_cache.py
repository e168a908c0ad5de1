"""What was made before, by content: an SQLite index and one file for each entry.

A key holds all that matters to an entry, so that an entry never grows old; the least recently used
go where there is no room. Files are written whole before the index names them, and hold their own
checksum: a killed writer leaves at most a file that nobody names, a damaged or missing file is no
entry. Several processes may write; threads take turns. It does not know what entries mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.closing import Closing

__all__ = ["CacheStatistics", "ContentCache"]

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    key TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    used REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_use ON entries (used);
CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
"""
_LOW_WATER = 0.8
"""Of the room, what is left after making some."""
_STRAY_S = 3600.0
"""A file that is being written is younger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """How a cache is doing."""

    folder: str
    num_entries: int
    bytes: int
    hits: int
    misses: int


class ContentCache(Closing):
    """A cache in a folder, which is made if it is missing.

    Nothing here raises: what cannot be read is a miss, what cannot be written is not kept.

    Args:
        folder: the cache's own.
        magic: how its files begin; those that begin otherwise are no entries.
    """

    def __init__(self, folder: Path, magic: bytes) -> None:
        self._folder, self._magic = folder, magic
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get_bytes(self, key: str) -> bytes | None:
        """Return what is known under a key: hexadecimal digits, three or more."""
        found: bytes | None = None
        with contextlib.suppress(OSError):
            found = self._unsealed(self._file(key).read_bytes())
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            index = self._index()
            if found is not None:
                index.execute("UPDATE entries SET used=? WHERE key=?", (time.time(), key))
            name = "misses" if found is None else "hits"
            index.execute(
                "INSERT INTO counters VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
                (name,),
            )
        return found

    def put_bytes(self, key: str, body: bytes, *, room_bytes: int) -> None:
        """Keep an entry, and let others go until all fit into the room."""
        sealed = self.sealed(body)
        path = self._file(key)
        new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_bytes(sealed)
            os.replace(new, path)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            return
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            index = self._index()
            index.execute(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, len(sealed), time.time())
            )
            self._make_room(index, room_bytes)

    def sealed(self, body: bytes) -> bytes:
        """Return an entry as its file holds it."""
        check = hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        return self._magic + check + b"\n" + body

    def _unsealed(self, sealed: bytes) -> bytes | None:
        if not sealed.startswith(self._magic):
            return None
        check, _, body = sealed.removeprefix(self._magic).partition(b"\n")
        own = hashlib.blake2b(body, digest_size=16).hexdigest().encode()
        return body if own == check else None

    def statistics(self) -> CacheStatistics:
        """Return how the cache is doing; zeros where it cannot be read."""
        rows: dict[str, int] = {}
        count = total = 0
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            index = self._index()
            count, total = index.execute(
                "SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM entries"
            ).fetchone()
            rows = dict(index.execute("SELECT name, count FROM counters"))
        return CacheStatistics(
            folder=str(self._folder),
            num_entries=count,
            bytes=total,
            hits=rows.get("hits", 0),
            misses=rows.get("misses", 0),
        )

    def clear(self) -> None:
        """Forget all entries."""
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            self._index().execute("DELETE FROM entries")
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                path.unlink()

    def close(self) -> None:
        """Close the index; closing twice does nothing, and a later call opens it again."""
        with self._turn:
            self._forget_index()

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / key[2:]

    def _index(self) -> sqlite3.Connection:
        """Return the index, anew where its file was removed or damaged."""
        path = self._folder / "index.db"
        if self._connection is not None and path.exists():
            return self._connection
        self._forget_index()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            return self._opened(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # locked, or no room: the file may be fine
            for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                name.unlink(missing_ok=True)
            return self._opened(path)

    def _opened(self, path: Path) -> sqlite3.Connection:
        made = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            made.execute("PRAGMA journal_mode=WAL")
            made.execute("PRAGMA synchronous=OFF")
            (version,) = made.execute("PRAGMA user_version").fetchone()
            if version > _SCHEMA_VERSION:
                raise sqlite3.OperationalError("a newer version's index")
            made.executescript(_SCHEMA)
            made.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
            known = made.execute("SELECT COUNT(*) FROM entries").fetchone()[0]
        except BaseException:
            made.close()
            raise
        self._connection = made
        if not known:
            self._adopt(made)
        return made

    def _adopt(self, index: sqlite3.Connection) -> None:
        """Name the files that a lost index had named, and remove what killed writers left."""
        rows = []
        for path in self._folder.glob("??/*"):
            try:
                found = path.stat()
                if path.name.startswith("."):
                    if time.time() - found.st_mtime > _STRAY_S:
                        path.unlink()
                    continue
            except OSError:
                continue
            rows.append((path.parent.name + path.name, found.st_size, found.st_mtime))
        index.executemany("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", rows)

    def _make_room(self, index: sqlite3.Connection, room_bytes: int) -> None:
        (total,) = index.execute("SELECT COALESCE(SUM(bytes), 0) FROM entries").fetchone()
        if total <= room_bytes:
            return
        for key, size in index.execute("SELECT key, bytes FROM entries ORDER BY used").fetchall():
            with contextlib.suppress(OSError):
                self._file(key).unlink()
            index.execute("DELETE FROM entries WHERE key=?", (key,))
            total -= size
            if total <= room_bytes * _LOW_WATER:
                return

    def _forget_index(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
