"""Stage data that `dataset.build` has written: its shards, and their samples.

Needs the extra ``data``, no LLVM. Safe in threads and processes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.corpus.manifest_errors import reading_manifest
from llm_compiler.dataset.build import MANIFEST
from llm_compiler.dataset.stage_sample import LATER_FIELDS, STAGE_FIELDS, StageSample
from llm_compiler.errors import ArtifactError, ShardCorrupt
from llm_compiler.parquet import read_table

__all__ = [
    "StoredStage",
    "is_stored_stage",
    "open_stored_stage",
    "read_own_samples",
    "read_stage_samples",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStage:
    """A finished folder of stage data."""

    stage: str
    identity: str
    """Names the samples."""
    paths: tuple[Path, ...]
    num_samples: tuple[int, ...]
    """Of each shard."""


def is_stored_stage(folder: Path) -> bool:
    """Whether a folder holds finished stage data."""
    try:
        return "stage data" in json.loads((folder / MANIFEST).read_bytes())["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def open_stored_stage(folder: Path) -> StoredStage:
    """Read the manifest of a folder.

    Raises:
        ManifestMissing: there is none, so the build has not finished.
        ShardCorrupt: it is no manifest of stage data, or a shard is missing.
    """
    path = folder / MANIFEST
    with reading_manifest(path, "stage data", missing=": the build of stage data has not finished"):
        manifest = json.loads(path.read_bytes())
        shards = [(folder / item["name"], item["num_samples"]) for item in manifest["shards"]]
        found = StoredStage(
            stage=manifest["stage"],
            identity=manifest["identity"],
            paths=tuple(shard for shard, _ in shards),
            num_samples=tuple(count for _, count in shards),
        )
    for shard in found.paths:
        if not shard.is_file():
            raise ShardCorrupt(f"{shard} is missing, though {path} names it")
    return found


def read_own_samples(folder: Path, stored: StoredStage, stage: str) -> list[StageSample]:
    """Return the samples of a folder that are of the task that its stage is named for.

    Raises:
        ArtifactError: the folder is of another stage, has no such samples, or is damaged.
    """
    if stored.stage != stage:
        raise ArtifactError(f"{folder} holds data of the stage '{stored.stage}', not {stage}")
    found = [
        sample
        for path in stored.paths
        for sample in read_stage_samples(path)
        if sample.task == stage
    ]
    if not found:
        raise ArtifactError(f"{folder} holds no samples")
    return found


def read_stage_samples(path: Path) -> list[StageSample]:
    """Return the samples of a shard.

    Raises:
        ShardCorrupt: it is damaged, or lacks a column.
    """
    table = read_table(path)
    wanted = [name for name in STAGE_FIELDS if name not in LATER_FIELDS]
    if missing := [name for name in wanted if name not in table.column_names]:
        raise ShardCorrupt(f"{path} has no column '{missing[0]}'")
    wanted += [name for name in LATER_FIELDS if name in table.column_names]
    return [StageSample(**row) for row in table.select(wanted).to_pylist()]
