"""Do lists that the autotuner found on new modules cover what the coreset does not?

    python benchmarks/winners_beside_coreset.py work/autotune.db work/samples \
        --tables data/labels-validation-x86_64.parquet data/labels-validation-aarch64.parquet

The winners of a store (the best lists of each module by both metrics) are tried on a part of its
modules; from there on greedily, the list that shrinks them most behind all lists of the shipped
coreset comes next. What so many new lists add, and as many more of an order chosen anew from both,
is then measured on the modules of tables of labels, which no list was chosen on. Everything is kept
in the store; the coreset is not changed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import numpy

from llm_compiler.console import print_table, progress
from llm_compiler.corpus.samples import Sample
from llm_compiler.corpus.shards import load_samples
from llm_compiler.evaluate.flag_tuning.summary import gains
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import PassList
from llm_compiler.search.coreset import collect_candidates, greedy, load_coreset, measure_candidates
from llm_compiler.search.labels import read_labels
from llm_compiler.search.store import Store
from llm_compiler.workers import LocalPool

OZ = PassList(("default<Oz>",))
Sizes = dict[PassList, int]


def load(folders: Sequence[Path], hashes: set[str]) -> list[Sample]:
    """Return the samples of these hashes, each once."""
    columns = ("module_hash", "package", "split", "target_triple", "bitcode")
    found: dict[str, Sample] = {}
    for folder in folders:
        for sample in load_samples(folder, columns=columns):
            if sample.module_hash in hashes:
                found.setdefault(sample.module_hash, sample)
    return [found[name] for name in sorted(found)]


def measure(
    pool: LocalPool, store: Store, samples: Sequence[Sample], lists: Sequence[PassList], what: str
) -> dict[str, Sizes]:
    """Return the size that each list gives each module, by module hash."""
    pairs = [(sample.module_hash, sample.bitcode) for sample in samples]
    found = {}
    with progress(len(pairs), what) as bar:
        for done, trial in enumerate(measure_candidates(pool, pairs, lists, store), 1):
            bar.update(done, trial.name)
            values = {p: trial.value(p) for p in (OZ, *lists)}
            found[trial.name] = {p: v for p, v in values.items() if v is not None}
    return {name: sizes for name, sizes in found.items() if OZ in sizes}


def saving(table: dict[str, Sizes], lists: Sequence[PassList]) -> tuple[str, str]:
    """Return total and geometric mean gain of the best of some lists, with intervals."""
    base = numpy.array([sizes[OZ] for sizes in table.values()])
    best = [min([s[OZ], *(s[p] for p in lists if p in s)]) for s in table.values()]
    total, geomean = gains(base, numpy.array(best))
    return total.text(), geomean.text()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("samples", nargs="+", type=Path)
    parser.add_argument("--tables", nargs="+", type=Path, required=True)
    parser.add_argument("--max-candidates", type=int, default=150)
    parser.add_argument("--max-modules", type=int, default=300)
    parser.add_argument("--min-evaluations", type=int, default=400)
    parser.add_argument("--num-new", type=int, default=64)
    parser.add_argument("--jobs", type=int, default=None)
    options = parser.parse_args()
    coreset = list(load_coreset().lists)
    with (
        LocalPool(options.jobs) as pool,
        Store(options.store, llvm_version=find_toolchain().version) as store,
    ):
        hashes = [
            row[0]
            for row in store.modules()
            if len(store.all_measurements(row[0])) >= options.min_evaluations
        ]
        found = collect_candidates(store, hashes, limit=options.max_candidates + len(coreset))
        winners = [p for p in found if p not in set(coreset)][: options.max_candidates]
        print(f"{len(hashes)} modules searched; {len(winners)} of their winners are candidates")
        some = set(random.Random(0).sample(sorted(hashes), min(len(hashes), options.max_modules)))
        tuned = measure(pool, store, load(options.samples, some), [*coreset, *winners], "winners")
        # What the coreset's lists make of a module is its baseline: a new list must be better.
        covered = [min(s[p] for p in (OZ, *coreset) if p in s) for s in tuned.values()]
        values = [{p: s[p] for p in winners if p in s} for s in tuned.values()]
        added = [pick.passes for pick in greedy(values, covered, num_lists=options.num_new)]
        everything = [{p: v for p, v in s.items() if p != OZ} for s in tuned.values()]
        anew = [
            pick.passes
            for pick in greedy(everything, [s[OZ] for s in tuned.values()], num_lists=len(coreset))
        ]
        of_new = sum(passes not in set(coreset) for passes in anew[:16])
        print(f"chosen anew, {of_new} of the first 16 lists are new ones")
        rows = []
        needed = list(dict.fromkeys([*coreset, *added, *anew]))
        groups = {f"searched ({len(tuned)})": tuned}
        for path in options.tables:
            lists, labels = read_labels(path)
            known = {
                label.module_hash: {
                    p: v for p, v in zip((OZ, *lists), label.size_bytes, strict=True) if v >= 0
                }
                for label in labels
            }
            rest = [p for p in needed if p not in set(lists)]
            table = measure(pool, store, load(options.samples, set(known)), rest, path.stem)
            table = {name: {**sizes, **known[name]} for name, sizes in table.items()}
            groups[f"{path.stem} ({len(table)})"] = table
        for name, table in groups.items():
            for count in (16, 64, len(coreset)):
                rows.append((name, f"coreset {count}", *saving(table, coreset[:count])))
            for count in (8, 32, options.num_new):
                lists = [*coreset, *added[:count]]
                rows.append((name, f"coreset + {len(added[:count])} new", *saving(table, lists)))
            for count in (16, 64, len(anew)):
                rows.append((name, f"chosen anew {count}", *saving(table, anew[:count])))
    print_table(("modules", "lists", "saved, total", "geomean"), rows, right="llll")
    for passes in added[:16]:
        print(passes.pipeline)


if __name__ == "__main__":
    main()
