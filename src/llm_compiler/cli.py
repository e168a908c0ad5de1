"""The command line: arguments and exit codes only; what a command does is in `commands`.

Exit: 0 done, 1 a negative verdict, 2 bad usage, 3 toolchain, 4 bad input, 5 the compiler failed,
6 out of time or memory, 7 corpus or checkpoint, 8 the output cannot be written, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.errors import ConfigError, LlmCompilerError, OutputError
from llm_compiler.isolation import MAX_DEPTH, depth
from llm_compiler.llvm.clang_flags import expand_response_files
from llm_compiler.search.objective import SIZE, object_objectives, objectives
from llm_compiler.signals import described, forget, received

__all__ = ["build_parser", "main"]


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of at least 1")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is negative")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of seconds")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e7:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 0 to below 1")
    return value


def _budgets(text: str) -> tuple[int, ...]:
    """Numbers of evaluations, with commas."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or min(values) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' are not numbers of at least 1, such as 1,4,16")
    return values


for _type in (_positive, _natural, _seconds, _minutes, _share):
    _type.__name__ = "number"


def _shares(text: str) -> tuple[float, ...]:
    """Three shares that are 1 together."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or min(values) < 0 or abs(sum(values) - 1) > 1e-6 or not values[0]:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not three shares that are 1 together, such as 0.85,0.14,0.01"
        )
    return values


def _add_common(parser: argparse.ArgumentParser, *, timeout_s: float = 60.0) -> None:
    parser.add_argument(
        "--jobs", type=_positive, default=None, metavar="N", help="worker processes (default: all)"
    )
    parser.add_argument(
        "--timeout-s",
        type=_seconds,
        default=timeout_s,
        metavar="S",
        help="limit of each evaluation and each run of clang or opt (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _add_objective(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--objective",
        choices=[one.name for one in objectives()],
        default=SIZE.name,
        help="what to make small: "
        + "; ".join(f"{one.name}: {one.title}" for one in objectives())
        + " (default: %(default)s)",
    )


def _add_engine(
    parser: argparse.ArgumentParser, *, replay: bool = False, none: bool = False
) -> None:
    told = "; replay: files of your own, in the folder --model" if replay else ""
    told += "; none: rules alone" if none else ""
    parser.add_argument(
        "--engine",
        choices=(
            "embedded",
            "transformers",
            "openai",
            *(("replay",) if replay else ()),
            *(("none",) if none else ()),
        ),
        default="embedded",
        help=f"what runs the model{told} (default: %(default)s)",
    )
    parser.add_argument(
        "--model",
        default=None,
        metavar="M",
        help="a checkpoint's folder; transformers: also a name on the hub; openai: a server's URL "
        "(default: the shipped weights)",
    )


def _optimize(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "optimize",
        help="make objects smaller than clang -Oz",
        description="Make the smallest verified object of each C, C++, IR or bitcode file; never "
        "larger than clang -Oz's. Clang's own flags follow after --.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="C, C++, IR or bitcode; - for standard input; a compile_commands.json for all files "
        "of a build, each with its flags and folder; @FILE for arguments from a file",
    )
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="OUT", help="default: the input's name with .o"
    )
    parser.add_argument(
        "--out-dir",
        type=Path,
        metavar="DIR",
        help="write all outputs below DIR, under the relative paths of their inputs",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("-c", dest="kind", action="store_const", const="object", help="write objects")
    kind.add_argument("-S", dest="kind", action="store_const", const="assembly")
    kind.add_argument(
        "--emit-llvm",
        dest="kind",
        action="store_const",
        const="bitcode",
        help="write bitcode; textual IR if OUT ends in .ll",
    )
    kind.add_argument(
        "--emit-passes",
        dest="kind",
        action="store_const",
        const="passes",
        help="write the pass list for opt -passes= (to stdout without -o)",
    )
    parser.set_defaults(kind="")
    parser.add_argument(
        "--effort",
        choices=("fast", "default", "high", "max"),
        default=None,
        help="how much is tried: about 0.3, 1, 10 or 100 s for a unit of median size on one idle "
        "core, and always the same number of recipes (default: default)",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=None,
        metavar="S",
        help="measure at most so long for each input; without --effort: as much as fits",
    )
    parser.add_argument(
        "--candidates",
        type=_natural,
        default=None,
        metavar="K",
        help="recipes compiled beside clang -Oz (default: 4, 16, 32, 64 by effort)",
    )
    parser.add_argument(
        "--budget",
        type=_natural,
        default=None,
        metavar="N",
        help="evaluations of local search after the candidates (default: 0, 0, 384, 4096)",
    )
    _add_objective(parser)
    parser.add_argument("--target-triple", default="", metavar="T", help="default: clang's own")
    parser.add_argument(
        "--proposer",
        choices=("model", "coreset", "search"),
        default=None,
        help="where the candidates come from: a model in rounds with the compiler, the fixed list "
        "of lists, or local search (default: model, if this installation or --model has one); a "
        "model that cannot be loaded or does not answer is a warning, and the fixed list chooses",
    )
    _add_engine(parser)
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="NAME",
        help="allow recipes that change what the object offers: unwind-tables (no .eh_frame for "
        "functions that never throw); may be repeated",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say which element of the recipe brings how many bytes, by section (leaving out each)",
    )
    parser.add_argument(
        "--no-function-wise",
        dest="function_wise",
        action="store_false",
        help="one recipe for a whole file, even where functions do better with their own",
    )
    parser.add_argument(
        "--pass-lists-only",
        action="store_true",
        help="leave function attributes and options of code generation as clang -Oz has them",
    )
    parser.add_argument(
        "--whole-program",
        action="store_true",
        help="make one object of all files, in which only the exports stay visible; the baseline "
        "is clang -Oz -flto, linked with --gc-sections",
    )
    parser.add_argument(
        "--export",
        action="append",
        metavar="NAME",
        help="a function that stays visible, the entry first (default: main)",
    )
    parser.add_argument(
        "--novel",
        action="store_true",
        help="the model may make lists of its own; those that win are checked, which takes seconds",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        help="try first what 'autotune' found for the very same unit and flags, and keep what is "
        "measured now",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="print each file's recipe below its row"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="hand out new lists that win without checking them (verdict: unchecked)",
    )
    _add_common(parser)


def _disassemble(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "disassemble",
        help="lift machine code to LLVM-IR, with a verdict for each function",
        description="Lift the functions of assembly files, ELF objects, archives, executables and "
        "shared libraries (stripped ones, too), x86-64 or AArch64, each to one module of LLVM-IR. "
        "Each function gets a verdict: exact, tests_passed, unproved, refuted, no_answer; only the "
        "first two are defined in the module. Exit code 1 if any function is less than "
        "tests_passed.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument(
        "-o",
        dest="output",
        type=Path,
        metavar="OUT.ll",
        help="for one input; default: the input's name with .ll",
    )
    parser.add_argument(
        "--out-dir", type=Path, metavar="DIR", help="where the modules go (default: here)"
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=1,
        metavar="N",
        help="functions looked at side by side (default: %(default)s)",
    )
    parser.add_argument(
        "--keep-unproved",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="also write the best answer of functions that are not shown right: marked, internal, "
        "under a name of its own, never linked (default: yes)",
    )
    parser.add_argument(
        "--strict", action="store_true", help="write nothing that is not shown right"
    )
    parser.add_argument(
        "--answer-s",
        type=_natural,
        default=6,
        metavar="S",
        help="time for the model's answers to one function; 0: no limit (default: %(default)s)",
    )
    parser.add_argument(
        "--annotate",
        action="store_true",
        help="comments above each function: name, place, strings, instructions, lines of source",
    )
    parser.add_argument(
        "--graph",
        type=Path,
        metavar="DIR",
        help="write each function's control flow there, as DOT and as a page beside its assembly",
    )
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar="NAME",
        help="only this one; may be repeated",
    )
    parser.add_argument(
        "--candidates",
        type=_positive,
        default=8,
        metavar="K",
        help="answers looked at for each function, until one is exact (default: %(default)s)",
    )
    parser.add_argument(
        "--repairs",
        type=_natural,
        default=0,
        metavar="N",
        help="of these answers, so many are asked for with what is wrong with the others "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="X",
        help="of all answers but the first; 0: the most probable ones (default: %(default)g)",
    )
    parser.add_argument(
        "--relink",
        type=Path,
        metavar="OUT.o",
        help="also write the input's object with lifted functions in place of the originals",
    )
    parser.add_argument(
        "--retarget",
        default="",
        metavar="T",
        help="of x86-64 code: write the module for this target (aarch64-linux-gnu) instead, with "
        "what means the same there; each function is run on both",
    )
    parser.add_argument("--target-triple", default="", metavar="T", help="of assembly")
    parser.add_argument(
        "--no-rules",
        dest="rules",
        action="store_const",
        const=False,
        help="do not lift by rules first: the model alone answers (replay never does)",
    )
    parser.add_argument(
        "--search-s",
        type=float,
        default=2.0,
        metavar="S",
        help="processor time for each function in which the rules' draft is varied until it is the "
        "same code (default: %(default)g)",
    )
    _add_engine(parser, replay=True, none=True)
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--timeout-s",
        type=_seconds,
        default=60.0,
        metavar="S",
        help="limit of each run of clang on an answer (default: %(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _emulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "emulate",
        help="predict what a pass list makes of code",
        description="Predict the code after a pass list, its instruction count and sizes, for a "
        "C, C++, IR or bitcode file. With --check the compiler's own result stands beside it, "
        "and the exit code is 1 if the prediction is not right. Clang's own flags follow "
        "after --.",
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--passes", required=True, metavar="LIST", help="text for opt -passes=")
    parser.add_argument(
        "-S",
        dest="assembly",
        action="store_true",
        help="assembly instead of IR: what the compiler makes of the predicted IR",
    )
    parser.add_argument(
        "--direct",
        action="store_true",
        help="with -S: the assembly that the model itself writes, which takes a model that learnt "
        "to (checkpoints in Meta's format are always asked so)",
    )
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="OUT", help="default: standard output"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with the true result: verdict and diff"
    )
    parser.add_argument("--target-triple", default="", metavar="T", help="default: clang's own")
    _add_engine(parser, replay=True)
    parser.add_argument("--timeout-s", type=_seconds, default=60.0, metavar="S")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _autotune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "autotune",
        help="search pass lists for modules and keep every measurement",
        description="Search pass lists for C, C++, IR and bitcode files, folders of them, or a "
        "corpus, and keep every measurement in a store. Stopped, it resumes. 'optimize --store' "
        "hands out what was found. Clang's own flags, for files, follow after --.",
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="FILE|CORPUS")
    parser.add_argument(
        "--budget", type=_positive, default=256, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--method",
        choices=("local", "mixed", "paper"),
        default="local",
        help="local search from the coreset, the same with random search before it, or the "
        "paper's autotuner (default: %(default)s)",
    )
    parser.add_argument(
        "--store", type=Path, metavar="DB", help="default: in the user's data folder"
    )
    parser.add_argument(
        "--broadcast",
        type=_natural,
        default=0,
        metavar="N",
        help="afterwards try the N most frequent winners on every module (paper: 100)",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="print each module's best list after the table"
    )
    parser.add_argument(
        "--replay", action="store_true", help="measure each stored best list again and compare"
    )
    parser.add_argument("--split", default="", help="of a corpus: train, validation or test")
    parser.add_argument(
        "--max-modules", type=_positive, default=None, metavar="N", help="of a corpus, by seed"
    )
    parser.add_argument(
        "--max-bytes",
        type=_positive,
        default=None,
        metavar="N",
        help="of a corpus: no module with more bytes of bitcode",
    )
    for name, what in (("min", "smaller"), ("max", "larger")):
        parser.add_argument(
            f"--{name}-size-bytes",
            type=_natural,
            default=0,
            metavar="N",
            help=f"of samples: no module that is {what} at -Oz (default: any)",
        )
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    _add_objective(parser)
    _add_common(parser)


def _coreset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("coreset", help="build or show the fixed list of lists")
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|show")
    build = actions.add_parser("build", help="choose lists greedily from an autotuned store")
    build.add_argument("corpus", nargs="+", type=Path, metavar="CORPUS")
    build.add_argument("--store", type=Path, required=True, metavar="DB")
    build.add_argument("-o", dest="output", type=Path, required=True, metavar="OUT.json")
    build.add_argument("--num-lists", type=_positive, default=128, metavar="N")
    build.add_argument("--max-candidates", type=_positive, default=300, metavar="N")
    build.add_argument(
        "--refine-steps",
        type=_natural,
        default=48,
        metavar="N",
        help="mutants tried for each of the first lists, over many modules (default: %(default)s)",
    )
    build.add_argument("--refine-lists", type=_positive, default=16, metavar="N")
    build.add_argument("--refine-modules", type=_positive, default=60, metavar="N")
    build.add_argument("--split", default="train")
    _add_objective(build)
    _add_common(build)
    show = actions.add_parser("show", help="print the coreset's lists in their order")
    show.add_argument("--coreset", type=Path, metavar="JSON", help="default: the shipped one")
    show.add_argument("--json", action="store_true")


def _validate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "validate",
        help="put pass lists to PassListEval",
        description="Apply pass lists to self-testing programs, run them, and say whether any "
        "breaks. Exit code 1 if a list is rejected or an assembly does wrong.",
    )
    parser.add_argument("pass_lists", nargs="*", metavar="PASSLIST")
    parser.add_argument(
        "--coreset", action="store_true", help="check the shipped coreset for the LLVM found"
    )
    parser.add_argument(
        "--recipes",
        action="store_true",
        help="with --coreset: its lists under attributes and options too, at twice the time",
    )
    parser.add_argument(
        "--sweep", action="store_true", help="check every pass alone and with default pipelines"
    )
    parser.add_argument(
        "--suite",
        type=Path,
        metavar="DIR|JSONL",
        help="own programs, or HumanEval-X's C++ JSON lines (default: the built-in suite)",
    )
    parser.add_argument(
        "--csmith", type=_natural, default=0, metavar="N", help="and N Csmith programs"
    )
    parser.add_argument(
        "--function-wise",
        type=_natural,
        default=0,
        metavar="N",
        help="N times, assemble every program from functions whose lists are drawn at random "
        "(from the lists named, else the coreset), and run it",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="the first seed of Csmith and of --function-wise",
    )
    parser.add_argument(
        "--architecture",
        action="append",
        choices=("x86_64", "aarch64"),
        help="default: all that can run here",
    )
    parser.add_argument(
        "--reproducer", type=Path, metavar="DIR", help="keep the program that shows a rejection"
    )
    parser.add_argument(
        "--minimize", action="store_true", help="reduce the reproducer to a few lines"
    )
    parser.add_argument(
        "--minimize-with",
        choices=("llvm-reduce", "cvise"),
        default="llvm-reduce",
        help="reduce the IR or the source (default: %(default)s)",
    )
    _add_common(parser)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        own_version = version("llm-compiler")
    except PackageNotFoundError:  # run from a copy of the sources that was never installed
        own_version = "not installed"
    parser = argparse.ArgumentParser(
        prog="llm-compiler",
        description="Make code smaller than clang -Oz, with the real compiler in the loop.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {own_version}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _optimize(commands)
    _disassemble(commands)
    _emulate(commands)
    _autotune(commands)
    _coreset(commands)
    _validate(commands)
    passes = commands.add_parser("passes", help="print the pass registry")
    passes.add_argument("--all", action="store_true", help="the excluded ones too, and why")
    passes.add_argument("--json", action="store_true")
    doctor = commands.add_parser(
        "doctor", help="what is installed, what is missing, how to mend it"
    )
    doctor.add_argument("--json", action="store_true")
    _corpus(commands)
    _labels(commands)
    _dataset(commands)
    _tokenizer(commands)
    _train(commands)
    _kit(commands)
    _model(commands)
    _evaluate(commands)
    _say_exit_codes(parser)
    return parser


_EXIT_CODES = (
    "Exit codes: 0 done, 1 a negative verdict, 2 bad usage, 3 toolchain, 4 bad input, 5 compiler "
    "failed, 6 out of time or memory, 7 corpus, store or checkpoint, 8 the output cannot be "
    "written, 130 interrupted (Ctrl-C), 143 ended (SIGTERM)."
)


def _say_exit_codes(parser: argparse.ArgumentParser) -> None:
    """Let the help of every command end with the exit codes, which all share."""
    parser.epilog = _EXIT_CODES
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                _say_exit_codes(command)


def _corpus(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("corpus", help="collect real code as unoptimised bitcode")
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="build|sample|check|stats|synthesize"
    )
    build = actions.add_parser("build", help="fetch packages and compile their units to bitcode")
    build.add_argument("--config", type=Path, required=True, metavar="TOML")
    build.add_argument("--out", type=Path, default=Path("work/corpus"), metavar="DIR")
    build.add_argument("--packages", default="", metavar="A,B", help="only these")
    build.add_argument("--target-triple", action="append", metavar="T")
    build.add_argument("--jobs", type=_positive, default=None, metavar="N")
    stats = actions.add_parser(
        "stats", help="count units or samples by package, language, target and size"
    )
    stats.add_argument("corpus", type=Path, metavar="DIR", help="a corpus or a folder of samples")
    stats.add_argument("--json", action="store_true")
    stats.add_argument(
        "--report", type=Path, metavar="DIR", help="of samples: write the tables and plots here"
    )
    stats.add_argument(
        "--tokenizer", type=Path, metavar="DIR", help="of samples: count tokens with this one too"
    )
    _corpus_samples(actions)
    synthesize = actions.add_parser(
        "synthesize",
        help="write made-up C: the small functions that real packages are poor in",
        description="Write files of small made-up C functions, for 'corpus build' with "
        "configs/corpus/synthetic.toml. The same seed gives the same files.",
    )
    synthesize.add_argument("--out", type=Path, required=True, metavar="DIR")
    synthesize.add_argument("--functions", type=_positive, default=10_000, metavar="N")
    synthesize.add_argument("--seed", type=_natural, default=0, metavar="N")


def _corpus_samples(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sample = actions.add_parser(
        "sample",
        help="make normalised functions and units of a corpus, without duplicates",
        description="Extract the functions of a built corpus, normalise, measure and de-duplicate "
        "them, and write Parquet shards. Stopped, it goes on from the unit it was at.",
    )
    sample.add_argument("corpus", type=Path, metavar="CORPUS")
    sample.add_argument("--out", type=Path, required=True, metavar="DIR")
    sample.add_argument("--packages", default="", metavar="A,B", help="only these")
    sample.add_argument(
        "--max-text-bytes",
        type=_positive,
        default=65_536,
        metavar="N",
        help="no module with a longer text (default: %(default)s)",
    )
    sample.add_argument(
        "--min-instructions", type=_natural, default=5, metavar="N", help="default: %(default)s"
    )
    sample.add_argument(
        "--max-instructions",
        type=_natural,
        default=0,
        metavar="N",
        help="0: as many as the text allows (default)",
    )
    sample.add_argument(
        "--max-package-functions",
        type=_natural,
        default=20_000,
        metavar="N",
        help="of one package and target; 0: all (default: %(default)s)",
    )
    sample.add_argument(
        "--unit-share",
        type=float,
        default=1.0,
        metavar="X",
        help="of the units that are short enough, so many are samples too (default: %(default)g)",
    )
    sample.add_argument(
        "--threshold",
        type=float,
        default=0.8,
        metavar="X",
        help="Jaccard index from which on two samples are clones (default: %(default)g)",
    )
    # A unit's first function waits until the whole unit is cut in halves, again and again.
    _add_common(sample, timeout_s=300.0)
    check = actions.add_parser(
        "check",
        help="verify a folder of samples: hashes, and that no clone crosses splits",
        description="Verify the hashes of all shards and samples, and look for modules of "
        "validation and test that have a near duplicate in train. Exit code 1 if there is one.",
    )
    check.add_argument("samples", type=Path, metavar="DIR")
    check.add_argument(
        "--threshold", type=float, default=None, metavar="X", help="default: the folder's own"
    )
    check.add_argument("--json", action="store_true")


def _labels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("labels", help="what each list of the coreset makes of a corpus")
    actions = parser.add_subparsers(dest="action", required=True, metavar="build|ceiling|pack|show")
    build = actions.add_parser(
        "build",
        help="measure every list on many modules",
        description="Measure every list of the coreset on modules of a sample folder and write "
        "the sizes as Parquet. Stopped, it resumes from the journal beside the output.",
    )
    build.add_argument("--num-lists", type=_positive, default=None, metavar="N")
    ceiling = actions.add_parser(
        "ceiling",
        help="spend the full autotuner on a few modules",
        description="Spend the full autotuner on modules that no model is trained on and write "
        "the best of each as Parquet: the ceiling that models are measured against.",
    )
    ceiling.add_argument(
        "--budget", type=_positive, default=1000, metavar="N", help="default: %(default)s"
    )
    ceiling.add_argument("--store", type=Path, required=True, metavar="DB")
    for action, count, split in ((build, 12_000, "train"), (ceiling, 150, "validation")):
        action.add_argument("samples", type=Path, metavar="SAMPLES")
        action.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.parquet")
        action.add_argument("--coreset", type=Path, metavar="JSON", help="default: the shipped one")
        action.add_argument("--split", default=split, help="default: %(default)s")
        action.add_argument(
            "--architecture", default="x86_64", metavar="A", help="default: %(default)s"
        )
        action.add_argument(
            "--max-modules", type=_positive, default=count, metavar="N", help="default: %(default)s"
        )
        action.add_argument(
            "--min-size-bytes",
            type=_natural,
            default=200,
            metavar="N",
            help="allocated bytes at -Oz; default: %(default)s",
        )
        action.add_argument(
            "--max-size-bytes",
            type=_natural,
            default=0,
            metavar="N",
            help="0: any (default); modules that are labelled already stay",
        )
        action.add_argument("--seed", type=int, default=0, metavar="N")
        _add_common(action)
    pack = actions.add_parser(
        "pack",
        help="make label shards of tables, which flag tuning learns all sizes from",
        description="Encode the labelled modules of samples and write them with what every list "
        "makes of them: a small folder that 'train flag-tuning' reads, without code or LLVM.",
    )
    pack.add_argument("tables", nargs="+", type=Path, metavar="LABELS.parquet")
    pack.add_argument(
        "--samples",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the modules are, as text: shards or parts, of any splits and targets",
    )
    pack.add_argument("--tokenizer", type=Path, required=True, metavar="DIR")
    pack.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    pack.add_argument(
        "--max-prompt-tokens",
        type=_positive,
        default=3072,
        metavar="N",
        help="longer prompts keep their beginning (default: %(default)s)",
    )
    pack.add_argument(
        "--hold-out",
        type=_share,
        default=0.0,
        metavar="X",
        help="this share of the packages of the train split counts as validation",
    )
    pack.add_argument("--seed", type=int, default=0, metavar="N", help="draws what is held out")
    pack.add_argument("--json", action="store_true")
    show = actions.add_parser("show", help="what a table of labels or ceilings holds")
    show.add_argument("table", type=Path, metavar="FILE.parquet")
    show.add_argument("--samples", type=Path, metavar="DIR", help="count what matches by hash")
    show.add_argument("--json", action="store_true")


def _dataset(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("dataset", help="make the samples that training learns from")
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="build|show|pack|texts|repairs"
    )
    build = actions.add_parser(
        "build",
        help="write a stage's samples as Parquet",
        description="Write a stage's samples as Parquet shards, and a manifest when all are there. "
        "A sample depends on the modules, the seed and its index alone. Stopped, it resumes.",
    )
    show = actions.add_parser("show", help="make one sample again and print it")
    for action in (build, show):
        action.add_argument(
            "stage", choices=("pretraining", "emulation", "flag-tuning", "disassembly")
        )
        action.add_argument("samples", type=Path, metavar="SAMPLES", help="shards or packed parts")
        action.add_argument(
            "--labels", type=Path, metavar="FILE", help="flag-tuning: a table of labels"
        )
        action.add_argument(
            "--objective",
            choices=[one.name for one in object_objectives()],
            default=SIZE.name,
            help="flag-tuning: which sizes decide what is best (default: %(default)s)",
        )
        action.add_argument(
            "--texts",
            type=Path,
            metavar="DIR",
            help="pretraining: source code and prose, from 'dataset texts'",
        )
        action.add_argument(
            "--max-characters",
            type=_positive,
            default=48_000,
            metavar="N",
            help="of input and output together; longer draws are replaced (default: %(default)s)",
        )
        action.add_argument(
            "--mix",
            type=_shares,
            default=(0.85, 0.14, 0.01),
            metavar="X,Y,Z",
            help="pretraining: shares of compiler output, source code and prose, by characters "
            "(default: 0.85,0.14,0.01)",
        )
        action.add_argument(
            "--assembly-share",
            type=_share,
            default=0.5,
            metavar="X",
            help="pretraining, emulation: assembly instead of IR (default: %(default)s)",
        )
    build.add_argument("--out", type=Path, required=True, metavar="DIR")
    build.add_argument("--num-samples", type=_positive, required=True, metavar="N")
    build.add_argument(
        "--shard-size",
        type=_positive,
        default=1000,
        metavar="N",
        help="samples a shard: what a killed build loses at most (default: %(default)s)",
    )
    build.add_argument("--jobs", type=_positive, default=None, metavar="N")
    show.add_argument("--index", type=_natural, required=True, metavar="I")
    show.add_argument("--paper", action="store_true", help="as the paper's prompt and an answer")
    pack = actions.add_parser(
        "pack",
        help="pack modules into parts of a given size",
        description="Pack modules, shuffled, into parts of a given size, from which a machine with "
        "libLLVM makes the same samples.",
    )
    pack.add_argument("samples", type=Path, metavar="SAMPLES")
    pack.add_argument("--out", type=Path, required=True, metavar="DIR")
    pack.add_argument("--part-bytes", type=_positive, default=12_000_000, metavar="N")
    pack.add_argument(
        "--content",
        choices=("text", "bitcode"),
        default="text",
        help="how modules are packed; text is smaller (default: %(default)s)",
    )
    texts = actions.add_parser(
        "texts", help="collect source code, documentation and comments of a built corpus"
    )
    texts.add_argument("corpus", type=Path, metavar="CORPUS")
    texts.add_argument("--out", type=Path, required=True, metavar="DIR")
    repairs = actions.add_parser(
        "repairs",
        help="wrong lifts of a model, and what is wrong with them",
        description="Have a model lift the functions of stage data, and write its wrong answers, "
        "what is wrong with them, and the right ones: the task repair. Stopped, it resumes.",
    )
    repairs.add_argument("data", type=Path, metavar="DATA", help="from 'dataset build disassembly'")
    repairs.add_argument("--model", metavar="DIR", help="default: the shipped weights")
    repairs.add_argument("--out", type=Path, required=True, metavar="DIR")
    repairs.add_argument("--num-samples", type=_positive, required=True, metavar="N")
    repairs.add_argument(
        "--candidates",
        type=_positive,
        default=4,
        metavar="N",
        help="answers a function, of which two wrong ones are written (default: %(default)s)",
    )
    repairs.add_argument(
        "--temperature", type=_share, default=0.8, metavar="T", help="default: %(default)s"
    )
    repairs.add_argument("--shard-size", type=_positive, default=500, metavar="N")
    repairs.add_argument("--jobs", type=_positive, default=1, metavar="N")
    repairs.add_argument("--seed", type=int, default=0, metavar="N")
    repairs.add_argument("--json", action="store_true", help="print JSON, one object a line")
    for action in (build, show, pack):
        action.add_argument("--seed", type=int, default=0, metavar="N")
        action.add_argument(
            "--split",
            choices=("train", "validation", "test"),
            default="train",
            help="default: %(default)s",
        )
        action.add_argument("--kind", choices=("function", "unit"), default="")
        action.add_argument("--architecture", default="", metavar="A", help="default: all")
    for action in (build, show, pack, texts):
        action.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _tokenizer(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("tokenizer", help="the tokenizer of the package's own models")
    actions = parser.add_subparsers(dest="action", required=True, metavar="train|show|pack")
    train = actions.add_parser(
        "train",
        help="learn the merges of a byte-level BPE",
        description="Learn a byte-level BPE on IR and assembly, unoptimised and behind every "
        "default pipeline, and on source code where texts are given.",
    )
    train.add_argument(
        "samples",
        nargs="+",
        type=Path,
        metavar="SAMPLES",
        help="shards, packed parts, or stage data; of several, samples are taken by turns",
    )
    train.add_argument("--out", type=Path, required=True, metavar="DIR")
    train.add_argument(
        "--vocab-size",
        type=_positive,
        default=16_384,
        metavar="N",
        help="special tokens and passes among them (default: %(default)s)",
    )
    train.add_argument(
        "--pre-tokenizer",
        choices=("word", "line", "token"),
        default="token",
        help="what no merge crosses: words, lines, or names and numbers (default: %(default)s)",
    )
    train.add_argument(
        "--texts", type=Path, metavar="DIR", help="source code and prose, from 'dataset texts'"
    )
    train.add_argument(
        "--max-characters", type=_positive, default=60_000_000, metavar="N", help="to learn from"
    )
    train.add_argument("--seed", type=int, default=0, metavar="N")
    train.add_argument("--jobs", type=_positive, default=None, metavar="N")
    show = actions.add_parser("show", help="what a tokenizer holds, or what it makes of a file")
    show.add_argument("tokenizer", type=Path, metavar="DIR")
    show.add_argument("--file", type=Path, metavar="FILE", help="print its tokens, one a line")
    pack = actions.add_parser(
        "pack",
        help="encode stage data as shards of 16-bit ids",
        description="Encode stage data as token shards, which training reads by memory map. "
        "Stopped, it resumes.",
    )
    pack.add_argument("data", type=Path, metavar="DATA", help="from 'dataset build'")
    pack.add_argument("--tokenizer", type=Path, required=True, metavar="DIR")
    pack.add_argument("--out", type=Path, required=True, metavar="DIR")
    pack.add_argument(
        "--context",
        type=_positive,
        default=4096,
        metavar="N",
        help="tokens of the longest document (default: %(default)s)",
    )
    pack.add_argument(
        "--compress", action="store_true", help="under zstd, for the way to another machine"
    )
    pack.add_argument("--jobs", type=_positive, default=None, metavar="N")
    for action in (train, show, pack):
        action.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model in one of the four stages",
        description="Train a model in one stage, on a CPU, a GPU, or under torchrun on many. "
        "Stopped by a signal or by --max-minutes it leaves a checkpoint; --resume goes on from it.",
    )
    parser.add_argument("stage", choices=("pretraining", "emulation", "flag-tuning", "disassembly"))
    parser.add_argument("--config", type=Path, required=True, metavar="TOML")
    parser.add_argument("--out", type=Path, metavar="DIR", help="instead of the configuration's")
    parser.add_argument(
        "--init", type=Path, metavar="DIR", help="weights to start from: a checkpoint or a run"
    )
    parser.add_argument(
        "--lora",
        type=_positive,
        default=None,
        metavar="RANK",
        help="train adapters of this rank beside the frozen weights (see 'model merge')",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a key of the configuration, as in TOML: "
        "--set max_steps=100 --set data.emulation.path=DIR",
    )
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument(
        "--max-minutes",
        type=_minutes,
        default=None,
        metavar="M",
        help="the learning rate comes down in time; ends with a checkpoint",
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="print parameters, memory, operations and days on GPUs; train nothing",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _kit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "kit",
        help="train on a borrowed GPU: pack here, train there, ship here",
        description="Training on a machine with a GPU that is at hand for minutes, without "
        "network, LLVM or installation (docs/gpu-kit.md).",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="pack|train|wait|ship")
    pack = actions.add_parser(
        "pack",
        help="data, weights and code in parts that travel",
        description="Pack a training configuration's token shards and labels, the weights to start "
        "from and the code into parts, the most valuable first. Killed, the same command goes on.",
    )
    pack.add_argument("--config", type=Path, required=True, metavar="TOML")
    pack.add_argument("--out", type=Path, required=True, metavar="DIR")
    pack.add_argument("--init", type=Path, metavar="DIR", help="weights to start from")
    pack.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="SOURCE=DIR",
        help="further token shards of a source of the configuration; may be given several times",
    )
    pack.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    pack.add_argument(
        "--part-bytes", type=_positive, default=None, metavar="N", help="at most (default: 58 MiB)"
    )
    pack.add_argument(
        "--beside",
        type=Path,
        default=None,
        metavar="DIR",
        help="a checkout that travels with each call of 64 MiB: parts leave room for its files",
    )
    pack.add_argument(
        "--max-parts", type=_natural, default=0, metavar="N", help="0: as the data gives (default)"
    )
    train = actions.add_parser(
        "train",
        help="train for some minutes from the parts that have arrived",
        description="Train for some minutes from the parts in a folder; more may arrive meanwhile. "
        "Cut off at any moment, the same command goes on from the last state.",
    )
    train.add_argument("--parts", type=Path, required=True, metavar="DIR")
    train.add_argument("--minutes", type=_minutes, required=True, metavar="M")
    train.add_argument(
        "--max-steps", type=_natural, default=0, metavar="N", help="0: by minutes alone (default)"
    )
    train.add_argument("--save-s", type=_seconds, default=45.0, metavar="S", help="default: 45")
    train.add_argument(
        "--wait-s", type=_seconds, default=120.0, metavar="S", help="for the first part"
    )
    train.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    train.add_argument(
        "--threads", type=_natural, default=0, metavar="N", help="on a CPU; 0: all cores (default)"
    )
    train.add_argument(
        "--daemon", action="store_true", help="go on in a session of its own, which outlives a call"
    )
    wait = actions.add_parser(
        "wait",
        help="print how a run goes, and write its weights in pieces",
        description="Print a run's progress until it is over or the minutes are, and write its "
        "newest weights in pieces that can be carried home. Exit code 1 if nothing was learnt yet.",
    )
    wait.add_argument("--minutes", type=_minutes, required=True, metavar="M")
    wait.add_argument("--out", type=Path, required=True, metavar="DIR")
    wait.add_argument("--every-s", type=_seconds, default=15.0, metavar="S", help="default: 15")
    wait.add_argument(
        "--piece-bytes", type=_positive, default=15 * 2**20, metavar="N", help="default: 15 MiB"
    )
    for one in (train, wait):
        one.add_argument("--run", type=Path, required=True, metavar="DIR", help="the run's folder")
    ship = actions.add_parser(
        "ship",
        help="validate what came home, and ship it if it is better",
        description="Put a run's pieces together, compare the weights with the shipped ones on "
        "unseen packages, task by task, and replace these if a task is better and none is worse, "
        "each beyond its interval. Exit code 1 if they are not better.",
    )
    ship.add_argument("pieces", type=Path, metavar="PIECES")
    ship.add_argument("--config", type=Path, required=True, metavar="TOML")
    ship.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the checkpoint")
    ship.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    ship.add_argument("--into", type=Path, metavar="DIR", help="default: the package's weights")
    ship.add_argument(
        "--documents", type=_positive, default=600, metavar="N", help="of each task (default: 600)"
    )
    ship.add_argument("--dry-run", action="store_true", help="compare only")
    for one in (pack, ship):
        one.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _model(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("model", help="merge adapters, describe or hand on a checkpoint")
    actions = parser.add_subparsers(dest="action", required=True, metavar="merge|card|push|gguf")
    merge = actions.add_parser(
        "merge",
        help="add LoRA adapters to their weights",
        description="Add LoRA adapters ('train --lora') to the weights that they were trained "
        "beside, and write a plain checkpoint.",
    )
    merge.add_argument(
        "--base", type=Path, metavar="DIR", help="the weights, if they are elsewhere by now"
    )
    card = actions.add_parser(
        "card",
        help="print a model card",
        description="Print a model card from the checkpoint's own records: shape, every run that "
        "made it, and what was measured.",
    )
    push = actions.add_parser(
        "push",
        help="write a folder as the Hugging Face hub wants it, and upload it if told to",
        description="Write weights (or adapters), tokenizer, records and model card as a folder "
        "in the hub's layout. Nothing leaves the machine unless --repo-id names where to.",
    )
    gguf = actions.add_parser(
        "gguf",
        help="write one GGUF file, for llama.cpp",
        description="Write weights and tokenizer as one GGUF file for llama.cpp; every token keeps "
        "its id. Needs pip install 'llm-compiler[gguf]'.",
    )
    gguf.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    gguf.add_argument(
        "--type",
        choices=("f32", "f16", "bf16", "q8_0"),
        default="f16",
        help="of the matrices (default: %(default)s)",
    )
    for action in (merge, card, push, gguf):
        action.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="or a run")
    for action in (merge, push):
        action.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
        action.add_argument("--json", action="store_true")
    for action in (card, push):
        action.add_argument("--name", metavar="NAME", help="title of the card")
        action.add_argument(
            "--license", default="apache-2.0", metavar="ID", help="default: %(default)s"
        )
    push.add_argument(
        "--repo-id", metavar="OWNER/NAME", help="upload it there, as you are logged in"
    )
    push.add_argument("--private", action="store_true", help="a new repository is not public")


def _add_models(
    parser: argparse.ArgumentParser, *, replay: bool = False, none: bool = False
) -> None:
    """Add engines and models that may be given again, as contenders of one run."""
    parser.add_argument(
        "--engine",
        action="append",
        choices=(
            "embedded",
            "transformers",
            "openai",
            *(["replay"] if replay else []),
            *(["none"] if none else []),
        ),
        help="what runs the model; one for all, or one for each --model"
        + ("; replay reads answers from the folder --model" if replay else "")
        + ("; none: rules alone" if none else "")
        + " (default: embedded)",
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="M",
        help="a checkpoint's folder, a name on the hub or a server's URL; may be given again "
        "(default: the shipped weights, if this installation has them)",
    )


def _evaluate_code(tasks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    lifting = tasks.add_parser(
        "disassembly",
        help="how well models lift machine code",
        description="Compile the functions of suites, have models lift them, and say what share "
        "lowers, is exact, or passes the tests, by answers, target, level and length. Stopped, "
        "the same command goes on. Clang's own flags, for suites of sources, follow after --.",
    )
    lifting.add_argument(
        "--functions",
        type=_natural,
        default=100,
        metavar="N",
        help="so many a target and level, drawn in turn from each program; 0: all (default: "
        "%(default)s)",
    )
    lifting.add_argument(
        "--levels",
        nargs="+",
        default=["Oz"],
        choices=("O0", "O1", "O2", "O3", "Os", "Oz"),
        metavar="L",
        help="what functions are compiled at: O0 to O3, Os, Oz (default: Oz)",
    )
    lifting.add_argument(
        "--candidates",
        type=_positive,
        default=8,
        metavar="K",
        help="answers of a model for a function (default: %(default)s)",
    )
    lifting.add_argument(
        "--repairs",
        type=_natural,
        default=0,
        metavar="N",
        help="of these answers, so many are asked for with what is wrong with the others "
        "(default: %(default)s)",
    )
    lifting.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        metavar="T",
        help="of all answers but the first; 0: by beams (default: %(default)g)",
    )
    lifting.add_argument(
        "--rules",
        action="store_true",
        help="beside the models: rules alone, and rules and each model together",
    )
    lifting.add_argument(
        "--search-s",
        type=float,
        default=2.0,
        metavar="S",
        help="processor time of the rules' search for each function (default: %(default)g)",
    )
    emulating = tasks.add_parser(
        "emulation",
        help="how well models predict the code behind pass lists",
        description="Ask models for the code behind a single pass, default<Oz> and a random list, "
        "for each module of suites, and compare with what LLVM makes. Stopped, the same command "
        "goes on. Clang's own flags, for suites of sources, follow after --.",
    )
    emulating.add_argument(
        "--modules",
        type=_natural,
        default=100,
        metavar="N",
        help="so many a target, drawn in turn from each program; 0: all (default: %(default)s)",
    )
    emulating.add_argument(
        "--code",
        choices=("ir", "assembly", "both"),
        default="ir",
        help="what is predicted (default: %(default)s)",
    )
    for task in (lifting, emulating):
        _add_suites(task)
        _add_models(task, replay=True, none=task is lifting)
        task.add_argument(
            "--min-size-bytes",
            type=_natural,
            default=0,
            metavar="B",
            help="of samples, behind default<Oz> (default: %(default)s)",
        )
        task.add_argument(
            "--max-size-bytes", type=_natural, default=0, metavar="B", help="default: no limit"
        )
        _add_max_minutes(task)
        _add_common(task)


def _add_max_minutes(task: argparse.ArgumentParser, default: float | None = None) -> None:
    task.add_argument(
        "--max-minutes",
        type=_minutes,
        default=default,
        metavar="M",
        help="begin nothing behind so many minutes; the report tells of what is done (default: "
        + (f"{default:g})" if default else "no limit)"),
    )


def _add_suites(task: argparse.ArgumentParser) -> None:
    """Add what names programs, how they are drawn and compiled, and where the report goes."""
    task.add_argument(
        "--suite",
        type=Path,
        action="append",
        required=True,
        metavar="S",
        help="a folder of samples, a corpus, a folder of C, C++, IR or bitcode (with "
        "compile_commands.json or compile_flags.txt, if there is one), or a file; may be given "
        "again",
    )
    task.add_argument(
        "--report", type=Path, required=True, metavar="DIR", help="made if it is not there"
    )
    task.add_argument(
        "--split", default="test", help="of samples or a corpus (default: %(default)s)"
    )
    task.add_argument(
        "--architecture",
        default="",
        choices=("", "x86_64", "aarch64"),
        metavar="A",
        help="of samples, x86_64 or aarch64 (default: all)",
    )
    task.add_argument("--target-triple", default="", metavar="T", help="of sources")
    task.add_argument("--seed", type=int, default=0, metavar="N")


def _evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "evaluate", help="measure models and searches on suites of programs, and write a report"
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    tuning = tasks.add_parser(
        "flag-tuning",
        help="what pass lists save over -Oz",
        description="Compare models, the coreset, random and local search, the paper's autotuner "
        "and the plain pipelines at equal numbers of evaluations, and write report.html, .md, "
        ".json, plots, and one row a module, contender and budget (rows.parquet). Stopped, the "
        "same command goes on. Clang's own flags, for suites of sources, follow after --.",
    )
    _add_suites(tuning)
    _add_models(tuning)
    tuning.add_argument(
        "--protocol",
        choices=("ours", "paper"),
        default="ours",
        help="paper: one shot, .text + .data, no backup, long units split by function "
        "(default: %(default)s)",
    )
    tuning.add_argument(
        "--contenders",
        nargs="+",
        choices=(
            *("model", "model-local", "one-shot"),
            *("coreset", "local", "autotuner", "random", "plain"),
        ),
        metavar="C",
        help="of model (in rounds with the compiler), model-local (16 of its lists, then 64 "
        "evaluations of local search from the best), one-shot, coreset, local (search from the "
        "coreset), autotuner (the paper's), random, plain (-Oz, -Os, -O2) (default: all; paper: "
        "one-shot, coreset, plain)",
    )
    _add_max_minutes(tuning)
    tuning.add_argument(
        "--budgets",
        type=_budgets,
        metavar="N,N,...",
        help="evaluations at which all are compared (default: 1,4,16,64,256; paper: 1)",
    )
    tuning.add_argument(
        "--objective",
        choices=[one.name for one in object_objectives()],
        help="what winners are chosen by (default: size; paper: text-data)",
    )
    tuning.add_argument(
        "--no-check",
        action="store_true",
        help="do not put new lists that win to PassListEval, which takes seconds each",
    )
    tuning.add_argument(
        "--ceilings",
        type=Path,
        nargs="+",
        default=[],
        metavar="TABLE",
        help="what the autotuner found ('labels ceiling'), to tell the share of it; samples that "
        "are in it are drawn first",
    )
    tuning.add_argument(
        "--store",
        type=Path,
        metavar="DB",
        help="measurements, read and added to: what another run, 'autotune' or 'labels ceiling' "
        "has measured is not measured again (default: one in the report's folder)",
    )
    tuning.add_argument(
        "--programs",
        type=Path,
        metavar="TOML",
        help="how programs of a suite of sources are linked and run, to compare them with their "
        "-O2 build (default: programs.toml in the suite's folder, if it is there)",
    )
    tuning.add_argument("--coreset", type=Path, metavar="JSON", help="default: the shipped one")
    tuning.add_argument(
        "--modules",
        type=_natural,
        default=0,
        metavar="N",
        help="of samples, so many a target; of a corpus, in all (default: all)",
    )
    tuning.add_argument(
        "--min-size-bytes", type=_natural, default=200, metavar="B", help="default: %(default)s"
    )
    tuning.add_argument(
        "--max-size-bytes", type=_natural, default=0, metavar="B", help="default: no limit"
    )
    _add_common(tuning)
    _evaluate_code(tasks)
    sizes = tasks.add_parser(
        "size-prediction",
        help="how well models predict sizes behind a pass list",
        description="Ask models for instruction count and sizes behind a drawn pass list, and "
        "compare with what LLVM makes. Stopped, the same command goes on.",
    )
    texts = tasks.add_parser(
        "perplexity",
        help="how probable IR, assembly and source code are to models",
        description="Measure the probability of IR and assembly of a split, and of source code "
        "and prose where texts are given, in bits a byte. Stopped, the same command goes on.",
    )
    _add_texts(texts)
    for task in (sizes, texts):
        _add_suites(task)
        _add_models(task)
        task.add_argument(
            "--samples",
            type=_positive,
            default=200,
            metavar="N",
            help="of each suite (default: %(default)s)",
        )
        task.add_argument(
            "--min-size-bytes", type=_natural, default=0, metavar="B", help="default: %(default)s"
        )
        task.add_argument(
            "--max-size-bytes", type=_natural, default=0, metavar="B", help="default: no limit"
        )
        _add_max_minutes(task)
        _add_common(task)
    _evaluate_all(tasks)


def _add_texts(task: argparse.ArgumentParser) -> None:
    task.add_argument(
        "--texts",
        type=Path,
        metavar="DIR",
        help="perplexity of source code and prose too, from 'dataset texts': as many pieces of "
        "each as samples",
    )


def _evaluate_all(tasks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    every = tasks.add_parser(
        "all",
        help="every task on the same suites, in bounded time, on one page",
        description="Run flag tuning (our rules and the paper's), disassembly, emulation, size "
        "prediction and perplexity, each into a folder of its own, and write one page about all "
        "of them. Stopped, the same command goes on.",
    )
    _add_suites(every)
    _add_models(every)
    names = (
        *("flag-tuning", "flag-tuning-paper", "disassembly", "emulation"),
        *("size-prediction", "perplexity"),
    )
    every.add_argument(
        "--tasks", nargs="+", choices=names, default=list(names), metavar="T", help="default: all"
    )
    _add_texts(every)
    _add_max_minutes(every, 55.0)
    every.add_argument(
        "--modules",
        type=_natural,
        default=110,
        metavar="N",
        help="flag tuning, emulation: so many a target (default: %(default)s)",
    )
    every.add_argument(
        "--functions",
        type=_natural,
        default=110,
        metavar="N",
        help="disassembly: so many a target and level (default: %(default)s)",
    )
    every.add_argument(
        "--samples",
        type=_positive,
        default=250,
        metavar="N",
        help="size prediction, perplexity: of each suite (default: %(default)s)",
    )
    every.add_argument(
        "--contenders",
        nargs="+",
        default=["model", "one-shot", "coreset", "plain"],
        choices=(
            *("model", "model-local", "one-shot"),
            *("coreset", "local", "autotuner", "random", "plain"),
        ),
        metavar="C",
        help="of flag tuning; those that search take longer, since their winners are new to "
        "PassListEval (default: model one-shot coreset plain)",
    )
    every.add_argument("--no-check", action="store_true", help="as of flag-tuning")
    every.add_argument("--ceilings", type=Path, nargs="+", default=[], metavar="TABLE")
    every.add_argument("--store", type=Path, metavar="DB", help="measurements, as of flag-tuning")
    every.add_argument("--programs", type=Path, metavar="TOML", help="as of flag-tuning")
    every.add_argument("--coreset", type=Path, metavar="JSON", help="default: the shipped one")
    every.add_argument(
        "--min-size-bytes",
        type=_natural,
        default=200,
        metavar="B",
        help="of flag tuning's samples (default: %(default)s)",
    )
    every.add_argument(
        "--levels",
        nargs="+",
        default=["Oz"],
        choices=("O0", "O1", "O2", "O3", "Os", "Oz"),
        metavar="L",
        help="of disassembly (default: Oz)",
    )
    every.add_argument(
        "--candidates",
        type=_positive,
        default=4,
        metavar="K",
        help="of disassembly: answers for a function (default: %(default)s)",
    )
    every.add_argument(
        "--repairs",
        type=_natural,
        default=0,
        metavar="N",
        help="of these answers, so many are asked for with what is wrong with the others "
        "(default: %(default)s)",
    )
    every.add_argument("--temperature", type=float, default=0.0, metavar="T")
    every.add_argument(
        "--code", choices=("ir", "assembly", "both"), default="ir", help="of emulation"
    )
    _add_common(every)


_TAKE_CLANG_FLAGS = ("optimize", "emulate", "autotune", "evaluate")


def _split_clang_flags(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Everything behind ``--`` is clang's; argparse itself would mix it with the files."""
    if "--" in arguments:
        position = list(arguments).index("--")
        return list(arguments[:position]), tuple(arguments[position + 1 :])
    return list(arguments), ()


