"""Make one object of a whole program, smaller than ``clang -Oz -flto`` makes it.

The steps are in `optimization.whole_program`; this module prepares the inputs, compares with the
baseline after linking, and falls back: to units optimised one by one where they do not join, to
clang's own object of link-time optimisation where nothing is smaller. Importing this loads no LLVM.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llm_compiler.errors import (
    CompilerError,
    ConfigError,
    LlmCompilerError,
    ResourceError,
    UnsupportedTarget,
)
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.link_time import LinkTime, as_text, bitcode_command
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.targets import known_target, target_names
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.choose import Built, wins
from llm_compiler.optimization.options import OptimizeOptions, OutputKind
from llm_compiler.optimization.prepare import prepare_all
from llm_compiler.optimization.result import Optimized
from llm_compiler.optimization.sources import Source
from llm_compiler.optimization.unit import Request, Unit
from llm_compiler.optimization.whole_program import (
    Candidate,
    Candidates,
    candidates_of,
    join_units,
    merge_objects,
)
from llm_compiler.optimize import optimize_many
from llm_compiler.records import Recipe
from llm_compiler.search.objective import object_objectives
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = ["optimize_program"]

_BYTES_PER_TIMEOUT = 400_000


def optimize_program(
    sources: Sequence[Path | Source],
    exports: Sequence[str],
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool,
    checker: Checker | None = None,
    output: Path,
    notify: Callable[[str], None] = lambda text: None,
) -> Optimized:
    """Optimise all files of a program as one.

    Args:
        exports: functions that stay visible; the first is the entry. Whatever else refers to the
            program by name (assembly files, plug-ins) must be named too.
        output: the name of the object that the replay commands write to; nothing is written here.
        notify: called with what is being done, for progress.

    Sizes in the result are those after linking (`LinkTime`).

    Raises:
        LlmCompilerError: of the first input that cannot be compiled, or of the baseline's link.
    """
    options = options or OptimizeOptions()
    if options.kind is not OutputKind.OBJECT:
        raise ConfigError("--whole-program writes one object to link: leave the other kinds out")
    if not options.objective.of_object:
        known = " or ".join(each_objective.name for each_objective in object_objectives())
        raise ConfigError(f"--whole-program compares objects after linking: --objective {known}")
    if not exports:
        raise ConfigError("--whole-program needs --export NAME: what the program offers")
    flags = parse_clang_flags(options.clang_flags)
    toolchain = find_toolchain()
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        if checker is None:
            checker = stack.enter_context(Checker(toolchain=toolchain, pool=pool))
        inputs = [Source.of(value) for value in sources]
        requests = []
        for index, source in enumerate(inputs):
            (folder := scratch / str(index)).mkdir()
            stock = Stock(
                toolchain=toolchain,
                flags=_flags_of(source, options),
                target_triple=options.target_triple,
                timeout_s=options.timeout_s,
                scratch=folder,
                cwd=source.directory,
                stdin=source.data,
            )
            requests.append(Request(source=source.path, output=output, folder=folder, stock=stock))
        notify(f"compiling {len(requests)} files")
        units = []
        for item in prepare_all(requests, pool):
            if isinstance(item, LlmCompilerError):
                raise item
            units.append(item)
        triple = units[0].triple
        if units[0].object_format != "ELF":
            raise UnsupportedTarget(
                f"--whole-program joins programs whose objects are ELF, and those of '{triple}' "
                f"are {units[0].object_format}: without it, each file is optimised for itself"
            )
        if known_target(triple) is None:
            raise UnsupportedTarget(
                f"--whole-program knows {', '.join(target_names())}, not '{triple}': "
                "without it, each file is compiled by clang -Oz"
            )
        options = options.for_target(triple)
        size = sum(unit.bitcode_path.stat().st_size for unit in units)
        stock = replace(
            units[0].stock,
            timeout_s=options.timeout_s * (2 + size / _BYTES_PER_TIMEOUT),
            scratch=scratch,
            cwd=None,
        )
        link = LinkTime(stock=stock, exports=tuple(exports), folder=scratch)
        notify("clang -Oz -flto")
        lto, baseline = link.baseline([(unit.stock, unit.source) for unit in units])
        notify(f"clang -Oz -flto: {baseline.size_bytes} bytes linked")
        warnings: list[str] = [*flags.notes, *(w for unit in units for w in unit.warnings)]
        try:
            program = join_units(units, tuple(exports), link, lto, pool)
            candidates = candidates_of(program, options, pool, checker, notify)
        except (CompilerError, ResourceError) as error:
            warnings.append(f"optimised file by file, since the program does not join: {error}")
            candidates = _one_by_one(inputs, options, pool, checker, link, output)
        warnings += candidates.warnings
        found = candidates.found
        objective = options.objective
        best = min(
            found, key=lambda candidate: objective.rank(Built.of(candidate.linked)), default=None
        )
        if best is not None and wins(Built.of(best.linked), Built.of(baseline), objective):
            data, linked, replay, recipe = best.data, best.linked, best.replay, best.recipe
            proposer, verdict = "coreset", "passed"
        else:
            data, linked, recipe = lto, baseline, None
            replay = _baseline_replay(units, output, link)
            proposer = verdict = "baseline"
    return Optimized(
        input=" ".join(source.shown for source in inputs),
        target_triple=units[0].triple,
        llvm_version=toolchain.version,
        baseline_bytes=baseline.size_bytes,
        optimized_bytes=linked.size_bytes,
        baseline_text_data_bytes=baseline.text_data_bytes,
        optimized_text_data_bytes=linked.text_data_bytes,
        objective=options.objective,
        baseline_value=options.objective.of(Built.of(baseline)),
        optimized_value=options.objective.of(Built.of(linked)),
        passes=recipe.pipeline if recipe is not None else None,
        recipe=recipe,
        replay=replay,
        proposer=proposer,
        verdict=verdict,
        num_evaluations=candidates.num_evaluations,
        num_assemblies=sum(candidate.is_assembled for candidate in found),
        seconds=time.monotonic() - started,
        warnings=tuple(dict.fromkeys(warnings)),
        diagnostics="".join(unit.diagnostics for unit in units),
        output=data,
    )


def _flags_of(source: Source, options: OptimizeOptions) -> ClangFlags:
    flags = parse_clang_flags((*source.clang_flags, *options.clang_flags))
    # What a build needs for its own files is no business of a program's.
    return replace(flags, dependencies=())


def _baseline_replay(units: Sequence[Unit], output: Path, link: LinkTime) -> tuple[str, ...]:
    """Return the commands that make the object of link-time optimisation again."""
    compiled = [
        Path(f"{output if unit.stock.cwd is None else output.absolute()}.{index}.bc")
        for index, unit in enumerate(units)
    ]
    return (
        *(
            as_text(unit.stock, bitcode_command(unit.stock, unit.source, path))
            for unit, path in zip(units, compiled, strict=True)
        ),
        shlex.join(link.link_command(compiled, Path(f"{output}.linked"), native=output)),
    )


def _one_by_one(
    sources: Sequence[Source],
    options: OptimizeOptions,
    pool: WorkerPool,
    checker: Checker,
    link: LinkTime,
    output: Path,
) -> Candidates:
    """Optimise each file for itself and put the objects into one.

    Raises:
        LlmCompilerError: of a file.
    """
    outputs = [Path(f"{output}.{index}.o") for index in range(len(sources))]
    own = replace(options, seconds=math.inf)
    replay: list[str] = []
    objects: list[tuple[Path, bytes]] = []
    evaluations = 0
    for name, result in zip(
        outputs,
        optimize_many(sources, own, pool=pool, checker=checker, outputs=outputs),
        strict=True,
    ):
        if isinstance(result, LlmCompilerError):
            raise result
        replay += result.replay
        objects.append((name, result.output))
        evaluations += result.num_evaluations
    data, command = merge_objects(objects, output, link)
    candidate = Candidate(
        recipe=Recipe(),
        data=data,
        linked=link.linked_sizes(data, "merged"),
        replay=(*replay, command),
        is_assembled=False,
    )
    return Candidates(found=(candidate,), num_evaluations=evaluations)
