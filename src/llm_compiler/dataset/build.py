"""Write a stage's samples as Parquet shards; killed at any moment, the next run goes on.

A folder holds `STAGE-NNNNN.parquet` (zstd; shard n holds the indexes from n times the shard's size)
and `manifest.json`, which is written last. Each shard carries in its schema's metadata what it was
made from and how many draws gave no sample: a finished shard of the same build is not made again,
and the result is the same, byte for byte. Needs the extra ``data``.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from llm_compiler.dataset.engine import Result, make_samples
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import Stage
from llm_compiler.errors import ArtifactError, OutputError, ShardCorrupt
from llm_compiler.output import write_atomically
from llm_compiler.parquet import read_table, require_pyarrow, write_table
from llm_compiler.records import content_hash
from llm_compiler.workers import WorkerPool

__all__ = ["MANIFEST", "DatasetReport", "MakingStage", "build_dataset"]

MANIFEST = "manifest.json"
_FORMAT = "llm-compiler stage data, version 1"
_KEY = b"llm_compiler"


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What a build has made: samples by task, and draws that gave none by cause."""

    num_samples: int
    num_shards: int
    num_bytes: int
    tasks: dict[str, int]
    rejected: dict[str, int]


@runtime_checkable
class MakingStage(Protocol):
    """A stage that makes its samples itself, and not by draws."""

    @property
    def name(self) -> str:
        """One of `STAGES`."""
        ...

    @property
    def fingerprint(self) -> str:
        """Names everything that the samples depend on besides LLVM's version and the index."""
        ...

    def make(self, indexes: Iterable[int], pool: WorkerPool) -> Iterator[Result]:
        """Yield the sample of each index, in their order."""
        ...


def build_dataset(
    stage: Stage | MakingStage,
    out: Path,
    *,
    num_samples: int,
    pool: WorkerPool,
    llvm_version: str,
    shard_size: int = 1000,
    on_progress: Callable[[int], None] = lambda done: None,
) -> DatasetReport:
    """Write the samples 0 to `num_samples` of a stage, or go on with it.

    Args:
        on_progress: called with the number of samples done.

    Raises:
        ArtifactError: `out` holds something else, or the samples do not suit the stage.
        OutputError: `out` cannot be written.
    """
    identity = content_hash(f"{stage.fingerprint} {llvm_version} {shard_size}".encode())
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    _check_owner(out, stage.name, identity)
    tasks: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    shards: list[dict[str, Any]] = []
    for number, first in enumerate(range(0, num_samples, shard_size)):
        indexes = range(first, min(first + shard_size, num_samples))
        path = out / f"{stage.name}-{number:05d}.parquet"
        summary = _finished(path, identity, len(indexes))
        if summary is None:
            rows, causes = [], Counter[str]()
            for result in _make(stage, indexes, pool):
                rows.append(result.sample)
                causes.update(result.causes)
                on_progress(first + len(rows))
            summary = {
                "identity": identity,
                "num_samples": len(rows),
                "tasks": dict(sorted(Counter(row.task for row in rows).items())),
                "rejected": dict(sorted(causes.items())),
            }
            write_table(_table(rows, summary), path, compression_level=9)
        on_progress(indexes.stop)
        data = path.read_bytes()
        tasks.update(summary["tasks"])
        rejected.update(summary["rejected"])
        shards.append(
            {
                "name": path.name,
                "hash": content_hash(data),
                "num_samples": summary["num_samples"],
                "num_bytes": len(data),
            }
        )
    report = DatasetReport(
        num_samples=num_samples,
        num_shards=len(shards),
        num_bytes=sum(shard["num_bytes"] for shard in shards),
        tasks=dict(sorted(tasks.items())),
        rejected=dict(sorted(rejected.items())),
    )
    manifest = {
        "format": _FORMAT,
        "stage": stage.name,
        "identity": identity,
        "llvm_version": llvm_version,
        **dataclasses.asdict(report),
        "shards": shards,
    }
    # A build of more samples left some: they are not part of this one.
    named = {shard["name"] for shard in shards}
    for path in out.glob(f"{stage.name}-*.parquet"):
        if path.name not in named:
            path.unlink()
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    return report


def _make(stage: Stage | MakingStage, indexes: Iterable[int], pool: WorkerPool) -> Iterator[Result]:
    if isinstance(stage, MakingStage):
        return stage.make(indexes, pool)
    return make_samples(stage, indexes, pool)


def _check_owner(out: Path, stage: str, identity: str) -> None:
    """Refuse a folder with another build's shards, rather than mix or overwrite them."""
    for path in sorted(out.glob("*.parquet")):
        summary = _read_summary(path)
        if summary is not None and summary.get("identity") != identity:
            raise ArtifactError(
                f"{path} was made from other samples, options or LLVM: name another folder, or "
                "delete this one"
            )
        if summary is None and not path.name.startswith(f"{stage}-"):
            raise ArtifactError(f"{path} is not a shard of {stage}: name another folder")
    (out / MANIFEST).unlink(missing_ok=True)


def _read_summary(path: Path) -> dict[str, Any] | None:
    """Return what a shard says of itself; None where it says nothing (damaged, or none)."""
    pyarrow, parquet = require_pyarrow()
    try:
        metadata = parquet.read_schema(path).metadata or {}
        summary: dict[str, Any] = json.loads(metadata[_KEY])
    except (OSError, ValueError, KeyError, pyarrow.ArrowException):
        return None
    return summary


def _finished(path: Path, identity: str, num_samples: int) -> dict[str, Any] | None:
    """Return what a shard says of itself, if it is whole and of this build."""
    summary = _read_summary(path) if path.exists() else None
    if summary is None or summary["identity"] != identity or summary["num_samples"] != num_samples:
        return None
    try:
        if read_table(path, ["index"]).num_rows != num_samples:
            return None
    except ShardCorrupt:
        return None
    return summary


def _table(rows: list[StageSample], summary: dict[str, Any]) -> Any:
    pyarrow, _ = require_pyarrow()
    types = {"int": pyarrow.int64(), "bool": pyarrow.bool_(), "str": pyarrow.string()}
    schema = pyarrow.schema(
        [(field.name, types[str(field.type)]) for field in dataclasses.fields(StageSample)],
        metadata={_KEY: json.dumps(summary)},
    )
    return pyarrow.Table.from_pylist([row.to_row() for row in rows], schema=schema)
