"""Checkpoints for others: a folder as the Hugging Face hub wants it, with a model card.

The card says what the checkpoint's own records say (`training.json`): shape, every run that made
the weights, and what was measured on documents that were never learnt. No PyTorch here;
huggingface_hub only for an upload.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.extras import require
from llm_compiler.model.configs import CONFIG_FILE, ModelConfig, read_hf_config
from llm_compiler.model.int8_storage import is_int8, store_bf16
from llm_compiler.train.checkpoint import WEIGHTS_FILE, find_weights, history, read_training
from llm_compiler.train.lora import ADAPTER_FILE, find_adapters

__all__ = ["find_checkpoint", "model_card", "upload", "write_hub_folder"]

_FRONT = """---
license: {license}
library_name: {library}
pipeline_tag: text-generation
tags: [llvm, compiler, code-size, llm-compiler]
---
"""
_USE_WHOLE = """```
llm-compiler optimize --model FOLDER file.c
```

The folder is a Llama in Hugging Face's layout: transformers and vLLM load it. Its prompts hold
special tokens (`passes.json`), which llm-compiler writes."""
_USE_ADAPTERS = """```
llm-compiler model merge FOLDER --base WEIGHTS -o MERGED
llm-compiler optimize --model MERGED file.c
```

`PeftModel.from_pretrained` loads the adapters too, beside the weights that they stand on."""
_LIMITS = """The model proposes; it does not compile, and nothing that it says is verified by
itself: llm-compiler compiles every proposal and keeps -Oz's object where none is smaller. The
figures hold for the compiler, the targets and the kind of code that the labels were made with. What
exceeds the context is cut."""


def find_checkpoint(path: Path) -> Path:
    """Return the folder of weights or adapters that a path means: itself, or a run's last one.

    Raises:
        CheckpointMismatch: it is none.
    """
    if (path / ADAPTER_FILE).is_file():
        return path
    if (path / CONFIG_FILE).is_file():
        return path
    last = sorted(path.glob("step-*"))[-1:]
    if last and (last[0] / ADAPTER_FILE).is_file():
        return find_adapters(path)
    return find_weights(path)


def model_card(folder: Path, *, name: str, license_: str) -> str:
    """Return a checkpoint's model card, Markdown with the hub's head.

    Raises:
        CheckpointMismatch: the checkpoint has no records.
    """
    adapters = (folder / ADAPTER_FILE).is_file()
    training = read_training(folder)
    runs = history(folder)
    parts = [
        _FRONT.format(license=license_, library="peft" if adapters else "transformers").rstrip(),
        f"# {name}",
        "A language model of LLVM-IR and assembly that proposes pass lists which make code smaller "
        "than -Oz does, trained with llm-compiler.",
        "## Model",
        _shape(folder, training, adapters),
        "## Training",
        _table(
            ("stage", "steps", "tokens", "minutes", "device", "precision", "last loss"),
            [_run(run) for run in runs],
        ),
    ]
    if origin := _origin(runs, training):
        parts.append(origin)
    if losses := training.get("validation"):
        rows = [
            (task, f"{loss['loss']:.4f}", f"{loss['num_tokens']:,.0f}")
            for task, loss in losses.items()
        ]
        parts += ["## Unseen documents", _table(("task", "nats per token", "tokens"), rows)]
    for target, found in training.get("savings", {}).items():
        rows = [
            (what, f"{100 * table['total']:.2f} %", f"{100 * table['geomean']:.2f} %")
            for what, table in found.items()
            if isinstance(table, Mapping)
        ]
        parts += [
            f"## What its lists save: {target}",
            f"Over -Oz, on {found['num_modules']} modules of packages that it never learnt from, "
            "by the number of lists that are tried; `coreset` is the fixed order, `oracle` tries "
            "all lists.",
            _table(("lists tried", "of all bytes", "geometric mean"), rows),
        ]
    parts += ["## Use", _USE_ADAPTERS if adapters else _USE_WHOLE, "## Limits", _LIMITS]
    return "\n\n".join(parts) + "\n"


def _shape(folder: Path, training: Mapping[str, Any], adapters: bool) -> str:
    if adapters:
        shape = ModelConfig(name="", **training["identity"]["model"])
    else:
        shape = read_hf_config(folder)
    words = (
        f"Llama: {shape.num_parameters / 1e6:,.1f} M parameters, {shape.num_layers} layers of "
        f"width {shape.hidden_size}, {shape.num_heads} heads, vocabulary of "
        f"{shape.vocab_size:,}, context of {shape.context:,} tokens."
    )
    if adapters:
        lora = training["identity"]["lora"]
        words += (
            f" These are LoRA adapters of rank {lora['rank']} (alpha {lora['alpha']:g}) on "
            f"{', '.join(lora['targets'])}; they stand on the weights "
            f"`{training['identity']['base']}`."
        )
    return words


def _run(run: Mapping[str, Any]) -> tuple[str, ...]:
    identity = run.get("identity", {})
    stage = identity.get("stage", "?") + (" (LoRA)" if "lora" in identity else "")
    loss = run.get("loss")
    return (
        stage,
        f"{run.get('step', 0):,}",
        f"{run.get('tokens', 0):,}",
        f"{run.get('seconds', 0) / 60:.0f}",
        str(run.get("device", "?")),
        str(run.get("precision", "?")),
        "-" if loss is None else f"{loss:.4f}",
    )


def _origin(runs: Sequence[Mapping[str, Any]], training: Mapping[str, Any]) -> str:
    """Say so where the weights began with others, of which there are no records."""
    if len(runs) > 1 or not training.get("init"):
        return ""
    return (
        "The first of these runs began with weights that keep no records of their own; their "
        "licence applies too."
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_hub_folder(path: Path, out: Path, *, name: str, license_: str) -> Path:
    """Write a checkpoint as the hub wants it: weights, tokenizer, records, and README.md.

    Args:
        path: a checkpoint, or a run whose last one is taken; weights or adapters.
        out: must not exist.

    Raises:
        CheckpointMismatch: there is none, or it has no records.
        ConfigError: `out` exists.
        OutputError: it cannot be written.
    """
    if out.exists():
        raise ConfigError(f"{out} exists already: name another folder")
    folder = find_checkpoint(path)
    card = model_card(folder, name=name, license_=license_)
    partial = out.with_name(f".partial-{out.name}")
    try:
        partial.mkdir(parents=True)
        for each_path in sorted(folder.iterdir()):
            if each_path.is_file() and not each_path.name.startswith("."):
                shutil.copyfile(each_path, partial / each_path.name)
        weights = folder / WEIGHTS_FILE
        if weights.is_file() and is_int8(weights):
            # Others' tools know nothing of our scales.
            store_bf16(weights, partial / WEIGHTS_FILE)
        for file in ("README.md", "MODEL_CARD.md"):
            (partial / file).write_text(card)
        os.replace(partial, out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"cannot write {out}: {error.strerror}") from error
    return out


def upload(folder: Path, repo_id: str, *, private: bool) -> str:
    """Upload a folder to the hub, with the user's own login, and return its address.

    Raises:
        ToolchainNotFound: huggingface_hub is not installed.
        OutputError: the hub refused, or could not be reached.
    """
    huggingface_hub = require("huggingface_hub", extra="train")
    hub = huggingface_hub.HfApi()
    try:
        address = str(hub.create_repo(repo_id, private=private, exist_ok=True))
        hub.upload_folder(repo_id=repo_id, folder_path=str(folder))
    except Exception as error:  # the library's own, and those of what it is built on
        first = str(error).strip().split("\n", 1)[0]
        raise OutputError(f"{folder} is ready, but the hub did not take it: {first}") from error
    return address
