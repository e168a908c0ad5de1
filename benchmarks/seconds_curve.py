"""Saved bytes against processor seconds: `optimize` beside random, local and the paper's search.

    python benchmarks/seconds_curve.py CORPUS --units 20 --rows rows.jsonl --plot curve.png

On units of packages held out of training, in one run: `optimize` at each effort (over clang -Oz's
own object, everything from the file to the stock tools' object, model loaded; at `high` what wins
is not put to PassListEval), and pass lists alone in process (over default<Oz>): random search,
local search from the coreset, and the paper's autotuner (random, then minimisation). Seconds are
those that all processes spend on the processor, so that other jobs on the machine count little.
Rows are kept, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from processor_time import processor_seconds
from recipes import draw_units

from llm_compiler.console import note, print_table
from llm_compiler.corpus.manifest import Unit
from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.plots import require_matplotlib
from llm_compiler.llvm.module_jobs import EvaluateJob, RegistryJob
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.optimization.options import Effort
from llm_compiler.optimize import OptimizeOptions, optimize_many
from llm_compiler.records import OZ
from llm_compiler.search.autotune import Method, autotune_strategy, module_rng
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.strategies import fixed, in_sequence, local_search, random_search
from llm_compiler.search.trial import Strategy, Trial, run_trials
from llm_compiler.workers import LocalPool, run_jobs

EFFORTS = (Effort.FAST, Effort.DEFAULT, Effort.HIGH)
GRID = tuple(0.05 * 2 ** (step / 2) for step in range(20))
"""Seconds at which curves are drawn."""


def run_optimize(path: Path, effort: Effort, engine: Engine) -> dict[str, Any] | None:
    """Return the row of one unit at one effort."""
    settings = OptimizeOptions(
        candidates=effort.candidates, budget=effort.budget, trust=effort is Effort.HIGH
    )
    with LocalPool(1) as pool:
        run_jobs(pool, [RegistryJob()])  # the workers have started
        start = processor_seconds()
        (found,) = optimize_many([path], settings, pool=pool, engine=engine)
        seconds = processor_seconds() - start
    if isinstance(found, LlmCompilerError):
        note(f"{path}: {found}")
        return None
    return {
        "contender": f"optimize --effort {effort.value}",
        "curve": [[round(seconds, 3), found.optimized_bytes]],
        "baseline_bytes": found.baseline_bytes,
    }


def run_search(name: str, bitcode: bytes, strategy: Strategy, budget: int) -> dict[str, Any] | None:
    """Return the row of one search on one unit: its best after each batch."""
    with LocalPool(1) as pool:
        job = EvaluateJob(bitcode=bitcode, pass_lists=(OZ,))
        (oz,) = run_jobs(pool, [job])[0]
        if not oz.ok:
            return None
        trial = Trial(bitcode=bitcode, budget=budget, timeout_s=30.0)
        curve: list[list[float]] = []
        start = processor_seconds()

        def seen(trial: Trial) -> None:
            best = min(oz.size_bytes, trial.best_value or oz.size_bytes)
            curve.append([round(processor_seconds() - start, 3), best])

        for _ in run_trials(pool, [(trial, strategy)], on_progress=seen):
            pass
    return {"contender": name, "curve": curve, "baseline_bytes": oz.size_bytes}


def measure(
    unit: Unit,
    options: argparse.Namespace,
    engine: Engine,
    space: Sequence[str],
    keep: Callable[[dict[str, Any] | None], None],
    known: set[str],
) -> None:
    """Measure what is missing of one unit."""
    path = options.corpus / unit.path
    for effort in EFFORTS:
        if f"optimize --effort {effort.value}" not in known:
            keep(run_optimize(path, effort, engine))
    coreset = load_coreset()
    rng = module_rng(options.seed, unit.sha256)
    searches = {
        "random search": random_search(space, rng),
        "local search from the coreset": in_sequence(
            fixed(coreset.lists[:16]),
            local_search(space, rng, weights=coreset.weights_for(space), donors=coreset.lists),
        ),
        "the paper's autotuner": autotune_strategy(
            Method.PAPER, space=space, budget=options.budget, rng=rng
        ),
    }
    for name, strategy in searches.items():
        if name not in known:
            keep(run_search(name, path.read_bytes(), strategy, options.budget))


def saved_at(row: dict[str, Any], seconds: float) -> float:
    """Return the share that the best at a time has of the baseline; 1 before there is any."""
    sizes = [size for when, size in row["curve"] if when <= seconds]
    baseline: int = row["baseline_bytes"]
    return float(min([baseline, *sizes]) / baseline)


def figure(rows: Sequence[dict[str, Any]], seconds: float) -> float:
    """Return the geometric mean saving in percent of all units at a time."""
    logs = [math.log(saved_at(row, seconds)) for row in rows]
    return 100 * (1 - math.exp(statistics.mean(logs)))


def report(rows: Sequence[dict[str, Any]], plot: Path | None) -> None:
    """Print a table, and draw the curves."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["contender"], []).append(row)
    common = set.intersection(*({table["unit"] for table in of} for of in groups.values()))
    groups = {
        name: [table for table in of if table["unit"] in common] for name, of in groups.items()
    }
    cells = []
    for name, of in groups.items():
        ends = [table["curve"][-1][0] for table in of if table["curve"]]
        marks = [f"{figure(of, s):.2f}" for s in (0.3, 1.2, 5.0, 20.0)]
        cells.append(
            (name, *marks, f"{figure(of, math.inf):.2f}", f"{statistics.median(ends):.2f}")
        )
    print(f"{len(common)} units; saved in percent, geometric mean, after so many processor seconds")
    header = ("", "0.3 s", "1.2 s", "5 s", "20 s", "in the end", "median s in all")
    print_table(header, cells, right="lrrrrrr")
    if plot is None:
        return
    pyplot = require_matplotlib()
    drawn, axis = pyplot.subplots(figsize=(7.5, 4.5))
    points = []
    for name, of in groups.items():
        if name.startswith("optimize"):
            seconds = statistics.median(table["curve"][-1][0] for table in of)
            points.append((seconds, figure(of, math.inf), name.rsplit(" ", 1)[1]))
        else:
            axis.plot(GRID, [figure(of, s) for s in GRID], label=name)
    points.sort()
    axis.plot(
        [point[0] for point in points],
        [point[1] for point in points],
        "o--",
        label="optimize (median seconds)",
    )
    for seconds, saved, name in points:
        axis.annotate(name, (seconds, saved), textcoords="offset points", xytext=(6, -12))
    axis.set_xscale("log")
    axis.set_xlabel("processor seconds a unit")
    axis.set_ylabel("saved of all allocated bytes, geometric mean, %")
    axis.set_title(f"{len(common)} units of packages held out of training")
    axis.grid(alpha=0.3)
    axis.legend()
    drawn.tight_layout()
    drawn.savefig(plot, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--split", default="validation")
    parser.add_argument("--units", type=int, default=20)
    parser.add_argument("--max-bytes", type=int, default=60_000, help="of a unit's bitcode")
    parser.add_argument("--budget", type=int, default=256, help="evaluations of the searches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE.png")
    options = parser.parse_args()
    lines = options.rows.read_text().splitlines() if options.rows.exists() else []
    rows = [json.loads(line) for line in lines]
    with LocalPool(1) as pool:
        space: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
    with load_engine() as engine, options.rows.open("a") as out:
        for unit in draw_units(options, options.units):
            known = {row["contender"] for row in rows if row["unit"] == unit.path}

            def keep(row: dict[str, Any] | None, unit: Unit = unit) -> None:
                if row is not None:
                    rows.append({"unit": unit.path, **row})
                    out.write(json.dumps(rows[-1]) + "\n")
                    out.flush()

            measure(unit, options, engine, space, keep, known)
    report(rows, options.plot)


if __name__ == "__main__":
    main()
