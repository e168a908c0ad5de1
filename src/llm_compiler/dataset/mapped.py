"""Many Parquet files as one table with cheap random access and little memory.

Rows are copied once, uncompressed, into a nameless temporary file that is mapped into memory: the
kernel keeps of it what is used, processes forked later share it, and it is gone with the last of
them. Needs the extra ``data``. Reading is safe in threads and processes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.errors import OutputError, ShardCorrupt
from llm_compiler.parquet import require_pyarrow
from llm_compiler.places import cache_folder

__all__ = ["MappedTable"]

_ROWS_A_BATCH = 256


class MappedTable:
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
        keep: Callable[[dict[str, list[Any]]], list[bool]] | None = None,
        keep_columns: Sequence[str] = (),
    ) -> None:
        pyarrow, parquet = require_pyarrow()
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
        writer: Any = None
        schema: Any = None
        for path in paths:
            try:
                source = parquet.ParquetFile(path)
                if missing := [c for c in columns if c not in source.schema_arrow.names]:
                    raise ShardCorrupt(f"{path} has no column '{missing[0]}'")
                for batch in source.iter_batches(_ROWS_A_BATCH, columns=list(columns)):
                    batch = batch.select(list(columns))
                    if keep is not None:
                        mask = keep({n: batch.column(n).to_pylist() for n in keep_columns})
                        batch = batch.filter(pyarrow.array(mask, pyarrow.bool_()))
                    if schema is None:
                        schema = batch.schema.remove_metadata()
                        writer = pyarrow.ipc.new_file(self._file, schema)
                    if batch.num_rows:
                        table = pyarrow.Table.from_batches([batch]).cast(schema)
                        writer.write_table(table)
            except (OSError, ValueError, pyarrow.ArrowException) as error:
                first = str(error).strip().split("\n", 1)[0]
                raise ShardCorrupt(f"{path} cannot be read as Parquet: {first}") from error
        self._columns: dict[str, Any] = {}
        self.num_rows = 0
        if writer is not None:
            writer.close()
            self._file.flush()
            # By descriptor: the file has no name.
            self._map = pyarrow.memory_map(f"/proc/self/fd/{self._file.fileno()}", "r")
            table = pyarrow.ipc.open_file(self._map).read_all()
            self._columns = {name: table.column(name) for name in columns}
            self.num_rows = table.num_rows

    def column(self, name: str) -> list[Any]:
        """Return a whole column."""
        return self._columns[name].to_pylist() if self._columns else []

    def value(self, name: str, row: int) -> Any:
        """Return one value."""
        return self._columns[name][row].as_py()
