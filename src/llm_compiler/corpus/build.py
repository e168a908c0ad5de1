"""Build a corpus: every source prepared, every unit compiled, the manifest written last.

A source that fails is reported and skipped; a unit that fails is counted by cause. Work is shared
out by source. Killed at any moment, the next run goes on: prepared sources and compiled units are
kept, and the result is the same.
"""

from __future__ import annotations

import dataclasses
import errno
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import IO

from llm_compiler.corpus.commands import CompileCommand
from llm_compiler.corpus.config import CorpusConfig, LocalSpec, Spec
from llm_compiler.corpus.copyright import read_licenses
from llm_compiler.corpus.debian import Archive
from llm_compiler.corpus.extract import Extracted, Failure, extract_unit
from llm_compiler.corpus.manifest import (
    MANIFEST_NAME,
    PARTIAL_NAME,
    Unit,
    write_units,
)
from llm_compiler.corpus.report import (
    REPORT_NAME,
    BuildReport,
    Run,
    SourceReport,
    read_earlier,
    summarize,
    write_report,
)
from llm_compiler.corpus.sources import Prepared, prepare
from llm_compiler.corpus.state import JournalEntry, SourceState
from llm_compiler.corpus.tools import Tools
from llm_compiler.errors import ArtifactError
from llm_compiler.output import take_lock
from llm_compiler.process import peak_memory

__all__ = ["DEFAULT_TARGETS", "BuildReport", "SourceReport", "build_corpus"]

DEFAULT_TARGETS = ("x86_64-pc-linux-gnu",)
# What stops every source, not only the one at hand.
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(slots=True)
class _Result:
    spec: Spec
    report: SourceReport
    units: list[Unit]


def build_corpus(
    config: CorpusConfig,
    *,
    out: Path,
    tools: Tools,
    target_triples: Sequence[str] = DEFAULT_TARGETS,
    packages: Collection[str] | None = None,
    jobs: int = 1,
    archive: Archive | None = None,
    on_progress: Callable[[SourceReport], None] | None = None,
) -> BuildReport:
    """Build the corpus, or go on with it, and return the report that `out/report.json` holds.

    The manifest lists what this run and, for these sources and targets, earlier runs have built;
    with `packages`, other sources keep the units that they already have.

    Args:
        out: the corpus folder: bitcode, manifest, report, and `.state/` with sources and journals.
        target_triples: every unit is compiled once for each.
        packages: names of the sources to work on; None: all.
        jobs: how many sources are worked on at once.
        on_progress: called in this thread whenever a source is finished.

    Raises:
        ConfigError: an unknown name in `packages`.
        ArtifactError: no space left, `out` cannot be written, or another build works there.
    """
    start = time.monotonic()
    chosen = {spec.name for spec in config.select(packages)}
    out = out.resolve()
    with _locked(out):
        builder = _Builder(
            out=out,
            tools=tools,
            target_triples=tuple(dict.fromkeys(target_triples)),
            archive=archive or Archive(out / ".state" / "apt"),
        )
        results: dict[str, _Result] = {}
        for spec in config.specs:
            # Those to be worked on, too: the partial manifest never shrinks.
            if (earlier := builder.recall(spec)) is not None:
                results[spec.name] = earlier
                builder.note_present(earlier)
        work = [spec for spec in config.specs if spec.name in chosen]
        for result in builder.run_all(work, jobs=jobs):
            results[result.spec.name] = result
            write_units(out / PARTIAL_NAME, _listed(config, results)[0])
            if on_progress is not None:
                on_progress(result.report)
        return _finish(
            config, results, out=out, builder=builder, start=start, num_sources=len(work)
        )


