"""What ``llm-compiler optimize`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    ClangFlags,
    Running,
    Seed,
    engine_option,
    model_option,
    objective_option,
    target_triple_option,
)
from llm_compiler.model.engines.requests import Capability
from llm_compiler.optimization.options import Effort, OptimizeOptions, OutputKind, Proposer
from llm_compiler.option_fields import argument, default_of, natural, one_of, option, seconds

__all__ = ["COMMAND", "OptimizeArguments"]


def _by_effort(values: list[int]) -> str:
    return ", ".join(map(str, values)) + " by effort"


@dataclass(frozen=True, kw_only=True)
class OptimizeArguments(Seed, Running, ClangFlags):
    """As typed; None: what effort or clang's own flags say."""

    files: tuple[Path, ...] = argument(
        "FILE",
        many=True,
        help="C, C++, IR or bitcode; - for standard input; a compile_commands.json for all files "
        "of a build, each with its flags and folder; @FILE for arguments from a file",
    )
    output: Path | None = option(
        "-o", None, metavar="OUT", help="default: the input's name with .o"
    )
    out_dir: Path | None = option(
        "--out-dir",
        None,
        metavar="DIR",
        help="write all outputs below DIR, under the relative paths of their inputs",
    )
    kind: str = one_of(
        "",
        {
            "-c": (OutputKind.OBJECT.value, "write objects"),
            "-S": (OutputKind.ASSEMBLY.value, "write assembly"),
            "--emit-llvm": (
                OutputKind.BITCODE.value,
                "write bitcode; textual IR if OUT ends in .ll",
            ),
            "--emit-passes": (
                OutputKind.PASSES.value,
                "write the pass list for opt -passes= (to stdout without -o)",
            ),
        },
    )
    effort: str | None = option(
        "--effort",
        None,
        choices=tuple(Effort),
        help="how much is tried: about 0.3, 1, 10 or 100 s for a unit of median size on one idle "
        "core, and always the same number of recipes (default: default)",
    )
    seconds: float | None = option(
        "--seconds",
        None,
        type=seconds,
        metavar="S",
        help="measure at most so long for each input; without --effort: as much as fits",
    )
    candidates: int | None = option(
        "--candidates",
        None,
        type=natural,
        metavar="K",
        help="recipes compiled beside clang -Oz (default: "
        f"{_by_effort([each_effort.candidates for each_effort in Effort])})",
    )
    budget: int | None = option(
        "--budget",
        None,
        type=natural,
        metavar="N",
        help="evaluations of local search after the candidates (default: "
        f"{_by_effort([each_effort.budget for each_effort in Effort])})",
    )
    objective: str | None = objective_option(
        None, "size; flash where the target has no operating system"
    )
    target_triple: str = target_triple_option()
    proposer: str | None = option(
        "--proposer",
        default_of(OptimizeOptions, "proposer"),
        choices=tuple(Proposer),
        help="where the candidates come from: a model in rounds with the compiler, the fixed list "
        "of lists, or local search (default: model, if --model names one, or this installation "
        "has one and the effort is above default or pass lists alone are tried); a model that "
        "cannot be loaded or does not answer is a warning, and the fixed list chooses",
    )
    engine: str = engine_option(Capability.PROPOSE)
    model: str | None = model_option()
    allow: tuple[str, ...] = option(
        "--allow",
        default_of(OptimizeOptions, "allow"),
        repeat=True,
        metavar="NAME",
        help="allow recipes that change what the object offers: unwind-tables (no .eh_frame for "
        "functions that never throw); may be repeated",
    )
    explain: bool = option(
        "--explain",
        default_of(OptimizeOptions, "explain"),
        help="say which element of the recipe brings how many bytes, by section (leaving out each)",
    )
    function_wise: bool = option(
        "--no-function-wise",
        default_of(OptimizeOptions, "function_wise"),
        help="one recipe for a whole file, even where functions do better with their own",
    )
    pass_lists_only: bool = option(
        "--pass-lists-only",
        default_of(OptimizeOptions, "pass_lists_only"),
        help="leave function attributes and options of code generation as clang -Oz has them",
    )
    whole_program: bool = option(
        "--whole-program",
        False,
        help="make one object of all files, in which only the exports stay visible; the baseline "
        "is clang -Oz -flto, linked with --gc-sections",
    )
    export: tuple[str, ...] = option(
        "--export",
        (),
        repeat=True,
        metavar="NAME",
        help="a function or variable that stays visible, the entry first (default: main); of "
        "firmware its table of interrupts",
    )
    novel: bool = option(
        "--novel",
        default_of(OptimizeOptions, "novel"),
        help="the model may make lists of its own; those that win are checked, which takes seconds",
    )
    store: Path | None = option(
        "--store",
        None,
        metavar="DB",
        help="try first what 'autotune' found for the very same unit and flags, and keep what is "
        "measured now",
    )
    verbose: bool = option("--verbose", False, help="print each file's recipe below its row")
    trust: bool = option(
        "--trust",
        default_of(OptimizeOptions, "trust"),
        help="hand out new lists that win without checking them (verdict: unchecked)",
    )


COMMAND = Command(
    name="optimize",
    description="Make the smallest verified object of each C, C++, IR or bitcode file; never "
    "larger than clang -Oz's. Clang's own flags follow after --.",
    options=OptimizeArguments,
    run="optimize:run",
)
