"""Make objects smaller than ``clang -Oz``: propose, measure, rebuild with the stock tools, verify.

For each input: clang makes the baseline and the unoptimised bitcode; candidate lists are measured
in worker processes; the best are rebuilt by clang and opt with the user's own flags, and the size
of *that* object decides. A list is handed out only if PassListEval has passed it (or now passes
it); else, and wherever no list wins, clang -Oz's own object stands. Importing this loads no LLVM.
"""

from __future__ import annotations

import contextlib
import itertools
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_compiler import Verb, process
from llm_compiler.errors import (
    ArtifactError,
    ConfigError,
    LlmCompilerError,
    OutputError,
    ToolchainNotFound,
    WorkerLost,
)
from llm_compiler.llvm.clang_flags import ClangFlags, parse_clang_flags
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.optimization.decide import decide
from llm_compiler.optimization.finish import finish
from llm_compiler.optimization.measure import measure
from llm_compiler.optimization.model_rounds import ProposingModel
from llm_compiler.optimization.options import Effort, OptimizeOptions, OutputKind, Proposer
from llm_compiler.optimization.prepare import prepare, with_dependencies
from llm_compiler.optimization.result import Optimized
from llm_compiler.optimization.sources import Source
from llm_compiler.optimization.unit import Request
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.trial import MeasurementStore
from llm_compiler.signals import GRACE_S, Interrupted
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "Effort",
    "OptimizeOptions",
    "Optimized",
    "OutputKind",
    "Proposer",
    "Source",
    "in_order",
    "optimize_each",
    "optimize_many",
]


def optimize_many(
    sources: Sequence[Path | Source],
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool,
    checker: Checker | None = None,
    coreset: Coreset | None = None,
    engine: Engine | None = None,
    outputs: Sequence[Path] | None = None,
) -> Iterator[Optimized | LlmCompilerError]:
    """Optimise several inputs side by side; yield a result or the error of each, in their order.

    Each is yielded as soon as it and those before it are there (`optimize_each` waits for none).
    The arguments are those of `optimize_each`.
    """
    stream = optimize_each(
        sources,
        options,
        pool=pool,
        checker=checker,
        coreset=coreset,
        engine=engine,
        outputs=outputs,
    )
    for _, result in in_order(stream):
        yield result


Numbered = Generator[tuple[int, Optimized | LlmCompilerError], None, None]


def in_order(results: Numbered) -> Numbered:
    """Yield numbered results in their order, each as soon as it and those before it are there."""
    ready: dict[int, Optimized | LlmCompilerError] = {}
    following = 0
    for index, result in results:
        ready[index] = result
        while following in ready:
            yield following, ready.pop(following)
            following += 1


