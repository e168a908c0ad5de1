"""Bring a run's weights home: put the pieces together, validate every task, ship if better."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ArtifactError, OutputError, ShardCorrupt
from llm_compiler.kit.pieces import newest_pieces, read_pieces
from llm_compiler.kit.validation import Comparison, compare, is_better, measure
from llm_compiler.model.configs import CONFIG_FILE, ModelConfig
from llm_compiler.model.int8_storage import store_int8
from llm_compiler.model.prompts import load_prompts
from llm_compiler.output import write_atomically
from llm_compiler.train.checkpoint import TRAINING_FILE, WEIGHTS_FILE
from llm_compiler.train.configs import TrainConfig

__all__ = ["MAX_SHIPPED_BYTES", "Shipped", "assemble", "ship"]

MAX_SHIPPED_BYTES: Final = 14_000_000
"""Of the one file of weights that the package carries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """What became of a run's weights."""

    checkpoint: Path
    step: int
    comparisons: list[Comparison]
    better: bool
    shipped: bool
    reason: str


def assemble(pieces: Path, out: Path, tokenizer: Path) -> tuple[Path, int]:
    """Make a checkpoint of the newest pieces of a folder, and return it and its step.

    Raises:
        ArtifactError: there is no whole checkpoint.
        OutputError: it cannot be written.
    """
    index = newest_pieces(pieces)
    data, record = read_pieces(index)
    step = int(record["step"])
    folder = out / f"step-{step:08d}"
    partial = out / f".partial-{folder.name}"
    try:
        model = ModelConfig(**record["model"])
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / WEIGHTS_FILE).write_bytes(data)
        (partial / CONFIG_FILE).write_bytes(model.to_json())
        load_prompts(tokenizer).save(partial)
        (partial / TRAINING_FILE).write_text(json.dumps(_training(record), indent=1) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    except (KeyError, TypeError) as error:
        raise ShardCorrupt(f"{index} is no index of this version: {error}") from error
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror}") from error
    return folder, step


def _training(record: dict[str, Any]) -> dict[str, Any]:
    kept = ("step", "tokens", "seconds", "device", "torch", "history")
    return {
        "format": "llm-compiler checkpoint, version 1",
        **{name: record[name] for name in kept if name in record},
        "loss": None,
        "tasks": record.get("read", {}),
        "identity": {"kit": True, "model": record["model"]},
        "precision": "bf16",
    }


def ship(
    pieces: Path, config: TrainConfig, *, work: Path, shipped: Path, dry_run: bool = False
) -> Shipped:
    """Validate a run's weights beside the shipped ones, and put them in their place if better.

    Args:
        pieces: the folder that came home.
        config: names the validation data of every task, and the tokenizer.
        work: where the checkpoint is put together.
        shipped: the folder of the weights to replace.
        dry_run: compare only.

    Raises:
        ArtifactError: pieces, data or weights are missing or damaged.
        OutputError: something cannot be written.
    """
    checkpoint, step = assemble(pieces, work, config.tokenizer)
    new = measure(checkpoint, config)
    old = measure(shipped, config) if (shipped / CONFIG_FILE).is_file() else {}
    comparisons = compare(old, new)
    better = is_better(comparisons) or not old
    size = (checkpoint / WEIGHTS_FILE).stat().st_size
    if better and size > MAX_SHIPPED_BYTES and not dry_run:
        # docs/decisions/0020: what does not fit in bf16 may fit in int8, which costs nothing.
        small = checkpoint.with_name(f"{checkpoint.name}-int8")
        shutil.rmtree(small, ignore_errors=True)
        shutil.copytree(checkpoint, small)
        size = store_int8(checkpoint / WEIGHTS_FILE, small / WEIGHTS_FILE)
        checkpoint = small
    if not better:
        reason = "not better on validation packages"
    elif size > MAX_SHIPPED_BYTES:
        reason = f"better, but its {size:,} bytes exceed the {MAX_SHIPPED_BYTES:,} of the package"
    elif dry_run:
        reason = "better; nothing replaced (--dry-run)"
    else:
        _replace(checkpoint, shipped)
        reason = "shipped"
    return Shipped(
        checkpoint=checkpoint,
        step=step,
        comparisons=comparisons,
        better=better,
        shipped=reason == "shipped",
        reason=reason,
    )


def _replace(checkpoint: Path, shipped: Path) -> None:
    """Put a checkpoint's files into the folder of shipped weights, each whole."""
    if not checkpoint.is_dir():
        raise ArtifactError(f"there is no checkpoint at {checkpoint}")
    shipped.mkdir(parents=True, exist_ok=True)
    for path in sorted(checkpoint.iterdir()):
        if path.is_file():
            write_atomically(shipped / path.name, path.read_bytes())
