"""Budgets of evaluations and of seconds, and what is left of them for minimisation."""

from __future__ import annotations

import math
import time
from collections.abc import Generator

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.optimization.options import Effort, OptimizeOptions
from llm_compiler.records import Measurement, PassList, Status
from llm_compiler.search.strategies import until
from llm_compiler.search.trial import Batch, Trial, run_trials
from llm_compiler.workers.fake import FakePool

OK = Measurement(status=Status.OK, size_bytes=10)


def endless(trial: Trial) -> Generator[Batch, None, None]:
    number = 0
    while True:
        yield [PassList((f"p{number}",))]
        number += 1


def test_until_leaves_the_rest_of_the_evaluations() -> None:
    trial = Trial(bitcode=b"", budget=20)
    for batch in until(endless, 0.5)(trial):
        for recipe in batch:
            trial.add(recipe, OK)
    assert trial.num_evaluations == 10
    assert trial.share_spent == 0.5
    assert trial.left == 10


def test_until_counts_seconds_where_they_are_spent_first() -> None:
    trial = Trial(bitcode=b"", budget=1000, seconds=10.0, started=time.monotonic() - 6.0)
    steps = until(endless, 0.5)(trial)
    next(steps)
    assert next(steps, None) is None
    assert trial.share_spent >= 0.6
    assert trial.left == 1000


def test_no_time_left_is_no_budget_left() -> None:
    trial = Trial(bitcode=b"", budget=1000, seconds=1.0, started=time.monotonic() - 2.0)
    assert trial.left == 0
    assert Trial(bitcode=b"", budget=7).left == 7
    assert Trial(bitcode=b"", budget=7).share_spent == 0.0


def test_a_search_ends_in_time() -> None:
    def slowly(trial: Trial) -> Generator[Batch, None, None]:
        for batch in endless(trial):
            time.sleep(0.01)
            yield batch

    trial = Trial(bitcode=b"", budget=100_000, seconds=0.1)
    start = time.monotonic()
    (done,) = run_trials(FakePool(lambda job, step: Status.REFUSED), [(trial, slowly)])
    assert time.monotonic() - start < 5
    assert 0 < done.num_evaluations < 1000


def test_efforts_grow() -> None:
    totals = [effort.candidates + effort.budget for effort in Effort]
    assert totals == sorted(totals)
    assert len(set(totals)) == len(totals)
    default = OptimizeOptions()
    assert (default.candidates, default.budget) == (
        Effort.DEFAULT.candidates,
        Effort.DEFAULT.budget,
    )
    assert default.seconds == math.inf
    with pytest.raises(ConfigError, match="seconds"):
        OptimizeOptions(seconds=0.0)
