"""Weights under another tokenizer, and in more layers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.model.configs import ModelConfig, read_hf_config
from llm_compiler.model.tokenizer import IrTokenizer, train_tokenizer
from llm_compiler.train.checkpoint import history, write_weights
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.language_model import make_llama
from llm_compiler.train.loop import train
from llm_compiler.train.transfer import transfer_weights

from ...unit.model.conftest import assembly, ir

torch = pytest.importorskip("torch")


@pytest.fixture
def source(shape: ModelConfig, tokenizer: IrTokenizer, tmp_path: Path) -> Path:
    torch.manual_seed(5)
    folder = tmp_path / "source"
    folder.mkdir()
    write_weights(folder, make_llama(shape).state_dict(), shape)
    tokenizer.save(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> IrTokenizer:
    """A smaller vocabulary, whose merges are of other texts."""
    texts = [word for n in range(60, 90) for word in (assembly(n), ir(n, 3))]
    return train_tokenizer(iter(texts), tmp_path_factory.mktemp("other"), vocab_size=600)


def load(folder: Path) -> tuple[ModelConfig, dict[str, object]]:
    import safetensors.torch

    tensors: dict[str, object] = safetensors.torch.load_file(folder / "model.safetensors")
    return read_hf_config(folder), tensors


def test_a_deeper_model_computes_the_same(source: Path, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    shape = transfer_weights(source, tmp_path / "deep", num_layers=6)
    assert shape.num_layers == 6 == read_hf_config(tmp_path / "deep").num_layers
    ids = torch.randint(0, shape.vocab_size, (2, 50))
    before, after = (
        LlamaForCausalLM.from_pretrained(path).float()(ids).logits
        for path in (source, tmp_path / "deep")
    )
    assert torch.equal(before, after)
    _, tensors = load(tmp_path / "deep")
    copied = tensors["model.layers.1.mlp.up_proj.weight"]
    assert torch.equal(copied, tensors["model.layers.0.mlp.up_proj.weight"])


def test_vectors_of_a_new_vocabulary(
    source: Path, tokenizer: IrTokenizer, other: IrTokenizer, tmp_path: Path
) -> None:
    shape = transfer_weights(source, tmp_path / "new", tokenizer=other.folder)
    assert shape.vocab_size == other.vocab_size < tokenizer.vocab_size
    _, old = load(source)
    _, new = load(tmp_path / "new")
    name = "model.embed_tokens.weight"
    before, after = old[name], new[name]
    assert after.shape == (other.vocab_size, shape.hidden_size)  # type: ignore[attr-defined]
    kinds = {"special": 0, "same": 0, "mean": 0}
    for id_ in range(other.vocab_size):
        text = other.decode_bytes([id_])
        if id_ < other.num_specials:
            kinds["special"] += 1
            assert torch.equal(after[id_], before[id_])  # type: ignore[index]
            continue
        pieces = tokenizer.encode_bytes(text)
        assert tokenizer.decode_bytes(pieces) == text
        kinds["same" if len(pieces) == 1 else "mean"] += 1
        mean = before[pieces].float().mean(dim=0)  # type: ignore[index]
        assert torch.allclose(after[id_].float(), mean, atol=4e-3, rtol=1e-2)  # type: ignore[index]
    assert min(kinds.values()) > 10, kinds
    assert IrTokenizer(tmp_path / "new").fingerprint == other.fingerprint


def test_a_run_begins_with_them(source: Path, config: TrainConfig, tmp_path: Path) -> None:
    shape = transfer_weights(source, tmp_path / "deep", num_layers=4)
    outcome = train(dataclasses.replace(config, model=shape, init=tmp_path / "deep"))
    training = history(outcome.checkpoint)
    assert [table["identity"]["stage"] for table in training] == ["transfer", config.stage]


def test_what_cannot_be(source: Path, tmp_path: Path) -> None:
    for layers in (1, 3):
        with pytest.raises(ConfigError, match=f"2 layers become 4, 6, .., not {layers}"):
            transfer_weights(source, tmp_path / "none", num_layers=layers)
    assert not (tmp_path / "none").exists()
    transfer_weights(source, tmp_path / "one")
    with pytest.raises(OutputError, match=r"cannot write .*one: File exists"):
        transfer_weights(source, tmp_path / "one")
