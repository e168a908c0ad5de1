"""Deliberately damaged lifts: a short version of benchmarks/damaged_lifts.py."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.verify.round_trip import LOWER_FLAGS
from llm_compiler.verify.target import find_target
from llm_compiler.workers import LocalPool

from .conftest import Compile, load_benchmark

SOURCE = r"""
struct entry { int key; int value; struct entry *next; };
int update(struct entry *list, int key, int value) {
    int count = 0;
    for (; list && count < 3; list = list->next, count++)
        if (list->key - 5 < key) { list->value = value / 3; return count; }
    return -1;
}
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("damaged_lifts")


def assembly(text: str, toolchain: Toolchain, folder: Path) -> str:
    """What clang alone makes of IR; empty where it refuses."""
    source, output = folder / "plain.ll", folder / "plain.s"
    source.write_text(text)
    command = [toolchain.tool("clang"), *LOWER_FLAGS, "-S", source, "-o", output]
    return output.read_text() if run(command, timeout_s=60).ok else ""


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        # benchmarks/damaged_lifts.py has all kinds, of real functions.
        ("constant", "x86_64"),
        ("store", "aarch64"),
        *(
            pytest.param(kind, "x86_64", marks=pytest.mark.slow)
            for kind in ("off-by-one", "operands", "signedness", "store")
        ),
        pytest.param("operands", "aarch64", marks=pytest.mark.slow),
    ],
)
def test_damage_is_never_exact_and_seldom_passes(
    kind: str,
    architecture: str,
    benchmark: ModuleType,
    compile_c: Compile,
    toolchain: Toolchain,
    pool: LocalPool,
    tmp_path: Path,
) -> None:
    try:
        find_target(architecture, toolchain)
    except ToolchainNotFound as error:
        pytest.skip(str(error))
    object_path = compile_c(SOURCE, "p.o", architecture)
    right = compile_c(SOURCE, "right.ll", architecture).read_text()
    folder = tmp_path / "answers"
    folder.mkdir()
    # Off by one, here, is seldom shown by so few inputs as an emulator gets by default.
    options = DisassembleOptions(execute=ExecuteOptions(emulated_share=1.0))
    num_texts = 4 if architecture == "x86_64" else 2  # the emulator is slow
    true_assembly = assembly(right, toolchain, tmp_path)
    assert true_assembly
    verdicts = []
    for text in benchmark.damages(right, kind)[:num_texts]:
        (folder / "update.ll").write_text(text)
        (lifted_function,) = disassemble(
            object_path, ReplayEngine(folder), options, pool=pool
        ).functions
        made = assembly(text, toolchain, tmp_path)
        # By an independent path: exact if, and only if, clang's own assembly is the same.
        assert (lifted_function.verdict is LiftVerdict.EXACT) == (made == true_assembly), (
            text,
            lifted_function,
        )
        if made and made != true_assembly:
            verdicts.append(lifted_function.verdict)
    assert verdicts
    assert LiftVerdict.REFUTED in verdicts
    assert verdicts.count(LiftVerdict.TESTS_PASSED) <= 1
