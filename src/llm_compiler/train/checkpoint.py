"""Checkpoints: `RUN/step-NNNNNNNN` in Hugging Face's layout, written whole or not at all.

Each holds `model.safetensors` (bf16), `config.json`, the tokenizer's files, and `training.json`:
the step, the place in the data, and what must be the same to go on. `state/` holds what an exact
resume needs beside them (fp32 weights, the optimiser's moments); deleting it leaves a checkpoint
to start from. Imports PyTorch inside functions only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import CheckpointMismatch, OutputError, TokenizerMismatch
from llm_compiler.model.configs import CONFIG_FILE, ModelConfig, read_hf_config
from llm_compiler.model.int8_storage import SCALE
from llm_compiler.model.prompts import Prompts
from llm_compiler.model.tokenizer import TOKENIZER_FILE
from llm_compiler.model.trained import TRAINING_FILE
from llm_compiler.records import content_hash

__all__ = [
    "STATE",
    "TRAINING_FILE",
    "WEIGHTS_FILE",
    "checkpoints",
    "find_weights",
    "history",
    "load_weights",
    "prune",
    "read_tensors",
    "read_training",
    "write_checkpoint",
    "write_weights",
]

WEIGHTS_FILE: Final = "model.safetensors"
STATE: Final = "state"
_NAME = re.compile(r"^step-(\d{8,})$")
_HEAD = "lm_head.weight"


def checkpoints(run: Path) -> list[Path]:
    """Return a run's checkpoints, oldest first."""
    found = [path for path in run.glob("step-*") if _NAME.match(path.name)]
    return sorted(found, key=lambda path: int(path.name.removeprefix("step-")))


def find_weights(path: Path) -> Path:
    """Return the folder of weights that a path means: itself, or a run's last checkpoint.

    Raises:
        CheckpointMismatch: it is neither.
    """
    if (path / CONFIG_FILE).is_file():
        return path
    found = checkpoints(path)
    if not found:
        raise CheckpointMismatch(f"{path} is neither a checkpoint nor a run that has one")
    return found[-1]


def read_training(folder: Path) -> dict[str, Any]:
    """Return what a checkpoint says of its run.

    Raises:
        CheckpointMismatch: it says nothing readable.
    """
    path = folder / TRAINING_FILE
    try:
        training: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointMismatch(f"{path} cannot be read: {error}") from error
    return training


def history(folder: Path) -> list[dict[str, Any]]:
    """Return what was done to a checkpoint's weights: one record a run, the first one first.

    Weights that say nothing of their training (Meta's) have none.

    Raises:
        CheckpointMismatch: they say something unreadable.
    """
    if not (folder / TRAINING_FILE).is_file():
        return []
    training = read_training(folder)
    kept = (
        "step",
        "tokens",
        "seconds",
        "loss",
        "identity",
        "tasks",
        "device",
        "precision",
        "merged",
    )
    own = {name: training[name] for name in kept if name in training}
    return [*training.get("history", []), own]


def write_weights(folder: Path, weights: dict[str, Any], model: ModelConfig) -> None:
    """Write a model in Hugging Face's layout, its weights as bf16.

    Args:
        weights: by name, in any precision.
    """
    import safetensors.torch
    import torch

    tensors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in weights.items()
        if not (model.tie_embeddings and name == _HEAD)
    }
    safetensors.torch.save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    (folder / CONFIG_FILE).write_bytes(model.to_json())


def write_checkpoint(
    run: Path,
    step: int,
    *,
    prompts: Prompts,
    training: dict[str, Any],
    write_model: Callable[[Path], None],
    write_state: Callable[[Path], None],
) -> Path:
    """Write a checkpoint and return its folder; a half-written one has another name.

    Args:
        write_model: writes weights, or adapters, into a folder.
        write_state: fills the folder `state`.

    Raises:
        OutputError: it cannot be written.
    """
    folder = run / f"step-{step:08d}"
    partial = run / f".partial-{folder.name}"
    try:
        (partial / STATE).mkdir(parents=True, exist_ok=True)
        write_model(partial)
        prompts.save(partial)
        write_state(partial / STATE)
        (partial / TRAINING_FILE).write_text(json.dumps(training, indent=1) + "\n")
        # safetensors writes files that only their owner may read.
        mode = (partial / TRAINING_FILE).stat().st_mode & 0o777
        for path in partial.rglob("*"):
            if path.is_file():
                path.chmod(mode)
                _flush(path)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except (OSError, RuntimeError) as error:  # PyTorch's writer raises RuntimeError on a full disk
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"cannot write {folder}: {error}") from error
    return folder


def _flush(path: Path) -> None:
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())


def prune(run: Path, keep: int) -> None:
    """Delete all but the last checkpoints, and what killed runs left half written."""
    for path in (*checkpoints(run)[:-keep], *run.glob(".partial-*")):
        shutil.rmtree(path, ignore_errors=True)


def read_tensors(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's tensors by name; matrices of whole numbers as fp32.

    Raises:
        CheckpointMismatch: a file cannot be read.
    """
    import safetensors
    import safetensors.torch

    tensors: dict[str, Any] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors |= safetensors.torch.load_file(path)
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise CheckpointMismatch(f"{path} cannot be read: {error}") from error
    for name in [name for name in tensors if name.endswith(SCALE)]:
        whole = tensors[name.removesuffix(SCALE)]
        tensors[name.removesuffix(SCALE)] = whole.float() * tensors.pop(name).float()
    return tensors


def load_weights(folder: Path, llama: Any, model: ModelConfig, prompts: Prompts) -> None:
    """Load a checkpoint's weights into a model; its optimiser state is not read.

    Args:
        llama: the `LlamaForCausalLM` to fill.

    Raises:
        CheckpointMismatch: the weights are missing, damaged, or of another shape.
        TokenizerMismatch: they belong to another tokenizer.
    """
    theirs = read_hf_config(folder)
    shape = ("vocab_size", "hidden_size", "intermediate_size", "num_layers", "num_heads")
    for name in (*shape, "num_kv_heads", "tie_embeddings"):
        if (found := getattr(theirs, name)) != (expected := getattr(model, name)):
            raise CheckpointMismatch(
                f"{folder} has {name} {found}, the configuration's model has {expected}"
            )
    check_tokenizer(folder, prompts)
    tensors = read_tensors(folder)
    if model.tie_embeddings:
        tensors.setdefault(_HEAD, tensors.get("model.embed_tokens.weight"))
    missing = sorted(llama.state_dict().keys() - tensors.keys())
    if missing:
        raise CheckpointMismatch(f"{folder} lacks the weights '{missing[0]}'")
    try:
        llama.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointMismatch(f"{folder} does not fit the model: {first}") from error


def check_tokenizer(folder: Path, prompts: Prompts) -> None:
    """See that a checkpoint, if it has a tokenizer, has this one.

    Raises:
        TokenizerMismatch: it has another.
    """
    path = folder / TOKENIZER_FILE
    if path.is_file() and content_hash(path.read_bytes()) != prompts.tokenizer_fingerprint:
        raise TokenizerMismatch(f"{folder} was trained with another tokenizer")
