"""Whole programs for boards: one object, linked with the program's own script, does the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.llvm.object_file import defined_symbols, section_sizes
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.optimize import OptimizeOptions
from llm_compiler.optimize_program import optimize_program
from llm_compiler.process import which
from llm_compiler.workers import LocalPool

FIRMWARE = Path(__file__).parents[2] / "examples" / "firmware"
SOURCES = [FIRMWARE / name for name in ("board.c", "control.c", "command.c", "main.c")]
FLAGS = ("-std=c11", "-ffreestanding", "-fno-builtin", "-ffunction-sections", "-fdata-sections")
LINK = ("-nostdlib", "-fuse-ld=lld", "-Wl,--gc-sections", f"-Wl,-T,{FIRMWARE / 'firmware.ld'}")
BOARDS = {
    "thumbv7m": (
        ("--target=thumbv7m-none-eabi", "-mcpu=cortex-m3"),
        "vectors",
        (0, 0x20000000),
        ("qemu-system-arm", "-M", "mps2-an385"),
    ),
    "riscv32": (
        ("--target=riscv32-unknown-elf", "-march=rv32imac", "-mabi=ilp32"),
        "_start",
        (0x80000000, 0x80010000),
        ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
    ),
}
"""By name: flags, entry, where flash and RAM begin, the emulator."""
_EMULATOR = ("-display", "none", "-monitor", "none", "-serial", "none", "-chardev", "stdio,id=host")
_SEMIHOSTING = ("-semihosting-config", "enable=on,chardev=host", "-kernel")


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(1) as local_pool:
        yield local_pool


def linked(toolchain: Toolchain, folder: Path, name: str, board: str, *inputs: Path) -> Path:
    target, entry, (flash, ram), _ = BOARDS[board]
    output = folder / f"{name}.elf"
    origins = f"-Wl,--defsym=flash_origin={flash:#x},--defsym=ram_origin={ram:#x},-e,{entry}"
    command = [toolchain.tool("clang"), *target, *LINK, origins, *inputs, "-o", output]
    subprocess.run(command, check=True, timeout=60)
    return output


@pytest.mark.parametrize("board", BOARDS)
def test_a_firmware_becomes_one_smaller_object_that_does_the_same(
    board: str, pool: LocalPool, tmp_path: Path
) -> None:
    toolchain = find_toolchain()
    target, entry, _, emulator = BOARDS[board]
    if not (toolchain.bin_dir / "ld.lld").exists():
        pytest.skip("needs lld")
    options = OptimizeOptions(candidates=4, clang_flags=(*target, *FLAGS), objective_by_target=True)
    output = tmp_path / "firmware.o"
    found = optimize_program(SOURCES, [entry], options, pool=pool, output=output)
    assert (found.verdict, found.objective.name) == ("passed", "flash"), found.warnings
    assert found.optimized_value < found.baseline_value
    output.write_bytes(found.output)
    # Code generation may call what moves and clears memory by name.
    kept = {name for name in defined_symbols(found.output) if not name.startswith("__aeabi_")}
    assert kept <= {entry, "memcpy", "memset"}
    objects = []
    for source in SOURCES:
        objects.append(tmp_path / f"{source.stem}.o")
        clang = [toolchain.tool("clang"), *target, *FLAGS, "-Oz", "-c", source, "-o", objects[-1]]
        subprocess.run(clang, check=True, timeout=60)
    plain = linked(toolchain, tmp_path, "plain", board, *objects)
    whole = linked(toolchain, tmp_path, "whole", board, output)
    flash = [section_sizes(path.read_bytes()).flash_bytes for path in (plain, whole)]
    assert flash[1] < flash[0]
    if which(emulator[0]) is None:
        pytest.skip(f"linked, not run: needs {emulator[0]}")
    command = [*emulator, *_EMULATOR, *_SEMIHOSTING, whole]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, (FIRMWARE / "expected.out").read_bytes())
