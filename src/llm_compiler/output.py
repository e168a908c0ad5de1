"""Write results so that nothing is ever half written: to a temporary file, then rename.

Knows nothing of what it writes. Devices and pipes (``/dev/stdout``) are written to directly.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from llm_compiler.errors import ArtifactError, LlmCompilerError, OutputError

__all__ = [
    "TEMPORARY_PREFIX",
    "check_writable",
    "make_folders",
    "resumable",
    "take_lock",
    "write_atomically",
    "writing_artifact",
]

TEMPORARY_PREFIX = ".llm-compiler-"
"""Of files that are being written; one that stays is of a killed process."""


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _is_read_only(path: Path) -> bool:
    """Whether a path was marked read-only for everybody: root may write to it, but should not."""
    return not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK)


def check_writable(path: Path) -> None:
    """Refuse an output that cannot be written, before any work is done for it.

    Raises:
        OutputError: the folder is missing or read-only, or the path is a folder.
    """
    if str(path) == "-" or _is_special(path):
        return
    if path.is_dir():
        raise OutputError(f"cannot write {path}: it is a directory")
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: there is no directory {folder}")
    if path.exists() and _is_read_only(path):
        raise OutputError(f"cannot write {path}: it is read-only")
    if _is_read_only(folder):
        raise OutputError(f"cannot write {path}: the directory {folder} is read-only")
    try:
        # Asking the system is the only sure way: access rights lie for root and network disks.
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=folder)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    os.close(descriptor)
    os.unlink(name)


def make_folders(folder: Path, outputs: Sequence[Path]) -> None:
    """Make an output folder, and those below it that outputs lie in; what it lies in must exist.

    Raises:
        OutputError: with the system's reason.
    """
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"cannot make {folder}: there is no directory {folder.parent}")
    try:
        for parent in dict.fromkeys([folder, *(output.parent for output in outputs)]):
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {error.filename}: {error.strerror}") from error


@contextlib.contextmanager
def writing_artifact(path: Path) -> Iterator[None]:
    """Raise what goes wrong with writing `path` as an `ArtifactError` with the system's reason."""
    try:
        yield
    except OutputError as error:
        raise ArtifactError(str(error)) from error
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error.strerror or error}") from error


def take_lock(path: Path, busy: LlmCompilerError) -> IO[str]:
    """Make a file and hold its lock until it is closed; the system does so if the process dies.

    Raises:
        OSError: the file cannot be made.
        LlmCompilerError: `busy`, where another process holds it.
    """
    stream = path.open("w")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        stream.close()
        raise busy from error
    return stream


@contextlib.contextmanager
def resumable() -> Iterator[None]:
    """Around a command that keeps what is finished: a full disk ends it with an `ArtifactError`
    that says how to go on, whichever file it was that found no room."""
    try:
        yield
    except (ArtifactError, OutputError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
                raise ArtifactError(
                    f"{error}; what is finished is kept: make room and run the same command again"
                ) from error
            cause = cause.__cause__
        raise


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file whole or not at all; ``-`` is standard output.

    Raises:
        OutputError: with the system's reason (no space, read-only, no such folder).
    """
    try:
        if str(path) == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        if _is_special(path):
            path.write_bytes(data)
            return
        mode = path.stat().st_mode & 0o777 if path.exists() else None
        if mode is not None and _is_read_only(path):
            raise OutputError(f"cannot write {path}: it is read-only")
        descriptor, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            if mode is None:
                umask = os.umask(0)
                os.umask(umask)
                mode = 0o666 & ~umask
            os.chmod(name, mode)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
