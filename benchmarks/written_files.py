"""Which files a process and all that it starts write, wherever they are: an overlay takes them.

The process runs in a mount namespace of its own, whose root is an overlay over this machine's: it
sees every file and may write where it likes, and what it writes lands in one folder, which is
looked at afterwards. Nothing of it reaches the machine. Needs root and a kernel with overlayfs;
elsewhere nothing is watched, and that is said.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_ENTER = """
set -e
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/merged"
for folder in proc sys dev; do mount --rbind "/$folder" "$1/merged/$folder"; done
cd "$1/merged"
mkdir -p .outside
pivot_root . .outside
cd "$2"
umount -l /.outside
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFiles:
    """A place that keeps what a process writes; `close` ends it.

    Args:
        folder: empty, of this object alone.
    """

    folder: Path
    is_watching: bool = field(default=False)

    @classmethod
    def watch(cls, folder: Path) -> WrittenFiles:
        """Return a place in a folder that does not exist yet; it watches if the system lets it."""
        folder.mkdir()
        mounted = _succeeds(["mount", "-t", "tmpfs", "tmpfs", str(folder)])
        found = cls(folder=folder, is_watching=mounted)
        if mounted:
            for name in ("upper", "work", "merged"):
                (folder / name).mkdir()
            if not _succeeds(found.command(["true"], Path("/"))):
                found.close()
                return cls(folder=folder)
        return found

    def command(self, command: list[str], folder: Path) -> list[str]:
        """Return a command that runs another in a folder and has its files kept here."""
        if not self.is_watching:
            return command
        return ["unshare", "-m", "sh", "-c", _ENTER, "sh", str(self.folder), str(folder), *command]

    def place_of(self, path: Path) -> Path:
        """Return where a file that the process wrote really is."""
        return self.folder / "upper" / path.relative_to("/") if self.is_watching else path

    def outside(self, allowed: list[Path]) -> list[str] | None:
        """Return files that were written or removed outside some folders; None: not watched."""
        if not self.is_watching:
            return None
        upper = self.folder / "upper"
        found = [
            Path("/") / path.relative_to(upper) for path in upper.rglob("*") if not path.is_dir()
        ]
        return sorted(str(path) for path in found if not any(map(path.is_relative_to, allowed)))

    def close(self) -> None:
        """Let go of what was kept."""
        if self.is_watching:
            _succeeds(["umount", "-l", str(self.folder)])


def _succeeds(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
