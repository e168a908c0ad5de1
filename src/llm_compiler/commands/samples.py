"""``llm-compiler corpus sample|check|stats``: a folder of samples."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path

from llm_compiler.commands.options.corpus import CheckArguments, SampleArguments, StatsArguments
from llm_compiler.commands.pools import open_pool, with_nodes
from llm_compiler.console import percent, print_json, print_table, progress, warn
from llm_compiler.corpus.check import check_samples
from llm_compiler.corpus.manifest import write_text_atomically
from llm_compiler.corpus.plan import SampleConfig
from llm_compiler.corpus.sampling import build_samples
from llm_compiler.corpus.statistics import QUANTILES, count_samples, write_report
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.option_fields import values_for
from llm_compiler.output import resumable
from llm_compiler.process import peak_memory
from llm_compiler.remote_output import local_copy, shown

__all__ = ["build", "check", "stats"]

_MAX_WARNINGS = 10
# Beside the manifest, which two builds of the same samples have in common to the byte.
_REPORT_NAME = "report.json"


@resumable()
def build(options: SampleArguments) -> int:
    """Make samples of a corpus."""
    with local_copy(options.out) as out:
        return _build(options, out)


def _build(options: SampleArguments, out: Path) -> int:
    config = SampleConfig(**values_for(SampleConfig, options))
    toolchain = find_toolchain()
    start = time.monotonic()
    with (
        open_pool(options, options.jobs) as pool,
        progress(100, with_nodes("sampling", pool)) as bar,
    ):
        report = build_samples(
            options.corpus,
            out,
            config,
            pool=pool,
            llvm_version=toolchain.version,
            packages=frozenset(name for name in options.packages.split(",") if name),
            timeout_s=options.timeout_s,
            on_progress=lambda what, done, total: bar.update(
                100 * done // max(1, total), f"{what} ({done} of {total})"
            ),
        )
    # Only now have the workers ended, whose memory is to be counted.
    peak = peak_memory()
    record = {
        **dataclasses.asdict(report),
        "seconds": round(time.monotonic() - start, 1),
        "peak_memory_bytes": peak.own_bytes,
        "peak_child_memory_bytes": peak.child_bytes,
    }
    write_text_atomically(out / _REPORT_NAME, json.dumps(record, indent=1) + "\n")
    if options.json:
        print_json(record)
        return 0
    for failure in report.failures[:_MAX_WARNINGS]:
        # LLVM's messages about inline assembly go on with the code itself.
        warn(failure.strip().split("\n", 1)[0])
    print(
        f"{report.num_kept} samples of {report.num_units} units in {shown(options.out)}, "
        f"from {report.num_made} made: {report.num_exact} were copies "
        f"({percent(report.num_exact, report.num_made)}), "
        f"{report.num_made - report.num_clusters} copies or near duplicates "
        f"({percent(report.num_made - report.num_clusters, report.num_made)})"
    )
    for name, counts in (
        ("by split", report.splits),
        ("by kind", report.kinds),
        ("by level of normalisation", report.levels),
        ("left out", report.left_out),
    ):
        print(
            f"{name}: " + (", ".join(f"{key} {count}" for key, count in counts.items()) or "none")
        )
    print(
        f"{record['seconds']:.0f} s; at most {peak.own_bytes / 1e6:.0f} MB resident, "
        f"{peak.child_bytes / 1e6:.0f} MB in the largest worker"
    )
    return 0


@resumable()
def check(options: CheckArguments) -> int:
    """Verify hashes, and that no clone crosses splits."""
    report = check_samples(options.samples, threshold=options.threshold)
    if options.json:
        print_json(dataclasses.asdict(report))
        return 1 if report.pairs else 0
    for pair in report.pairs:
        print(
            f"{pair.split} {pair.module_hash} ({pair.name}) is a clone of train "
            f"{pair.train_hash} ({pair.train_name}): Jaccard index {pair.similarity:.3f}"
        )
    print(
        f"{report.num_shards} shards with {report.num_samples} samples are whole; "
        f"{len(report.pairs)} of {report.num_compared} validation and test modules have a near "
        f"duplicate in train (Jaccard index at least {report.threshold:g})"
    )
    return 1 if report.pairs else 0


def stats(options: StatsArguments) -> int:
    """Count samples; write a report with plots if asked to."""
    num_tokens: Callable[[str], int] | None = None
    if options.tokenizer is not None:
        from llm_compiler.model.tokenizer import IrTokenizer

        tokenizer = IrTokenizer(options.tokenizer)
        num_tokens = lambda text: len(tokenizer.encode(text))  # noqa: E731
    with_tokens = num_tokens is not None
    statistics = count_samples(options.corpus, num_tokens=num_tokens)
    if options.report:
        write_report(options.report, statistics)
    if options.json:
        for row in statistics.rows:
            print_json(dataclasses.asdict(row))
        return 0
    rows = [
        (
            *(row.package, row.split, row.language, row.architecture, row.kind),
            *map(str, (row.num_samples, row.num_chars, *([row.num_tokens] if with_tokens else []))),
            *map(str, (row.num_instructions, row.size_bytes)),
        )
        for row in statistics.rows
    ]
    header = (
        *("package", "split", "language", "target", "kind"),
        *("samples", "characters", *(["tokens"] if with_tokens else [])),
        *("instructions", "bytes at -Oz"),
    )
    totals = statistics.totals(tokens=with_tokens)
    print_table(header, [*rows, *totals], right="lllll" + "r" * (len(header) - 5))
    shares = [f"{100 * quantile:g} %" for quantile in QUANTILES]
    for number, name in (
        ("num_chars", "characters"),
        ("size_bytes", "bytes at -Oz"),
        *([("num_tokens", "tokens")] if with_tokens else []),
    ):
        print(f"\n{name}: of each group, this share of the samples has at most")
        header = ("target", "kind", "language", "samples", *shares)
        print_table(header, statistics.quantiles(number), right="lll" + "r" * (1 + len(shares)))
    return 0
