"""Keeps the ONNX graphs of checkpoints in the user's cache, with weights as the runtime wants them.

One file for each checkpoint (by content) and kind of weights, beginning with its own hash: a file
that is damaged is made again. Written whole or not at all, so that any number of processes may
load at once; where nothing can be written the graphs are made each time. The files used last stay.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from llm_compiler.errors import OutputError
from llm_compiler.output import TEMPORARY_PREFIX, write_atomically
from llm_compiler.records import content_hash

__all__ = ["cached_graphs"]

_MAGIC: Final = b"llm-compiler graphs 1\n"
_SUFFIX: Final = ".graphs"
_MAX_FILES: Final = 6
_ABANDONED_S: Final = 3600
_HASH: Final = len(content_hash(b""))


def cached_graphs(
    folder: Path, key: str, make: Callable[[], tuple[bytes, ...]]
) -> tuple[tuple[bytes | memoryview, ...], bool]:
    """Return the graphs of a key, and whether they were in the cache; else make and keep them.

    Args:
        folder: of the cache; it need not exist.
        key: names the content; fit for a file name.
    """
    path = folder / f"{key}{_SUFFIX}"
    if (found := _read(path)) is not None:
        with contextlib.suppress(OSError):
            os.utime(path)
        return found, True
    graphs = make()
    body = len(graphs).to_bytes(8, "little")
    body += b"".join(len(graph).to_bytes(8, "little") for graph in graphs)
    body += b"".join(graphs)
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _MAGIC + content_hash(body).encode() + body)
        _clean(folder)
    return graphs, False


def _read(path: Path) -> tuple[memoryview, ...] | None:
    try:
        data = path.read_bytes()
    except OSError:
        return None
    start = len(_MAGIC) + _HASH
    body = memoryview(data)[start:]
    if data[:start] != _MAGIC + content_hash(body).encode():
        return None
    num = int.from_bytes(body[:8], "little")
    sizes = [int.from_bytes(body[at : at + 8], "little") for at in range(8, 8 + 8 * num, 8)]
    graphs = []
    start = 8 + 8 * num
    for size in sizes:
        graphs.append(body[start : start + size])
        start += size
    return tuple(graphs)


def _clean(folder: Path) -> None:
    """Remove what was not used for longest, and what killed processes left."""
    files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda path: -path.stat().st_mtime)
    newest = files[0].stat().st_mtime
    left = [
        path
        for path in folder.glob(f"{TEMPORARY_PREFIX}*")
        if path.stat().st_mtime < newest - _ABANDONED_S
    ]
    for path in (*files[_MAX_FILES:], *left):
        path.unlink(missing_ok=True)
