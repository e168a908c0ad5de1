"""``llm-compiler evaluate``: measure models and searches on suites, and write the report."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from llm_compiler.console import note, print_json, print_table, progress, warn
from llm_compiler.corpus.inputs import SAMPLES_MANIFEST
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.evaluate.contenders import OF_MODELS, ContenderKind
from llm_compiler.evaluate.flag_tuning import (
    FlagTuningOptions,
    Protocol,
    evaluate_flag_tuning,
    fits_context,
    model_fingerprint,
    prepare_modules,
    prompts_of,
    settings_of,
)
from llm_compiler.evaluate.language import (
    PerplexityRow,
    SizeRow,
    draw_samples,
    perplexity_rows,
    size_rows,
)
from llm_compiler.evaluate.language_report import (
    perplexity_report,
    size_report,
    write_language_report,
)
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.evaluate.report import make_report, summary_table, write_report
from llm_compiler.evaluate.rows import Journal, Row, locked
from llm_compiler.evaluate.suites import EvaluationModule, Suite, SuiteOptions, load_suite
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import has_shipped_model, load_engine, shipped_model
from llm_compiler.model.prompts import CompactPrompts, PaperPrompts
from llm_compiler.parquet import require_pyarrow
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import read_ceilings
from llm_compiler.search.objective import Objective
from llm_compiler.search.store import Store
from llm_compiler.verify.checker import Checker
from llm_compiler.workers import LocalPool

__all__ = ["run"]

_ALL = tuple(ContenderKind)
_PAPER = (ContenderKind.ONE_SHOT, ContenderKind.CORESET, ContenderKind.PLAIN)


def run(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Run one task's evaluation; a run that was stopped goes on."""
    if options.task == "flag-tuning":
        return _flag_tuning(options, clang_flags)
    if clang_flags:
        raise ConfigError(f"'evaluate {options.task}' takes no clang flags behind --")
    return _language(options)


def _engines(options: argparse.Namespace) -> list[tuple[str, str | None]]:
    """Pair engines with models: one engine for all, or one for each.

    Raises:
        ConfigError: their numbers do not fit.
    """
    engines, models = options.engine or [], options.model or []
    if not engines and not models:
        return [("embedded", None)] if has_shipped_model() else []
    if not engines:
        engines = ["embedded"]
    if len(engines) == 1:
        return [(engines[0], model) for model in models or [None]]
    if len(engines) != len(models):
        raise ConfigError(
            f"{len(engines)} engines and {len(models)} models: name one --engine for all, or one "
            "for each --model"
        )
    return list(zip(engines, models, strict=True))


def _settings(options: argparse.Namespace, has_model: bool) -> FlagTuningOptions:
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
        budgets=tuple(sorted(set(options.budgets or ((1,) if paper else (1, 4, 16, 64))))),
        protocol=protocol,
        objective=Objective(objective),
        check=not options.no_check,
        seed=options.seed,
        timeout_s=options.timeout_s,
    )


def _command(task: str) -> str:
    arguments = [*sys.argv[1:]] if Path(sys.argv[0]).stem.startswith("llm") else []
    if not arguments:
        return f"llm-compiler evaluate {task}"
    return shlex.join(["llm-compiler", *arguments])


