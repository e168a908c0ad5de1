from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from llm_compiler import process
from llm_compiler.dataset.stage_sample import STAGES
from llm_compiler.errors import (
    CheckpointMismatch,
    ConfigError,
    TokenizerMismatch,
)
from llm_compiler.model.token_shards import pack_tokens
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.train import loop, run_data
from llm_compiler.train.checkpoint import checkpoints
from llm_compiler.train.clock import learning_rate
from llm_compiler.train.configs import DataConfig, TrainConfig, load_train_config
from llm_compiler.train.loop import train
from llm_compiler.train.packing import pack_rows
from llm_compiler.train.processes import Processes
from llm_compiler.train.progress import read_log

from ...unit.model.conftest import make_sample, write_stage_data

replace = dataclasses.replace


def losses(run: Path) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in read_log(run) if "loss" in line}


def test_it_learns_and_leaves_a_checkpoint_that_transformers_reads(
    config: TrainConfig, tokenizer: IrTokenizer
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    outcome = train(replace(config, max_steps=25))
    found = losses(config.out)
    assert outcome.status == "finished"
    assert sorted(found) == list(range(1, 26))
    assert found[1] == pytest.approx(math.log(700), rel=0.02)
    assert found[25] < 0.6 * found[1]
    assert outcome.validation["ir"]["loss"] == pytest.approx(found[25], rel=0.3)
    line = read_log(config.out)[3]
    assert 0 < line["share_of_peak"] < 1.5
    assert line["tokens_per_s"] > 0
    assert (config.out / "curves.png").stat().st_size > 10_000
    assert list((config.out / "tensorboard").iterdir())
    folder = outcome.checkpoint
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == tokenizer.vocab_size
    text = "define dso_local i32 @sum_5(ptr noundef %0"
    ids = torch.tensor([theirs(text, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        loss = model(input_ids=ids, labels=ids).loss.item()
    assert loss < math.log(700)
    assert (folder / "model.safetensors").stat().st_size < 2 * config.model.num_parameters + 5000


@pytest.mark.parametrize("kind", ["tokens", "stored"])
def test_killed_and_resumed_gives_the_same_losses(
    config: TrainConfig, stored: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    config = replace(config, stage="emulation", max_steps=9)
    if kind == "stored":
        data = {stage: DataConfig(path=path) for stage, path in stored.items()}
        config = replace(config, data=data)
    whole = replace(config, out=tmp_path / "whole")
    train(whole)
    killed = replace(config, out=tmp_path / "killed", checkpoint_every_steps=3)

    class Killed(BaseException):
        pass

    def dies(step: int, note: str) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        train(killed, on_progress=dies)
    assert [path.name for path in checkpoints(killed.out)] == ["step-00000003", "step-00000006"]
    outcome = train(killed, resume=True)
    assert losses(killed.out) == losses(whole.out)  # to the last bit
    assert outcome.step == 9
    each_path, other = (checkpoints(run.out)[-1] / "model.safetensors" for run in (whole, killed))
    assert each_path.read_bytes() == other.read_bytes()
    assert len(checkpoints(killed.out)) == config.keep_checkpoints


def test_stages_follow_each_other(config: TrainConfig, tmp_path: Path) -> None:
    init = None
    for stage in STAGES:
        train_config = replace(
            config, stage=stage, init=init, out=tmp_path / stage, max_steps=4, log_every=4
        )
        train(train_config)
        init = train_config.out
        (line, *_) = read_log(train_config.out)
        tasks = line["loss_by_task"]
        own = {"pretraining": "ir", "emulation": "emulate-ir"}.get(stage, stage)
        assert own in tasks
        first = losses(train_config.out)[4]
        if stage != "pretraining":
            # From the weights of the stage before, not from random ones.
            assert first < math.log(700) * 0.9
            assert len(tasks) >= 2


def test_a_bound_in_minutes_brings_the_rate_down_and_leaves_a_checkpoint(
    config: TrainConfig,
) -> None:
    bounded = replace(config, max_steps=100_000, warmup_steps=1, min_learning_rate_ratio=0.1)
    outcome = train(bounded, max_minutes=0.1)
    assert outcome.status == "time"
    lines = [line for line in read_log(config.out) if "loss" in line]
    rates = [line["learning_rate"] for line in lines]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.1 * config.learning_rate, rel=0.4)
    assert outcome.checkpoint.name == f"step-{outcome.step:08d}"
    # The run is over: going on has nothing to do, and breaks nothing.
    again = train(bounded, resume=True)
    assert again.step == outcome.step


def test_validation_must_leave_time_to_train(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first step fits into the 2.4 s, validation of 40 documents, 100 times over, does not.
    monkeypatch.setattr(run_data, "pack_rows", lambda rows, size: [*pack_rows(rows, size)] * 100)
    slow = replace(config, validation_documents=40, max_steps=10**6)
    with pytest.raises(ConfigError, match="validation alone will take about"):
        train(slow, max_minutes=0.04)


def test_a_signal_leaves_a_checkpoint(config: TrainConfig) -> None:
    def interrupts(step: int, note: str) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    outcome = train(config, on_progress=interrupts)
    assert (outcome.status, outcome.step) == ("interrupted", 3)
    assert train(config, resume=True).step == 6


def test_weights_alone_are_a_start(config: TrainConfig, tmp_path: Path) -> None:
    train(config)
    folder = checkpoints(config.out)[-1]
    for path in (folder / "state").iterdir():
        path.unlink()
    (folder / "state").rmdir()
    with pytest.raises(CheckpointMismatch, match="holds weights only: start from it with --init"):
        train(config, resume=True)
    after = replace(config, init=folder, out=tmp_path / "after")
    train(after)
    # bf16 weights: near where the run was.
    assert losses(after.out)[1] == pytest.approx(losses(config.out)[6], rel=0.15)


def test_what_does_not_fit_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    train(replace(config, max_steps=1))
    with pytest.raises(ConfigError, match="holds a run already"):
        train(config)
    with pytest.raises(ConfigError, match="compile needs a GPU"):
        train(replace(config, compile=True), resume=True)
    for name, value in (("seed", 2), ("row_tokens", 300), ("stage", "emulation")):
        with pytest.raises(CheckpointMismatch, match=f"another {name.replace('_', ' ')}"):
            train(replace(config, **{name: value}), resume=True)
    folder = checkpoints(config.out)[-1]
    new = replace(config, init=folder, out=tmp_path / "new")
    wider = replace(config.model, intermediate_size=128)
    with pytest.raises(CheckpointMismatch, match="has intermediate_size 96"):
        train(replace(new, model=wider))
    other = train_tokenizer(iter(["a b"] * 3), tmp_path / "other", vocab_size=520)
    stage = DataConfig(path=config.data["pretraining"].path)
    with pytest.raises(TokenizerMismatch, match="another tokenizer"):
        train(replace(new, tokenizer=other.folder, data={"pretraining": stage}))
    with pytest.raises(TokenizerMismatch, match="has 700 tokens, the model 'test' has 600"):
        train(replace(new, model=replace(config.model, vocab_size=600)))
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    for broken in (data[: len(data) // 2], b""):
        weights.write_bytes(broken)
        with pytest.raises(CheckpointMismatch, match="cannot be read"):
            train(new)
    (folder / "state" / "state.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        train(config, resume=True)
    with pytest.raises(CheckpointMismatch, match="neither a checkpoint nor a run"):
        train(replace(new, init=tmp_path))


def test_losses_that_are_not_finite_end_the_run(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "_MAX_SKIPPED", 3)
    wild = replace(config, learning_rate=1e30, warmup_steps=0, max_steps=50)
    with pytest.raises(ConfigError, match="no finite gradient: lower learning_rate"):
        train(wild)


def test_learning_rate(config: TrainConfig) -> None:
    config = replace(config, learning_rate=1.0, warmup_steps=10, min_learning_rate_ratio=0.1)
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.1)
    assert learning_rate(config, 9, 0.0) == pytest.approx(1.0)
    assert learning_rate(config, 500, 0.5) == pytest.approx(0.55)
    assert learning_rate(config, 999, 1.0) == pytest.approx(0.1)


TOML = """
stage = "pretraining"
model = "{folder}/model.toml"
tokenizer = "{tokenizer}"
out = "{folder}/unused"
row_tokens = 512
rows_per_step = 4
max_steps = 4
warmup_steps = 2
learning_rate = 5e-3
log_every = 1
precision = "fp32"
device = "cpu"
num_threads = 1
[data.pretraining]
path = "{data}"
[validation.pretraining]
path = "{data}"
"""


def write_toml(config: TrainConfig, folder: Path) -> Path:
    model = dataclasses.asdict(config.model)
    lines = [f"{k} = {json.dumps(v)}\n" for k, v in model.items() if v is not None]
    (folder / "model.toml").write_text("".join(lines))
    path = folder / "train.toml"
    data = config.data["pretraining"].path
    path.write_text(TOML.format(folder=folder, tokenizer=config.tokenizer, data=data))
    return path


def test_two_processes_give_the_losses_of_one(config: TrainConfig, tmp_path: Path) -> None:
    """Within 1e-5 of each other, relatively: only the order of sums differs."""
    toml = write_toml(config, tmp_path)
    command: list[Any] = ["-m", "llm_compiler.cli", "train", "pretraining", "--config", toml]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = process.run(
        [sys.executable, *launch, *command, "--out", tmp_path / "two", "--json"],
        timeout_s=100,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.ok, done.stderr_text
    train(load_train_config(toml, "pretraining", out=tmp_path / "one"))
    table, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert list(table) == [1, 2, 3, 4]
    assert table[4] < 0.99 * table[1]
    for step, loss in table.items():
        assert two[step] == pytest.approx(loss, rel=1e-5)
    last = [checkpoints(tmp_path / name)[-1] for name in ("one", "two")]
    records = [json.loads((folder / "training.json").read_text()) for folder in last]
    assert [record["num_processes"] for record in records] == [1, 2]
    assert records[0]["data"] == records[1]["data"]
    assert records[0]["tasks"] == records[1]["tasks"]
    assert records[0]["tasks"]["ir"] > 100
    validated = [read_log(tmp_path / name)[-1]["validation"]["ir"] for name in ("one", "two")]
    assert validated[0]["num_tokens"] == validated[1]["num_tokens"]
    assert validated[0]["loss"] == pytest.approx(validated[1]["loss"], rel=1e-5)


@pytest.mark.timeout(300)
def test_sharded_over_two_processes_and_resumed(config: TrainConfig, tmp_path: Path) -> None:
    """FSDP over gloo, with checkpointing of activations: the losses of one process, also after a
    second start from the first one's shards."""
    toml = write_toml(config, tmp_path)
    command: list[Any] = ["-m", "llm_compiler.cli", "train", "pretraining", "--config", toml]
    command += ["--set", "gradient_checkpointing=true", "--set", "log_every=1", "--json"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_FSDP": "true"}
    for more in (["--set", "max_steps=2"], ["--set", "max_steps=4", "--resume"]):
        done = process.run(
            [sys.executable, *launch, *command, "--out", tmp_path / "sharded", *more],
            timeout_s=130,
            env=environment,
        )
        assert done.ok, done.stderr_text
    found = losses(tmp_path / "sharded")
    shards = sorted(path.name for path in checkpoints(tmp_path / "sharded")[-1].glob("state/*"))
    assert shards == [f"shard-{rank:05d}-of-00002.safetensors" for rank in range(2)]
    # The same steps in one process; the rate follows max_steps, which the first start had as 2.
    each_path = tmp_path / "one"
    first = load_train_config(toml, "pretraining", settings=["max_steps=2"], out=each_path)
    train(first)
    train(dataclasses.replace(first, max_steps=4), resume=True)
    for step, loss in losses(each_path).items():
        assert found[step] == pytest.approx(loss, rel=1e-4)
    with pytest.raises(CheckpointMismatch, match="cannot be read"):
        train(
            load_train_config(
                toml, "pretraining", settings=["max_steps=5"], out=tmp_path / "sharded"
            ),
            resume=True,
        )


def test_the_plan_agrees_with_what_a_run_measures(
    config: TrainConfig,
    tokenizer: IrTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from safetensors.torch import load_file
    from torch.utils.flop_counter import FlopCounterMode

    from llm_compiler.cli import main

    # Texts of many contexts, cut into pieces: rows as full as the plan takes them for.
    samples = [make_sample("pretraining", n, task="ir", repeat=200) for n in range(8)]
    (tmp_path / "long").mkdir()
    pack_tokens(
        write_stage_data(tmp_path / "long", samples, shard_size=8),
        tokenizer.folder,
        tmp_path / "packed",
        context=64,
    )
    config = replace(
        config,
        model=replace(config.model, context=64),
        data={"pretraining": DataConfig(path=tmp_path / "packed")},
        validation={},
    )
    toml = write_toml(config, tmp_path)
    toml.write_text(toml.read_text().partition("[validation")[0])
    command = ["train", "pretraining", "--config", str(toml)]
    command += ["--out", str(tmp_path / "run"), "--json"]
    assert main([*command, "--plan"]) == 0
    plan = json.loads(capsys.readouterr().out)
    # The log has operations as a share of the peak: a peak of 1 makes it operations a second.
    monkeypatch.setattr(Processes, "measure_peak", lambda self: 1.0)
    with FlopCounterMode(display=False) as counter:
        assert main(command) == 0
    outcome = json.loads(capsys.readouterr().out)
    lines = [line for line in read_log(tmp_path / "run") if "loss" in line]
    tokens = sum(line["answer_tokens"] for line in lines)
    counted = sum(
        line["share_of_peak"] / line["tokens_per_s"] * num_tokens
        for line, num_tokens in zip(lines, steps_of(lines), strict=True)
    )
    # An upper bound: rows are not quite full, and the last piece of a text is short.
    assert 0.9 * plan["num_tokens"] < lines[-1]["tokens"] <= plan["num_tokens"]
    assert tokens <= lines[-1]["tokens"]
    assert 0.9 * plan["total_flops"] < counted <= plan["total_flops"]
    # PyTorch's own count of the matrix products, forward and backward; attention is none to it.
    matrices = config.model.training_flops(
        tokens=lines[-1]["tokens"], answer_tokens=tokens, squared_lengths=0
    )
    assert counter.get_total_flops() == pytest.approx(matrices, rel=0.01)
    weights = load_file(Path(outcome["checkpoint"]) / "model.safetensors")
    assert sum(weight.numel() for weight in weights.values()) == plan["num_parameters"]
    assert (Path(outcome["checkpoint"]) / "model.safetensors").stat().st_size == pytest.approx(
        plan["checkpoint_bytes"], rel=0.05
    )


def steps_of(lines: list[dict[str, Any]]) -> list[int]:
    """Return the tokens of each logged step, where the log has their sum."""
    sums = [0, *(line["tokens"] for line in lines)]
    return [after - before for before, after in itertools.pairwise(sums)]


def test_the_command(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from llm_compiler.cli import main

    toml = str(write_toml(config, tmp_path))
    command = ["train", "pretraining", "--config", toml, "--out", str(tmp_path / "run")]
    assert main([*command, "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["num_tokens"] == 512 * 4 * 4
    assert plan["measured_tokens_per_s"] is None
    assert main([*command, "--set", "max_steps=2"]) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert main(command) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert main([*command, "--resume", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert (outcome["step"], outcome["status"]) == (4, "finished")
    assert main([*command, "--plan"]) == 0
    assert "tokens/s" in capsys.readouterr().out
    assert main(["train", "emulation", "--config", toml]) == 2
    assert "is for the stage 'pretraining'" in capsys.readouterr().err
