"""How much do K fixed lists, random search and local search save over the honest clang -Oz?

    python benchmarks/coreset_vs_search.py CORPUS --report DIR [--split validation]

On units of packages that the coreset was not built on: saved bytes by the first 1, 4, 16, 64 lists
of the coreset, by 64, 256, 1,000 evaluations of random search, and by local search from the
coreset's best at equal evaluations. Both metrics, total and geometric mean, 95 % bootstrap
intervals over units; table, plot and one JSON row a unit. Everything measured is kept in the store:
stopped, it goes on. The best list at 16 is rebuilt with the stock tools, whose size is reported
beside.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.console import print_table, progress
from llm_compiler.corpus.inputs import NamedModule, Selection, corpus_modules
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.module_jobs import InspectJob, RegistryJob
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.output import write_atomically
from llm_compiler.records import PassList
from llm_compiler.search.autotune import module_rng
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import SIZE, TEXT_DATA, Objective
from llm_compiler.search.store import Store
from llm_compiler.search.strategies import fixed, in_sequence, local_search, random_search
from llm_compiler.search.trial import Strategy, Trial, run_trials
from llm_compiler.workers import LocalPool, run_jobs

CORESET_COUNTS = (1, 4, 16, 64)
RANDOM_COUNTS = (64, 256, 1000)
LOCAL_COUNTS = (32, 64, 100, 256)
METRICS = (SIZE, TEXT_DATA)


@dataclass(slots=True)
class Row:
    """One unit: the baseline's sizes, and for each contender and metric the best after each
    evaluation (never worse than the baseline: the fallback is free for everybody)."""

    name: str
    package: str
    baseline: dict[str, int]
    curves: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    stock_at_16: int = 0
    in_process_at_16: int = 0


def baseline_sizes(stock: Stock, bitcode: bytes) -> ObjectSizes | None:
    """Return the sizes of clang -Oz -c on a unit's unoptimised bitcode; None if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "unit.bc", Path(folder) / "unit.o"
        source.write_bytes(bitcode)
        try:
            stock.compile_source(stock.baseline_command(source, output), source)
        except LlmCompilerError:
            return None
        return section_sizes(output.read_bytes())


def stock_size(stock: Stock, bitcode: bytes, passes: PassList, pic: bool) -> int | None:
    """Return the size of the object that the stock tools make with a pass list."""
    with tempfile.TemporaryDirectory() as folder:
        source, optimized = Path(folder) / "unit.bc", Path(folder) / "optimized.bc"
        output = Path(folder) / "unit.o"
        source.write_bytes(bitcode)
        try:
            stock.run_opt(passes, source, optimized, pic=pic)
            stock.run_backend(optimized, output)
        except LlmCompilerError:
            return None
        return section_sizes(output.read_bytes()).size_bytes


def curve(trial: Trial, objective: Objective, bound: int) -> list[int]:
    """Return the best value of an objective after each evaluation, with the baseline as backup."""
    best, values = bound, []
    for measurement in trial.known.values():
        if measurement.ok:
            best = min(best, objective.of(measurement))
        values.append(best)
    return values


def at(values: Sequence[int], count: int, bound: int) -> int:
    """Return a curve's value after `count` evaluations."""
    return values[min(count, len(values)) - 1] if values else bound


def interval(
    sizes: Sequence[tuple[int, int]], measure: Callable[[Sequence[tuple[int, int]]], float]
) -> tuple[float, float, float]:
    """Return a measure over units and its 95 % bootstrap interval (1,000 resamples, seed 0)."""
    rng = random.Random(0)
    samples = sorted(measure(rng.choices(sizes, k=len(sizes))) for _ in range(1000))
    return measure(sizes), samples[25], samples[974]


def total_gain(sizes: Sequence[tuple[int, int]]) -> float:
    return 1 - sum(ours for _, ours in sizes) / sum(base for base, _ in sizes)


def geomean_gain(sizes: Sequence[tuple[int, int]]) -> float:
    return 1 - math.exp(sum(math.log(ours / base) for base, ours in sizes) / len(sizes))


