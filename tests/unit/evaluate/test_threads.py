from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.evaluate.rows import Journal
from llm_compiler.evaluate.threads import ThreadTools, work_through


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


def test_threads_share_the_items(tmp_path: Path) -> None:
    pools = Pools()
    seen: list[tuple[int, int]] = []
    with Journal(tmp_path / "journal", {}, Made) as journal:
        done = work_through(
            ITEMS,
            make,
            journal,
            num_threads=2,
            make_pool=pools,
            on_progress=lambda count, total, what: seen.append((count, total)),
        )
        rows = [row for item in ITEMS for row in journal.rows(item.key) or ()]
    assert done == ITEMS
    assert [row.number for row in rows] == list(range(6))
    assert len({row.thread for row in rows}) == 2
    assert (pools.made, pools.open) == (2, 0)
    assert seen == [(count, 6) for count in range(7)]


def test_what_failed_is_done_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    pools, calls = Pools(), []

    def fail(item: Item, tools: ThreadTools) -> list[Made]:
        calls.append(item.number)
        if item.number == 3 and calls.count(3) == 1:
            raise ValueError("no")
        return [Made(item.number, "")]

    for number_of_run in range(2):
        with Journal(tmp_path / "journal", {}, Made) as journal:
            context = pytest.raises(ValueError, match="no")
            with context if number_of_run == 0 else contextlib.nullcontext():
                work_through(ITEMS, fail, journal, num_threads=1, make_pool=pools)
    assert calls == [0, 1, 2, 3, 3, 4, 5]
    assert pools.open == 0


def test_behind_the_deadline_only_a_first_item_is_begun(tmp_path: Path) -> None:
    now = time.monotonic()

    def quick(item: Item, tools: ThreadTools) -> list[Made]:
        return [Made(item.number, "")]

    with Journal(tmp_path / "journal", {}, Made) as journal:
        for deadline, expected in ((now - 1, ITEMS[:1]), (now - 1, ITEMS[:1]), (now + 60, ITEMS)):
            done = work_through(
                ITEMS, quick, journal, num_threads=2, make_pool=Pools(), deadline=deadline
            )
            assert done == expected
