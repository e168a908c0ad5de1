"""Mutated IR and bitcode: the front never dies, never hangs, and answers for each input.

LLM_COMPILER_FUZZ_INPUTS sets the number; `benchmarks/fuzz_inputs.py` runs 10,000.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.llvm.module_jobs import InspectJob
from llm_compiler.records import Status
from llm_compiler.workers import LocalPool, run_jobs

NUM_INPUTS = int(os.environ.get("LLM_COMPILER_FUZZ_INPUTS", "1500"))
NUM_PARTS = 6


@pytest.fixture(scope="module")
def fuzz() -> Iterator[ModuleType]:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_inputs.py"
    spec = importlib.util.spec_from_file_location("fuzz_inputs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_inputs"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["fuzz_inputs"]


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(2) as local_pool:
        yield local_pool


@pytest.fixture(scope="module")
def seeds(fuzz: ModuleType, pool: LocalPool) -> tuple[list[bytes], list[bytes]]:
    texts, bitcodes = fuzz.seed_modules(pool)
    return texts, bitcodes


def test_the_seeds_themselves_are_good(
    pool: LocalPool, seeds: tuple[list[bytes], list[bytes]]
) -> None:
    found = run_jobs(pool, [InspectJob(inputs=tuple(seeds[0] + seeds[1]))])[0]
    assert {item.status for item in found} == {Status.OK}


def test_inputs_are_determined_by_their_seed(
    fuzz: ModuleType, seeds: tuple[list[bytes], list[bytes]]
) -> None:
    group, same, other = (list(fuzz.mutated_inputs(*seeds, 40, seed)) for seed in (1, 1, 2))
    assert group == same != other


@pytest.mark.timeout(max(120, NUM_INPUTS // 10))
@pytest.mark.parametrize("part", range(NUM_PARTS))
def test_mutated_inputs_all_get_an_answer(
    fuzz: ModuleType, pool: LocalPool, seeds: tuple[list[bytes], list[bytes]], part: int
) -> None:
    count = NUM_INPUTS // NUM_PARTS
    inputs = list(fuzz.mutated_inputs(*seeds, count, 1000 + part))
    outcomes, slowest = fuzz.run_inputs(pool, inputs)
    print(dict(outcomes), f"slowest {slowest:.1f} s")
    refused = sum(n for name, n in outcomes.items() if name.startswith("inspect"))
    errors = sum(
        n
        for name, n in outcomes.items()
        if name.startswith("compile") and name.removeprefix("compile ") not in set(Status)
    )
    compiled = sum(n for name, n in outcomes.items() if name.startswith("compile")) - errors
    assert refused + errors + compiled / len(fuzz.LISTS) == count
    assert refused > 0
    assert compiled > 0


def test_the_pool_still_works_afterwards(
    pool: LocalPool, seeds: tuple[list[bytes], list[bytes]]
) -> None:
    (found,) = run_jobs(pool, [InspectJob(inputs=(seeds[1][0],))])[0]
    assert found.status is Status.OK
