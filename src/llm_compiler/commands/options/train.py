"""What ``llm-compiler train`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson
from llm_compiler.option_fields import argument, minutes, option, positive

__all__ = ["COMMAND", "TrainArguments"]


@dataclass(frozen=True, kw_only=True)
class TrainArguments(AsJson):
    """As typed."""

    stage: str = argument(
        "STAGE", choices=("pretraining", "emulation", "flag-tuning", "disassembly")
    )
    config: Path = option("--config", metavar="TOML")
    out: Path | None = option("--out", None, metavar="DIR", help="instead of the configuration's")
    init: Path | None = option(
        "--init", None, metavar="DIR", help="weights to start from: a checkpoint or a run"
    )
    lora: int | None = option(
        "--lora",
        None,
        type=positive,
        metavar="RANK",
        help="train adapters of this rank beside the frozen weights (see 'model merge')",
    )
    set: tuple[str, ...] = option(
        "--set",
        (),
        repeat=True,
        metavar="KEY=VALUE",
        help="another value for a key of the configuration, as in TOML: "
        "--set max_steps=100 --set data.emulation.path=DIR",
    )
    resume: bool = option("--resume", False, help="go on from the last checkpoint")
    max_minutes: float | None = option(
        "--max-minutes",
        None,
        type=minutes,
        metavar="M",
        help="the learning rate comes down in time; ends with a checkpoint",
    )
    plan: bool = option(
        "--plan",
        False,
        help="print parameters, memory, operations and days on GPUs; train nothing",
    )


COMMAND = Command(
    name="train",
    description="Train a model in one stage, on a CPU, a GPU, or under torchrun on many. "
    "Stopped by a signal or by --max-minutes it leaves a checkpoint; --resume goes on from it.",
    options=TrainArguments,
    run="train:run",
)
