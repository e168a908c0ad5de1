"""Llama in plain numpy, float64, one sequence at a time; and random checkpoints of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.tokenizer import IrTokenizer


def tiny_config(vocab_size: int, *, context: int = 600, tie: bool = True) -> ModelConfig:
    return ModelConfig(
        name="tiny",
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        context=context,
        tie_embeddings=tie,
    )


def random_tensors(config: ModelConfig, seed: int) -> dict[str, NDArray[np.uint16]]:
    """Tensors by name, as the bits of bfloat16; large enough that tokens matter to each other."""
    random = np.random.default_rng(seed)
    hidden, inner = config.hidden_size, config.intermediate_size
    kv = config.num_kv_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    for layer in range(config.num_layers):
        for name, shape in (
            ("input_layernorm", (hidden,)),
            ("post_attention_layernorm", (hidden,)),
            ("self_attn.q_proj", (hidden, hidden)),
            ("self_attn.k_proj", (kv, hidden)),
            ("self_attn.v_proj", (kv, hidden)),
            ("self_attn.o_proj", (hidden, hidden)),
            ("mlp.gate_proj", (inner, hidden)),
            ("mlp.up_proj", (inner, hidden)),
            ("mlp.down_proj", (hidden, inner)),
        ):
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    tensors = {}
    for name, shape in shapes.items():
        value = random.standard_normal(shape).astype(np.float32) * 0.25
        value += len(shape) == 1
        tensors[name] = (value.view(np.uint32) >> 16).astype(np.uint16)
    return tensors


def write_safetensors(path: Path, tensors: dict[str, NDArray[np.uint16]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, value in tensors.items():
        end = start + value.nbytes
        header[name] = {"dtype": "BF16", "shape": value.shape, "data_offsets": [start, end]}
        start = end
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    body = b"".join(value.tobytes() for value in tensors.values())
    path.write_bytes(len(head).to_bytes(8, "little") + head + body)


def write_checkpoint(
    folder: Path, config: ModelConfig, *, tokenizer: IrTokenizer | None = None, seed: int = 1
) -> Path:
    """A checkpoint in Hugging Face's layout with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "model.safetensors", random_tensors(config, seed))
    (folder / "config.json").write_bytes(config.to_json())
    if tokenizer is not None:
        tokenizer.save(folder)
    return folder


class Reference:
    """The checkpoint that `write_checkpoint` writes with the same seed."""

    def __init__(self, config: ModelConfig, seed: int = 1) -> None:
        self.config = config
        self._tensors = {
            name: (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
            for name, bits in random_tensors(config, seed).items()
        }

    def log_probabilities(self, ids: Sequence[int]) -> NDArray[np.float64]:
        """Of what follows each token: (tokens, vocab)."""
        c, t = self.config, self._tensors
        x = t["model.embed_tokens.weight"][list(ids)]
        num, size = len(ids), c.head_size
        angles = np.arange(num)[:, None] / c.rope_theta ** (np.arange(0, size, 2) / size)
        cos, sin = (np.tile(item(angles), 2)[:, None] for item in (np.cos, np.sin))

        def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
            return x / np.sqrt((x**2).mean(-1, keepdims=True) + c.rms_norm_eps) * t[name]

        def rotate(x: NDArray[np.float64]) -> NDArray[np.float64]:
            turned = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
            return x * cos + turned * sin

        for layer in range(c.num_layers):
            p = f"model.layers.{layer}."
            h = norm(x, p + "input_layernorm.weight")
            q, k, v = (
                (h @ t[f"{p}self_attn.{word}_proj.weight"].T).reshape(num, -1, size)
                for word in "qkv"
            )
            group = c.num_heads // c.num_kv_heads
            k, v = (np.repeat(array, group, axis=1) for array in (rotate(k), v))
            scores = np.einsum("ihd,jhd->hij", rotate(q), k) / np.sqrt(size)
            scores[:, np.triu(np.ones((num, num), bool), 1)] = -np.inf
            shares = np.exp(scores - scores.max(-1, keepdims=True))
            shares /= shares.sum(-1, keepdims=True)
            attended = np.einsum("hij,jhd->ihd", shares, v).reshape(num, -1)
            x = x + attended @ t[p + "self_attn.o_proj.weight"].T
            h = norm(x, p + "post_attention_layernorm.weight")
            gate = h @ t[p + "mlp.gate_proj.weight"].T
            up = h @ t[p + "mlp.up_proj.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ t[p + "mlp.down_proj.weight"].T
        head = t["model.embed_tokens.weight" if c.tie_embeddings else "lm_head.weight"]
        logits = norm(x, "model.norm.weight") @ head.T
        logits -= logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
