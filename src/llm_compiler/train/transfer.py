"""Weights carried over: to another tokenizer, and into more layers.

* **Tokenizer.** The vector of a token that the old vocabulary has is kept; any other is the mean of
  the vectors of what the old tokenizer makes of the token's text. Special tokens keep theirs. The
  layers stay, so a model that has learnt under one vocabulary goes on under another.
* **Layers.** Each new layer is a copy of the one below it whose output projections are zero, so
  that the deeper model computes exactly what the shallower one did (Wu et al., "LLaMA Pro", 2024,
  arXiv:2401.02415), and learns from there.

Needs PyTorch, imported where it is used.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.model.configs import ModelConfig, read_hf_config
from llm_compiler.model.tokenizer import IrTokenizer
from llm_compiler.model.trained import TRAINING_FILE
from llm_compiler.train.checkpoint import find_weights, history, read_tensors, write_weights

__all__ = ["deeper", "new_vectors", "transfer_weights"]

_EMBEDDINGS: Final = "model.embed_tokens.weight"
_HEAD: Final = "lm_head.weight"
_LAYER: Final = re.compile(r"^model\.layers\.(\d+)\.(.*)$")
_INTO_RESIDUAL: Final = ("self_attn.o_proj.weight", "mlp.down_proj.weight")


def transfer_weights(
    source: Path, out: Path, *, tokenizer: Path | None = None, num_layers: int = 0
) -> ModelConfig:
    """Write a checkpoint's weights for another tokenizer, or with more layers.

    Args:
        source: a checkpoint, or a run that has one.
        out: a new folder.
        tokenizer: a folder of the package's own; None: the checkpoint's.
        num_layers: 0: as many as it has.

    Returns:
        The new shape.

    Raises:
        CheckpointMismatch: `source` is no checkpoint.
        ConfigError: fewer layers are asked for than there are, or no multiple.
        OutputError: `out` is there already, or cannot be written.
        TokenizerMismatch: a folder holds no tokenizer of the package.
    """
    folder = find_weights(source)
    shape = read_hf_config(folder)
    tensors = read_tensors(folder)
    own = IrTokenizer(folder)
    chosen = own
    if tokenizer is not None:
        chosen = IrTokenizer(tokenizer)
        for name in (_EMBEDDINGS, _HEAD):
            if name in tensors:
                tensors[name] = new_vectors(tensors[name], own, chosen)
        shape = dataclasses.replace(shape, vocab_size=chosen.vocab_size)
    if num_layers:
        tensors = deeper(tensors, shape.num_layers, num_layers)
        shape = dataclasses.replace(shape, num_layers=num_layers)
    try:
        out.mkdir(parents=True)
        write_weights(out, tensors, shape)
        chosen.save(out)
        # What the weights have learnt so far is passed on; this is no run that could be resumed.
        training: dict[str, Any] = {"format": "llm-compiler checkpoint, version 1"}
        training |= {
            "step": 0,
            "tokens": 0,
            "seconds": 0.0,
            "loss": None,
            "history": history(folder),
        }
        training["identity"] = {"stage": "transfer", "tokenizer": chosen.fingerprint}
        (out / TRAINING_FILE).write_text(json.dumps(training, indent=1) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    return shape


def new_vectors(vectors: Any, old: IrTokenizer, new: IrTokenizer) -> Any:
    """Return a matrix of one vector a token of a new vocabulary.

    Args:
        vectors: (old vocabulary, width).

    Returns:
        (new vocabulary, width), of the same precision.
    """
    import torch

    exact = vectors.float()
    found = torch.empty(new.vocab_size, exact.shape[1])
    shared = min(old.num_specials, new.num_specials)
    for id_ in range(new.vocab_size):
        if id_ < new.num_specials:
            # A pass that the old one has no token for begins as the mean of those it has.
            found[id_] = exact[id_] if id_ < shared else exact[: old.num_specials].mean(dim=0)
            if (element := new.pass_of(id_)) is not None and (position := old.pass_id(element)):
                found[id_] = exact[position]
            continue
        found[id_] = exact[old.encode_bytes(new.decode_bytes([id_]))].mean(dim=0)
    return found.to(vectors.dtype)


def deeper(tensors: dict[str, Any], before: int, after: int) -> dict[str, Any]:
    """Return tensors by name, with a new layer after each, or several.

    Raises:
        ConfigError: `after` is no multiple of `before`.
    """
    import torch

    if after % before or after < before:
        raise ConfigError(f"{before} layers become {before * 2}, {before * 3}, .., not {after}")
    times = after // before
    found = {name: tensor for name, tensor in tensors.items() if not _LAYER.match(name)}
    for name, tensor in tensors.items():
        if (match := _LAYER.match(name)) is None:
            continue
        first = int(match[1]) * times
        found[f"model.layers.{first}.{match[2]}"] = tensor
        for position in range(first + 1, first + times):
            copied = torch.zeros_like(tensor) if match[2] in _INTO_RESIDUAL else tensor.clone()
            found[f"model.layers.{position}.{match[2]}"] = copied
    return found
