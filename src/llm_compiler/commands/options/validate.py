"""What ``llm-compiler validate`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import PoolChoice, Running, architecture
from llm_compiler.llvm.targets import target_names
from llm_compiler.option_fields import argument, natural, option

__all__ = ["COMMAND", "ValidateArguments"]


@dataclass(frozen=True, kw_only=True)
class ValidateArguments(PoolChoice, Running):
    """As typed."""

    pass_lists: tuple[str, ...] = argument("PASSLIST", many=True, optional=True)
    coreset: bool = option("--coreset", False, help="check the shipped coreset for the LLVM found")
    recipes: bool = option(
        "--recipes",
        False,
        help="with --coreset: its lists under attributes and options too, as far as they have no "
        "verdict of this LLVM yet",
    )
    sweep: bool = option("--sweep", False, help="check every pass alone and with default pipelines")
    suite: Path | None = option(
        "--suite",
        None,
        metavar="DIR|JSONL",
        help="own programs, or HumanEval-X's C++ JSON lines (default: the built-in suite)",
    )
    csmith: int = option("--csmith", 0, type=natural, metavar="N", help="and N Csmith programs")
    function_wise: int = option(
        "--function-wise",
        0,
        type=natural,
        metavar="N",
        help="N times, assemble every program from functions whose lists are drawn at random "
        "(from the lists named, else the coreset), and run it",
    )
    seed: int = option(
        "--seed",
        0,
        metavar="N",
        help="the first seed of Csmith and of --function-wise",
    )
    architectures: tuple[str, ...] = option(
        "--architecture",
        (),
        repeat=True,
        type=architecture,
        metavar="A",
        help=lambda: f"of {', '.join(target_names())} (default: all that can run here)",
    )
    reproducer: Path | None = option(
        "--reproducer", None, metavar="DIR", help="keep the program that shows a rejection"
    )
    minimize: bool = option("--minimize", False, help="reduce the reproducer to a few lines")
    minimize_with: str = option(
        "--minimize-with",
        "llvm-reduce",
        choices=("llvm-reduce", "cvise"),
        help="reduce the IR or the source (default: %(default)s)",
    )


COMMAND = Command(
    name="validate",
    description="Apply pass lists to self-testing programs, run them, and say whether any breaks.",
    options=ValidateArguments,
    run="validate:run",
    negative="a list is rejected or an assembly does wrong",
)
