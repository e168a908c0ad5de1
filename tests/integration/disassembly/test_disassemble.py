"""From an object to a module with verdicts: every verdict is shown again by an independent path."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.disassemble import Disassembled, DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.elf import parse_elf
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.verify.round_trip import LOWER_FLAGS
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
        code_model: str = "-fPIC",
    ) -> ReplayEngine:
        folder = tmp_path / "answers"
        folder.mkdir(exist_ok=True)
        path = compile_c(source, "answers.ll", architecture, level, code_model)
        with Context() as context:
            module = context.parse(path.read_bytes())
            for name in module.defined_functions():
                with extract_function(module, name) as each_module:
                    text = each_module.to_text()
                if changes and name in changes:
                    before, after = changes[name]
                    assert before in text, text
                    text = text.replace(before, after, 1)
                (folder / f"{name}.ll").write_text(text)
        return ReplayEngine(folder)

    return make


def verdicts(result: Disassembled) -> dict[str, LiftVerdict]:
    return {function.name: function.verdict for function in result.functions}


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
            if position := re.search(r"(?<![$#-])0x([0-9a-f]+)$", text):
                text = text[: position.start()] + hex(int(position[1], 16) - start)
            if "bump" in text:
                continue  # static: the assembler has filled in the original's call by itself
            text = re.sub(r"^(callq|bl)\s.*", r"\1", text)
            data = r"(R_\w+\s+)[.\w]*(?:rodata|bss|counter|names|\.L)\S*"
            current.append(re.sub(data, r"\1DATA", text))
    for lines in found.values():
        while lines and re.match(r"(?:data16 |cs )*nop", lines[-1].replace("\t", " ")):
            lines.pop()  # in front of the next function
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


def lowered(module: str, architecture: str, toolchain: Toolchain, folder: Path) -> Path:
    """What clang alone makes of a module that is handed out."""
    source, output = folder / "module.ll", folder / "module.o"
    source.write_text(module)
    command = [toolchain.tool("clang"), f"--target={TRIPLES[architecture]}", *LOWER_FLAGS]
    done = run([*command, "-c", source, "-o", output], timeout_s=60)
    assert done.ok, done.stderr_text
    return output


def without_places(lines: list[str]) -> list[str]:
    """Instructions of x86-64 without what a linker fills in."""
    lines = [re.sub(r"(?:-?0x[0-9a-f]+)?\(%rip\)", "(%rip)", line) for line in lines]
    return [line for line in lines if not line.startswith("R_")]


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize(
    ("compiled", "linked"), [("-fPIE", "-pie"), ("-fPIC", "-pie"), ("-fno-pic", "-no-pie")]
)
def test_exact_lifts_of_an_executable(
    compiled: str,
    linked: str,
    architecture: str,
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    program = compile_c(PROGRAM, "p", architecture, "-Oz", compiled, linked)
    elf = parse_elf(program.read_bytes())
    expected = FUNCTIONS
    if (architecture, compiled) == ("x86_64", "-fno-pic"):
        # Lowering makes code for any address, where these two have addresses as immediates.
        expected = ("bump", "hash")
    # What the linker has filled in is gone: references are resolved by address.
    assert not elf.relocations
    engine = answers(architecture=architecture, code_model=compiled)
    options = DisassembleOptions(functions=FUNCTIONS)
    result = disassemble(program, engine, options, pool=pool)
    exact = tuple(name for name, verdict in verdicts(result).items() if verdict is EXACT)
    assert exact == expected
    # Independently: clang on the module that is handed out, llvm-objdump on both.
    if architecture == "x86_64":
        ours = code_of(program, toolchain)
        theirs = code_of(lowered(result.module, architecture, toolchain, tmp_path), toolchain)
        for name in exact:
            assert without_places(ours[name]) == without_places(theirs[name]) != []


# Where both compilers choose the same instructions.
PLAIN = r"""
extern int external, callee(int);
int add(int a) { return a + 3; }
int load(const int *p) { return p[3]; }
void store(long *p, long v) { p[1] = v; }
int fetch(void) { return external; }
unsigned shift(unsigned a) { return a >> 3 | 1; }
int pass_on(int a) { return callee(a); }
"""


@pytest.mark.parametrize("suffix", [".o", ".s"])
def test_exact_lifts_of_gcc(
    suffix: str,
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    source = compile_c(PLAIN, "p" + suffix, "x86_64", "-O2", "-fPIC", compiler="gcc")
    original = compile_c(PLAIN, "original.o", "x86_64", "-O2", "-fPIC", compiler="gcc")
    if parse_elf(original.read_bytes()).architecture != "x86_64":
        pytest.skip("needs an x86-64 gcc")
    engine = answers(level="-O2", source=PLAIN)
    result = disassemble(source, engine, pool=pool)
    names = ("add", "load", "store", "fetch", "shift", "pass_on")
    assert verdicts(result) == dict.fromkeys(names, EXACT)
    ours = code_of(original, toolchain)
    theirs = code_of(lowered(result.module, "x86_64", toolchain, tmp_path), toolchain)
    for name in names:
        assert theirs[name] == ours[name] != []


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
    refuted = next(function for function in result.functions if function.name == "hash")
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
    (lifted_function,) = disassemble(source, engine, options, pool=pool).functions
    assert lifted_function.verdict is PASSED
    assert lifted_function.num_covered == lifted_function.num_blocks > 1
    assert lifted_function.reason.startswith("not exact: ")


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_empty_functions_and_aliases(
    architecture: str,
    answers: Answers,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    functions = (
        "void empty(void) { __builtin_unreachable(); }\n"
        "int next(int a) { return a + 1; }\n"
        "int again(int a);\n"
        "int twice(int a) { return a > 9 ? a : again(next(a)) + twice(a * 2 + 1); }\n"
    )
    aliases = (
        'int other(int) __attribute__((weak, alias("next")));\n'
        'int again(int) __attribute__((weak, alias("twice")));\n'
        'static int own(int) __attribute__((used, alias("next")));\n'
    )
    source = compile_c(functions + aliases, "p.o", architecture)
    # The answers know nothing of aliases: they are no part of a function.
    engine = answers(architecture=architecture, source=functions)
    result = disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)
    assert verdicts(result) == {
        "empty": NO_ANSWER, "next": EXACT, "other": EXACT, "own": EXACT, "twice": EXACT,
        "again": EXACT,
    }  # fmt: skip
    found = {function.name: function for function in result.functions}
    assert "is empty" in found["empty"].reason
    names = {name: function.alias_of for name, function in found.items() if function.alias_of}
    # Of several names at a place, the first in the symbol table that other files see.
    assert set(names) | set(names.values()) == {"next", "other", "own", "twice", "again"}
    assert names["own"] in ("next", "other")
    assert re.search(r"^@own = hidden alias i32 \(i32\), ptr @next$", result.module, re.MULTILINE)
    # Both objects, the lifted functions in place of the originals: names have one address.
    relinked = tmp_path / "relinked.o"
    relinked.write_bytes(result.relinked)
    symbols = parse_elf(result.relinked).symbols
    positions = {
        symbol.name: (symbol.section, symbol.value) for symbol in symbols if symbol.is_defined
    }
    assert positions["next"] == positions["other"] == positions["own"]
    assert positions["twice"] == positions["again"]
    bindings = {symbol.name: symbol.binding.value for symbol in symbols if symbol.name}
    assert (bindings["other"], bindings["own"]) == ("weak", "local")
    # Asked for by name, each is what it is; what only falls into the next function is not that.
    for name, verdict in (("empty", NO_ANSWER), ("other", NO_ANSWER), ("next", EXACT)):
        (lifted_function,) = disassemble(
            source, engine, DisassembleOptions(functions=(name,)), pool=pool
        ).functions
        assert (lifted_function.name, lifted_function.verdict, lifted_function.alias_of) == (
            name,
            verdict,
            "",
        )
        assert ("is empty" in lifted_function.reason) == (name == "empty")


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
        (lifted_function,) = disassemble(source, ReplayEngine(folder), pool=pool).functions
        assert lifted_function.verdict is NO_ANSWER, (text, lifted_function)
    # Where nothing else stands for an instruction, it may be assembly.
    source = compile_c('unsigned f(void) { asm("hlt"); return 1; }', "q.o")
    (folder / "f.ll").write_text(
        "define i32 @f() minsize optsize {\n"
        '  call void asm sideeffect "hlt", ""()\n  ret i32 1\n}\n'
    )
    (lifted_function,) = disassemble(source, ReplayEngine(folder), pool=pool).functions
    assert lifted_function.verdict is EXACT, lifted_function


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
    (lifted_function,) = disassemble(
        source, ReplayEngine(tmp_path / "answers"), pool=pool
    ).functions
    assert lifted_function.verdict is NO_ANSWER
    assert reason in lifted_function.reason


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
        (lifted_function,) = disassemble(
            source, ReplayEngine(tmp_path / "answers"), pool=pool
        ).functions
        assert lifted_function.verdict is expected, (extra, lifted_function)


def test_options_that_do_not_fit(compile_c: Compile, pool: LocalPool, tmp_path: Path) -> None:
    source = compile_c(PROGRAM, "p.o")
    engine = ReplayEngine(tmp_path)
    with pytest.raises(InputError, match=r"has no function 'nope'; it has: classify"):
        disassemble(source, engine, DisassembleOptions(functions=("nope",)), pool=pool)
    program = compile_c(PROGRAM, "program")
    with pytest.raises(ConfigError, match="is linked already"):
        disassemble(program, engine, DisassembleOptions(relink=True), pool=pool)
    # Where nothing is lifted, the object is the input's own.
    result = disassemble(source, engine, DisassembleOptions(relink=True), pool=pool)
    assert result.relinked == source.read_bytes()
    assert not result.is_complete
    assert any("nothing was lifted" in warning for warning in result.warnings)


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
    (lifted_function,) = disassemble(
        source, ReplayEngine(tmp_path / "answers"), pool=pool
    ).functions
    assert lifted_function.verdict is NO_ANSWER
    assert reason in lifted_function.reason
