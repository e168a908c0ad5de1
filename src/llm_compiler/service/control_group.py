"""Control groups: the kernel's limits on all processes of a job together, where they may be made.

Root needs them, whom limits on the number of processes do not bind; ordinary users seldom may make
them, and are bound without. Both versions are known; each job gets a group of its own below the
service's.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ControlGroup", "ControlGroups", "find_control_groups"]

_ROOT: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "llm-compiler"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroup:
    """One job's folders, of each hierarchy that limits something."""

    folders: tuple[Path, ...]

    def entering(self, command: list[str]) -> list[str]:
        """Return a command that is in the group from its first instruction on."""
        program = 'n=$1; shift; while [ "$n" -gt 0 ]; do echo $$ >"$1/cgroup.procs" || exit 1; '
        program += 'shift; n=$((n-1)); done; exec "$@"'
        names = [str(folder) for folder in self.folders]
        return ["/bin/sh", "-c", program, "sh", str(len(names)), *names, *command]

    def remove(self) -> None:
        """Remove the group; what is still in it is being killed, so it may take a moment."""
        for folder in self.folders:
            for _ in range(50):
                try:
                    folder.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.01)
                else:
                    break


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlGroups:
    """Where groups are made: parents and the files that limit, by what they limit."""

    pids: Path
    memory: Path | None

    def make(self, *, num_processes: int, memory_bytes: int) -> ControlGroup:
        """Make a group for a job.

        Raises:
            OSError: the system refuses.
        """
        name = f"{_PREFIX}-{os.getpid()}-{next(_numbers)}"
        folders: list[Path] = []
        limits = [(self.pids, "pids.max", num_processes)]
        if self.memory is not None:
            is_second = (self.memory / "cgroup.controllers").exists()
            file = "memory.max" if is_second else "memory.limit_in_bytes"
            limits.append((self.memory, file, memory_bytes))
        try:
            for parent, file, value in limits:
                folder = parent / name
                if folder not in folders:
                    folder.mkdir()
                    folders.append(folder)
                (folder / file).write_text(str(value))
        except OSError:
            ControlGroup(folders=tuple(folders)).remove()
            raise
        return ControlGroup(folders=tuple(folders))

    def clean(self) -> None:
        """Remove groups of services that were killed."""
        for parent in {self.pids, self.memory} - {None}:
            assert parent is not None
            for folder in parent.glob(f"{_PREFIX}-*"):
                owner = folder.name.split("-")[2]
                if not Path(f"/proc/{owner}").exists():
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def find_control_groups() -> ControlGroups | None:
    """Return where this process may make groups that limit processes; None: nowhere."""
    own: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            own |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
    second = [_ROOT / own.get("", ""), _ROOT]
    for pids in (_ROOT / "pids" / own.get("pids", ""), _ROOT / "pids", *second):
        memories = [_ROOT / "memory" / own.get("memory", ""), _ROOT / "memory", pids, None]
        for memory in memories:
            found = ControlGroups(pids=pids, memory=memory)
            try:
                group = found.make(num_processes=64, memory_bytes=2**30)
            except OSError:
                continue
            group.remove()
            found.clean()
            return found
    return None
