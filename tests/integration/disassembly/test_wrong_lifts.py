"""What is wrong with lifts, and the data made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_compiler.cli import main
from llm_compiler.dataset.verify_bodies import BodyVerdict, VerifyBodiesJob
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.read_function import FunctionReader
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.workers import LocalPool, run_jobs

from .conftest import Compile

TRIPLE = "x86_64-pc-linux-gnu"
SOURCE = "long mix(long a, long b) { return (a ^ b) * 5 + 2; }"
RIGHT = """define i64 @f0(i64 %0, i64 %1) {
  %3 = xor i64 %1, %0
  %4 = mul i64 %3, 5
  %5 = add i64 %4, 2
  ret i64 %5
}
"""
NEAR = RIGHT.replace("%4, 2", "%4, 3")
BROKEN = RIGHT.replace("%4, 2", "%2, 2")


@pytest.fixture(scope="module")
def pool() -> Iterator[LocalPool]:
    with LocalPool(1) as pool:
        yield pool


@pytest.fixture
def assembly(compile_c: Compile, tmp_path: Path, toolchain: Toolchain) -> str:
    binary = read_binary(compile_c(SOURCE, "mix.o"), toolchain, tmp_path)
    symbol = binary.elf.symbol("mix")
    assert symbol is not None
    return FunctionReader(binary).read(symbol).text


def test_bodies_are_judged_with_what_is_wrong(assembly: str, pool: LocalPool) -> None:
    bodies = (RIGHT, NEAR, BROKEN, "define", RIGHT.replace("@f0", "@f1"))
    job = VerifyBodiesJob(assembly=assembly, target_triple=TRIPLE, bodies=bodies)
    right, near, broken, begun, other = run_jobs(pool, [job])[0]
    assert right == BodyVerdict(lowers=True)
    assert right.is_exact
    assert near.lowers
    assert "\n-" in near.report
    assert "\n+" in near.report
    for item in (broken, begun, other):
        assert not item.is_exact
        assert item.report
    assert "line 4" in broken.report


def test_the_shipped_model_s_mistakes_become_samples(
    compile_c: Compile, tmp_path: Path, toolchain: Toolchain, capsys: pytest.CaptureFixture[str]
) -> None:
    """`dataset repairs`, of real data and real mistakes; each right answer is right."""
    pytest.importorskip("pyarrow")
    from llm_compiler.dataset.build import MANIFEST, build_dataset
    from llm_compiler.dataset.engine import Result
    from llm_compiler.dataset.stage_sample import StageSample
    from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples

    bodies = {
        "long f(long a, long b) { return (a ^ b) * 1234567 + (b >> 3) * a - 99; }": "f",
        "int g(const int *p) { int s = 77; while (*p) s = s * 31 + *p++ * 3; return s; }": "g",
    }
    samples = []
    for source, name in bodies.items():
        binary = read_binary(compile_c(source, f"{name}.o"), toolchain, tmp_path)
        symbol = binary.elf.symbol(name)
        assert symbol is not None
        module = compile_c(source, f"{name}.ll").read_text()
        samples.append(
            StageSample(
                stage="disassembly",
                task="disassembly",
                seed=0,
                index=len(samples),
                draw=0,
                target_triple=TRIPLE,
                input_code=FunctionReader(binary).read(symbol).text,
                output_code=module,
            )
        )

    class Given:
        name, fingerprint = "disassembly", "given"

        def make(self, indexes: Any, pool: Any) -> Iterator[Result]:
            return (Result(sample=samples[index]) for index in indexes)

    with LocalPool(1) as own:
        build_dataset(Given(), tmp_path / "data", num_samples=2, pool=own, llvm_version="19")
    command = ["dataset", "repairs", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert main([*command, "--num-samples", "4", "--candidates", "3"]) == 0
    assert (tmp_path / "out" / MANIFEST).is_file()
    (path,) = open_stored_stage(tmp_path / "out").paths
    found = read_stage_samples(path)
    assert [stage_sample.task for stage_sample in found] == ["repair"] * 4
    plain = [
        dataclasses.replace(
            stage_sample, task="disassembly", attempt="", report="", index=0, draw=0
        )
        for stage_sample in found
    ]
    assert {stage_sample.output_code for stage_sample in plain} <= {
        sample.output_code for sample in samples
    }
    assert all(
        stage_sample.attempt.startswith("define ") and stage_sample.report for stage_sample in found
    )
    capsys.readouterr()
    assert main(["dataset", "repairs", str(tmp_path), "--out", "x", "--num-samples", "4"]) == 7
    assert "manifest" in capsys.readouterr().err
