"""Rows of one fixed length for a compiled step: documents of all tasks, trees among them.

One number a token says who may read it: `last`, the place before which readers stand. Token k is
visible to token q if k <= q < last[k]. For a plain document `last` is its end; in a tree whose
nodes stand in depth-first order, it is the end of the node's subtree. So one rule, without any mask
of the square of the row, covers everything that is packed. Needs numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_compiler.train.sources import Encoded

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

__all__ = ["FixedRow", "TreePiece", "fill", "make_fixed_row", "tree_piece"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TreePiece:
    """A tree document in depth-first order."""

    ids: NDArray[numpy.int64]
    positions: NDArray[numpy.int64]
    last: NDArray[numpy.int64]
    num_prompt: int
    task: int
    edge_parents: NDArray[numpy.int64]
    """(edges,) ascending: places in the document that predict."""
    edge_ids: NDArray[numpy.int64]
    edge_weights: NDArray[numpy.float32]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRow:
    """Documents and padding; arrays are (tokens,) unless said."""

    ids: NDArray[numpy.int64]
    positions: NDArray[numpy.int64]
    last: NDArray[numpy.int64]
    first_block: NDArray[numpy.int32]
    """(blocks,): the first block of tokens that a block of readers sees something of."""
    answer_positions: NDArray[numpy.int64]
    """(predictions,): tokens of plain documents that predict."""
    targets: NDArray[numpy.int64]
    tasks: NDArray[numpy.int64]
    """(predictions,)."""
    edge_places: NDArray[numpy.int64]
    """(parents,): nodes of trees that predict."""
    edge_rows: NDArray[numpy.int64]
    """(edges,): by which of `edge_places`; ascending."""
    edge_ids: NDArray[numpy.int64]
    edge_weights: NDArray[numpy.float32]
    edge_tasks: NDArray[numpy.int64]
    lengths: tuple[int, ...]
    """Of the documents, and last of the padding, if there is any."""
    prompts: tuple[int, ...]
    """Of each document, where its tree begins; its length for a plain one."""
    num_tokens: int
    """Without padding."""
    squared_lengths: int

    @property
    def weight(self) -> float:
        """What the sum of the losses is divided by for a mean."""
        return len(self.answer_positions) + float(self.edge_weights.sum())


def tree_piece(document: Encoded) -> TreePiece:
    """Return a tree document in depth-first order.

    Its distributions over all lists (`trees.Choices`) are predictions of nodes here, weighted by
    their mass: the same minimum as the divergence that `train.language_model` computes.
    """
    import numpy

    tree = document.tree
    assert tree is not None
    prompt, count = document.num_prompt, len(tree.depths)
    # The deepest ancestor is the last one, since parents stand before children.
    above = tree.mask & ~numpy.eye(count, dtype=bool)
    positions = numpy.arange(1, count + 1)
    parents = (above * positions).max(axis=1, initial=0) - 1
    children: list[list[int]] = [[] for _ in range(count + 1)]
    for node, parent in enumerate(parents.tolist()):
        children[parent].append(node)  # of the prompt: the last list
    order: list[int] = []
    waiting = children[-1][::-1] if count else []
    while waiting:
        node = waiting.pop()
        order.append(node)
        waiting += children[node][::-1]
    sizes = tree.mask.sum(axis=0)[order]
    length = prompt + count
    last = numpy.full(length, length)
    last[prompt:] = prompt + numpy.arange(count) + sizes
    moved = numpy.arange(length)
    moved[prompt + numpy.array(order, dtype=int)] = prompt + numpy.arange(count)
    parents_of, ids, weights = tree.edge_parents, tree.edge_ids, tree.edge_weights
    if tree.choices is not None:
        found = _choice_edges(tree.choices)
        parents_of = numpy.concatenate([parents_of, found[0]])
        ids = numpy.concatenate([ids, found[1]])
        weights = numpy.concatenate([weights, found[2]])
    parents_of = moved[parents_of]
    sort = numpy.argsort(parents_of, kind="stable")
    nodes = numpy.arange(prompt, length)[order] if count else numpy.arange(0)
    all_ids = document.ids.astype(numpy.int64)
    return TreePiece(
        ids=numpy.concatenate([all_ids[:prompt], all_ids[nodes]]),
        positions=numpy.concatenate([numpy.arange(prompt), prompt - 1 + tree.depths[order]]),
        last=last,
        num_prompt=prompt,
        task=document.task,
        edge_parents=parents_of[sort],
        edge_ids=ids[sort],
        edge_weights=weights[sort].astype(numpy.float32),
    )


def _choice_edges(choices: Any) -> tuple[Any, Any, Any]:
    """Return parents, tokens and masses of the edges of distributions over lists."""
    import numpy

    probabilities = numpy.exp(choices.log_targets)
    masses = numpy.zeros(len(choices.edge_ids))
    numpy.add.at(masses, choices.pair_edges, probabilities[choices.pair_rows])
    return choices.edge_parents, choices.edge_ids, masses


BLOCK = 128
"""Tokens of a block of the attention's mask."""


