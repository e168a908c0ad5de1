"""What a corpus build reports: each source, what it gave, and why units or sources are missing.

Pure records; safe in threads and processes.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.corpus.manifest import Unit, write_text_atomically

__all__ = ["REPORT_NAME", "BuildReport", "SourceReport", "summarize", "write_report"]

REPORT_NAME = "report.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """What became of one source: `status` is "built" or "skipped", and then `error` says why.

    `failures` counts units by target and cause; `seconds` is this run's, not that of earlier ones.
    """

    name: str
    split: str
    status: str
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


def summarize(
    sources: Sequence[SourceReport],
    units: Sequence[Unit],
    *,
    llvm_version: str,
    target_triples: tuple[str, ...],
    seconds: float,
) -> BuildReport:
    """Add up the sources' reports and the units that the manifest lists."""
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
        seconds=round(seconds, 1),
    )


def write_report(path: Path, report: BuildReport) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(dataclasses.asdict(report), indent=1, ensure_ascii=False)
    write_text_atomically(path, text + "\n")
