"""What ``llm-compiler evaluate`` takes: a dataclass for each task."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, overload

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    ClangFlags,
    PoolChoice,
    Running,
    Seed,
    architecture_option,
    coreset_option,
    engines_option,
    models_option,
    object_objective_names,
    target_triple_option,
)
from llm_compiler.evaluate.registry import TaskEntry, register, task_entries
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import minutes, natural, option, positive

__all__ = [
    "COMMAND",
    "PAPER_PART",
    "AllArguments",
    "DisassemblyArguments",
    "EmulationArguments",
    "FlagTuningArguments",
    "LanguageArguments",
    "PerplexityArguments",
    "SizePredictionArguments",
    "TaskArguments",
]

_CONTENDERS = (
    "optimize",
    "model",
    "model-local",
    "one-shot",
    "coreset",
    "local",
    "autotuner",
    "random",
    "plain",
)
_LEVELS = ("O0", "O1", "O2", "O3", "Os", "Oz")
PAPER_PART = "flag-tuning-paper"
"""Flag tuning once more, by the paper's rules, on the page of ``evaluate all``."""


def _part_names() -> list[str]:
    """Return what stands on the page of ``evaluate all``."""
    names = [entry.name for entry in task_entries()]
    position = names.index(_FLAG_TUNING.name) + 1
    return [*names[:position], PAPER_PART, *names[position:]]


def _budgets(text: str) -> tuple[int, ...]:
    """Read numbers of evaluations, with commas."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' are not numbers of at least 1, such as 1,4,16")
    return values


def _minutes_option(default: float | None = None) -> Any:
    return option(
        "--max-minutes",
        default,
        type=minutes,
        metavar="M",
        help="begin nothing after M minutes; the report has what is done by then (default: "
        + (f"{default:g})" if default else "no limit)"),
    )


def _min_size_option(default: int, words: str = "default: %(default)s") -> Any:
    return option("--min-size-bytes", default, type=natural, metavar="B", help=words)


def _max_size_option() -> Any:
    return option("--max-size-bytes", 0, type=natural, metavar="B", help="default: no limit")


def _levels_option(words: str) -> Any:
    return option("--levels", ("Oz",), many=True, choices=_LEVELS, metavar="L", help=words)


def _candidates_option(default: int, words: str) -> Any:
    return option("--candidates", default, type=positive, metavar="K", help=words)


def _texts_option() -> Any:
    return option(
        "--texts",
        None,
        metavar="DIR",
        help="perplexity of source code and prose too, from 'dataset texts': as many pieces of "
        "each as samples",
    )


@dataclass(frozen=True, kw_only=True)
class TaskArguments(Seed, PoolChoice, Running, ClangFlags):
    """What names programs, how they are drawn and compiled, and where the report goes."""

    suite: tuple[Path, ...] = option(
        "--suite",
        repeat=True,
        metavar="S",
        help="a folder of samples, a corpus, a folder of C, C++, IR or bitcode (with "
        "compile_commands.json or compile_flags.txt, if there is one), or a file; may be given "
        "again",
    )
    report: Path = option("--report", metavar="DIR", help="made if it is not there")
    split: str = option("--split", "test", help="of samples or a corpus (default: %(default)s)")
    architecture: str = architecture_option(words="of samples (default: all)")
    target_triple: str = target_triple_option("of sources")
    engine: tuple[str, ...] = engines_option(Capability.PROPOSE)
    model: tuple[str, ...] = models_option()
    max_minutes: float | None = _minutes_option()
    max_size_bytes: int = _max_size_option()
    min_size_bytes: int = _min_size_option(0)
    task: str = ""
    """The task's name; each class has its own."""
    warned: set[str] = field(default_factory=set, compare=False)
    """What was said already, by this task or those before it."""


