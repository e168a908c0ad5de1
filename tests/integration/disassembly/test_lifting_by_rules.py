"""Functions lifted by rules alone: drafts that are not exact have to stand when they are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

from .conftest import Compile


@pytest.mark.parametrize("mnemonic", ["bsrl", "bsfl"])
def test_a_scan_that_finds_no_bit(mnemonic: str, pool: LocalPool, tmp_path: Path) -> None:
    path = tmp_path / "scan.s"
    path.write_text(
        ".text\n.globl f\n.type f, @function\nf:\nmovl %esi, %eax\n"
        f"{mnemonic} %edi, %eax\nimull %esi, %eax\naddl %edi, %eax\nretq\n"
    )
    result = disassemble(path, NoEngine(), DisassembleOptions(search_s=0.3), pool=pool)
    (found,) = result.functions
    assert found.verdict is LiftVerdict.TESTS_PASSED, found.reason
    assert "select i1" in found.ir


UNOPTIMISED = r"""
struct ring { unsigned char *bytes; unsigned head, tail, size; };
static long total;
int put(struct ring *to, unsigned char byte) {
    unsigned next = (to->head + 1) % to->size;
    if (next == to->tail) return -1;
    to->bytes[to->head] = byte;
    to->head = next;
    return 0;
}
unsigned crc(unsigned c, const unsigned char *p, unsigned n) {
    while (n--) {
        c ^= *p++;
        for (int i = 0; i < 8; i++) c = c & 1 ? (c >> 1) ^ 0xEDB88320u : c >> 1;
    }
    return c;
}
long count(int by) { total += by; return total; }
"""
MAIN = r"""
#include <stdio.h>
struct ring { unsigned char *bytes; unsigned head, tail, size; };
int put(struct ring *, unsigned char); unsigned crc(unsigned, const void *, unsigned);
long count(int);
int main(void) {
    unsigned char space[4];
    struct ring ring = {space, 0, 0, 4};
    for (int i = 0; i < 5; i++) printf("%d ", put(&ring, 'a' + i));
    printf("%u %u %ld %ld\n", ring.head, crc(7, "hello", 5), count(3), count(-9));
    return 0;
}
"""


def test_code_that_was_not_optimised(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    """Functions of -O0 are exact: lowered at -O0, as ``optnone`` says; the module is a program."""
    binary = compile_c(UNOPTIMISED, "plain.o", "x86_64", "-O0")
    result = disassemble(binary, NoEngine(), DisassembleOptions(search_s=0.5), pool=pool)
    verdicts = {function.name: function.verdict for function in result.functions}
    assert verdicts == dict.fromkeys(["put", "crc", "count"], LiftVerdict.EXACT)
    assert result.is_whole, result.obstacle
    assert "optnone" in result.module
    module = tmp_path / "module.ll"
    module.write_text(result.module)
    main = compile_c(MAIN, "main.o")
    printed = []
    for source in (binary, module):
        program = tmp_path / f"{source.name}.program"
        command = [toolchain.tool("clang"), "-O2", "-Wno-override-module", source, main]
        assert run([*command, "-o", program], timeout_s=60).ok
        printed.append(run([program], timeout_s=30).stdout)
    assert printed[0] == printed[1]
    assert len(printed[0]) > 25


def test_a_table_of_functions_of_which_one_is_not_lifted(
    compile_c: Compile, toolchain: Toolchain, pool: LocalPool, tmp_path: Path
) -> None:
    """A table declares what it names as variables; the module still says each name once."""
    source = """
    long double half(long double x) { return x / 2; }
    int twice(int x) { return 2 * x; }
    static void *const table[] = { (void *)half, (void *)twice };
    void *pick(int which) { return table[which & 1]; }
    """
    binary = compile_c(source, "table.o")
    options = DisassembleOptions(search_s=0.3, relink=True)
    result = disassemble(binary, NoEngine(), options, pool=pool)
    verdicts = {function.name: function.verdict for function in result.functions}
    assert verdicts.pop("half") is LiftVerdict.NO_ANSWER
    assert set(verdicts.values()) == {LiftVerdict.EXACT}
    assert result.relinked
    module = tmp_path / "module.ll"
    module.write_text(result.module)
    command = [toolchain.tool("clang"), "-c", "-Wno-override-module", module]
    done = run([*command, "-o", tmp_path / "module.o"], timeout_s=60)
    assert done.ok, done.stderr_text


ENDING = """
void exit(int); void report(const char *, int);
__attribute__((noinline)) static void low(int x) { report("low", x); exit(1); }
__attribute__((noinline)) static void high(int x) { report("high", x); exit(2); }
int check(int *a, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) {
        if (a[i] < 0) low(a[i]);
        if (a[i] > 9) high(i);
        sum = sum * 10 + a[i];
    }
    return sum;
}
"""


def test_functions_of_the_file_that_never_return_end_a_run(
    compile_c: Compile, pool: LocalPool
) -> None:
    """Else the original would run into whatever follows the call, and the lift would not."""
    binary = compile_c(ENDING, "ending.o", "x86_64", "-O1", "-fno-optimize-sibling-calls")
    options = DisassembleOptions(functions=("check",), search_s=0)
    (found,) = disassemble(binary, NoEngine(), options, pool=pool).functions
    assert found.verdict.is_accepted, found.reason
