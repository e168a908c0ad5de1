"""Make objects smaller than ``clang -Oz``: propose, measure, rebuild with the stock tools, verify.

For each input: clang makes the baseline and the unoptimised bitcode; candidate lists are measured
in worker processes; the best are rebuilt by clang and opt with the user's own flags, and the size
of *that* object decides. A list is handed out only if PassListEval has passed it (or now passes
it); else, and wherever no list wins, clang -Oz's own object stands. Importing this loads no LLVM.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from llm_compiler.errors import (
    ArtifactError,
    CompilerError,
    InputError,
    IrParseError,
    LlmCompilerError,
    ResourceError,
)
from llm_compiler.llvm.jobs import Inspection, InspectJob
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes, undefined_symbols
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.llvm.stock import (
    C_SUFFIXES,
    IR_SUFFIXES,
    ClangFlags,
    Stock,
    parse_clang_flags,
)
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import PassList, Status, VerdictKind
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.objective import Objective
from llm_compiler.search.strategies import fixed, in_sequence, local_search
from llm_compiler.search.trial import MeasurementStore, Strategy, Trial, run_trials
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["OptimizeOptions", "Optimized", "OutputKind", "Proposer", "optimize", "optimize_many"]

_MAX_FINALISTS = 3
"""Outcomes that are rebuilt with the stock tools where sizes in process and stock differ."""
_MAX_CHECKS = 6
"""New lists that are put to PassListEval for one input, smallest object first."""


class Proposer(StrEnum):
    """Where candidate lists come from."""

    CORESET = "coreset"
    SEARCH = "search"


class OutputKind(StrEnum):
    """What `Optimized.output` holds."""

    OBJECT = "object"
    ASSEMBLY = "assembly"
    BITCODE = "bitcode"
    TEXT = "text"
    PASSES = "passes"


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeOptions:
    """How to optimise; the defaults are the command line's."""

    candidates: int = 16
    """Pass lists compiled beside clang -Oz."""
    budget: int = 0
    """Evaluations of local search after them, at most."""
    objective: Objective = Objective.SIZE
    proposer: Proposer = Proposer.CORESET
    target_triple: str = ""
    clang_flags: tuple[str, ...] = ()
    kind: OutputKind = OutputKind.OBJECT
    timeout_s: float = 60.0
    """Limit of each evaluation and each run of clang or opt."""
    seed: int = 0
    trust: bool = False
    """Hand out a new list that wins without PassListEval (its verdict is then "unchecked")."""

    def __post_init__(self) -> None:
        from llm_compiler.errors import ConfigError

        if self.candidates < 0 or self.budget < 0:
            raise ConfigError("--candidates and --budget cannot be negative")
        if self.timeout_s <= 0:
            raise ConfigError("--timeout-s must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """What became of one input.

    Sizes are those of the objects that clang itself made; `passes` is None where clang -Oz's
    stands. `output` are the bytes of the kind asked for.
    """

    input: str
    target_triple: str
    llvm_version: str
    baseline_bytes: int
    optimized_bytes: int
    baseline_text_data_bytes: int
    optimized_text_data_bytes: int
    passes: str | None
    replay: tuple[str, ...]
    proposer: str
    verdict: str
    num_evaluations: int
    seconds: float
    warnings: tuple[str, ...] = ()
    output: bytes = field(default=b"", repr=False)

    @property
    def saved_bytes(self) -> int:
        """Bytes saved over clang -Oz; never negative."""
        return self.baseline_bytes - self.optimized_bytes

    def to_json(self) -> dict[str, object]:
        """Return the object that ``optimize --json`` prints (DESIGN.md, command line)."""
        return {
            "input": self.input,
            "target_triple": self.target_triple,
            "llvm_version": self.llvm_version,
            "baseline_bytes": self.baseline_bytes,
            "optimized_bytes": self.optimized_bytes,
            "baseline_text_data_bytes": self.baseline_text_data_bytes,
            "optimized_text_data_bytes": self.optimized_text_data_bytes,
            "passes": self.passes,
            "replay": list(self.replay),
            "proposer": self.proposer,
            "verdict": self.verdict,
            "num_evaluations": self.num_evaluations,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
        }


_NO_SIZES = ObjectSizes(size_bytes=0, text_data_bytes=0)


@dataclass(slots=True)
class _Unit:
    """One input on its way through."""

    source: Path
    output: Path
    folder: Path
    started: float
    stock: Stock
    baseline: bytes = b""
    baseline_sizes: ObjectSizes = _NO_SIZES
    inspection: Inspection | None = None
    trial: Trial | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def bitcode_path(self) -> Path:
        return self.folder / "unoptimized.bc"

    @property
    def triple(self) -> str:
        return self.inspection.target_triple if self.inspection else ""


def optimize(
    source: Path,
    options: OptimizeOptions | None = None,
    *,
    pool: WorkerPool | None = None,
    checker: Checker | None = None,
    output: Path | None = None,
) -> Optimized:
    """Optimise one C, C++, IR or bitcode file.

    Args:
        pool: worker processes; default: one made for this call.
        checker: who knows and makes verdicts; default: the shipped ones and the user's own.
        output: the name that the replay commands write to; nothing is written here.

    Raises:
        LlmCompilerError: see `errors`; every subclass but ConfigError can come from the input.
    """
    from llm_compiler.workers import LocalPool

    outputs = [output] if output else None
    if pool is not None:
        results = list(
            optimize_many([source], options, pool=pool, checker=checker, outputs=outputs)
        )
    else:
        with LocalPool() as own:
            results = list(
                optimize_many([source], options, pool=own, checker=checker, outputs=outputs)
            )
    result = results[0]
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
    outputs: Sequence[Path] | None = None,
    store: MeasurementStore | None = None,
    on_progress: Callable[[Path, int, int], None] = lambda source, done, budget: None,
) -> Iterator[Optimized | LlmCompilerError]:
    """Optimise several inputs side by side; yield a result or the error of each, in their order.

    Args:
        outputs: for each input, the name that its replay commands write to.
        on_progress: called with (input, evaluations done, evaluations at most).

    Ctrl-C during the search ends the search and keeps what was found.
    """
    options = options or OptimizeOptions()
    toolchain = find_toolchain()
    flags = parse_clang_flags(options.clang_flags)
    checker = checker or Checker(toolchain=toolchain, pool=pool)
    outputs = outputs or [Path(source.stem + ".o") for source in sources]
    with tempfile.TemporaryDirectory(prefix="llm-compiler-") as scratch:
        units = []
        for index, (source, output) in enumerate(zip(sources, outputs, strict=True)):
            folder = Path(scratch) / str(index)
            folder.mkdir()
            unit_flags = _with_dependencies(flags, output)
            units.append(
                _Unit(
                    source=source,
                    output=output,
                    folder=folder,
                    started=time.monotonic(),
                    stock=Stock(
                        toolchain=toolchain,
                        flags=unit_flags,
                        target_triple=options.target_triple,
                        timeout_s=options.timeout_s,
                        scratch=folder,
                    ),
                )
            )
        failures = _prepare_all(units, pool)
        good = [unit for index, unit in enumerate(units) if index not in failures]
        try:
            _search(good, options, pool, checker, coreset, store, on_progress)
        except KeyboardInterrupt:
            for unit in good:
                unit.warnings.append("interrupted: this is the best found until then")
        for index, unit in enumerate(units):
            if index in failures:
                yield failures[index]
                continue
            try:
                yield _finish(unit, options, checker)
            except LlmCompilerError as error:
                yield error


def _with_dependencies(flags: ClangFlags, output: Path) -> ClangFlags:
    """Name the dependency file as clang itself would, had it written the user's object."""
    if not flags.dependencies:
        return flags
    return replace(
        flags,
        dependency_file=flags.dependency_file or str(output.with_suffix(".d")),
        dependency_target=flags.dependency_target or str(output),
    )


# -- the baseline and the unoptimised module -------------------------------------------------------


def _check_input(source: Path) -> None:
    if not source.exists():
        raise InputError(f"{source} does not exist")
    if source.is_dir():
        raise InputError(f"{source} is a directory: name the files in it")
    if source.suffix not in C_SUFFIXES + IR_SUFFIXES:
        raise InputError(
            f"{source} is not C, C++, LLVM-IR or bitcode by its name "
            f"(expected {', '.join(C_SUFFIXES + IR_SUFFIXES)})"
        )
    try:
        with source.open("rb") as stream:
            first = stream.read(1)
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error
    if not first:
        raise InputError(f"{source} is empty: there is nothing to optimise")


def _prepare_all(units: Sequence[_Unit], pool: WorkerPool) -> dict[int, LlmCompilerError]:
    failures: dict[int, LlmCompilerError] = {}

    def guarded(step: Callable[[_Unit], None], index: int) -> None:
        if index in failures:
            return
        try:
            step(units[index])
        except LlmCompilerError as error:
            failures[index] = error

    for index in range(len(units)):
        guarded(lambda unit: _check_input(unit.source), index)
    # IR comes from outside: LLVM reads it in a worker before clang does.
    _inspect_ir(units, pool, failures)
    with ThreadPoolExecutor(max_workers=max(1, pool.num_workers)) as threads:
        list(threads.map(lambda index: guarded(_run_clang, index), range(len(units))))
    todo = [index for index in range(len(units)) if index not in failures]
    jobs = [
        InspectJob(
            inputs=(units[index].bitcode_path.read_bytes(),), names=(str(units[index].source),)
        )
        for index in todo
    ]
    for index, results in zip(todo, run_jobs(pool, jobs), strict=True):
        inspection: Inspection = results[0]
        if inspection.status is not Status.OK:
            failures[index] = InputError(f"{units[index].source}: {inspection.detail}")
            continue
        units[index].inspection = inspection
        _warn(units[index], inspection)
    return failures


def _inspect_ir(
    units: Sequence[_Unit], pool: WorkerPool, failures: dict[int, LlmCompilerError]
) -> None:
    todo = [
        index
        for index, unit in enumerate(units)
        if index not in failures and unit.source.suffix in IR_SUFFIXES
    ]
    jobs = [
        InspectJob(inputs=(units[i].source.read_bytes(),), names=(str(units[i].source),))
        for i in todo
    ]
    for index, results in zip(todo, run_jobs(pool, jobs), strict=True):
        found: Inspection = results[0]
        unit = units[index]
        if found.target_triple and not unit.stock.target_triple:
            # Else clang would compile the module for this machine, whatever it was made for.
            unit.stock = replace(unit.stock, target_triple=found.target_triple)
        if found.status is Status.REFUSED:
            failures[index] = IrParseError(found.detail, line=found.line, column=found.column)
        elif found.status is not Status.OK:
            failures[index] = InputError(
                f"{units[index].source}: LLVM {found.status.value} while reading it: {found.detail}"
            )


def _run_clang(unit: _Unit) -> None:
    stock = unit.stock
    baseline_path = unit.folder / "baseline.o"
    stock.compile_source(stock.baseline_command(unit.source, baseline_path), unit.source)
    unit.baseline = baseline_path.read_bytes()
    unit.baseline_sizes = section_sizes(unit.baseline)
    dependencies: tuple[str, ...] = ()
    if stock.flags.dependencies:
        dependencies = (
            *stock.flags.dependencies,
            "-MF",
            stock.flags.dependency_file,
            "-MT",
            stock.flags.dependency_target,
        )
    command = stock.frontend_command(unit.source, unit.bitcode_path, dependencies=dependencies)
    stock.compile_source(command, unit.source)


def _warn(unit: _Unit, inspection: Inspection) -> None:
    if flag := unit.stock.flags.baseline_only:
        unit.warnings.append(
            f"{flag} is carried out by clang's own passes, so clang -Oz's object stands"
        )
    if unit.source.suffix in IR_SUFFIXES and inspection.functions_without_minsize:
        count = len(inspection.functions_without_minsize)
        unit.warnings.append(
            f"{count} of {len(inspection.functions)} functions lack 'minsize' "
            f"({inspection.functions_without_minsize[0]}, ...): the baseline is clang -Oz on this "
            "file, which leaves them larger than clang -Oz on their source would"
        )


# -- the search ------------------------------------------------------------------------------------


def _search(
    units: Sequence[_Unit],
    options: OptimizeOptions,
    pool: WorkerPool,
    checker: Checker,
    coreset: Coreset | None,
    store: MeasurementStore | None,
    on_progress: Callable[[Path, int, int], None],
) -> None:
    pairs: list[tuple[Trial, Strategy]] = []
    sources: dict[int, Path] = {}
    budget = options.candidates + options.budget
    for unit in units:
        if unit.stock.flags.baseline_only or budget == 0 or unit.inspection is None:
            continue
        if not unit.inspection.functions:
            continue  # nothing that a pass could shrink
        trial = Trial(
            bitcode=unit.bitcode_path.read_bytes(),
            budget=budget,
            objective=options.objective,
            name=str(unit.source),
            timeout_s=options.timeout_s,
        )
        strategy = _strategy(unit, trial, options, checker, coreset)
        if strategy is None:
            continue
        unit.trial = trial
        sources[id(trial)] = unit.source
        pairs.append((trial, strategy))

    def progress(trial: Trial) -> None:
        on_progress(sources[id(trial)], trial.num_evaluations, trial.budget)

    for trial in run_trials(pool, pairs, store=store, on_progress=progress):
        progress(trial)


def _strategy(
    unit: _Unit,
    trial: Trial,
    options: OptimizeOptions,
    checker: Checker,
    coreset: Coreset | None,
) -> Strategy | None:
    start: Sequence[PassList] = starting_lists()
    weights = None
    space = checker.search_space()
    try:
        coreset = coreset or load_coreset()
        weights = coreset.weights_for(space)
    except ArtifactError as error:
        unit.warnings.append(str(error))
    if options.proposer is Proposer.CORESET and coreset is not None:
        start = [
            passes
            for passes in coreset.lists
            if options.trust or checker.known(passes, unit.triple) is VerdictKind.PASSED
        ]
        if not start and not options.budget:
            unit.warnings.append(checker.why_unchecked(unit.triple))
            return None
    rng = module_rng(options.seed, trial.module_hash)
    proposed = fixed(start[: options.candidates])
    if options.proposer is Proposer.CORESET and not options.budget:
        return proposed
    return in_sequence(proposed, local_search(space, rng, weights=weights))


# -- the winner ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Winner:
    passes: PassList
    data: bytes
    sizes: ObjectSizes
    verdict: VerdictKind


def _finish(unit: _Unit, options: OptimizeOptions, checker: Checker) -> Optimized:
    winner = _choose(unit, options, checker) if unit.trial else None
    if winner is None:
        data, replay = _baseline_output(unit, options.kind)
        sizes, passes = unit.baseline_sizes, None
        proposer = verdict = "baseline"
    else:
        data, sizes, passes = winner.data, winner.sizes, winner.passes.pipeline
        replay = unit.stock.replay(unit.source, winner.passes, unit.output, pic=_pic(unit))
        proposer = _proposer_of(winner.passes, options)
        verdict = winner.verdict.value
    return Optimized(
        input=str(unit.source),
        target_triple=unit.triple,
        llvm_version=unit.stock.toolchain.version,
        baseline_bytes=unit.baseline_sizes.size_bytes,
        optimized_bytes=sizes.size_bytes,
        baseline_text_data_bytes=unit.baseline_sizes.text_data_bytes,
        optimized_text_data_bytes=sizes.text_data_bytes,
        passes=passes,
        replay=replay,
        proposer=proposer,
        verdict=verdict,
        num_evaluations=unit.trial.num_evaluations if unit.trial else 0,
        seconds=time.monotonic() - unit.started,
        warnings=tuple(unit.warnings),
        output=data,
    )


def _proposer_of(passes: PassList, options: OptimizeOptions) -> str:
    if options.proposer is Proposer.CORESET and passes in set(load_coreset().lists):
        return Proposer.CORESET.value
    return Proposer.SEARCH.value


def _outcomes(unit: _Unit, checker: Checker) -> list[PassList]:
    """Return one list for each different result, best first; a passed one where there is one."""
    assert unit.trial is not None
    chosen: dict[str, PassList] = {}
    for passes in unit.trial.ranked():
        if unsafe_passes(passes):
            continue
        key = unit.trial.known[passes].result_hash
        if key not in chosen or (
            checker.known(chosen[key], unit.triple) is not VerdictKind.PASSED
            and checker.known(passes, unit.triple) is VerdictKind.PASSED
        ):
            chosen[key] = passes
    return [p for p in chosen.values() if checker.known(p, unit.triple) is not VerdictKind.REJECTED]


def _choose(unit: _Unit, options: OptimizeOptions, checker: Checker) -> _Winner | None:
    """Rebuild the best outcomes with the stock tools and return the best verified one."""
    assert unit.trial is not None
    best: _Winner | None = None
    num_checks = num_built = 0
    for passes in _outcomes(unit, checker):
        measured = unit.trial.known[passes]
        known = checker.known(passes, unit.triple)
        if known is not VerdictKind.PASSED and not options.trust and num_checks >= _MAX_CHECKS:
            continue
        if num_built >= _MAX_FINALISTS and best is not None:
            break
        if num_built >= _MAX_FINALISTS + _MAX_CHECKS:
            break
        try:
            data = _rebuild(unit, passes)
        except (CompilerError, ResourceError) as error:
            unit.warnings.append(
                f"'{passes}' works in process but not with the stock tools: {error}"
            )
            num_built += 1
            continue
        sizes = section_sizes(data)
        num_built += 1
        if _needs_what_is_nowhere(unit, data):
            continue
        if _better(sizes, best.sizes if best else unit.baseline_sizes, unit, options):
            verdict = known
            if verdict is not VerdictKind.PASSED and not options.trust:
                num_checks += 1
                verdict = checker.check(passes, unit.triple)
                if verdict is not VerdictKind.PASSED:
                    num_built -= 1
                    continue
            best = _Winner(passes, data, sizes, verdict)
        if sizes.size_bytes == measured.size_bytes and (best is None or best.passes == passes):
            break  # in process and stock agree: the ranking holds
    if best is None or options.kind is OutputKind.OBJECT:
        return best
    return _Winner(
        best.passes, _other_output(unit, best.passes, options.kind), best.sizes, best.verdict
    )


def _needs_what_is_nowhere(unit: _Unit, data: bytes) -> bool:
    """Whether an object calls an inline function that the baseline does not.

    A body that is there for inlining only promises a copy in another object, but some headers
    (libstdc++'s) break that promise for functions that clang always inlines.
    """
    assert unit.inspection is not None
    promised = frozenset(unit.inspection.available_externally)
    return bool((undefined_symbols(data) & promised) - undefined_symbols(unit.baseline))


def _better(sizes: ObjectSizes, than: ObjectSizes, unit: _Unit, options: OptimizeOptions) -> bool:
    """Whether an object wins; whatever the objective, it is never larger than clang -Oz's."""
    if sizes.size_bytes > unit.baseline_sizes.size_bytes:
        return False
    if options.objective is Objective.TEXT_DATA:
        return (sizes.text_data_bytes, sizes.size_bytes) < (than.text_data_bytes, than.size_bytes)
    if options.objective is Objective.INSTRUCTIONS:
        return True  # outcomes come in the order of their instruction counts
    return sizes.size_bytes < than.size_bytes


def _pic(unit: _Unit) -> bool:
    assert unit.inspection is not None
    return unit.inspection.pic


def _rebuild(unit: _Unit, passes: PassList) -> bytes:
    optimized, final = unit.folder / "optimized.bc", unit.folder / "final.o"
    unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=_pic(unit))
    unit.stock.run_backend(optimized, final)
    return final.read_bytes()