@dataclass(frozen=True, kw_only=True)
class FlagTuningArguments(TaskArguments):
    """As typed."""

    task: str = "flag-tuning"
    protocol: str = option(
        "--protocol",
        "ours",
        choices=("ours", "paper"),
        help="paper: one shot, .text + .data, no backup, long units split by function "
        "(default: %(default)s)",
    )
    contenders: tuple[str, ...] = option(
        "--contenders",
        (),
        many=True,
        choices=_CONTENDERS,
        metavar="C",
        help="of optimize (all that a user gets: recipes, function by function), model (pass "
        "lists, in rounds with the compiler), model-local (16 of its lists, then 64 evaluations "
        "of local search from the best), one-shot, coreset, local (search from the "
        "coreset), autotuner (the paper's), random, plain (-Oz, -Os, -O2) (default: all; paper: "
        "one-shot, coreset, plain)",
    )
    budgets: tuple[int, ...] = option(
        "--budgets",
        (),
        type=_budgets,
        metavar="N,N,...",
        help="evaluations at which all are compared (default: 1,4,16,64,256; paper: 1)",
    )
    objective: str | None = option(
        "--objective",
        None,
        choices=object_objective_names,
        help="what winners are chosen by (default: size; paper: text-data)",
    )
    no_check: bool = option(
        "--no-check",
        False,
        help="do not put new lists that win to PassListEval, which takes seconds each",
    )
    ceilings: tuple[Path, ...] = option(
        "--ceilings",
        (),
        many=True,
        metavar="TABLE",
        help="what the autotuner found ('labels ceiling'), to tell the share of it; samples that "
        "are in it are drawn first",
    )
    store: Path | None = option(
        "--store",
        None,
        metavar="DB",
        help="measurements, read and added to: what another run, 'autotune' or 'labels ceiling' "
        "has measured is not measured again (default: one in the report's folder)",
    )
    programs: Path | None = option(
        "--programs",
        None,
        metavar="TOML",
        help="how programs of a suite of sources are linked and run, to compare them with their "
        "-O2 build (default: programs.toml in the suite's folder, if it is there)",
    )
    coreset: Path | None = coreset_option()
    modules: int = option(
        "--modules",
        0,
        type=natural,
        metavar="N",
        help="of samples, N per target; of a corpus, N in all (default: all)",
    )
    min_size_bytes: int = _min_size_option(200)


_OF_SAMPLES = "of samples, after default<Oz> (default: %(default)s)"


@dataclass(frozen=True, kw_only=True)
class DisassemblyArguments(TaskArguments):
    """As typed."""

    task: str = "disassembly"
    functions: int = option(
        "--functions",
        100,
        type=natural,
        metavar="N",
        help="functions per target and level, drawn in turn from each program; 0: all "
        "(default: %(default)s)",
    )
    levels: tuple[str, ...] = _levels_option(
        "what functions are compiled at: O0 to O3, Os, Oz (default: %(default)s)"
    )
    candidates: int = _candidates_option(
        8, "answers of a model for a function (default: %(default)s)"
    )
    temperature: float = option(
        "--temperature",
        0.0,
        metavar="T",
        help="of all answers but the first; 0: by beams (default: %(default)s)",
    )
    rules: bool = option(
        "--rules",
        False,
        help="beside the models: rules alone, and rules and each model together",
    )
    search_s: float = option(
        "--search-s",
        2.0,
        metavar="S",
        help="processor time of the rules' search for each function (default: %(default)s)",
    )
    function_s: float = option(
        "--function-s",
        9.0,
        metavar="S",
        help="processor time for each function and all answers of one engine together; 0: no limit "
        "(default: %(default)s)",
    )
    retry: str = option(
        "--retry",
        "",
        choices=("unproved", "inexact"),
        help="of a report that is there: ask again about functions whose best answer is not at "
        "least tests_passed (unproved) or not exact (inexact), as another version judges them; "
        "stopped, the same command goes on",
    )
    engine: tuple[str, ...] = engines_option(Capability.LIFT)
    min_size_bytes: int = _min_size_option(0, _OF_SAMPLES)


@dataclass(frozen=True, kw_only=True)
class EmulationArguments(TaskArguments):
    """As typed."""

    task: str = "emulation"
    modules: int = option(
        "--modules",
        100,
        type=natural,
        metavar="N",
        help="functions per target, drawn in turn from each program; 0: all (default: %(default)s)",
    )
    code: str = option(
        "--code",
        "ir",
        choices=("ir", "assembly", "both"),
        help="what is predicted (default: %(default)s)",
    )
    engine: tuple[str, ...] = engines_option(Capability.EMULATE)
    min_size_bytes: int = _min_size_option(0, _OF_SAMPLES)


@dataclass(frozen=True, kw_only=True)
class LanguageArguments(TaskArguments):
    """What size prediction and perplexity have in common."""

    samples: int = option(
        "--samples",
        200,
        type=positive,
        metavar="N",
        help="of each suite (default: %(default)s)",
    )
    min_size_bytes: int = _min_size_option(0)


@dataclass(frozen=True, kw_only=True)
class SizePredictionArguments(LanguageArguments):
    """As typed."""

    task: str = "size-prediction"
    texts: Path | None = None


@dataclass(frozen=True, kw_only=True)
class PerplexityArguments(LanguageArguments):
    """As typed."""

    task: str = "perplexity"
    texts: Path | None = _texts_option()


