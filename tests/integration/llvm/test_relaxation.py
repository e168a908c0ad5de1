"""What is counted of RISC-V's calls is what a linker leaves of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler.llvm.elf_core import read_elf
from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.relaxation import shortened_calls
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import PassList

SOURCE = """
int far(int); void far_tail(int); extern int counter;
static __attribute__((noinline)) int near(int x) { return x * 7 + counter; }
__attribute__((noinline)) int calls(int x) { return near(x) + near(x + 1) + far(x) + far(x - 2); }
__attribute__((noinline)) void tail(int x) { counter = near(x); far_tail(x); }
void _start(void) { tail(calls(counter)); }
"""
TARGETS = {
    "rv32imac": ("riscv32-unknown-elf", "ilp32", {2: 5, 4: 3}),
    "rv32im": ("riscv32-unknown-elf", "ilp32", {4: 8}),
    "rv64imac": ("riscv64-unknown-elf", "lp64", {2: 1, 4: 7}),
}
"""By -march: triple, ABI, and how many calls the linker leaves of how many bytes."""


def compiled(toolchain: Toolchain, folder: Path, march: str, *flags: str) -> bytes:
    triple, abi, _ = TARGETS[march]
    source, output = folder / "unit.c", folder / "unit.o"
    source.write_text(SOURCE)
    clang = toolchain.tool("clang")
    command = [clang, f"--target={triple}", f"-march={march}", f"-mabi={abi}", "-Oz", *flags]
    subprocess.run([*command, "-c", source, "-o", output], check=True, timeout=60)
    return output.read_bytes()


@pytest.mark.parametrize("march", TARGETS)
def test_the_linker_leaves_what_is_counted(
    toolchain: Toolchain, tmp_path: Path, march: str
) -> None:
    lld = toolchain.bin_dir / "ld.lld"
    if not lld.exists():
        pytest.skip("needs lld")
    data = compiled(toolchain, tmp_path, march)
    left: dict[int, int] = {}
    for call in shortened_calls(read_elf(data)):
        left[8 - call.saved_bytes] = left.get(8 - call.saved_bytes, 0) + 1
    assert left == TARGETS[march][2]
    sizes = section_sizes(data)
    linked = tmp_path / "linked"
    # What is elsewhere lies too far for a compressed call.
    elsewhere = [f"--defsym={name}=0x20000" for name in ("far", "far_tail", "counter")]
    command = [lld, "-Ttext=0x10000", *elsewhere, tmp_path / "unit.o", "-o", linked]
    subprocess.run(command, check=True, timeout=60)
    assert section_sizes(linked.read_bytes()).text_data_bytes == sizes.flash_bytes
    assert sizes.size_bytes > sizes.flash_bytes


def test_what_is_not_to_be_relaxed_is_counted_whole(toolchain: Toolchain, tmp_path: Path) -> None:
    sizes = section_sizes(compiled(toolchain, tmp_path, "rv32imac", "-mno-relax"))
    assert (sizes.merged_bytes, sizes.flash_bytes) == (0, sizes.size_bytes)


def test_functions_add_up_to_what_the_object_is_shortened_by(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    bitcode = compiled(toolchain, tmp_path, "rv32imac", "-emit-llvm")
    with Evaluator(bitcode) as evaluator:
        measured = evaluator.measure(PassList(("instcombine",)), with_symbols=True)
    by_name = {symbol.name: symbol for symbol in measured.symbols}
    assert sum(symbol.merged_bytes for symbol in measured.symbols) == measured.merged_bytes > 0
    assert by_name["calls"].flash_bytes == by_name["calls"].size_bytes - (6 + 6 + 4 + 4)
    assert by_name["near"].merged_bytes == 0