def _finish(
    config: CorpusConfig,
    results: dict[str, _Result],
    *,
    out: Path,
    builder: _Builder,
    start: float,
    num_sources: int,
) -> BuildReport:
    units, duplicates = _listed(config, results)
    runs, skipped_before = read_earlier(out / REPORT_NAME)
    reports = []
    for spec in config.specs:
        if spec.name in results:
            dropped = duplicates[spec.name]
            report = dataclasses.replace(results[spec.name].report, num_duplicates=dict(dropped))
            reports.append(report)
        elif (skipped := skipped_before.get(spec.name)) is not None:
            reports.append(dataclasses.replace(skipped, split=spec.split, license=spec.license))
    peak = peak_memory()
    run = Run(
        seconds=round(time.monotonic() - start, 1),
        num_sources=num_sources,
        peak_memory_bytes=peak.own_bytes,
        peak_child_memory_bytes=peak.child_bytes,
    )
    summary = summarize(
        reports,
        units,
        llvm_version=builder.tools.version,
        target_triples=builder.target_triples,
        runs=[*runs, run],
    )
    write_report(out / REPORT_NAME, summary)
    write_units(out / MANIFEST_NAME, units)
    (out / PARTIAL_NAME).unlink(missing_ok=True)
    listed = {unit.path for unit in units}
    for result in results.values():
        for unit in result.units:
            if unit.path not in listed:
                (out / unit.path).unlink(missing_ok=True)
    return summary


def _listed(
    config: CorpusConfig, results: dict[str, _Result]
) -> tuple[list[Unit], dict[str, Counter[str]]]:
    """Return the units without repeated bitcode, in the configuration's order, and what went."""
    seen: set[str] = set()
    units: list[Unit] = []
    duplicates: dict[str, Counter[str]] = {name: Counter() for name in results}
    for spec in config.specs:
        for unit in results[spec.name].units if spec.name in results else ():
            if unit.sha256 in seen:
                duplicates[spec.name][unit.target_triple] += 1
            else:
                seen.add(unit.sha256)
                units.append(unit)
    return units, duplicates


