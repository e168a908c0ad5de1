from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from llm_compiler.evaluate.flag_tuning.summary import gains, size_class, summarize
from llm_compiler.search.objective import SIZE, TEXT_DATA

from .one_row import ROW


def test_gains_of_known_sizes() -> None:
    total, geomean = gains(np.array([1000, 100, 0]), np.array([500, 100, 7]))
    assert total.value == pytest.approx(1 - 600 / 1100)
    assert geomean.value == pytest.approx(1 - math.sqrt(0.5))
    # Resamples of two modules: both the first, both the second, or one of each.
    assert (geomean.low, geomean.high) == (0.0, 0.5)
    assert gains(np.array([0]), np.array([0]))[0].text() == "—"


def test_intervals_depend_on_the_seed_only() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(200, 3000, 60)
    ours = base - rng.integers(0, 100, 60)
    first, again, other = (gains(base, ours, seed=seed)[0] for seed in (3, 3, 4))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)
    assert first.low < first.value < first.high


def test_summary_with_and_without_backup() -> None:
    rows = [
        ROW,
        replace(ROW, module="n", size_bytes=1100, text_data_bytes=500, verdict="unchecked"),
        replace(ROW, module="o", size_bytes=1000, text_data_bytes=450, ceiling_size_bytes=900),
        replace(ROW, module="q", ceiling_size_bytes=800, ceiling_text_data_bytes=400),
    ]
    coreset = [
        replace(row, contender="coreset", size_bytes=950, text_data_bytes=450) for row in rows
    ]
    found = summarize(rows, objective=SIZE, coreset=coreset)
    assert found.counts == {"size": (2, 1, 1), "text-data": (3, 1, 0)}
    assert found.gains["size", "with", "total"].value == pytest.approx(0.05)
    assert found.gains["size", "without", "total"].value == pytest.approx(0.025)
    assert found.verdicts == {"passed": 3, "unchecked": 1}
    # Of 100 + 200 possible bytes, none and 100 were saved.
    assert (found.potential.value, found.num_with_ceiling) == (pytest.approx(1 / 3), 2)
    assert found.ahead_of_coreset.value == pytest.approx((200 - 200) / 4000)
    assert found.compile_seconds == pytest.approx(2.0)


def test_backup_is_what_optimize_hands_out() -> None:
    base = replace(ROW, baseline_size_bytes=200, baseline_text_data_bytes=150)
    larger_in_all = replace(base, size_bytes=210, text_data_bytes=100)
    found = summarize([larger_in_all], objective=TEXT_DATA)
    assert found.gains["text-data", "with", "total"].value == 0
    assert found.gains["text-data", "without", "total"].value == pytest.approx(1 / 3)
    # Chosen by size, an object may have more .text + .data than clang -Oz's: it counts as it is.
    moved = replace(base, size_bytes=190, text_data_bytes=160)
    found = summarize([moved], objective=SIZE)
    assert found.gains["size", "with", "total"].value == pytest.approx(0.05)
    assert found.gains["text-data", "with", "total"].value == pytest.approx(-1 / 15)


@pytest.mark.parametrize(
    ("size", "name"),
    [(499, "below 500 bytes"), (500, "500 to 999 bytes"), (9000, "8000 bytes and more")],
)
def test_size_classes(size: int, name: str) -> None:
    assert size_class(replace(ROW, baseline_size_bytes=size)) == name
