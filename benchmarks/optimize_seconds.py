"""Seconds that `optimize` takes, beside `clang -Oz` and the search that gets as small.

On functions (samples) and whole units (a corpus), as bitcode files: clang -Oz -c; `optimize` led by
the shipped model with 0, 1, 4, 16, 32 candidates, model loaded and workers started, everything
from reading the file to the stock tools' object included; then random and local search, in process,
until an object is as small as the model's at 16, with how many evaluations that took. What search
finds is new: checking it (`validate`, seconds a list) is not counted, nor is rebuilding it. Every
step has workers of its own, so that none finds work that another has left.

    python benchmarks/optimize_seconds.py work/samples work/corpus --functions 20 --units 10
"""

from __future__ import annotations

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from llm_compiler.console import note, print_table
from llm_compiler.corpus.inputs import NamedModule
from llm_compiler.corpus.manifest import MANIFEST_NAME, load_manifest
from llm_compiler.corpus.shards import load_samples
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.module_jobs import EvaluateJob, RegistryJob
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.optimize import Optimized, OptimizeOptions, Proposer, optimize_many
from llm_compiler.output import write_atomically
from llm_compiler.process import run
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.labels import MIN_SIZE_BYTES
from llm_compiler.search.strategies import fixed, in_sequence, local_search, random_search
from llm_compiler.search.trial import Batch, Strategy, Trial, run_trials
from llm_compiler.workers import LocalPool, run_jobs

CANDIDATES = (0, 1, 4, 16, 32)
TARGET = 16
"""Candidates whose result search has to reach."""


@dataclass(slots=True)
class Row:
    """One module: wall seconds by step, sizes in bytes, evaluations of the searches."""

    name: str
    kind: str
    bitcode_bytes: int
    baseline_bytes: int = 0
    clang_s: float = 0.0
    optimize_s: dict[int, float] = field(default_factory=dict)
    optimized_bytes: dict[int, int] = field(default_factory=dict)
    target_bytes: int = -1
    """In process, of the model's winner; -1: it found nothing smaller."""
    search_s: dict[str, float] = field(default_factory=dict)
    evaluations: dict[str, int] = field(default_factory=dict)
    """-1: not reached."""


def time_clang(path: Path, out: Path) -> float:
    """Return the best of three."""
    seconds = []
    for _ in range(3):
        start = time.monotonic()
        done = run(
            [str(find_toolchain().tool("clang")), "-Oz", "-c", str(path), "-o", str(out)],
            timeout_s=300,
        )
        assert done.ok, done.stderr_text
        seconds.append(time.monotonic() - start)
    return min(seconds)


def until(strategy: Strategy, target_bytes: int) -> Strategy:
    """End a search at the first batch that brings an object no larger."""

    def limited(trial: Trial) -> Generator[Batch, None, None]:
        for batch in strategy(trial):
            yield batch
            if trial.best_value is not None and trial.best_value <= target_bytes:
                return

    return limited


def time_search(
    row: Row, bitcode: bytes, name: str, strategy: Strategy, options: argparse.Namespace
) -> None:
    trial = Trial(bitcode=bitcode, budget=options.max_evaluations, timeout_s=60.0)
    with LocalPool(options.jobs) as pool:
        start = time.monotonic()
        for _ in run_trials(pool, [(trial, until(strategy, row.target_bytes))]):
            pass
        row.search_s[name] = time.monotonic() - start
    reached = (i for i, best in enumerate(trial.history, 1) if best and best <= row.target_bytes)
    row.evaluations[name] = next(reached, -1)


def optimize_all(
    rows: Sequence[Row], paths: Sequence[Path], engine: Engine, options: argparse.Namespace
) -> None:
    for count in CANDIDATES:
        settings = OptimizeOptions(proposer=Proposer.MODEL, candidates=count)
        with LocalPool(options.jobs) as pool:
            for row, path in zip(rows, paths, strict=True):
                start = time.monotonic()
                (found,) = optimize_many([path], settings, pool=pool, engine=engine)
                row.optimize_s[count] = time.monotonic() - start
                if isinstance(found, LlmCompilerError):
                    raise found
                row.baseline_bytes = found.baseline_bytes
                row.optimized_bytes[count] = found.optimized_bytes
                if count == TARGET and found.passes is not None:
                    row.target_bytes = in_process(found, path, pool)
        note(f"optimize --candidates {count}: done")


def in_process(found: Optimized, path: Path, pool: LocalPool) -> int:
    """Return the size of a winner as searches measure it."""
    assert found.passes is not None
    job = EvaluateJob(bitcode=path.read_bytes(), pass_lists=(parse_pass_list(found.passes),))
    ((measured,),) = run_jobs(pool, [job])
    assert measured.ok
    size: int = measured.size_bytes
    return size


def search_all(
    rows: Sequence[Row], modules: Sequence[NamedModule], options: argparse.Namespace
) -> None:
    with LocalPool(1) as pool:
        space = run_jobs(pool, [RegistryJob()])[0][0]
    weights = load_coreset().weights_for(space)
    for row, module in zip(rows, modules, strict=True):
        if row.target_bytes < 0:
            continue
        rng = module_rng(0, row.name)
        time_search(row, module.bitcode, "random", random_search(space, rng), options)
        # As `optimize --proposer search`.
        local = in_sequence(fixed(starting_lists()), local_search(space, rng, weights=weights))
        time_search(row, module.bitcode, "local", local, options)
        note(f"{row.name}: {row.evaluations}")


