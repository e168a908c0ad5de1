"""Labels: what every list of a coreset makes of every module of a corpus, and the ceiling.

Two tables, both Parquet, small enough to be kept in a repository: they name modules by content hash
and hold no code.

* *labels* (`LABEL_COLUMNS`): one row for each module and list, sorted by module, then list. A list
  that LLVM refused, crashed or hung on has sizes of -1. List -1 is default<Oz>, the yardstick.
* *ceilings* (`CEILING_COLUMNS`): one row for each module that the full autotuner was spent on: the
  best list by each metric of everything that the search measured.

While it runs, each finished module is one line of a journal beside the table: a killed run loses
the modules at hand and nothing else, and ends with the same table. Needs the extra ``data``.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.corpus.samples import Sample
from llm_compiler.errors import InputError, OutputError, ShardCorrupt
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.parquet import read_table, require_pyarrow, write_table
from llm_compiler.records import OZ, Measurement, PassList, Status, content_hash
from llm_compiler.search.objective import SIZE, TEXT_DATA, Objective
from llm_compiler.search.trial import Trial
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "BASELINE_INDEX",
    "CEILING_COLUMNS",
    "LABEL_COLUMNS",
    "MIN_SIZE_BYTES",
    "Ceiling",
    "ModuleLabels",
    "choose_modules",
    "label_modules",
    "lists_hash",
    "read_ceilings",
    "read_journal",
    "read_labels",
    "write_ceilings",
    "write_labels",
]

LABEL_COLUMNS = (
    "module_hash",
    "target_triple",
    "split",
    "package",
    "list_index",
    "size_bytes",
    "text_data_bytes",
)
CEILING_COLUMNS = (
    "module_hash",
    "target_triple",
    "split",
    "package",
    "oz_size_bytes",
    "oz_text_data_bytes",
    "best_size_bytes",
    "best_size_passes",
    "best_text_data_bytes",
    "best_text_data_passes",
    "num_evaluations",
)
BASELINE_INDEX = -1
"""The list index of default<Oz>."""
MIN_SIZE_BYTES = 200
"""Smaller objects are mostly unwind tables: a byte more or less there teaches nothing."""
_MAX_PACKAGE_SHARE = 0.1
_FAILED = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleLabels:
    """What each list makes of one module; index i of the tuples is list i - 1 (0: default<Oz>)."""

    module_hash: str
    target_triple: str
    split: str
    package: str
    size_bytes: tuple[int, ...]
    text_data_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """The best that the full autotuner found on one module, by both metrics."""

    module_hash: str
    target_triple: str
    split: str
    package: str
    oz_size_bytes: int
    oz_text_data_bytes: int
    best_size_bytes: int
    best_size_passes: str
    best_text_data_bytes: int
    best_text_data_passes: str
    num_evaluations: int

    @classmethod
    def of(cls, trial: Trial, sample: Sample, baseline: Measurement) -> Ceiling:
        """Return the best of all that a trial measured; default<Oz> where nothing is smaller."""
        found = {OZ: baseline, **{p: m for p, m in trial.known.items() if m.ok}}

        def best(objective: Objective) -> tuple[PassList, int]:
            passes = min(found, key=lambda p: (objective.of(found[p]), p != OZ, len(p), p.elements))
            return passes, objective.of(found[passes])

        by_size, by_text_data = best(SIZE), best(TEXT_DATA)
        return cls(
            module_hash=trial.module_hash,
            target_triple=sample.target_triple,
            split=sample.split,
            package=sample.package,
            oz_size_bytes=baseline.size_bytes,
            oz_text_data_bytes=baseline.text_data_bytes,
            best_size_bytes=by_size[1],
            best_size_passes=by_size[0].pipeline,
            best_text_data_bytes=by_text_data[1],
            best_text_data_passes=by_text_data[0].pipeline,
            num_evaluations=trial.num_evaluations,
        )


def lists_hash(lists: Sequence[PassList]) -> str:
    """Return the name of a sequence of lists: labels of another sequence are not mixed with it."""
    return content_hash("\n".join(passes.pipeline for passes in lists).encode())


def choose_modules(
    samples: Iterable[Sample],
    *,
    limit: int,
    seed: int = 0,
    min_size_bytes: int = MIN_SIZE_BYTES,
    max_size_bytes: int = 0,
    max_package_share: float = _MAX_PACKAGE_SHARE,
    known: Collection[str] = (),
) -> list[Sample]:
    """Draw modules to label: large enough, and no package more than its share of the limit.

    The order is drawn by `seed` and round robin over the packages, so that any beginning of it is
    spread over them too. Fewer than `limit` come back where the corpus has no more.

    Args:
        max_size_bytes: 0: any; the time that labels take grows with the module.
        known: hashes that come before all others of their package, whatever their size: what was
            labelled already stays.
    """
    by_package: dict[str, list[Sample]] = defaultdict(list)
    seen: set[str] = set()
    for sample in samples:
        # A unit of one function is that function's module too.
        fits = min_size_bytes <= sample.size_bytes <= (max_size_bytes or sample.size_bytes)
        if (fits or sample.module_hash in known) and sample.module_hash not in seen:
            seen.add(sample.module_hash)
            by_package[sample.package].append(sample)
    share = max(1, int(limit * max_package_share))
    queues = []
    for package in sorted(by_package):
        members = sorted(by_package[package], key=lambda each_sample: each_sample.module_hash)
        random.Random(f"{seed}:{package}").shuffle(members)
        members.sort(key=lambda member: member.module_hash not in known)
        queues.append(members[:share])
    chosen: list[Sample] = []
    for rank in range(max(map(len, queues), default=0)):
        chosen += [queue[rank] for queue in queues if rank < len(queue)]
    return chosen[:limit]


@dataclass(slots=True)
class _Waiting:
    sample: Sample
    found: list[Measurement | None] = field(default_factory=list)


def label_modules(
    pool: WorkerPool,
    samples: Iterable[Sample],
    lists: Sequence[PassList],
    journal: Path,
    *,
    known: Iterable[ModuleLabels] = (),
    timeout_s: float = 20.0,
    on_progress: Callable[[int, Sample], None] = lambda done, sample: None,
) -> Iterator[ModuleLabels]:
    """Measure every list on every module, yielding each module as it ends.

    What the journal holds already for these lists is not measured again.

    Args:
        known: labels of the same lists from an earlier table: not measured again either.

    Raises:
        ShardCorrupt: the journal belongs to other lists.
        OutputError: the journal cannot be written.
    """
    present = {
        module_labels.module_hash: module_labels
        for module_labels in (*known, *read_journal(journal, lists))
    }
    done = 0
    everything = (OZ, *lists)
    # Lists that begin alike stand side by side: the worker runs their common beginning once.
    order = sorted(range(len(everything)), key=lambda index: everything[index].elements)
    ordered = tuple(everything[index] for index in order)
    waiting: dict[int, _Waiting] = {}
    rest = iter(samples)
    with _append_to(journal, lists) as append:

        def submit() -> Iterator[ModuleLabels]:
            nonlocal done
            while len(waiting) < 2 * pool.num_workers:
                sample = next(rest, None)
                if sample is None:
                    return
                if (earlier := present.get(sample.module_hash)) is not None:
                    done += 1
                    on_progress(done, sample)
                    yield earlier
                    continue
                job = EvaluateJob(
                    bitcode=sample.bitcode,
                    pass_lists=ordered,
                    timeout_s=timeout_s,
                    module_hash=sample.module_hash,
                )
                waiting[pool.submit(job)] = _Waiting(sample, [None] * len(ordered))

        yield from submit()
        while waiting:
            for result in pool.results():
                if (each_waiting := waiting.get(result.ticket)) is None:
                    continue
                if result.error is not None:
                    raise result.error
                if not result.last:
                    each_waiting.found[order[result.step]] = result.value
                    continue
                del waiting[result.ticket]
                labels = _labels(each_waiting.sample, each_waiting.found)
                append(labels)
                done += 1
                on_progress(done, each_waiting.sample)
                yield labels
                yield from submit()


def _labels(sample: Sample, found: Sequence[Measurement | None]) -> ModuleLabels:
    ok = [m if m is not None and m.status is Status.OK else None for m in found]
    return ModuleLabels(
        module_hash=sample.module_hash,
        target_triple=sample.target_triple,
        split=sample.split,
        package=sample.package,
        size_bytes=tuple(m.size_bytes if m else _FAILED for m in ok),
        text_data_bytes=tuple(m.text_data_bytes if m else _FAILED for m in ok),
    )


@contextlib.contextmanager
def _append_to(path: Path, lists: Sequence[PassList]) -> Iterator[Callable[[ModuleLabels], None]]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torn = path.exists() and path.stat().st_size and path.read_bytes()[-1:] != b"\n"
        with path.open("ab") as file:
            if torn:
                file.write(b"\n")
            if not file.tell():
                head = {"lists": lists_hash(lists), "num_lists": len(lists)}
                file.write(json.dumps(head).encode() + b"\n")
                file.flush()

            def append(labels: ModuleLabels) -> None:
                # One write a module: a kill leaves at most one torn line, which is left out.
                file.write(json.dumps(asdict(labels), separators=(",", ":")).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

            yield append
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error


def read_journal(path: Path, lists: Sequence[PassList]) -> list[ModuleLabels]:
    """Return the modules that a journal holds; empty if there is none.

    Raises:
        ShardCorrupt: it was written for other lists.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    found: dict[str, ModuleLabels] = {}
    for number, line in enumerate(lines):
        try:
            data = json.loads(line)
        except ValueError:
            continue  # torn by a kill; the module is measured again
        if number == 0:
            if not isinstance(data, dict) or data.get("lists") != lists_hash(lists):
                raise ShardCorrupt(
                    f"{path} holds labels of other lists: name another output, or give the "
                    "coreset that it was begun with"
                )
            continue
        with contextlib.suppress(TypeError, KeyError):
            for key in ("size_bytes", "text_data_bytes"):
                data[key] = tuple(data[key])
            labels = ModuleLabels(**data)
            found[labels.module_hash] = labels
    return list(found.values())


