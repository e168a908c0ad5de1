"""Which optimised modules were linked and run before, and did right.

Many lists end in the same module for most programs: those need no object and no run. Kept in an
append-only file that several processes may share.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["PassedModules"]

_MAX_KNOWN = 512
"""Module hashes that go with one program to a worker."""


class PassedModules:
    """Optimised modules that were run and did right, kept in a file of lines ``KEY HASH``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._by_program: dict[str, dict[str, None]] = {}
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                key, _, module_hash = line.partition(" ")
                # A line that another process is just writing may be cut short.
                if len(key) == len(module_hash) == 32:
                    self._by_program.setdefault(key, {})[module_hash] = None

    def of(self, key: str) -> list[str]:
        """Return the hashes of one program's modules, the newest last."""
        return list(self._by_program.get(key, {}))[-_MAX_KNOWN:]

    def add(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Add (program key, module hash) pairs."""
        new = [
            (key, module_hash)
            for key, module_hash in pairs
            if module_hash not in self._by_program.get(key, {})
        ]
        if not new:
            return
        for key, module_hash in new:
            self._by_program.setdefault(key, {})[module_hash] = None
        # One write in append mode: lines of several processes do not mix. Losing them costs only
        # time, so a full disk is no reason to stop.
        with contextlib.suppress(OSError):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                os.write(descriptor, "".join(f"{key} {h}\n" for key, h in new).encode())
            finally:
                os.close(descriptor)
