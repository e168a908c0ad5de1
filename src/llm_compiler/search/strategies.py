"""Where candidate lists come from: random, a fixed order, and local search from the best so far.

Each is a strategy in the sense of `search.trial`: a generator of batches. All randomness comes from
the generator given. Where a strategy looks at measurements (local search), the candidates depend on
them too: with another number of workers, states of a module are shared differently, and now and
then a size differs by some bytes (use-list orders), which sends the search another way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterable, Sequence

from llm_compiler.records import PassList
from llm_compiler.search.trial import Batch, Strategy, Trial

__all__ = [
    "fixed",
    "graft",
    "in_rounds",
    "in_sequence",
    "local_search",
    "mutate",
    "random_search",
    "until",
]

_GRAFT_SHARE = 0.4
_SETTINGS_SHARE = 0.08


def random_list(space: Sequence[str], rng: random.Random, max_length: int = 50) -> PassList:
    """Return 1 to `max_length` passes drawn uniformly (the paper, section 3.2)."""
    return PassList(tuple(rng.choice(space) for _ in range(rng.randint(1, max_length))))


def random_search(
    space: Sequence[str], rng: random.Random, *, max_length: int = 50, batch_size: int = 16
) -> Strategy:
    """Draw lists at random until the budget is spent."""

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        while True:
            yield [random_list(space, rng, max_length) for _ in range(batch_size)]

    return strategy


def fixed(lists: Sequence[PassList], *, batch_size: int = 16) -> Strategy:
    """Try given lists in their order (a coreset, a model's answers, frequent winners)."""

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        for start in range(0, len(lists), batch_size):
            yield lists[start : start + batch_size]

    return strategy


def in_rounds(
    choose: Callable[[Trial, int], Sequence[PassList]], counts: Iterable[int]
) -> Strategy:
    """Ask again and again which lists come next, in view of what was measured.

    Args:
        choose: from a trial and a number of lists to the next ones; none ends the strategy.
        counts: how many lists each round asks for.
    """

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        for count in counts:
            chosen = choose(trial, min(count, trial.left))
            if not chosen:
                return
            yield chosen

    return strategy


def in_sequence(*strategies: Strategy) -> Strategy:
    """Run one strategy after another on the same trial."""

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        for item in strategies:
            yield from item(trial)

    return strategy


def until(inner: Strategy, share: float) -> Strategy:
    """Carry out a strategy until a share of the trial's budget is spent."""

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        for batch in inner(trial):
            yield batch
            if trial.share_spent >= share:
                return

    return strategy


def mutate(
    parent: PassList,
    others: Sequence[PassList],
    space: Sequence[str],
    rng: random.Random,
    weights: Sequence[float] | None = None,
    max_length: int = 60,
) -> PassList:
    """Return a list with one or two small changes; `others` lend their tails."""

    def insertable() -> str:
        return rng.choices(space, weights)[0] if weights else rng.choice(space)

    child = parent
    for _ in range(1 if rng.random() < 0.7 else 2):
        kind = rng.random()
        size = len(child)
        if kind < 0.55 or size == 0:
            child = child.with_inserted(rng.randint(0, size), insertable())
        elif kind < 0.70:
            child = child.without(rng.randrange(size))
        elif kind < 0.82:
            child = child.with_replaced(rng.randrange(size), insertable())
        elif kind < 0.90:
            index = rng.randrange(size)
            element = child.elements[index]
            child = child.without(index).with_inserted(rng.randint(0, size - 1), element)
        else:
            other = rng.choice(others)
            cut = rng.randint(0, len(other))
            child = child.with_elements(
                child.elements[: rng.randint(0, size)] + other.elements[cut:]
            )
    return child.with_elements(child.elements[:max_length])


def graft(
    parent: PassList, donors: Sequence[PassList], rng: random.Random, max_length: int = 80
) -> PassList:
    """Return a list with a donor after it: all of it, its tail, or all after a cut parent."""
    donor = rng.choice(donors).elements
    kind = rng.random()
    if kind < 0.5:
        elements = parent.elements + donor
    elif kind < 0.75:
        elements = parent.elements + donor[rng.randint(0, len(donor)) :]
    else:
        elements = parent.elements[: rng.randint(0, len(parent))] + donor
    return parent.with_elements(elements[:max_length])


def local_search(
    space: Sequence[str],
    rng: random.Random,
    *,
    weights: Sequence[float] | None = None,
    donors: Sequence[PassList] = (),
    settings: Sequence[PassList] = (),
    num_parents: int = 4,
    batch_size: int = 8,
    max_length: int = 60,
) -> Strategy:
    """Change the best lists found so far a little, again and again.

    A step is one or two of: insert a pass (most often), drop one, exchange one, move one, or graft
    the tail of another good list. A child that is no worse than its parent takes part from then
    on, so that the search drifts along plateaus.

    Args:
        weights: how often each pass of `space` is inserted; uniform by default.
        donors: lists that are good somewhere (a coreset): two of five children are a parent with
            one of them grafted on, which reaches further than small changes do.
        settings: attributes and options (of recipes without passes) that a child may change to.
        num_parents: how many of the best lists are changed.
    """

    def strategy(trial: Trial) -> Generator[Batch, None, None]:
        proposed: set[PassList] = set()
        parents: list[PassList] = []
        while True:
            parents = _select(trial, parents, num_parents) or [PassList()]
            batch: list[PassList] = []
            for _ in range(20 * batch_size):
                # The best gets half of the children, each later one half of what is left.
                rank = min(int(rng.expovariate(0.7)), len(parents) - 1)
                if len(settings) > 1 and rng.random() < _SETTINGS_SHARE:
                    child = parents[rank].with_settings_of(rng.choice(settings))
                elif donors and rng.random() < _GRAFT_SHARE:
                    child = graft(parents[rank], donors, rng)
                else:
                    child = mutate(parents[rank], parents, space, rng, weights, max_length)
                if child not in trial.known and child not in proposed:
                    proposed.add(child)
                    batch.append(child)
                if len(batch) == batch_size:
                    break
            if not batch:
                return
            # Neighbours in the order of their prefixes share work in one worker.
            batch.sort(key=lambda passes: passes.elements)
            yield batch

    return strategy


def _select(trial: Trial, current: list[PassList], count: int) -> list[PassList]:
    """Return the best lists, one for each outcome: equal modules would give equal children.

    Among lists that end in the same module the one seen last wins when it is not longer: that is
    the drift along a plateau.
    """
    by_outcome: dict[str, PassList] = {}
    for passes, measurement in trial.known.items():
        if not measurement.ok:
            continue
        before = by_outcome.get(measurement.result_hash)
        if before is None or len(passes) <= len(before):
            by_outcome[measurement.result_hash] = passes

    def key(passes: PassList) -> tuple[int, int]:
        value = trial.value(passes)
        assert value is not None
        return value, len(passes)

    return sorted(by_outcome.values(), key=key)[:count]