def _other_output(unit: _Unit, passes: PassList, kind: OutputKind) -> bytes:
    """Return the winner as assembly, IR, bitcode or its pass list."""
    if kind is OutputKind.PASSES:
        return (passes.pipeline + "\n").encode()
    optimized, final = unit.folder / "optimized.bc", unit.folder / "final.out"
    unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=_pic(unit))
    match kind:
        case OutputKind.BITCODE:
            return optimized.read_bytes()
        case OutputKind.ASSEMBLY:
            unit.stock.run_backend(optimized, final, kind="-S")
        case _:
            unit.stock.disassemble_bitcode(optimized, final)
    return final.read_bytes()


def _baseline_output(unit: _Unit, kind: OutputKind) -> tuple[bytes, tuple[str, ...]]:
    """Return clang -Oz's own output of a kind, and the command that makes it."""
    import shlex

    replay = (shlex.join(unit.stock.baseline_command(unit.source, unit.output)),)
    if kind is OutputKind.OBJECT:
        return unit.baseline, replay
    if kind is OutputKind.PASSES:
        return b"", replay
    path = unit.folder / "baseline.out"
    command = unit.stock.baseline_command(
        unit.source, path, kind="-c" if kind is OutputKind.BITCODE else "-S"
    )
    if kind is not OutputKind.ASSEMBLY:
        command = (*command, "-emit-llvm")
    unit.stock.compile_source(command, unit.source)
    return path.read_bytes(), replay
