"""Lifts that are right but for attributes that assembly does not tell become exact."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_compiler.disassemble import Disassembled, DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.llvm import targets
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.verify.variants import variants_of
from llm_compiler.workers import LocalPool

from .conftest import Compile

PROGRAM = """
extern int put(long);
int divide(int x) { return x / 7; }
int largest(const int *a, int n) {
    int most = a[0];
    for (int i = 1; i < n; i++) if (a[i] > most) most = a[i];
    return most;
}
int twice(int x) { return put(x) + put(x + 5000000000); }
"""
NAMES = ["divide", "largest", "twice"]
# As answers of models are restored.
X86_64, AARCH64 = targets.X86_64.name, targets.AARCH64.name
ATTRIBUTES = {X86_64: "minsize optsize", AARCH64: 'minsize optsize "frame-pointer"="non-leaf"'}


def lift(
    compile_c: Compile,
    folder: Path,
    architecture: str,
    flags: list[str],
    *,
    change: tuple[str, str] | None = None,
) -> Disassembled:
    """Lift an object; the answers are clang's own IR of the same flags, with other attributes."""
    answers = folder / "answers"
    answers.mkdir(exist_ok=True)
    path = compile_c(PROGRAM, "answers.ll", architecture, *flags)
    with Context() as context:
        module = context.parse(path.read_bytes())
        for name in module.defined_functions():
            with extract_function(module, name) as each_module:
                text = re.sub(
                    r' (minsize|optsize|"frame-pointer"="\w+")', "", each_module.to_text()
                )
            text = re.sub(r"(?m)^(attributes #\d+ = \{)", rf"\1 {ATTRIBUTES[architecture]}", text)
            text = text.replace(*change) if change and name == NAMES[0] else text
            (answers / f"{name}.ll").write_text(text)
    source = compile_c(PROGRAM, "given.o", architecture, *flags)
    options = DisassembleOptions(execute=ExecuteOptions(num_inputs=8))
    with LocalPool(1) as pool:
        return disassemble(source, ReplayEngine(answers), options, pool=pool)


@pytest.mark.parametrize(
    ("architecture", "flags", "found"),
    [
        (X86_64, ["-O2"], "neither minsize nor optsize"),
        (X86_64, ["-O1", "-fno-omit-frame-pointer"], "frame-pointer=all"),
        (AARCH64, ["-O2"], "neither minsize nor optsize"),
        (AARCH64, ["-Oz", "-fomit-frame-pointer"], "frame-pointer=none"),
    ],
)
def test_attributes_that_the_input_was_made_with_are_found(
    compile_c: Compile, tmp_path: Path, architecture: str, flags: list[str], found: str
) -> None:
    result = lift(compile_c, tmp_path, architecture, flags)
    assert {function.name: function.verdict for function in result.functions} == dict.fromkeys(
        NAMES, LiftVerdict.EXACT
    )
    assert any(found in function.attributes for function in result.functions)
    # The module carries them: it is what the verdict is about.
    assert not any("merged" in function.reason for function in result.functions)


def test_attributes_of_its_own_that_are_right_stay(compile_c: Compile, tmp_path: Path) -> None:
    result = lift(compile_c, tmp_path, X86_64, ["-Oz"])
    assert [function.attributes for function in result.functions] == [""] * 3


def test_no_attributes_make_a_wrong_lift_exact(compile_c: Compile, tmp_path: Path) -> None:
    result = lift(compile_c, tmp_path, X86_64, ["-O2"], change=("sdiv i32 %0, 7", "sdiv i32 %0, 9"))
    assert [function.verdict is LiftVerdict.EXACT for function in result.functions] == [
        False,
        True,
        True,
    ]
    assert result.functions[0].attributes == ""


def test_the_prologue_says_which_frames_are_tried() -> None:
    with_frame = "f:\npushq %rbp\nmovq %rsp, %rbp\npopq %rbp\nretq\n"
    assert {variant.frame_pointer for variant in variants_of("f:\nretq\n", X86_64)} == {"none"}
    assert variants_of(with_frame, X86_64)[0].frame_pointer == "all"
    leaf = "f:\nmov x29, sp\nret\n"
    assert variants_of(leaf, AARCH64)[0].frame_pointer == "all"
    assert variants_of(leaf + "bl g\n", AARCH64)[0].frame_pointer == "non-leaf"
    assert variants_of(leaf, "riscv64") == ()
