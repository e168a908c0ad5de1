"""What ``llm-compiler model`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson
from llm_compiler.option_fields import argument, natural, option

__all__ = [
    "COMMAND",
    "CardArguments",
    "GgufArguments",
    "MergeArguments",
    "PushArguments",
    "TransferArguments",
]


@dataclass(frozen=True, kw_only=True)
class _Checkpoint:
    """What is worked on."""

    checkpoint: Path = argument("CHECKPOINT", help="or a run")


def _folder() -> Any:
    return option("-o --output", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class MergeArguments(_Checkpoint, AsJson):
    """As typed."""

    base: Path | None = option(
        "--base", None, metavar="DIR", help="the weights, if they are elsewhere by now"
    )
    output: Path = _folder()


@dataclass(frozen=True, kw_only=True)
class CardArguments(_Checkpoint):
    """As typed."""

    name: str | None = option("--name", None, metavar="NAME", help="title of the card")
    license: str = option("--license", "apache-2.0", metavar="ID", help="default: %(default)s")


@dataclass(frozen=True, kw_only=True)
class PushArguments(CardArguments, AsJson):
    """As typed."""

    output: Path = _folder()
    repo_id: str | None = option(
        "--repo-id", None, metavar="OWNER/NAME", help="upload it there, as you are logged in"
    )
    private: bool = option("--private", False, help="a new repository is not public")


@dataclass(frozen=True, kw_only=True)
class GgufArguments(_Checkpoint):
    """As typed."""

    output: Path = option("-o --output", metavar="FILE")
    type: str = option(
        "--type",
        "f16",
        choices=("f32", "f16", "bf16", "q8_0"),
        help="of the matrices (default: %(default)s)",
    )


@dataclass(frozen=True, kw_only=True)
class TransferArguments(_Checkpoint, AsJson):
    """As typed."""

    output: Path = _folder()
    tokenizer: Path | None = option(
        "--tokenizer", None, metavar="DIR", help="the new tokenizer (default: the checkpoint's)"
    )
    layers: int = option(
        "--layers",
        0,
        type=natural,
        metavar="N",
        help="a multiple of the checkpoint's; the new ones change nothing at first",
    )


COMMAND = Command(
    name="model",
    placeholder="merge|card|push|gguf|transfer",
    actions=(
        Command(
            name="merge",
            help="add LoRA adapters to their weights",
            description="Add LoRA adapters ('train --lora') to the weights that they were trained "
            "beside, and write a plain checkpoint.",
            options=MergeArguments,
            run="model:merge",
        ),
        Command(
            name="card",
            help="print a model card",
            description="Print a model card from the checkpoint's own records: shape, every run "
            "that made it, and what was measured.",
            options=CardArguments,
            run="model:card",
        ),
        Command(
            name="push",
            help="write a folder as the Hugging Face hub wants it; upload it with --repo-id",
            description="Write weights (or adapters), tokenizer, records and model card as a "
            "folder in the hub's layout. Nothing leaves the machine unless --repo-id names where "
            "to.",
            options=PushArguments,
            run="model:push",
        ),
        Command(
            name="gguf",
            help="write one GGUF file, for llama.cpp",
            description="Write weights and tokenizer as one GGUF file for llama.cpp; every token "
            "keeps its id. Needs pip install 'llm-compiler[gguf]'.",
            options=GgufArguments,
            run="model:gguf",
        ),
        Command(
            name="transfer",
            help="carry weights over to another tokenizer, or into more layers",
            description="Write weights for another tokenizer (the vector of a new token is the "
            "mean of those of its text's old tokens), or with more layers, which change nothing "
            "until they are trained. Go on from them with 'train --init'.",
            options=TransferArguments,
            run="model:transfer",
        ),
    ),
)