def search_all(
    pool: LocalPool,
    store: Store,
    rows: dict[str, Row],
    modules: Sequence[NamedModule],
    options: argparse.Namespace,
) -> None:
    """Run the three contenders on every unit and keep their curves in the rows."""
    space = run_jobs(pool, [RegistryJob()])[0][0]
    coreset = load_coreset()
    weights = coreset.weights_for(space)

    def pairs(contender: str) -> list[tuple[Trial, Strategy]]:
        found: list[tuple[Trial, Strategy]] = []
        for module in modules:
            budget = {"coreset": 64, "random": options.random, "local": options.local}[contender]
            trial = Trial(bitcode=module.bitcode, budget=budget, name=module.name)
            rng = module_rng(options.seed, trial.module_hash)
            if contender == "coreset":
                strategy = fixed(coreset.lists[:64])
            elif contender == "random":
                strategy = random_search(space, rng)
            else:
                start = fixed(coreset.lists[: options.local_start])
                search = local_search(space, rng, weights=weights, donors=coreset.lists)
                strategy = in_sequence(start, search)
            found.append((trial, strategy))
        return found

    for contender in options.contenders.split(","):
        started = time.monotonic()
        work = pairs(contender)
        with progress(len(work), contender) as bar:
            for done, trial in enumerate(run_trials(pool, work, store=store), 1):
                bar.update(done, trial.name)
                row = rows[trial.name]
                row.curves[contender] = {
                    metric.name: curve(trial, metric, row.baseline[metric.name])
                    for metric in METRICS
                }
                if contender == "coreset":
                    _rebuild_at_16(row, trial)
        print(f"{contender}: {time.monotonic() - started:.0f} s", flush=True)


def _rebuild_at_16(row: Row, trial: Trial) -> None:
    first = [(p, m) for p, m in list(trial.known.items())[:16] if m.ok]
    passes, measurement = min(first, key=lambda pair: pair[1].size_bytes)
    stock = Stock(toolchain=find_toolchain())
    pic = PIC[trial.name]
    row.in_process_at_16 = measurement.size_bytes
    row.stock_at_16 = stock_size(stock, trial.bitcode, passes, pic) or row.baseline["size"]


PIC: dict[str, bool] = {}


