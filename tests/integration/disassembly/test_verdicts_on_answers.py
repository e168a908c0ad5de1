"""A `Lifter` says of every answer what it is worth, not only of the best one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.disassembled import DisassembleOptions
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.verify.execute import Executor
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.target import find_target
from llm_compiler.workers import LocalPool

from .conftest import Compile

RIGHT = """target triple = "x86_64-pc-linux-gnu"
define i32 @twice(i32 %0) #0 {
  %2 = shl i32 %0, 1
  ret i32 %2
}
attributes #0 = { minsize nounwind optsize }
"""
WRONG = RIGHT.replace("shl i32 %0, 1", "add i32 %0, 1")
ODD = RIGHT.replace("shl i32 %0, 1\n", "shl i32 %0, 3\n  %3 = sdiv i32 %2, 4\n").replace(
    "ret i32 %2", "ret i32 %3"
)


@pytest.fixture
def lifter(
    request: pytest.FixtureRequest, compile_c: Compile, tmp_path: Path, toolchain: Toolchain
) -> Iterator[Lifter]:
    binary = read_binary(
        compile_c("int twice(int x) { return x + x; }", "twice.o"), toolchain, tmp_path
    )
    answers = tmp_path / "answers"
    answers.mkdir()
    for name, text in (("", WRONG), (".1", "define nothing"), (".2", RIGHT), (".3", ODD)):
        (answers / f"twice{name}.ll").write_text(text)
    with LocalPool(1) as pool:
        options = DisassembleOptions(candidates=4, **getattr(request, "param", {}))
        yield Lifter(
            binary,
            ReplayEngine(answers),
            options,
            pool=pool,
            toolchain=toolchain,
            executor=Executor(find_target("x86_64", toolchain), tmp_path, options.execute),
            folder=tmp_path,
        )


def test_answers_before_the_exact_one_get_verdicts_too(lifter: Lifter) -> None:
    symbol = lifter._binary.elf.symbol("twice")
    assert symbol is not None
    lift = lifter.lift(symbol)
    assert lift.outcome.verdict is LiftVerdict.EXACT
    assert lift.outcome.num_candidates == 3
    assert [verdict.verdict for verdict in lift.verdicts] == [
        LiftVerdict.UNPROVED,  # not run, since another is exact
        LiftVerdict.NO_ANSWER,
        LiftVerdict.EXACT,
    ]
    assert "no module" in lift.verdicts[1].reason
    assert lift.verdicts[2].answer.code == RIGHT


def test_answers_get_verdicts_one_by_one(lifter: Lifter) -> None:
    """As evaluations ask: what each is worth alone, whatever the others are."""
    symbol = lifter._binary.elf.symbol("twice")
    assert symbol is not None
    question = lifter.read(symbol)
    answers = lifter.answers(question)
    assert [answer.code for answer in answers] == [WRONG, "define nothing", RIGHT, ODD]
    wrong, broken, right, odd = (lifter.verify(question, [answer]) for answer in answers)
    assert wrong.outcome.verdict is LiftVerdict.REFUTED
    assert broken.outcome.verdict is LiftVerdict.NO_ANSWER
    assert right.outcome.verdict is LiftVerdict.EXACT
    assert odd.outcome.verdict is LiftVerdict.REFUTED  # where the product overflows
    assert wrong.outcome.assembly == question.text.text
    unrun = lifter.verify(question, answers[:1], run=False)
    assert unrun.outcome.verdict is LiftVerdict.UNPROVED
    both = lifter.verify(question, answers[:2])
    assert [verdict.verdict for verdict in both.verdicts] == [
        LiftVerdict.REFUTED,
        LiftVerdict.NO_ANSWER,
    ]


@pytest.mark.parametrize("lifter", [{"function_s": 1e-6}], indirect=True)
def test_without_time_left_the_nearest_answer_alone_is_run(lifter: Lifter) -> None:
    """All answers together have one budget; whether code is exact is always asked."""
    symbol = lifter._binary.elf.symbol("twice")
    assert symbol is not None
    question = lifter.read(symbol)
    wrong, _, right, odd = lifter.answers(question)
    found = lifter.verify(question, [odd, wrong])
    assert [verdict.verdict for verdict in found.verdicts] == [
        LiftVerdict.REFUTED,
        LiftVerdict.UNPROVED,
    ]
    assert "the time for this function was used" in found.verdicts[1].reason
    assert lifter.verify(question, [odd, wrong, right]).outcome.verdict is LiftVerdict.EXACT
