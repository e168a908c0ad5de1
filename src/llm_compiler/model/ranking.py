"""Finds the most probable sequences: of a trie, exactly (`most_probable`); of a grammar (`beams`).

Works on the tree after a prompt (`model.decoding`), and knows nothing of prompts, text or
runtimes. Deterministic if the decoder is.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_compiler.model.decoding import (
    Asked,
    Constraint,
    DecodingState,
    Finding,
    FloatArray,
    IdArray,
    log_softmax,
)

__all__ = ["TokenTrie", "beams", "most_probable"]


class TokenTrie:
    """Sequences of tokens as a trie, each of which is known by its place in the list.

    Also a `Constraint`, whose states are nodes. Node 0 is the root. Equal sequences: the first
    counts. None may be empty, or the beginning of another: let each end with a token that stands
    nowhere else.

    Raises:
        ValueError: one is.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        children: list[dict[int, int]] = [{}]
        self.place: dict[int, int] = {}
        """From a leaf to the place of its sequence."""
        for position, sequence in enumerate(sequences):
            node = 0
            for id_ in sequence:
                if id_ not in children[node]:
                    children[node][id_] = len(children)
                    children.append({})
                node = children[node][id_]
            self.place.setdefault(node, position)
        if any(children[node] for node in self.place) or 0 in self.place:
            raise ValueError("a sequence of a trie is empty, or the beginning of another")
        self.children = [dict(sorted(found.items())) for found in children]
        """Of each node: token to node."""
        self.num_choices = sum(len(found) > 1 for found in children)
        """Nodes with more than one child."""
        self.depth = max(map(len, sequences), default=0)
        """Tokens of the longest sequence."""
        self._allowed = [np.array(list(found), dtype=np.int64) for found in self.children]

    def find(self, ids: Sequence[int]) -> int:
        """Return the place of a sequence.

        Raises:
            KeyError: it is none of them.
        """
        node = 0
        for id_ in ids:
            node = self.children[node][id_]
        return self.place[node]

    def start(self) -> int:
        """Return the root."""
        return 0

    def advance(self, state: int, id_: int) -> int:
        """Return a child."""
        return self.children[state][id_]

    def allowed(self, state: int) -> IdArray:
        """Return the tokens of the children."""
        return self._allowed[state]


@dataclass(slots=True)
class _Open:
    """A sequence that goes on: what follows the last node of the tree is `pending`."""

    ids: tuple[int, ...]
    state: Any
    node: int = -1
    pending: tuple[int, ...] = ()
    log_probability: float = 0.0


def _follow(constraint: Constraint, item: _Open) -> IdArray:
    """Take all steps that leave no choice; return what may follow then, all tokens if None."""
    allowed = constraint.allowed(item.state)
    while allowed is not None and len(allowed) == 1:
        id_ = int(allowed[0])
        item.ids += (id_,)
        item.pending += (id_,)
        item.state = constraint.advance(item.state, id_)
        allowed = constraint.allowed(item.state)
    assert allowed is not None, "searches need a constraint"
    return allowed


class _Tree:
    """Numbers the nodes of a state, and reads what is pending."""

    def __init__(self, state: DecodingState, tokens: IdArray) -> None:
        self.state, self.tokens = state, tokens
        self.place: IdArray = np.full(int(tokens.max(initial=-1)) + 1, -1, dtype=np.int64)
        self.place[tokens] = np.arange(len(tokens))
        """Of a token in `tokens`."""
        self._num_nodes = 0

    def read(self, items: Sequence[_Open]) -> FloatArray:
        """Append what is pending of each, and return the log-probabilities: (items, tokens)."""
        ids: list[int] = []
        parents: list[int] = []
        rows = []
        answers = np.empty((len(items), len(self.tokens)), dtype=np.float32)
        waiting = []
        for position, item in enumerate(items):
            if not item.pending and item.node < 0:
                answers[position] = log_softmax(self.state.first[self.tokens])
                continue
            assert item.pending, "this was read before"
            for id_ in item.pending:
                ids.append(id_)
                parents.append(item.node)
                item.node = self._num_nodes + len(ids) - 1
            item.pending = ()
            rows.append(len(ids) - 1)
            waiting.append(position)
        if ids:
            self._num_nodes += len(ids)
            asked = Asked(rows=rows, tokens=self.tokens)
            answers[waiting] = self.state.extend(ids, parents, asked)
        return answers

    def expand(self, item: _Open, allowed: IdArray, row: FloatArray, c: Constraint) -> list[_Open]:
        """Return the children of a sequence that was read, with probabilities that sum to it."""
        steps = log_softmax(row[self.place[allowed]])
        return [
            _Open(
                ids=(*item.ids, id_),
                state=c.advance(item.state, id_),
                node=item.node,
                pending=(id_,),
                log_probability=item.log_probability + float(step),
            )
            for id_, step in zip(allowed.tolist(), steps, strict=True)
        ]


