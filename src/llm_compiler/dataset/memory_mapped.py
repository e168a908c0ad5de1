"""Many Parquet files as one table with cheap random access and little memory.

Rows are copied once, uncompressed, into a nameless temporary file that is mapped into memory: the
kernel keeps of it what is used, processes forked later share it, and it is gone with the last of
them. Needs the extra ``data``. Reading is safe in threads and processes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from llm_compiler.errors import OutputError, ShardCorrupt
from llm_compiler.parquet import require_pyarrow
from llm_compiler.user_folders import cache_folder

__all__ = ["MemoryMappedTable"]

_ROWS_A_BATCH = 256

Keep: TypeAlias = Callable[[dict[str, list[Any]]], list[bool]]


class MemoryMappedTable:
    """The rows of several Parquet files, in their order.

    Args:
        columns: only these are kept; all must be there.
        keep: given the columns of some rows as lists, says which rows to keep.

    Raises:
        ShardCorrupt: a file is missing, damaged, or lacks a column.
        OutputError: there is no room for the copy.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        columns: Sequence[str],
        *,
        keep: Keep | None = None,
        keep_columns: Sequence[str] = (),
    ) -> None:
        pyarrow, _ = require_pyarrow()
        folder = cache_folder()
        self._columns: dict[str, Any] = {}
        self.num_rows = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                if _copy(paths, columns, file, keep, keep_columns):
                    # By descriptor: the file has no name. The map outlives the descriptor.
                    mapped = pyarrow.memory_map(f"/proc/self/fd/{file.fileno()}", "r")
                    table = pyarrow.ipc.open_file(mapped).read_all()
                    self._columns = {name: table.column(name) for name in columns}
                    self.num_rows = table.num_rows
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from error

    def column(self, name: str) -> list[Any]:
        """Return a whole column."""
        return self._columns[name].to_pylist() if self._columns else []

    def value(self, name: str, row: int) -> Any:
        """Return one value."""
        return self._columns[name][row].as_py()


def _copy(
    paths: Sequence[Path],
    columns: Sequence[str],
    file: IO[bytes],
    keep: Keep | None,
    keep_columns: Sequence[str],
) -> bool:
    """Copy rows into an Arrow file; False if there is not even an empty table to copy."""
    pyarrow, parquet = require_pyarrow()
    writer: Any = None
    for path in paths:
        try:
            source = parquet.ParquetFile(path)
            if missing := [c for c in columns if c not in source.schema_arrow.names]:
                raise ShardCorrupt(f"{path} has no column '{missing[0]}'")
            for batch in source.iter_batches(_ROWS_A_BATCH, columns=list(columns)):
                batch = batch.select(list(columns))
                if keep is not None:
                    mask = keep({name: batch.column(name).to_pylist() for name in keep_columns})
                    batch = batch.filter(pyarrow.array(mask, pyarrow.bool_()))
                if writer is None:
                    schema = batch.schema.remove_metadata()
                    writer = pyarrow.ipc.new_file(file, schema)
                writer.write_table(pyarrow.Table.from_batches([batch]).cast(schema))
        except (OSError, ValueError, pyarrow.ArrowException) as error:
            first = str(error).strip().split("\n", 1)[0]
            raise ShardCorrupt(f"{path} cannot be read as Parquet: {first}") from error
    if writer is not None:
        writer.close()
        file.flush()
    return writer is not None
