"""What random lists make of the modules that a coreset was measured on: random search beside it.

    python benchmarks/random_baseline.py work/samples data/labels-validation-x86_64.parquet \
        -o data/random-validation-x86_64.parquet

Draws lists as random search does (1 to 50 passes, uniformly), measures all of them on every module
of a table of labels, and writes a table of the same shape. From N lists a module the expected best
of any K <= N follows exactly (`benchmarks/labels_report.py`), so no order of the lists decides.
Stopped, it goes on from the journal beside the output.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from llm_compiler.console import progress, warn
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import COLUMNS, load_samples
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.records import PassList
from llm_compiler.search.labels import label_modules, read_labels, write_labels
from llm_compiler.search.strategies import random_list
from llm_compiler.workers import LocalPool, run_jobs


def draw_lists(space: tuple[str, ...], num: int, seed: int) -> list[PassList]:
    """Return `num` different lists of 1 to 50 passes."""
    rng = random.Random(seed)
    found: dict[PassList, None] = {}
    while len(found) < num:
        found[random_list(space, rng)] = None
    return list(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("samples", nargs="+", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--num-lists", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout-s", type=float, default=20.0)
    parser.add_argument("--jobs", type=int, default=None)
    options = parser.parse_args()
    wanted = {module_labels.module_hash for module_labels in read_labels(options.labels)[1]}
    columns = [name for name in COLUMNS if name != "text"]
    chosen: dict[str, Sample] = {}
    for folder in options.samples:
        for sample in load_samples(folder, columns=columns):
            if sample.module_hash in wanted:
                chosen.setdefault(sample.module_hash, sample)
    if len(chosen) < len(wanted):
        warn(f"{len(wanted) - len(chosen)} of {len(wanted)} modules are not among the samples")
    with LocalPool(options.jobs) as pool, progress(len(chosen), "measuring") as bar:
        space: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
        lists = draw_lists(space, options.num_lists, options.seed)
        found = list(
            label_modules(
                pool,
                sorted(chosen.values(), key=lambda each_sample: each_sample.module_hash),
                lists,
                options.output.with_suffix(".journal.jsonl"),
                timeout_s=options.timeout_s,
                on_progress=lambda done, sample: bar.update(done, sample.package),
            )
        )
    rows = write_labels(
        [module_labels for module_labels in found if module_labels.size_bytes[0] > 0],
        lists,
        options.output,
    )
    print(f"{len(found)} modules, {len(lists)} lists, {rows} rows: {options.output}")


if __name__ == "__main__":
    main()
