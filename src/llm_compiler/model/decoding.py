"""Decoding: what a loaded model must be able to do, and answers found on top of that.

A `Decoder` reads a prompt once. Behind it grows a *tree* of nodes, one token each: a node sees the
prompt and its ancestors, so that any number of candidates share the prompt's keys and values, and
a whole trie of pass lists is ranked in one forward pass. `most_probable` finds the best sequences
of a trie, exactly; `beams` those of a grammar; `generate` writes texts, step by step.

Knows nothing of prompts, text or runtimes. Everything here is deterministic if the decoder is.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Constraint",
    "Decoder",
    "DecodingState",
    "Finding",
    "FloatArray",
    "IdArray",
    "TokenTrie",
    "beams",
    "generate",
    "log_softmax",
    "most_probable",
]

FloatArray = NDArray[np.float32]
IdArray = NDArray[np.int64]


class DecodingState(Protocol):
    """A prompt that was read, and the tree of nodes behind it. Valid until the decoder closes."""

    @property
    def num_prompt(self) -> int:
        """Tokens of the prompt."""
        ...

    @property
    def first(self) -> FloatArray:
        """Log-probabilities of the token behind the prompt: (vocab,)."""
        ...

    def extend(
        self,
        ids: Sequence[int],
        parents: Sequence[int],
        *,
        rows: Sequence[int] | None = None,
        tokens: IdArray | None = None,
    ) -> FloatArray:
        """Append nodes to the tree and return the log-probabilities of what follows each.

        Nodes are numbered from 0 in the order in which they are appended, over all calls.

        Args:
            ids: (n,) the nodes' tokens; n may be 0.
            parents: (n,) the number of each one's parent, which is lower than its own (of this
                call or of an earlier one), or -1 for the end of the prompt. The position of a node
                is that behind its parent; it must be within the context.
            rows: which of the n to answer for, by their places in `ids`; None: all.
            tokens: the only tokens that may follow: the log-probabilities are among these, in
                this order (much less work than the whole vocabulary). None: all tokens.

        Returns:
            (rows or n, tokens or vocab) float32, in nats; each row's exponentials sum to 1.

        Raises:
            EngineError: the runtime failed.
        """
        ...


class Decoder(Protocol):
    """A loaded model. Not thread-safe."""

    @property
    def vocab_size(self) -> int:
        """All ids are below it."""
        ...

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        ...

    def start(self, ids: Sequence[int]) -> DecodingState:
        """Read a prompt of at least one token and at most the context.

        Raises:
            EngineError: the runtime failed.
        """
        ...

    def close(self) -> None:
        """Free the model; twice does no harm."""
        ...


class Constraint(Protocol):
    """What may follow, step by step. States are values: any number of them are held at once."""

    def start(self) -> Hashable:
        """Return the state before the first token."""
        ...

    def advance(self, state: Any, id_: int) -> Hashable:
        """Return the state behind a token that was allowed."""
        ...

    def allowed(self, state: Any) -> IdArray | None:
        """Return the tokens that may follow, ascending; None: all; empty: the answer ends here."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A sequence of tokens that was found."""

    ids: tuple[int, ...] = field(repr=False)
    """Behind the prompt; with the end token, if it has one."""
    log_probability: float
    """In nats, under the masks that were applied, of all tokens together; at temperature 1."""
    finished: bool = True
    """Whether it ended by itself, and not at the limit."""