def make_fixed_row(
    store: NDArray[numpy.uint16],
    table: NDArray[numpy.int64],
    trees: Sequence[TreePiece],
    row_tokens: int,
    pad: int,
) -> FixedRow:
    """Return a row.

    Args:
        store: the tokens of all plain documents.
        table: (documents, 4) of this row: first token in `store`, tokens, tokens of the prompt,
            task.
        trees: documents that follow the plain ones.
        row_tokens: of the row; the rest is padding, which predicts nothing.
        pad: the token that it consists of.
    """
    import numpy

    starts, sizes, prompts, of_task = table.T
    plain = int(sizes.sum())
    total = plain + sum(map(len, trees))
    assert total <= row_tokens, (total, row_tokens)
    ids = numpy.full(row_tokens, pad, dtype=numpy.int64)
    positions = numpy.zeros(row_tokens, dtype=numpy.int64)
    last = numpy.full(row_tokens, row_tokens, dtype=numpy.int64)
    begins = numpy.cumsum(sizes) - sizes
    document = numpy.repeat(numpy.arange(len(sizes)), sizes)
    offsets = numpy.arange(plain) - begins[document]
    ids[:plain] = store[starts[document] + offsets]
    positions[:plain] = offsets
    last[:plain] = (begins + sizes)[document]
    following = offsets + 1
    predicts = (following >= numpy.maximum(prompts, 1)[document]) & (following < sizes[document])
    answer_positions = numpy.flatnonzero(predicts)
    edges: list[tuple[Any, ...]] = []
    at = plain
    for piece in trees:
        end = at + len(piece)
        ids[at:end], positions[at:end], last[at:end] = piece.ids, piece.positions, at + piece.last
        tasks = numpy.full(len(piece.edge_ids), piece.task)
        edges.append((at + piece.edge_parents, piece.edge_ids, piece.edge_weights, tasks))
        at = end
    positions[at:] = numpy.arange(row_tokens - at) % BLOCK
    parents, edge_ids, weights, edge_tasks = (
        numpy.concatenate([edge[side] for edge in edges]) if edges else numpy.zeros(0, int)
        for side in range(4)
    )
    edge_places, edge_rows = numpy.unique(parents, return_inverse=True)
    rest = [row_tokens - at] if at < row_tokens else []
    lengths = [*sizes.tolist(), *map(len, trees), *rest]
    firsts = numpy.repeat(numpy.cumsum(lengths) - lengths, lengths)
    return FixedRow(
        ids=ids,
        positions=positions,
        last=last,
        first_block=(firsts[::BLOCK] // BLOCK).astype(numpy.int32),
        answer_positions=answer_positions,
        targets=ids[answer_positions + 1],
        tasks=of_task[document[answer_positions]],
        edge_places=edge_places,
        edge_rows=edge_rows,
        edge_ids=edge_ids.astype(numpy.int64),
        edge_weights=weights.astype(numpy.float32),
        edge_tasks=edge_tasks.astype(numpy.int64),
        lengths=tuple(lengths),
        prompts=(*sizes.tolist(), *(tree.num_prompt for tree in trees), *rest),
        num_tokens=at,
        squared_lengths=sum(length * length for length in lengths),
    )


_AHEAD = 64
_ENOUGH = 24


def fill(lengths: Iterator[tuple[int, Any]], row_tokens: int) -> Iterator[list[Any]]:
    """Yield rows of items, endlessly: in turn, and at a row's end whatever fits best.

    Args:
        lengths: items with their lengths, none longer than a row.
    """
    waiting: list[tuple[int, Any]] = []
    while True:
        row: list[Any] = []
        room = row_tokens
        while room > _ENOUGH:
            while len(waiting) < _AHEAD:
                waiting.append(next(lengths))
            if waiting[0][0] <= room:
                length, item = waiting.pop(0)
            else:
                fitting = [place for place, pair in enumerate(waiting) if pair[0] <= room]
                if not fitting:
                    break
                length, item = waiting.pop(max(fitting, key=lambda position: waiting[position][0]))
            row.append(item)
            room -= length
        yield row
