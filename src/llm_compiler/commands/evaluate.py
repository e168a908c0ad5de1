"""``llm-compiler evaluate``: measure models and searches on suites, and write the report."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_compiler.commands.evaluate_all import everything
from llm_compiler.commands.evaluate_code import disassembly, emulation
from llm_compiler.commands.evaluate_language import language
from llm_compiler.commands.evaluation import (
    Outcome,
    command_line,
    engines_of,
    incomplete,
    load_suites,
    open_models,
    print_outcome,
    warn_excluded,
)
from llm_compiler.commands.options.evaluate import (
    AllArguments,
    DisassemblyArguments,
    EmulationArguments,
    FlagTuningArguments,
    PerplexityArguments,
    SizePredictionArguments,
    TaskArguments,
)
from llm_compiler.console import note, progress
from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.contenders import OF_MODELS, ContenderKind
from llm_compiler.evaluate.flag_tuning import (
    FlagTuningOptions,
    Protocol,
    evaluate_flag_tuning,
    fits_context,
    prepare_modules,
    prompts_of,
    settings_of,
)
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.evaluate.programs import (
    PROGRAMS_FILE,
    ProgramRow,
    Ready,
    load_programs,
    programs_hash,
    ready_programs,
    run_programs,
)
from llm_compiler.evaluate.report import (
    make_report,
    report_blocks,
    summary_table,
    write_report,
)
from llm_compiler.evaluate.rows import Journal, Row, locked
from llm_compiler.evaluate.suites import EvaluationModule, Excluded, Suite, SuiteOptions
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import weights_of
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.parquet import require_pyarrow
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import read_ceilings
from llm_compiler.search.objective import objective_named
from llm_compiler.search.store import Store
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

__all__ = ["run", "run_task"]

_ALL = tuple(ContenderKind)
_PAPER = (ContenderKind.ONE_SHOT, ContenderKind.CORESET, ContenderKind.PLAIN)


def run(options: TaskArguments) -> int:
    """Run one task's evaluation; a run that was stopped goes on."""
    return print_outcome(run_task(options, options.clang_flags), options)


def run_task(options: TaskArguments, clang_flags: tuple[str, ...]) -> Outcome:
    """Run one task's evaluation and write its report.

    Raises:
        LlmCompilerError: the suites, models or options do not allow it.
    """
    match options:
        case FlagTuningArguments():
            return _flag_tuning(options, clang_flags)
        case DisassemblyArguments():
            return disassembly(options, clang_flags)
        case EmulationArguments():
            return emulation(options, clang_flags)
        case SizePredictionArguments() | PerplexityArguments():
            return language(options, clang_flags)
        case AllArguments():
            return everything(options, clang_flags, run_task)
    raise TypeError(f"no task is of {type(options).__name__}")


def _programs(
    options: FlagTuningArguments, suites: Sequence[Suite], toolchain: Toolchain, folder: Path
) -> tuple[list[Ready], list[Excluded]]:
    """Build at -O2 what the suites say of programs that can run.

    Raises:
        ConfigError: a file of programs makes no sense.
    """
    found: list[Ready] = []
    excluded: list[Excluded] = []
    for path, suite in zip(options.suite, suites, strict=True):
        root = path if path.is_dir() else path.parent
        named = options.programs or root / PROGRAMS_FILE
        if not suite.units or (options.programs is None and not named.is_file()):
            continue
        note(f"building the programs of {suite.name}")
        ready, without = ready_programs(suite, load_programs(named, root), toolchain, folder)
        found += ready
        excluded += without
    if options.programs is not None and not found and not excluded:
        raise ConfigError(f"{options.programs} names programs, but no suite is of sources")
    return found, excluded


def _settings(options: FlagTuningArguments, has_model: bool) -> FlagTuningOptions:
    protocol = Protocol(options.protocol)
    paper = protocol is Protocol.PAPER
    if options.contenders:
        kinds = tuple(dict.fromkeys(ContenderKind(one) for one in options.contenders))
        if not has_model and (wanted := [one.value for one in kinds if one in OF_MODELS]):
            raise ConfigError(
                f"'{wanted[0]}' needs a model: name a checkpoint with --model; this installation "
                "has none"
            )
    else:
        kinds = _PAPER if paper else _ALL
    if not has_model:
        kinds = tuple(one for one in kinds if one not in OF_MODELS)
    objective = options.objective or ("text-data" if paper else "size")
    return FlagTuningOptions(
        contenders=kinds,
        budgets=tuple(sorted(set(options.budgets or ((1,) if paper else (1, 4, 16, 64, 256))))),
        protocol=protocol,
        objective=objective_named(objective),
        check=not options.no_check,
        seed=options.seed,
        timeout_s=options.timeout_s,
    )