@dataclass(frozen=True, kw_only=True)
class AllArguments(TaskArguments):
    """As typed."""

    task: str = "all"
    tasks: tuple[str, ...] = option(
        "--tasks",
        (),
        many=True,
        choices=_part_names,
        metavar="T",
        help=lambda: f"of {', '.join(_part_names())} (default: all)",
    )
    texts: Path | None = _texts_option()
    max_minutes: float | None = _minutes_option(55.0)
    modules: int = option(
        "--modules",
        110,
        type=natural,
        metavar="N",
        help="flag tuning, emulation: modules per target (default: %(default)s)",
    )
    functions: int = option(
        "--functions",
        110,
        type=natural,
        metavar="N",
        help="disassembly: functions per target and level (default: %(default)s)",
    )
    samples: int = option(
        "--samples",
        250,
        type=positive,
        metavar="N",
        help="size prediction, perplexity: of each suite (default: %(default)s)",
    )
    contenders: tuple[str, ...] = option(
        "--contenders",
        ("optimize", "model", "one-shot", "coreset", "plain"),
        many=True,
        choices=_CONTENDERS,
        metavar="C",
        help="of flag tuning; those that search take longer, since their winners are new to "
        "PassListEval (default: %(default)s)",
    )
    no_check: bool = option("--no-check", False, help="as of flag-tuning")
    ceilings: tuple[Path, ...] = option("--ceilings", (), many=True, metavar="TABLE")
    store: Path | None = option(
        "--store", None, metavar="DB", help="measurements, as of flag-tuning"
    )
    programs: Path | None = option("--programs", None, metavar="TOML", help="as of flag-tuning")
    coreset: Path | None = coreset_option()
    min_size_bytes: int = _min_size_option(200, "of flag tuning's samples (default: %(default)s)")
    max_size_bytes: int = 0
    levels: tuple[str, ...] = _levels_option("of disassembly (default: %(default)s)")
    candidates: int = _candidates_option(
        4, "of disassembly: answers for a function (default: %(default)s)"
    )
    temperature: float = option("--temperature", 0.0, metavar="T")
    code: str = option("--code", "ir", choices=("ir", "assembly", "both"), help="of emulation")


# As they stand in help and on the page of ``evaluate all``.
_FLAG_TUNING = register(
    TaskEntry(
        name="flag-tuning",
        help="what pass lists save over -Oz",
        description="Compare models, the coreset, random and local search, the paper's "
        "autotuner and the plain pipelines at equal numbers of evaluations, and write "
        "report.html, .md, .json, plots, and one row per module, contender and budget "
        "(rows.parquet). Stopped, the same command goes on. Clang's own flags, for suites of "
        "sources, follow after --.",
        arguments=FlagTuningArguments,
        make="llm_compiler.commands.evaluation_tasks:flag_tuning",
        until=0.45,
    )
)
register(
    TaskEntry(
        name="disassembly",
        help="how well models lift machine code",
        description="Compile the functions of suites, have models lift them, and say what "
        "share lowers, is exact, or passes the tests, by answers, target, level and length. "
        "Stopped, the same command goes on. Clang's own flags, for suites of sources, follow "
        "after --.",
        arguments=DisassemblyArguments,
        make="llm_compiler.commands.evaluation_tasks:disassembly",
        until=0.8,
    )
)
register(
    TaskEntry(
        name="emulation",
        help="how well models predict the code after pass lists",
        description="Ask models for the code after a single pass, default<Oz> and a random "
        "list, for each module of suites, and compare with what LLVM makes. Stopped, the same "
        "command goes on. Clang's own flags, for suites of sources, follow after --.",
        arguments=EmulationArguments,
        make="llm_compiler.commands.evaluation_tasks:emulation",
        until=0.92,
    )
)
register(
    TaskEntry(
        name="size-prediction",
        help="how well models predict sizes after a pass list",
        description="Ask models for instruction count and sizes after a drawn pass list, and "
        "compare with what LLVM makes. Stopped, the same command goes on.",
        arguments=SizePredictionArguments,
        make="llm_compiler.commands.evaluation_tasks:size_prediction",
        until=0.96,
    )
)
register(
    TaskEntry(
        name="perplexity",
        help="how probable IR, assembly and source code are to models",
        description="Measure the probability of IR and assembly of a split, and of source "
        "code and prose where texts are given, in bits per byte. Stopped, the same command "
        "goes on.",
        arguments=PerplexityArguments,
        make="llm_compiler.commands.evaluation_tasks:perplexity",
        until=1.0,
    )
)
_EVERYTHING = Command(
    name="all",
    help="every task on the same suites, in bounded time, on one page",
    description="Run flag tuning (our rules and the paper's), disassembly, emulation, "
    "size prediction and perplexity, each into a folder of its own, and write one page "
    "about all of them. Stopped, the same command goes on.",
    options=AllArguments,
    run="evaluate:run",
)


class _Tasks(Sequence[Command]):
    """The actions of the command: whatever is registered when they are looked at."""

    def __len__(self) -> int:
        return len(task_entries()) + 1

    @overload
    def __getitem__(self, place: int) -> Command: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Command]: ...

    def __getitem__(self, place: int | slice) -> Command | Sequence[Command]:
        return [*map(_command_of, task_entries()), _EVERYTHING][place]


def _command_of(entry: TaskEntry) -> Command:
    return Command(
        name=entry.name,
        help=entry.help,
        description=entry.description,
        options=entry.arguments,
        run="evaluate:run",
    )


COMMAND = Command(name="evaluate", placeholder="TASK", actions=_Tasks())
