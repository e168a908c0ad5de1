"""Fields of objects on the stack that a function writes for its callees alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.read_function import FunctionReader
from llm_compiler.disassembly.rules.lifter import RulesLifter
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.workers import LocalPool

SOURCE = """
struct big { int used, alloc, sign; unsigned long *digits; };
struct small { long first, second; };
int compare(const struct big *), look(const struct small *), sum(long *);
int copies(const struct big *a, int c) {
  struct big b = *a;
  int found = compare(a);
  b.sign = 0;
  return c ? compare(&b) + found : found;
}
int two_words(long a, long b) { struct small s = {a, b}; return look(&s) + 1; }
int reads(long a, long b) {
  long words[3] = {a, b, a}; int found = sum(words); return found + (int)words[2];
}
"""


@pytest.mark.parametrize("triple", ["x86_64-linux-gnu", "aarch64-linux-gnu"])
@pytest.mark.parametrize(
    ("level", "function", "fields"),
    [
        ("-Oz", "copies", {2}),
        ("-O2", "copies", {2}),
        ("-Oz", "two_words", set()),  # the first two words are compared in any case
        ("-Oz", "reads", set()),
        ("-O0", "copies", set()),  # such code also writes what nobody reads
    ],
)
def test_words_that_are_written_for_callees(
    level: str,
    function: str,
    fields: set[int],
    triple: str,
    toolchain: Toolchain,
    tmp_path: Path,
) -> None:
    (tmp_path / "unit.c").write_text(SOURCE)
    clang = [str(toolchain.tool("clang")), f"--target={triple}", level, "-c", "-w"]
    subprocess.run([*clang, "unit.c", "-o", "unit.o"], cwd=tmp_path, check=True)
    binary = read_binary(tmp_path / "unit.o", toolchain, tmp_path)
    symbol = binary.elf.symbol(function)
    assert symbol is not None
    with LocalPool(1) as pool:
        reader = FunctionReader(binary)
        found = RulesLifter(binary, reader, pool).limits(reader.read(symbol))["fields"]
    assert found == fields
