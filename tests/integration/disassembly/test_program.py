"""Files of one program: what one says of its functions, calls in the others are lifted by."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llm_compiler.cli import main
from llm_compiler.disassemble import DisassembleOptions, disassemble, read_program
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

CALLER = """
extern long take(long);
extern int count(int, int);
extern double scale(double, int);
long keep(long a, long b, long c) { return take(a) + b * c; }
long narrow(int a, long *p) { return take(p[a & 7]) + count(a, 2); }
double both(double x, int n) { return scale(x, n) * 2.0; }
"""
CALLEE = """
static long seen;
long take(long a) { seen += a; return a * 3; }
int count(int a, int b) { return a > b ? a - b : b; }
double scale(double x, int n) { return x * n; }
"""
MAIN = r"""
#include <stdio.h>
long keep(long, long, long); long narrow(int, long *); double both(double, int);
int main(void) {
    long words[8] = {1L << 40, 2, 3, -4, 5, 6, 7, 8};
    printf("%ld %ld %g\n", keep(5, 6, 7), narrow(8, words), both(1.25, 3));
    return 0;
}
"""


def compiled(folder: Path, toolchain: Toolchain, **sources: str) -> dict[str, Path]:
    found = {}
    for name, text in sources.items():
        source = folder / f"{name}.c"
        source.write_text(text)
        found[name] = source.with_suffix(".o")
        command: list[str | Path] = [toolchain.tool("clang"), "-Oz", "-w", "-c", source]
        command += ["-o", found[name]]
        assert run(command, timeout_s=60).ok
    return found


def test_calls_pass_what_another_file_s_function_takes(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    files = compiled(tmp_path, toolchain, caller=CALLER, callee=CALLEE, main=MAIN)
    parts = [files["caller"], files["callee"]]
    program = read_program(parts)
    modules = []
    with LocalPool(1) as pool:
        for path in parts:
            options = DisassembleOptions(search_s=0.5)
            result = disassemble(path, NoEngine(), options, pool=pool, program=program)
            assert result.is_whole, (result.obstacle, [f.reason for f in result.functions])
            modules.append(path.with_suffix(".ll"))
            modules[-1].write_text(result.module)
    text = modules[0].read_text()
    assert re.search(r"declare .*i64 @take\(i64\)", text)
    assert re.search(r"declare .*i32 @count\(i32, i32\)", text)
    outputs = set()
    for inputs in (parts, modules):
        for level in ("-O0", "-O2"):
            command = [toolchain.tool("clang"), level, "-w", *inputs, files["main"], "-o"]
            assert run([*command, tmp_path / "program"], timeout_s=60).ok
            outputs.add(run([tmp_path / "program"], timeout_s=10).stdout)
    assert len(outputs) == 1


def test_what_a_function_only_passes_on_is_as_wide_as_its_callee_takes(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    files = compiled(
        tmp_path,
        toolchain,
        buffer="""
        struct buffer { char *text; long used; };
        __attribute__((noinline)) int append(struct buffer *b, const char *p, long n) {
            for (long i = 0; i < n; i++) b->text[b->used++] = p[i];
            return 0;
        }
        int append_byte(struct buffer *b, char c) { return append(b, &c, 1); }
        extern int unknown(struct buffer *, int);
        int pass_on(struct buffer *b, int n) { return unknown(b, n) + 1; }
        """,
    )
    home = read_program([files["buffer"]]).home_of("append_byte", "x86_64")
    assert home is not None
    signature = home.signature_with_types("append_byte")
    assert signature is not None
    assert signature.types == ("i64", "i32")
    signature = home.signature_with_types("pass_on")
    assert signature is not None
    assert "i32" not in signature.types[:1]  # nobody knows how much of it is read


def test_of_two_files_that_define_a_name_none_is_asked(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    files = compiled(
        tmp_path,
        toolchain,
        plain="int f(int a) { return a + 1; } int once(int a, int b) { return a * b; }",
        other="int f(int a, int b) { return a + b; }",
        weak="__attribute__((weak)) int once(int a) { return a; }",
    )
    program = read_program([*files.values(), tmp_path / "absent.o"])
    assert program.home_of("f", "x86_64") is None
    home = program.home_of("once", "x86_64")
    assert home is not None
    signature = home.signature("once")
    assert signature is not None
    assert program.home_of("once", "aarch64") is None


def test_files_beside_are_read_and_not_lifted(
    tmp_path: Path, toolchain: Toolchain, capsys: pytest.CaptureFixture[str]
) -> None:
    files = compiled(
        tmp_path,
        toolchain,
        caller="extern int g(int); int f(int a, int b, int c) { return g(a) + b + c; }",
        callee="int g(int a) { return a * a; }",
    )
    command = ["disassemble", str(files["caller"]), "--engine", "none", "--no-cache", "--json"]
    command += ["-o", str(tmp_path / "out.ll"), "--search-s", "0.2"]
    assert main([*command, "--beside", str(files["callee"])]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [function["name"] for function in result["functions"]] == ["f"]
    assert re.search(r"declare .*i32 @g\(i32\)", (tmp_path / "out.ll").read_text())
    assert main([*command, "--beside", str(tmp_path / "absent.o")]) == 4
    assert "absent.o" in capsys.readouterr().err