def _language(options: argparse.Namespace) -> int:
    """Run size-prediction or perplexity.

    Raises:
        ConfigError: there is no model.
    """
    sizes = options.task == "size-prediction"
    named = _engines(options)
    if not named:
        raise ConfigError(
            f"'{options.task}' needs a model: name a checkpoint with --model; this installation "
            "has none"
        )
    require_pyarrow()
    require_matplotlib()
    toolchain = find_toolchain()
    for path in options.suite:
        if not (path / SAMPLES_MANIFEST).exists():
            raise InputError(f"{path} is not a folder of samples ('llm-compiler corpus sample')")
    folder: Path = options.report
    kind: type[Any] = SizeRow if sizes else PerplexityRow
    rows: list[Any] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        engines = [stack.enter_context(load_engine(name, model)) for name, model in named]
        told = [
            model_fingerprint(one, model or (shipped_model() if name == "embedded" else None))
            for one, (name, model) in zip(engines, named, strict=True)
        ]
        names: list[str] = []
        for engine in engines:
            same = sum(name.split(" #")[0] == engine.model for name in names)
            names.append(f"{engine.model} #{same + 1}" if same else engine.model)
        settings = {
            "task": options.task,
            "suites": [path.resolve().name for path in options.suite],
            "split": options.split,
            "architecture": options.architecture,
            "samples": options.samples,
            "seed": options.seed,
            "models": told,
            "llvm_version": toolchain.version,
        }
        journal = stack.enter_context(Journal(folder / "journal.jsonl", settings, kind))
        pool = stack.enter_context(LocalPool(options.jobs))
        total = len(options.suite) * options.samples
        bar = stack.enter_context(progress(total, options.task))
        done = 0
        for path in options.suite:
            suite = path.resolve().name
            for sample in draw_samples(
                path,
                "emulation" if sizes else "pretraining",
                pool,
                split=options.split,
                architecture=options.architecture,
                count=options.samples,
                seed=options.seed,
            ):
                key = f"{suite}|{sample.index}"
                found = journal.rows(key)
                if found is None:
                    ask = size_rows if sizes else perplexity_rows
                    found = [
                        row
                        for engine, name in zip(engines, names, strict=True)
                        for row in ask(engine, sample, suite=suite, model=name)
                    ]
                    journal.add(key, found)
                rows += found
                done += 1
                bar.update(done, f"{sample.package}")
        bar.close()
        make = size_report if sizes else perplexity_report
        report = make(rows, settings, _command(options.task))
        paths = write_language_report(report, folder)
    if options.json:
        print_json(report.told)
        return 0
    width = len(report.table.header)
    print_table(report.table.header, report.table.rows, right="lll" + "r" * (width - 3))
    print("\nwritten: " + ", ".join(str(path) for path in sorted(paths)))
    return 0


def _flag_tuning(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    started = time.monotonic()
    named = _engines(options)
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
    folder: Path = options.report
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(folder))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
        pool = stack.enter_context(LocalPool(options.jobs))
        checker = stack.enter_context(Checker(toolchain=toolchain, pool=pool, notify=note))
        store = stack.enter_context(
            Store(options.store or folder / "measurements.db", llvm_version=toolchain.version)
        )
        engines: list[Engine] = []
        models = []
        prompts: dict[int, CompactPrompts | PaperPrompts | None] = {}

        def fits(engine: Engine, module: EvaluationModule) -> bool:
            return fits_context(engine, prompts[id(engine)], module)

        for engine_name, model in named:
            engine = stack.enter_context(load_engine(engine_name, model))
            engines.append(engine)
            weights = model or (shipped_model() if engine_name == "embedded" else None)
            models.append(model_fingerprint(engine, weights))
            prompts[id(engine)] = prompts_of(engine, weights)
        suites: list[Suite] = []
        for number, path in enumerate(options.suite):
            own = scratch / f"suite-{number}"
            own.mkdir()
            name = path.resolve().name
            if name in {suite.name for suite in suites}:
                name = f"{name} ({number + 1})"
            suites.append(
                load_suite(
                    path,
                    suite_options,
                    toolchain=toolchain,
                    pool=pool,
                    scratch=own,
                    name=name,
                    known=ceilings,
                    notify=note,
                )
            )
        prepared = prepare_modules(
            suites, settings, pool=pool, store=store, engines=engines, fits=fits
        )
        excluded = [one for suite in suites for one in suite.excluded] + prepared.excluded
        for one in excluded:
            warn(f"{one.suite}: {one.name} is left out: {one.cause}")
        described = settings_of(
            prepared,
            settings,
            llvm_version=toolchain.version,
            coreset=coreset,
            models=models,
        )
        journal = stack.enter_context(Journal(folder / "journal.jsonl", described, Row))
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
            on_progress=lambda done, total, what: bar.update(done, what[:60]),
        )
        bar.close()
        report = make_report(
            rows,
            settings=described,
            command=_command(options.task),
            suites=[f"{suite.name}: {suite.what}" for suite in suites],
            notes=[
                *(f"{suite.name}: {line}." for suite in suites for line in suite.notes),
                *(f"{line}." for line in prepared.notes),
            ],
            excluded=excluded,
            seconds=time.monotonic() - started,
        )
        paths = write_report(report, folder)
    if options.json:
        print_json(report.to_json())
        return 0
    for line in report.notes:
        print(line)
    table = summary_table(report, report.backup)
    print_table(table.header, table.rows, right="l" + "r" * (len(table.header) - 1))
    print("\nwritten: " + ", ".join(str(path) for path in sorted(paths)))
    return 0
