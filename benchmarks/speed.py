"""How fast is LLVM in process, crash isolation included, against opt + llc as subprocesses?

    python benchmarks/speed.py [CORPUS]

On functions extracted from units and on whole units: one -Oz evaluation; the candidates of a random
and of a local search, replayed as recorded, with prefixes and no-ops shared; scaling with workers.
Each ratio is taken in one run on one machine. Without a corpus the units are those of `examples/`.
The subprocesses run a stated sample of each stream (each K-th candidate), the workers all of it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.corpus.inputs import MANIFEST, NamedModule, Selection, collect_files, load_modules
from llm_compiler.llvm.module_jobs import EvaluateJob, ExtractJob, InspectJob, RegistryJob
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run
from llm_compiler.records import PassList, content_hash
from llm_compiler.search.autotune import module_rng, starting_lists
from llm_compiler.search.strategies import fixed, in_sequence, local_search, random_search
from llm_compiler.search.trial import Strategy, Trial, run_trials
from llm_compiler.workers import LocalPool, run_jobs

OZ = PassList(("default<Oz>",))
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def subprocess_seconds(toolchain: Toolchain, bitcode: bytes, lists: Sequence[PassList]) -> float:
    """Time opt + llc + reading the sizes, one process each, as a script would."""
    with tempfile.TemporaryDirectory() as folder:
        source, optimized = Path(folder) / "in.bc", Path(folder) / "out.bc"
        target = Path(folder) / "out.o"
        source.write_bytes(bitcode)
        start = time.perf_counter()
        for passes in lists:
            opt = [toolchain.tool("opt"), f"-passes={passes.pipeline}", source, "-o", optimized]
            llc = [toolchain.tool("llc"), "-O2", "-filetype=obj", "--relocation-model=pic"]
            if run([*map(str, opt)], timeout_s=120).ok:
                run([*map(str, llc), str(optimized), "-o", str(target)], timeout_s=120)
                section_sizes(target.read_bytes())
        return time.perf_counter() - start


def load_seconds() -> tuple[float, float]:
    """Time the loading of libLLVM, and the start of a pool with one worker, in fresh processes."""
    code = (
        "import time; from llm_compiler.llvm.capi import load; "
        "from llm_compiler.llvm.toolchain import find_toolchain; find_toolchain(); "
        "t = time.perf_counter(); load().initialize_target('x86_64'); "
        "print(time.perf_counter() - t)"
    )
    found = [float(run([sys.executable, "-c", code], timeout_s=60).stdout) for _ in range(5)]
    start = time.perf_counter()
    with LocalPool(1) as pool:
        run_jobs(pool, [RegistryJob()])
        return statistics.median(found), time.perf_counter() - start


def functions_of(pool: LocalPool, units: Sequence[NamedModule], count: int) -> list[NamedModule]:
    """Extract functions of at least 20 instructions, spread over the units."""
    found: list[NamedModule] = []
    rng = random.Random(0)
    order = list(units)
    rng.shuffle(order)
    for unit in order:
        inspection = run_jobs(pool, [InspectJob(inputs=(unit.bitcode,))])[0][0]
        names = list(inspection.functions)
        rng.shuffle(names)
        job = ExtractJob(bitcode=unit.bitcode, functions=tuple(names[:4]))
        for name, emitted in zip(job.functions, run_jobs(pool, [job])[0], strict=True):
            size = run_jobs(pool, [InspectJob(inputs=(emitted.data,))])[0][0]
            if emitted.data and size.num_instructions >= 20:
                found.append(NamedModule(name=f"{unit.name}:{name}", bitcode=emitted.data))
    rng.shuffle(found)
    return found[:count]


def record_streams(
    pool: LocalPool, modules: Sequence[NamedModule], budget: int
) -> dict[str, list[tuple[NamedModule, list[PassList]]]]:
    """Run both searches and return the candidates that each asked for, module by module."""
    space = run_jobs(pool, [RegistryJob()])[0][0]
    streams: dict[str, list[tuple[NamedModule, list[PassList]]]] = {}
    for name in ("random", "local"):
        pairs: list[tuple[Trial, Strategy]] = []
        for module in modules:
            trial = Trial(bitcode=module.bitcode, budget=budget, name=module.name)
            rng = module_rng(0, trial.module_hash)
            if name == "random":
                strategy = random_search(space, rng)
            else:
                strategy = in_sequence(fixed(starting_lists()), local_search(space, rng))
            pairs.append((trial, strategy))
        done = {id(trial): trial for trial in run_trials(pool, pairs)}
        streams[name] = [
            (module, list(done[id(trial)].known))
            for module, (trial, _) in zip(modules, pairs, strict=True)
        ]
    return streams


def replay_seconds(
    num_workers: int, stream: Sequence[tuple[NamedModule, list[PassList]]], *, share: bool
) -> float:
    """Time a recorded stream over a fresh pool; the start of the pool is not counted."""
    with LocalPool(num_workers) as pool:
        run_jobs(pool, [RegistryJob()] * num_workers)
        jobs = [
            EvaluateJob(
                bitcode=module.bitcode,
                pass_lists=tuple(lists),
                share=share,
                module_hash=content_hash(module.bitcode),
            )
            for module, lists in stream
        ]
        start = time.perf_counter()
        run_jobs(pool, jobs)
        return time.perf_counter() - start


def compare(
    toolchain: Toolchain, what: str, modules: Sequence[NamedModule], budget: int, every: int
) -> list[tuple[str, ...]]:
    """Return the table rows of one kind of module."""
    rows: list[tuple[str, ...]] = []
    singles = [(module, [OZ]) for module in modules]
    ours = replay_seconds(1, singles, share=False) / len(modules)
    theirs = sum(subprocess_seconds(toolchain, m.bitcode, [OZ]) for m in modules) / len(modules)
    rows.append((what, "one -Oz", "1", str(len(modules)), *_cells(ours, theirs)))
    with LocalPool(1) as pool:
        streams = record_streams(pool, modules, budget)
    totals = [0.0, 0.0]
    num_candidates = 0
    for name, stream in streams.items():
        count = sum(len(lists) for _, lists in stream)
        shared = replay_seconds(1, stream, share=True)
        plain = replay_seconds(1, stream, share=False)
        sampled = [(module, lists[::every]) for module, lists in stream]
        num_sampled = sum(len(lists) for _, lists in sampled)
        seconds = sum(subprocess_seconds(toolchain, m.bitcode, lists) for m, lists in sampled)
        theirs = seconds / num_sampled
        rows.append((what, f"{name} search", "1", str(count), *_cells(shared / count, theirs)))
        rows.append((what, f"{name}, no sharing", "1", str(count), *_cells(plain / count, theirs)))
        totals[0] += shared
        totals[1] += theirs * count
        num_candidates += count
        for workers in (2,):
            seconds = replay_seconds(workers, stream, share=True)
            cells = _cells(seconds / count, theirs)
            rows.append((what, f"{name} search", str(workers), str(count), *cells))
    rows.append(
        (
            what,
            "both searches",
            "1",
            str(num_candidates),
            *_cells(totals[0] / num_candidates, totals[1] / num_candidates),
        )
    )
    return rows


def _cells(ours: float, theirs: float) -> tuple[str, str, str, str]:
    return (
        f"{1 / ours:.0f}",
        f"{1000 * ours:.2f}",
        f"{1000 * theirs:.1f}",
        f"{theirs / ours:.1f}x",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("corpus", nargs="?", type=Path, default=EXAMPLES)
    parser.add_argument("--modules", type=int, default=50)
    parser.add_argument("--units", type=int, default=50, help="whole units")
    parser.add_argument("--budget", type=int, default=100, help="candidates a search and module")
    parser.add_argument(
        "--every", type=int, default=20, help="subprocesses run each K-th candidate"
    )
    parser.add_argument("--max-bytes", type=int, default=60_000, help="bitcode of a unit")
    options = parser.parse_args()
    toolchain = find_toolchain()
    inputs = [options.corpus]
    if not (options.corpus / MANIFEST).exists():
        inputs = collect_files(inputs)
    selection = Selection(split="validation", limit=4 * options.modules)
    units, _ = load_modules(inputs, Stock(toolchain=toolchain), selection, jobs=2)
    units = [unit for unit in units if len(unit.bitcode) <= options.max_bytes]
    random.Random(0).shuffle(units)
    with LocalPool(1) as pool:
        functions = functions_of(pool, units, options.modules)
    load_s, pool_s = load_seconds()
    print(f"loading libLLVM: {load_s:.3f} s; a pool until its first answer: {pool_s:.2f} s")
    header = ("modules", "what", "workers", "evaluations", "1/s", "ms", "opt + llc ms", "ratio")
    print(f"LLVM {toolchain.version}; opt + llc on each {options.every}th candidate")
    kinds = (("functions", functions), ("whole units", units[: options.units]))
    for what, modules in kinds:
        size = statistics.median(len(module.bitcode) for module in modules)
        print(f"\n{len(modules)} {what}, median {size:.0f} bytes of bitcode\n", flush=True)
        rows = compare(toolchain, what, modules, options.budget, options.every)
        print_table(header, rows, right="llrrrrrr")


if __name__ == "__main__":
    main()