def summary(rows: Sequence[Row], max_evaluations: int) -> list[tuple[str, ...]]:
    """Return the table: medians and totals of seconds, and bytes saved."""
    before = sum(row.baseline_bytes for row in rows)

    def line(name: str, of: Callable[[Row], float], saved: str, among: Sequence[Row]) -> None:
        seconds = [of(row) for row in among]
        median, total = statistics.median(seconds), sum(seconds)
        lines.append((name, f"{median:.2f}", f"{max(seconds):.2f}", f"{total:.1f}", saved))

    lines: list[tuple[str, ...]] = []
    line("clang -Oz -c", lambda row: row.clang_s, "", rows)
    for count in CANDIDATES:
        after = sum(row.optimized_bytes[count] for row in rows)
        saved = f"{100 * (1 - after / before):.2f} %"
        line(f"optimize, {count}", lambda row, c=count: row.optimize_s[c], saved, rows)  # type: ignore[misc]
    asked = [row for row in rows if row.target_bytes >= 0]
    for name in ("random", "local"):
        if not asked:
            break
        counts = [row.evaluations[name] for row in asked]
        reached = sum(count >= 0 for count in counts)
        median = statistics.median(c if c >= 0 else max_evaluations + 1 for c in counts)
        middle = f"median {median:.0f}" if median <= max_evaluations else f"over {max_evaluations}"
        note_ = f"as small on {reached} of {len(asked)}; {middle} evaluations"
        line(f"{name} search", lambda row, n=name: row.search_s[n], note_, asked)  # type: ignore[misc]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--functions", type=int, default=20)
    parser.add_argument("--units", type=int, default=10)
    parser.add_argument("--max-bytes", type=int, default=200_000, help="bitcode of a unit")
    parser.add_argument("--split", default="validation")
    parser.add_argument("--architecture", default="x86_64")
    parser.add_argument("--max-evaluations", type=int, default=512)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--model", default=None)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    groups = {
        "function": functions_of(options),
        "unit": units_of(options),
    }
    contents: dict[str, object] = {"jobs": options.jobs, "max_evaluations": options.max_evaluations}
    start = time.monotonic()
    with load_engine("embedded", options.model) as engine, tempfile.TemporaryDirectory() as folder:
        contents |= {"model": engine.model, "load_s": time.monotonic() - start}
        print(f"the model is loaded in {contents['load_s']:.2f} s")
        for kind, modules in groups.items():
            if not modules:
                continue
            paths = [Path(folder) / f"{kind}-{number}.bc" for number in range(len(modules))]
            rows = []
            for path, module in zip(paths, modules, strict=True):
                path.write_bytes(module.bitcode)
                rows.append(Row(name=module.name, kind=kind, bitcode_bytes=len(module.bitcode)))
                rows[-1].clang_s = time_clang(path, Path(folder) / "plain.o")
            optimize_all(rows, paths, engine, options)
            search_all(rows, modules, options)
            contents[kind] = [asdict(row) for row in rows]
            if options.report:
                options.report.mkdir(parents=True, exist_ok=True)
                data = (json.dumps(contents, indent=1) + "\n").encode()
                write_atomically(options.report / "optimize_seconds.json", data)
            print(f"\n{len(rows)} {kind}s, {sum(row.baseline_bytes for row in rows)} bytes at -Oz")
            table = summary(rows, options.max_evaluations)
            header = ("", "median s", "max s", "sum s", "saved")
            print_table(header, table, right="lrrrl")


def functions_of(options: argparse.Namespace) -> list[NamedModule]:
    """Return functions as large as labelled ones, drawn by their hashes."""
    columns = ("module_hash", "package", "function", "size_bytes", "bitcode")
    samples = load_samples(
        options.samples,
        split=options.split,
        kind="function",
        architecture=options.architecture,
        columns=columns,
    )
    large = (sample for sample in samples if sample.size_bytes >= MIN_SIZE_BYTES)
    chosen = heapq.nsmallest(options.functions, large, key=lambda sample: sample.module_hash)
    return [
        NamedModule(name=f"{sample.package}/{sample.function}", bitcode=sample.bitcode)
        for sample in chosen
    ]


def units_of(options: argparse.Namespace) -> list[NamedModule]:
    """Return units, drawn by their hashes."""
    units = [
        unit
        for unit in load_manifest(options.corpus / MANIFEST_NAME)
        if unit.split == options.split
        and unit.target_triple.startswith(options.architecture)
        and unit.num_bytes <= options.max_bytes
    ]
    return [
        NamedModule(
            name=f"{unit.package}/{unit.source}", bitcode=(options.corpus / unit.path).read_bytes()
        )
        for unit in heapq.nsmallest(options.units, units, key=lambda each_unit: each_unit.sha256)
    ]


if __name__ == "__main__":
    main()
