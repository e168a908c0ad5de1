"""Parquet files: pyarrow on demand (extra ``data``), atomic writing, one error for damaged files.

The base install does without pyarrow: only what reads or writes tables asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_compiler.errors import ShardCorrupt
from llm_compiler.extras import require
from llm_compiler.output import write_atomically

__all__ = ["read_table", "require_pyarrow", "write_table"]


def require_pyarrow() -> tuple[Any, Any]:
    """Return the modules `pyarrow` and `pyarrow.parquet`.

    Raises:
        ToolchainNotFound: they are not installed.
    """
    return require("pyarrow", extra="data"), require("pyarrow.parquet", extra="data")


def write_table(table: Any, path: Path, **settings: Any) -> None:
    """Write a `pyarrow.Table`, whole or not at all, under zstd.

    Args:
        settings: as `pyarrow.parquet.write_table` takes them.

    Raises:
        OutputError: with the system's reason.
    """
    pyarrow, parquet = require_pyarrow()
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(table, sink, **{"compression": "zstd", **settings})
    write_atomically(path, memoryview(sink.getvalue()))


def read_table(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read a `pyarrow.Table`.

    Raises:
        ShardCorrupt: the file is missing, damaged, or lacks one of the columns.
    """
    pyarrow, parquet = require_pyarrow()
    try:
        table = parquet.ParquetFile(path).read(columns=None if columns is None else list(columns))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        first = str(error).strip().split("\n", 1)[0]
        raise ShardCorrupt(f"{path} cannot be read as Parquet: {first}") from error
    if missing := [name for name in columns or () if name not in table.column_names]:
        raise ShardCorrupt(f"{path} has no column '{missing[0]}'")
    return table
