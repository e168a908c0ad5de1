"""``llm-compiler model``: merge adapters, write a model card, and hand a checkpoint on."""

from __future__ import annotations

from llm_compiler.commands.options.model import (
    CardArguments,
    GgufArguments,
    MergeArguments,
    PushArguments,
    TransferArguments,
)
from llm_compiler.console import print_json
from llm_compiler.extras import require
from llm_compiler.output import check_writable
from llm_compiler.train.hub import find_checkpoint, model_card, upload, write_hub_folder

__all__ = ["card", "gguf", "merge", "push", "transfer"]


def gguf(options: GgufArguments) -> int:
    """Write one GGUF file."""
    from llm_compiler.model.gguf_export import export_gguf

    check_writable(options.output)
    size = export_gguf(find_checkpoint(options.checkpoint), options.output, kind=options.type)
    print(f"{options.output}: {size:,} bytes")
    return 0


def merge(options: MergeArguments) -> int:
    """Add LoRA adapters to their weights."""
    for name in ("torch", "transformers"):
        require(name, extra="train")  # only merging needs it
    from llm_compiler.train.lora import merge_adapters

    out = merge_adapters(options.checkpoint, options.output, base=options.base)
    if options.json:
        print_json({"folder": str(out)})
    else:
        print(f"merged weights: {out}")
    return 0


def card(options: CardArguments) -> int:
    """Print a model card."""
    folder = find_checkpoint(options.checkpoint)
    name = options.name or folder.resolve().name
    print(model_card(folder, name=name, license_=options.license), end="")
    return 0


def push(options: PushArguments) -> int:
    """Write a folder in the layout of the hub; upload it if a repository is named."""
    name = options.name or (options.repo_id or options.output.name).rsplit("/", 1)[-1]
    out = write_hub_folder(options.checkpoint, options.output, name=name, license_=options.license)
    address = ""
    if options.repo_id is not None:
        address = upload(out, options.repo_id, private=options.private)
    if options.json:
        print_json({"folder": str(out), "address": address})
    else:
        print(f"{out}" + (f", uploaded to {address}" if address else ": nothing was uploaded"))
    return 0


def transfer(options: TransferArguments) -> int:
    """Carry weights over to another tokenizer, or into more layers."""
    require("torch", extra="train")
    from llm_compiler.train.transfer import transfer_weights

    shape = transfer_weights(
        options.checkpoint,
        options.output,
        tokenizer=options.tokenizer,
        num_layers=options.layers,
    )
    fields = {
        "folder": str(options.output),
        "parameters": shape.num_parameters,
        "vocab_size": shape.vocab_size,
        "layers": shape.num_layers,
    }
    if options.json:
        print_json(fields)
    else:
        print(
            f"{options.output}: {shape.num_parameters:,} parameters, {shape.num_layers} layers, "
            f"{shape.vocab_size:,} tokens"
        )
    return 0
