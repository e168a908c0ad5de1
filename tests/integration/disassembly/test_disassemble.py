"""From an object to a module with verdicts: every verdict is shown again by an independent path."""

from __future__ import annotations

import ctypes
import platform
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.disassemble import Disassembled, DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.replay import ReplayEngine
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

from .conftest import TRIPLES, Compile

EXACT, PASSED, REFUTED, NO_ANSWER = (
    LiftVerdict.EXACT,
    LiftVerdict.TESTS_PASSED,
    LiftVerdict.REFUTED,
    LiftVerdict.NO_ANSWER,
)
PROGRAM = r"""
#include <stdio.h>
static int counter;
static const char *const names[3] = {"zero", "one", "two"};
static __attribute__((noinline)) int bump(int by) { counter += by; return counter; }
int classify(int x) {
    switch (x) {
    case 0: return bump(1) + 2;
    case 1: return 7;
    case 2: puts(names[x]); return 2;
    case 3: return x * counter;
    case 4: return -x;
    case 5: return bump(3) + 1;
    }
    return 0;
}
unsigned hash(const char *s) {
    unsigned h = 5381;
    while (*s) h = h * 33 + (unsigned char)*s++;
    return h;
}
int main(void) {
    int t = 0;
    for (int i = -1; i < 8; i++) t += classify(i);
    printf("%d %u %d\n", t, hash("hello"), counter);
    return 0;
}
"""
OUTPUT = b"two\n16 261238937 4\n"
FUNCTIONS = ("classify", "bump", "hash", "main")
Answers = Callable[..., ReplayEngine]


@pytest.fixture
def answers(compile_c: Compile, tmp_path: Path) -> Answers:
    """From changes of the IR's text to an engine that answers with clang's own IR, so changed."""

    def make(
        changes: dict[str, tuple[str, str]] | None = None,
        *,
        level: str = "-Oz",
        architecture: str = "x86_64",
        source: str = PROGRAM,
    ) -> ReplayEngine:
        folder = tmp_path / "answers"
        folder.mkdir(exist_ok=True)
        path = compile_c(source, "answers.ll", architecture, level, "-fPIC")
        with Context() as context:
            module = context.parse(path.read_bytes())
            for name in module.defined_functions():
                with extract_function(module, name) as one:
                    text = one.to_text()
                if changes and name in changes:
                    before, after = changes[name]
                    assert before in text, text
                    text = text.replace(before, after, 1)
                (folder / f"{name}.ll").write_text(text)
        return ReplayEngine(folder)

    return make


def verdicts(result: Disassembled) -> dict[str, LiftVerdict]:
    return {one.name: one.verdict for one in result.functions}


