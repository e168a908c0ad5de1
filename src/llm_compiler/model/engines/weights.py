"""Reads safetensors files without PyTorch, and what a Llama's tensors are called.

Tensors stay in the file, mapped into memory, until they are asked for. bfloat16, which numpy does
not have, becomes float32 without loss; matrices of int8 are multiplied by their rows' scales
(`model.int8_storage`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from llm_compiler.errors import CheckpointMismatch
from llm_compiler.model.configs import ModelConfig
from llm_compiler.model.int8_storage import SCALE, dequantised, read_header
from llm_compiler.records import content_hash

__all__ = ["WEIGHTS_FILE", "Weights"]

WEIGHTS_FILE: Final = "model.safetensors"
_SIZES: Final = {"BF16": 2, "F16": 2, "F32": 4, "I8": 1}

FloatArray = NDArray[np.float32]


class Weights:
    """The tensors of a checkpoint by name; safe in threads.

    Raises:
        CheckpointMismatch: the file is missing, damaged, or of another shape than `config`.
    """

    def __init__(self, folder: Path, config: ModelConfig) -> None:
        self.path = path = folder / WEIGHTS_FILE
        try:
            self._data = np.memmap(path, dtype=np.uint8, mode="r")
            header, self._start = read_header(self._data)
            self._tensors = {
                name: (item["dtype"], tuple(item["shape"]), *item["data_offsets"])
                for name, item in header.items()
                if name != "__metadata__"
            }
        except FileNotFoundError:
            raise CheckpointMismatch(
                f"{folder} holds no checkpoint: there is no {WEIGHTS_FILE}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointMismatch(f"{path} is no safetensors file: {error}") from error
        for name, shape in _shapes(config).items():
            self._check(name, shape)
        self.head = (
            "model.embed_tokens.weight"
            if "lm_head.weight" not in self._tensors or config.tie_embeddings
            else "lm_head.weight"
        )
        """The name of the output matrix, (vocab, hidden)."""
        if self.head != "lm_head.weight" and not config.tie_embeddings:
            raise CheckpointMismatch(f"{path} has no tensor lm_head.weight")
        if self.head == "lm_head.weight":
            self._check(self.head, (config.vocab_size, config.hidden_size))

    def _check(self, name: str, shape: tuple[int, ...]) -> None:
        if name not in self._tensors:
            raise CheckpointMismatch(f"{self.path} has no tensor {name}")
        dtype, found, start, end = self._tensors[name]
        if found != shape:
            raise CheckpointMismatch(
                f"{self.path}: {name} has the shape {list(found)}, config.json says {list(shape)}"
            )
        if dtype not in _SIZES:
            raise CheckpointMismatch(f"{self.path}: {name} is of type {dtype}")
        size = _SIZES[dtype] * math.prod(found)
        if end - start != size or self._start + end > len(self._data):
            raise CheckpointMismatch(f"{self.path} is damaged: {name} is cut short")
        if dtype == "I8":
            scales = self._tensors.get(name + SCALE)
            if len(found) != 2 or scales is None or scales[:2] != ("F16", (found[0], 1)):
                raise CheckpointMismatch(f"{self.path}: {name} is of whole numbers without scales")
            self._check(name + SCALE, (found[0], 1))

    def content_hash(self) -> str:
        """Name the file by its content."""
        return content_hash(self._data.data)

    def tensor(self, name: str, rows: NDArray[np.int64] | None = None) -> FloatArray:
        """Return a tensor as float32, or some of its rows (which alone are read then)."""
        dtype, shape, start, end = self._tensors[name]
        raw = self._data[self._start + start : self._start + end]
        if dtype == "I8":
            whole = raw.view(np.int8).reshape(shape)
            scales = self._stored_scales(name)
            return dequantised(*((whole, scales) if rows is None else (whole[rows], scales[rows])))
        if dtype == "BF16":
            stored = raw.view(np.uint16).reshape(shape)
            stored = stored if rows is None else stored[rows]
            return (stored.astype(np.uint32) << 16).view(np.float32)
        values = raw.view(np.float16 if dtype == "F16" else np.float32).reshape(shape)
        values = values if rows is None else values[rows]
        return np.array(values, dtype=np.float32)

    def _stored_scales(self, name: str) -> NDArray[np.float16]:
        _, shape, start, end = self._tensors[name + SCALE]
        return self._data[self._start + start : self._start + end].view(np.float16).reshape(shape)


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors but the output matrix."""
    hidden, inner = config.hidden_size, config.intermediate_size
    kv = config.num_kv_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
            f"{prefix}.self_attn.q_proj.weight": (hidden, hidden),
            f"{prefix}.self_attn.k_proj.weight": (kv, hidden),
            f"{prefix}.self_attn.v_proj.weight": (kv, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, hidden),
            f"{prefix}.mlp.gate_proj.weight": (inner, hidden),
            f"{prefix}.mlp.up_proj.weight": (inner, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, inner),
        }
    return shapes
