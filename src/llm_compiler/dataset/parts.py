"""Samples packed into parts of a given size, for machines that make stage samples again.

A module is packed as text, which zstd shrinks further than bitcode (by 38 %, measured), or as
bitcode; both are the same module, and give the same stage samples with the same LLVM.

A folder of parts holds `part-NNNNN.parquet` (zstd) and `manifest.json`, which is written last. The
samples are shuffled over the parts, so that any of them is a sample of the whole. Parts are read by
`SampleSet` like the shards that they come from. Needs the extra ``data``.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_compiler.corpus.manifest_errors import reading_manifest
from llm_compiler.errors import ConfigError, OutputError, ShardCorrupt
from llm_compiler.output import write_atomically
from llm_compiler.parquet import require_pyarrow
from llm_compiler.records import content_hash

if TYPE_CHECKING:
    from llm_compiler.dataset.sample_set import SampleSet

__all__ = ["MANIFEST", "PackReport", "is_packed", "pack", "part_paths"]

MANIFEST = "manifest.json"
_PROGRESS = "manifest.partial.json"
_FORMAT = "llm-compiler sample parts, version 1"
_COLUMNS = ("module_hash", "kind", "package", "split", "target_triple")
_TRIAL_BYTES = 4_000_000
_OTHER_BYTES = 60
"""Of a row beside its module: mostly the hash, which does not compress."""
# Level 19 of zstd: packed once, unpacked often.
_SETTINGS = {"compression": "zstd", "compression_level": 19, "use_dictionary": list(_COLUMNS[1:])}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What packing has made; `num_too_large` samples fit into no part."""

    num_parts: int
    num_samples: int
    num_bytes: int
    num_too_large: int


def is_packed(folder: Path) -> bool:
    """Whether a folder holds parts, rather than shards."""
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes()).get("format") == _FORMAT)
    except (OSError, ValueError, AttributeError):
        return any(folder.glob("part-*.parquet"))


def part_paths(folder: Path) -> tuple[list[Path], str]:
    """Return the parts that are there, checked against the manifest, and the modules' column.

    Some may be missing, on purpose: a machine may have fetched a few of them.

    Raises:
        ManifestMissing: there is no manifest.
        ShardCorrupt: a part does not match its recorded hash, or none is there.
    """
    path = folder / MANIFEST
    with reading_manifest(path, "parts"):
        manifest = json.loads(path.read_bytes())
        named = [(folder / part["name"], part["hash"]) for part in manifest["parts"]]
        content: str = manifest["content"]
    found = []
    for part, expected in named:
        if not part.exists():
            continue
        if content_hash(part.read_bytes()) != expected:
            raise ShardCorrupt(f"{part} does not match its hash in {path}: fetch or make it again")
        found.append(part)
    if not found:
        raise ShardCorrupt(f"{folder} has a manifest but none of its {len(named)} parts")
    return found, content


def pack(samples: SampleSet, out: Path, *, part_bytes: int, seed: int = 0) -> PackReport:
    """Write samples as parts, none larger than `part_bytes`; the same samples give the same parts.

    Modules are packed as the samples hold them: `samples.content`. A packing that was killed goes
    on after its last finished part.

    Raises:
        ConfigError: a part of that size holds nothing.
        OutputError: the folder cannot be written.
    """
    order = list(range(len(samples)))
    random.Random(f"pack:{seed}").shuffle(order)
    content = samples.content
    contents = {
        "format": _FORMAT,
        "content": content,
        "samples": samples.fingerprint,
        "seed": seed,
        "part_bytes": part_bytes,
    }
    progress = _read_progress(out, contents)
    if progress is None:
        _make_folder(out)
        # How far a part shrinks: a small one tells it for the first, each part for the next.
        rows = _take(samples, order, 0, min(part_bytes, _TRIAL_BYTES))
        ratio = len(_encode(rows, content)) / sum(map(_raw_bytes, rows))
        progress = {"parts": [], "start": 0, "too_large": 0, "ratio": ratio}
    parts: list[dict[str, Any]] = progress["parts"]
    start, too_large, ratio = progress["start"], progress["too_large"], progress["ratio"]
    while start < len(order):
        rows = _take(samples, order, start, int(part_bytes / ratio))
        data = _encode(rows, content)
        while len(data) > part_bytes and len(rows) > 1:
            # Leaves a margin, since the rest may compress worse than the whole.
            del rows[max(1, int(len(rows) * 0.98 * part_bytes / len(data))) :]
            data = _encode(rows, content)
        if len(data) > part_bytes:
            too_large += 1
            start += 1
            continue
        ratio = len(data) / sum(map(_raw_bytes, rows))
        start += len(rows)
        name = f"part-{len(parts):05d}.parquet"
        write_atomically(out / name, data)
        parts.append(
            {
                "name": name,
                "hash": content_hash(data),
                "num_samples": len(rows),
                "num_bytes": len(data),
            }
        )
        progress = {"parts": parts, "start": start, "too_large": too_large, "ratio": ratio}
        write_atomically(out / _PROGRESS, json.dumps({**contents, **progress}).encode())
    if not parts:
        raise ConfigError(f"no sample fits into a part of {part_bytes} bytes")
    report = PackReport(
        num_parts=len(parts),
        num_samples=sum(part["num_samples"] for part in parts),
        num_bytes=sum(part["num_bytes"] for part in parts),
        num_too_large=too_large,
    )
    manifest = {**contents, "parts": parts}
    write_atomically(out / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
    (out / _PROGRESS).unlink(missing_ok=True)
    return report


def _read_progress(out: Path, contents: dict[str, Any]) -> dict[str, Any] | None:
    """Return how far an earlier packing of the same samples came, if its parts are whole."""
    try:
        progress: dict[str, Any] = json.loads((out / _PROGRESS).read_bytes())
        same = all(progress[key] == value for key, value in contents.items())
        for part in progress["parts"] if same else ():
            same &= content_hash((out / part["name"]).read_bytes()) == part["hash"]
        return progress if same and progress["start"] > 0 and progress["ratio"] > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        # What an earlier packing left: with the manifest gone, nobody takes it for complete.
        (out / MANIFEST).unlink(missing_ok=True)
        (out / _PROGRESS).unlink(missing_ok=True)
        for part in out.glob("part-*.parquet"):
            part.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error


def _raw_bytes(row: dict[str, Any]) -> int:
    return len(row["module"]) + _OTHER_BYTES


def _take(samples: SampleSet, order: list[int], start: int, budget: int) -> list[dict[str, Any]]:
    """Return the next rows, of about `budget` raw bytes and at least one."""
    rows: list[dict[str, Any]] = []
    raw = 0
    for position in order[start:]:
        sample = samples[position]
        row = {name: getattr(sample, name) for name in (*_COLUMNS, "module")}
        if rows and raw + _raw_bytes(row) > budget:
            break
        rows.append(row)
        raw += _raw_bytes(row)
    return rows


def _encode(rows: list[dict[str, Any]], content: str) -> bytes:
    pyarrow, parquet = require_pyarrow()
    kind = pyarrow.binary() if content == "bitcode" else pyarrow.string()
    columns = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns[content] = [row["module"] for row in rows]
    schema = pyarrow.schema([*((name, pyarrow.string()) for name in _COLUMNS), (content, kind)])
    sink = pyarrow.BufferOutputStream()
    # Large pages: zstd finds what modules have in common only within one.
    parquet.write_table(
        pyarrow.Table.from_pydict(columns, schema=schema),
        sink,
        data_page_size=8_000_000,
        write_statistics=False,
        **_SETTINGS,
    )
    return bytes(memoryview(sink.getvalue()))
