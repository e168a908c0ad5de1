"""Rows of benchmarks/lift_objects.py: what is asked again, and the table."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

_PATH = Path(__file__).parents[2] / "benchmarks" / "lift_objects.py"


@pytest.fixture(scope="module")
def lift_objects() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("lift_objects", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["lift_objects"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["lift_objects"]


def _line(function: str, verdict: str, **more: object) -> str:
    row = {"file": "a.o", "function": function, "verdict": verdict, "reason": "", **more}
    return json.dumps({"num_instructions": 10, **row})


def test_a_stopped_retry_goes_on(lift_objects: ModuleType) -> None:
    lines = [_line("good", "exact"), _line("f", "unproved"), _line("g", "refuted")]
    rows = lift_objects.read_rows(lines)
    accepted, exact = lift_objects.ACCEPTED, lift_objects.EXACT

    def wanted(enough: tuple[str, ...]) -> list[str]:
        asked = lift_objects.round_to_ask(rows.values(), enough)
        return [row.function for row in rows.values() if lift_objects.is_wanted(row, asked, enough)]

    assert wanted(accepted) == ["f", "g"]
    assert lift_objects.is_wanted(None, 0, accepted)
    # One of the two was done, and is no better: the other is still to be asked.
    rows = lift_objects.read_rows([*lines, _line("f", "unproved", round=1)])
    assert wanted(accepted) == ["g"]
    rows = lift_objects.read_rows(
        [*lines, _line("f", "unproved", round=1), _line("g", "tests_passed", round=1)]
    )
    assert wanted(accepted) == ["f"]
    assert wanted(exact) == ["f", "g"]
    assert lift_objects.round_to_ask(rows.values(), accepted) == 2


def test_the_table_has_shares_by_length_and_seconds(lift_objects: ModuleType) -> None:
    rows = lift_objects.read_rows(
        [
            _line("a", "exact", seconds=1.0),
            _line("b", "unproved", seconds=4.0),
            _line("c", "refuted", num_instructions=200, seconds=9.5),
            _line("d", "error", num_instructions=0, seconds=0.5),
        ]
    )
    table = {row[0]: row[1:] for row in lift_objects.table_of(list(rows.values()))}
    assert list(table) == ["9 to 16", "129 and more", "not read", "all"]
    n, lowers, exact, accepted, refuted, median, most, worst = table["all"]
    assert (n, refuted, median, most, worst) == ("4", "1", "2.50", "9.5", "9.5")
    assert lowers.startswith("75.00 % [")
    assert exact == accepted
    assert accepted.startswith("25.00 % [")