def write_labels(labels: Iterable[ModuleLabels], lists: Sequence[PassList], path: Path) -> int:
    """Write the table of labels, atomically, and return its number of rows.

    The schema's metadata holds the lists themselves, as JSON under ``lists``: index i of it is
    `list_index` i.
    """
    pyarrow, _ = require_pyarrow()
    rows: dict[str, list[Any]] = {name: [] for name in LABEL_COLUMNS}
    for label in sorted(labels, key=lambda label: (label.target_triple, label.module_hash)):
        count = len(label.size_bytes)
        for name in ("module_hash", "target_triple", "split", "package"):
            rows[name] += [getattr(label, name)] * count
        rows["list_index"] += range(BASELINE_INDEX, count + BASELINE_INDEX)
        rows["size_bytes"] += label.size_bytes
        rows["text_data_bytes"] += label.text_data_bytes
    types = {
        "list_index": pyarrow.int16(),
        "size_bytes": pyarrow.int32(),
        "text_data_bytes": pyarrow.int32(),
    }
    metadata = {
        "lists": json.dumps([passes.pipeline for passes in lists]),
        "lists_hash": lists_hash(lists),
    }
    schema = pyarrow.schema(
        [(name, types.get(name, pyarrow.string())) for name in LABEL_COLUMNS], metadata=metadata
    )
    write_table(
        pyarrow.table(rows, schema=schema),
        path,
        compression_level=19,
        use_dictionary=["module_hash", "target_triple", "split", "package", "list_index"],
    )
    return len(rows["module_hash"])


