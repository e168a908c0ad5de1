"""What ``llm-compiler dataset`` takes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    AsJson,
    PoolChoice,
    Seed,
    architecture_option,
    object_objective_names,
)
from llm_compiler.corpus.samples import SPLITS
from llm_compiler.dataset.stage_options import StageOptions
from llm_compiler.option_fields import argument, default_of, natural, option, positive, share
from llm_compiler.search.objective import SIZE

__all__ = [
    "COMMAND",
    "BuildArguments",
    "DraftsArguments",
    "Drawn",
    "PackArguments",
    "RepairsArguments",
    "ShowArguments",
    "StageArguments",
    "TextsArguments",
]

_MIX: tuple[float, float, float] = (
    default_of(StageOptions, "compiler_share"),
    default_of(StageOptions, "code_share"),
    default_of(StageOptions, "text_share"),
)


def _mix(text: str) -> tuple[float, ...]:
    """Read three shares that are 1 together."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6 or not values[0]:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not three shares that are 1 together, such as 0.85,0.14,0.01"
        )
    return values


@dataclass(frozen=True, kw_only=True)
class Drawn(Seed, AsJson):
    """Which modules are drawn."""

    samples: Path = argument("SAMPLES", help="shards or packed parts")
    split: str = option("--split", "train", choices=SPLITS, help="default: %(default)s")
    kind: str = option("--kind", "", choices=("function", "unit"))
    architecture: str = architecture_option()


@dataclass(frozen=True, kw_only=True)
class StageArguments(Drawn):
    """A stage, and what its samples depend on."""

    stage: str = argument(
        "STAGE", choices=("pretraining", "emulation", "flag-tuning", "disassembly")
    )
    labels: Path | None = option(
        "--labels", None, metavar="FILE", help="flag-tuning: a table of labels"
    )
    objective: str = option(
        "--objective",
        SIZE.name,
        choices=object_objective_names,
        help="flag-tuning: which sizes decide what is best (default: %(default)s)",
    )
    texts: Path | None = option(
        "--texts",
        None,
        metavar="DIR",
        help="pretraining: source code and prose, from 'dataset texts'",
    )
    max_characters: int = option(
        "--max-characters",
        default_of(StageOptions, "max_characters"),
        type=positive,
        metavar="N",
        help="of input and output together; longer draws are replaced (default: %(default)s)",
    )
    mix: tuple[float, ...] = option(
        "--mix",
        _MIX,
        type=_mix,
        metavar="X,Y,Z",
        help="pretraining: shares of compiler output, source code and prose, by characters "
        f"(default: {','.join(map(str, _MIX))})",
    )
    assembly_share: float = option(
        "--assembly-share",
        default_of(StageOptions, "assembly_share"),
        type=share,
        metavar="X",
        help="pretraining, emulation: assembly instead of IR (default: %(default)s)",
    )
    oz_share: float = option(
        "--oz-share",
        default_of(StageOptions, "oz_share"),
        type=share,
        metavar="X",
        help="disassembly: code at -Oz; the rest is at one of -O0 to -O3 and -Os "
        "(default: %(default)s)",
    )


@dataclass(frozen=True, kw_only=True)
class BuildArguments(PoolChoice, StageArguments):
    """As typed."""

    out: Path = option("--out", metavar="DIR")
    num_samples: int = option("--num-samples", type=positive, metavar="N")
    shard_size: int = option(
        "--shard-size",
        1000,
        type=positive,
        metavar="N",
        help="samples a shard: what a killed build loses at most (default: %(default)s)",
    )
    jobs: int | None = option("--jobs", None, type=positive, metavar="N")


@dataclass(frozen=True, kw_only=True)
class ShowArguments(StageArguments):
    """As typed."""

    index: int = option("--index", type=natural, metavar="I")
    paper: bool = option("--paper", False, help="as the paper's prompt and an answer")


@dataclass(frozen=True, kw_only=True)
class PackArguments(Drawn):
    """As typed."""

    out: Path = option("--out", metavar="DIR")
    part_bytes: int = option("--part-bytes", 12_000_000, type=positive, metavar="N")
    content: str = option(
        "--content",
        "text",
        choices=("text", "bitcode"),
        help="how modules are packed; text is smaller (default: %(default)s)",
    )


@dataclass(frozen=True, kw_only=True)
class TextsArguments(AsJson):
    """As typed."""

    corpus: Path = argument("CORPUS")
    out: Path = option("--out", metavar="DIR")


@dataclass(frozen=True, kw_only=True)
class RepairsArguments(Seed, AsJson):
    """As typed."""

    data: Path = argument("DATA", help="from 'dataset build disassembly'")
    model: str | None = option("--model", None, metavar="DIR", help="default: the shipped weights")
    out: Path = option("--out", metavar="DIR")
    num_samples: int = option("--num-samples", type=positive, metavar="N")
    candidates: int = option(
        "--candidates",
        4,
        type=positive,
        metavar="N",
        help="answers per function, of which two wrong answers are written (default: %(default)s)",
    )
    temperature: float = option(
        "--temperature", 0.8, type=share, metavar="T", help="default: %(default)s"
    )
    shard_size: int = option("--shard-size", 500, type=positive, metavar="N")
    jobs: int = option("--jobs", 1, type=positive, metavar="N")


@dataclass(frozen=True, kw_only=True)
class DraftsArguments(Seed, AsJson):
    """As typed."""

    data: Path = argument("DATA", help="from 'dataset build disassembly'")
    out: Path = option("--out", metavar="DIR")
    num_samples: int = option("--num-samples", type=positive, metavar="N")
    max_variants: int = option(
        "--max-variants",
        12,
        type=positive,
        metavar="N",
        help="of the rules, tried for each function (default: %(default)s)",
    )
    functions_each: int = option(
        "--functions-each",
        4,
        type=positive,
        metavar="N",
        help="functions for each sample: most drafts are the same code and are left out "
        "(default: %(default)s)",
    )
    shard_size: int = option("--shard-size", 512, type=positive, metavar="N")
    jobs: int = option("--jobs", 1, type=positive, metavar="N")


COMMAND = Command(
    name="dataset",
    placeholder="build|show|pack|texts|repairs|drafts",
    actions=(
        Command(
            name="build",
            help="write a stage's samples as Parquet",
            description="Write a stage's samples as Parquet shards, and a manifest when all are "
            "there. A sample depends on the modules, the seed and its index alone. Stopped, it "
            "resumes.",
            options=BuildArguments,
            run="dataset:build",
        ),
        Command(
            name="show",
            help="make one sample again and print it",
            options=ShowArguments,
            run="dataset:show",
        ),
        Command(
            name="pack",
            help="pack modules into parts of a given size",
            description="Pack modules, shuffled, into parts of a given size, from which a machine "
            "with libLLVM makes the same samples.",
            options=PackArguments,
            run="dataset:pack_parts",
        ),
        Command(
            name="texts",
            help="collect source code, documentation and comments of a built corpus",
            options=TextsArguments,
            run="dataset:texts",
        ),
        Command(
            name="repairs",
            help="wrong lifts of a model, and what is wrong with them",
            description="Have a model lift the functions of stage data, and write its wrong "
            "answers, what is wrong with them, and the right ones: the task repair. Stopped, it "
            "resumes.",
            options=RepairsArguments,
            run="dataset:repairs",
        ),
        Command(
            name="drafts",
            help="what rules make of functions, to be finished",
            description="Have the rules lift the functions of stage data, and write their drafts "
            "where these are other code, and the right IR: the task finish. Stopped, it resumes.",
            options=DraftsArguments,
            run="dataset:drafts",
        ),
    ),
)
