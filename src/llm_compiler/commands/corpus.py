"""``llm-compiler corpus``: build a corpus of unoptimised bitcode, or count what is in a corpus."""

from __future__ import annotations

from collections.abc import Sequence

from llm_compiler.commands import samples
from llm_compiler.commands.options.corpus import BuildArguments, StatsArguments, SynthesizeArguments
from llm_compiler.console import print_json, print_table, progress
from llm_compiler.corpus.build import DEFAULT_TARGETS, SourceReport, build_corpus
from llm_compiler.corpus.config import load_config
from llm_compiler.corpus.inputs import MANIFEST
from llm_compiler.corpus.manifest import Unit, load_manifest
from llm_compiler.corpus.shards import MANIFEST_NAME as SAMPLES_MANIFEST
from llm_compiler.corpus.synthetic import write_sources
from llm_compiler.corpus.tools import find_tools
from llm_compiler.errors import ArtifactError, ConfigError
from llm_compiler.output import resumable

__all__ = ["build", "stats", "synthesize"]


@resumable()
def build(options: BuildArguments) -> int:
    """Fetch packages and compile their units to bitcode."""
    config = load_config(options.config)
    packages = {name for name in options.packages.split(",") if name} or None
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
            target_triples=options.target_triple or DEFAULT_TARGETS,
        )
    asked = packages or {spec.name for spec in config.specs}
    failed = [source for source in report.sources if source.error and source.name in asked]
    if len(failed) == len(asked):
        word = "the source" if len(failed) == 1 else f"none of the {len(failed)} sources"
        verb = "cannot be built" if len(failed) == 1 else "can be built; the first"
        raise ArtifactError(f"{word} {verb}: {failed[0].error}", detail=failed[0].detail)
    units = load_manifest(options.out / MANIFEST)
    run = report.runs[-1]
    skipped = [source.name for source in report.sources if source.error]
    print(f"{len(units)} units of {len(report.sources) - len(skipped)} packages in {options.out}")
    if skipped:
        print(f"skipped: {', '.join(skipped)} (the causes are in {options.out / 'report.json'})")
    print(
        f"{run.seconds:.0f} s; at most {run.peak_memory_bytes / 1e6:.0f} MB resident, "
        f"{run.peak_child_memory_bytes / 1e6:.0f} MB in the largest process that it ran"
    )
    return 0


@resumable()
def synthesize(options: SynthesizeArguments) -> int:
    """Write synthetic C."""
    paths = write_sources(options.out, num_functions=options.functions, seed=options.seed)
    print(f"{options.functions} functions in {len(paths)} files in {options.out}")
    return 0


@resumable()
def stats(options: StatsArguments) -> int:
    """Count units, or samples."""
    if not (options.corpus / MANIFEST).is_file() and (options.corpus / SAMPLES_MANIFEST).is_file():
        return samples.stats(options)
    if options.report:
        raise ConfigError("--report is for a folder of samples (see 'corpus sample')")
    units = load_manifest(options.corpus / MANIFEST)
    groups: dict[tuple[str, ...], list[Unit]] = {}
    for unit in units:
        position = (unit.package, unit.version, unit.license, unit.split)
        groups.setdefault((*position, unit.language, unit.target_triple), []).append(unit)
    if options.json:
        for key, members in sorted(groups.items()):
            texts = ("package", "version", "license", "split", "language", "target_triple")
            print_json({**dict(zip(texts, key, strict=True)), **_sums(members)})
        return 0
    rows = [
        (*key, *map(str, _sums(members).values()))
        for key, members in [*sorted(groups.items()), (("total", *[""] * 5), units)]
    ]
    header = ("package", "version", "license", "split", "language", "target")
    print_table((*header, "units", "functions", "bitcode bytes"), rows, right="llllllrrr")
    return 0


def _sums(units: Sequence[Unit]) -> dict[str, int]:
    return {
        "num_units": len(units),
        "num_functions": sum(unit.num_functions for unit in units),
        "bitcode_bytes": sum(unit.num_bytes for unit in units),
    }
