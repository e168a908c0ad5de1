"""Write a checkpoint as GGUF, for llama.cpp and what is built on it.

Weights of any Llama in Hugging Face's layout; the tokenizer as llama.cpp's `gpt2` (byte-level BPE:
ours) or `llama` (sentencepiece's BPE with byte tokens: Code Llama's, so Meta's). Every token keeps
its id. llama.cpp splits texts before BPE in ways of its own, none of which is ours: our models are
asked by token ids, as the openai engine does. Needs the package gguf (extra ``gguf``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import CheckpointMismatch, OutputError
from llm_compiler.extras import require
from llm_compiler.model.configs import ModelConfig, read_hf_config
from llm_compiler.model.engines.weights import FloatArray, Weights
from llm_compiler.model.tokenizer import TOKENIZER_FILE

__all__ = ["KINDS", "export_gguf"]

KINDS: Final = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
"""What matrices may be stored as; norms are fp32."""
_BLOCK: Final = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_NORMAL, _UNKNOWN, _CONTROL, _UNUSED, _BYTE = 1, 2, 3, 5, 6


def export_gguf(folder: Path, out: Path, *, kind: str = "f16") -> int:
    """Write a checkpoint as one GGUF file, and return its bytes.

    Args:
        folder: config.json, model.safetensors and tokenizer.json.
        kind: of `KINDS`.

    Raises:
        CheckpointMismatch: the folder holds no such checkpoint, or a tokenizer of another kind.
        ToolchainNotFound: gguf is not installed.
        OutputError: the file cannot be written.
    """
    gguf = require("gguf", extra="gguf")
    config = read_hf_config(folder)
    weights = Weights(folder, config)
    partial = out.with_name(f".{out.name}.partial")
    try:
        writer = gguf.GGUFWriter(partial, "llama")
        writer.add_name(folder.name)
        writer.add_context_length(config.context)
        writer.add_embedding_length(config.hidden_size)
        writer.add_block_count(config.num_layers)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(config.num_heads)
        writer.add_head_count_kv(config.num_kv_heads)
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_rope_dimension_count(config.head_size)
        writer.add_rope_freq_base(config.rope_theta)
        writer.add_vocab_size(config.vocab_size)
        _add_tokenizer(writer, folder, config)
        stored = gguf.GGMLQuantizationType[KINDS[kind]]
        for name, tensor in _tensors(weights, config):
            if tensor.ndim == 1:
                writer.add_tensor(name, tensor)
            else:
                data = gguf.quants.quantize(tensor, stored)
                writer.add_tensor(name, data, raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(partial, out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    return out.stat().st_size


def _tensors(weights: Weights, config: ModelConfig) -> Iterator[tuple[str, FloatArray]]:
    """Yield llama.cpp's name of each tensor, and the tensor in its order."""
    yield "token_embd.weight", weights.tensor("model.embed_tokens.weight")
    for layer in range(config.num_layers):
        for theirs, name in _BLOCK.items():
            tensor = weights.tensor(f"model.layers.{layer}.{theirs}.weight")
            if name in ("attn_q", "attn_k"):
                heads = config.num_heads if name == "attn_q" else config.num_kv_heads
                tensor = _interleave(tensor, heads)
            yield f"blk.{layer}.{name}.weight", tensor
    yield "output_norm.weight", weights.tensor("model.norm.weight")
    if not config.tie_embeddings:
        yield "output.weight", weights.tensor("lm_head.weight")


def _interleave(tensor: FloatArray, heads: int) -> FloatArray:
    """Order rows as llama.cpp's rotary positions want them: pairs beside each other."""
    rows, columns = tensor.shape
    halves = tensor.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns).copy()


def _add_tokenizer(writer: Any, folder: Path, config: ModelConfig) -> None:
    try:
        tokenizer_json = json.loads((folder / TOKENIZER_FILE).read_bytes())
        vocabulary: dict[str, int] = dict(tokenizer_json["model"]["vocab"])
        by_bytes = bool(tokenizer_json["model"].get("byte_fallback"))
        merges = tokenizer_json["model"]["merges"]
        added = {item["content"]: item["id"] for item in tokenizer_json["added_tokens"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{folder} holds no BPE tokenizer: {error}") from error
    vocabulary |= added
    names: list[str] = [f"<unused-{place}>" for place in range(config.vocab_size)]
    kinds = [_UNUSED] * config.vocab_size
    for name, id_ in vocabulary.items():
        if id_ >= config.vocab_size:
            raise CheckpointMismatch(
                f"{folder}: the token {id_} is outside the model's {config.vocab_size}"
            )
        names[id_] = name
        kinds[id_] = _CONTROL if name in added else _NORMAL
        if by_bytes and len(name) == 6 and name.startswith("<0x"):
            kinds[id_] = _BYTE
    if by_bytes:
        if (unknown := tokenizer_json["model"].get("unk_token")) in vocabulary:
            kinds[vocabulary[unknown]] = _UNKNOWN
        # Sentencepiece takes the best scored pair first: the earlier merge, the higher score.
        scores = [0.0] * config.vocab_size
        for rank, merge in enumerate(merges):
            pair = merge.split(" ") if isinstance(merge, str) else merge
            scores[vocabulary["".join(pair)]] = -1.0 - rank
        writer.add_tokenizer_model("llama")
        writer.add_token_list(names)
        writer.add_token_scores(scores)
        writer.add_token_types(kinds)
        writer.add_add_space_prefix(True)
        writer.add_add_bos_token(True)
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(names)
        writer.add_token_types(kinds)
        pairs = [word if isinstance(word, str) else " ".join(word) for word in merges]
        writer.add_token_merges(pairs)
        writer.add_add_bos_token(False)
    writer.add_bos_token_id(config.begin_id)
    writer.add_eos_token_id(config.end_id)
    if config.pad_id is not None:
        writer.add_pad_token_id(config.pad_id)
