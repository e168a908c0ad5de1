"""What ``llm-compiler labels`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    AsJson,
    PoolChoice,
    Running,
    Seed,
    architecture_option,
    coreset_option,
)
from llm_compiler.option_fields import argument, natural, option, positive, share

__all__ = [
    "COMMAND",
    "BuildArguments",
    "CeilingArguments",
    "Chosen",
    "PackArguments",
    "RecipesArguments",
    "ShowArguments",
]


@dataclass(frozen=True, kw_only=True)
class Chosen(Seed, PoolChoice, Running):
    """Which modules are measured, and where to."""

    samples: Path = argument("SAMPLES")
    output: Path = option("-o --output", metavar="OUT.parquet")
    coreset: Path | None = coreset_option()
    architecture: str = architecture_option("x86_64", "default: %(default)s")
    min_size_bytes: int = option(
        "--min-size-bytes",
        200,
        type=natural,
        metavar="N",
        help="allocated bytes at -Oz; default: %(default)s",
    )
    max_size_bytes: int = option(
        "--max-size-bytes",
        0,
        type=natural,
        metavar="N",
        help="0: any (default); modules that are labelled already stay",
    )
    split: str
    max_modules: int


@dataclass(frozen=True, kw_only=True)
class BuildArguments(Chosen):
    """As typed."""

    num_lists: int | None = option("--num-lists", None, type=positive, metavar="N")
    split: str = option("--split", "train", help="default: %(default)s")
    max_modules: int = option(
        "--max-modules", 12_000, type=positive, metavar="N", help="default: %(default)s"
    )


@dataclass(frozen=True, kw_only=True)
class RecipesArguments(Seed, PoolChoice, Running):
    """As typed."""

    corpus: Path = argument("CORPUS", help="as 'corpus build' makes it")
    output: Path = option("-o --output", metavar="DIR")
    split: str = option("--split", "train", help="default: %(default)s")
    architecture: str = architecture_option("x86_64", "default: %(default)s")
    recipes: Path | None = option(
        "--recipes",
        None,
        metavar="FILE",
        help="one recipe a line (default: those shipped for the architecture)",
    )
    max_units: int = option(
        "--max-units", 6_000, type=positive, metavar="N", help="default: %(default)s"
    )
    max_unit_bytes: int = option(
        "--max-unit-bytes",
        60_000,
        type=positive,
        metavar="N",
        help="of bitcode; larger units take seconds each (default: %(default)s)",
    )
    units_per_shard: int = option(
        "--units-per-shard", 500, type=positive, metavar="N", help="default: %(default)s"
    )
    seconds: float = option(
        "--seconds", 0.0, metavar="S", help="end after this time; 0: when all is done (default)"
    )
    keep_journal: bool = option(
        "--keep-journal",
        False,
        help="leave what makes no whole shard in the journal, for a run that goes on",
    )


@dataclass(frozen=True, kw_only=True)
class CeilingArguments(Chosen):
    """As typed."""

    budget: int = option("--budget", 1000, type=positive, metavar="N", help="default: %(default)s")
    store: Path = option("--store", metavar="DB")
    split: str = option("--split", "validation", help="default: %(default)s")
    max_modules: int = option(
        "--max-modules", 150, type=positive, metavar="N", help="default: %(default)s"
    )


@dataclass(frozen=True, kw_only=True)
class PackArguments(AsJson):
    """As typed."""

    tables: tuple[Path, ...] = argument("LABELS.parquet", many=True)
    samples: tuple[Path, ...] = option(
        "--samples",
        many=True,
        metavar="DIR",
        help="where the modules are, as text: shards or parts, of any splits and targets",
    )
    tokenizer: Path = option("--tokenizer", metavar="DIR")
    output: Path = option("-o --output", metavar="DIR")
    max_prompt_tokens: int = option(
        "--max-prompt-tokens",
        3072,
        type=positive,
        metavar="N",
        help="longer prompts keep their beginning (default: %(default)s)",
    )
    hold_out: float = option(
        "--hold-out",
        0.0,
        type=share,
        metavar="X",
        help="this share of the packages of the train split counts as validation",
    )
    seed: int = option("--seed", 0, metavar="N", help="draws what is held out")


@dataclass(frozen=True, kw_only=True)
class ShowArguments(AsJson):
    """As typed."""

    table: Path = argument("FILE.parquet")
    samples: Path | None = option(
        "--samples", None, metavar="DIR", help="count what matches by hash"
    )


COMMAND = Command(
    name="labels",
    placeholder="build|recipes|ceiling|pack|show",
    actions=(
        Command(
            name="build",
            help="measure every list on many modules",
            description="Measure every list of the coreset on modules of a sample folder and "
            "write the sizes as Parquet. Stopped, it resumes from the journal beside the output.",
            options=BuildArguments,
            run="labels:build",
        ),
        Command(
            name="recipes",
            help="measure recipes on many units, function by function",
            description="Measure a few recipes on units of a corpus and write what each makes of "
            "the unit and of every function, as a folder of Parquet shards. Stopped, even hard, it "
            "goes on where it was.",
            options=RecipesArguments,
            run="label_recipes:run",
        ),
        Command(
            name="ceiling",
            help="spend the full autotuner on a few modules",
            description="Spend the full autotuner on modules that no model is trained on and "
            "write the best of each as Parquet: the ceiling that models are measured against.",
            options=CeilingArguments,
            run="labels:ceiling",
        ),
        Command(
            name="pack",
            help="make label shards of tables, which flag tuning learns all sizes from",
            description="Encode the labelled modules of samples and write them with what every "
            "list makes of them: a small folder that 'train flag-tuning' reads, without code or "
            "LLVM.",
            options=PackArguments,
            run="labels:pack",
        ),
        Command(
            name="show",
            help="what a table of labels or ceilings holds",
            options=ShowArguments,
            run="labels:show",
        ),
    ),
)
