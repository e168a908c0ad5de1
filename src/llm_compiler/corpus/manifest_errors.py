"""What is said of a manifest (a folder's list of its shards) that is missing or damaged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from llm_compiler.errors import ManifestMissing, ShardCorrupt

__all__ = ["reading_manifest"]


@contextlib.contextmanager
def reading_manifest(
    path: Path, what: str, *, missing: str = ": the packing has not finished"
) -> Iterator[None]:
    """Turn whatever goes wrong where a manifest is read into one sentence.

    Args:
        what: it lists.
        missing: said after the path where there is none.

    Raises:
        ManifestMissing, ShardCorrupt: as their names say.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ManifestMissing(f"no {path}{missing}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardCorrupt(f"{path} is no manifest of {what}: {error}") from error
