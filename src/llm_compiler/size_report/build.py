"""A build or a file as a report sees it, and two of them side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_compiler.errors import InputError
from llm_compiler.size_report.measure import FileSizes, measure_file

__all__ = ["KINDS", "Change", "Sizes", "changes", "measure"]

KINDS = ("section", "file", "symbol", "template", "inlined")
"""What bytes are counted by."""
_ET_REL, _ET_EXEC, _ET_DYN = 1, 2, 3
_TRIALS = ("CMakeFiles/CMakeTmp", "CMakeFiles/CMakeScratch", "CompilerIdC", "meson-private")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a report is of."""

    name: str
    files: tuple[FileSizes, ...] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """All bytes that count."""
        return sum(file.size_bytes for file in self.files)

    def by(self, what: str) -> dict[str, int]:
        """Return bytes by one of `KINDS`, or by ``binary``."""
        if what == "binary":
            return {file.name: file.size_bytes for file in self.files}
        found: Counter[str] = Counter()
        for file_sizes in self.files:
            found.update(file_sizes.by(what))
        return dict(found)

    def named_like(self, other: Sizes) -> Sizes:
        """Return this with its only file called as the only file of another.

        Two single files are one and the same program, whatever their names.
        """
        if len(self.files) != 1 or len(other.files) != 1:
            return self
        return replace(self, files=(replace(self.files[0], name=other.files[0].name),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row of a comparison."""

    name: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        """Negative where it has become smaller."""
        return self.after - self.before


def changes(before: Mapping[str, int], after: Mapping[str, int]) -> list[Change]:
    """Return what differs, the largest differences first."""
    rows = [
        Change(name=name, before=before.get(name, 0), after=after.get(name, 0))
        for name in {**before, **after}
    ]
    kept = [row for row in rows if row.difference]
    return sorted(kept, key=lambda row: (-abs(row.difference), row.name))


def measure(path: Path) -> Sizes:
    """Measure a file, or what a build folder has linked; without that, its objects.

    Raises:
        InputError: there is no such file, or nothing to measure in the folder.
        ConfigError: pyelftools is not installed.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist")
    if path.is_file():
        return Sizes(name=str(path), files=(measure_file(path, path.name),))
    linked: dict[Path, Path] = {}
    objects: list[Path] = []
    for file in sorted(path.rglob("*")):
        kind = 0 if file.is_dir() or any(word in str(file) for word in _TRIALS) else _kind_of(file)
        if kind in (_ET_EXEC, _ET_DYN):
            linked.setdefault(file.resolve(), file)
        elif kind == _ET_REL:
            objects.append(file)
    chosen = list(linked.values()) or objects
    if not chosen:
        raise InputError(f"{path} holds no ELF file: build first, or name a file")
    files = tuple(measure_file(each_path, str(each_path.relative_to(path))) for each_path in chosen)
    return Sizes(name=str(path), files=files)


def _kind_of(path: Path) -> int:
    """Return an ELF file's type; 0: it is none."""
    try:
        with path.open("rb") as stream:
            head = stream.read(18)
    except OSError:
        return 0
    if head[:4] != b"\x7fELF" or len(head) < 18:
        return 0
    return int.from_bytes(head[16:18], "little" if head[5] == 1 else "big")