def _flag_tuning(options: FlagTuningArguments, clang_flags: tuple[str, ...]) -> Outcome:
    started = time.monotonic()
    named = engines_of(options)
    settings = _settings(options, bool(named))
    # Before any work is done for them.
    require_pyarrow()
    require_matplotlib()
    toolchain = find_toolchain()
    coreset = load_coreset(options.coreset)
    ceilings = {one.module_hash: one for path in options.ceilings for one in read_ceilings(path)}
    suite_options = SuiteOptions(
        split=options.split,
        architecture=options.architecture,
        modules=options.modules,
        min_size_bytes=options.min_size_bytes,
        max_size_bytes=options.max_size_bytes,
        seed=options.seed,
        clang_flags=clang_flags,
        target_triple=options.target_triple,
        timeout_s=options.timeout_s,
    )
    folder = options.report
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        pool = stack.enter_context(LocalPool(options.jobs))
        checker = stack.enter_context(Checker(toolchain=toolchain, pool=pool, notify=note))
        store = stack.enter_context(
            Store(options.store or folder / "measurements.db", llvm_version=toolchain.version)
        )
        opened, models = open_models(stack, named, options.task) if named else ([], [])
        engines = [engine for _, engine in opened]
        prompts: dict[int, CompactPrompts | PaperPrompts | None] = {}

        def fits(engine: Engine, module: EvaluationModule) -> bool:
            return fits_context(engine, prompts[id(engine)], module)

        for engine, (engine_name, model) in zip(engines, named, strict=True):
            weights = weights_of(engine_name, model)
            prompts[id(engine)] = prompts_of(engine, weights)
        suites = load_suites(
            options.suite,
            suite_options,
            toolchain=toolchain,
            pool=pool,
            scratch=scratch,
            known=ceilings,
        )
        prepared = prepare_modules(
            suites, settings, pool=pool, store=store, engines=engines, fits=fits
        )
        excluded = [one for suite in suites for one in suite.excluded] + prepared.excluded
        warn_excluded(excluded, options)
        described = settings_of(
            prepared,
            settings,
            llvm_version=toolchain.version,
            coreset=coreset,
            models=models,
        )
        journal = stack.enter_context(Journal(folder / "journal.jsonl", described, Row))
        ready, unbuilt = _programs(options, suites, toolchain, scratch / "programs")
        warn_excluded(unbuilt, options)
        excluded += unbuilt
        total = len(prepared.modules) * len(settings.contenders)
        bar = stack.enter_context(progress(total, "evaluating"))
        rows = evaluate_flag_tuning(
            prepared,
            settings,
            journal,
            pool=pool,
            checker=checker,
            store=store,
            coreset=coreset,
            engines=engines,
            fits=fits,
            ceilings=ceilings,
            deadline=started + 60 * options.max_minutes if options.max_minutes else None,
            on_progress=lambda done, total, what: bar.update(done, what[:60]),
        )
        bar.close()
        num_done = sum(journal.rows(one.key) is not None for one in prepared.modules)
        programs: list[ProgramRow] = []
        if ready:
            built = {**described, "programs": programs_hash(ready)}
            kept = stack.enter_context(Journal(folder / "programs.jsonl", built, ProgramRow))
            bar = stack.enter_context(progress(1, "running programs"))
            programs = run_programs(
                ready,
                rows,
                kept,
                pool=pool,
                on_progress=lambda done, total, what: bar.update(done, f"of {total} builds"),
            )
            bar.close()
        report = make_report(
            rows,
            settings=described,
            command=command_line(options.task),
            suites=[f"{suite.name}: {suite.what}" for suite in suites],
            notes=[
                *(f"{suite.name}: {line}." for suite in suites for line in suite.notes),
                *(f"{line}." for line in prepared.notes),
                *incomplete(num_done, len(prepared.modules), "modules", options),
                *_not_built(ready, programs),
            ],
            excluded=excluded,
            programs=programs,
            seconds=time.monotonic() - started,
        )
        blocks = report_blocks(report)
        paths = write_report(report, folder, blocks)
    return Outcome(
        told=report.to_json(),
        blocks=tuple(blocks),
        table=summary_table(report, report.backup),
        paths=tuple(paths),
        notes=report.notes,
        num_done=num_done,
        num_wanted=len(prepared.modules),
    )


def _not_built(ready: Sequence[Ready], rows: Sequence[ProgramRow]) -> Iterator[str]:
    """Tell which programs were not linked: their lists are not all there."""
    built = {(row.suite, row.program) for row in rows}
    names = sorted({f"'{one.program.name}'" for one in ready if _name_of(one) not in built})
    if names:
        yield (
            f"Not linked: {', '.join(names)}; some of their units have no list of their own, being "
            "not measured yet, or split by function."
        )


def _name_of(one: Ready) -> tuple[str, str]:
    return one.suite.name, one.program.name
