"""Training state in a file that cannot run code: tensors as safetensors, their places as JSON.

What PyTorch calls a state dictionary is nested, and `torch.save` would pickle it. Here each tensor
gets a name of its own, and the nest with these names in it is the file's metadata. Imports PyTorch
inside functions only.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import CheckpointMismatch

__all__ = ["read_state", "write_state"]

_TREE: Final = "tree"


def write_state(path: Path, state: Any) -> None:
    """Write dictionaries, lists and tuples of tensors, numbers, texts and None.

    Raises:
        TypeError: something else is in there.
    """
    import safetensors.torch

    tensors: dict[str, Any] = {}
    tree = json.dumps(_described(state, tensors))
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt", _TREE: tree})


def read_state(path: Path) -> Any:
    """Return what `write_state` wrote, its tensors on the CPU.

    Raises:
        CheckpointMismatch: the file is missing or damaged.
    """
    import safetensors

    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            tree = json.loads((file.metadata() or {})[_TREE])
            return _restored(tree, file.get_tensor)
    except (OSError, ValueError, LookupError, TypeError, safetensors.SafetensorError) as error:
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise CheckpointMismatch(f"{path} cannot be read: {first}") from error


def _described(value: Any, tensors: dict[str, Any]) -> Any:
    """Return a value as JSON: what is not a number, a text or None is a list with its kind."""
    import torch

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = f"{len(tensors):06d}"
        # Tensors of one memory (tied embeddings) would be refused.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return ["tensor", name]
    if isinstance(value, dict):
        # Pairs, since keys may be numbers.
        return ["dict", *([key, _described(item, tensors)] for key, item in value.items())]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, *(_described(item, tensors) for item in value)]
    raise TypeError(f"a {type(value).__name__} is no part of a training state")


def _restored(tree: Any, tensor: Any) -> Any:
    if not isinstance(tree, list):
        return tree
    kind, *rest = tree
    if kind == "tensor":
        return tensor(rest[0])
    if kind == "dict":
        return {key: _restored(item, tensor) for key, item in rest}
    values = [_restored(item, tensor) for item in rest]
    return values if kind == "list" else tuple(values)
