"""x86-64 code lifted and lowered for AArch64: programs print the same, or a word says why not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.disassembled import RetargetedFunction
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

from .conftest import Compile

pytestmark = pytest.mark.skipif(
    not shutil.which("qemu-aarch64") or not Path("/usr/aarch64-linux-gnu/lib").is_dir(),
    reason="needs qemu-user and a C library for AArch64",
)
TARGET = "aarch64-linux-gnu"
FEW = ExecuteOptions(num_inputs=128, min_inputs=16)

# What a wrong target would show in: variables with pointers in them, of this file and visible;
# extension of arguments and results; two roundings; conversions out of range; a loop that starts in
# front of an array.
PROGRAM = r"""
#include <stdio.h>
static struct entry { int key; const char *name; } entries[] = {{3, "three"}, {5, "five"}};
int visible[4] = {1, -2, 3, 4};
int *where = visible + 1;
static unsigned calls;
_Bool is_negative(signed char c) { calls++; return c < 0; }
double poly(double x) { return x * x * 3.3 + x * 1.1; }
unsigned whole(double x) { return (int)x ^ (unsigned)(x * 2); }
const char *name_of(int key) {
    for (unsigned i = 0; i < 2; i++) if (entries[i].key == key) return entries[i].name;
    return "none";
}
int main(void) {
    volatile double x = 1.2345678, large = 1e300, odd = -large * large * 0;
    printf("%d %d %s %s\n", is_negative(*where), is_negative(visible[0]), name_of(5), name_of(4));
    printf("%.17g %u %u %u %u\n", poly(x), whole(x), whole(large), whole(odd), calls);
    return 0;
}
"""
OBSTACLES = r"""
#include <stdarg.h>
#include <stdio.h>
#include <setjmp.h>
extern struct { float x, y; } point(void);
int many(int n, ...) { va_list l; va_start(l, n); int r = va_arg(l, int); va_end(l); return r; }
long double wide(long double x) { return x + 1; }
jmp_buf here;
int jump(void) { return setjmp(here); }
int count(int *p) { return __sync_fetch_and_add(p, 1); }
float first(void) { return point().x; }
unsigned zeros(unsigned x) { return __builtin_clz(x & 7); }
"""


def answers(compile_c: Compile, source: str, folder: Path) -> ReplayEngine:
    folder.mkdir()
    path = compile_c(source, "answers.ll", "x86_64", "-Oz", "-fPIC")
    with Context() as context:
        module = context.parse(path.read_bytes())
        for name in module.defined_functions():
            with extract_function(module, name) as each_module:
                (folder / f"{name}.ll").write_text(each_module.to_text())
    return ReplayEngine(folder)


def test_a_program_prints_the_same(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c(PROGRAM, "p.o", "x86_64", "-Oz", "-fPIC")
    engine = answers(compile_c, PROGRAM, tmp_path / "answers")
    result = disassemble(
        source, engine, DisassembleOptions(retarget=TARGET, execute=FEW), pool=pool
    )
    assert result.retargeted is not None
    shown = {function.name: function.verdict for function in result.retargeted.functions}
    main = shown.pop("main")
    assert shown == dict.fromkeys(
        ("is_negative", "poly", "whole", "name_of"), LiftVerdict.TESTS_PASSED
    )
    assert main in (LiftVerdict.TESTS_PASSED, LiftVerdict.UNPROVED)
    assert result.retargeted.is_complete
    module, program = tmp_path / "arm.ll", tmp_path / "arm"
    module.write_text(result.retargeted.module)
    clang = toolchain.tool("clang")
    linked = run([clang, f"--target={TARGET}", "-O2", module, "-o", program], timeout_s=60)
    assert linked.ok, linked.stderr_text
    # `whole` of numbers out of range: what x86-64 gives, in C undefined.
    assert run(["qemu-aarch64", "-L", f"/usr/{TARGET}", program], timeout_s=30).stdout == (
        b"1 0 five none\n6.3877448342295722 3 2147483648 2147483648 2\n"
    )


def test_what_cannot_go_to_another_target_says_why(
    compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c(OBSTACLES, "p.o", "x86_64", "-Oz", "-fPIC")
    engine = answers(compile_c, OBSTACLES, tmp_path / "answers")
    result = disassemble(
        source, engine, DisassembleOptions(retarget=TARGET, execute=FEW), pool=pool
    )
    assert result.retargeted is not None
    assert not result.is_complete
    found: dict[str, RetargetedFunction] = {
        function.name: function for function in result.retargeted.functions
    }
    for name, words in (
        ("many", "a variable number of arguments"),
        ("wide", "80-bit numbers"),
        ("jump", "calls _setjmp, which works on a jmp_buf"),
        ("count", "synchronises threads"),
        ("first", "may pass a struct to point"),
    ):
        assert words in found[name].reason, found[name]
        assert found[name].verdict is LiftVerdict.NO_ANSWER
    # The IR lowers to the very same x86-64 code, and leaves open what that does with 0.
    lifted = {function.name: function.verdict for function in result.functions}
    assert lifted["zeros"] is LiftVerdict.EXACT
    assert found["zeros"].verdict is LiftVerdict.REFUTED
    assert found["zeros"].reason.startswith("it returns 0x20 instead of 0x")
    assert found["zeros"].counterexample is not None
    assert "\ndefine " not in result.retargeted.module
    assert "; wide: no_answer (not defined): it computes with 80-bit" in result.retargeted.module


@pytest.mark.parametrize(
    ("name", "architecture", "target", "words"),
    [
        ("p.o", "x86_64", "riscv64-linux-gnu", "for aarch64-linux-gnu only"),
        ("p.o", "aarch64", TARGET, "takes x86-64 code"),
        ("p", "x86_64", TARGET, "is linked"),
    ],
)
def test_other_pairs_of_targets_are_refused(
    name: str,
    architecture: str,
    target: str,
    words: str,
    compile_c: Compile,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    source = compile_c("int main(void) { return 0; }", name, architecture)
    with pytest.raises(ConfigError, match=words):
        disassemble(source, ReplayEngine(tmp_path), DisassembleOptions(retarget=target), pool=pool)
