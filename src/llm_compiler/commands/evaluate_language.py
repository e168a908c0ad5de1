"""``llm-compiler evaluate size-prediction`` and ``perplexity``: what models know of code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_compiler.commands.evaluation import (
    Outcome,
    Session,
    command_line,
    incomplete,
    open_session,
    warn_excluded,
)
from llm_compiler.commands.options.evaluate import PerplexityArguments, SizePredictionArguments
from llm_compiler.console import progress
from llm_compiler.corpus.inputs import SAMPLES_MANIFEST
from llm_compiler.dataset.records import StageSample
from llm_compiler.evaluate.language import (
    PerplexityRow,
    SizeRow,
    draw_samples,
    perplexity_rows,
    reader_of,
    samples_of_modules,
    size_rows,
    text_samples,
)
from llm_compiler.evaluate.language_report import (
    perplexity_report,
    size_report,
    write_language_report,
)
from llm_compiler.evaluate.rows import Journal
from llm_compiler.records import content_hash

__all__ = ["language"]

_Arguments = PerplexityArguments | SizePredictionArguments


def language(options: _Arguments, clang_flags: tuple[str, ...]) -> Outcome:
    """Run size-prediction or perplexity.

    Raises:
        LlmCompilerError: as `open_session`, `draw_samples` and `perplexity_rows`.
    """
    sizes = options.task == "size-prediction"
    kind: type[Any] = SizeRow if sizes else PerplexityRow
    rows: list[Any] = []
    with contextlib.ExitStack() as stack:
        folders = [path for path in options.suite if (path / SAMPLES_MANIFEST).exists()]
        others = [path for path in options.suite if path not in folders]
        run = open_session(options, clang_flags, stack, count=options.samples, suites=others)
        warn_excluded(run.excluded, options)
        if not sizes:
            for _, engine in run.engines:
                reader_of(engine)  # or say at once that there is none
        run.settings |= {
            "suites": [path.resolve().name for path in options.suite],
            "split": options.split,
            "architecture": options.architecture,
            "samples": options.samples,
            "seed": options.seed,
        }
        texts = None if sizes else options.texts
        if texts is not None:
            run.settings["texts"] = texts.resolve().name
        if others:
            keys = "\n".join(sorted(one.key for one in run.modules))
            run.settings["modules"] = content_hash(keys.encode())
        journal = stack.enter_context(Journal(run.folder / "journal.jsonl", run.settings, kind))
        total = len(folders) * options.samples
        total += sum(min(len(suite.modules), options.samples) for suite in run.suites)
        total += 2 * options.samples if texts is not None else 0
        bar = stack.enter_context(progress(total, options.task))
        done = 0
        for suite, sample in _samples(folders, run, options, sizes):
            key = f"{suite}|{sample.index}"
            if sample.task in ("code", "text"):
                key += f"|{sample.task}"
            found = journal.rows(key)
            if found is None:
                late = run.deadline is not None and time.monotonic() > run.deadline
                if late and done:
                    break
                ask = size_rows if sizes else perplexity_rows
                found = [
                    row
                    for name, engine in run.engines
                    for row in ask(engine, sample, suite=suite, model=name)
                ]
                journal.add(key, found)
            rows += found
            done += 1
            bar.update(done, f"{sample.package}")
        else:
            total = done  # where there were fewer, all are done
        bar.close()
        make = size_report if sizes else perplexity_report
        report = make(
            rows,
            run.settings,
            command_line(options.task),
            notes=[
                *(f"Suite {suite.name}: {suite.what}." for suite in run.suites),
                *run.notes,
                *incomplete(done, total, "samples", options),
            ],
        )
        paths = write_language_report(report, run.folder)
    return Outcome(
        told=report.told,
        blocks=report.blocks,
        table=report.table,
        paths=tuple(paths),
        left=3,
        num_done=done,
        num_wanted=total,
    )


def _samples(
    folders: list[Path],
    run: Session,
    options: _Arguments,
    sizes: bool,
) -> Iterator[tuple[str, StageSample]]:
    """Yield the samples of each suite, with its name."""
    stage = "emulation" if sizes else "pretraining"
    for path in folders:
        for sample in draw_samples(
            path,
            stage,
            run.pool,
            split=options.split,
            architecture=options.architecture,
            count=options.samples,
            seed=options.seed,
        ):
            yield path.resolve().name, sample
    for suite in run.suites:
        for sample in samples_of_modules(
            suite.modules, stage, run.pool, count=options.samples, seed=options.seed
        ):
            yield suite.name, sample
    if not sizes and options.texts is not None:
        for sample in text_samples(
            options.texts, split=options.split, count=options.samples, seed=options.seed
        ):
            yield options.texts.resolve().name, sample
