from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.dataset.records import StageSample
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.parquet import write_table
from llm_compiler.records import content_hash

IR = """target triple = "x86_64-pc-linux-gnu"

define dso_local i32 @sum_{n}(ptr noundef %0, i32 noundef %1) #0 {{
  %3 = load i32, ptr %0, align {n}
  %4 = add nsw i32 %3, {m}
  ret i32 %4
}}

attributes #0 = {{ minsize nounwind optsize "target-cpu"="x86-64" }}
"""
ASSEMBLY = ".text\n.globl sum_{n}\nsum_{n}:\nmovl (%rdi), %eax\naddl ${m}, %eax\nretq\n"


def ir(n: int) -> str:
    return IR.format(n=n, m=n * 37)


def assembly(n: int) -> str:
    return ASSEMBLY.format(n=n, m=n * 37)


def make_sample(stage: str, n: int = 1, *, task: str = "", repeat: int = 1) -> StageSample:
    """A sample of made-up code; its fields are all different."""
    return StageSample(
        stage=stage,
        task=task or stage,
        seed=3,
        index=n,
        draw=0,
        module_hash=f"{n:032x}",
        target_triple="x86_64-pc-linux-gnu",
        package="p",
        split="train",
        passes="function(sroa<modify-cfg>),globaldce" if stage != "pretraining" else "",
        input_code="" if stage == "pretraining" else ir(n) * repeat,
        output_code=ir(n + 1) * repeat,
        num_instructions_before=11,
        num_instructions_after=7,
        size_bytes_before=1203,
        size_bytes_after=1180,
        text_data_bytes_before=1100,
        text_data_bytes_after=1077,
    )


@pytest.fixture(scope="session", params=["word", "line", "token"])
def any_tokenizer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> IrTokenizer:
    folder = tmp_path_factory.mktemp(request.param)
    texts = [one for n in range(60) for one in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), folder, vocab_size=700, pre_tokenizer=request.param)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    texts = [one for n in range(60) for one in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), tmp_path_factory.mktemp("tokenizer"), vocab_size=700)


def write_stage_data(folder: Path, samples: list[StageSample], *, shard_size: int) -> Path:
    """Write samples as `dataset build` does."""
    import pyarrow

    stage = samples[0].stage
    shards = []
    for number, start in enumerate(range(0, len(samples), shard_size)):
        rows = [one.to_row() for one in samples[start : start + shard_size]]
        name = f"{stage}-{number:05d}.parquet"
        write_table(pyarrow.Table.from_pylist(rows), folder / name)
        shards.append({"name": name, "num_samples": len(rows)})
    manifest = {
        "format": "llm-compiler stage data, version 1",
        "stage": stage,
        "identity": content_hash(repr([one.to_row() for one in samples]).encode()),
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
