"""A clock that goes on only while a process, or anything that it started, computes.

A control group of its own counts the processor time of all of them, whoever has ended already.
Needs the right to make one (root); elsewhere the clock stands at 0.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorClock:
    """A group of processes and what they computed; None: no group may be made."""

    folder: Path | None

    @classmethod
    def start(cls) -> ProcessorClock:
        """Return a clock at 0."""
        for parent in (_ROOT / "cpuacct", _ROOT):
            folder = parent / f"llm-compiler-clock-{os.getpid()}"
            with contextlib.suppress(OSError):
                folder.mkdir()
                found = cls(folder=folder)
                if found._file() is not None:
                    return found
                folder.rmdir()
        return cls(folder=None)

    def command(self, command: list[str]) -> list[str]:
        """Return a command that is counted from its first instruction on."""
        if self.folder is None:
            return command
        enter = 'echo $$ >"$1/cgroup.procs"; shift; exec "$@"'
        return ["/bin/sh", "-c", enter, "sh", str(self.folder), *command]

    def now_s(self) -> float:
        """Return the seconds so far."""
        file = self._file()
        if file is None:
            return 0.0
        text = file.read_text()
        if file.name == "cpuacct.usage":
            return int(text) / 1e9
        return int(dict(line.split() for line in text.splitlines())["usage_usec"]) / 1e6

    def _file(self) -> Path | None:
        names = ("cpuacct.usage", "cpu.stat") if self.folder is not None else ()
        for path in [self.folder / name for name in names if self.folder is not None]:
            if path.is_file():
                return path
        return None

    def close(self) -> None:
        """Remove the group; its processes have ended, or are about to."""
        for _ in range(50):
            if self.folder is None or not self.folder.exists():
                return
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                return
            time.sleep(0.1)
