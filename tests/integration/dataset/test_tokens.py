"""From samples to tokens and back, with LLVM's own text; training on samples made on the fly."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from llm_compiler import process
from llm_compiler.cli import main
from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.dataset.draws import Draw, DrawJob
from llm_compiler.dataset.engine import make_samples, safe_elements
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.emulation import same_bodies, shorten_module
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.sample_set import SampleSet
from llm_compiler.dataset.stage_sample import StageSample
from llm_compiler.dataset.stages import make_stage
from llm_compiler.errors import InputError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.prompts import Answer, CompactPrompts, Document, parse_answer
from llm_compiler.model.token_shards import TokenShards
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.train.configs import DataConfig, TrainConfig
from llm_compiler.train.sources import open_source
from llm_compiler.workers import LocalPool, run_jobs


@pytest.fixture(scope="module")
def tokenizer(samples_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    command = ["tokenizer", "train", str(samples_folder), "--out", str(folder), "--jobs", "1"]
    assert main([*command, "--vocab-size", "900", "--max-characters", "60000"]) == 0
    return IrTokenizer(folder)


def test_the_commands(
    samples_folder: Path,
    tokenizer: IrTokenizer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = str(tokenizer.folder)
    assert main(["tokenizer", "show", folder, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["vocab_size"], facts["passes_without_a_token"]) == (900, [])
    data = b"define void @f() {\n  ret void\n}\n\xff"
    (tmp_path / "f.ll").write_bytes(data)
    assert main(["tokenizer", "show", folder, "--file", str(tmp_path / "f.ll"), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert tokenizer.decode_bytes(printed["ids"]) == data
    build = ["dataset", "build", "emulation", str(samples_folder), "--num-samples", "12"]
    assert main([*build, "--out", str(tmp_path / "data"), "--shard-size", "5", "--jobs", "1"]) == 0
    pack = ["tokenizer", "pack", str(tmp_path / "data"), "--tokenizer", folder]
    capsys.readouterr()
    assert main([*pack, "--out", str(tmp_path / "tokens"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["num_samples"] == 12
    assert len(TokenShards(tmp_path / "tokens")) == report["num_documents"] > 3
    # Trained on stage data, it needs no LLVM.
    again = ["tokenizer", "train", str(tmp_path / "data"), "--out", str(tmp_path / "other")]
    assert main([*again, "--vocab-size", "600"]) == 0
    assert main([*pack[:-1], str(tmp_path / "other"), "--out", str(tmp_path / "tokens")]) == 7
    assert "tokens of other data, or of another tokenizer" in capsys.readouterr().err
    assert main(["tokenizer", "show", str(tmp_path)]) == 7
    assert main(["tokenizer", "show", folder, "--file", str(tmp_path / "none")]) == 4


@pytest.mark.parametrize("name", ["pretraining", "emulation"])
def test_documents_hold_what_llvm_said(
    samples_folder: Path, tokenizer: IrTokenizer, name: str
) -> None:
    prompts = CompactPrompts(tokenizer)
    with LocalPool(1) as pool:
        stage = make_stage(name, SampleSet(samples_folder), seed=5, space=safe_elements(pool))
        samples = [result.sample for result in make_samples(stage, range(16), pool)]
    found = 0
    for sample in samples:
        if sample.task == "emulate-ir":
            with contextlib.suppress(InputError):
                short_form_of_emulation(sample, prompts)
                found += 1
            continue
        (document,) = prompts.documents(sample, 1_000_000)
        assert sample.input_code in tokenizer.decode(document.prompt)
        found += 1
        if name == "pretraining":
            assert tokenizer.decode(document.answer[:-1]) == sample.output_code
            continue
        answer = parse_answer(document.answer, tokenizer)
        assert answer.output_code == sample.output_code
        stated(answer, document, sample, prompts)
    assert found > 6


def stated(
    answer: Answer, document: Document, sample: StageSample, prompts: CompactPrompts
) -> None:
    assert answer.num_instructions_after == sample.num_instructions_after
    assert answer.size_bytes_after == sample.size_bytes_after
    # Each pass of the list is a token.
    prompt = prompts.tokenizer.decode(document.prompt)
    assert prompt.count("<|pass:") == sample.passes.count(",") + 1


def short_form_of_emulation(sample: StageSample, prompts: CompactPrompts) -> None:
    """Read an answer back into the module of the question: the same code as the true result.

    Raises:
        InputError: there is no short form; and no document.
    """
    documents = prompts.documents(sample, 1_000_000)
    try:
        short = shorten_module(sample.input_code)
        short.shorten(sample.output_code)
    except InputError:
        assert not documents
        raise
    (document,) = documents
    answer = parse_answer(document.answer, prompts.tokenizer)
    assert answer.output_code is not None
    assert len(answer.output_code) < len(sample.output_code) / 2
    assert short.body in prompts.tokenizer.decode(document.prompt)
    stated(answer, document, sample, prompts)
    restored = short.restore(answer.output_code)
    assert same_bodies(restored, sample.output_code)
    codes = []
    for text in (restored, sample.output_code):
        with Context() as context:
            module = context.parse(text.encode(), "<answer>")
            with TargetMachine.for_module(module) as machine:
                codes.append(normalize_assembly(machine.emit_assembly(module), machine.triple))
    assert codes[0] == codes[1]


SINGLE = (
    'extern int puts(const char *); int f(int x) { puts("one"); return x * 3; }',
    "static const short t[4] = {3, 1, 4, 1}; extern int n; int f(int x) { return t[x & 3] + n++; }",
    "double f(double a, float b) { return a * 3.3 + b * 1.7f; }",
    "int f(int x) { switch (x) { case 0: return 5; case 1: return 99; case 2: return x * 7;"
    " case 3: return x - 3; case 4: return 0; case 5: return -4; } return 1; }",
    "struct s { char c; struct { long l; int i; } t[4]; }; int g(int);"
    " int f(struct s *p, long i) { return p->t[i].i + g(p->c); }",
    "extern _Bool b; long f(long *q) { return b ? q[2] : -1; }",
)


@pytest.mark.parametrize("target", ["x86_64-pc-linux-gnu", "aarch64-linux-gnu"])
@pytest.mark.parametrize("source", SINGLE)
def test_documents_of_disassembly_are_in_short_form(
    samples_folder: Path, tokenizer: IrTokenizer, toolchain: Toolchain, source: str, target: str
) -> None:
    flags = [
        "-Oz",
        "-Xclang",
        "-disable-llvm-passes",
        "-emit-llvm",
        "-c",
        "-x",
        "c",
        "-",
        "-o",
        "-",
    ]
    command = [toolchain.tool("clang"), f"--target={target}", *flags]
    module = process.run(command, timeout_s=60, stdin=source.encode()).stdout
    draw = make_stage("disassembly", SampleSet(samples_folder), seed=5).draw(0, 0)
    assert isinstance(draw, Draw)
    blank = dataclasses.replace(draw.sample, target_triple=target)
    draw = dataclasses.replace(draw, module=module, passes=("default<Oz>",), sample=blank)
    with LocalPool(1) as pool:
        made = run_jobs(pool, [DrawJob(draws=(draw,))])[0][0]
    sample = made.sample
    assert sample is not None, made.cause
    (document,) = CompactPrompts(tokenizer).documents(sample, 1_000_000)
    short = shorten_assembly(sample.input_code, target)
    body = parse_answer(document.answer, tokenizer).output_code
    assert body is not None
    assert short.text in tokenizer.decode(document.prompt)
    assert body.startswith("define ")
    assert len(body) < len(sample.output_code) / 2
    # From the answer alone, with what the assembly tells.
    with Context() as context:
        answer = context.parse(build_module_text(body, short).encode(), "<answer>")
        with TargetMachine.for_module(answer) as machine:
            lowered = normalize_assembly(machine.emit_assembly(answer), machine.triple)
    assert shorten_assembly(lowered, target).text == short.text


def test_documents_made_on_the_fly_from_any_position(
    samples_folder: Path, tokenizer: IrTokenizer
) -> None:
    data = DataConfig(path=samples_folder)
    source = open_source(
        "emulation",
        data,
        prompts=CompactPrompts(tokenizer),
        tokenizer=tokenizer.folder,
        seed=1,
        context=2048,
        num_workers=1,
    )
    whole, rest = (
        [
            [encoded.ids.tolist() for encoded in found]
            for found in itertools.islice(source.read(n), 8)
        ]
        for n in (0, 5)
    )
    assert whole[5:] == rest[:3]


def test_training_on_samples_made_on_the_fly(
    samples_folder: Path, tokenizer: IrTokenizer, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra train: make test-train")
    from llm_compiler.train.loop import train
    from llm_compiler.train.progress import read_log

    data = DataConfig(path=samples_folder)
    model = ModelConfig(
        name="test",
        vocab_size=900,
        hidden_size=32,
        intermediate_size=64,
        num_layers=1,
        num_heads=2,
        num_kv_heads=1,
        context=2048,
        tie_embeddings=True,
    )
    config = TrainConfig(
        stage="emulation",
        model=model,
        tokenizer=tokenizer.folder,
        out=tmp_path / "run",
        data={"emulation": data, "pretraining": data},
        row_tokens=2048,
        rows_per_step=1,
        max_steps=4,
        log_every=1,
        device="cpu",
        num_threads=1,
    )
    train(config)
    tasks = {task for line in read_log(config.out) for task in line.get("loss_by_task", {})}
    assert tasks & {"emulate-ir", "emulate-assembly"}
    assert tasks & {"ir", "assembly"}
