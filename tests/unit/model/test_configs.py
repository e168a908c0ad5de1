from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.errors import CheckpointMismatch, ConfigError
from llm_compiler.model.configs import load_model_config, read_hf_config

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "model"


@pytest.mark.parametrize(
    ("name", "millions"), [("tiny", 7), ("small", 18.9), ("7b", 6738.5), ("13b", 13016)]
)
def test_shapes(name: str, millions: float, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra train: make test-train")
    from transformers import AutoConfig, LlamaForCausalLM

    config = load_model_config(CONFIGS / f"{name}.toml")
    assert config.num_parameters == pytest.approx(millions * 1e6, rel=0.01)
    (tmp_path / "config.json").write_bytes(config.to_json())
    theirs = AutoConfig.from_pretrained(tmp_path)
    with torch.device("meta"):
        model = LlamaForCausalLM(theirs)
    assert sum(parameter.numel() for parameter in model.parameters()) == config.num_parameters
    rope = getattr(theirs, "rope_parameters", None) or {"rope_theta": theirs.rope_theta}
    assert rope["rope_theta"] == config.rope_theta
    again = read_hf_config(tmp_path)
    assert again.to_hf() == config.to_hf()


def test_small_fits_into_the_package() -> None:
    config = load_model_config(CONFIGS / "small.toml")
    assert config.num_parameters <= 20e6
    assert config.num_parameters * 2 + 20_000 < 40e6
    assert config.context >= 4096
    assert config.vocab_size <= 16_384


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vocab_size = 'many'", "is missing"),
        ("colour = 1", "unknown key colour"),
        ("= 1", "is not valid TOML"),
        ("VALID\nnum_kv_heads = 3", "multiple"),
        ("VALID\nnum_layers = -2", "num_layers is -2"),
        ("VALID\nnum_layers = 'two'", "num_layers is 'two'"),
    ],
)
def test_bad_shapes(text: str, message: str, tmp_path: Path) -> None:
    valid = (CONFIGS / "tiny.toml").read_text()
    for key in ("num_kv_heads", "num_layers"):
        if key in text:
            valid = "\n".join(x for x in valid.splitlines() if not x.startswith(key))
    path = tmp_path / "model.toml"
    path.write_text(text.replace("VALID", valid))
    with pytest.raises(ConfigError, match=message):
        load_model_config(path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(CheckpointMismatch, match="there is no config"):
        read_hf_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CheckpointMismatch, match="of type 'bert'"):
        read_hf_config(tmp_path)
