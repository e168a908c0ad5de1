"""What was made before, by content: an SQLite index and one file an object.

A key holds all that matters to an object (`driver.key_of`), so that an entry never grows old; the
least recently used go where there is no room. Files are written whole before the index names them,
and hold their own checksum: a killed writer leaves at most a file that nobody names, a damaged or
missing file is no entry. Several processes may write; threads take turns.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llm_compiler.closing import Closing

__all__ = ["Cache", "CacheStatistics", "Entry"]

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
_MAGIC = b"llm-cc entry 2\n"
_LOW_WATER = 0.8
"""Of the room, what is left after making some."""
_STRAY_S = 3600.0
"""A file that is being written is younger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object or assembly, and what the journal says of it."""

    data: bytes = field(repr=False)
    side: bytes = field(default=b"", repr=False)
    """Of a second file beside the object."""
    side_path: str = ""
    """Its name, as clang gives it in the folder of the call; empty: there is none."""
    baseline_bytes: int
    """Of clang's own object."""
    optimized_bytes: int
    recipe: str
    """Its canonical text; empty where clang's object stands."""
    proposer: str
    quiet: bool
    """Whether clang printed nothing, so that it need not run again."""

    def packed(self) -> bytes:
        """Return the entry as its file holds it."""
        facts = asdict(self)
        del facts["data"], facts["side"]
        facts["data_bytes"] = len(self.data)
        body = json.dumps(facts, sort_keys=True).encode() + b"\n" + self.data + self.side
        return _MAGIC + hashlib.blake2b(body, digest_size=16).hexdigest().encode() + b"\n" + body

    @classmethod
    def unpacked(cls, packed: bytes) -> Entry | None:
        """Return the entry of a file; None where it is damaged."""
        try:
            check, body = packed.removeprefix(_MAGIC).split(b"\n", 1)
            if not packed.startswith(_MAGIC):
                return None
            if hashlib.blake2b(body, digest_size=16).hexdigest().encode() != check:
                return None
            head, rest = body.split(b"\n", 1)
            facts = json.loads(head)
            size = facts.pop("data_bytes")
            return cls(data=rest[:size], side=rest[size:], **facts)
        except (ValueError, TypeError, KeyError):
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatistics:
    """How a cache is doing."""

    folder: str
    num_entries: int
    bytes: int
    hits: int
    misses: int


class Cache(Closing):
    """A cache in a folder, which is made if it is missing.

    Nothing here raises: what cannot be read is a miss, what cannot be written is not kept.

    Args:
        folder: the cache's own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def get(self, key: str) -> Entry | None:
        """Return what is known under a key."""
        found: Entry | None = None
        with contextlib.suppress(OSError):
            found = Entry.unpacked(self._file(key).read_bytes())
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

    def put(self, key: str, entry: Entry, *, room_bytes: int) -> None:
        """Keep an entry, and let others go until all fit into the room."""
        packed = entry.packed()
        path = self._file(key)
        new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new.write_bytes(packed)
            os.replace(new, path)
        except OSError:
            with contextlib.suppress(OSError):
                new.unlink()
            return
        with self._turn, contextlib.suppress(sqlite3.Error, OSError):
            index = self._index()
            index.execute(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (key, len(packed), time.time())
            )
            self._make_room(index, room_bytes)

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
