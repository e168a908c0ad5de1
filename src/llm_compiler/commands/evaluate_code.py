"""``llm-compiler evaluate disassembly`` and ``emulation``: what models write, put to the test."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.commands.evaluation import (
    Outcome,
    command_line,
    engines_of,
    load_suites,
    open_models,
    warn_excluded,
)
from llm_compiler.console import progress
from llm_compiler.dataset.engine import safe_elements
from llm_compiler.dataset.records import StageSample
from llm_compiler.evaluate.emulation import (
    CODES,
    EmulationOptions,
    EmulationRow,
    emulation_items,
    evaluate_emulation,
)
from llm_compiler.evaluate.emulation_report import emulation_report
from llm_compiler.evaluate.flag_tuning import prompts_of, sample_fits
from llm_compiler.evaluate.language_report import write_language_report
from llm_compiler.evaluate.lifting import LiftOptions, LiftRow, evaluate_lifting, lift_items
from llm_compiler.evaluate.lifting_report import lifting_report
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.evaluate.rows import Journal, locked
from llm_compiler.evaluate.suites import EvaluationModule, Excluded, Suite, SuiteOptions
from llm_compiler.evaluate.text_distance import require_sacrebleu
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.parquet import require_pyarrow
from llm_compiler.records import content_hash
from llm_compiler.workers import LocalPool

__all__ = ["disassembly", "emulation"]


@dataclass(slots=True, kw_only=True)
class _Loaded:
    """What both tasks begin with."""

    stack: contextlib.ExitStack
    folder: Path
    scratch: Path
    toolchain: Toolchain
    pool: LocalPool
    engines: list[tuple[str, Engine]]
    fits: Callable[[Engine, StageSample], bool]
    settings: dict[str, Any]
    suites: list[Suite]
    excluded: list[Excluded]
    notes: list[str]
    deadline: float | None

    @property
    def modules(self) -> list[EvaluationModule]:
        """Each module once: folders of samples may share some."""
        found: dict[str, EvaluationModule] = {}
        for suite in self.suites:
            for module in suite.modules:
                identity = module.module_hash if module.unit is None else module.key
                found.setdefault(identity, module)
        return list(found.values())


def _load(
    options: argparse.Namespace,
    clang_flags: tuple[str, ...],
    stack: contextlib.ExitStack,
    *,
    count: int,
    kind: str = "",
) -> _Loaded:
    started = time.monotonic()
    # Before any work is done for them.
    require_pyarrow()
    require_matplotlib()
    require_sacrebleu()
    toolchain = find_toolchain()
    folder: Path = options.report
    stack.enter_context(locked(folder))
    scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llm-compiler-")))
    named = engines_of(options)
    engines, told = open_models(stack, named, options.task)
    prompts = {
        id(engine): prompts_of(engine, model)
        for (_, engine), (_, model) in zip(engines, named, strict=True)
    }
    pool = stack.enter_context(LocalPool(options.jobs))
    suite_options = SuiteOptions(
        split=options.split,
        architecture=options.architecture,
        modules=count,
        min_size_bytes=options.min_size_bytes,
        max_size_bytes=options.max_size_bytes,
        seed=options.seed,
        clang_flags=clang_flags,
        target_triple=options.target_triple,
        timeout_s=options.timeout_s,
        kind=kind,
    )
    suites = load_suites(
        options.suite, suite_options, toolchain=toolchain, pool=pool, scratch=scratch
    )
    excluded = [one for suite in suites for one in suite.excluded]
    settings = {"task": options.task, "models": told, "llvm_version": toolchain.version}
    minutes: float | None = options.max_minutes
    return _Loaded(
        stack=stack,
        folder=folder,
        scratch=scratch,
        toolchain=toolchain,
        pool=pool,
        engines=engines,
        fits=lambda engine, sample: sample_fits(engine, prompts[id(engine)], sample),
        settings=settings,
        suites=suites,
        excluded=excluded,
        notes=[f"{suite.name}: {line}." for suite in suites for line in suite.notes],
        deadline=started + 60 * minutes if minutes else None,
    )


def _incomplete(done: int, total: int, what: str, options: argparse.Namespace) -> list[str]:
    if done == total:
        return []
    return [
        f"{done} of {total} {what} were done within {options.max_minutes:g} minutes, the first in "
        "an order that takes targets and programs in turn; the same command goes on."
    ]


def disassembly(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> Outcome:
    """Lift the functions of suites.

    Raises:
        LlmCompilerError: as `load_suite`, `evaluate_lifting` and `Journal`.
    """
    how = LiftOptions(
        levels=tuple(dict.fromkeys(options.levels)),
        functions=options.functions,
        candidates=options.candidates,
        temperature=options.temperature,
        seed=options.seed,
        timeout_s=options.timeout_s,
    )
    with contextlib.ExitStack() as stack:
        run = _load(options, clang_flags, stack, count=options.functions, kind="function")
        assembly = run.scratch / "assembly"
        assembly.mkdir()
        items, failed = lift_items(run.modules, how, run.pool, assembly)
        run.excluded += failed
        warn_excluded(run.excluded)
        keys = "\n".join(sorted(one.key for one in items))
        run.settings |= {**how.to_json(), "items": content_hash(keys.encode())}
        journal = stack.enter_context(Journal(run.folder / "journal.jsonl", run.settings, LiftRow))
        bar = stack.enter_context(progress(len(items), "lifting"))
        rows = evaluate_lifting(
            items,
            how,
            journal,
            engines=run.engines,
            fits=run.fits,
            toolchain=run.toolchain,
            num_threads=run.pool.num_workers,
            make_pool=lambda: LocalPool(1),
            deadline=run.deadline,
            on_progress=lambda done, total, what: bar.update(done, what.rpartition("|")[2][:60]),
        )
        bar.close()
        done = sum(journal.rows(one.key) is not None for one in items)
        report = lifting_report(
            rows,
            run.settings,
            command_line(options.task),
            suites=[f"{suite.name}: {suite.what}" for suite in run.suites],
            notes=[*run.notes, *_incomplete(done, len(items), "functions", options)],
            excluded=run.excluded,
        )
        paths = write_language_report(report, run.folder)
    return Outcome(
        told=report.told,
        blocks=report.blocks,
        table=report.table,
        paths=tuple(paths),
        is_complete=done == len(items),
    )


def emulation(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> Outcome:
    """Ask for the code behind pass lists.

    Raises:
        LlmCompilerError: as `load_suite`, `evaluate_emulation` and `Journal`.
    """
    how = EmulationOptions(
        codes=CODES if options.code == "both" else (options.code,),
        modules=options.modules,
        seed=options.seed,
        timeout_s=options.timeout_s,
    )
    with contextlib.ExitStack() as stack:
        run = _load(options, clang_flags, stack, count=options.modules)
        warn_excluded(run.excluded)
        items = emulation_items(run.modules, how)
        space = safe_elements(run.pool)
        keys = "\n".join(sorted(one.key for one in items))
        run.settings |= {
            **how.to_json(),
            "items": content_hash(keys.encode()),
            "space": content_hash("\n".join(space).encode()),
        }
        journal = stack.enter_context(
            Journal(run.folder / "journal.jsonl", run.settings, EmulationRow)
        )
        bar = stack.enter_context(progress(len(items), "emulating"))
        rows = evaluate_emulation(
            items,
            how,
            journal,
            engines=run.engines,
            space=space,
            num_threads=run.pool.num_workers,
            make_pool=lambda: LocalPool(1),
            deadline=run.deadline,
            on_progress=lambda done, total, what: bar.update(done, what.split("|")[-2:][0][:60]),
        )
        bar.close()
        done = sum(journal.rows(one.key) is not None for one in items)
        report = emulation_report(
            rows,
            run.settings,
            command_line(options.task),
            suites=[f"{suite.name}: {suite.what}" for suite in run.suites],
            notes=[*run.notes, *_incomplete(done, len(items), "questions", options)],
            excluded=run.excluded,
        )
        paths = write_language_report(report, run.folder)
    return Outcome(
        told=report.told,
        blocks=report.blocks,
        table=report.table,
        paths=tuple(paths),
        left=4,
        is_complete=done == len(items),
    )
