"""What ``llm-compiler tokenizer`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson, Seed
from llm_compiler.option_fields import argument, option, positive

__all__ = ["COMMAND", "PackArguments", "ShowArguments", "TrainArguments"]


@dataclass(frozen=True, kw_only=True)
class TrainArguments(Seed, AsJson):
    """As typed."""

    samples: tuple[Path, ...] = argument(
        "SAMPLES",
        many=True,
        help="shards, packed parts, or stage data; of several, samples are taken by turns",
    )
    out: Path = option("--out", metavar="DIR")
    vocab_size: int = option(
        "--vocab-size",
        16_384,
        type=positive,
        metavar="N",
        help="special tokens and passes among them (default: %(default)s)",
    )
    pre_tokenizer: str = option(
        "--pre-tokenizer",
        "token",
        choices=("word", "line", "token"),
        help="what no merge crosses: words, lines, or names and numbers (default: %(default)s)",
    )
    texts: Path | None = option(
        "--texts", None, metavar="DIR", help="source code and prose, from 'dataset texts'"
    )
    max_characters: int = option(
        "--max-characters", 60_000_000, type=positive, metavar="N", help="to learn from"
    )
    jobs: int | None = option("--jobs", None, type=positive, metavar="N")


@dataclass(frozen=True, kw_only=True)
class ShowArguments(AsJson):
    """As typed."""

    tokenizer: Path = argument("DIR")
    file: Path | None = option("--file", None, metavar="FILE", help="print its tokens, one a line")


@dataclass(frozen=True, kw_only=True)
class PackArguments(AsJson):
    """As typed."""

    data: Path = argument("DATA", help="from 'dataset build'")
    tokenizer: Path = option("--tokenizer", metavar="DIR")
    out: Path = option("--out", metavar="DIR")
    context: int = option(
        "--context",
        4096,
        type=positive,
        metavar="N",
        help="tokens of the longest document (default: %(default)s)",
    )
    compress: bool = option("--compress", False, help="under zstd, for the way to another machine")
    jobs: int | None = option("--jobs", None, type=positive, metavar="N")


COMMAND = Command(
    name="tokenizer",
    placeholder="train|show|pack",
    actions=(
        Command(
            name="train",
            help="learn the merges of a byte-level BPE",
            description="Learn a byte-level BPE on IR and assembly, unoptimised and after every "
            "default pipeline, and on source code where texts are given.",
            options=TrainArguments,
            run="tokenizer:train",
        ),
        Command(
            name="show",
            help="what a tokenizer holds, or what it makes of a file",
            options=ShowArguments,
            run="tokenizer:show",
        ),
        Command(
            name="pack",
            help="encode stage data as shards of 16-bit ids",
            description="Encode stage data as token shards, which training reads by memory map. "
            "Stopped, it resumes.",
            options=PackArguments,
            run="tokenizer:pack",
        ),
    ),
)
