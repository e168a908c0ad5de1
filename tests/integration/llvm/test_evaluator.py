"""Shared work gives the same measurements as work done alone."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from llm_compiler.errors import IrParseError, UnsupportedTarget
from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.records import PassList, Status
from llm_compiler.search.strategies import random_list
from llm_compiler.workers import LocalPool, run_jobs

CompileUnit = Callable[[str], bytes]
MEM2REG, SIMPLIFY = "function(mem2reg)", "function(simplifycfg)"


@pytest.fixture
def evaluator(compile_unit: CompileUnit):
    with Evaluator(compile_unit("switch_dense.c")) as each_evaluator:
        yield each_evaluator


def test_a_shared_prefix_is_run_once(evaluator: Evaluator) -> None:
    evaluator.measure(PassList((MEM2REG, SIMPLIFY, "globalopt")))
    assert evaluator.num_pass_runs == 3
    evaluator.measure(PassList((MEM2REG, SIMPLIFY, "globalopt")))
    assert evaluator.num_pass_runs == 3, "known as a whole"
    evaluator.measure(PassList((MEM2REG, SIMPLIFY, "globalopt", MEM2REG)))
    kept = evaluator.num_pass_runs
    evaluator.measure(PassList((MEM2REG, SIMPLIFY, "globalopt", "function(adce)")))
    assert evaluator.num_pass_runs - kept <= 2


def test_a_pass_that_changes_nothing_is_noticed(evaluator: Evaluator) -> None:
    measurement = evaluator.measure(PassList((MEM2REG,)))
    runs = evaluator.num_pass_runs
    # The second mem2reg has nothing to do; more of them are known to have nothing to do.
    twice = evaluator.measure(PassList((MEM2REG, MEM2REG)))
    assert evaluator.num_pass_runs > runs
    assert evaluator.num_code_generations == 1, "the same module is measured once"
    runs = evaluator.num_pass_runs
    many = evaluator.measure(PassList((MEM2REG,) * 30))
    assert evaluator.num_pass_runs == runs
    assert measurement.result_hash == twice.result_hash == many.result_hash
    assert measurement.size_bytes == twice.size_bytes == many.size_bytes


def test_the_empty_list_measures_the_module_itself(evaluator: Evaluator) -> None:
    found = evaluator.measure(PassList())
    assert found.ok
    assert evaluator.num_pass_runs == 0
    assert found.size_bytes > evaluator.measure(PassList(("default<Oz>",))).size_bytes


def test_a_refused_list_leaves_the_evaluator_usable(evaluator: Evaluator) -> None:
    before = evaluator.measure(PassList((MEM2REG,)))
    refused = evaluator.measure(PassList((MEM2REG, "frobnicate")))
    assert refused.status is Status.REFUSED
    assert "frobnicate" in refused.detail
    after = evaluator.measure(PassList((MEM2REG,)))
    assert (after.size_bytes, after.result_hash) == (before.size_bytes, before.result_hash)


def test_renewing_the_context_changes_no_result(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = [PassList((MEM2REG, SIMPLIFY)[: i % 3] + ("globalopt",) * (i % 2)) for i in range(12)]
    before = [evaluator.measure(passes).size_bytes for passes in lists]
    monkeypatch.setattr("llm_compiler.llvm.evaluator._RECYCLE_AFTER", 0)
    evaluator.measure(PassList(("function(dce)", MEM2REG)))
    assert [evaluator.measure(passes).size_bytes for passes in lists] == before


def test_what_is_no_module_is_refused_at_once() -> None:
    with pytest.raises(IrParseError):
        Evaluator(b"nonsense")
    with pytest.raises(UnsupportedTarget):
        Evaluator(b'target triple = "vax-dec-vms"')


def test_sharing_gives_the_results_of_each_list_alone(
    pool: LocalPool, space: tuple[str, ...], compile_unit: CompileUnit
) -> None:
    """Use-list orders are no part of a module's hash; fewer than 3 % may differ for them."""
    compared = different = 0
    for seed, name in enumerate(("switch_state_machine.c", "move_and_copy_counts.cpp")):
        rng = random.Random(seed)
        lists: list[PassList] = []
        for _ in range(50):
            parent = rng.choice(lists) if lists and rng.random() < 0.6 else PassList()
            cut = rng.randint(0, len(parent))
            tail = random_list(space, rng, 6)
            lists.append(PassList(parent.elements[:cut] + tail.elements))
        shared, alone = (
            run_jobs(
                pool,
                [EvaluateJob(bitcode=compile_unit(name), pass_lists=tuple(lists), share=share)],
            )[0]
            for share in (True, False)
        )
        for item, other in zip(shared, alone, strict=True):
            assert item.status == other.status
            compared += 1
            different += (item.size_bytes, item.text_data_bytes, item.num_instructions) != (
                other.size_bytes,
                other.text_data_bytes,
                other.num_instructions,
            )
    print(f"{different} of {compared} differ")
    assert different / compared < 0.03
