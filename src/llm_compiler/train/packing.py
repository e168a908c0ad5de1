"""Rows of whole documents: mixing the stages, packing, and the state to go on from.

A row is one sequence of several documents, plain ones and trees (`train.trees`); positions begin at
0 in each, and no document attends to another (`train.language_model`). Rows have no padding and are
at most `row_tokens` long: a document that does not fit begins the next one. Which stage comes next
is decided by tokens: the one whose share lags most.

Every process packs the same rows in the same order and keeps its own, so that any number of
processes trains on the same steps. Needs numpy.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from llm_compiler.errors import ArtifactError
from llm_compiler.train.sources import Encoded, Source
from llm_compiler.train.trees import Choices

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["IGNORED", "Prefetched", "Row", "RowTrees", "Step", "pack_rows", "read_steps"]

IGNORED = -100
"""The target of a position without a loss."""
_MAX_EMPTY = 10_000
"""Positions without a document, one after the other, before a source is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowTrees:
    """The trees of a row: who predicts what, and who attends to whom."""

    parents: NDArray[numpy.int64]
    """(parents,): places in the row that predict, each once, ascending."""
    edge_rows: NDArray[numpy.int64]
    """(edges,): by which of `parents`; ascending."""
    edge_ids: NDArray[numpy.int64]
    """(edges,): the token to predict."""
    edge_weights: NDArray[numpy.float32]
    """(edges,): what its loss is multiplied by."""
    edge_tasks: NDArray[numpy.int64]
    choices: Choices | None
    """Of all documents that learn distributions; `choice_tasks` are (lists of all trees,)."""
    choice_tasks: NDArray[numpy.int64]
    masks: tuple[NDArray[numpy.bool_] | None, ...]
    """Of each document of the row: which nodes after the prompt attend to which; None for a plain
    one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Documents in one sequence; arrays are (tokens,)."""

    ids: NDArray[numpy.int64]
    positions: NDArray[numpy.int64]
    targets: NDArray[numpy.int64]
    """The next token of the same document where it belongs to the answer, else `IGNORED`."""
    tasks: NDArray[numpy.int64]
    """Of each token, its document's place in `TASKS`."""
    lengths: tuple[int, ...]
    """Of the documents."""
    num_targets: int
    """Of the plain documents."""
    trees: RowTrees | None = None
    """None: all documents are plain."""

    @property
    def squared_lengths(self) -> int:
        """The sum of the documents' squared lengths: what attention costs.

        Of a tree, each node costs twice what it attends to: the mask is no triangle.
        """
        masks = self.trees.masks if self.trees else ()
        nodes = [0 if mask is None else len(mask) for mask in masks] or [0] * len(self.lengths)
        return sum(
            (length - tree) ** 2 + 2 * tree * length
            for length, tree in zip(self.lengths, nodes, strict=True)
        )

    @property
    def num_logits(self) -> int:
        """How many tokens the model's head is applied to."""
        return self.num_targets + (len(self.trees.parents) if self.trees else 0)

    @property
    def weight(self) -> float:
        """What the sum of the losses is divided by for a mean: a plain target counts 1."""
        if self.trees is None:
            return self.num_targets
        choices = self.trees.choices
        trees = round(float(choices.weights.sum())) if choices else 0
        return self.num_targets + float(self.trees.edge_weights.sum()) + trees


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The rows of one optimiser step that are this process's."""

    rows: list[Row]
    state: dict[str, Any] = field(repr=False)
    """Goes into `read_steps` to continue after this step; can be written as JSON."""


def make_row(documents: Sequence[Encoded]) -> Row:
    """Pack documents into one row."""
    import numpy

    lengths = tuple(len(document.ids) for document in documents)
    ids = numpy.concatenate([document.ids for document in documents]).astype(numpy.int64)
    targets = numpy.full(len(ids), IGNORED, dtype=numpy.int64)
    start = 0
    for encoded, length in zip(documents, lengths, strict=True):
        first = start + max(encoded.num_prompt, 1)  # nothing stands before a document's first token
        if encoded.tree is None:
            targets[first - 1 : start + length - 1] = ids[first : start + length]
        start += length
    return Row(
        ids=ids,
        positions=numpy.concatenate([_positions(document) for document in documents]),
        targets=targets,
        tasks=numpy.repeat([document.task for document in documents], lengths),
        lengths=lengths,
        num_targets=int((targets != IGNORED).sum()),
        trees=_row_trees(documents, lengths),
    )


def _positions(document: Encoded) -> NDArray[numpy.int64]:
    import numpy

    if document.tree is None:
        return numpy.arange(len(document.ids))
    prompt = numpy.arange(document.num_prompt)
    return numpy.concatenate([prompt, document.num_prompt - 1 + document.tree.depths])


