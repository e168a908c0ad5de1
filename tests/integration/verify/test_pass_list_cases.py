"""Known good and bad pass lists stay what they are: one file a case in tests/cases/pass_lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.workers import LocalPool

SLOW = ("attributor", "attributor_cgscc", "attributor_light_before_oz", "coreset_find_2026_11")
CASES = sorted((Path(__file__).parents[2] / "cases" / "pass_lists").glob("*.txt"))


@pytest.fixture(scope="module")
def evaluation() -> Iterator[PassListEval]:
    with LocalPool() as pool:
        with PassListEval(built_in_suite(), architectures=("x86_64",), pool=pool) as found:
            yield found


@pytest.mark.timeout(400)  # the first case prepares the suite
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(path, marks=[pytest.mark.slow] if path.stem in SLOW else [], id=path.stem)
        for path in CASES
    ],
)
def test_case(case: Path, evaluation: PassListEval) -> None:
    comment, text = case.read_text().split("\n", 1)
    expected = comment.removeprefix("# ").split(":")[0].strip()
    if expected == "rejected" and find_toolchain().major != 19:
        expected = ""  # another LLVM may have mended or broken it
    verdict = evaluation.check(parse_pass_list(text.strip()))["x86_64"]
    assert expected in ("", verdict.kind.value), verdict