def table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the table's rows: contender, evaluations, and the gains with their intervals."""
    lines = []
    counts = {"coreset": CORESET_COUNTS, "local": LOCAL_COUNTS, "random": RANDOM_COUNTS}
    for contender, numbers in counts.items():
        for count in numbers:
            cells: list[str] = [contender, str(count)]
            for metric in METRICS:
                sizes = [
                    (row.baseline[metric.name], at(row.curves[contender][metric.name], count, 0))
                    for row in rows
                    if row.baseline[metric.name] > 0
                ]
                for measure in (total_gain, geomean_gain):
                    value, low, high = interval(sizes, measure)
                    cells.append(f"{100 * value:.2f} % [{100 * low:.2f}, {100 * high:.2f}]")
            lines.append(tuple(cells))
    return lines


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw total gain by size against evaluations, with the 95 % band."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    labels = {
        "coreset": "coreset in its order",
        "local": "local search from the coreset",
        "random": "random search",
    }
    for axis, (measure, title) in zip(
        axes, ((total_gain, "total"), (geomean_gain, "geometric mean")), strict=True
    ):
        for contender, label in labels.items():
            longest = max(len(row.curves[contender]["size"]) for row in rows)
            points = sorted({round(1.25**i) for i in range(32)} & set(range(1, longest + 1)))
            points = sorted({*points, longest})
            found = [
                interval(
                    [(r.baseline["size"], at(r.curves[contender]["size"], n, 0)) for r in rows],
                    measure,
                )
                for n in points
            ]
            axis.plot(points, [100 * v for v, _, _ in found], label=label)
            low, high = ([100 * f[i] for f in found] for i in (1, 2))
            axis.fill_between(points, low, high, alpha=0.15)
        axis.set_xscale("log")
        axis.set_xlabel("evaluations")
        axis.set_title(f"saved over clang -Oz, {title}, {len(rows)} units")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("% of allocated bytes, 95 % bootstrap band")
    axes[0].legend()
    figure.tight_layout()
    temporary = path.with_suffix(".tmp.png")
    figure.savefig(temporary, dpi=120)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--store", type=Path, default=Path("work/evaluate.db"))
    parser.add_argument("--split", default="validation")
    parser.add_argument("--units", type=int, default=160)
    parser.add_argument("--min-bytes", type=int, default=200, help="of the -Oz object")
    parser.add_argument("--max-bitcode", type=int, default=60_000)
    parser.add_argument("--random", type=int, default=1000)
    parser.add_argument("--local", type=int, default=256)
    parser.add_argument("--local-start", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument(
        "--contenders",
        default="coreset,local,random",
        help="fewer only fill the store: the report needs all three",
    )
    options = parser.parse_args()
    toolchain = find_toolchain()
    stock = Stock(toolchain=toolchain)
    options.report.mkdir(parents=True, exist_ok=True)
    candidates = corpus_modules(options.corpus, Selection(split=options.split, seed=options.seed))
    candidates = [m for m in candidates if len(m.bitcode) <= options.max_bitcode]
    random.Random(options.seed).shuffle(candidates)
    by_package: dict[str, int] = {}
    rows: dict[str, Row] = {}
    modules: list[NamedModule] = []
    # At most a fifth from one package, so that no package decides the figure.
    limit = max(1, options.units // 5)
    with ThreadPoolExecutor(max_workers=options.jobs or 2) as threads:
        sizes = threads.map(lambda m: baseline_sizes(stock, m.bitcode), candidates)
        for module, size in zip(candidates, sizes, strict=True):
            if size is None or size.size_bytes < options.min_bytes or len(modules) == options.units:
                continue
            if by_package.get(module.package, 0) >= limit:
                continue
            by_package[module.package] = by_package.get(module.package, 0) + 1
            modules.append(module)
            rows[module.name] = Row(
                name=module.name,
                package=module.package,
                baseline={"size": size.size_bytes, "text-data": size.text_data_bytes},
            )
    print(f"{len(modules)} units of {len(by_package)} packages: {by_package}", flush=True)
    with (
        LocalPool(options.jobs) as pool,
        Store(options.store, llvm_version=toolchain.version) as store,
    ):
        inspected = run_jobs(pool, [InspectJob(inputs=(m.bitcode,)) for m in modules])
        PIC.update({m.name: i[0].pic for m, i in zip(modules, inspected, strict=True)})
        search_all(pool, store, rows, modules, options)
    done = list(rows.values())
    if len(done[0].curves) < 3:
        return
    lines = table(done)
    columns = [f"{metric}, {how}" for metric in METRICS for how in ("total", "geomean")]
    header = ("contender", "evaluations", *columns)
    print()
    print_table(header, lines, right="lr")
    same = sum(row.stock_at_16 == row.in_process_at_16 for row in done)
    stock_sizes = [(r.baseline["size"], min(r.stock_at_16, r.baseline["size"])) for r in done]
    summary = (
        f"coreset at 16, rebuilt with clang and opt: total {100 * total_gain(stock_sizes):.2f} %, "
        f"geomean {100 * geomean_gain(stock_sizes):.2f} %; {same} of {len(done)} objects as large "
        "as in process"
    )
    print("\n" + summary)
    markdown = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    markdown += ["| " + " | ".join(line) + " |" for line in lines]
    text = f"{len(done)} units of {len(by_package)} packages, LLVM {toolchain.version}\n\n"
    text += "\n".join(markdown) + f"\n\n{summary}\n"
    write_atomically(options.report / "report.md", text.encode())
    records = [
        {
            "unit": row.name,
            "package": row.package,
            "baseline": row.baseline,
            "stock_at_16": row.stock_at_16,
            **{
                f"{contender}_{metric.name}_{count}": at(
                    row.curves[contender][metric.name], count, 0
                )
                for contender, numbers in (
                    ("coreset", CORESET_COUNTS),
                    ("local", LOCAL_COUNTS),
                    ("random", RANDOM_COUNTS),
                )
                for metric in METRICS
                for count in numbers
            },
        }
        for row in done
    ]
    lines_text = "\n".join(json.dumps(record) for record in records) + "\n"
    write_atomically(options.report / "rows.jsonl", lines_text.encode())
    plot(done, options.report / "gain.png")


if __name__ == "__main__":
    main()
