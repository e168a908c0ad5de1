"""Samples on disk: Parquet shards under zstd, and `manifest.json`, written last.

``DIR/SPLIT/ARCHITECTURE-KIND-NNNNN.parquet``; the manifest lists every shard with its rows, size
and SHA-256, so that a folder with a manifest is complete. Needs pyarrow (extra ``data``). Readers
may be many, in threads and processes; one writer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.corpus.manifest import write_text_atomically
from llm_compiler.corpus.samples import Sample
from llm_compiler.errors import ManifestMissing, ShardCorrupt
from llm_compiler.output import writing_artifact
from llm_compiler.parquet import require_pyarrow, write_table
from llm_compiler.records import content_hash

__all__ = [
    "COLUMNS",
    "MANIFEST_NAME",
    "Shard",
    "ShardManifest",
    "load_samples",
    "read_manifest",
    "sample_schema",
    "shard_paths",
    "verify_shard",
    "write_manifest",
    "write_shards",
]

MANIFEST_NAME = "manifest.json"
COLUMNS = tuple(field.name for field in dataclasses.fields(Sample))
_INT32 = ("num_functions", "num_instructions")
_INT64 = ("size_bytes", "text_data_bytes")
_ROW_GROUP_ROWS = 1_000
_SHARD_BYTES = 128_000_000
"""Bitcode and text of one shard before compression: about a sixth of it on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of samples: `path` counts from the manifest's folder."""

    path: str
    split: str
    architecture: str
    kind: str
    num_rows: int
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardManifest:
    """What a folder of samples holds; `counts` and `config` are for people, `tools` versions."""

    shards: tuple[Shard, ...]
    counts: dict[str, Any]
    config: dict[str, Any]
    tools: dict[str, str]


def sample_schema() -> Any:
    """Return the `pyarrow.Schema` of a shard."""
    pyarrow, _ = require_pyarrow()

    def kind(name: str) -> Any:
        if name == "bitcode":
            return pyarrow.binary()
        if name in _INT32:
            return pyarrow.int32()
        return pyarrow.int64() if name in _INT64 else pyarrow.string()

    return pyarrow.schema([pyarrow.field(name, kind(name), nullable=False) for name in COLUMNS])


def write_shards(folder: Path, samples: Iterable[Sample]) -> list[Shard]:
    """Write samples as shards and return them; the samples must come sorted by shard group.

    A group is (split, architecture, kind). Each shard is written whole or not at all.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    shards: list[Shard] = []
    rows: list[Sample] = []
    group: tuple[str, str, str] | None = None
    number = num_bytes = 0

    def flush() -> None:
        nonlocal rows, number, num_bytes
        if group is not None and rows:
            shards.append(_write_shard(folder, group, number, rows))
            rows, number, num_bytes = [], number + 1, 0

    for sample in samples:
        own = (sample.split, sample.architecture, sample.kind)
        if own != group:
            flush()
            group, number = own, 0
        rows.append(sample)
        num_bytes += len(sample.bitcode) + len(sample.text)
        if num_bytes >= _SHARD_BYTES:
            flush()
    flush()
    return shards


def _write_shard(
    folder: Path, group: tuple[str, str, str], number: int, rows: Sequence[Sample]
) -> Shard:
    pyarrow, _ = require_pyarrow()
    split, architecture, kind = group
    path = f"{split}/{architecture}-{kind}-{number:05d}.parquet"
    columns = {name: [getattr(sample, name) for sample in rows] for name in COLUMNS}
    table = pyarrow.Table.from_pydict(columns, schema=sample_schema())
    file = folder / path
    with writing_artifact(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, file, row_group_size=_ROW_GROUP_ROWS)
        data = file.read_bytes()
    return Shard(
        path=path,
        split=split,
        architecture=architecture,
        kind=kind,
        num_rows=len(rows),
        num_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
    )


def write_manifest(folder: Path, manifest: ShardManifest) -> None:
    """Write the manifest, which makes the folder complete.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    text = json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=False)
    write_text_atomically(folder / MANIFEST_NAME, text + "\n")


def read_manifest(folder: Path) -> ShardManifest:
    """Read the manifest of a folder of samples.

    Raises:
        ManifestMissing: there is none; the build was never run or has not finished.
        ShardCorrupt: it is no manifest.
    """
    path = folder / MANIFEST_NAME
    try:
        data = json.loads(path.read_bytes())
        return ShardManifest(**{**data, "shards": tuple(Shard(**item) for item in data["shards"])})
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestMissing(
            f"no {path}; run `llm-compiler corpus sample`, which writes it when it is done"
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ShardCorrupt(f"{path} is not a manifest of samples: {error}") from error


def shard_paths(
    folder: Path, *, split: str = "", kind: str = "", architecture: str = ""
) -> list[Path]:
    """Return the shards of a split, kind and architecture (empty: all), in their order.

    Raises:
        ManifestMissing, ShardCorrupt: the folder is not complete, or a shard is missing or cut.
    """
    paths = []
    for shard in read_manifest(folder).shards:
        if (
            split in ("", shard.split)
            and kind in ("", shard.kind)
            and architecture in ("", shard.architecture)
        ):
            path = folder / shard.path
            size = path.stat().st_size if path.is_file() else -1
            if size != shard.num_bytes:
                state = "is missing" if size < 0 else f"has {size} bytes, not {shard.num_bytes}"
                raise ShardCorrupt(f"the shard {path} {state}: build the samples again")
            paths.append(path)
    return paths


def load_samples(
    folder: Path,
    *,
    split: str = "",
    kind: str = "",
    architecture: str = "",
    columns: Sequence[str] | None = None,
) -> Iterator[Sample]:
    """Yield the samples of a folder, shard by shard, a row group in memory at a time.

    Args:
        split, kind, architecture: only these; empty for all.
        columns: only these are read (others are empty or 0); None for all. Where bitcode and hash
            are read, they are compared.

    Raises:
        ManifestMissing, ShardCorrupt: the folder is not complete, or a shard is damaged.
    """
    verify = columns is None or {"module_hash", "bitcode"} <= set(columns)
    for path in shard_paths(folder, split=split, kind=kind, architecture=architecture):
        for sample in read_shard(path, columns=columns):
            # Parquet notices a damaged page only where it no longer unpacks.
            if verify and content_hash(sample.bitcode) != sample.module_hash:
                raise ShardCorrupt(
                    f"the shard {path} is damaged: module {sample.module_hash} is not what it "
                    "says: build the samples again"
                )
            yield sample


def read_shard(path: Path, *, columns: Sequence[str] | None = None) -> Iterator[Sample]:
    """Yield the samples of one file.

    Raises:
        ShardCorrupt: it is damaged, or no file of samples.
    """
    pyarrow, parquet = require_pyarrow()
    wanted = COLUMNS if columns is None else tuple(columns)
    try:
        file = parquet.ParquetFile(path)
        if missing := set(wanted) - set(file.schema_arrow.names):
            raise ValueError(f"it has no column {', '.join(sorted(missing))}")
        for batch in file.iter_batches(batch_size=_ROW_GROUP_ROWS, columns=list(wanted)):
            for row in batch.to_pylist():
                yield Sample(**row)
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise ShardCorrupt(f"the shard {path} cannot be read: {first}") from error


def verify_shard(folder: Path, shard: Shard) -> None:
    """Compare a shard with the manifest: its bytes, and each sample's hash.

    Raises:
        ShardCorrupt: it is missing, or something differs.
    """
    path = folder / shard.path
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ShardCorrupt(f"the shard {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ShardCorrupt(f"the shard {path} is not what the manifest says: build it again")
