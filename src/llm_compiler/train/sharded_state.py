"""What each process of an FSDP run holds, written and read by that process: weights and moments.

One safetensors file a process, so nothing is gathered and nothing unpickled; as many processes must
go on as there were. Imports PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from llm_compiler.errors import CheckpointMismatch

__all__ = ["load_shard", "save_shard"]

_MOMENTS = ("exp_avg", "exp_avg_sq")


def _path(folder: Path, rank: int, world: int) -> Path:
    return folder / f"shard-{rank:05d}-of-{world:05d}.safetensors"


def _parameters(model: Any) -> Iterator[tuple[str, Any]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def _local(tensor: Any) -> Any:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def save_shard(folder: Path, model: Any, optimizer: Any, rank: int, world: int) -> None:
    """Write this process's part of the parameters and of AdamW's moments."""
    tensors = {}
    for name, parameter in _parameters(model):
        tensors[f"weight.{name}"] = _local(parameter.detach())
        for kind, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{kind}.{name}"] = _local(value)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    folder.mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file(tensors, _path(folder, rank, world))


def load_shard(folder: Path, model: Any, optimizer: Any, rank: int, world: int) -> None:
    """Take back what `save_shard` of the same process wrote.

    Raises:
        CheckpointMismatch: as many processes have not written it, or it is damaged.
    """
    path = _path(folder, rank, world)
    if not path.is_file():
        found = len(list(folder.glob("shard-*.safetensors")))
        raise CheckpointMismatch(
            f"{folder} was written by {found} processes, and {world} want to go on: start as many, "
            "or start another run from its weights with --init"
        )
    try:
        tensors = safetensors.torch.load_file(path)
        with torch.no_grad():
            for name, parameter in _parameters(model):
                _local(parameter).copy_(tensors[f"weight.{name}"])
                if f"step.{name}" not in tensors:
                    continue
                state: dict[str, Any] = {"step": tensors[f"step.{name}"]}
                for kind in _MOMENTS:
                    state[kind] = torch.zeros_like(parameter)
                    _local(state[kind]).copy_(tensors[f"{kind}.{name}"])
                optimizer.state[parameter] = state
    except (OSError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointMismatch(f"{path} cannot be read: {error}") from error