def _row_trees(documents: Sequence[Encoded], lengths: Sequence[int]) -> RowTrees | None:
    import numpy

    positions, ids, weights, tasks = [], [], [], []
    choices, starts, choice_tasks = [], [], []
    start = 0
    for encoded, length in zip(documents, lengths, strict=True):
        if (tree := encoded.tree) is not None:
            positions.append(start + tree.edge_parents)
            ids.append(tree.edge_ids)
            weights.append(tree.edge_weights)
            tasks.append(numpy.full(len(tree.edge_ids), encoded.task))
            if tree.choices is not None:
                choices.append(tree.choices)
                starts.append(start)
                choice_tasks += [encoded.task] * len(tree.choices.weights)
        start += length
    if not positions:
        return None
    parents, rows = numpy.unique(numpy.concatenate(positions), return_inverse=True)
    return RowTrees(
        parents=parents,
        edge_rows=rows,
        edge_ids=numpy.concatenate(ids),
        edge_weights=numpy.concatenate(weights),
        edge_tasks=numpy.concatenate(tasks),
        choices=Choices.joined(choices, starts) if choices else None,
        choice_tasks=numpy.array(choice_tasks, dtype=numpy.int64),
        masks=tuple(
            None if document.tree is None else document.tree.mask for document in documents
        ),
    )


def pack_rows(documents: Iterable[Encoded], row_tokens: int) -> Iterator[Row]:
    """Yield rows of documents, in their order, and the rest."""
    held: list[Encoded] = []
    length = 0
    for document in documents:
        if held and length + len(document.ids) > row_tokens:
            yield make_row(held)
            held, length = [], 0
        held.append(document)
        length += len(document.ids)
    if held:
        yield make_row(held)


class _Mixture:
    """Documents of several sources by turns; `state` names what comes next."""

    def __init__(
        self, sources: Mapping[str, Source], shares: Mapping[str, float], state: dict[str, Any]
    ) -> None:
        self._sources, self._shares = sources, shares
        self._positions: dict[str, int] = {
            name: state.get("positions", {}).get(name, 0) for name in shares
        }
        self._tokens: dict[str, int] = {
            name: state.get("tokens", {}).get(name, 0) for name in shares
        }
        self._name: str | None = state.get("name")
        self._piece: int = state.get("piece", 0)
        self._readers: dict[str, Iterator[list[Encoded]]] = {}
        self._held: list[Encoded] | None = None

    def state(self) -> dict[str, Any]:
        """Return where the next document is; a reader that begins there gets it first."""
        return {
            "positions": dict(self._positions),
            "tokens": dict(self._tokens),
            "name": self._name if self._piece else None,
            "piece": self._piece,
        }

    def peek(self) -> Encoded:
        """Return the next document."""
        for _ in range(_MAX_EMPTY):
            if self._name is None:
                self._name = min(
                    self._shares, key=lambda name: self._tokens[name] / self._shares[name]
                )
            if self._held is None:
                reader = self._readers.get(self._name)
                if reader is None:
                    reader = self._sources[self._name].read(self._positions[self._name])
                    self._readers[self._name] = reader
                self._held = next(reader)
            if self._piece < len(self._held):
                return self._held[self._piece]
            # A sample without documents, or whose documents are over.
            self._positions[self._name] += 1
            self._name, self._piece, self._held = None, 0, None
        raise ArtifactError(
            f"{_MAX_EMPTY} samples in a row are longer than the context: raise it, or use others"
        )

    def take(self) -> None:
        """Go on after the next document."""
        assert self._name is not None
        assert self._held is not None
        self._tokens[self._name] += len(self._held[self._piece].ids)
        self._piece += 1
        if self._piece == len(self._held):
            self._positions[self._name] += 1
            self._name, self._piece, self._held = None, 0, None


def read_steps(
    sources: Mapping[str, Source],
    shares: Mapping[str, float],
    *,
    row_tokens: int,
    rows_per_step: int,
    state: dict[str, Any] | None = None,
    shard: tuple[int, int] = (0, 1),
) -> Iterator[Step]:
    """Yield steps, endlessly.

    Args:
        sources: by stage; `shares` say which are read, and how much of each, by tokens.
        state: of the step to go on after; None: from the beginning.
        shard: (rank, world): row i of a step is rank i modulo world's.

    Raises:
        ArtifactError: a source gives no documents.
    """
    mixture = _Mixture(sources, shares, state or {})
    rank, world = shard
    while True:
        rows = []
        for number in range(rows_per_step):
            held: list[Encoded] = []
            length = 0
            while not held or length + len(mixture.peek().ids) <= row_tokens:
                held.append(mixture.peek())
                length += len(held[-1].ids)
                mixture.take()
            if number % world == rank:
                rows.append(make_row(held))
        yield Step(rows=rows, state=mixture.state())


_Item = TypeVar("_Item")


class Prefetched(Generic[_Item]):
    """An iterator that is read ahead by a thread; `close` ends it."""

    def __init__(self, items: Iterator[_Item], depth: int) -> None:
        self._queue: queue.Queue[Any] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._fill, args=(items,), name="documents", daemon=True
        )
        self._thread.start()

    def _fill(self, items: Iterator[_Item]) -> None:
        end: BaseException | None = None
        try:
            for item in items:
                if not self._put(item):
                    break
        except BaseException as error:
            end = error
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()
        self._put(end or StopIteration())

    def _put(self, item: Any) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[_Item]:
        return self

    def __next__(self) -> _Item:
        item = self._queue.get()
        if isinstance(item, BaseException):
            self._stopped.set()
            raise item
        found: _Item = item
        return found

    def close(self) -> None:
        """End the thread and what it reads from."""
        self._stopped.set()
        self._thread.join(timeout=60)
