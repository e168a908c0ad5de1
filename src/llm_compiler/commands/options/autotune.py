"""What ``llm-compiler autotune`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    ClangFlags,
    ObjectiveChoice,
    PoolChoice,
    Running,
    Seed,
)
from llm_compiler.option_fields import argument, natural, option, positive
from llm_compiler.search.autotune import Method

__all__ = ["COMMAND", "AutotuneArguments"]


@dataclass(frozen=True, kw_only=True)
class AutotuneArguments(Seed, ObjectiveChoice, PoolChoice, Running, ClangFlags):
    """As typed."""

    inputs: tuple[Path, ...] = argument("FILE|CORPUS", many=True)
    budget: int = option(
        "--budget",
        256,
        type=positive,
        metavar="N",
        help="evaluations of each module (default: %(default)s)",
    )
    method: str = option(
        "--method",
        Method.LOCAL.value,
        choices=(Method.LOCAL.value, Method.MIXED.value, Method.PAPER.value),
        help="local search from the coreset, the same with random search before it, or the "
        "paper's autotuner (default: %(default)s)",
    )
    store: Path | None = option(
        "--store", None, metavar="DB", help="default: in the user's data folder"
    )
    broadcast: int = option(
        "--broadcast",
        0,
        type=natural,
        metavar="N",
        help="afterwards try the N most frequent winners on every module (paper: 100)",
    )
    verbose: bool = option("--verbose", False, help="print each module's best list after the table")
    replay: bool = option("--replay", False, help="measure each stored best list again and compare")
    split: str = option("--split", "", help="of a corpus: train, validation or test")
    max_modules: int | None = option(
        "--max-modules", None, type=positive, metavar="N", help="of a corpus, by seed"
    )
    max_bytes: int | None = option(
        "--max-bytes",
        None,
        type=positive,
        metavar="N",
        help="of a corpus: no module with more bytes of bitcode",
    )
    min_size_bytes: int = option(
        "--min-size-bytes",
        0,
        type=natural,
        metavar="N",
        help="of samples: no module that is smaller at -Oz (default: any)",
    )
    max_size_bytes: int = option(
        "--max-size-bytes",
        0,
        type=natural,
        metavar="N",
        help="of samples: no module that is larger at -Oz (default: any)",
    )


COMMAND = Command(
    name="autotune",
    description="Search pass lists for C, C++, IR and bitcode files, folders of them, or a "
    "corpus, and keep every measurement in a store. Stopped, it resumes. 'optimize --store' "
    "hands out what was found. Clang's own flags, for files, follow after --.",
    options=AutotuneArguments,
    run="autotune:run",
    negative="a size differs (--replay)",
)