def most_probable(
    state: DecodingState, trie: TokenTrie, num: int, *, batch: int = 512
) -> list[Finding]:
    """Return the `num` most probable sequences of a trie, exactly, the best first.

    At each node the model chooses among the children only, so that the probabilities of all
    sequences sum to 1. Where there is no choice the model is not asked. Equal ones are in the order
    of their tokens.

    Args:
        state: fresh: no nodes yet.
        batch: choices that are read at once. A trie with no more of them takes one forward pass; a
            larger trie is read best first until it is certain which ones win.
    """
    used = {id_ for found in trie.children for id_ in found}
    tree = _Tree(state, np.array(sorted(used), dtype=np.int64))
    if trie.num_choices <= batch:
        return _rank_whole(tree, trie)[:num]
    found: list[Finding] = []
    heap: list[tuple[float, tuple[int, ...], _Open]] = []

    def push(value: _Open) -> None:
        if len(_follow(trie, value)):
            heapq.heappush(heap, (-value.log_probability, value.ids, value))
        else:
            found.append(Finding(ids=value.ids, log_probability=value.log_probability))

    push(_Open((), trie.start()))
    while heap:
        found.sort(key=_order)
        del found[num:]
        if len(found) == num and -heap[0][0] < found[-1].log_probability:
            break
        items = [heapq.heappop(heap)[2] for _ in range(min(batch, len(heap)))]
        for item, row in zip(items, tree.read(items), strict=True):
            for child in tree.expand(item, trie.allowed(item.state), row, trie):
                push(child)
    return sorted(found, key=_order)[:num]


def _rank_whole(tree: _Tree, trie: TokenTrie) -> list[Finding]:
    """Read all nodes that have choices at once, and those above them."""
    order = [0]
    for node in order:
        order.extend(trie.children[node].values())
    needed = [False] * len(order)
    parent = {child: node for node in order for child in trie.children[node].values()}
    for node in reversed(order):
        choices = len(trie.children[node]) > 1
        needed[node] |= choices
        if needed[node] and node:
            needed[parent[node]] = True
    token = {child: id_ for node in order for id_, child in trie.children[node].items()}
    read = [node for node in order[1:] if needed[node]]
    number = {0: -1, **{node: place for place, node in enumerate(read)}}
    chosen = [node for node in order if len(trie.children[node]) > 1]
    asked = [node for node in chosen if node]
    rows: dict[int, FloatArray] = {0: tree.state.first[tree.tokens]}
    if asked:
        answers = tree.state.extend(
            [token[node] for node in read],
            [number[parent[node]] for node in read],
            Asked(rows=[number[node] for node in asked], tokens=tree.tokens),
        )
        rows |= dict(zip(asked, answers, strict=True))
    total = {0: 0.0}
    ids: dict[int, tuple[int, ...]] = {0: ()}
    for node in order:
        found = trie.children[node]
        steps = [0.0] * len(found)
        if len(found) > 1:
            steps = log_softmax(rows[node][tree.place[trie.allowed(node)]]).tolist()
        for (id_, child), step in zip(found.items(), steps, strict=True):
            total[child] = total[node] + step
            ids[child] = (*ids[node], id_)
    return sorted(
        (Finding(ids=ids[leaf], log_probability=total[leaf]) for leaf in trie.place), key=_order
    )


def _order(finding: Finding) -> tuple[float, tuple[int, ...]]:
    return -finding.log_probability, finding.ids


def beams(
    state: DecodingState,
    constraint: Constraint,
    tokens: IdArray,
    num: int,
    *,
    width: int | None = None,
    max_tokens: int,
) -> list[Finding]:
    """Return the most probable sequences of a grammar that a beam search finds, distinct.

    Args:
        state: fresh: no nodes yet.
        constraint: says at each step what may follow (never None).
        tokens: all tokens that it ever allows, ascending.
        width: sequences that go on at each step; None: as many as are wanted.
        max_tokens: longer ones are given up.
    """
    tree = _Tree(state, tokens)
    width = width or num
    found: list[Finding] = []
    live: list[tuple[_Open, IdArray]] = []
    candidates = [_Open((), constraint.start())]
    while candidates:
        live = []
        for candidate in candidates:
            allowed = _follow(constraint, candidate)
            if not len(allowed):
                if len(candidate.ids) <= max_tokens:
                    found.append(
                        Finding(ids=candidate.ids, log_probability=candidate.log_probability)
                    )
            elif len(candidate.ids) < max_tokens:
                live.append((candidate, allowed))
        live.sort(key=lambda pair: (-pair[0].log_probability, pair[0].ids))
        del live[width:]
        found.sort(key=_order)
        del found[num:]
        if not live or (
            len(found) == num and live[0][0].log_probability <= found[-1].log_probability
        ):
            break
        answers = tree.read([item for item, _ in live])
        candidates = [
            child
            for (item, allowed), row in zip(live, answers, strict=True)
            for child in tree.expand(item, allowed, row, constraint)
        ]
    return found
