"""Files that people have: stripped libraries and programs, Intel syntax, other machines."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.binary import Binary
from llm_compiler.disassembly.read_function import FunctionReader
from llm_compiler.disassembly.reassemble import reassemble
from llm_compiler.errors import InputError, UnsupportedTarget
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

from .conftest import Compile

LIBRARY = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int counter;
static __attribute__((noinline)) int helper(int x) { counter += x; return x * 3 + counter; }
int one(int x) { return helper(x) + 1; }
char *copy(const char *s) { char *p = malloc(strlen(s) + 1); if (p) strcpy(p, s); return p; }
int choose(int i) {
    switch (i) {
    case 0: return 5;
    case 1: return 9;
    case 2: return helper(2);
    case 3: return 11;
    case 4: puts("four"); return 1;
    }
    return 0;
}
"""
MAIN = 'int main(int c, char **v) { printf("%d%s%d", one(c), copy(v[0]), choose(c)); return 0; }\n'


def function_ranges(binary: Binary) -> set[tuple[int, int]]:
    return {(function.value, binary.end_of(function)) for function in binary.functions()}


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
@pytest.mark.parametrize("kind", ["library", "program"])
def test_functions_of_stripped_files_are_found_and_proved(
    kind: str,
    architecture: str,
    compile_c: Compile,
    read: Callable[[Path], Binary],
    toolchain: Toolchain,
    tmp_path: Path,
) -> None:
    source = LIBRARY + (MAIN if kind == "program" else "")
    flags = ["-O2"] if kind == "program" else ["-O2", "-fPIC", "-shared"]
    path = compile_c(source, "linked", architecture, *flags)
    symbols = {function.name: function for function in read(path).functions()}
    known = read(path)
    wanted = {
        (symbols[name].value, known.end_of(symbols[name]))
        for name in ("one", "helper", "copy", "choose", *(["main"] if kind == "program" else []))
    }
    stripped = tmp_path / "stripped"
    done = run([toolchain.tool("llvm-strip"), path, "-o", stripped], timeout_s=30)
    assert done.ok, done.stderr_text
    binary = read(stripped)
    assert wanted <= function_ranges(binary)
    found = {function.name: function for function in binary.functions()}
    # Nothing but the user's own functions and the start of a program.
    assert len(found) <= len(wanted) + 1
    if kind == "library":
        assert {"one", "copy", "choose"} <= set(found)
        assert all(not found[name].is_local for name in ("one", "copy", "choose"))
    else:
        assert (found["main"].value, binary.end_of(found["main"])) in wanted
    reader = FunctionReader(binary)
    for symbol in found.values():
        if (symbol.value, binary.end_of(symbol)) in wanted and symbol.name != "main":
            text = reader.read(symbol)
            reassemble(binary, symbol, text, toolchain, tmp_path / "again.o")


@pytest.mark.parametrize("directive", [".intel_syntax noprefix\n", ""])
def test_intel_syntax(directive: str, read: Callable[[Path], Binary], tmp_path: Path) -> None:
    path = tmp_path / "intel.s"
    path.write_text(
        f"{directive}.text\n.globl f\n.type f,@function\nf:\n"
        " mov eax, dword ptr [rdi+4]\n add eax, 7\n ret\n.size f, .-f\n"
    )
    binary = read(path)
    (symbol,) = binary.functions()
    text = FunctionReader(binary).read(symbol).text
    assert "movl 4(%rdi), %eax\naddl $7, %eax\nretq\n" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [(("-m32",), "32-bit x86"), (("--target=arm-linux-gnueabihf",), "32-bit Arm")],
)
def test_other_machines_are_refused_in_a_word(
    flags: tuple[str, ...], said: str, compile_c: Compile, read: Callable[[Path], Binary]
) -> None:
    path = compile_c("int f(int x) { return x + 1; }", "other.o", "x86_64", *flags)
    with pytest.raises(UnsupportedTarget, match=said) as raised:
        read(path)
    assert raised.value.exit_code == 4


def test_thin_archives_are_refused(read: Callable[[Path], Binary], tmp_path: Path) -> None:
    path = tmp_path / "thin.a"
    path.write_bytes(b"!<thin>\n")
    with pytest.raises(InputError, match="thin archive"):
        read(path)


def test_drafts_are_marked_and_never_linked(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    """A wrong lift can be read, but calls still reach the original."""
    source = (
        "__attribute__((noinline)) int f(int x) { return x * 5; }\n"
        "int g(int x) { return f(x) + 1; }\n"
    )
    answers = tmp_path / "answers"
    answers.mkdir()
    (answers / "f.ll").write_text(
        "define i32 @f(i32 %x) minsize optsize {\n  %y = mul i32 %x, 6\n  ret i32 %y\n}\n"
    )
    (answers / "g.ll").write_text(
        "define i32 @g(i32 %x) minsize optsize {\n  %y = call i32 @f(i32 %x)\n"
        "  %z = add i32 %y, 1\n  ret i32 %z\n}\ndeclare i32 @f(i32)\n"
    )
    binary = compile_c(source, "f.o")
    engine = ReplayEngine(answers)
    result = disassemble(binary, engine, DisassembleOptions(relink=True), pool=pool)
    verdicts = {function.name: function.verdict for function in result.functions}
    assert verdicts == {"f": LiftVerdict.REFUTED, "g": LiftVerdict.EXACT}
    assert "define internal i32 @f.refuted(i32 %x)" in result.module
    assert "; f.refuted: " in result.module
    assert '"llm-compiler-verdict"="refuted"' in result.module
    assert "call i32 @f(i32 %x)" in result.module
    strict = DisassembleOptions(keep_unproved=False)
    assert "refuted(" not in disassemble(binary, engine, strict, pool=pool).module
    # With the original behind it, the relinked object does what the original does.
    relinked, program = tmp_path / "relinked.o", tmp_path / "program"
    relinked.write_bytes(result.relinked)
    main = compile_c("int g(int); int main(void) { return g(8); }", "main.o")
    done = run([toolchain.tool("clang"), main, relinked, "-o", program], timeout_s=30)
    assert done.ok, done.stderr_text
    assert run([program], timeout_s=10).exit_status == 41


def test_annotations(compile_c: Compile, pool: LocalPool, tmp_path: Path) -> None:
    source = 'int puts(const char *);\nint hello(int x) {\n  puts("hello");\n  return x * 5;\n}\n'
    binary = compile_c(source, "hello.o", "x86_64", "-Oz", "-fPIC", "-g")
    answers = tmp_path / "answers"
    answers.mkdir()
    text = compile_c(source, "answer.ll", "x86_64", "-Oz", "-fPIC").read_text()
    (answers / "hello.ll").write_text(text)
    options = DisassembleOptions(annotate=True)
    result = disassemble(binary, ReplayEngine(answers), options, pool=pool)
    lines = result.module.splitlines()
    position = next(i for i, line in enumerate(lines) if line.startswith("define"))
    above = "\n".join(lines[:position])
    assert "; hello: .text at 0x0, " in above
    assert '; strings: "hello' in above
    assert re.search(r"^;   \S*-?:3\n;\s+[0-9a-f]+  .*\n", above, re.MULTILINE)
    assert re.search(r"^;\s+0  pushq %rbx$", above, re.MULTILINE)
    # Calls and strings by name, where the object itself has zeros for a linker to fill in.
    assert re.search(r"^;\s+[0-9a-f]+  callq puts@PLT$", above, re.MULTILINE)
    assert re.search(r'^;\s+[0-9a-f]+  leaq \.L\S+\(%rip\), %rdi  "hello', above, re.MULTILINE)
