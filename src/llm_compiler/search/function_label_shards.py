"""Labels by function on disk: a folder of Parquet shards, and a journal of what is not packed yet.

``DIR/ARCHITECTURE-NNNNN.parquet``, one row for each unit (its `function` is empty) and then one for
each of its pieces; sizes are lists, one number for each recipe. The recipes stand in the schema's
metadata, as JSON under ``recipes``. A unit is in the journal as soon as it is finished, so that a
killed run loses only the units at hand; a journal as long as a shard becomes one. A unit that is in
both (killed in between) counts once. Code is not kept: `unit_hash` is the SHA-256 of the bitcode.
Needs the extra ``data``. One writer.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.errors import InputError, OutputError, ShardCorrupt
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.parquet import read_table, require_pyarrow, write_table
from llm_compiler.records import Recipe
from llm_compiler.search.function_labels import FunctionLabel, UnitLabels, recipes_hash

__all__ = ["COLUMNS", "MAX_RECIPES", "LabelFolder", "read_function_labels", "read_label_folder"]

MAX_RECIPES = 63
"""`needs_with` has a bit for each, in a column of signed 64-bit numbers."""

COLUMNS = (
    "unit_hash",
    "target_triple",
    "split",
    "package",
    "function",
    "is_root",
    "size_bytes",
    "text_bytes",
    "needs",
    "needs_with",
)
"""`text_bytes` of a unit are its .text + .data; `needs` and `needs_with`: `FunctionLabel`."""
_LISTS = ("size_bytes", "text_bytes", "needs", "needs_with")


class LabelFolder:
    """The labels of one architecture in a folder, for writing.

    Args:
        units_per_shard: how many units one file holds.

    Raises:
        InputError: there are too many recipes.
        ShardCorrupt: the folder holds labels of other recipes, or a damaged file.
    """

    def __init__(
        self, folder: Path, architecture: str, recipes: Sequence[Recipe], *, units_per_shard: int
    ) -> None:
        if len(recipes) > MAX_RECIPES:
            raise InputError(
                f"{len(recipes)} recipes cannot be labelled at once: {MAX_RECIPES} at most"
            )
        self._folder, self._architecture = folder, architecture
        self._recipes = tuple(recipes)
        self._units_per_shard = units_per_shard
        self._journal = folder / f"{architecture}.journal.jsonl"
        self.known: set[str] = set()
        """Hashes of the units that are done."""
        self._shards = sorted(folder.glob(f"{architecture}-*.parquet"))
        for path in self._shards:
            found, hashes = _read_hashes(path)
            if found != self._recipes:
                raise ShardCorrupt(f"{path} holds labels of other recipes: name another folder")
            self.known |= hashes
        self._waiting = [
            unit_labels
            for unit_labels in self._read_journal()
            if unit_labels.unit_hash not in self.known
        ]
        self.known |= {unit_labels.unit_hash for unit_labels in self._waiting}

    def _read_journal(self) -> list[UnitLabels]:
        try:
            head, *lines = self._journal.read_bytes().splitlines()
        except (FileNotFoundError, ValueError):
            return []
        try:
            same = json.loads(head)["recipes"] == recipes_hash(self._recipes)
        except (ValueError, KeyError, TypeError):
            return []  # torn while it was begun
        if not same:
            raise ShardCorrupt(
                f"{self._journal} holds labels of other recipes: name another folder"
            )
        found = {}
        for line in lines:
            # A line that a kill tore is left out; the unit is measured again.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                labels = UnitLabels.from_line(line)
                found[labels.unit_hash] = labels
        return list(found.values())

    def add(self, labels: UnitLabels) -> None:
        """Keep the labels of one unit.

        Raises:
            OutputError: they cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._journal.open("ab") as file:
                if not file.tell():
                    head = {"recipes": recipes_hash(self._recipes)}
                    file.write(json.dumps(head).encode() + b"\n")
                # Ends what a kill may have torn; empty lines are left out.
                file.write(b"\n" + labels.to_line())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(f"{self._journal} cannot be written: {error.strerror}") from error
        self.known.add(labels.unit_hash)
        self._waiting.append(labels)
        if len(self._waiting) >= self._units_per_shard:
            self.pack()

    def pack(self) -> None:
        """Make a shard of what is in the journal only.

        Raises:
            OutputError: it cannot be written.
        """
        if not self._waiting:
            return
        number = 1 + max((int(path.stem.rsplit("-", 1)[1]) for path in self._shards), default=-1)
        path = self._folder / f"{self._architecture}-{number:05d}.parquet"
        _write(path, self._waiting, self._recipes)
        self._shards.append(path)
        self._waiting = []
        try:
            self._journal.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self._journal} cannot be removed: {error.strerror}") from error

    @property
    def shards(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(self._shards)

    @property
    def waiting(self) -> tuple[UnitLabels, ...]:
        """What is in the journal only."""
        return tuple(self._waiting)

    @property
    def num_bytes(self) -> int:
        """What the shards take."""
        return sum(path.stat().st_size for path in self._shards)


def _write(path: Path, labels: Sequence[UnitLabels], recipes: Sequence[Recipe]) -> None:
    pyarrow, _ = require_pyarrow()
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for unit in labels:
        whole = FunctionLabel(
            name="", is_root=True, size_bytes=unit.size_bytes, text_bytes=unit.text_data_bytes
        )
        for function_label in (whole, *unit.functions):
            rows["unit_hash"].append(unit.unit_hash)
            rows["target_triple"].append(unit.target_triple)
            rows["split"].append(unit.split)
            rows["package"].append(unit.package)
            rows["function"].append(function_label.name)
            rows["is_root"].append(function_label.is_root)
            for name in _LISTS:
                rows[name].append(getattr(function_label, name))
    kinds = {name: pyarrow.list_(pyarrow.int32()) for name in _LISTS}
    kinds |= {"needs_with": pyarrow.list_(pyarrow.int64()), "is_root": pyarrow.bool_()}
    schema = pyarrow.schema(
        [
            pyarrow.field(name, kinds.get(name, pyarrow.string()), nullable=False)
            for name in COLUMNS
        ],
        metadata={"recipes": json.dumps([recipe.text for recipe in recipes])},
    )
    write_table(
        pyarrow.table(rows, schema=schema),
        path,
        compression_level=19,
        use_dictionary=["unit_hash", "target_triple", "split", "package"],
    )


def _recipes_of(table: Any, path: Path) -> tuple[Recipe, ...]:
    try:
        return tuple(
            parse_recipe(text) for text in json.loads((table.schema.metadata or {})[b"recipes"])
        )
    except (KeyError, ValueError, InputError) as error:
        raise ShardCorrupt(f"{path} is no shard of labels: it names no recipes") from error


def _read_hashes(path: Path) -> tuple[tuple[Recipe, ...], set[str]]:
    table = read_table(path, ("unit_hash",))
    return _recipes_of(table, path), set(table.column("unit_hash").unique().to_pylist())


def read_function_labels(path: Path) -> tuple[tuple[Recipe, ...], Iterator[UnitLabels]]:
    """Read one shard: its recipes, and an iterator over its units.

    Raises:
        ShardCorrupt: it is missing, damaged, or no shard of labels.
    """
    table = read_table(path, COLUMNS)
    recipes = _recipes_of(table, path)

    def units() -> Iterator[UnitLabels]:
        whole: dict[str, Any] | None = None
        functions: list[FunctionLabel] = []
        for row in [*table.to_pylist(), None]:
            if row is not None and row["function"] and whole is not None:
                functions.append(
                    FunctionLabel(
                        name=row["function"],
                        is_root=row["is_root"],
                        **{name: tuple(row[name]) for name in _LISTS},
                    )
                )
                continue
            if whole is not None:
                yield UnitLabels(
                    unit_hash=whole["unit_hash"],
                    target_triple=whole["target_triple"],
                    split=whole["split"],
                    package=whole["package"],
                    size_bytes=tuple(whole["size_bytes"]),
                    text_data_bytes=tuple(whole["text_bytes"]),
                    functions=tuple(functions),
                )
            whole, functions = row, []

    return recipes, units()


def read_label_folder(
    folder: Path, architecture: str, recipes: Sequence[Recipe]
) -> Iterator[UnitLabels]:
    """Yield all units of an architecture in a folder, those of the journal too, each once.

    Raises:
        ShardCorrupt: it holds labels of other recipes, a damaged file, or nothing.
    """
    seen: set[str] = set()
    labels = LabelFolder(folder, architecture, recipes, units_per_shard=1)
    if not labels.known:
        raise ShardCorrupt(f"{folder} holds no labels of {architecture}")
    shards = (read_function_labels(path)[1] for path in labels.shards)
    for unit in (*(unit for units in shards for unit in units), *labels.waiting):
        if unit.unit_hash not in seen:
            seen.add(unit.unit_hash)
            yield unit
