"""Make a folder of samples of a corpus: list, plan, make, de-duplicate, write.

What the workers made of a unit is kept as one file under ``OUT/.state/units``, named by all that
decides about it, so that a killed build, or a build with more units, does not do again what is
done. The manifest is written last. One writer a folder; the result depends on the corpus, the
settings and the versions of the tools only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from llm_compiler.corpus.deduplicate import Candidate, Kept, cluster, keep_representatives
from llm_compiler.corpus.manifest import Unit, load_manifest
from llm_compiler.corpus.plan import SampleConfig, UnitPlan, order_units, plan_samples
from llm_compiler.corpus.samples import ARCHITECTURES, KINDS, SPLITS, Sample
from llm_compiler.corpus.sampling_jobs import FunctionInfo, ListFunctionsJob, Made, MakeSamplesJob
from llm_compiler.corpus.shards import (
    MANIFEST_NAME,
    ShardManifest,
    write_manifest,
    write_shards,
)
from llm_compiler.errors import ArtifactError, InputError, ShardCorrupt
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.output import TEMPORARY_PREFIX, write_atomically, writing_artifact
from llm_compiler.parquet import read_table, require_pyarrow, write_table
from llm_compiler.records import Status, content_hash
from llm_compiler.workers.pool import StepResult, WorkerPool

__all__ = ["SampleReport", "build_samples"]

# To be raised when the same unit and settings would give other samples.
_FORMAT = 1
_STATE = ".state"
_LIGHT = ("function", "module_hash", "anonymous_hash", "shingles")

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleReport:
    """What a build gave: samples by split and kind, and what was left out, by reason.

    `levels` counts made modules by how far they could be normalised; `num_clusters` are clusters
    of near duplicates among `num_made`; `failures` are the first functions that failed.
    """

    num_units: int
    num_made: int
    num_kept: int
    num_clusters: int
    num_exact: int
    left_out: dict[str, int]
    levels: dict[str, int]
    splits: dict[str, int]
    kinds: dict[str, int]
    failures: tuple[str, ...] = ()


def build_samples(
    corpus: Path,
    out: Path,
    config: SampleConfig,
    *,
    pool: WorkerPool,
    llvm_version: str,
    packages: frozenset[str] = frozenset(),
    timeout_s: float = 300.0,
    on_progress: Progress = lambda what, done, total: None,
) -> SampleReport:
    """Write the samples of a corpus to a folder.

    Args:
        packages: only these; empty for all.
        timeout_s: of one function.
        on_progress: called with a word for the phase, what is done of it, and its total.

    Raises:
        InputError: no unit is left.
        ArtifactError: the corpus is damaged, the folder cannot be written, the disk is full.
    """
    require_pyarrow()
    units = order_units([u for u in load_manifest(corpus) if not packages or u.package in packages])
    if not units:
        raise InputError(f"the corpus {corpus} has no unit of these packages")
    build = _Build(corpus, out, config, pool, llvm_version, timeout_s, on_progress)
    return build.run(units)


class _Build:
    def __init__(
        self,
        corpus: Path,
        out: Path,
        config: SampleConfig,
        pool: WorkerPool,
        llvm_version: str,
        timeout_s: float,
        on_progress: Progress,
    ) -> None:
        self._corpus = corpus
        self._out = out
        self._config = config
        self._pool = pool
        self._llvm_version = llvm_version
        self._timeout_s = timeout_s
        self._on_progress = on_progress

    def run(self, units: Sequence[Unit]) -> SampleReport:
        for torn in self._out.rglob(f"{TEMPORARY_PREFIX}*"):
            torn.unlink(missing_ok=True)
        functions = self._list_functions(units)
        plans, left_out = plan_samples(units, functions, self._config)
        self._make(plans)
        candidates, positions, left_out, levels, failures = self._collect(plans, left_out)
        self._on_progress("comparing", 0, 1)
        roots = cluster(candidates, self._config.threshold)
        kept = keep_representatives(candidates, roots)
        report = SampleReport(
            num_units=len(units),
            num_made=len(candidates),
            num_kept=len(kept),
            num_clusters=len(set(roots)),
            num_exact=len(candidates) - len({candidate.anonymous_hash for candidate in candidates}),
            left_out=dict(left_out.most_common()),
            levels=dict(levels.most_common()),
            splits=dict(Counter(candidates[each_kept.index].split for each_kept in kept)),
            kinds=dict(Counter(candidates[each_kept.index].kind for each_kept in kept)),
            failures=tuple(failures[:100]),
        )
        self._write(plans, candidates, positions, kept, report)
        return report

    # -- the functions of each unit ----------------------------------------------------------

    def _list_functions(self, units: Sequence[Unit]) -> dict[str, tuple[FunctionInfo, ...]]:
        found: dict[str, tuple[FunctionInfo, ...]] = {}
        missing = []
        for unit in {unit.sha256: unit for unit in units}.values():
            known = _read_functions(self._functions_path(unit))
            if known is None:
                missing.append(unit)
            else:
                found[unit.sha256] = known

        def save(unit: Unit, result: StepResult) -> None:
            if result.step < 0:
                return
            if result.value.status is Status.OK:
                rows = [[f.name, f.repeated, f.num_instructions] for f in result.value.functions]
                _write(self._functions_path(unit), json.dumps(rows).encode())
            found[unit.sha256] = result.value.functions

        self._run_jobs(
            "listing",
            missing,
            lambda unit: ListFunctionsJob(bitcode=self._read_unit(unit)),
            save,
        )
        return found

    def _functions_path(self, unit: Unit) -> Path:
        name = f"{unit.sha256}-{self._llvm_version}-{_FORMAT}.json"
        return self._out / _STATE / "functions" / unit.sha256[:2] / name

    def _read_unit(self, unit: Unit) -> bytes:
        path = self._corpus / unit.path
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ShardCorrupt(f"the unit {path} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != unit.sha256:
            raise ShardCorrupt(
                f"the unit {path} is not what the manifest says: build the corpus again"
            )
        return data

    # -- samples of each unit ----------------------------------------------------------------

    def _make(self, plans: Sequence[UnitPlan]) -> None:
        missing = [
            plan
            for plan in plans
            if (plan.functions or plan.whole) and not self._unit_path(plan).is_file()
        ]
        in_flight: dict[str, list[Made]] = {}

        def save(plan: UnitPlan, result: StepResult) -> None:
            made = in_flight.setdefault(plan.unit.path, [])
            if not result.last:
                made.append(result.value)
                return
            _write_unit(self._unit_path(plan), in_flight.pop(plan.unit.path))

        self._run_jobs(
            "making",
            missing,
            lambda plan: MakeSamplesJob(
                bitcode=self._read_unit(plan.unit),
                functions=plan.functions,
                whole=plan.whole,
                max_text_bytes=self._config.max_text_bytes,
                min_instructions=self._config.min_instructions,
                timeout_s=self._timeout_s,
            ),
            save,
        )

    def _unit_path(self, plan: UnitPlan) -> Path:
        values = [
            _FORMAT,
            self._llvm_version,
            plan.unit.sha256,
            plan.functions,
            plan.whole,
            self._config.max_text_bytes,
            self._config.min_instructions,
        ]
        name = content_hash(json.dumps(values).encode())
        return self._out / _STATE / "units" / name[:2] / f"{name}.parquet"

    def _run_jobs(
        self,
        what: str,
        inputs: Sequence[Any],
        job: Callable[[Any], Any],
        save: Callable[[Any, StepResult], None],
    ) -> None:
        """Run a job for each input, a few at a time: what is queued is held in memory."""
        waiting = iter(inputs)
        running: dict[int, Any] = {}
        done = 0

        def submit() -> None:
            for item in waiting:
                running[self._pool.submit(job(item))] = item
                return

        for _ in range(2 * self._pool.num_workers):
            submit()
        for result in self._pool.results():
            if result.error is not None:
                raise result.error
            save(running[result.ticket], result)
            if result.last:
                done += 1
                self._on_progress(what, done, len(inputs))
                del running[result.ticket]
                submit()

    # -- one of each cluster -----------------------------------------------------------------

    def _collect(
        self, plans: Sequence[UnitPlan], left_out: Counter[str]
    ) -> tuple[list[Candidate], list[tuple[int, int]], Counter[str], Counter[str], list[str]]:
        """Return every sample made, where it is (plan, row), and the counts."""
        candidates: list[Candidate] = []
        positions: list[tuple[int, int]] = []
        left_out = Counter(left_out)
        levels: Counter[str] = Counter()
        failures: list[str] = []
        for number, plan in enumerate(plans):
            if not (plan.functions or plan.whole):
                continue
            unit = plan.unit
            table = read_table(self._unit_path(plan), _LIGHT)
            notes = json.loads(table.schema.metadata[b"notes"])
            left_out.update(notes["left_out"])
            levels.update(notes["levels"])
            failures += [f"{unit.package}/{unit.source}: {text}" for text in notes["failures"]]
            for row, values in enumerate(table.to_pylist()):
                candidates.append(
                    Candidate(
                        module_hash=values["module_hash"],
                        anonymous_hash=values["anonymous_hash"],
                        split=unit.split,
                        kind=_kind(values["function"]),
                        architecture=architecture_of(unit.target_triple),
                        shingles=values["shingles"],
                    )
                )
                positions.append((number, row))
        return candidates, positions, left_out, levels, failures

    def _write(
        self,
        plans: Sequence[UnitPlan],
        candidates: Sequence[Candidate],
        numbered_rows: Sequence[tuple[int, int]],
        kept: Sequence[Kept],
        report: SampleReport,
    ) -> None:
        groups: dict[tuple[str, str, str], dict[int, list[tuple[int, str]]]] = {}
        for each_kept in kept:
            candidate = candidates[each_kept.index]
            number, row = numbered_rows[each_kept.index]
            group = (candidate.split, candidate.architecture, candidate.kind)
            groups.setdefault(group, {}).setdefault(number, []).append((row, each_kept.cluster))

        def samples() -> Iterator[Sample]:
            done = 0
            for group in sorted(groups, key=_group_order):
                for number, rows in groups[group].items():
                    yield from self._read_samples(plans[number], rows)
                    done += len(rows)
                    self._on_progress("writing", done, len(kept))

        try:
            (self._out / MANIFEST_NAME).unlink(missing_ok=True)
            for split in SPLITS:
                shutil.rmtree(self._out / split, ignore_errors=True)
        except OSError as error:
            raise ArtifactError(f"cannot write {self._out}: {error}") from error
        shards = write_shards(self._out, samples())
        pyarrow, _ = require_pyarrow()
        counts = {k: v for k, v in dataclasses.asdict(report).items() if k != "failures"}
        manifest = ShardManifest(
            shards=tuple(shards),
            counts=counts,
            config=dataclasses.asdict(self._config),
            tools={
                "llvm": self._llvm_version,
                "pyarrow": pyarrow.__version__,
                "rensa": version("rensa"),
            },
        )
        write_manifest(self._out, manifest)

    def _read_samples(self, plan: UnitPlan, rows: Sequence[tuple[int, str]]) -> Iterator[Sample]:
        unit = plan.unit
        table = read_table(self._unit_path(plan), _STORED).to_pylist()
        for row, name in rows:
            values = table[row]
            yield Sample(
                **values,
                kind=_kind(values["function"]),
                package=unit.package,
                version=unit.version,
                license=unit.license,
                split=unit.split,
                language=unit.language,
                target_triple=unit.target_triple,
                source=unit.source,
                cluster=name,
            )


_STORED = (
    *("module_hash", "function", "num_functions", "num_instructions"),
    *("bitcode", "text", "size_bytes", "text_data_bytes"),
)


def _kind(function: str) -> str:
    return "function" if function else "unit"


def _group_order(group: tuple[str, str, str]) -> tuple[int, int, str, int]:
    split, architecture, kind = group
    known = ARCHITECTURES.index(architecture) if architecture in ARCHITECTURES else 99
    return SPLITS.index(split), known, architecture, KINDS.index(kind)


def _read_functions(path: Path) -> tuple[FunctionInfo, ...] | None:
    try:
        rows = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return tuple(
        FunctionInfo(name=name, repeated=repeated, num_instructions=count)
        for name, repeated, count in rows
    )


def _write(path: Path, data: bytes) -> None:
    with writing_artifact(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)


def _type(name: str) -> Any:
    pyarrow, _ = require_pyarrow()
    if name in ("bitcode", "shingles"):
        return pyarrow.binary()
    return pyarrow.int64() if name.startswith("num_") or "_bytes" in name else pyarrow.string()


def _write_unit(path: Path, made: Sequence[Made]) -> None:
    """Write the samples of one unit, and what there is to count about the others."""
    pyarrow, _ = require_pyarrow()
    good = [each_made for each_made in made if not each_made.reason]
    notes = {
        "left_out": Counter(each_made.reason for each_made in made if each_made.reason),
        "levels": Counter(each_made.level for each_made in good),
        "failures": [
            f"{each_made.function or 'the unit'}: {each_made.reason}: {each_made.detail}"
            for each_made in made
            if each_made.reason not in ("", "too-long", "too-small")
        ],
    }
    columns = {
        name: pyarrow.array([getattr(each_made, name) for each_made in good], type=_type(name))
        for name in (*_STORED, *_LIGHT[2:])
    }
    table = pyarrow.table(columns).replace_schema_metadata({"notes": json.dumps(notes)})
    with writing_artifact(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(table, path)
