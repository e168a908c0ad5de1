from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from llm_compiler.errors import CheckpointMismatch, ConfigError
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.special import TASKS
from llm_compiler.train.checkpoint import checkpoints, history
from llm_compiler.train.configs import LoraConfig, TrainConfig
from llm_compiler.train.language_model import PackedModel, make_llama
from llm_compiler.train.loop import train
from llm_compiler.train.lora import add_adapters, merge_adapters
from llm_compiler.train.plan import make_plan
from llm_compiler.train.progress import read_log


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("base") / "run"


@pytest.fixture
def tuned(config: TrainConfig, base: Path, tmp_path: Path) -> TrainConfig:
    if not base.exists():
        train(dataclasses.replace(config, out=base))
    return dataclasses.replace(
        config, init=base, out=tmp_path / "tuned", lora=LoraConfig(rank=4), max_steps=8
    )


def test_adapters_alone_are_learnt_and_merged(tuned: TrainConfig, tmp_path: Path) -> None:
    outcome = train(tuned)
    last = outcome.checkpoint
    assert {path.name for path in last.glob("*.safetensors")} == {"adapter_model.safetensors"}
    assert outcome.validation["ir"]["loss"] < 6
    merged = merge_adapters(tuned.out, tmp_path / "merged")
    # A plain checkpoint that says the same, but for bf16: measured by a run without steps to learn.
    check = dataclasses.replace(
        tuned, init=merged, lora=None, out=tmp_path / "check", max_steps=1, learning_rate=1e-12
    )
    found = train(check).validation["ir"]["loss"]
    assert found == pytest.approx(outcome.validation["ir"]["loss"], abs=0.01)
    assert [record["step"] for record in history(merged)] == [6, 8]
    with pytest.raises(ConfigError, match="exists already"):
        merge_adapters(tuned.out, merged)


# peft asks transformers for something that transformers 5 has renamed.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
def test_peft_loads_them(tuned: TrainConfig, shape: ModelConfig) -> None:
    """As anyone else would; the sums are those of the training's own model."""
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    last = train(tuned).checkpoint
    assert tuned.init is not None
    folder = checkpoints(tuned.init)[-1]
    theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    ids = torch.arange(40, 90)[None]
    with torch.no_grad():
        plain = theirs(ids).logits
        adapted = PeftModel.from_pretrained(theirs, last)(ids).logits
    own = make_llama(shape)
    weights = load_file(folder / "model.safetensors")
    own.load_state_dict(weights, strict=False)
    assert tuned.lora is not None
    add_adapters(own, tuned.lora, half=False)
    adapters = {
        name.removeprefix("base_model.model.").replace(".weight", ".default.weight"): item
        for name, item in load_file(last / "adapter_model.safetensors").items()
    }
    assert not own.load_state_dict(adapters, strict=False).unexpected_keys
    with torch.no_grad():
        expected = own(ids, lengths=(50,)).logits
    torch.testing.assert_close(adapted, expected, rtol=1e-4, atol=1e-4)
    assert (plain - adapted).abs().max() > 0.01


def test_resuming_is_exact(tuned: TrainConfig, tmp_path: Path) -> None:
    train(tuned)
    killed = dataclasses.replace(tuned, out=tmp_path / "killed")

    def interrupts(step: int, note: str) -> None:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)

    assert train(killed, on_progress=interrupts).status == "interrupted"
    train(killed, resume=True)
    losses = [
        [x["loss"] for x in read_log(train_config.out) if "loss" in x]
        for train_config in (tuned, killed)
    ]
    assert losses[0] == losses[1]


def test_other_weights_are_refused(tuned: TrainConfig, tmp_path: Path) -> None:
    train(tuned)
    assert tuned.init is not None
    path = checkpoints(tuned.init)[-1] / "model.safetensors"
    before = path.read_bytes()
    try:
        save_file({name: item + 1 for name, item in load_file(path).items()}, path)
        with pytest.raises(CheckpointMismatch, match="stand on other weights"):
            merge_adapters(tuned.out, tmp_path / "merged")
    finally:
        path.write_bytes(before)
    with pytest.raises(CheckpointMismatch, match="--base"):
        merge_adapters(tuned.out, tmp_path / "merged", base=tmp_path / "nowhere")


def test_the_plan_counts_them(tuned: TrainConfig, shape: ModelConfig) -> None:
    assert tuned.lora is not None
    llama = make_llama(shape)
    add_adapters(llama, tuned.lora, half=False)
    trained = sum(parameter.numel() for parameter in llama.parameters() if parameter.requires_grad)
    assert make_plan(tuned).num_trained_parameters == trained


def test_frozen_matrices_in_bf16_change_nothing(tuned: TrainConfig, shape: ModelConfig) -> None:
    """Autocast makes them so anyway."""
    assert tuned.lora is not None
    losses = []
    for half in (False, True):
        torch.manual_seed(1)
        llama = make_llama(shape)
        add_adapters(llama, tuned.lora, half=half)
        model = PackedModel(llama, num_tasks=len(TASKS), longest=256)
        ids = torch.arange(40, 90)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            zeros = torch.zeros(50, dtype=torch.int64)
            losses.append(model(ids, torch.arange(50), ids.roll(-1), zeros, (50,))[0].item())
    assert losses[0] == losses[1]
