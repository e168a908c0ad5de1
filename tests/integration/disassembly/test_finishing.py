"""Drafts by rules as data to learn from."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.dataset.build import build_dataset
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stored import open_stored_stage, read_stage_samples
from llm_compiler.dataset.verify_bodies import VerifyBodiesJob
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.disassembled import DisassembleOptions
from llm_compiler.disassembly.finishing import DraftBodyJob, FinishStage
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.errors import ArtifactError
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.engine import BaseEngine
from llm_compiler.model.engines.loader import shipped_model
from llm_compiler.model.engines.requests import Capability, CodeAnswer, Lift
from llm_compiler.model.prompts import CompactPrompts
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.process import run
from llm_compiler.workers import LocalPool, run_jobs

from ...unit.model.conftest import write_stage_data
from .conftest import TRIPLES, Compile

ANSWER = """target triple = "x86_64-pc-linux-gnu"

define i32 @{name}(ptr %0, i32 %1) #0 {{
  ret i32 %1
}}
"""
SIMPLE = "int plus(int a) { return a + 7; }"
# Behind a nop, which no code generator writes there, what the rules make of it is other code.
OTHER = """
int find(const int *n, int most) {
    int count = 0;
    for (; *n; n++) if (*n > 3 && ++count == most) return count;
    return -1;
}
"""


def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pairs"
    made.mkdir()
    return made


def with_nop(assembly: str) -> str:
    return re.sub(r"^(\tret)", r"\tnop\n\1", assembly, flags=re.MULTILINE)


def sample(compile_c: Compile, source: str, architecture: str, index: int = 0) -> StageSample:
    path = compile_c(source, f"unit-{index}.s", architecture)
    if source == OTHER:
        path.write_text(with_nop(path.read_text()))
    triple = TRIPLES[architecture]
    return StageSample(
        stage="disassembly",
        task="disassembly",
        seed=0,
        index=index,
        draw=0,
        target_triple=triple,
        input_code=normalize_assembly(path.read_text(), triple),
        output_code=ANSWER.format(name="plus" if source == SIMPLE else "find"),
    )


@pytest.mark.parametrize("architecture", sorted(TRIPLES))
def test_drafts_in_short_form(compile_c: Compile, architecture: str) -> None:
    samples = [sample(compile_c, word, architecture, n) for n, word in enumerate((SIMPLE, OTHER))]
    broken = dataclasses.replace(samples[0], input_code="f:\nno such instruction\n")
    job = DraftBodyJob(
        functions=tuple(
            (stage_sample.input_code, stage_sample.target_triple)
            for stage_sample in (*samples, broken)
        ),
        max_variants=1,
    )
    with LocalPool(1) as pool:
        simple, other, none = run_jobs(pool, [job])[0]
        assert simple.is_same
        assert not simple.body
        assert not none.body
        assert none.cause
        assert not other.is_same
        assert other.body.startswith("define ")
        assert "@f0(" in other.body
        assert "attributes" not in other.body
        assert "find" not in other.body
        # It can be read and lowers, to other code: what a model is to finish.
        job = VerifyBodiesJob(
            assembly=samples[1].input_code,
            target_triple=samples[1].target_triple,
            bodies=(other.body,),
        )
        verdict = run_jobs(pool, [job])[0][0]
    assert verdict.lowers
    assert not verdict.is_exact


def test_stage_data_of_drafts(compile_c: Compile, tmp_path: Path) -> None:
    tokenizer = IrTokenizer(shipped_model())
    samples = [
        sample(compile_c, SIMPLE, "x86_64", 0),
        sample(compile_c, OTHER, "x86_64", 1),
        sample(compile_c, OTHER, "aarch64", 2),
    ]
    write_stage_data(folder(tmp_path), samples, shard_size=2)
    with LocalPool(1) as pool:
        for name, number in (("drafts", 2), ("again", 3)):
            stage = FinishStage(tmp_path / "pairs", max_variants=1)
            report = build_dataset(
                stage, tmp_path / name, num_samples=number, pool=pool, llvm_version="19"
            )
    assert report.rejected == {"draft is the same code": 1, "repeated": 1}
    assert report.tasks == {"finish": 3}
    found, again = (
        [
            each_stage_sample
            for path in open_stored_stage(made).paths
            for each_stage_sample in read_stage_samples(path)
        ]
        for made in (tmp_path / "drafts", tmp_path / "again")
    )
    assert {each_stage_sample.target_triple for each_stage_sample in found} == set(TRIPLES.values())
    assert found == again[:2]
    assert dataclasses.replace(again[2], index=0) == found[0]
    for stage_sample in found:
        assert stage_sample.attempt
        assert stage_sample.output_code in {other.output_code for other in samples}
        prompts = CompactPrompts(tokenizer)
        (document,) = prompts.documents(stage_sample, 8192)
        text = tokenizer.decode(document.prompt)
        assert text.startswith("<|begin|><|reserved:3|>")
        assert text.endswith(f"<|reserved:4|>{stage_sample.attempt}<|answer|>")
        # The answer is what the same function has without a draft.
        plain = dataclasses.replace(stage_sample, task="disassembly", attempt="")
        assert prompts.documents(plain, 8192)[0].answer == document.answer


def test_data_that_has_no_drafts(compile_c: Compile, tmp_path: Path) -> None:
    write_stage_data(folder(tmp_path), [sample(compile_c, SIMPLE, "x86_64")], shard_size=2)
    stage = FinishStage(tmp_path / "pairs", max_variants=1)
    with LocalPool(1) as pool, pytest.raises(ArtifactError, match="is other code"):
        list(stage.make([0], pool))
    with LocalPool(1) as pool, pytest.raises(ArtifactError, match="1 functions, which give 64"):
        list(stage.make([64], pool))


class Finishing(BaseEngine):
    """Answers as it is scripted; keeps the drafts and how many answers it was asked for."""

    name, context = "finishing", 4096

    def __init__(self, can_finish: bool) -> None:
        finishes = {Capability.FINISH} if can_finish else set()
        self.capabilities = frozenset({Capability.LIFT, *finishes})
        self.asked: list[tuple[str, int]] = []

    def lift(self, request: Lift) -> list[CodeAnswer]:
        self.asked.append((request.draft, request.num_candidates))
        short = shorten_assembly(request.assembly, TRIPLES["x86_64"])
        bodies = [
            f"define i32 @f0(ptr %0, i32 %1) {{\n  ret i32 {number}\n}}\n"
            for number in ((7,) if request.draft else (7, 8))
        ]
        return [CodeAnswer(code=build_module_text(body, short), body=body) for body in bodies]


@pytest.mark.parametrize("can_finish", [True, False])
def test_a_model_that_can_is_shown_the_draft(
    can_finish: bool, compile_c: Compile, tmp_path: Path, toolchain: Toolchain
) -> None:
    path = compile_c(OTHER, "find.s")
    path.write_text(with_nop(path.read_text()))
    built = path.with_suffix(".o")
    assert run([str(toolchain.tool("clang")), "-c", path, "-o", built], timeout_s=60).ok
    binary = read_binary(built, toolchain, tmp_path)
    symbol = binary.elf.symbol("find")
    assert symbol is not None
    engine = Finishing(can_finish)
    with LocalPool(1) as pool:
        lifter = Lifter(
            binary,
            engine,
            DisassembleOptions(candidates=3, search_s=0.05),
            pool=pool,
            toolchain=toolchain,
            executor=None,
            folder=tmp_path,
        )
        lifter.lift(symbol)
    if not can_finish:
        assert engine.asked == [("", 3)]
        return
    (draft, half), more = engine.asked
    assert (half, more) == (2, ("", 3))
    assert draft.startswith("define ")
    assert "@f0(" in draft
