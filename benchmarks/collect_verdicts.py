"""Gather what PassListEval said so far into one small table: data/verdicts.parquet.

    python benchmarks/collect_verdicts.py -o data/verdicts.parquet

Reads the records of `validate --sweep` and the user's own book of verdicts, into which every other
check writes, both in the user's data folder; further records of sweeps may be named. Of a list in
several sweeps a rejection counts. `origin` says why a list was checked: `sweep`, `coreset` (the
shipped one), or `candidate`: tried for it, or handed out. `guilty` are the passes that make a list
unsafe, as far as the registry knows them.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
from pathlib import Path

from llm_compiler.errors import InputError
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.parquet import require_pyarrow, write_table
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import data_folder

COLUMNS = ("origin", "architecture", "llvm_major", "kind", "program", "reason", "num_programs")


def guilty(pipeline: str) -> str:
    """Return the unsafe passes of a list, by the registry; empty if it knows of none."""
    try:
        return ", ".join(name for name, _ in unsafe_passes(parse_pass_list(pipeline)))
    except InputError:
        return pipeline


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sweeps", nargs="*", type=Path)
    parser.add_argument("--book", type=Path, default=data_folder() / "verdicts.db")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    shipped = {passes.pipeline for passes in load_coreset().lists}
    rows: dict[tuple[str, str, str], dict[str, object]] = {}
    for path in [*options.sweeps, *sorted(data_folder().glob("sweep-*.jsonl"))]:
        for line in path.read_text().splitlines():
            record = {"origin": "sweep", **json.loads(line)}
            key = ("sweep", record["pipeline"], record["architecture"])
            if key not in rows or record["kind"] == "rejected":
                rows[key] = record
    with sqlite3.connect(f"file:{options.book}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM verdicts"):
            origin = "coreset" if row["pipeline"] in shipped else "candidate"
            rows[origin, row["pipeline"], row["architecture"]] = {"origin": origin, **dict(row)}
    table = [
        {
            "pipeline": key[1],
            **{name: record[name] for name in COLUMNS},
            "guilty": guilty(key[1]) if record["kind"] == "rejected" else "",
        }
        for key, record in sorted(rows.items())
    ]
    pyarrow, _ = require_pyarrow()
    write_table(pyarrow.Table.from_pylist(table), options.output, compression_level=19)
    print(f"{len(table)} verdicts, {options.output.stat().st_size} bytes: {options.output}")


if __name__ == "__main__":
    main()
