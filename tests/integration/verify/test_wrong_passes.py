"""The suite must notice wrong transformations that it was not written against.

A wrong pass is played by editing the textual IR of each program, at every matching place or at one
random place, before the normal way of a list: passes, object, link, run, compare.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.llvm.jobs import EmitJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.records import PassList, Verdict, VerdictKind
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import Suite, built_in_suite
from llm_compiler.workers import LocalPool, run_jobs

# Not the first word of a constant expression.
_VALUE = r"[%@\-\d][^,\s]*"
_TYPE = r"(?:i\d+|float|double|<[^>]+>)"


def _binary(operations: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<head>^ +%\S+ = (?:{operations}) (?:[a-z]+ )*{_TYPE} )"
        rf"(?P<a>{_VALUE}), (?P<b>{_VALUE})",
        re.MULTILINE,
    )


_PREDICATES = {"slt": "sle", "sle": "slt", "sgt": "sge", "sge": "sgt", "ult": "ule", "ugt": "uge"}
_PREDICATES |= {"ule": "ult", "uge": "ugt"}

Edit = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

WRONG_PASSES: dict[str, Edit] = {
    "swaps the operands of a subtraction": (
        _binary("sub|fsub"),
        lambda m: f"{m['head']}{m['b']}, {m['a']}",
    ),
    "swaps the operands of a shift or division": (
        _binary("shl|lshr|ashr|sdiv|udiv|srem|urem"),
        lambda m: f"{m['head']}{m['b']}, {m['a']}",
    ),
    "drops a store": (re.compile(r"^ +store .*\n", re.MULTILINE), lambda m: ""),
    "takes < for <= and the like": (
        re.compile(rf"(?<== icmp )({'|'.join(_PREDICATES)})\b"),
        lambda m: _PREDICATES[m[1]],
    ),
    "takes a signed comparison for an unsigned one": (
        re.compile(r"(?<== icmp )s(?=[lg][te] )"),
        lambda m: "u",
    ),
    "changes a constant operand by one": (
        re.compile(rf"(^ +%\S+ = (?:add|sub|mul|and|or|xor) (?:[a-z]+ )*{_TYPE} \S+, )(\d+)", re.M),
        lambda m: f"{m[1]}{int(m[2]) + 1}",
    ),
    "takes zero extension for sign extension": (re.compile(r"= sext\b"), lambda m: "= zext"),
    "takes an arithmetic shift for a logical one": (
        re.compile(r"= lshr (?:exact )?"),
        lambda m: "= ashr ",
    ),
    "takes and for or": (re.compile(r"= or (?:disjoint )?"), lambda m: "= and "),
    "exchanges a switch's first case and its default": (
        re.compile(r"(switch i\d+ \S+, label )(%\S+) \[\n( +i\d+ \S+, label )(%\S+)"),
        lambda m: f"{m[1]}{m[4]} [\n{m[3]}{m[2]}",
    ),
}

_PROGRAMS = (
    "big_number_arithmetic",
    "bit_tricks",
    "bytecode_vm_switch",
    "exceptions_nested",
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


def _everywhere(text: str, edit: Edit) -> str:
    return edit[0].sub(edit[1], text)


def _at_one_place(text: str, edit: Edit, seed: int) -> str:
    places = list(edit[0].finditer(text))
    if not places:
        return text
    place = random.Random(seed).choice(places)
    return text[: place.start()] + edit[1](place) + text[place.end() :]


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


@pytest.mark.parametrize("name", WRONG_PASSES)
def test_a_wrong_pass_is_rejected(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str], name: str
) -> None:
    wrong = {key: _everywhere(text, WRONG_PASSES[name]) for key, text in texts.items()}
    assert wrong != texts, "no program has a place for it"
    verdict = _verdict(suite, pool, cache_dir, wrong, "sroa")
    assert verdict.kind is VerdictKind.REJECTED
    # The edit itself must be valid IR: what is to be noticed is what the program does.
    assert not verdict.reason.startswith("compiler"), verdict


@pytest.mark.parametrize("name", WRONG_PASSES)
def test_a_pass_that_is_wrong_once_in_a_program_is_rejected(
    suite: Suite, pool: LocalPool, cache_dir: Path, texts: dict[str, str], name: str
) -> None:
    edit = WRONG_PASSES[name]
    wrong = {key: _at_one_place(text, edit, seed=7) for key, text in texts.items()}
    assert wrong != texts, "no program has a place for it"
    verdict = _verdict(suite, pool, cache_dir, wrong, "sroa")
    assert verdict.kind is VerdictKind.REJECTED
    # The edit itself must be valid IR: what is to be noticed is what the program does.
    assert not verdict.reason.startswith("compiler"), verdict
