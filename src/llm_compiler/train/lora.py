"""LoRA: small matrices beside frozen weights, by peft; and putting both together again.

A checkpoint of adapters holds `adapter_model.safetensors` and `adapter_config.json` in peft's
format (`PeftModel.from_pretrained` loads them), the tokenizer and `training.json`, which names the
weights that they stand on. `merge_adapters` makes a plain checkpoint of both. Imports PyTorch and
peft inside functions only.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from llm_compiler.config_file import read_value
from llm_compiler.errors import (
    CheckpointMismatch,
    ConfigError,
    OutputError,
)
from llm_compiler.extras import require
from llm_compiler.model.configs import read_hf_config
from llm_compiler.model.prompts import load_prompts
from llm_compiler.records import content_hash
from llm_compiler.train.checkpoint import (
    checkpoints,
    find_weights,
    load_weights,
    read_training,
    write_weights,
)
from llm_compiler.train.configs import LoraConfig

__all__ = [
    "ADAPTER_FILE",
    "add_adapters",
    "find_adapters",
    "merge_adapters",
    "weights_fingerprint",
    "write_adapters",
]

ADAPTER_FILE: Final = "adapter_model.safetensors"
_PREFIX = "base_model.model."
"""peft's, before the names of the model's own modules."""
_SAMPLE_BYTES = 1 << 20


def _require_peft() -> Any:
    return require("peft", extra="train")


def _peft_config(config: LoraConfig, base: str) -> Any:
    return _require_peft().LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
    )


def add_adapters(llama: Any, config: LoraConfig, *, half: bool) -> None:
    """Freeze a model's weights and put adapters beside them; these are drawn, and change nothing.

    Args:
        half: hold the frozen matrices in bf16, which autocast would make of them anyway. Shared
            embeddings stay as they are.

    Raises:
        ConfigError: the model has no matrix of a name in `config.targets`.
        ToolchainNotFound: peft is not installed.
    """
    import torch

    peft = _require_peft()
    names = {name.rsplit(".", 1)[-1] for name, _ in llama.named_modules()}
    if unknown := sorted(set(config.targets) - names):
        raise ConfigError(f"lora.targets: the model has no '{unknown[0]}'")
    peft.inject_adapter_in_model(_peft_config(config, ""), llama)
    if not half:
        return
    shared = llama.get_input_embeddings().weight
    for module in llama.modules():
        frozen = isinstance(module, torch.nn.Linear) and not module.weight.requires_grad
        if frozen and module.weight is not shared:
            module.weight.data = module.weight.data.to(torch.bfloat16)


def write_adapters(llama: Any, config: LoraConfig, base: str, folder: Path) -> None:
    """Write a model's adapters as peft does.

    Args:
        base: what the adapters stand on: a path, or a name on the hub.
    """
    import safetensors.torch
    import torch

    found = _require_peft().get_peft_model_state_dict(llama, save_embedding_layers=False)
    tensors = {
        _PREFIX + name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in found.items()
    }
    safetensors.torch.save_file(tensors, folder / ADAPTER_FILE, metadata={"format": "pt"})
    _peft_config(config, base).save_pretrained(folder)


def find_adapters(path: Path) -> Path:
    """Return the folder of adapters that a path means: itself, or a run's last checkpoint.

    Raises:
        CheckpointMismatch: it is neither.
    """
    for folder in (path, *checkpoints(path)[-1:]):
        if (folder / ADAPTER_FILE).is_file():
            return folder
    raise CheckpointMismatch(f"{path} is neither a checkpoint of adapters nor a run that has one")


def weights_fingerprint(folder: Path) -> str:
    """Name the weights of a checkpoint, by their files' sizes and a sample of their bytes."""
    parts = []
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        with open(path, "rb") as stream:
            stream.seek(max(0, size - _SAMPLE_BYTES))
            parts.append(f"{size} {content_hash(stream.read())}")
    return content_hash("\n".join(parts).encode())


def merge_adapters(path: Path, out: Path, *, base: Path | None = None) -> Path:
    """Add adapters to the weights that they stand on, and write a plain checkpoint.

    Args:
        path: a checkpoint of adapters, or a run whose last one is taken.
        base: where the weights are; None: where they were in training.

    Returns:
        The folder, `out`.

    Raises:
        CheckpointMismatch: adapters or weights are missing or damaged, or do not belong together.
        ConfigError: `out` exists.
        OutputError: it cannot be written.
    """
    import torch

    from llm_compiler.train.language_model import make_llama

    if out.exists():
        raise ConfigError(f"{out} exists already: name another folder")
    folder = find_adapters(path)
    training = read_training(folder)
    try:
        config = read_value(LoraConfig, training["identity"]["lora"], "lora")
        expected = training["identity"]["base"]
        root = find_weights(base or Path(training["init"]))
    except (KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{folder} does not say what its adapters are of") from error
    except CheckpointMismatch as error:
        raise CheckpointMismatch(
            f"{error}: name the weights that the adapters stand on with --base"
        ) from error
    if weights_fingerprint(root) != expected:
        raise CheckpointMismatch(f"the adapters in {folder} stand on other weights than {root}'s")
    prompts = load_prompts(folder)
    model = read_hf_config(root)
    llama = make_llama(model)
    load_weights(root, llama, model, prompts)
    add_adapters(llama, config, half=False)
    _load_adapters(llama, folder)
    weights = _merged(llama)
    training = {
        **training,
        "format": "llm-compiler checkpoint, version 1",
        "merged": {
            "adapters": content_hash((folder / ADAPTER_FILE).read_bytes()),
            "base": expected,
        },
    }
    partial = out.with_name(f".partial-{out.name}")
    try:
        partial.mkdir(parents=True)
        with torch.no_grad():
            write_weights(partial, weights, model)
        prompts.save(partial)
        (partial / "training.json").write_text(json.dumps(training, indent=1) + "\n")
        partial.rename(out)
    except (OSError, RuntimeError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OutputError(f"cannot write {out}: {error}") from error
    return out


def _load_adapters(llama: Any, folder: Path) -> None:
    import safetensors
    import safetensors.torch

    try:
        tensors = safetensors.torch.load_file(folder / ADAPTER_FILE)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointMismatch(f"{folder / ADAPTER_FILE} cannot be read: {error}") from error
    names = {name.removeprefix(_PREFIX): tensor for name, tensor in tensors.items()}
    own = _require_peft().get_peft_model_state_dict(llama, save_embedding_layers=False)
    shapes = {name: tensor.shape for name, tensor in names.items()}
    if shapes != {name: tensor.shape for name, tensor in own.items()}:
        raise CheckpointMismatch(f"the adapters in {folder} do not fit the weights")
    _require_peft().set_peft_model_state_dict(llama, names)


def _merged(llama: Any) -> dict[str, Any]:
    """Return a model's weights by their plain names, adapters added in."""
    import torch

    with torch.no_grad():
        for module in llama.modules():
            if hasattr(module, "lora_A") and hasattr(module, "merge"):
                module.merge()
    return {
        name.replace(".base_layer.", "."): tensor
        for name, tensor in llama.state_dict().items()
        if ".lora_" not in name
    }
