"""The rules' semantics of instructions against the processor: a sample of the benchmark's cases."""

from __future__ import annotations

import importlib.util
import platform
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.disassembly.rules.x86_64 import RULES, integers
from llm_compiler.llvm.toolchain import Toolchain

NATIVE = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="needs an x86-64 processor"
)


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "instruction_semantics.py"
    spec = importlib.util.spec_from_file_location("instruction_semantics", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


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
    wrong_rule = partial(integers._arithmetic, op="sub", bits=32)
    monkeypatch.setitem(RULES, "addl", wrong_rule)
    case = benchmark.Case(mnemonic="addl", text="addl %ecx, %edx")
    right = benchmark.Case(mnemonic="subl", text="subl %ecx, %edx")
    wrong, _ = benchmark.check([case, right], toolchain, tmp_path, states=50)
    assert wrong == ["addl %ecx, %edx"]
