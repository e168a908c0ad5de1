"""What a caller hands in: a file, or one compilation of a build, or text from standard input."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An input, with what is said of it alone."""

    path: Path
    """As clang is to see it: relative to `directory`, or absolute."""
    clang_flags: tuple[str, ...] = ()
    """Of this input; those of the options come after them, so that they count."""
    directory: Path | None = None
    """Where clang is started; None: where we are. With one, no dependency files are written, since
    the build that the directory belongs to has its own."""
    data: bytes | None = field(default=None, repr=False)
    """Text that clang reads from its standard input; `path` is ``-`` then."""
    name: str = ""
    """For people, where the path is not what they typed."""

    @classmethod
    def of(cls, source: Path | str | Source) -> Source:
        """Return a source as it is, or that of a path."""
        return source if isinstance(source, Source) else cls(path=Path(source))

    @property
    def file(self) -> Path:
        """The file, from where we are."""
        return self.path if self.directory is None else self.directory / self.path

    @property
    def stem(self) -> str:
        """What outputs are called after it."""
        return "stdin" if self.data is not None else self.path.stem

    @property
    def shown(self) -> str:
        """How messages and results name it."""
        return self.name or str(self.path)
