from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from llm_compiler.evaluate.threads import ThreadTools, in_threads


@dataclass(frozen=True)
class Item:
    number: int

    @property
    def key(self) -> str:
        return f"item {self.number}"


@dataclass(frozen=True)
class Made:
    number: int
    thread: str


ITEMS = [Item(number) for number in range(6)]


class Pools:
    """Counts what is open, as a pool's owner must close it."""

    def __init__(self) -> None:
        self.made = self.open = 0

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Any]:
        self.made += 1
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1


BOTH = threading.Barrier(2, timeout=60)


def make(item: Item, tools: ThreadTools) -> list[Made]:
    if item.number < 2:
        BOTH.wait()  # so that each thread has one of them
    tools.kept["count"] = tools.kept.get("count", 0) + 1
    assert tools.folder.is_dir()
    return [Made(item.number, threading.current_thread().name)]


def test_threads_share_the_items() -> None:
    pools = Pools()
    found = list(in_threads(ITEMS, make, num_threads=2, make_pool=pools))
    assert {item for item, _ in found} == set(ITEMS)
    assert all(row.number == item.number for item, (row,) in found)
    assert len({row.thread for _, (row,) in found}) == 2
    assert (pools.made, pools.open) == (2, 0)


def test_what_ended_before_a_failure_is_there() -> None:
    pools, calls = Pools(), []

    def fail(item: Item, tools: ThreadTools) -> list[Made]:
        calls.append(item.number)
        if item.number == 3:
            raise ValueError("no")
        return [Made(item.number, "")]

    found = []
    with pytest.raises(ValueError, match="no"):
        found.extend(
            item.number for item, _ in in_threads(ITEMS, fail, num_threads=1, make_pool=pools)
        )
    assert calls == [0, 1, 2, 3]
    assert pools.open == 0


def test_each_is_there_before_the_next_is_begun() -> None:
    begun: list[int] = []

    def note(item: Item, tools: ThreadTools) -> list[Made]:
        begun.append(item.number)
        return []

    for item, _ in in_threads(ITEMS, note, num_threads=1, make_pool=Pools()):
        assert begun == list(range(item.number + 1))


@pytest.mark.parametrize(("has_rows", "expected"), [(False, ITEMS[:1]), (True, [])])
def test_after_the_deadline_only_a_first_item_is_begun(
    has_rows: bool, expected: list[Item]
) -> None:
    found = in_threads(
        ITEMS,
        lambda item, tools: [Made(item.number, "")],
        num_threads=2,
        make_pool=Pools(),
        is_late=lambda begun: begun or has_rows,
    )
    assert [item for item, _ in found] == expected
