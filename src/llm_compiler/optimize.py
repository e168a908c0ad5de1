"""Make objects smaller than ``clang -Oz``: propose, measure, rebuild with the stock tools, verify.

For each input: clang makes the baseline and the unoptimised bitcode; candidate lists are measured
in worker processes; the best are rebuilt by clang and opt with the user's own flags, and the size
of *that* object decides. A list is handed out only if PassListEval has passed it (or now passes
it); else, and wherever no list wins, clang -Oz's own object stands. Importing this loads no LLVM.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from llm_compiler import Verb
from llm_compiler.errors import ArtifactError, ConfigError, LlmCompilerError, ToolchainNotFound
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.optimization.finish import finish
from llm_compiler.optimization.prepare import prepare_all, with_dependencies
from llm_compiler.optimization.propose import search_all
from llm_compiler.optimization.records import (
    Effort,
    Optimized,
    OptimizeOptions,
    OutputKind,
    Proposer,
)
from llm_compiler.optimization.unit import Unit
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.trial import MeasurementStore
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "Effort",
    "OptimizeOptions",
    "Optimized",
    "OutputKind",
    "Proposer",
    "optimize",
    "optimize_many",
]


def optimize(
    source: Path,
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool | None = None,
    checker: Checker | None = None,
    engine: Engine | None = None,
    output: Path | None = None,
) -> Optimized:
    """Optimise one C, C++, IR or bitcode file.

    Args:
        pool: worker processes; default: one made for this call.
        checker: who knows and makes verdicts; default: the shipped ones and the user's own.
        engine: the model that proposes, as in `optimize_many`; loading one takes longer than
            asking it, so hand it over where there are many calls.
        output: the name that the replay commands write to; nothing is written here.

    Raises:
        LlmCompilerError: see `errors`; every subclass but ConfigError can come from the input.
    """
    from llm_compiler.workers import LocalPool

    with contextlib.ExitStack() as stack:
        (result,) = optimize_many(
            [source],
            options,
            pool=pool or stack.enter_context(LocalPool()),
            checker=checker,
            engine=engine,
            outputs=[output] if output else None,
        )
    if isinstance(result, LlmCompilerError):
        raise result
    return result


def optimize_many(
    sources: Sequence[Path],
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool,
    checker: Checker | None = None,
    coreset: Coreset | None = None,
    engine: Engine | None = None,
    outputs: Sequence[Path] | None = None,
    store: MeasurementStore | None = None,
    on_progress: Callable[[Path, int, int], None] = lambda source, done, budget: None,
) -> Iterator[Optimized | LlmCompilerError]:
    """Optimise several inputs side by side; yield a result or the error of each, in their order.

    Args:
        engine: the model that proposes; default: the shipped one, if `options` want a model.
        outputs: for each input, the name that its replay commands write to.
        on_progress: called with (input, evaluations done, evaluations at most).

    Ctrl-C during the search ends the search and keeps what was found.
    """
    options = options or OptimizeOptions()
    toolchain = find_toolchain()
    flags = parse_clang_flags(options.clang_flags)
    options = _with_flags(options, flags)
    outputs = outputs or [Path(source.stem + ".o") for source in sources]
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-"))
        if checker is None:
            checker = stack.enter_context(Checker(toolchain=toolchain, pool=pool))
        units = []
        for index, (source, output) in enumerate(zip(sources, outputs, strict=True)):
            folder = Path(scratch) / str(index)
            folder.mkdir()
            unit_flags = with_dependencies(flags, output)
            units.append(
                Unit(
                    source=source,
                    output=output,
                    folder=folder,
                    started=time.monotonic(),
                    warnings=list(flags.notes),
                    stock=Stock(
                        toolchain=toolchain,
                        flags=unit_flags,
                        target_triple=options.target_triple,
                        timeout_s=options.timeout_s,
                        scratch=folder,
                    ),
                )
            )
        options, engine, trouble = _with_engine(options, engine, stack)
        failures = prepare_all(units, pool, with_text=engine is not None)
        good = [unit for index, unit in enumerate(units) if index not in failures]
        if trouble and good:
            good[0].warnings.append(trouble)
        try:
            search_all(good, options, pool, checker, coreset, engine, store, on_progress)
        except KeyboardInterrupt:
            for unit in good:
                unit.warnings.append("interrupted: this is the best found until then")
        for index, unit in enumerate(units):
            if index in failures:
                yield failures[index]
                continue
            try:
                yield finish(unit, options, checker, pool)
            except LlmCompilerError as error:
                yield error


def _with_flags(options: OptimizeOptions, flags: ClangFlags) -> OptimizeOptions:
    """Let clang's flags say what is written, as they would for clang.

    Raises:
        ConfigError: they contradict the options.
    """
    triple = options.target_triple
    if triple and flags.target and triple != flags.target:
        raise ConfigError(f"the target is {triple} as an option and {flags.target} as a clang flag")
    if flags.kind and options.kind is OutputKind.OBJECT:
        return replace(options, kind=OutputKind(flags.kind))
    return options


def _with_engine(
    options: OptimizeOptions, engine: Engine | None, stack: contextlib.ExitStack
) -> tuple[OptimizeOptions, Engine | None, str]:
    """Decide who proposes; return the options, the engine if it is a model, and what went wrong."""
    from llm_compiler.model.engines.loader import has_shipped_model, load_engine

    proposer = options.proposer
    if proposer is None:
        wanted = engine is not None or options.novel or has_shipped_model()
        proposer = Proposer.MODEL if wanted and options.candidates else Proposer.CORESET
    trouble = ""
    if proposer is not Proposer.MODEL:
        engine = None
    elif engine is None:
        try:
            engine = load_engine()
            stack.callback(engine.close)
        except (ArtifactError, ToolchainNotFound) as error:
            proposer = Proposer.CORESET
            options = replace(options, novel=False)
            trouble = f"the coreset chooses, since the model failed: {error}"
    return replace(options, proposer=proposer), engine, trouble


sys.modules[__name__].__class__ = Verb