def code_of(path: Path, toolchain: Toolchain) -> dict[str, list[str]]:
    """The instructions and relocations of each function, by llvm-objdump alone."""
    done = run([toolchain.tool("llvm-objdump"), "-dr", "--no-show-raw-insn", path], timeout_s=30)
    found: dict[str, list[str]] = {}
    start, current = 0, found.setdefault("", [])
    for line in done.stdout.decode().splitlines():
        if match := re.match(r"^([0-9a-f]+) <([^.][^>]*)>:$", line):
            start, current = int(match[1], 16), found.setdefault(match[2], [])
        elif match := re.match(r"^\s*([0-9a-f]+):\s+(.*)$", line):
            # Places count from the function; what data is called and where it lies may differ.
            text = re.sub(r"\s*(?:<[^>]*>|//.*|#.*)", "", match[2])
            if place := re.search(r"0x([0-9a-f]+)$", text):
                text = text[: place.start()] + hex(int(place[1], 16) - start)
            if "bump" in text:
                continue  # static: the assembler has filled in the original's call by itself
            text = re.sub(r"^(callq|bl)\s.*", r"\1", text)
            data = r"(R_\w+\s+)[.\w]*(?:rodata|bss|counter|names|\.L)\S*"
            current.append(re.sub(data, r"\1DATA", text))
    return found


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("suffix", [".o", ".s"])
def test_exact_lifts_and_a_program_made_of_them(
    architecture: str,
    suffix: str,
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    source = compile_c(PROGRAM, "p" + suffix, architecture, "-Oz", "-fPIC")
    engine = answers(architecture=architecture)
    result = disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)
    assert verdicts(result) == dict.fromkeys(FUNCTIONS, EXACT)
    assert result.is_complete
    # Independently: clang on the module that is handed out, llvm-objdump on both.
    module, again = tmp_path / "module.ll", tmp_path / "again.o"
    module.write_text(result.module)
    clang = str(toolchain.tool("clang"))
    target = f"--target={TRIPLES[architecture]}"
    flags = ["-Oz", "-Xclang", "-disable-llvm-passes", "-c", str(module), "-o", str(again)]
    assert run([clang, target, *flags], timeout_s=60).ok
    original = compile_c(PROGRAM, "original.o", architecture, "-Oz", "-fPIC")
    ours, theirs = code_of(original, toolchain), code_of(again, toolchain)
    for name in ("classify", "hash", "main"):
        assert theirs[name] == ours[name]
    # The relinked object runs.
    relinked, program = tmp_path / "relinked.o", tmp_path / "program"
    relinked.write_bytes(result.relinked)
    linked = run([clang, target, str(relinked), "-o", str(program)], timeout_s=60)
    assert linked.ok, linked.stderr_text
    runner = [] if architecture == "x86_64" else ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    if runner and not shutil.which(runner[0]):
        pytest.skip("needs qemu-user")
    assert run([*runner, program], timeout_s=30).stdout == OUTPUT


