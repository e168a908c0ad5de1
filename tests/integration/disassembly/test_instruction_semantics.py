"""The rules' semantics of instructions against the processor: a sample of the benchmark's cases."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.disassembly.rules.aarch64 import RULES as RULES_AARCH64
from llm_compiler.disassembly.rules.x86_64 import RULES
from llm_compiler.llvm.toolchain import Toolchain

from .conftest import load_benchmark

NATIVE = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor"
)


QEMU = pytest.mark.skipif(
    platform.machine() != "aarch64"
    and (not shutil.which("qemu-aarch64") or not Path("/usr/aarch64-linux-gnu/lib").is_dir()),
    reason="needs an AArch64 processor, or qemu-aarch64 and a C library for it",
)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    return load_benchmark("instruction_semantics")


@pytest.fixture(scope="module")
def benchmark_aarch64() -> ModuleType:
    return load_benchmark("instruction_semantics_aarch64")


def test_every_mnemonic_of_the_table_has_a_case(benchmark: ModuleType) -> None:
    assert benchmark.untested() == []


@NATIVE
@pytest.mark.timeout(300)
def test_a_sample_of_cases_agrees_with_the_processor(
    benchmark: ModuleType, toolchain: Toolchain, tmp_path: Path
) -> None:
    chosen = list(benchmark.cases())[::4]
    assert len(chosen) > 200
    wrong, lacking = benchmark.check(chosen, toolchain, tmp_path, states=500)
    assert wrong == []
    assert lacking == []


@NATIVE
@pytest.mark.timeout(300)
def test_a_wrong_rule_is_noticed(
    benchmark: ModuleType,
    toolchain: Toolchain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RULES, "addl", RULES["subl"])
    case = benchmark.Case(mnemonic="addl", text="addl %ecx, %edx")
    right = benchmark.Case(mnemonic="subl", text="subl %ecx, %edx")
    wrong, _ = benchmark.check([case, right], toolchain, tmp_path, states=50)
    assert wrong == ["addl %ecx, %edx"]


def test_every_mnemonic_of_aarch64_has_a_case(benchmark_aarch64: ModuleType) -> None:
    assert benchmark_aarch64.untested() == []


@QEMU
@pytest.mark.timeout(300)
def test_a_sample_of_cases_agrees_with_aarch64(
    benchmark: ModuleType, benchmark_aarch64: ModuleType, toolchain: Toolchain, tmp_path: Path
) -> None:
    chosen = list(benchmark_aarch64.cases())[::4]
    assert len(chosen) > 200
    wrong, lacking = benchmark.check(chosen, toolchain, tmp_path, states=200)
    assert wrong == []
    assert lacking == []


@QEMU
@pytest.mark.timeout(300)
def test_a_wrong_rule_of_aarch64_is_noticed(
    benchmark: ModuleType,
    benchmark_aarch64: ModuleType,
    toolchain: Toolchain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(RULES_AARCH64, "ubfx", RULES_AARCH64["sbfx"])
    cases = [
        benchmark_aarch64.ArmCase(mnemonic=text.split(" ")[0], text=text)
        for text in ("ubfx w1, w2, #3, #5", "sbfx w1, w2, #3, #5")
    ]
    wrong, _ = benchmark.check(cases, toolchain, tmp_path, states=50)
    assert wrong == ["ubfx w1, w2, #3, #5"]
