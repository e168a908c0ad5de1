"""How much memory the server and its workers hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["children_of", "private_bytes"]

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def private_bytes(pid: int) -> int:
    """Return what a process holds beside what it shares with others; 0 where it is gone.

    Libraries do not count: each worker maps the same libLLVM.
    """
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def children_of(pid: int) -> Iterator[int]:
    """Yield the processes that a process has started, and theirs."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = [int(word) for word in path.read_text().split()]
        except (OSError, ValueError):
            continue
        for child in found:
            yield child
            yield from children_of(child)
