"""What ``llm-compiler coreset`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    AsJson,
    ObjectiveChoice,
    PoolChoice,
    Running,
    coreset_option,
)
from llm_compiler.option_fields import argument, natural, option, positive

__all__ = ["COMMAND", "BuildArguments", "ShowArguments"]


@dataclass(frozen=True, kw_only=True)
class BuildArguments(ObjectiveChoice, PoolChoice, Running):
    """As typed."""

    corpus: tuple[Path, ...] = argument("CORPUS", many=True)
    store: Path = option("--store", metavar="DB")
    output: Path = option("-o", metavar="OUT.json")
    num_lists: int = option("--num-lists", 128, type=positive, metavar="N")
    max_candidates: int = option("--max-candidates", 300, type=positive, metavar="N")
    refine_steps: int = option(
        "--refine-steps",
        48,
        type=natural,
        metavar="N",
        help="mutants tried for each of the first lists, over many modules (default: %(default)s)",
    )
    refine_lists: int = option("--refine-lists", 16, type=positive, metavar="N")
    refine_modules: int = option("--refine-modules", 60, type=positive, metavar="N")
    split: str = option("--split", "train")


@dataclass(frozen=True, kw_only=True)
class ShowArguments(AsJson):
    """As typed."""

    coreset: Path | None = coreset_option()


COMMAND = Command(
    name="coreset",
    placeholder="build|show",
    actions=(
        Command(
            name="build",
            help="choose lists greedily from an autotuned store",
            options=BuildArguments,
            run="coreset:build",
        ),
        Command(
            name="show",
            help="print the coreset's lists in their order",
            options=ShowArguments,
            run="coreset:show",
        ),
    ),
)
