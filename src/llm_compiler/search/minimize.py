"""Make a good pass list short and canonical, and then better: the paper's minimisation.

To a fixed point (section 3.3 of the paper): passes that contribute nothing are dropped; neighbours
that commute are bubble-sorted into one order, so that equal lists look equal; and each pass of the
space is tried in front of each position (insertion search), keeping what shrinks the object.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence

from llm_compiler.records import PassList
from llm_compiler.search.trial import Batch, Strategy, Trial

__all__ = ["minimize"]


def minimize(
    space: Sequence[str] = (),
    rng: random.Random | None = None,
    *,
    insertion: bool = True,
    max_rounds: int = 4,
    batch_size: int = 16,
) -> Strategy:
    """Minimise the trial's best list.

    Args:
        space: the passes for the insertion search; none without `insertion`.
        rng: shuffles the insertions, so that a budget that ends early was spent evenly.
    """

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        if trial.best is None:
            return
        current = trial.best
        for _ in range(max_rounds):
            before = current
            current = yield from _drop(trial, current)
            current = yield from _sort(trial, current)
            if insertion and space:
                current = yield from _insert(trial, current, space, rng, batch_size)
            if current == before:
                return

    return strategy


def _drop(trial: Trial, current: PassList) -> Generator[Batch, None, PassList]:
    """Leave out every element without which the object is no larger; large runs first."""
    length = max(1, len(current) // 2)
    while length >= 1:
        position = len(current) - length
        while position >= 0:
            shorter = current.with_elements(
                current.elements[:position] + current.elements[position + length :]
            )
            yield [shorter]
            if _no_worse(trial, shorter, current):
                current = shorter
            position -= length
            position = min(position, len(current) - length)
        length //= 2
    return current


def _sort(trial: Trial, current: PassList) -> Generator[Batch, None, PassList]:
    """Bubble-sort neighbours that commute by name."""
    for _ in range(len(current)):
        changed = False
        for index in range(len(current) - 1):
            if current.elements[index] <= current.elements[index + 1]:
                continue
            swapped = current.with_swapped(index)
            yield [swapped]
            if _no_worse(trial, swapped, current):
                current, changed = swapped, True
        if not changed:
            break
    return current


def _insert(
    trial: Trial,
    current: PassList,
    space: Sequence[str],
    rng: random.Random | None,
    batch_size: int,
) -> Generator[Batch, None, PassList]:
    positions = [(index, name) for index in range(len(current) + 1) for name in space]
    if rng is not None:
        rng.shuffle(positions)
    for start in range(0, len(positions), batch_size):
        batch = sorted(
            {
                current.with_inserted(min(index, len(current)), name)
                for index, name in positions[start : start + batch_size]
            },
            key=lambda passes: passes.elements,
        )
        yield batch
        best = min(batch, key=lambda passes: _value(trial, passes))
        if _value(trial, best) < _value(trial, current):
            current = best
    return current


def _value(trial: Trial, passes: PassList) -> float:
    value = trial.value(passes)
    return float("inf") if value is None else value


def _no_worse(trial: Trial, passes: PassList, than: PassList) -> bool:
    return _value(trial, passes) <= _value(trial, than)
