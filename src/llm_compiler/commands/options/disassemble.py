"""What ``llm-compiler disassemble`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.command import Command
from llm_compiler.commands.options.shared import (
    AsJson,
    Seed,
    engine_option,
    model_option,
    target_triple_option,
)
from llm_compiler.disassembly.disassembled import DisassembleOptions
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import (
    argument,
    default_of,
    natural,
    option,
    positive,
    seconds,
)

__all__ = ["COMMAND", "DisassembleArguments"]


@dataclass(frozen=True, kw_only=True)
class DisassembleArguments(Seed, AsJson):
    """As typed."""

    files: tuple[Path, ...] = argument("FILE", many=True)
    output: Path | None = option(
        "-o",
        None,
        metavar="OUT.ll",
        help="for one input; default: the input's name with .ll",
    )
    out_dir: Path | None = option(
        "--out-dir", None, metavar="DIR", help="where the modules go (default: here)"
    )
    beside: tuple[Path, ...] = option(
        "--beside",
        (),
        repeat=True,
        type=Path,
        metavar="FILE",
        help="an object or archive that is linked with the input: it is read for what its "
        "functions take and return, and not lifted; may be repeated (several FILEs, and the "
        "members of an archive, are taken for parts of one program anyway)",
    )
    jobs: int = option(
        "--jobs",
        default_of(DisassembleOptions, "jobs"),
        type=positive,
        metavar="N",
        help="functions looked at side by side (default: %(default)s)",
    )
    keep_unproved: bool = option(
        "--keep-unproved",
        default_of(DisassembleOptions, "keep_unproved"),
        yes_or_no=True,
        help="also write the best answer of functions that are not shown right: marked, internal, "
        "under a name of its own, never linked (default: yes)",
    )
    accept_unproved: bool = option(
        "--accept-unproved",
        default_of(DisassembleOptions, "accept_unproved"),
        help="define unproved lifts under the functions' own names, too, and use them in --relink "
        "and --retarget: for programs whose own tests decide",
    )
    strict: bool = option("--strict", False, help="write nothing that is not shown right")
    answer_s: int = option(
        "--answer-s",
        6,
        type=natural,
        metavar="S",
        help="time for the model's answers to one function; 0: no limit (default: %(default)s)",
    )
    annotate: bool = option(
        "--annotate",
        default_of(DisassembleOptions, "annotate"),
        help="comments above each function: name, place, strings, instructions, lines of source",
    )
    graph: Path | None = option(
        "--graph",
        None,
        metavar="DIR",
        help="write each function's control flow there, as DOT and as a page beside its assembly",
    )
    functions: tuple[str, ...] = option(
        "--function",
        default_of(DisassembleOptions, "functions"),
        repeat=True,
        metavar="NAME",
        help="only this one; may be repeated",
    )
    candidates: int = option(
        "--candidates",
        default_of(DisassembleOptions, "candidates"),
        type=positive,
        metavar="K",
        help="answers looked at for each function, until one is exact (default: %(default)s)",
    )
    temperature: float = option(
        "--temperature",
        default_of(DisassembleOptions, "temperature"),
        metavar="X",
        help="of all answers but the first; 0: the most probable ones (default: %(default)s)",
    )
    relink: Path | None = option(
        "--relink",
        None,
        metavar="OUT.o",
        help="also write the input's object with lifted functions in place of the originals",
    )
    retarget: str = option(
        "--retarget",
        default_of(DisassembleOptions, "retarget"),
        metavar="T",
        help="of x86-64 code: write the module for this target (aarch64-linux-gnu) instead, with "
        "what means the same there; each function is run on both",
    )
    target_triple: str = target_triple_option("of assembly")
    no_rules: bool = option(
        "--no-rules",
        False,
        help="do not lift by rules first: the model alone answers (replay never does)",
    )
    search_s: float = option(
        "--search-s",
        default_of(DisassembleOptions, "search_s"),
        metavar="S",
        help="processor time for each function in which the rules' draft is varied until it is the "
        "same code (default: %(default)s)",
    )
    function_s: float = option(
        "--function-s",
        default_of(DisassembleOptions, "function_s"),
        metavar="S",
        help="processor time for each function altogether, beyond which no further answer is run "
        "beside the original; 0: no limit (default: %(default)s)",
    )
    engine: str = engine_option(Capability.LIFT)
    model: str | None = model_option()
    no_cache: bool = option(
        "--no-cache",
        False,
        help="lift every function anew: neither look up nor keep what came of it",
    )
    timeout_s: float = option(
        "--timeout-s",
        default_of(DisassembleOptions, "timeout_s"),
        type=seconds,
        metavar="S",
        help="limit of each run of clang on an answer (default: %(default)s)",
    )


COMMAND = Command(
    name="disassemble",
    description="Lift the functions of assembly files, ELF objects, archives, executables and "
    "shared libraries (stripped ones, too), x86-64 or AArch64, each to one module of LLVM-IR. "
    "Each function gets a verdict: exact, tests_passed, unproved, refuted, no_answer; only the "
    "first two are defined in the module.",
    options=DisassembleArguments,
    run="disassemble:run",
    negative="a function is less than tests_passed",
)
