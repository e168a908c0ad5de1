"""Checkpoints in pieces that are small enough to be carried home, and put together again.

`weights-STEP.json` is written last and names the pieces `weights-STEP.N` with their hashes: what is
cut off in between is no checkpoint, and the checkpoint before it still is. Only safetensors and
JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ArtifactError, ShardCorrupt
from llm_compiler.output import write_atomically
from llm_compiler.records import content_hash

__all__ = ["PIECE_BYTES", "newest_pieces", "read_pieces", "write_pieces"]

PIECE_BYTES: Final = 15 * 2**20
_INDEX = re.compile(r"^weights-(\d{8})\.json$")
_FORMAT = "llm-compiler kit pieces, version 1"


def write_pieces(
    folder: Path,
    step: int,
    data: bytes,
    record: Mapping[str, Any],
    *,
    piece_bytes: int = PIECE_BYTES,
) -> list[Path]:
    """Write a file in pieces, its index last; pieces of earlier steps go after that.

    Args:
        record: goes into the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, hashes = [], []
    for number, start in enumerate(range(0, max(1, len(data)), piece_bytes)):
        piece = data[start : start + piece_bytes]
        paths.append(folder / f"weights-{step:08d}.{number}")
        write_atomically(paths[-1], piece)
        hashes.append(content_hash(piece))
    index = folder / f"weights-{step:08d}.json"
    text = json.dumps({"format": _FORMAT, "step": step, "pieces": hashes, **record}, indent=1)
    write_atomically(index, text.encode())
    for path in folder.glob("weights-*"):
        if path != index and path not in paths:
            path.unlink(missing_ok=True)
    return [*paths, index]


def newest_pieces(folder: Path) -> Path:
    """Return the index of the last checkpoint that is whole.

    Raises:
        ArtifactError: there is none.
    """
    found = sorted(path for path in folder.glob("weights-*.json") if _INDEX.match(path.name))
    for index in reversed(found):
        try:
            read_pieces(index)
        except ShardCorrupt:
            continue
        return index
    raise ArtifactError(f"{folder} holds no whole checkpoint in pieces")


def read_pieces(index: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the file, and what its index tells.

    Raises:
        ShardCorrupt: a piece is missing or damaged.
    """
    try:
        record: dict[str, Any] = json.loads(index.read_bytes())
        if record["format"] != _FORMAT:
            raise ShardCorrupt(f"{index} is no index of pieces")
        pieces = []
        for number, expected in enumerate(record["pieces"]):
            pieces.append(index.with_suffix(f".{number}").read_bytes())
            if content_hash(pieces[-1]) != expected:
                raise ShardCorrupt(f"{index}: piece {number} is damaged")
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise ShardCorrupt(f"{index} cannot be read: {error}") from error
    return b"".join(pieces), record
