"""The documents that have arrived, as rows, endlessly; more may arrive meanwhile.

Each source (a task's documents) is read in an order of its own: what nobody has read yet comes
first, then all again in another order. Which source comes next is decided by tokens: the one that
has the share that lags most. A thread reads ahead and looks for new parts. Needs numpy.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_compiler.errors import ArtifactError
from llm_compiler.kit.parts import Part, find_parts
from llm_compiler.kit.rows import FixedRow, TreePiece, fill, make_fixed_row, tree_piece
from llm_compiler.model.label_shards import LabelShards
from llm_compiler.train.configs import LabelConfig
from llm_compiler.train.sources import LabelledDocuments

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["Pool"]

_POLL_S = 3.0
_LABELS = "flag-tuning"


class Pool:
    """What the parts of a folder hold.

    Args:
        folder: where parts arrive.
        seed: decides all orders.
        wait_s: how long to wait for the first part.

    Raises:
        ArtifactError: no part has come.
    """

    def __init__(self, folder: Path, *, seed: int, wait_s: float = 0.0) -> None:
        import numpy

        self._folder, self._known = folder, set[Path]()
        self._rng = numpy.random.default_rng(seed)
        self.store: NDArray[numpy.uint16] = numpy.zeros(0, numpy.uint16)
        self._tables: dict[str, NDArray[numpy.int64]] = {}
        self._queues: dict[str, deque[int]] = {}
        self._labels: list[LabelledDocuments] = []
        self._modules: list[tuple[int, Any]] = []
        self._shards: list[LabelShards] = []
        self._spent: dict[str, float] = {}
        self.read: dict[str, int] = {}
        """Tokens read, by source."""
        self.plan: dict[str, Any] = {}
        self.parts: list[int] = []
        self._looked = 0.0
        self.first: Part | None = None
        """The part that holds the tokenizer and the weights to start from."""
        end = time.monotonic() + wait_s
        while not self.look() or self.first is None:
            if time.monotonic() >= end:
                raise ArtifactError(f"no complete first part has come to {folder}")
            time.sleep(0.5)

    @property
    def num_tokens(self) -> int:
        """Of all plain documents that are there."""
        return len(self.store)

    def look(self) -> bool:
        """Take in the parts that have arrived; return whether there are any."""
        self._looked = time.monotonic()
        for part in find_parts(self._folder, self._known):
            self.parts.append(part.number)
            self.plan = self.plan or part.plan
            if part.number == 0:
                self.first = part
            self._add_labels(part)
            self._add_documents(part)
        return bool(self.parts)

    def _add_labels(self, part: Part) -> None:
        with tempfile.TemporaryDirectory() as folder:
            if not part.unpack("labels", Path(folder)):
                return
            config = LabelConfig(**part.plan["labels"])
            shards = LabelShards(Path(folder))
        number = len(self._labels)
        self._labels.append(LabelledDocuments(shards, config, part.plan["context"]))
        self._shards.append(shards)
        self._modules += [(number, place) for place in shards.of_split("train")]
        self._queues[_LABELS] = deque(self._rng.permutation(len(self._modules)).tolist())

    def _add_documents(self, part: Part) -> None:
        import numpy

        tokens, tables = [self.store], dict[str, list[Any]]()
        start = len(self.store)
        for source, found in part.documents():
            sizes = found.table[:, 0].astype(numpy.int64)
            firsts = start + numpy.cumsum(sizes) - sizes
            rest = found.table.astype(numpy.int64)
            tables.setdefault(source, []).append(numpy.column_stack([firsts, rest]))
            tokens.append(found.tokens)
            start += len(found.tokens)
        self.store = numpy.concatenate(tokens)
        for source, found_tables in tables.items():
            old = self._tables.get(source, numpy.zeros((0, 4), numpy.int64))
            self._tables[source] = numpy.concatenate([old, *found_tables])
            new = len(old) + self._rng.permutation(len(self._tables[source]) - len(old))
            self._queues.setdefault(source, deque()).extendleft(new.tolist())

    def _shares(self) -> dict[str, float]:
        shares: dict[str, float] = self.plan["shares"]
        return {
            name: shares[name]
            for name in shares
            if (len(self._modules) if name == _LABELS else len(self._tables.get(name, ())))
        }

    def _next(self, source: str, size: int) -> int:
        queue = self._queues[source]
        if not queue:
            queue.extend(self._rng.permutation(size).tolist())
        return queue.popleft()

    def _items(self) -> Iterator[tuple[int, Any]]:
        """Yield documents with their lengths: a row of a table, or a tree."""
        for count in itertools.count():
            if count % 64 == 0 and time.monotonic() - self._looked > _POLL_S:
                self.look()
            shares = self._shares()
            if not shares:
                raise ArtifactError("the parts hold no documents of the tasks that are planned")
            source = min(shares, key=lambda name: self._spent.get(name, 0.0) / shares[name])
            if len(self._spent) < len(shares):
                for name in shares:  # one that arrives later begins where the others are
                    self._spent.setdefault(
                        name, self._spent.get(source, 0.0) * shares[name] / shares[source]
                    )
            if source == _LABELS:
                tree = self._tree(self._next(source, len(self._modules)))
                length, item = len(tree), tree
            else:
                table = self._tables[source]
                row = table[self._next(source, len(table))]
                length, item = int(row[1]), row
            self._spent[source] += length
            self.read[source] = self.read.get(source, 0) + length
            yield length, item

    def _tree(self, place: int) -> TreePiece:
        number, module = self._modules[place]
        labels, labelled = self._labels[number], self._shards[number][module]
        whole = bool(self._rng.random() < self.plan["labels"]["whole_share"])
        tried, choices = labels.draw_rounds(labelled, self._rng)
        return tree_piece(
            labels.document(
                labelled,
                whole=whole,
                min_mass=self.plan["labels"]["min_mass"],
                tried=tried,
                choices=choices,
                savings=not whole,
            )
        )

    def rows(self) -> Iterator[FixedRow]:
        """Yield rows, endlessly.

        Raises:
            ArtifactError: there is nothing to read.
        """
        import numpy

        row_tokens, pad = self.plan["row_tokens"], self.plan["pad"]
        for items in fill(self._items(), row_tokens):
            trees = [item for item in items if isinstance(item, TreePiece)]
            plain = [item for item in items if not isinstance(item, TreePiece)]
            table = numpy.stack(plain) if plain else numpy.zeros((0, 4), numpy.int64)
            yield make_fixed_row(self.store, table, trees, row_tokens, pad)
