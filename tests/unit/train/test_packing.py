from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator

import numpy
import pytest

from llm_compiler.errors import ArtifactError
from llm_compiler.train.packing import IGNORED, Prefetched, Row, Step, pack_rows, read_steps
from llm_compiler.train.sources import Encoded


def document(first: int, length: int, num_prompt: int = 1, task: int = 0) -> Encoded:
    return Encoded(numpy.arange(first, first + length, dtype=numpy.uint16), num_prompt, task)


class Numbers:
    """0 to 3 documents a position; every token says where it is from."""

    def __init__(self, task: int, longest: int = 12) -> None:
        self.task, self.longest = task, longest
        self.fingerprint = f"numbers {task}"

    def at(self, position: int) -> list[Encoded]:
        rng = random.Random(f"{self.task} {position}")
        first = 10_000 * self.task + 30 * position % 9_000
        return [
            document(first + 10 * piece, rng.randint(2, self.longest), 1, self.task)
            for piece in range(rng.choice((0, 1, 1, 3)))
        ]

    def read(self, position: int) -> Iterator[list[Encoded]]:
        return map(self.at, itertools.count(position))


def test_targets_are_the_next_tokens_of_the_answer() -> None:
    (row,) = pack_rows([document(10, 5, 2), document(30, 4, 1, 3), document(50, 2, 0)], 99)
    assert row.ids.tolist() == [10, 11, 12, 13, 14, 30, 31, 32, 33, 50, 51]
    assert row.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1]
    x = IGNORED
    assert row.targets.tolist() == [x, 12, 13, 14, x, 31, 32, 33, x, 51, x]
    assert row.tasks.tolist() == [0] * 5 + [3] * 4 + [0] * 2
    assert (row.lengths, row.num_targets, row.squared_lengths) == ((5, 4, 2), 7, 25 + 16 + 4)


def test_rows_hold_whole_documents() -> None:
    lengths = [3, 4, 4, 9, 1, 1, 10, 2]
    rows = list(pack_rows([document(100 * n, length) for n, length in enumerate(lengths)], 10))
    assert [row.lengths for row in rows] == [(3, 4), (4,), (9, 1), (1,), (10,), (2,)]


def steps(
    state: dict[str, object] | None = None, shard: tuple[int, int] = (0, 1)
) -> Iterator[Step]:
    sources = {"new": Numbers(1), "old": Numbers(2)}
    shares = {"new": 0.85, "old": 0.15}
    return read_steps(sources, shares, row_tokens=20, rows_per_step=4, state=state, shard=shard)


def same(group: list[Row], other: list[Row]) -> bool:
    return [row.ids.tolist() for row in group] == [row.ids.tolist() for row in other]


def test_any_step_can_be_gone_on_from() -> None:
    whole = list(itertools.islice(steps(), 60))
    for number in range(59):
        # As it comes back from a file.
        state = json.loads(json.dumps(whole[number].state))
        again = list(itertools.islice(steps(state), 3))
        for expected, found in zip(whole[number + 1 :], again, strict=False):
            assert same(expected.rows, found.rows), number
            assert expected.state == found.state


def test_nothing_is_lost_and_nothing_comes_twice() -> None:
    rows = [row for step in itertools.islice(steps(), 50) for row in step.rows]
    assert all(len(row.ids) <= 20 for row in rows)
    for task in (1, 2):
        packed = [token for row in rows for token in row.ids[row.tasks == task].tolist()]
        given = (t for p in itertools.count() for d in Numbers(task).at(p) for t in d.ids.tolist())
        assert packed == list(itertools.islice(given, len(packed)))


def test_shares_are_of_tokens() -> None:
    tokens: Counter[int] = Counter()
    for step in itertools.islice(steps(), 100):
        for row in step.rows:
            tokens.update(row.tasks.tolist())
    assert tokens[2] / tokens.total() == pytest.approx(0.15, abs=0.01)


def test_processes_share_the_rows_of_a_step() -> None:
    alone = itertools.islice(steps(), 20)
    shared = zip(steps(shard=(0, 2)), steps(shard=(1, 2)), strict=True)
    for step, (even, odd) in zip(alone, shared, strict=False):
        mixed = [even.rows[0], odd.rows[0], even.rows[1], odd.rows[1]]
        assert same(step.rows, mixed)
        assert step.state == even.state == odd.state


def test_a_source_without_documents_is_given_up() -> None:
    class Empty(Numbers):
        def at(self, position: int) -> list[Encoded]:
            return []

    with pytest.raises(ArtifactError, match="longer than the context"):
        next(read_steps({"a": Empty(1)}, {"a": 1.0}, row_tokens=20, rows_per_step=1))


def test_reading_ahead_gives_the_same_and_passes_errors_on() -> None:
    assert list(itertools.islice(Prefetched(iter(range(9)), 2), 9)) == list(range(9))

    def breaks() -> Iterator[int]:
        yield 1
        raise ArtifactError("broken")

    ahead = Prefetched(breaks(), 2)
    assert next(ahead) == 1
    with pytest.raises(ArtifactError, match="broken"):
        next(ahead)
    ahead.close()
    endless = Prefetched(itertools.count(), 2)
    assert next(endless) == 0
    endless.close()
    assert not endless._thread.is_alive()
