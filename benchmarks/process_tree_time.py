"""Processor seconds of a process and of all that it starts, workers that still run among them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["processor_seconds"]

_TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds(root: int) -> float:
    """Return what a process, its descendants, and those of them that ended have spent."""
    parents: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            text = Path(entry.path, "stat").read_text()
        except OSError:
            continue
        fields = text.rpartition(")")[2].split()
        pid = int(entry.name)
        parents.setdefault(int(fields[1]), []).append(pid)
        ticks[pid] = sum(map(int, fields[11:15]))
    total, rest = 0, [root]
    while rest:
        pid = rest.pop()
        total += ticks.get(pid, 0)
        rest += parents.get(pid, [])
    return total / _TICK
