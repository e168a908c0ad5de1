"""Model shapes: Llama's architecture at every scale, as Hugging Face's config.json writes it.

A shape is a TOML file (`configs/model/*.toml`); the ones of the repository go by their names. Pure
arithmetic: no PyTorch here.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llm_compiler.config_file import read_toml, read_value
from llm_compiler.errors import CheckpointMismatch, ConfigError

__all__ = ["CONFIG_FILE", "ModelConfig", "load_model_config", "read_hf_config"]

CONFIG_FILE: Final = "config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The shape of a decoder: RMS norms, rotary positions, SwiGLU, grouped-query attention."""

    name: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    context: int
    """Tokens; the longest document, prompt and answer together."""
    rope_theta: float = 10_000.0
    tie_embeddings: bool = False
    rms_norm_eps: float = 1e-5
    begin_id: int = 2
    end_id: int = 0
    pad_id: int | None = 1

    def __post_init__(self) -> None:
        numbers = [
            field.name for field in dataclasses.fields(self) if field.type in ("int", "float")
        ]
        for name in numbers:
            value = getattr(self, name)
            smallest = 0 if name.endswith("_id") else 1e-12
            if isinstance(value, bool) or not isinstance(value, int | float) or value < smallest:
                raise ConfigError(f"model '{self.name}': {name} is {value!r}")
        if self.hidden_size % self.num_heads or self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"model '{self.name}': hidden_size must be a multiple of num_heads, and num_heads "
                "of num_kv_heads"
            )
        if self.head_size % 2:
            raise ConfigError(f"model '{self.name}': a head of {self.head_size} is odd")

    @property
    def head_size(self) -> int:
        """Numbers a head."""
        return self.hidden_size // self.num_heads

    @property
    def num_block_parameters(self) -> int:
        """Of all layers and the last norm, without embeddings: what every token passes through."""
        kv_size = self.num_kv_heads * self.head_size
        attention = 2 * self.hidden_size * (self.hidden_size + kv_size)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        norms = 2 * self.hidden_size
        return self.num_layers * (attention + feed_forward + norms) + self.hidden_size

    @property
    def num_parameters(self) -> int:
        """Of the whole model; tied embeddings count once."""
        matrices = 1 if self.tie_embeddings else 2
        return self.num_block_parameters + matrices * self.vocab_size * self.hidden_size

    def training_flops(
        self, *, tokens: int, answer_tokens: int, squared_lengths: int, frozen: bool = False
    ) -> int:
        """Return the floating-point operations of one training step, forward and backward.

        Args:
            answer_tokens: those with a loss; the output matrix is applied to them only.
            squared_lengths: the sum of the documents' squared lengths, for causal attention.
            frozen: the matrices get no gradients: adapters, which count for nothing, do.
        """
        each = 4 if frozen else 6
        blocks = each * self.num_block_parameters * tokens
        head = each * self.vocab_size * self.hidden_size * answer_tokens
        attention = 6 * self.num_layers * self.hidden_size * squared_lengths
        return blocks + head + attention

    def to_hf(self) -> dict[str, Any]:
        """Return config.json as transformers, vLLM and llama.cpp read it."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_size,
            "max_position_embeddings": self.context,
            "rms_norm_eps": self.rms_norm_eps,
            # Both spellings: transformers 5 has rope_parameters, all others rope_theta.
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "tie_word_embeddings": self.tie_embeddings,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "bos_token_id": self.begin_id,
            "eos_token_id": self.end_id,
            "pad_token_id": self.pad_id,
            "use_cache": True,
            "torch_dtype": "bfloat16",
        }

    def to_json(self) -> bytes:
        """Return config.json's content."""
        return (json.dumps(self.to_hf(), indent=2) + "\n").encode()


def load_model_config(path: Path) -> ModelConfig:
    """Read a shape from TOML.

    Raises:
        ConfigError: the file is missing, no TOML, or no shape.
    """
    table = {"name": path.stem, **read_toml(path)}
    if table.get("pad_id") == -1:
        table["pad_id"] = None  # TOML has no null
    return read_value(ModelConfig, table, str(path))


def read_hf_config(folder: Path) -> ModelConfig:
    """Return the shape of a checkpoint in Hugging Face's layout.

    Raises:
        CheckpointMismatch: there is no config.json of a Llama.
    """
    path = folder / CONFIG_FILE
    try:
        fields = json.loads(path.read_bytes())
        if fields["model_type"] != "llama":
            raise CheckpointMismatch(f"{path} is of a model of type '{fields['model_type']}'")
        rope = fields.get("rope_parameters") or {}
        ends = fields.get("eos_token_id", 2)
        return ModelConfig(
            name=folder.name,
            vocab_size=fields["vocab_size"],
            hidden_size=fields["hidden_size"],
            intermediate_size=fields["intermediate_size"],
            num_layers=fields["num_hidden_layers"],
            num_heads=fields["num_attention_heads"],
            num_kv_heads=fields.get("num_key_value_heads", fields["num_attention_heads"]),
            context=fields["max_position_embeddings"],
            rope_theta=float(fields.get("rope_theta") or rope.get("rope_theta", 10_000.0)),
            tie_embeddings=fields.get("tie_word_embeddings", False),
            rms_norm_eps=fields.get("rms_norm_eps", 1e-6),
            begin_id=fields.get("bos_token_id", 1),
            end_id=ends[0] if isinstance(ends, list) else ends,
            pad_id=fields.get("pad_token_id"),
        )
    except FileNotFoundError:
        raise CheckpointMismatch(
            f"{folder} holds no checkpoint: there is no {CONFIG_FILE}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{path} is no configuration of a model: {error}") from error
