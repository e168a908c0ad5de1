"""What is kept of lifts, and what names it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from llm_compiler.disassembly.disassembled import DisassembleOptions, LiftedFunction
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.disassembly.lift_records import Lift, Question
from llm_compiler.disassembly.read_function import FunctionText
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.verify.lift_verdict import LiftVerdict
from llm_compiler.verify.side_by_side.options import Counterexample

TOOLCHAIN = cast(Toolchain, SimpleNamespace(version="19.1.7"))


def question(folder: Path, text: str = "f:\n\tretq\n") -> Question:
    function = FunctionText(
        name="f",
        text=text,
        num_instructions=1,
        size_bytes=1,
        is_static=False,
        variables=(),
        static_functions=(),
    )
    proof = cast(Any, SimpleNamespace(is_reencoded=False, code=None))
    return Question(text=function, proof=proof, folder=folder)


def cache_in(folder: Path, model: str = "none") -> LiftCache:
    return LiftCache(folder / "cache", model=model, toolchain=TOOLCHAIN)


def key_of(cache: LiftCache, asked: Question, **changes: Any) -> str:
    settings: dict[str, Any] = {
        "options": DisassembleOptions(),
        "architecture": "x86_64",
        "can_run": True,
        "callees": {"g": (None, 2)},
    } | changes
    options, architecture = settings.pop("options"), settings.pop("architecture")
    return cache.key(asked, options, architecture, **settings)


def test_all_that_an_outcome_depends_on_is_in_the_key(tmp_path: Path) -> None:
    asked = question(tmp_path)
    with cache_in(tmp_path) as cache, cache_in(tmp_path, "embedded 12") as other:
        same = key_of(cache, asked)
        assert same == key_of(cache, question(tmp_path / "elsewhere"))
        assert same == key_of(cache, asked, options=DisassembleOptions(jobs=4, functions=("f",)))
        keys = [
            same,
            key_of(other, asked),
            key_of(cache, question(tmp_path, "f:\n\tnop\n")),
            key_of(cache, asked, architecture="aarch64"),
            key_of(cache, asked, can_run=False),
            key_of(cache, asked, callees={"g": (None, 1)}),
            key_of(cache, asked, callees={}),
            key_of(cache, asked, options=DisassembleOptions(search_s=1)),
            key_of(cache, asked, options=DisassembleOptions(execute=ExecuteOptions(min_inputs=9))),
            key_of(cache, dataclasses.replace(asked, has_outlined_code=True)),
        ]
        assert len(set(keys)) == len(keys)


def outcome(verdict: LiftVerdict, reason: str = "", **more: Any) -> Lift:
    return Lift(outcome=LiftedFunction(name="f", verdict=verdict, reason=reason, **more))


def test_an_outcome_comes_back_as_it_was(tmp_path: Path) -> None:
    asked = question(tmp_path)
    example = Counterexample(arguments=("i32 3",), difference="result", seed=0, number=7)
    lift = outcome(LiftVerdict.REFUTED, "it differs", counterexample=example, ir="define void @f")
    with cache_in(tmp_path) as cache:
        assert cache.get("ab12", asked, TOOLCHAIN) is None
        cache.put("ab12", lift)
        found = cache.get("ab12", asked, TOOLCHAIN)
    assert found is not None
    assert found.outcome == dataclasses.replace(lift.outcome, is_cached=True)


@pytest.mark.parametrize(
    ("verdict", "reason", "is_kept"),
    [
        (LiftVerdict.NO_ANSWER, "no rule for 'fldt', and the model gives no answer", True),
        (LiftVerdict.UNPROVED, "it takes too long on the inputs tried", False),
        (LiftVerdict.NO_ANSWER, "the answer does not lower: timed out after 60 s", False),
        (LiftVerdict.TESTS_PASSED, "not exact: 'call crash'", True),
    ],
)
def test_what_another_run_may_find_is_not_kept(
    tmp_path: Path, verdict: LiftVerdict, reason: str, is_kept: bool
) -> None:
    with cache_in(tmp_path) as cache:
        cache.put("ab12", outcome(verdict, reason))
        assert (cache.get("ab12", question(tmp_path), TOOLCHAIN) is not None) == is_kept


def test_an_entry_of_other_fields_is_none(tmp_path: Path) -> None:
    with cache_in(tmp_path) as cache:
        for body in (b"{}\n", b"no JSON", b"[1]\n", b'{"verdict": "perfect"}\n'):
            cache.put_bytes("ab12", body, room_bytes=1 << 20)
            assert cache.get("ab12", question(tmp_path), TOOLCHAIN) is None
