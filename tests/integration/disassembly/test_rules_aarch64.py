"""Everyday functions of AArch64, lifted by rules alone, under the verdicts."""

from __future__ import annotations

import shutil

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.no_engine import NoEngine
from llm_compiler.workers import LocalPool

from .conftest import Compile

SOURCE = r"""
#include <stddef.h>
struct ring { unsigned head, tail; char bytes[64]; };
struct wide { long words[5]; };
struct wide make(int x) { struct wide made = {{x, 2, 3, 4, 5}}; return made; }
static int table[10];
int put(struct ring *to, char byte) {
    if ((to->head + 1) % 64 == to->tail) return -1;
    to->bytes[to->head++ % 64] = byte;
    return 0;
}
void set(int place) { table[place] = place; }
double length(double x, double y) { return __builtin_sqrt(x * x + y * y); }
long many(int a, int b, int c, int d, int e, int f, int g, int h, int i, long j) {
    return a + h + i + j;
}
"""


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="needs qemu-aarch64")
def test_small_functions_are_exact(compile_c: Compile, pool: LocalPool) -> None:
    binary = compile_c(SOURCE, "a.o", "aarch64")
    result = disassemble(binary, NoEngine(), DisassembleOptions(search_s=1.0), pool=pool)
    verdicts = {one.name: one.verdict for one in result.functions}
    assert verdicts == dict.fromkeys(["make", "put", "set", "length", "many"], LiftVerdict.EXACT)
    assert "define void @make(ptr sret(i8)" in result.module


SHARED = r"""
extern void open_log(const char *), close_log(int);
extern int step(int, int);
""" + "".join(
    f'int f{number}(int x) {{ int y = step(x, {number}); open_log("one"); close_log(7); '
    f"return step(y, 3) * {number}; }}\n"
    for number in range(1, 9)
)


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="needs qemu-aarch64")
def test_outlined_code_is_read_where_it_stood(compile_c: Compile, pool: LocalPool) -> None:
    """A caller of outlined code is a draft with all its calls, and never exact."""
    binary = compile_c(SHARED, "shared.o", "aarch64")
    assert b"OUTLINED_FUNCTION_0" in binary.read_bytes()
    options = DisassembleOptions(functions=("f2",), search_s=0.2)
    result = disassemble(binary, NoEngine(), options, pool=pool)
    (found,) = result.functions
    assert found.verdict not in (LiftVerdict.EXACT, LiftVerdict.NO_ANSWER)
    assert "@open_log(" in result.module
    assert "@close_log(" in result.module
