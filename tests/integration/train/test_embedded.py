"""The embedded engine computes what transformers computes from the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.engines.embedded import EmbeddedDecoder


@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
def test_logits_are_those_of_transformers(tie: bool, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = ModelConfig(
        name="t",
        vocab_size=300,
        hidden_size=64,
        intermediate_size=96,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        context=700,
        rope_theta=1e6,
        tie_embeddings=tie,
    )
    torch.manual_seed(1)
    made = LlamaForCausalLM(LlamaConfig(**config.to_hf()))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, 0.15 if parameter.dim() > 1 else 1.0, 0.2)
    made.to(torch.bfloat16).save_pretrained(tmp_path)
    model = LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    ids = torch.randint(0, 300, (1, 600), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = model(ids).logits[0].log_softmax(-1).numpy()
    decoder = EmbeddedDecoder(tmp_path, precision="fp32", threads=1, cache=tmp_path / "cache")
    assert decoder.config.rope_theta == 1e6
    state = decoder.start(ids[0, :590].tolist())
    chain = state.extend(ids[0, 590:].tolist(), [-1, *range(9)])
    found = np.concatenate([state.first[None], chain])
    np.testing.assert_allclose(found, expected[589:], atol=2e-3)
