"""Orders in which any beginning is a fair sample: groups take turns, drawn by a seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

__all__ = ["draw_evenly", "spread", "take_turns"]

_T = TypeVar("_T")


def take_turns(queues: Sequence[Sequence[_T]]) -> list[_T]:
    """Return the first of each queue, then the second of each, and so on.

    >>> take_turns(["abc", "d", "ef"])
    ['a', 'd', 'e', 'b', 'f', 'c']
    """
    longest = max(map(len, queues), default=0)
    return [queue[rank] for rank in range(longest) for queue in queues if rank < len(queue)]


def spread(
    items: Sequence[_T], keys: Sequence[Callable[[_T], str]], seed: int | str = 0
) -> list[_T]:
    """Order items so that the groups of the first key take turns, in each those of the next.

    The order of groups depends on the seed and their names; within the last key's groups items stay
    in their order.
    """
    if not keys:
        return list(items)
    groups: dict[str, list[_T]] = {}
    for item in items:
        groups.setdefault(keys[0](item), []).append(item)
    names = sorted(groups)
    # Seeded by text, which goes through SHA-512: the same on every machine, unlike hash().
    random.Random(f"{seed}").shuffle(names)
    return take_turns([spread(groups[name], keys[1:], f"{seed}:{name}") for name in names])


def draw_evenly(
    items: Sequence[_T],
    cell: Callable[[_T], str],
    keys: Sequence[Callable[[_T], str]],
    *,
    count: int = 0,
    seed: int = 0,
) -> list[_T]:
    """Draw `count` items of each cell (0: all), in an order in which cells take turns.

    Args:
        cell: what each has a sample of its own: a target, say.
        keys: as in `spread`, within a cell.
    """
    cells: dict[str, list[_T]] = {}
    for item in items:
        cells.setdefault(cell(item), []).append(item)
    return take_turns(
        [spread(cells[name], keys, f"{seed}:{name}")[: count or None] for name in sorted(cells)]
    )
