"""Programs assembled from random lists are run, and what breaks one is found."""

from __future__ import annotations

import json

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.verify.pass_list_eval import PassListEval

PROGRAMS = (
    "switch_and_loop_exits",
    "switch_fallthrough_in_loops",
    "exceptions_nested",
    "setjmp_cleanup",
    "coroutine_tasks",
)
_SOUND = [parse_pass_list(text) for text in ("default<Oz>", "sroa,gvn,simplifycfg", "")]


def test_sound_lists_assemble_to_programs_that_do_right(evaluator: PassListEval) -> None:
    found = evaluator.check_assemblies(_SOUND, seed=1)
    assert set(found) == {"x86_64", "aarch64"}
    for assembly_check in found.values():
        assert assembly_check.failures == {}
        assert assembly_check.num_programs == len(PROGRAMS) - 1
        assert "coroutines" in assembly_check.left["coroutine_tasks"]
        drawn = json.loads(assembly_check.drawn["exceptions_nested"])
        assert len(drawn) > 3
        assert set(drawn.values()) <= {passes.text for passes in _SOUND}


def test_the_same_seed_draws_the_same(evaluator: PassListEval) -> None:
    again = [evaluator.check_assemblies(_SOUND, seed=seed)["x86_64"].drawn for seed in (5, 5, 6)]
    assert again[0] == again[1] != again[2]


def test_an_unsound_pass_for_some_functions_is_found(evaluator: PassListEval) -> None:
    lists = [parse_pass_list("structurizecfg"), parse_pass_list("unify-loop-exits")]
    for assembly in evaluator.check_assemblies(lists, seed=1).values():
        assert set(assembly.failures) & {"switch_and_loop_exits", "switch_fallthrough_in_loops"}


def test_lists_are_not_drawn_for_modules_that_they_are_refused_for(evaluator: PassListEval) -> None:
    lists = [parse_pass_list("loop-extract,default<Oz>"), parse_pass_list("default<Oz>")]
    for seed in range(2, 5):
        found = evaluator.check_assemblies(lists, seed=seed)["x86_64"]
        assert set(json.loads(found.drawn["setjmp_cleanup"]).values()) == {"default<Oz>"}
