"""A checkpoint as Meta's `llm-compiler-7b-ftd` is stored, at a smaller size: asked, and trained on.

transformers writes it: several shards with an index, bf16, `generation_config.json`, a tokenizer of
Code Llama's kind; sizes of 7B's proportions.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.paper import PaperEngine
from llm_compiler.model.engines.requests import Lift, Propose
from llm_compiler.records import PassList
from llm_compiler.train.checkpoint import checkpoints
from llm_compiler.train.configs import DataConfig, LoraConfig, TrainConfig, load_train_config
from llm_compiler.train.loop import train
from llm_compiler.train.progress import read_log

from ...unit.model.llama_format import write_llama_tokenizer
from .lessons import ASSEMBLY, SMALL, TRIPLE


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("llm-compiler-7b-ftd")
    size = write_llama_tokenizer(folder, [SMALL, ASSEMBLY] * 20)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=172,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=None,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2)
    model.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("model-0000*-of-*.safetensors"))) > 2
    assert (folder / "model.safetensors.index.json").is_file()
    model_config = json.loads((folder / "config.json").read_text())
    assert model_config["architectures"] == ["LlamaForCausalLM"]
    return folder


def test_it_is_asked_in_the_papers_words(theirs: Path) -> None:
    lists = [PassList(("globaldce",)), PassList(("mergefunc",))]
    with load_engine("transformers", str(theirs)) as engine:
        assert isinstance(engine, PaperEngine)
        found = engine.answer(
            Propose(code=SMALL, target_triple=TRIPLE, num_candidates=2, lists=lists)
        )
        assert {proposal.passes for proposal in found} <= set(lists)
        assert (
            engine.answer(Lift(assembly=ASSEMBLY, target_triple=TRIPLE, num_candidates=1))
            is not None
        )


@pytest.fixture
def tuned(theirs: Path, stored: dict[str, Path], tmp_path: Path) -> TrainConfig:
    path = tmp_path / "train.toml"
    path.write_text(
        f'''
stage = "pretraining"
model = "init"
tokenizer = "init"
init = "{theirs}"
out = "{tmp_path / "run"}"
row_tokens = 1024
rows_per_step = 2
max_steps = 4
warmup_steps = 1
learning_rate = 2e-2
log_every = 1
precision = "fp32"
device = "cpu"
num_threads = 1
[data.pretraining]
path = "{stored["pretraining"]}"
'''
    )
    return load_train_config(path, "pretraining")


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_log(run) if "loss" in line]


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("recomputed", [False, True])
def test_it_is_trained_further_and_resumed_exactly(
    tuned: TrainConfig, tmp_path: Path, lora: bool, recomputed: bool
) -> None:
    config = dataclasses.replace(
        tuned,
        lora=LoraConfig(rank=4) if lora else None,
        learning_rate=2e-3,
        gradient_checkpointing=recomputed,
        checkpoint_every_steps=2,
    )
    whole = train(config)
    if not lora:  # four steps are too few for adapters that begin at nothing
        assert losses(config.out)[-1] < losses(config.out)[0]
    again = dataclasses.replace(config, out=tmp_path / "again")
    train(dataclasses.replace(again, max_steps=4))
    first = checkpoints(again.out)[0]
    for folder in checkpoints(again.out)[1:]:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()
    assert first.name == "step-00000002"
    resumed = train(again, resume=True)
    assert losses(again.out) == losses(config.out)
    assert resumed.loss == whole.loss


def test_data_of_another_tokenizer_is_refused(tuned: TrainConfig, tokens: dict[str, Path]) -> None:
    from llm_compiler.errors import TokenizerMismatch

    data = {"pretraining": DataConfig(path=tokens["pretraining"])}
    with pytest.raises(TokenizerMismatch):
        train(dataclasses.replace(tuned, data=data))
