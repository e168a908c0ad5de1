"""Lifts that nothing speaks for or against take the originals' place where the user asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

from .conftest import Compile

# Other code than the original's, so that running it would have to show that it is right.
RIGHT = """define i32 @twice(i32 %a) minsize optsize nounwind {
  %place = alloca i32
  store volatile i32 %a, ptr %place
  %again = load volatile i32, ptr %place
  %sum = add i32 %again, %a
  ret i32 %sum
}
"""
WRONG = RIGHT.replace("add i32", "sub i32")
UNTESTED = ExecuteOptions(num_inputs=8, num_rounds=0, num_searches=0, min_inputs=1000)


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_unproved_lifts_are_defined_where_asked_for(
    is_asked_for: bool, compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    binary = compile_c("int twice(int a) { return a * 2; }", "twice.o")
    (tmp_path / "twice.ll").write_text(RIGHT)
    options = DisassembleOptions(accept_unproved=is_asked_for, execute=UNTESTED, relink=True)
    result = disassemble(binary, ReplayEngine(tmp_path), options, pool=pool)
    (function,) = result.functions
    assert function.verdict is LiftVerdict.UNPROVED
    assert function.is_accepted == function.is_taken_unproved == is_asked_for
    assert result.is_whole == is_asked_for
    assert ("define i32 @twice(" in result.module) == is_asked_for
    assert ("; twice: unproved (defined: asked for)" in result.module) == is_asked_for
    assert (result.relinked != binary.read_bytes()) == is_asked_for
    assert not result.is_complete


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_what_is_to_work_has_one_object_on_the_stack(
    is_asked_for: bool, compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    """Where objects end is guessed: the nearest answer is to be read, the soundest to be run."""
    binary = compile_c("int twice(int a) { return a * 2; }", "twice.o")
    other = "  %other = alloca i32\n  store volatile i32 0, ptr %other\n"
    nearest = RIGHT.replace("  store volatile", f"{other}  store volatile")
    (tmp_path / "twice.ll").write_text(nearest)
    (tmp_path / "twice.1.ll").write_text(RIGHT)
    options = DisassembleOptions(
        accept_unproved=is_asked_for, execute=UNTESTED, candidates=2, rules=False
    )
    result = disassemble(binary, ReplayEngine(tmp_path), options, pool=pool)
    assert result.functions[0].verdict is LiftVerdict.UNPROVED
    assert result.module.count(" = alloca i32") == (1 if is_asked_for else 2)


def test_refuted_lifts_are_never_taken(compile_c: Compile, pool: LocalPool, tmp_path: Path) -> None:
    binary = compile_c("int twice(int a) { return a * 2; }", "twice.o")
    (tmp_path / "twice.ll").write_text(WRONG)
    options = DisassembleOptions(accept_unproved=True, keep_unproved=False)
    result = disassemble(binary, ReplayEngine(tmp_path), options, pool=pool)
    (function,) = result.functions
    assert function.verdict is LiftVerdict.REFUTED
    assert not function.is_accepted
    assert "define" not in result.module
