"""Writes texts token by token, several at once behind one prompt: greedy, drawn, or by beams.

Works on the tree behind a prompt (`model.decoding`), and knows nothing of prompts, text or
runtimes. Deterministic if the decoder is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_compiler.model.decoding import (
    Constraint,
    DecodingState,
    Finding,
    FloatArray,
    IdArray,
    log_softmax,
)

__all__ = ["generate"]


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
