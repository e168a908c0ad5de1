"""Limits of processor time."""

from __future__ import annotations

import math
import time

from llm_compiler.process import run
from llm_compiler.verify.side_by_side.clock import Budget, Clock


def _work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_a_budget_is_spent_by_this_thread_its_programs_and_workers() -> None:
    budget = Budget(5.0)
    _work(0.1)
    after_own = budget.left
    assert 4.0 < after_own <= 4.9
    budget.spend(2.0)
    assert budget.left <= after_own - 2.0
    before = budget.left
    run(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); done"], timeout_s=60)
    assert budget.left < before - 0.02
    budget.spend(9.0)
    assert budget.left < 0


def test_waiting_costs_nothing() -> None:
    budget, clock = Budget(1.0), Clock(0.05)
    time.sleep(0.3)
    assert budget.left > 0.9
    assert not clock.is_over  # in the clock on the wall, a small limit has patience, too
    assert not clock.was_hurried
    _work(0.06)
    assert clock.is_over


def test_no_limit() -> None:
    budget = Budget(math.inf)
    budget.spend(1e9)
    assert budget.left > 1e9
