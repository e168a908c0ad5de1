"""The corpus on disk: `manifest.jsonl`, one `Unit` a line, and how it is written and read.

The manifest is written last, under another name first, so that a folder with a manifest is
complete. Paths count from its folder. Safe in threads and processes; one writer.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import ArtifactError, ManifestMissing, ShardCorrupt
from llm_compiler.output import write_atomically, writing_artifact

__all__ = [
    "MANIFEST_NAME",
    "PARTIAL_NAME",
    "Unit",
    "load_manifest",
    "read_units",
    "write_text_atomically",
    "write_units",
]

MANIFEST_NAME = "manifest.jsonl"
PARTIAL_NAME = "manifest.partial.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One translation unit as unoptimised bitcode.

    `source` is the path within the package, `path` the bitcode's within the corpus folder, `sha256`
    and `num_bytes` are the bitcode's, `seconds` is what clang took, `version` what was built.
    """

    package: str
    version: str
    license: str
    split: str
    language: str
    target_triple: str
    source: str
    path: str
    flags: tuple[str, ...]
    sha256: str
    num_bytes: int
    num_functions: int
    seconds: float


_FIELDS = {field.name for field in dataclasses.fields(Unit)}


def load_manifest(path: Path) -> list[Unit]:
    """Read the manifest of a corpus: the file, or the folder that holds it.

    Raises:
        ManifestMissing: there is none; the build was never run or has not finished.
        ShardCorrupt: a line is not a unit.
    """
    if path.is_dir():
        path = path / MANIFEST_NAME
    if not path.is_file():
        raise ManifestMissing(
            f"no {path}; run `llm-compiler corpus build`, which writes it when it is done"
        )
    return read_units(path)


def read_units(path: Path) -> list[Unit]:
    """Read a file of units, whether the build has finished or not.

    Raises:
        ArtifactError: the file cannot be read.
        ShardCorrupt: a line is not a unit.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"cannot read {path}: {error}") from error
    units = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if set(record) != _FIELDS:
                raise ValueError(f"fields are {sorted(record)}")
            units.append(Unit(**{**record, "flags": tuple(record["flags"])}))
        except (ValueError, TypeError) as error:
            raise ShardCorrupt(f"{path}, line {number} is not a unit: {error}") from error
    return units


def write_units(path: Path, units: Iterable[Unit]) -> None:
    """Write units, one a line, whole or not at all.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    lines = [json.dumps(dataclasses.asdict(unit), ensure_ascii=False) + "\n" for unit in units]
    write_text_atomically(path, "".join(lines))


def write_text_atomically(path: Path, text: str) -> None:
    """Write a file under another name, then rename it: readers see the old file or the new file.

    Raises:
        ArtifactError: the disk is full or the folder cannot be written.
    """
    with writing_artifact(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode("utf-8", "surrogateescape"))