def test_an_executable_is_exact_too(
    answers: Answers, compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    source = compile_c(PROGRAM, "p.o", "x86_64", "-Oz", "-fPIC")
    assert run([toolchain.tool("clang"), source, "-o", program], timeout_s=60).ok
    result = disassemble(program, answers(), pool=pool)
    # What a linker has made of calls and data is read as what an object would hold.
    assert verdicts(result) == dict.fromkeys(FUNCTIONS, EXACT)
    assert not any(one.name.startswith("_") for one in result.functions)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs GCC")
@pytest.mark.parametrize("suffix", [".o", ".s"])
def test_code_of_gcc(
    suffix: str, answers: Answers, compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    text = (
        "unsigned sum(unsigned a, unsigned b) { return a + b; }\n"
        "long less(long a) { return a - 5; }\n"
        "int pick(int a, int b) { return a < b ? a : b; }\n"
    )
    source, output = tmp_path / "gcc.c", tmp_path / ("gcc" + suffix)
    source.write_text(text)
    kind = "-c" if suffix == ".o" else "-S"
    assert run(["gcc", "-O2", "-fcf-protection=none", kind, source, "-o", output], timeout_s=60).ok
    found = verdicts(disassemble(output, answers(source=text, level="-O2"), pool=pool))
    # The two compilers do not order a minimum's instructions alike.
    assert found == {"sum": EXACT, "less": EXACT, "pick": found["pick"]}
    assert found["pick"] in (EXACT, PASSED)


MIX = """
unsigned mix(unsigned a, unsigned b, unsigned n) {
    unsigned h = 5381 ^ a;
    for (unsigned i = 0; i < (n & 15); i++) h = h * 33 + (b >> (i & 7));
    return n > 40 ? h ^ (b * 17) : h + 3;
}
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="calls x86-64 code")
@pytest.mark.parametrize(("before", "after"), [("", ""), ("5381", "5382"), (", 17", ", 19")])
def test_verdicts_of_runs_hold_where_both_are_called(
    before: str,
    after: str,
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    """By ctypes on two shared objects: nothing of our own driver, reader or linker."""
    changes = {"mix": (before, after)} if before else None
    engine = answers(changes, level="-O1", source=MIX)
    source = compile_c(MIX, "mix.o")
    (one,) = disassemble(source, engine, pool=pool).functions
    clang = str(toolchain.tool("clang"))
    original, lifted = tmp_path / "original.so", tmp_path / "lifted.so"
    flags = ["-shared", "-fPIC", "-o"]
    assert run([clang, *flags, str(original), str(source)], timeout_s=60).ok
    answer = tmp_path / "answers" / "mix.ll"
    assert run([clang, "-O1", *flags, str(lifted), str(answer)], timeout_s=60).ok
    theirs, ours = (ctypes.CDLL(str(path)).mix for path in (original, lifted))
    for function in (theirs, ours):
        function.argtypes, function.restype = [ctypes.c_uint32] * 3, ctypes.c_uint32
    if not before:
        assert one.verdict is PASSED
        rng = random.Random(0)
        for _ in range(2_000):
            given = [rng.choice((rng.getrandbits(32), rng.randrange(64))) for _ in range(3)]
            assert ours(*given) == theirs(*given)
        return
    assert one.verdict is REFUTED
    assert one.counterexample is not None
    shown = " ".join(one.counterexample.arguments)
    given = [int(text) & 0xFFFFFFFF for text in re.findall(r"i32 (-?\d+)", shown)]
    assert len(given) == 3, shown
    told = re.match(r"it returns (0x\w+) instead of (0x\w+)", one.reason)
    assert told is not None
    assert ours(*given) == int(told[1], 16) != int(told[2], 16) == theirs(*given)


def test_wrong_lifts_stay_out_and_the_program_stays_right(
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    source = compile_c(PROGRAM, "p.o")
    engine = answers({"hash": ("5381", "5382"), "classify": ("define", "defne")})
    result = disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)
    found = verdicts(result)
    assert found == {"classify": NO_ANSWER, "bump": EXACT, "hash": REFUTED, "main": EXACT}
    assert not result.is_complete
    refuted = next(one for one in result.functions if one.name == "hash")
    assert refuted.counterexample is not None
    assert re.match(r"it returns 0x\w+ instead of 0x\w+", refuted.reason)
    assert re.search(r"^declare .*@hash\(", result.module, re.MULTILINE)
    assert "; hash: refuted: it returns" in result.module
    relinked, program = tmp_path / "relinked.o", tmp_path / "program"
    relinked.write_bytes(result.relinked)
    clang = toolchain.tool("clang")
    assert run([clang, relinked, "-o", program], timeout_s=60).ok
    assert run([program], timeout_s=30).stdout == OUTPUT


def test_other_code_of_the_same_meaning_passes_tests(
    answers: Answers, compile_c: Compile, pool: LocalPool
) -> None:
    source = compile_c(PROGRAM, "p.o")
    engine = answers(level="-O1")
    options = DisassembleOptions(functions=("hash",), execute=ExecuteOptions(num_inputs=64))
    (one,) = disassemble(source, engine, options, pool=pool).functions
    assert one.verdict is PASSED
    assert one.num_covered == one.num_blocks > 1
    assert one.reason.startswith("not exact: ")


ASM = """define i32 @f(i32 %a) {
  %r = call i32 asm "addl $$3, $0", "=r,0"(i32 %a)
  ret i32 %r
}
"""


def test_assembly_in_the_answer_is_no_answer(
    compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c("int f(int a) { return a + 3; }", "p.o")
    folder = tmp_path / "answers"
    folder.mkdir()
    whole = 'module asm ".globl f"\nmodule asm "f: leal 3(%rdi), %eax"\nmodule asm "retq"\n'
    for text in (ASM, whole + "declare i32 @f(i32)\n", whole + ASM.replace("@f", "@g")):
        (folder / "f.ll").write_text(text)
        (one,) = disassemble(source, ReplayEngine(folder), pool=pool).functions
        assert one.verdict is NO_ANSWER, (text, one)
    # Where nothing else stands for an instruction, it may be assembly.
    source = compile_c('unsigned f(void) { asm("hlt"); return 1; }', "q.o")
    (folder / "f.ll").write_text(
        "define i32 @f() minsize optsize {\n"
        '  call void asm sideeffect "hlt", ""()\n  ret i32 1\n}\n'
    )
    (one,) = disassemble(source, ReplayEngine(folder), pool=pool).functions
    assert one.verdict is EXACT, one


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the answer is empty"),
        ("define i32 @f(i32 %a) {\n  ret i32 %b\n}\n", "use of undefined value"),
        ("define i32 @g(i32 %a) {\n  ret i32 %a\n}\n", "defines no function 'f'"),
        ("define i32 @f(i32 %a) {\n  ret i32 %a\n}\ndefine void @h() {\n  ret void\n}\n", "other"),
        ('target triple = "riscv64"\ndefine i32 @f(i32 %a) {\n  ret i32 %a\n}\n', "riscv64"),
    ],
)
def test_what_is_no_answer(
    text: str, reason: str, compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c("int f(int a) { return a + 3; }", "p.o")
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "f.ll").write_text(text)
    (one,) = disassemble(source, ReplayEngine(tmp_path / "answers"), pool=pool).functions
    assert one.verdict is NO_ANSWER
    assert reason in one.reason


def test_extra_definitions_are_never_exact(
    compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c("int f(int a) { return a + 3; }", "p.o")
    right = compile_c("int f(int a) { return a + 3; }", "right.ll").read_text()
    (tmp_path / "answers").mkdir()
    constructor = (
        "\n@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] "
        "[{ i32, ptr, ptr } { i32 1, ptr @f, ptr null }]\n"
    )
    variable = "\n@x = global i32 1\n"
    for extra, expected in (("", EXACT), (constructor, NO_ANSWER), (variable, NO_ANSWER)):
        (tmp_path / "answers" / "f.ll").write_text(right + extra)
        (one,) = disassemble(source, ReplayEngine(tmp_path / "answers"), pool=pool).functions
        assert one.verdict is expected, (extra, one)


def test_options_that_do_not_fit(compile_c: Compile, pool: LocalPool, tmp_path: Path) -> None:
    source = compile_c(PROGRAM, "p.o")
    engine = ReplayEngine(tmp_path)
    with pytest.raises(InputError, match=r"has no function 'nope'; it has: classify"):
        disassemble(source, engine, DisassembleOptions(functions=("nope",)), pool=pool)
    program = compile_c(PROGRAM, "program")
    with pytest.raises(ConfigError, match="is linked already"):
        disassemble(program, engine, DisassembleOptions(relink=True), pool=pool)
    with pytest.raises(InputError, match=r"nothing of .* was lifted"):
        disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("define", "define internal", "hides the function"),
        ("define dso_local", "define hidden", "hides the function"),
        ("define dso_local", "define weak", "makes the function weak"),
        ("define", '@x = private constant i32 7, section ".odd"\ndefine', "a section .odd"),
    ],
)
def test_linkage_that_would_change_a_program(
    before: str, after: str, reason: str, compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    source = compile_c("int f(int a) { return a + 3; }", "p.o", "x86_64", "-Oz", "-fno-pic")
    right = compile_c("int f(int a) { return a + 3; }", "right.ll", "x86_64", "-Oz", "-fno-pic")
    text = right.read_text()
    keep = '\n@llvm.compiler.used = appending global [1 x ptr] [ptr @{}], section "llvm.metadata"\n'
    used = "x" if "@x" in after else "f"
    (tmp_path / "answers").mkdir()
    changed = re.sub(rf"^{before}\b", after, text, count=1, flags=re.MULTILINE)
    assert changed != text
    changed = changed.replace("internal dso_local", "internal")
    (tmp_path / "answers" / "f.ll").write_text(changed + keep.replace("{}", used))
    (one,) = disassemble(source, ReplayEngine(tmp_path / "answers"), pool=pool).functions
    assert one.verdict is NO_ANSWER
    assert reason in one.reason
