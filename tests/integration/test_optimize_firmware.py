"""Objects for boards: smaller by recipes that ship as passed; no emulator is needed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler import optimize
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import Optimized, OptimizeOptions, optimize_many
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

SOURCE = """
struct entry { int key, values[4]; };
extern void log_value(int value);
static int table[16];
int sum_of(const struct entry *entries, int count, int key) {
    int sum = 0;
    for (int i = 0; i < count; i++)
        if (entries[i].key == key)
            for (int k = 0; k < 4; k++) sum += entries[i].values[k] * (k + 1);
    log_value(sum);
    table[sum & 15] += sum;
    log_value(table[sum & 15]);
    return sum;
}
int largest(const struct entry *entries, int count) {
    int found = -1;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < 4; k++)
            if (entries[i].values[k] > found) found = entries[i].values[k];
    log_value(found);
    return found;
}
"""
BOARD = ("--target=arm-none-eabi", "-mcpu=cortex-m3")


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(1) as local_pool:
        yield local_pool


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "board.c"
    path.write_text(SOURCE)
    return path


def optimized(source: Path, pool: LocalPool, *flags: str) -> Optimized:
    found = optimize(source, clang_flags=flags, candidates=4, pool=pool)
    assert isinstance(found, Optimized)
    return found


def test_an_object_for_a_board_is_smaller_by_what_has_passed(
    source: Path, pool: LocalPool, tmp_path: Path
) -> None:
    found = optimized(source, pool, *BOARD)
    assert (found.verdict, found.objective.name) == ("passed", "flash")
    assert found.target_triple == "thumbv7m-unknown-none-eabi"
    assert found.optimized_value < found.baseline_value <= found.baseline_bytes
    assert found.baseline_ram_bytes == found.optimized_ram_bytes == 64
    sizes = section_sizes(found.output)
    assert (sizes.flash_bytes, sizes.ram_bytes) == (found.optimized_value, 64)
    # The commands make the same object again.
    for command in found.replay:
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, timeout=60)
    made = next(path for path in tmp_path.glob("*.o"))
    assert section_sizes(made.read_bytes()) == sizes


RISCV = ("--target=riscv32-unknown-elf", "-march=rv32imac", "-mabi=ilp32")


@pytest.mark.parametrize(("flags", "name"), [(BOARD, "control.c"), (RISCV, "control.c")])
def test_functions_of_boards_have_recipes_of_their_own(
    flags: tuple[str, ...], name: str, pool: LocalPool, tmp_path: Path
) -> None:
    path = Path(__file__).parents[2] / "examples" / "firmware" / name
    clang_flags = (*flags, "-std=c11", "-ffreestanding", "-ffunction-sections", "-fdata-sections")
    whole = optimize(path, clang_flags=clang_flags, candidates=32, function_wise=False, pool=pool)
    assembled = optimize(path, clang_flags=clang_flags, candidates=32, pool=pool)
    assert isinstance(whole, Optimized)
    assert isinstance(assembled, Optimized)
    assert assembled.recipe is not None
    assert assembled.recipe.functions
    assert assembled.verdict == "passed"
    assert assembled.optimized_value < whole.optimized_value < whole.baseline_value
    for command in assembled.replay:
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, timeout=60)
    made = next(path for path in tmp_path.glob("*.o"))
    assert made.read_bytes() == assembled.output


def test_a_target_without_verdicts_gets_the_object_of_clang_with_one_sentence(
    source: Path, pool: LocalPool, tmp_path: Path
) -> None:
    flags = ("--target=mips-linux-gnu",)
    found = optimized(source, pool, *flags)
    assert (found.verdict, found.recipe) == ("baseline", None)
    (said,) = [warning for warning in found.warnings if warning.startswith("clang -Oz stands: ")]
    assert said.startswith("clang -Oz stands: pass lists cannot be checked for mips: only for x86")
    clang = find_toolchain().tool("clang")
    plain = tmp_path / "plain.o"
    subprocess.run([clang, "-Oz", *flags, "-c", source, "-o", plain], check=True, timeout=60)
    assert found.output == plain.read_bytes()


def test_a_target_may_have_whole_recipes_alone(source: Path, pool: LocalPool) -> None:
    """Where no list of the coreset has passed, what has passed is tried all the same."""
    only = replace(load_coreset(), picks=())
    flags = ("--target=thumbv6m-none-eabi", "-mcpu=cortex-m0")
    options = OptimizeOptions(candidates=4, clang_flags=flags, objective_by_target=True)
    with Checker(toolchain=find_toolchain(), pool=pool) as checker:
        (found,) = optimize_many([source], options, pool=pool, checker=checker, coreset=only)
    assert isinstance(found, Optimized)
    assert found.verdict == "passed"
    assert 0 < found.num_evaluations <= len(only.extras_for("thumbv6m"))
    assert found.recipe in only.extras_for("thumbv6m")
    assert found.optimized_value < found.baseline_value
