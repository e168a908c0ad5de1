"""Everyday functions of AArch64, lifted by rules alone, under the verdicts."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.disassembly.rules.calls import Signature
from llm_compiler.disassembly.rules.lifter import worth_running
from llm_compiler.disassembly.rules.outlined import inline_outlined
from llm_compiler.disassembly.rules.search import SearchJob, _Search
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.process import run
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
    verdicts = {function.name: function.verdict for function in result.functions}
    assert verdicts == dict.fromkeys(["make", "put", "set", "length", "many"], LiftVerdict.EXACT)
    assert "define void @make(ptr sret(i8)" in result.module


ROOT = "/usr/aarch64-linux-gnu"
SHARED_MAIN = r"""
#include <stdio.h>
void open_log(const char *name) { printf("open %s;", name); }
void close_log(int number) { printf("close %d;", number); }
int step(int x, int y) { return x * 3 + y; }
int f1(int), f3(int), f8(int);
int main(void) { printf("%d %d %d\n", f1(4), f3(5), f8(6)); return 0; }
"""
SHARED = r"""
extern void open_log(const char *), close_log(int);
extern int step(int, int);
""" + "".join(
    f'int f{number}(int x) {{ int y = step(x, {number}); open_log("one"); close_log(7); '
    f"return step(y, 3) * {number}; }}\n"
    for number in range(1, 9)
)


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="needs qemu-aarch64")
def test_outlined_code_is_read_where_it_stood(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    """Callers of outlined code are exact with that code back in its place, and make a program."""
    binary = compile_c(SHARED, "shared.o", "aarch64")
    assert b"OUTLINED_FUNCTION_0" in binary.read_bytes()
    result = disassemble(binary, NoEngine(), DisassembleOptions(search_s=0.5), pool=pool)
    assert [function.name for function in result.functions] == [
        f"f{number}" for number in range(1, 9)
    ]
    assert all(function.has_outlined_code for function in result.functions)
    assert {function.verdict for function in result.functions} == {LiftVerdict.EXACT}
    assert result.is_whole, result.obstacle
    module = tmp_path / "module.ll"
    module.write_text(result.module)
    main = compile_c(SHARED_MAIN, "main.o", "aarch64")
    printed = []
    for source in (binary, module):
        program = tmp_path / f"{source.name}.program"
        command = [toolchain.tool("clang"), "--target=aarch64-linux-gnu", "-O2", source, main]
        assert run([*command, "-Wno-override-module", "-o", program], timeout_s=60).ok
        printed.append(run(["qemu-aarch64", "-L", ROOT, program], timeout_s=30).stdout)
    assert printed[0] == printed[1]
    assert len(printed[0]) > 60


def test_saves_around_outlined_code_go() -> None:
    """What a function saves for the sake of one call of outlined code is no part of it."""
    outlined = (
        ".type OUTLINED_FUNCTION_0, @function\nOUTLINED_FUNCTION_0:\n"
        "ldr w8, [sp, #24]\nstr w8, [x0]\nret\n"
    )
    calling = (
        ".type OUTLINED_FUNCTION_1, @function\nOUTLINED_FUNCTION_1:\nstr x30, [sp, #-16]!\n"
        "str x1, [sp, #16]\nbl g\nldr x30, [sp], #16\nb h\n"
    )
    texts = {"OUTLINED_FUNCTION_0": outlined, "OUTLINED_FUNCTION_1": calling}
    for saved, restored, position in (
        ("str x30, [sp, #-16]!", "ldr x30, [sp], #16", "[sp, #8]"),
        ("mov x9, x30", "mov x30, x9", "[sp, #24]"),
    ):
        text = (
            f".type f, @function\nf:\nsub sp, sp, #32\n{saved}\nbl OUTLINED_FUNCTION_0\n"
            f"{restored}\nbl OUTLINED_FUNCTION_1\nret\n"
        )
        lines = inline_outlined(text, texts.get).splitlines()[2:]
        assert lines == [
            "sub sp, sp, #32",
            f"ldr w8, {position}",
            "str w8, [x0]",
            "str x1, [sp]",
            "bl g",
            "bl h",
            "ret",
        ]


LOOP = """.text
.globl f
.p2align 2
.type f, @function
f:
stp x29, x30, [sp, #-48]!
stp x22, x21, [sp, #16]
stp x20, x19, [sp, #32]
mov x29, sp
mov x19, x1
ldr x3, [x0]
cbz x3, .LBB0_2
add x20, x3, #1
.LBB0_1:
ldr w8, [x19, x20, lsl #2]
tst w8, #0x1
b.eq .LBB0_2
mov x0, x19
mov x1, x20
mov w2, w8
ldr x3, [x19]
str x3, [x19, #8]
bl g
sub x20, x20, #1
cmp x20, #3
b.hi .LBB0_1
.LBB0_2:
ldr x3, [x19, #16]
mov x0, x19
add x4, x3, #5
str x4, [x19, #24]
bl h
ldp x20, x19, [sp, #32]
ldp x22, x21, [sp, #16]
ldp x29, x30, [sp], #48
ret
"""


def test_careful_drafts_are_kept_though_they_were_tried_before() -> None:
    # The search tries all arguments early on and drops that draft for nearer ones.
    job = SearchJob(
        text=LOOP, architecture="aarch64", signatures={}, max_variants=80, seconds=20, seed=0
    )
    (found,) = job.run(WorkerState(), 0)
    assert {draft.variant.arguments for draft in found.drafts} == {"written", "all", "every"}
    chosen = worth_running(found.drafts)
    assert "every" in {draft.variant.arguments for draft in chosen}
    assert len({draft.text for draft in chosen}) == len(chosen)


def test_a_careful_draft_is_made_though_all_callees_are_known() -> None:
    known = {name: Signature(integers=1, vectors=0, most=3) for name in ("g", "h")}
    job = SearchJob(
        text=LOOP, architecture="aarch64", signatures=known, max_variants=20, seconds=20, seed=0
    )
    (found,) = job.run(WorkerState(), 0)
    (careful,) = (draft for draft in found.drafts if draft.variant.arguments == "every")
    assert re.search(r"declare \S+ \S+ @h\((\w+, ){2}\w+\)", careful.text)


def test_a_search_without_time_tries_on_until_a_draft_lowers() -> None:
    """What the first choices cannot lift, others may."""
    text = ".text\n.globl f\n.type f, @function\nf:\nadd w0, w0, w1\nret\n.size f, 8\n"
    search = _Search(SearchJob(text=text, architecture="aarch64", signatures={}, seconds=0.0))
    assert not search._is_over()
    result = search.run()
    assert result.drafts
    assert search._is_over()