def log_softmax(logits: FloatArray) -> FloatArray:
    """Return the log-probabilities of logits along the last axis, which may be empty."""
    if not logits.size:
        return logits
    logits = logits - logits.max(axis=-1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    return logits


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
        for place, sequence in enumerate(sequences):
            node = 0
            for id_ in sequence:
                if id_ not in children[node]:
                    children[node][id_] = len(children)
                    children.append({})
                node = children[node][id_]
            self.place.setdefault(node, place)
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
    """A sequence that goes on: what is behind the last node of the tree is `pending`."""

    ids: tuple[int, ...]
    state: Any
    node: int = -1
    pending: tuple[int, ...] = ()
    log_probability: float = 0.0


def _follow(constraint: Constraint, one: _Open) -> IdArray:
    """Take all steps that leave no choice; return what may follow then, all tokens if None."""
    allowed = constraint.allowed(one.state)
    while allowed is not None and len(allowed) == 1:
        id_ = int(allowed[0])
        one.ids += (id_,)
        one.pending += (id_,)
        one.state = constraint.advance(one.state, id_)
        allowed = constraint.allowed(one.state)
    assert allowed is not None, "searches need a constraint"
    return allowed


class _Tree:
    """Numbers the nodes of a state, and reads what is pending."""

    def __init__(self, state: DecodingState, tokens: IdArray) -> None:
        self.state, self.tokens = state, tokens
        self._place = np.full(int(tokens.max(initial=-1)) + 1, -1, dtype=np.int64)
        self._place[tokens] = np.arange(len(tokens))
        self._num_nodes = 0

    def read(self, items: Sequence[_Open]) -> FloatArray:
        """Append what is pending of each, and return the log-probabilities: (items, tokens)."""
        ids: list[int] = []
        parents: list[int] = []
        rows = []
        answers = np.empty((len(items), len(self.tokens)), dtype=np.float32)
        waiting = []
        for place, one in enumerate(items):
            if not one.pending and one.node < 0:
                answers[place] = log_softmax(self.state.first[self.tokens])
                continue
            assert one.pending, "this was read before"
            for id_ in one.pending:
                ids.append(id_)
                parents.append(one.node)
                one.node = self._num_nodes + len(ids) - 1
            one.pending = ()
            rows.append(len(ids) - 1)
            waiting.append(place)
        if ids:
            self._num_nodes += len(ids)
            answers[waiting] = self.state.extend(ids, parents, rows=rows, tokens=self.tokens)
        return answers

    def expand(self, one: _Open, allowed: IdArray, row: FloatArray, c: Constraint) -> list[_Open]:
        """Return the children of a sequence that was read, with probabilities that sum to it."""
        steps = log_softmax(row[self._place[allowed]])
        return [
            _Open(
                ids=(*one.ids, id_),
                state=c.advance(one.state, id_),
                node=one.node,
                pending=(id_,),
                log_probability=one.log_probability + float(step),
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
            larger one is read best first until it is certain which ones win.
    """
    used = {id_ for found in trie.children for id_ in found}
    tree = _Tree(state, np.array(sorted(used), dtype=np.int64))
    if trie.num_choices <= batch:
        return _rank_whole(tree, trie)[:num]
    found: list[Finding] = []
    heap: list[tuple[float, tuple[int, ...], _Open]] = []

    def push(one: _Open) -> None:
        if len(_follow(trie, one)):
            heapq.heappush(heap, (-one.log_probability, one.ids, one))
        else:
            found.append(Finding(ids=one.ids, log_probability=one.log_probability))

    push(_Open((), trie.start()))
    while heap:
        found.sort(key=_order)
        del found[num:]
        if len(found) == num and -heap[0][0] < found[-1].log_probability:
            break
        items = [heapq.heappop(heap)[2] for _ in range(min(batch, len(heap)))]
        for one, row in zip(items, tree.read(items), strict=True):
            for child in tree.expand(one, trie.allowed(one.state), row, trie):
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
            rows=[number[node] for node in asked],
            tokens=tree.tokens,
        )
        rows |= dict(zip(asked, answers, strict=True))
    place = np.full(int(tree.tokens.max()) + 1 if len(tree.tokens) else 1, -1, dtype=np.int64)
    place[tree.tokens] = np.arange(len(tree.tokens))
    total = {0: 0.0}
    ids: dict[int, tuple[int, ...]] = {0: ()}
    for node in order:
        found = trie.children[node]
        steps = [0.0] * len(found)
        if len(found) > 1:
            steps = log_softmax(rows[node][place[trie.allowed(node)]]).tolist()
        for (id_, child), step in zip(found.items(), steps, strict=True):
            total[child] = total[node] + step
            ids[child] = (*ids[node], id_)
    return sorted(
        (Finding(ids=ids[leaf], log_probability=total[leaf]) for leaf in trie.place), key=_order
    )


def _order(one: Finding) -> tuple[float, tuple[int, ...]]:
    return -one.log_probability, one.ids


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
        for one in candidates:
            allowed = _follow(constraint, one)
            if not len(allowed):
                if len(one.ids) <= max_tokens:
                    found.append(Finding(ids=one.ids, log_probability=one.log_probability))
            elif len(one.ids) < max_tokens:
                live.append((one, allowed))
        live.sort(key=lambda pair: (-pair[0].log_probability, pair[0].ids))
        del live[width:]
        found.sort(key=_order)
        del found[num:]
        if not live or (
            len(found) == num and live[0][0].log_probability <= found[-1].log_probability
        ):
            break
        answers = tree.read([one for one, _ in live])
        candidates = [
            child
            for (one, allowed), row in zip(live, answers, strict=True)
            for child in tree.expand(one, allowed, row, constraint)
        ]
    return found


def generate(
    state: DecodingState,
    num: int,
    *,
    end: int,
    max_tokens: int,
    constraint: Constraint | None = None,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Finding]:
    """Write up to `num` texts at once and return the distinct ones.

    The first is greedy: the most probable token at each step. The others are drawn at
    `temperature`, each with random numbers of its own, so that more of them do not change the
    first ones; at temperature 0 they are the sequences of a beam search of that width.

    Args:
        state: fresh: no nodes yet.
        end: the token that ends a text; it is the last of `ids`.
        max_tokens: of a text, the end token among them; what is longer is not finished.
    """
    if temperature > 0 or num == 1:
        found = _draw(state, num, end, max_tokens, constraint, temperature, seed)
    else:
        found = _text_beams(state, num, end, max_tokens, constraint)
    return list({one.ids: one for one in found}.values())


@dataclass(slots=True)
class _Branch:
    """A text that is written."""

    ids: tuple[int, ...] = ()
    node: int = -1
    log_probability: float = 0.0
    state: Any = None
    ended: bool = False

    def take(self, id_: int, step: float, end: int, constraint: Constraint | None) -> _Branch:
        """Return the branch with one more token."""
        state = constraint.advance(self.state, id_) if constraint else None
        ended = id_ == end
        if constraint and not ended:
            allowed = constraint.allowed(state)
            ended = allowed is not None and not len(allowed)
        return _Branch((*self.ids, id_), self.node, self.log_probability + step, state, ended)

    def finding(self) -> Finding:
        return Finding(ids=self.ids, log_probability=self.log_probability, finished=self.ended)


def _next(
    row: FloatArray, constraint: Constraint | None, branch: _Branch
) -> tuple[IdArray | None, FloatArray]:
    """Return the tokens that may follow (None: all) and their log-probabilities."""
    allowed = constraint.allowed(branch.state) if constraint else None
    return allowed, row if allowed is None else log_softmax(row[allowed])


def _pick(steps: FloatArray, temperature: float, random: np.random.Generator) -> int:
    """Draw a place, by its log-probability at a temperature."""
    sums = np.exp((steps - steps.max()) / temperature).cumsum(dtype=np.float64)
    return min(int(sums.searchsorted(random.random() * sums[-1], side="right")), len(sums) - 1)


def _draw(
    state: DecodingState,
    num: int,
    end: int,
    max_tokens: int,
    constraint: Constraint | None,
    temperature: float,
    seed: int,
) -> list[Finding]:
    start = constraint.start() if constraint else None
    branches = [_Branch(state=start) for _ in range(num)]
    random = [np.random.default_rng((seed, place)) for place in range(num)]
    rows: dict[int, FloatArray] = dict.fromkeys(range(num), state.first)
    num_nodes = 0
    for step in range(max_tokens):
        # Branches that are equal so far share a node: all of them at the first step.
        shared: dict[tuple[int, ...], int] = {}
        ids: list[int] = []
        parents: list[int] = []
        asked: dict[int, int] = {}
        for place, row in rows.items():
            branch = branches[place]
            allowed, steps = _next(row, constraint, branch)
            best = int(steps.argmax()) if not place else _pick(steps, temperature, random[place])
            id_ = best if allowed is None else int(allowed[best])
            branch = branches[place] = branch.take(id_, float(steps[best]), end, constraint)
            if branch.ended or step == max_tokens - 1:
                continue
            if branch.ids not in shared:
                shared[branch.ids] = len(ids)
                ids.append(id_)
                parents.append(branch.node)
            asked[place] = shared[branch.ids]
            branch.node = num_nodes + asked[place]
        if not ids:
            break
        num_nodes += len(ids)
        answers = state.extend(ids, parents)
        rows = {place: answers[row] for place, row in asked.items()}
    return [branch.finding() for branch in branches]


def _largest(values: FloatArray, num: int) -> list[int]:
    """Return the places of the largest values, descending; of equal ones the first."""
    if len(values) > num:
        bound = np.partition(values, len(values) - num)[len(values) - num]
        places = np.flatnonzero(values >= bound)
    else:
        places = np.arange(len(values))
    order: list[int] = places[np.argsort(-values[places], kind="stable")][:num].tolist()
    return order


def _text_beams(
    state: DecodingState, num: int, end: int, max_tokens: int, constraint: Constraint | None
) -> list[Finding]:
    """Search with `num` beams; the greedy text stays among them and comes first."""
    greedy = _Branch(state=constraint.start() if constraint else None)
    live: list[tuple[_Branch, FloatArray]] = [(greedy, state.first)]
    ended: list[_Branch] = []
    num_nodes = 0
    for step in range(max_tokens):
        grown: list[_Branch] = []
        next_greedy = None
        for branch, row in live:
            allowed, steps = _next(row, constraint, branch)
            for best in _largest(steps, num):
                id_ = best if allowed is None else int(allowed[best])
                grown.append(branch.take(id_, float(steps[best]), end, constraint))
                if branch is greedy and next_greedy is None:
                    next_greedy = grown[-1]
        greedy = next_greedy or greedy
        grown.sort(key=lambda one: (one is not greedy, -one.log_probability, one.ids))
        del grown[num:]
        ended += [one for one in grown if one.ended]
        going = [one for one in grown if not one.ended]
        worst = sorted(-one.log_probability for one in ended)[num - 1 : num]
        if worst and all(-one.log_probability >= worst[0] for one in going if one is not greedy):
            going = [one for one in going if one is greedy]
        if not going or step == max_tokens - 1:
            ended += going
            break
        answers = state.extend([one.ids[-1] for one in going], [one.node for one in going])
        for place, one in enumerate(going):
            one.node = num_nodes + place
        num_nodes += len(going)
        live = list(zip(going, answers, strict=True))
    ended.sort(key=lambda one: (one is not greedy, not one.ended, -one.log_probability, one.ids))
    return [one.finding() for one in ended[:num]]