def optimize_each(
    sources: Sequence[Path | Source],
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool,
    checker: Checker | None = None,
    coreset: Coreset | None = None,
    engine: Engine | None = None,
    outputs: Sequence[Path] | None = None,
    store: MeasurementStore | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[Path, int, int], None] = lambda source, done, budget: None,
) -> Numbered:
    """Optimise several inputs side by side; yield each one's index and result when it is there.

    Several inputs are under way at once, each in a thread that takes it from clang's baseline to
    the object that is handed out, so that the workers are busy while clang runs and the other way
    round. What is not yet begun takes neither memory nor files.

    Args:
        pool: shared by the threads.
        engine: the model that proposes; default: the shipped one, if `options` want a model.
        outputs: for each input, the name that its replay commands write to.
        stop: whoever sets it ends every search with what it has; interrupt the pool as well to
            end what the workers do.
        on_progress: called with (input, evaluations done, evaluations at most), one call at a
            time, from several threads.

    Ctrl-C begins nothing more and ends the searches that are under way; they yield what they have
    found. It is raised again after the last result.
    """
    options = options or OptimizeOptions()
    flags = parse_clang_flags(options.clang_flags)
    options = _with_flags(options, flags)
    inputs = [Source.of(source) for source in sources]
    outputs = outputs or [Path(source.stem + ".o") for source in inputs]
    num_threads = max(1, min(len(sources), pool.num_workers + 1))
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        if checker is None:
            checker = stack.enter_context(Checker(toolchain=find_toolchain(), pool=pool))
        options, engine, trouble = _with_engine(options, engine, stack)
        flow = _Flow(
            workplace=Workplace(
                options=options,
                pool=pool,
                checker=checker,
                coreset=coreset,
                model=ProposingModel(engine) if engine is not None else None,
                store=store,
                stop=stop if stop is not None else threading.Event(),
                parts=max(1, pool.num_workers // num_threads),
            ),
            flags=flags,
            scratch=scratch,
            num_threads=num_threads,
            on_progress=on_progress,
        )
        threads = ThreadPoolExecutor(max_workers=num_threads, thread_name_prefix="optimize")
        stack.callback(threads.shutdown, cancel_futures=True)
        for index, result in flow.run(threads, list(zip(inputs, outputs, strict=True))):
            if trouble and isinstance(result, Optimized):
                result = replace(result, warnings=(trouble, *result.warnings))
                trouble = ""
            yield index, result


@dataclass(slots=True, kw_only=True)
class _Flow:
    """Takes inputs from their sources to results, several at once."""

    workplace: Workplace
    flags: ClangFlags
    scratch: Path
    num_threads: int
    on_progress: Callable[[Path, int, int], None]
    _reporting: threading.Lock = field(default_factory=threading.Lock)

    def run(self, threads: ThreadPoolExecutor, inputs: Sequence[tuple[Source, Path]]) -> Numbered:
        """Yield each input's index and result as it is there.

        Args:
            inputs: sources, and what their replay commands write to.
        """
        waiting = iter(enumerate(inputs))
        running: dict[Future[Optimized | LlmCompilerError], int] = {}
        interrupted: BaseException | None = None

        def begin(count: int) -> None:
            for index, (source, output) in itertools.islice(waiting, count):
                running[threads.submit(self._one, index, source, output)] = index

        try:
            begin(self.num_threads)
            while running:
                try:
                    patience = None if interrupted is None else GRACE_S
                    ended, _ = wait(running, timeout=patience, return_when=FIRST_COMPLETED)
                    if not ended:
                        process.kill_running()
                        self.stop_now()
                    for future in ended:
                        index, result = running.pop(future), future.result()
                        # A clang that was stopped says nothing about its input.
                        if interrupted is None or isinstance(result, Optimized):
                            yield index, result
                    if interrupted is None:
                        begin(self.num_threads - len(running))
                except KeyboardInterrupt as error:
                    if interrupted is not None:
                        raise
                    interrupted = error
                    self.stop_now()
        finally:
            if running:
                self.stop_now()
                if interrupted is not None:
                    process.kill_running()
        if interrupted is not None:
            raise interrupted

    def stop_now(self) -> None:
        """End every search; whoever waits for workers goes on with what there is."""
        self.workplace.stop.set()
        self.workplace.pool.interrupt()

    def _one(self, index: int, source: Source, output: Path) -> Optimized | LlmCompilerError:
        """Take one input through all steps, in a folder of its own; name it as the user did."""
        return _renamed(self._take(index, source, output), source)

    def _take(self, index: int, source: Source, output: Path) -> Optimized | LlmCompilerError:
        started = time.monotonic()
        workplace, options = self.workplace, self.workplace.options
        folder = self.scratch / str(index)

        def report(done: int) -> None:
            with self._reporting:
                self.on_progress(Path(source.shown), done, options.candidates + options.budget)

        try:
            if workplace.is_stopped:
                raise Interrupted
            folder.mkdir()
            stock = Stock(
                toolchain=find_toolchain(),
                flags=with_dependencies(self._flags_of(source), output),
                target_triple=options.target_triple,
                timeout_s=options.timeout_s,
                scratch=folder,
                cwd=source.directory,
                stdin=source.data,
            )
            if source.directory is not None:
                output = output.absolute()
            request = Request(source=source.path, output=output, folder=folder, stock=stock)
            unit = prepare(request, workplace.pool, with_text=workplace.model is not None)
            workplace = replace(workplace, options=options.for_target(unit.triple))
            found = measure(unit, workplace, report)
            chosen = decide(unit, found, workplace)
            return finish(unit, found, chosen, workplace, started=started)
        except LlmCompilerError as error:
            return error
        except Interrupted:
            return WorkerLost(f"{source.path}: interrupted")
        except OSError as error:
            return OutputError(f"{source.path}: a temporary file cannot be written: {error}")
        finally:
            report(options.candidates + options.budget)
            shutil.rmtree(folder, ignore_errors=True)

    def _flags_of(self, source: Source) -> ClangFlags:
        """Return the flags of an input, which may have some of its own."""
        if not source.clang_flags:
            return self.flags
        flags = parse_clang_flags((*source.clang_flags, *self.workplace.options.clang_flags))
        return flags if source.directory is None else replace(flags, dependencies=())


def _renamed(result: Optimized | LlmCompilerError, source: Source) -> Optimized | LlmCompilerError:
    """Say in all texts what the user calls an input, and in which folder commands are run."""
    if not source.name:
        return result
    if source.data is not None:
        return replace(result, input=source.name) if isinstance(result, Optimized) else result
    path = str(source.path)

    def said(text: str) -> str:
        return text.replace(path, source.name)

    if isinstance(result, LlmCompilerError):
        result.args = (said(str(result)),)
        result.detail = said(result.detail)
        return result
    replay = result.replay
    if source.directory is not None:
        replay = tuple(f"cd {shlex.quote(str(source.directory))} && {word}" for word in replay)
    else:
        # IR came from standard input, where it comes from again.
        replay = tuple(word.replace(shlex.quote(path), "-x ir -") for word in replay)
    return replace(
        result,
        input=source.name,
        replay=replay,
        diagnostics=said(result.diagnostics),
        warnings=tuple(said(warning) for warning in result.warnings),
    )


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


def _coreset_is_enough(options: OptimizeOptions) -> bool:
    """Whether the shipped model is not worth its time: recipes by function, no search after them.

    With 16 recipes it saves 0.03 to 0.13 points more on held-out units, for half of the time again
    (docs/experiments/2026-11-27-coreset-of-recipes.md); the coreset's next ones save that in less.
    """
    recipes = not options.pass_lists_only and options.kind is not OutputKind.PASSES
    few = 1 < options.candidates <= Effort.DEFAULT.candidates
    return recipes and few and not options.budget


def _with_engine(
    options: OptimizeOptions, engine: Engine | None, stack: contextlib.ExitStack
) -> tuple[OptimizeOptions, Engine | None, str]:
    """Decide who proposes; return the options, the engine if it is a model, and what went wrong."""
    from llm_compiler.model.engines.loader import has_shipped_model, load_engine

    proposer = options.proposer
    if proposer is None:
        asked = engine is not None or options.novel
        wanted = asked or (has_shipped_model() and not _coreset_is_enough(options))
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
