"""Writes texts token by token, several at once after one prompt: greedy, drawn, or by beams.

Works on the tree after a prompt (`model.decoding`), and knows nothing of prompts, text or
runtimes. Deterministic if the decoder is.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from llm_compiler.model.decoding import (
    Checker,
    Constraint,
    DecodingState,
    Finding,
    FloatArray,
    IdArray,
    log_softmax,
)

__all__ = ["generate"]

_MAX_REFUSED: Final = 2048
"""A text is given up where this number of tokens, the likeliest first, is refused in one place."""


def generate(
    state: DecodingState,
    num: int,
    *,
    end: int,
    max_tokens: int,
    constraint: Constraint | None = None,
    checker: Checker | None = None,
    temperature: float = 0.0,
    seed: int = 0,
    seconds: float = 0.0,
) -> list[Finding]:
    """Write up to `num` texts at once and return the distinct ones.

    The first is greedy, unless that text cannot be finished: the most probable token at each step.
    The others are drawn at
    `temperature`, each with random numbers of its own, so that more of them do not change the
    first ones; at temperature 0 they are the sequences of a beam search of that width.

    Args:
        state: fresh: no nodes yet.
        end: the token that ends a text; it is the last of `ids`.
        max_tokens: of a text, the end token among them; what is longer is not finished.
        checker: what it refuses is passed over, the next token in turn taken or drawn instead.
        seconds: of a beam search: after half of them the greedy text alone goes on, after all of
            them it is not finished. 0: no limit.
    """
    rules = _Rules(end, constraint, checker)
    if temperature > 0 or num == 1:
        found = _draw(state, num, max_tokens, rules, temperature, seed)
    else:
        found = _text_beams(state, num, max_tokens, rules, seconds)
    return list({finding.ids: finding for finding in found}.values())


@dataclass(frozen=True, slots=True)
class _Rules:
    """What ends a text, and what may stand in it."""

    end: int
    constraint: Constraint | None
    checker: Checker | None

    def start(self) -> _Branch:
        """Return the text before its first token."""
        return _Branch(
            state=self.constraint.start() if self.constraint else None,
            checked=self.checker.start() if self.checker else None,
        )

    def next(self, row: FloatArray, branch: _Branch) -> tuple[IdArray | None, FloatArray]:
        """Return the tokens that may follow (None: all) and their log-probabilities."""
        allowed = self.constraint.allowed(branch.state) if self.constraint else None
        return allowed, row if allowed is None else log_softmax(row[allowed])

    def take(self, branch: _Branch, id_: int, step: float) -> _Branch | None:
        """Return the branch with one more token; None if it may not stand there."""
        checked = None
        if self.checker:
            checked = self.checker.step(branch.checked, id_)
            if checked is None:
                return None
        state = self.constraint.advance(branch.state, id_) if self.constraint else None
        ended = id_ == self.end
        if self.constraint and not ended:
            allowed = self.constraint.allowed(state)
            ended = allowed is not None and not len(allowed)
        ids = (*branch.ids, id_)
        return _Branch(
            ids, branch.node, branch.log_probability + step, state, checked, ended, ended
        )


@dataclass(slots=True)
class _Branch:
    """A text that is written."""

    ids: tuple[int, ...] = ()
    node: int = -1
    log_probability: float = 0.0
    state: Any = None
    checked: Any = None
    ended: bool = False
    """Nothing more is written."""
    finished: bool = False
    """It ended as a text should."""

    def finding(self) -> Finding:
        return Finding(ids=self.ids, log_probability=self.log_probability, finished=self.finished)


def _pick(steps: FloatArray, temperature: float, random: np.random.Generator) -> int:
    """Draw a place, by its log-probability at a temperature."""
    sums = np.exp((steps - steps.max()) / temperature).cumsum(dtype=np.float64)
    return min(int(sums.searchsorted(random.random() * sums[-1], side="right")), len(sums) - 1)


def _order(
    steps: FloatArray, temperature: float, random: np.random.Generator | None
) -> Iterator[int]:
    """Yield places: the likeliest first or, with `random`, as if drawn without replacement."""
    if random is None:
        yield int(steps.argmax())
        scores = steps
    else:
        first = _pick(steps, temperature, random)
        yield first
        # The largest of log-probabilities plus Gumbel noise is drawn by these probabilities.
        noise: FloatArray = random.gumbel(size=len(steps)).astype(steps.dtype)
        scores = steps / temperature + noise
        scores[first] = np.inf
    yield from _largest(scores, min(_MAX_REFUSED, len(steps)))[1:]


def _draw(
    state: DecodingState,
    num: int,
    max_tokens: int,
    rules: _Rules,
    temperature: float,
    seed: int,
) -> list[Finding]:
    branches = [rules.start() for _ in range(num)]
    random = [np.random.default_rng((seed, position)) for position in range(num)]
    rows: dict[int, FloatArray] = dict.fromkeys(range(num), state.first)
    num_nodes = 0
    for step in range(max_tokens):
        # Branches that are equal so far share a node: all of them at the first step.
        shared: dict[tuple[int, ...], int] = {}
        ids: list[int] = []
        parents: list[int] = []
        asked: dict[int, int] = {}
        for position, row in rows.items():
            branch = branches[position] = _drawn(
                rules, branches[position], row, temperature, random[position] if position else None
            )
            if branch.ended or step == max_tokens - 1:
                continue
            if branch.ids not in shared:
                shared[branch.ids] = len(ids)
                ids.append(branch.ids[-1])
                parents.append(branch.node)
            asked[position] = shared[branch.ids]
            branch.node = num_nodes + asked[position]
        if not ids:
            break
        num_nodes += len(ids)
        answers = state.extend(ids, parents)
        rows = {position: answers[row] for position, row in asked.items()}
    return [branch.finding() for branch in branches]


def _drawn(
    rules: _Rules,
    branch: _Branch,
    row: FloatArray,
    temperature: float,
    random: np.random.Generator | None,
) -> _Branch:
    """Return a branch with one more token, greedy without `random`; ended if there is none."""
    allowed, steps = rules.next(row, branch)
    for best in _order(steps, temperature, random):
        id_ = best if allowed is None else int(allowed[best])
        taken = rules.take(branch, id_, float(steps[best]))
        if taken is not None:
            return taken
    branch.ended = True
    return branch


def _largest(values: FloatArray, num: int) -> list[int]:
    """Return the places of the largest values, descending; of equal ones the first."""
    if len(values) > num:
        bound = np.partition(values, len(values) - num)[len(values) - num]
        positions = np.flatnonzero(values >= bound)
    else:
        positions = np.arange(len(values))
    order: list[int] = positions[np.argsort(-values[positions], kind="stable")][:num].tolist()
    return order


def _text_beams(
    state: DecodingState, num: int, max_tokens: int, rules: _Rules, seconds: float
) -> list[Finding]:
    """Search with `num` beams; the greedy text stays among them and comes first."""
    started = time.monotonic()
    greedy = rules.start()
    live: list[tuple[_Branch, FloatArray]] = [(greedy, state.first)]
    ended: list[_Branch] = []
    num_nodes = 0
    for step in range(max_tokens):
        grown: list[_Branch] = []
        next_greedy = None
        for branch, row in live:
            found = list(_best(rules, branch, row, num))
            grown += found
            if branch is greedy:
                next_greedy = found[0] if found else None
                if next_greedy is None:
                    greedy.ended = True
                    ended.append(greedy)
        greedy = next_greedy or greedy
        grown.sort(key=lambda item: (item is not greedy, -item.log_probability, item.ids))
        del grown[num:]
        ended += [item for item in grown if item.ended]
        going = [item for item in grown if not item.ended]
        worst = sorted(-item.log_probability for item in ended if item.finished)[num - 1 : num]
        if worst and all(-item.log_probability >= worst[0] for item in going if item is not greedy):
            going = [item for item in going if item is greedy]
        spent = time.monotonic() - started if seconds else 0.0
        if spent > seconds / 2:
            going = [item for item in going if item is greedy]
        if not going or step == max_tokens - 1 or spent > seconds:
            ended += going
            break
        answers = state.extend([item.ids[-1] for item in going], [item.node for item in going])
        for position, each_branch in enumerate(going):
            each_branch.node = num_nodes + position
        num_nodes += len(going)
        live = list(zip(going, answers, strict=True))
    ended.sort(
        key=lambda item: (not item.finished, item is not greedy, -item.log_probability, item.ids)
    )
    return [item.finding() for item in ended[:num]]


def _best(rules: _Rules, branch: _Branch, row: FloatArray, num: int) -> Iterator[_Branch]:
    """Yield a branch with each of the `num` likeliest tokens, as far as they may follow.

    If none of them may, with the likeliest one that may.
    """
    allowed, steps = rules.next(row, branch)
    order = _largest(steps, num)
    taken = 0
    for position in itertools.count():
        if position == len(order):
            if taken or position > num or position == len(steps):
                return
            order = _largest(steps, min(num + _MAX_REFUSED, len(steps)))
        best = order[position]
        id_ = best if allowed is None else int(allowed[best])
        each_branch = rules.take(branch, id_, float(steps[best]))
        if each_branch is not None:
            yield each_branch
            taken += 1
            if position >= num:
                return
