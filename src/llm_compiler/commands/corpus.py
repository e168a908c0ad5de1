"""``llm-compiler corpus``: build a corpus of unoptimised bitcode, or count what is in one."""

from __future__ import annotations

import argparse
from collections import Counter

from llm_compiler.commands import samples
from llm_compiler.console import print_json, print_table, progress
from llm_compiler.corpus.build import SourceReport, build_corpus
from llm_compiler.corpus.config import load_config
from llm_compiler.corpus.inputs import MANIFEST
from llm_compiler.corpus.manifest import load_manifest
from llm_compiler.corpus.shards import MANIFEST_NAME as SAMPLES_MANIFEST
from llm_compiler.corpus.tools import find_tools
from llm_compiler.errors import ConfigError

__all__ = ["run"]


def run(options: argparse.Namespace, clang_flags: tuple[str, ...]) -> int:
    """Build, sample, check or count."""
    actions = {"build": _build, "sample": samples.build, "check": samples.check, "stats": _stats}
    return actions[options.action](options)


def _build(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    packages = {name for name in options.packages.split(",") if name} or None
    arguments = {"target_triples": options.target_triple} if options.target_triple else {}
    with progress(len(packages or config.specs), "building") as bar:
        done = 0

        def show(report: SourceReport) -> None:
            nonlocal done
            done += 1
            bar.update(done, report.name)

        report = build_corpus(
            config,
            out=options.out,
            tools=find_tools(),
            packages=packages,
            jobs=options.jobs or 1,
            on_progress=show,
            **arguments,
        )
    units = load_manifest(options.out / MANIFEST)
    skipped = [source.name for source in report.sources if source.error]
    print(f"{len(units)} units of {len(report.sources) - len(skipped)} packages in {options.out}")
    if skipped:
        print(f"skipped: {', '.join(skipped)} (the causes are in {options.out / 'report.json'})")
    return 0


def _stats(options: argparse.Namespace) -> int:
    if not (options.corpus / MANIFEST).is_file() and (options.corpus / SAMPLES_MANIFEST).is_file():
        return samples.stats(options)
    if options.report:
        raise ConfigError("--report is for a folder of samples (see 'corpus sample')")
    units = load_manifest(options.corpus / MANIFEST)
    counts: Counter[tuple[str, str, str, str]] = Counter()
    sizes: Counter[tuple[str, str, str, str]] = Counter()
    for unit in units:
        key = (unit.package, unit.split, unit.language, unit.target_triple)
        counts[key] += 1
        sizes[key] += unit.num_bytes
    if options.json:
        for (package, split, language, triple), count in sorted(counts.items()):
            print_json(
                {
                    "package": package,
                    "split": split,
                    "language": language,
                    "target_triple": triple,
                    "num_units": count,
                    "bitcode_bytes": sizes[package, split, language, triple],
                }
            )
        return 0
    rows = [(*key, str(count), str(sizes[key])) for key, count in sorted(counts.items())]
    rows.append(("total", "", "", "", str(len(units)), str(sum(sizes.values()))))
    header = ("package", "split", "language", "target", "units", "bitcode bytes")
    print_table(header, rows, right="llllrr")
    return 0
