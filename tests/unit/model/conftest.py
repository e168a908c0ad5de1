from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.parquet import write_table
from llm_compiler.records import content_hash

IR = """target triple = "x86_64-pc-linux-gnu"

define dso_local i32 @sum_{n}(ptr noundef %0, i32 noundef %1) #0 {{
  %3 = load i32, ptr %0, align {n}
{adds}  ret i32 %{last}
}}

attributes #0 = {{ minsize nounwind optsize "target-cpu"="x86-64" }}
"""
BODY = """define i32 @f0(ptr %0, i32 %1) {{
  %3 = load i32, ptr %0{align}
{adds}  ret i32 %{last}
}}
"""


def _adds(m: int, repeat: int) -> str:
    return "".join(f"  %{k + 1} = add nsw i32 %{k}, {m}\n" for k in range(3, 3 + repeat))


def ir(n: int, repeat: int = 1, *, m: int = 0) -> str:
    """A module of one function that adds a number `repeat` times."""
    return IR.format(n=n, adds=_adds(m or n * 37, repeat), last=3 + repeat)


def body(n: int, repeat: int = 1, *, m: int = 0) -> str:
    """Its short form."""
    align = "" if n == 4 else f", align {n}"
    return BODY.format(align=align, adds=_adds(m or n * 37, repeat), last=3 + repeat)


def assembly(n: int, repeat: int = 1) -> str:
    return f".text\n.globl sum_{n}\n.type sum_{n}, @function\nsum_{n}:\n{short_assembly(n, repeat)}"


def short_assembly(n: int, repeat: int = 1) -> str:
    return "movl (%rdi), %eax\n" + f"addl ${n * 37}, %eax\n" * repeat + "retq\n"


def make_sample(stage: str, n: int = 1, *, task: str = "", repeat: int = 1) -> StageSample:
    """A sample of synthetic code; its fields are all different."""
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
        input_code=""
        if stage == "pretraining"
        else assembly(n, repeat)
        if stage == "disassembly"
        else ir(n, repeat),
        output_code=ir(n, repeat, m=(n + 1) * 37),
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
    texts = [word for n in range(60) for word in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), folder, vocab_size=700, pre_tokenizer=request.param)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    texts = [word for n in range(60) for word in (ir(n), assembly(n))]
    return train_tokenizer(iter(texts), tmp_path_factory.mktemp("tokenizer"), vocab_size=700)


def write_stage_data(folder: Path, samples: list[StageSample], *, shard_size: int) -> Path:
    """Write samples as `dataset build` does."""
    import pyarrow

    stage = samples[0].stage
    shards = []
    for number, start in enumerate(range(0, len(samples), shard_size)):
        rows = [sample.to_row() for sample in samples[start : start + shard_size]]
        name = f"{stage}-{number:05d}.parquet"
        write_table(pyarrow.Table.from_pylist(rows), folder / name)
        shards.append({"name": name, "num_samples": len(rows)})
    manifest = {
        "format": "llm-compiler stage data, version 1",
        "stage": stage,
        "identity": content_hash(repr([sample.to_row() for sample in samples]).encode()),
        "shards": shards,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
