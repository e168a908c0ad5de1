"""Results on disk, by content, and one small file for each job: what a restart must not lose.

Files are written whole or not at all, and read back only if they are what was written. Results
used longest ago go first where there is no room. One service owns a folder (a lock holds that).
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.output import TEMPORARY_PREFIX, take_lock, write_atomically

__all__ = ["ResultStore"]

_MAX_JOB_FILES: Final = 20_000
_NAME: Final = re.compile(r"[0-9a-zA-Z_-]{16,128}")


class ResultStore:
    """The folder of a service.

    Raises:
        ConfigError: another service uses it.
        OutputError: it cannot be made.
    """

    def __init__(self, folder: Path, *, limit_bytes: int) -> None:
        self._results, self._jobs = folder / "results", folder / "jobs"
        self._limit_bytes = limit_bytes
        try:
            for each_path in (folder, self._results, self._jobs):
                each_path.mkdir(parents=True, exist_ok=True, mode=0o700)
            busy = ConfigError(f"another service keeps its results in {folder}")
            self._lock = take_lock(folder / "lock", busy)
        except OSError as error:
            raise OutputError(f"cannot make {folder}: {error.strerror}") from error
        self._sizes: dict[str, int] = {}
        files = [item for item in self._results.iterdir() if item.is_file()]
        for path in sorted(files, key=lambda file: file.stat().st_mtime):
            if path.name.startswith(TEMPORARY_PREFIX):
                path.unlink(missing_ok=True)  # of a service that was killed
            else:
                self._sizes[path.name.removesuffix(".json.gz")] = path.stat().st_size
        self._clean()

    @property
    def num_bytes(self) -> int:
        """What the results take on disk."""
        return sum(self._sizes.values())

    def result(self, key: str) -> dict[str, Any] | None:
        """Return a result by its content's key; None: not there, or damaged."""
        path = self._path(key)
        try:
            found = json.loads(gzip.decompress(path.read_bytes()))
        except (OSError, ValueError, EOFError):
            self._sizes.pop(key, None)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        if key in self._sizes:
            self._sizes[key] = self._sizes.pop(key)  # the last is the one used last
        return found if isinstance(found, dict) else None

    def keep(self, key: str, result: dict[str, Any]) -> None:
        """Keep a result.

        Raises:
            OutputError: the disk is full, or read-only.
        """
        data = gzip.compress(json.dumps(result).encode(), compresslevel=5, mtime=0)
        write_atomically(self._path(key), data)
        self._sizes.pop(key, None)
        self._sizes[key] = len(data)
        self._clean()

    def job(self, name: str) -> dict[str, Any] | None:
        """Return what is written of a job; None: there is no such job."""
        if not _NAME.fullmatch(name):
            return None
        try:
            found = json.loads((self._jobs / f"{name}.json").read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def note_job(self, name: str, record: dict[str, Any]) -> None:
        """Write what is known of a job.

        Raises:
            OutputError: the disk is full, or read-only.
        """
        write_atomically(self._jobs / f"{name}.json", json.dumps(record).encode())

    def close(self) -> None:
        """Let another service have the folder."""
        self._lock.close()

    def _path(self, key: str) -> Path:
        assert _NAME.fullmatch(key), key
        return self._results / f"{key}.json.gz"

    def _clean(self) -> None:
        total = self.num_bytes
        for key in list(self._sizes):
            if total <= self._limit_bytes:
                break
            total -= self._sizes.pop(key)
            self._path(key).unlink(missing_ok=True)

    def forget_old_jobs(self, *, days: float = 30.0) -> None:
        """Remove the files of old jobs, and of more than a service can remember."""
        paths = sorted(self._jobs.glob("*.json"), key=lambda each_path: -each_path.stat().st_mtime)
        oldest = time.time() - days * 86400
        for number, path in enumerate(paths):
            if number >= _MAX_JOB_FILES or path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)
