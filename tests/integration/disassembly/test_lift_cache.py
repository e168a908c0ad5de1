"""What is kept of lifts that were run: not what a busy machine had no time for."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.verify.side_by_side import clock
from llm_compiler.workers import LocalPool

from .conftest import Compile

# Other code than the original's: it has to be run.
RIGHT = """define i32 @twice(i32 %a) minsize optsize nounwind {
  %place = alloca i32
  store volatile i32 %a, ptr %place
  %again = load volatile i32, ptr %place
  %sum = add i32 %again, %a
  ret i32 %sum
}
"""


def test_what_was_cut_short_is_tried_again(
    compile_c: Compile,
    pool: LocalPool,
    toolchain: Toolchain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    binary = compile_c("int twice(int a) { return a * 2; }", "twice.o")
    (tmp_path / "twice.ll").write_text(RIGHT)
    few = ExecuteOptions(num_inputs=64, num_rounds=0, num_searches=0)
    options = DisassembleOptions(execute=few, keep_unproved=False)
    found = []
    with LiftCache(tmp_path / "cache", model="", toolchain=toolchain) as cache:
        for patience in (0, 1000, 1000):
            monkeypatch.setattr(clock, "_PATIENCE", patience)
            monkeypatch.setattr(clock, "_LEAST_PATIENCE_S", patience)
            result = disassemble(binary, ReplayEngine(tmp_path), options, pool=pool, cache=cache)
            found += [(each.verdict, each.is_cached) for each in result.functions]
    assert found == [
        (LiftVerdict.UNPROVED, False),
        (LiftVerdict.TESTS_PASSED, False),
        (LiftVerdict.TESTS_PASSED, True),
    ]