def read_labels(path: Path) -> tuple[list[PassList], list[ModuleLabels]]:
    """Read a table of labels: the lists, and each module's sizes.

    Raises:
        ShardCorrupt: the file is missing, damaged, or no table of labels.
    """
    table = read_table(path, LABEL_COLUMNS)
    try:
        lists = [parse_pass_list(t) for t in json.loads((table.schema.metadata or {})[b"lists"])]
    except (KeyError, ValueError, InputError) as error:
        raise ShardCorrupt(f"{path} is not a table of labels: it names no lists") from error
    columns = {name: table.column(name).to_pylist() for name in LABEL_COLUMNS}
    width = len(lists) + 1
    count = len(columns["module_hash"])
    expected = list(range(BASELINE_INDEX, len(lists)))
    if count % width or columns["list_index"][:width] != expected[: min(width, count)]:
        raise ShardCorrupt(f"{path} is not a table of labels: its rows are not {width} a module")
    found = []
    for start in range(0, count, width):
        end = start + width
        found.append(
            ModuleLabels(
                **{
                    name: columns[name][start]
                    for name in ("module_hash", "target_triple", "split", "package")
                },
                size_bytes=tuple(columns["size_bytes"][start:end]),
                text_data_bytes=tuple(columns["text_data_bytes"][start:end]),
            )
        )
    return lists, found


def write_ceilings(ceilings: Iterable[Ceiling], path: Path) -> int:
    """Write the table of ceilings, atomically, and return its number of rows."""
    pyarrow, _ = require_pyarrow()
    rows = [
        asdict(ceiling)
        for ceiling in sorted(ceilings, key=lambda c: (c.target_triple, c.module_hash))
    ]
    schema = pyarrow.schema(
        [
            (name, pyarrow.int32() if "bytes" in name or "num_" in name else pyarrow.string())
            for name in CEILING_COLUMNS
        ]
    )
    write_table(pyarrow.Table.from_pylist(rows, schema=schema), path, compression_level=19)
    return len(rows)


def read_ceilings(path: Path) -> list[Ceiling]:
    """Read a table of ceilings.

    Raises:
        ShardCorrupt: the file is missing, damaged, or no table of ceilings.
    """
    return [Ceiling(**row) for row in read_table(path, CEILING_COLUMNS).to_pylist()]