def _run(arguments: Sequence[str]) -> int:
    own, clang_flags = _split_clang_flags(list(expand_response_files(arguments)))
    options = build_parser().parse_args(own)
    if clang_flags and options.command not in _TAKE_CLANG_FLAGS:
        raise ConfigError(f"'{options.command}' takes no clang flags after --")
    # Here, so that --help and usage errors do not wait for the rest of the package.
    from llm_compiler import commands

    result: int = getattr(commands, f"run_{options.command}")(options, clang_flags)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; never raises for the user's mistakes."""
    forget()
    try:
        if depth() > MAX_DEPTH:
            raise ConfigError(
                f"this tool was started by itself {depth()} times over: a program that it runs "
                "starts it again"
            )
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        # A command that ends by itself after a signal has said what it kept.
        return 128 + received() if received() else code
    except LlmCompilerError as error:
        if received():
            return _ended()
        from llm_compiler.console import print_error

        print_error(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader has gone (a pager, head); nothing more can be said to it.
        _drop_output()
        return OutputError.exit_code
    except OSError as error:
        if error.filename is None and error.errno is None:
            raise
        _drop_output()  # it may be what is full, or closed
        print(f"llm-compiler: error: {error}", file=sys.stderr)
        return OutputError.exit_code
    except KeyboardInterrupt:
        return _ended()


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the end of the process can flush it."""
    with contextlib.suppress(OSError, ValueError):  # not a file at all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ended() -> int:
    print(f"llm-compiler: {described()}: what is finished is kept", file=sys.stderr)
    return 128 + (received() or signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
