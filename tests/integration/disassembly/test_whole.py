"""A lifted file as a whole: compiled at every level, it does what the original program does.

The answers are clang's own IR, damaged as a lift may be: each lowers to the right code, and claims
what is not true, returns nothing where a result is used, or takes words for pointers.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from llm_compiler.disassemble import (
    Disassembled,
    DisassembleOptions,
    LiftVerdict,
    disassemble,
)
from llm_compiler.llvm.elf import parse_elf
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

from .conftest import TRIPLES, Compile

PROGRAMS = sorted((Path(__file__).parents[2] / "cases" / "lifted_programs").glob("*.c"))
LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Oz")
RUNNERS = {"x86_64": [], "aarch64": ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]}
DISHONEST = (
    (r" = (add|sub|mul) (?=i)", r" = \1 nuw nsw "),
    (r"(load|store) (i32|i64|i16)\b(.*), align \d+", r"\1 \2\3, align 16"),
    (r"getelementptr (?!inbounds)", "getelementptr inbounds "),
    (r"(?m)^(define .*?)ptr noundef %", r"\1ptr noalias noundef nonnull dereferenceable(64) %"),
    (r"(?m)^(declare (?!.*@llvm\.).*\)) .*$", r"\1 mustprogress nounwind willreturn memory(none)"),
    (r"(?m)^(attributes #\d+ = \{)(?=.*\"target-cpu\")", r"\1 mustprogress norecurse willreturn"),
)


def dishonest(text: str) -> str:
    """Claim what is not so."""
    for pattern, replacement in DISHONEST:
        text = re.sub(pattern, replacement, text)
    return text


def forgetful(text: str) -> str:
    """Return nothing where the result of a call is returned; else take every word for an i64."""
    call = re.search(r"(?m)^  (%\S+) = tail call (?:\w+ )*?(i32|i64|ptr|double) @.*\n  ret ", text)
    if not call or text.count(call[1] + "\n") != 1:
        return text
    text = text.replace(f"  {call[1]} = tail call", "  tail call", 1)
    text = re.sub(rf"(tail call (?:\w+ )*?){call[2]} @", r"\1void @", text, count=1)
    text = text.replace(f"  ret {call[2]} {call[1]}\n", "  ret void\n", 1)
    return re.sub(rf"(?m)^(define .*?)\b{call[2]} @", r"\1void @", text, count=1)


def wordy(text: str) -> str:
    """Take the arguments and the result of a function that only passes them on for words."""
    body = re.search(r"\{\n(  %\S+ = tail call .*\n  ret (?:i32|i64|ptr) %\S+)\n\}", text)
    if not body:
        return text
    head = re.search(r"(?m)^define .*$", text)
    assert head is not None
    for line in (head[0], *body[1].splitlines()):
        words = re.sub(r"\b(?:noundef|nocapture|readonly|nonnull|signext|zeroext) ", "", line)
        text = text.replace(line, re.sub(r"\b(?:i32|ptr)(?= [%@])", "i64", words))
    return text


def lift(
    source: Path,
    architecture: str,
    compile_c: Compile,
    pool: LocalPool,
    folder: Path,
    *flags: str,
) -> tuple[Disassembled, dict[str, str]]:
    """Lift an object of a program from damaged answers; also the answers."""
    text = source.read_text()
    # Merged variables have no names: clang's own IR is then no answer.
    options = flags or ("-Oz", "-fPIC", "-mllvm", "-enable-global-merge=false")
    binary = compile_c(text, "program.o", architecture, *options)
    compiled = compile_c(text, "answers.ll", architecture, *options)
    answers = folder / "answers"
    answers.mkdir()
    damaged = {}
    with Context() as context:
        module = context.parse(compiled.read_bytes())
        for name in module.defined_functions():
            with extract_function(module, name) as each_module:
                right = each_module.to_text()
            wrong = dishonest(wordy(right))
            if wordy(right) == right or len(damaged) % 2:
                wrong = dishonest(forgetful(right))
            damaged[name] = wrong
            # What cannot be damaged in these ways without changing the code has other answers.
            for number, answer in enumerate((wrong, dishonest(right), right)):
                (answers / f"{name}{f'.{number}' if number else ''}.ll").write_text(answer)
    return disassemble(binary, ReplayEngine(answers), pool=pool), damaged


def outputs(
    module: Path, architecture: str, toolchain: Toolchain, folder: Path, levels: tuple[str, ...]
) -> dict[str, bytes]:
    found = {}
    for level in levels:
        program = folder / f"program{level}"
        done = run(
            [
                toolchain.tool("clang"),
                f"--target={TRIPLES[architecture]}",
                level,
                "-fPIC",
                "-Wno-override-module",
                module,
                "-o",
                program,
                "-lm",
            ],
            timeout_s=60,
        )
        assert done.ok, done.stderr_text
        ran = run([*RUNNERS[architecture], program], timeout_s=30)
        found[level] = ran.stdout + str(ran.exit_status).encode()
    return found


CASES = [(path, "x86_64") for path in PROGRAMS] + [
    (path, "aarch64") for path in PROGRAMS if path.stem in ("results", "names", "callbacks")
]
QUICK = ("results-x86_64", "names-x86_64", "state-x86_64", "queue-x86_64", "names-aarch64")
"""One of each kind; the others say the same of longer programs."""


def _case(source: Path, architecture: str) -> object:
    name = f"{source.stem}-{architecture}"
    marks = [] if name in QUICK else [pytest.mark.slow]
    return pytest.param(source, architecture, marks=marks, id=name)


@pytest.mark.parametrize(("source", "architecture"), [_case(*pair) for pair in CASES])
def test_a_lifted_file_does_the_same_at_every_level(
    source: Path,
    architecture: str,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    result, _ = lift(source, architecture, compile_c, pool, tmp_path)
    others = [
        (function.name, function.reason)
        for function in result.functions
        if not function.verdict.is_accepted
    ]
    assert not others
    exact = [function for function in result.functions if function.verdict is LiftVerdict.EXACT]
    assert len(exact) >= len(result.functions) - 1
    assert result.is_whole, result.obstacle
    module = tmp_path / "module.ll"
    module.write_text(result.module)
    original = tmp_path / "program.o"
    expected = outputs(original, architecture, toolchain, tmp_path, ("-Oz",))["-Oz"]
    assert len(expected) > 8
    found = outputs(module, architecture, toolchain, tmp_path, LEVELS)
    assert found == dict.fromkeys(LEVELS, expected)
    # What the object offers to others, the module offers, too, and nothing else.
    again = tmp_path / "again.o"
    command = [toolchain.tool("clang"), f"--target={TRIPLES[architecture]}", "-Oz", "-fPIC", "-c"]
    done = run([*command, "-Wno-override-module", module, "-o", again], timeout_s=60)
    assert done.ok, done.stderr_text
    assert offered(again) == offered(original)


CHOSEN = r"""
static int fast(int x) { return x * 3; }
static int slow(int x) { return x + x + x; }
static int (*resolve(void))(int) { return sizeof(void *) == 8 ? fast : slow; }
int triple(int x) __attribute__((ifunc("resolve")));
int main(void) { return triple(5); }
"""


def test_functions_chosen_at_load_time(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    binary = compile_c(CHOSEN, "chosen.o")
    (tmp_path / "answers").mkdir()
    engine = ReplayEngine(tmp_path / "answers")
    result = disassemble(binary, engine, DisassembleOptions(rules=True), pool=pool)
    assert all(function.verdict.is_accepted for function in result.functions), result.functions
    (chosen,) = (function for function in result.functions if function.is_ifunc)
    assert (chosen.name, chosen.alias_of) == ("triple", "resolve")
    assert result.is_whole, result.obstacle
    module = tmp_path / "module.ll"
    module.write_text(result.module)
    found = outputs(module, "x86_64", toolchain, tmp_path, ("-O0", "-O2"))
    assert found == dict.fromkeys(("-O0", "-O2"), b"15")


def offered(path: Path) -> set[tuple[str, str, bool]]:
    elf = parse_elf(path.read_bytes())
    return {
        (symbol.name, symbol.binding.value, symbol.is_hidden)
        for symbol in elf.symbols
        if symbol.is_defined and not symbol.is_local
    }


def test_one_prototype_for_each_function(
    compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    """A definition that returns nothing, and a caller that uses its result."""
    binary = compile_c(
        "#include <string.h>\n"
        "__attribute__((noinline)) size_t slen(const char *s) { return strlen(s); }\n"
        "size_t two(const char *s) { return slen(s) * 2; }\n",
        "slen.o",
    )
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "slen.ll").write_text(
        "define void @slen(ptr %s) minsize optsize {\n  tail call void @strlen(ptr %s)\n"
        "  ret void\n}\ndeclare void @strlen(ptr)\n"
    )
    (answers / "two.ll").write_text(
        "define i64 @two(i64 %s) minsize optsize {\n  %n = call i64 @slen(i64 %s)\n"
        "  %d = shl i64 %n, 1\n  ret i64 %d\n}\ndeclare i64 @slen(i64)\n"
    )
    result = disassemble(binary, ReplayEngine(answers), pool=pool)
    assert [function.verdict for function in result.functions] == [LiftVerdict.EXACT] * 2
    assert "void" not in result.module
    (slen,) = re.findall(r"^define .*(i64 @slen\((?:ptr|i64))", result.module, re.MULTILINE)
    assert f"call {slen}" in result.module


def test_claims_that_code_does_not_need_are_gone(
    compile_c: Compile, pool: LocalPool, tmp_path: Path
) -> None:
    """Nothing is claimed that the code does not need."""
    source = "int f(int *p, int a, int b) { p[3] = a + b; return a * b; }\n"
    answers = tmp_path / "answers"
    answers.mkdir()
    text = compile_c(source, "f.ll").read_text()
    (answers / "f.ll").write_text(dishonest(text))
    binary = compile_c(source, "f.o")
    result = disassemble(binary, ReplayEngine(answers), pool=pool)
    (function,) = result.functions
    assert function.verdict is LiftVerdict.EXACT
    assert not function.claims
    assert not re.search(r"\b(?:nsw|nuw|inbounds|nonnull|noalias)\b", result.module)


MERGED = """
static int a, b; static long c[4]; int d = 5; int e;
int next(void) { a += 3; b ^= a; return b; }
void reset(void) { a = b = 0; d = e; e = 0; c[0] = c[1] = c[2] = c[3] = 0; }
int get(void) { return a + b + d; }
void set(long v) { e = v; c[3] = v; }
"""
MERGED_MAIN = """
#include <stdio.h>
int next(void), get(void); void reset(void), set(long); extern int d, e;
int main(void) {
    for (int i = 0; i < 5; i++) { set(i); printf("%d %d %d;", next(), get(), e); }
    reset(); printf("%d %d", get(), d); return 0;
}
"""


def test_variables_that_code_reaches_from_each_other(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    """AArch64's merged variables: their distances are part of the code, at every level."""
    binary = compile_c(MERGED, "merged.o", "aarch64", "-Oz")
    options = DisassembleOptions(rules=True)
    (tmp_path / "answers").mkdir()
    result = disassemble(binary, ReplayEngine(tmp_path / "answers"), options, pool=pool)
    assert all(function.verdict.is_accepted for function in result.functions), result.functions
    assert result.is_whole, result.obstacle
    main = compile_c(MERGED_MAIN, "main.o", "aarch64", "-Oz")
    found = {}
    for level in ("original", "-O0", "-O2"):
        module = tmp_path / f"module{level}.o"
        source = tmp_path / "module.ll"
        source.write_text(result.module)
        command = [toolchain.tool("clang"), f"--target={TRIPLES['aarch64']}"]
        if level == "original":
            module = binary
        else:
            lowered = [*command, level, "-c", "-Wno-override-module", source, "-o", module]
            assert run(lowered, timeout_s=60).ok
        program = tmp_path / f"program{level}"
        linked = run([*command, "-no-pie", module, main, "-o", program], timeout_s=60)
        assert linked.ok, linked.stderr_text
        found[level] = run([*RUNNERS["aarch64"], program], timeout_s=30).stdout
    assert len(found["original"]) > 20
    assert found["-O0"] == found["-O2"] == found["original"]
