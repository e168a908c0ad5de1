"""What ``llm-compiler kit`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import AsJson
from llm_compiler.option_fields import argument, minutes, natural, option, positive, seconds

__all__ = ["COMMAND", "PackArguments", "ShipArguments", "TrainArguments", "WaitArguments"]


def _settings() -> Any:
    return option("--set", (), repeat=True, metavar="KEY=VALUE")


@dataclass(frozen=True, kw_only=True)
class PackArguments(AsJson):
    """As typed."""

    config: Path = option("--config", metavar="TOML")
    out: Path = option("--out", metavar="DIR")
    init: Path | None = option("--init", None, metavar="DIR", help="weights to start from")
    add: tuple[str, ...] = option(
        "--add",
        (),
        repeat=True,
        metavar="SOURCE=DIR",
        help="further token shards of a source of the configuration; may be given several times",
    )
    set: tuple[str, ...] = _settings()
    part_bytes: int | None = option(
        "--part-bytes", None, type=positive, metavar="N", help="at most (default: 58 MiB)"
    )
    beside: Path | None = option(
        "--beside",
        None,
        metavar="DIR",
        help="a checkout that travels with each call of 64 MiB: parts leave room for its files",
    )
    max_parts: int = option(
        "--max-parts", 0, type=natural, metavar="N", help="0: as the data gives (default)"
    )


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A run."""

    run: Path = option("--run", metavar="DIR", help="the run's folder")


@dataclass(frozen=True, kw_only=True)
class TrainArguments(_Run):
    """As typed."""

    parts: Path = option("--parts", metavar="DIR")
    minutes: float = option("--minutes", type=minutes, metavar="M")
    max_steps: int = option(
        "--max-steps", 0, type=natural, metavar="N", help="0: by minutes alone (default)"
    )
    save_s: float = option("--save-s", 45.0, type=seconds, metavar="S", help="default: %(default)s")
    wait_s: float = option("--wait-s", 120.0, type=seconds, metavar="S", help="for the first part")
    device: str = option("--device", "auto", choices=("auto", "cpu", "cuda"))
    threads: int = option(
        "--threads",
        0,
        type=natural,
        metavar="N",
        help="on a CPU; 0: all cores (default)",
    )
    daemon: bool = option(
        "--daemon", False, help="go on in a session of its own, which outlives a call"
    )


@dataclass(frozen=True, kw_only=True)
class WaitArguments(_Run):
    """As typed."""

    minutes: float = option("--minutes", type=minutes, metavar="M")
    out: Path = option("--out", metavar="DIR")
    every_s: float = option(
        "--every-s", 15.0, type=seconds, metavar="S", help="default: %(default)s"
    )
    piece_bytes: int = option(
        "--piece-bytes", 15 * 2**20, type=positive, metavar="N", help="default: 15 MiB"
    )


@dataclass(frozen=True, kw_only=True)
class ShipArguments(AsJson):
    """As typed."""

    pieces: Path = argument("PIECES")
    config: Path = option("--config", metavar="TOML")
    out: Path = option("--out", metavar="DIR", help="for the checkpoint")
    set: tuple[str, ...] = _settings()
    into: Path | None = option("--into", None, metavar="DIR", help="default: the package's weights")
    documents: int = option(
        "--documents",
        600,
        type=positive,
        metavar="N",
        help="of each task (default: %(default)s)",
    )
    dry_run: bool = option("--dry-run", False, help="compare only")


COMMAND = Command(
    name="kit",
    description="Training on a machine with a GPU that is at hand for minutes, without "
    "network, LLVM or installation (docs/gpu-kit.md).",
    placeholder="pack|train|wait|ship",
    actions=(
        Command(
            name="pack",
            help="data, weights and code in parts that travel",
            description="Pack a training configuration's token shards and labels, the weights to "
            "start from and the code into parts, the most valuable first. Killed, the same "
            "command goes on.",
            options=PackArguments,
            run="kit:pack",
        ),
        Command(
            name="train",
            help="train for some minutes from the parts that have arrived",
            description="Train for some minutes from the parts in a folder; more may arrive "
            "meanwhile. Cut off at any moment, the same command goes on from the last state.",
            options=TrainArguments,
            run="kit:train",
        ),
        Command(
            name="wait",
            help="print how a run goes, and write its weights in pieces",
            description="Print a run's progress until it is over or the minutes are, and write "
            "its newest weights in pieces that can be carried home.",
            options=WaitArguments,
            run="kit:wait",
            negative="nothing was learnt yet",
        ),
        Command(
            name="ship",
            help="validate what came home, and ship it if it is better",
            description="Put a run's pieces together, compare the weights with the shipped ones "
            "on unseen packages, task by task, and replace these if a task is better and none is "
            "worse, each beyond its interval.",
            options=ShipArguments,
            run="kit:ship",
            negative="they are not better",
        ),
    ),
)
