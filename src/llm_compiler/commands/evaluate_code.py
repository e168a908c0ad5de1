"""``llm-compiler evaluate disassembly`` and ``emulation``: what models write, put to the test."""

from __future__ import annotations

import contextlib

from llm_compiler.commands.evaluation import (
    Outcome,
    command_line,
    incomplete,
    open_session,
    warn_excluded,
)
from llm_compiler.commands.options.evaluate import DisassemblyArguments, EmulationArguments
from llm_compiler.console import progress
from llm_compiler.dataset.engine import safe_elements
from llm_compiler.evaluate.emulation import (
    CODES,
    EmulationOptions,
    EmulationRow,
    emulation_items,
    evaluate_emulation,
)
from llm_compiler.evaluate.emulation_report import emulation_report
from llm_compiler.evaluate.language_report import write_language_report
from llm_compiler.evaluate.lifting import LiftOptions, LiftRow, evaluate_lifting, lift_items
from llm_compiler.evaluate.lifting_report import lifting_report
from llm_compiler.evaluate.rows import Journal
from llm_compiler.evaluate.text_distance import require_sacrebleu
from llm_compiler.records import content_hash
from llm_compiler.workers import LocalPool

__all__ = ["disassembly", "emulation"]


def disassembly(options: DisassemblyArguments, clang_flags: tuple[str, ...]) -> Outcome:
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
        rules=options.rules,
        search_s=options.search_s,
    )
    with contextlib.ExitStack() as stack:
        require_sacrebleu()
        run = open_session(options, clang_flags, stack, count=options.functions, kind="function")
        assembly = run.scratch / "assembly"
        assembly.mkdir()
        items, failed = lift_items(run.modules, how, run.pool, assembly)
        run.excluded += failed
        warn_excluded(run.excluded, options)
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
            notes=[*run.notes, *incomplete(done, len(items), "functions", options)],
            excluded=run.excluded,
        )
        paths = write_language_report(report, run.folder)
    return Outcome(
        told=report.told,
        blocks=report.blocks,
        table=report.table,
        paths=tuple(paths),
        num_done=done,
        num_wanted=len(items),
    )


def emulation(options: EmulationArguments, clang_flags: tuple[str, ...]) -> Outcome:
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
        require_sacrebleu()
        run = open_session(options, clang_flags, stack, count=options.modules)
        warn_excluded(run.excluded, options)
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
            notes=[*run.notes, *incomplete(done, len(items), "questions", options)],
            excluded=run.excluded,
        )
        paths = write_language_report(report, run.folder)
    return Outcome(
        told=report.told,
        blocks=report.blocks,
        table=report.table,
        paths=tuple(paths),
        left=4,
        num_done=done,
        num_wanted=len(items),
    )