class _Builder:
    def __init__(
        self, *, out: Path, tools: Tools, target_triples: tuple[str, ...], archive: Archive
    ) -> None:
        self.tools = tools
        self.target_triples = target_triples
        self._out = out
        self._archive = archive
        self._stop = Event()
        self._present: set[str] = set()

    def run_all(self, specs: Sequence[Spec], *, jobs: int) -> Iterator[_Result]:
        """Yield the results as they come."""
        executor = ThreadPoolExecutor(max_workers=max(jobs, 1), thread_name_prefix="corpus")
        try:
            futures = [executor.submit(self._run, spec) for spec in specs]
            for future in as_completed(futures):
                yield future.result()
        finally:
            # An interrupt or a full disk ends the others after the unit at hand.
            self._stop.set()
            executor.shutdown(wait=True, cancel_futures=True)

    def note_present(self, result: _Result) -> None:
        """Note which bitcode is on disk: a unit that is gone as its duplicate is still done."""
        for unit in result.units:
            if (self._out / unit.path).is_file():
                self._present.add(unit.sha256)

    def recall(self, spec: Spec) -> _Result | None:
        """Return what earlier runs have made of a source that this run leaves alone."""
        prepared = self._state(spec).load_prepared()
        return None if prepared is None else self._result(spec, prepared, start=time.monotonic())

    def _state(self, spec: Spec) -> SourceState:
        folder = self._out / ".state" / spec.name
        return SourceState(folder, spec=spec, llvm_version=self.tools.version)

    def _run(self, spec: Spec) -> _Result:
        start = time.monotonic()
        state = self._state(spec)
        prepared = state.load_prepared()
        if prepared is None:
            try:
                prepared = prepare(spec, work=state.work, archive=self._archive, tools=self.tools)
            except ArtifactError as error:
                return _skipped(spec, error, seconds=time.monotonic() - start)
            except OSError as error:
                problem = ArtifactError(f"cannot prepare {spec.name}: {error}")
                if error.errno in _FATAL:
                    raise problem from error
                return _skipped(spec, problem, seconds=time.monotonic() - start)
            for folder in self._out.glob(f"[!.]*/{spec.name}"):
                shutil.rmtree(folder)
            state.save_prepared(prepared)
        for target_triple in self.target_triples:
            self._extract(spec, prepared, state, target_triple)
        return self._result(spec, prepared, start=start)

    def _extract(
        self, spec: Spec, prepared: Prepared, state: SourceState, target_triple: str
    ) -> None:
        journal = state.journal(target_triple)
        done = {
            entry.slug
            for entry in journal.read()
            if entry.unit is None or entry.unit.sha256 in self._present
        }
        folder = self._out / target_triple / spec.name
        folder.mkdir(parents=True, exist_ok=True)
        scratch = state.scratch()
        modules = [
            CompileCommand(directory=".", source=name, language="ir", flags=())
            for name in prepared.modules
        ]
        for command in (*prepared.commands, *modules):
            if command.slug in done or self._stop.is_set():
                continue
            output = folder / f"{command.slug}.bc"
            outcome = extract_unit(
                command,
                root=prepared.root,
                output=output,
                scratch=scratch,
                target_triple=target_triple,
                tools=self.tools,
            )
            journal.append(self._entry(spec, prepared, command, output, target_triple, outcome))

    def _entry(
        self,
        spec: Spec,
        prepared: Prepared,
        command: CompileCommand,
        output: Path,
        target_triple: str,
        outcome: Extracted | Failure,
    ) -> JournalEntry:
        if isinstance(outcome, Failure):
            message = f"{command.source}: {outcome.message}"
            failure = dataclasses.replace(outcome, message=message)
            return JournalEntry(slug=command.slug, failure=failure)
        unit = Unit(
            package=spec.name,
            version=prepared.version,
            license=spec.license,
            split=spec.split,
            language=command.language,
            target_triple=target_triple,
            source=command.source,
            path=str(output.relative_to(self._out)),
            flags=outcome.flags,
            sha256=outcome.sha256,
            num_bytes=outcome.num_bytes,
            num_functions=outcome.num_functions,
            seconds=outcome.seconds,
        )
        return JournalEntry(slug=command.slug, unit=unit)

    def _result(self, spec: Spec, prepared: Prepared, *, start: float) -> _Result:
        state = self._state(spec)
        units: list[Unit] = []
        failures: dict[str, dict[str, int]] = {}
        failed: list[dict[str, str]] = []
        num_units: dict[str, int] = {}
        for target_triple in self._known_targets(spec):
            causes: Counter[str] = Counter()
            entries = {entry.slug: entry for entry in state.journal(target_triple).read()}
            for entry in entries.values():
                if entry.unit is not None:
                    # The split is the configuration's: it may change without a new build.
                    units.append(
                        dataclasses.replace(entry.unit, split=spec.split, license=spec.license)
                    )
                elif entry.failure is not None:
                    causes[entry.failure.cause] += 1
                    failed.append({"target": target_triple, **dataclasses.asdict(entry.failure)})
            num_units[target_triple] = len(entries) - sum(causes.values())
            failures[target_triple] = dict(causes)
        report = SourceReport(
            name=spec.name,
            split=spec.split,
            status="built",
            license=spec.license,
            copyright=read_licenses(prepared.root, {unit.source for unit in units}),
            pinned_version="" if isinstance(spec, LocalSpec) else spec.version,
            version=prepared.version,
            successor=prepared.successor,
            build_error=prepared.build_error,
            num_held_out_by_name=prepared.num_held_out,
            num_excluded=prepared.num_excluded,
            num_units=num_units,
            failures=failures,
            failed_units=tuple(failed),
            seconds=round(time.monotonic() - start, 1),
        )
        return _Result(spec=spec, report=report, units=units)

    def _known_targets(self, spec: Spec) -> list[str]:
        folder = self._out / ".state" / spec.name
        earlier = {path.stem.removeprefix("units-") for path in folder.glob("units-*.jsonl")}
        return sorted(earlier | set(self.target_triples))


def _skipped(spec: Spec, error: ArtifactError, *, seconds: float) -> _Result:
    report = SourceReport(
        name=spec.name,
        split=spec.split,
        status="skipped",
        license=spec.license,
        pinned_version="" if isinstance(spec, LocalSpec) else spec.version,
        error=str(error),
        detail=error.detail[-3000:],
        seconds=round(seconds, 1),
    )
    return _Result(spec=spec, report=report, units=[])


def _locked(out: Path) -> IO[str]:
    """Hold the corpus folder for one build."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        return take_lock(out / ".lock", ArtifactError(f"another corpus build works in {out}"))
    except OSError as error:
        raise ArtifactError(f"cannot write the corpus folder {out}: {error}") from error
