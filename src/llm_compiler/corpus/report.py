"""What a corpus build reports: each source, what it gave, and why units or sources are missing.

The report of the build before is read too: its runs stay listed, and so do the causes for which it
skipped sources that a later run leaves alone. Safe in threads and processes.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.corpus.manifest import Unit, write_text_atomically

__all__ = [
    "REPORT_NAME",
    "BuildReport",
    "Run",
    "SourceReport",
    "read_earlier",
    "summarize",
    "write_report",
]

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What became of one source: `status` is "built" or "skipped", and then `error` says why.

    `license` is the configuration's, `copyright` what `debian/copyright` says of the files that
    were compiled: how many have which licence (`corpus.copyright`). `failures` counts units by
    target and cause; `seconds` is this run's, not that of earlier ones.
    """

    name: str
    split: str
    status: str
    license: str = ""
    copyright: dict[str, int] = field(default_factory=dict)
    pinned_version: str = ""
    version: str = ""
    successor: bool = False
    error: str = ""
    detail: str = ""
    build_error: str = ""
    num_held_out_by_name: int = 0
    num_excluded: int = 0
    num_units: dict[str, int] = field(default_factory=dict)
    num_duplicates: dict[str, int] = field(default_factory=dict)
    failures: dict[str, dict[str, int]] = field(default_factory=dict)
    failed_units: tuple[dict[str, str], ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a build that came to its end.

    `num_sources` are those that it was asked to work on; the peaks are of resident memory, of the
    build itself and of the largest process that it ran (`process.PeakMemory`).
    """

    seconds: float
    num_sources: int
    peak_memory_bytes: int
    peak_child_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The whole build; what `report.json` holds."""

    llvm_version: str
    target_triples: tuple[str, ...]
    num_units: int
    num_bytes: int
    num_functions: int
    num_duplicates: int
    failures: dict[str, int]
    skipped: tuple[str, ...]
    sources: tuple[SourceReport, ...]
    seconds: float
    runs: tuple[Run, ...] = ()


def summarize(
    sources: Sequence[SourceReport],
    units: Sequence[Unit],
    *,
    llvm_version: str,
    target_triples: tuple[str, ...],
    runs: Sequence[Run],
) -> BuildReport:
    """Add up the sources' reports and the units that the manifest lists; the last run is this."""
    failures: Counter[str] = Counter()
    for source in sources:
        for causes in source.failures.values():
            failures.update(causes)
    return BuildReport(
        llvm_version=llvm_version,
        target_triples=target_triples,
        num_units=len(units),
        num_bytes=sum(unit.num_bytes for unit in units),
        num_functions=sum(unit.num_functions for unit in units),
        num_duplicates=sum(sum(source.num_duplicates.values()) for source in sources),
        failures=dict(failures.most_common()),
        skipped=tuple(source.name for source in sources if source.status == "skipped"),
        sources=tuple(sources),
        seconds=runs[-1].seconds,
        runs=tuple(runs),
    )


def read_earlier(path: Path) -> tuple[list[Run], dict[str, SourceReport]]:
    """Return the runs that an earlier report lists, and its sources that were skipped, by name.

    Nothing where there is no report, or a report that is damaged or of another shape.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        runs = [Run(**run) for run in data.get("runs", [])]
        skipped = [SourceReport(**item) for item in data["sources"] if item["status"] == "skipped"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return [], {}
    return runs, {source_report.name: source_report for source_report in skipped}


def write_report(path: Path, report: BuildReport) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False)
    write_text_atomically(path, text + "\n")
