"""What every unit of a build saved: ``llm-cc`` writes a line of JSON each, reports read them."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

__all__ = ["Journal", "Record", "read_journal"]

_MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What became of one unit."""

    folder: str
    source: str
    output: str
    """Absolute."""
    level: str
    effort: str
    baseline_bytes: int
    """Of clang's own object; 0 where that is not known."""
    optimized_bytes: int
    recipe: str
    proposer: str
    is_hit: bool
    seconds: float
    detail: str = ""


class Journal:
    """Appends records; nothing here raises, since a build does not stop for its journal.

    Args:
        path: where records go that no variable sends elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, record: Record, path: Path | None = None) -> None:
        """Append a record, in one write, so that several processes may."""
        line = json.dumps({"time": round(time.time(), 3), **asdict(record)}) + "\n"
        path = path or self._path
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileNotFoundError):
                if path == self._path and path.stat().st_size > _MAX_BYTES:
                    path.replace(path.with_name(path.name + ".old"))
            path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, line.encode("utf-8", "backslashreplace"))
            finally:
                os.close(fd)


def read_journal(path: Path, below: Path) -> list[Record]:
    """Return the last record of each output that lies in a folder; damaged lines are left out.

    Raises:
        OSError: the journal cannot be read.
    """
    names = {field.name for field in fields(Record)}
    found: dict[str, Record] = {}
    prefix = str(below.resolve()) + os.sep
    with path.open("r", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                facts = json.loads(line)
                record = Record(**{key: facts[key] for key in names if key in facts})
                output = os.path.normpath(record.output)
            except (ValueError, TypeError):
                continue
            if output.startswith(prefix) and record.baseline_bytes:
                found[output] = record
    return list(found.values())
