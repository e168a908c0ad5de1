"""The suite must notice wrong transformations that it was not written against.

A wrong pass is played by editing the textual IR of each program, at every matching place or at one
random place, before the normal way of a list: passes, object, link, run, compare.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.llvm.module_jobs import EmitJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import PassList, Verdict, VerdictKind
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import Suite, built_in_suite
from llm_compiler.verify.wrong_edits import (
    WRONG_EDITS,
    WrongEdit,
    edit_at_one_place,
    edit_everywhere,
)
from llm_compiler.workers import LocalPool, run_jobs

_PROGRAMS = (
    "big_number_arithmetic",
    "bit_tricks",
    "bytecode_vm_switch",
    "comparisons_at_edges",
    "exceptions_nested",
    "float_compare_nan",
    "float_conversions",
    "hash_table_probing",
    "integer_division",
    "integer_shifts_rotates",
    "loop_idioms",
    "loop_nested_break_continue",
    "lz_compressor_roundtrip",
    "sort_algorithms",
    "switch_dense",
    "switch_fallthrough_in_loops",
    "text_codecs",
    "virtual_diamond",
)


@pytest.fixture(scope="module")
def suite() -> Suite:
    return built_in_suite().subset(_PROGRAMS)


@pytest.fixture(scope="module")
def texts(suite: Suite, pool: LocalPool, cache_dir: Path) -> dict[str, str]:
    with PassListEval(suite, architectures=["x86_64"], pool=pool, cache_dir=cache_dir) as plain:
        modules = [plain.prepared("x86_64", p.name)[1].bitcode for p in suite.programs]
    job = EmitJob(modules=tuple(modules), passes=PassList(), kind="text")
    emitted = run_jobs(pool, [job])[0]
    return {p.name: e.data.decode() for p, e in zip(suite.programs, emitted, strict=True)}


def _verdict(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str], passes: str
) -> Verdict:
    with PassListEval(
        suite,
        architectures=["x86_64"],
        pool=pool,
        cache_dir=cache_dir,
        transform=lambda name, _: texts[name].encode(),
        program_timeout_s=1,
    ) as evaluator:
        return evaluator.check(parse_pass_list(passes))["x86_64"]


def test_the_way_through_text_alone_is_harmless(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str]
) -> None:
    assert _verdict(suite, pool, cache_dir, texts, "sroa").kind is VerdictKind.PASSED


@pytest.mark.parametrize("edit", WRONG_EDITS, ids=lambda edit: edit.name)
def test_a_wrong_pass_is_rejected(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str], edit: WrongEdit
) -> None:
    wrong = {key: edit_everywhere(text, edit) for key, text in texts.items()}
    assert wrong != texts, "no program has a place for it"
    verdict = _verdict(suite, pool, cache_dir, wrong, "sroa")
    assert verdict.kind is VerdictKind.REJECTED
    # The edit itself must be valid IR: what is to be noticed is what the program does.
    assert not verdict.reason.startswith("compiler"), verdict


@pytest.mark.parametrize("edit", WRONG_EDITS[::3], ids=lambda edit: edit.name)
def test_a_pass_that_is_wrong_once_in_a_program_is_rejected(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str], edit: WrongEdit
) -> None:
    wrong = {key: edit_at_one_place(text, edit, seed=7) for key, text in texts.items()}
    assert wrong != texts, "no program has a place for it"
    verdict = _verdict(suite, pool, cache_dir, wrong, "sroa")
    assert verdict.kind is VerdictKind.REJECTED
    # The edit itself must be valid IR: what is to be noticed is what the program does.
    assert not verdict.reason.startswith("compiler"), verdict
