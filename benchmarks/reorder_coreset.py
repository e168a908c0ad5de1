"""Leave rejected lists out of a coreset, order the rest by labels; print gains before and after.

    python benchmarks/reorder_coreset.py [--keep 8] [--drop N...] [-o coreset.json]
        [--coreset JSON] [--labels FOLDER] [--num-lists N]

The labels (`data/labels-*.parquet`) know what every list of the coreset makes of every module, so
that no module is compiled. New lists come in by a coreset that holds them and labels made of it
(`llm-compiler labels build --coreset JSON`). The first lists keep their places, since the model
reads what they made of a module (`--keep`); after them the list comes next that most improves the
best so far on modules of the train split, both targets. Left out are lists that the registry or a
shipped verdict rejects, and those named by their places in the labels. Gains on the validation
split are printed.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy

from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.records import PassList, VerdictKind
from llm_compiler.search.coreset import Coreset, Pick, load_coreset, write_coreset
from llm_compiler.search.labels import read_labels
from llm_compiler.verify.target import ARCHITECTURES
from llm_compiler.verify.verdicts import VerdictBook

_STEPS = (1, 4, 8, 16, 32, 64)
Table = numpy.ndarray


def _table(folder: Path, name: str) -> tuple[list[PassList], Table]:
    """Return the lists of a label table, and sizes: (modules, lists + 1), default<Oz> first."""
    lists, modules = read_labels(folder / f"labels-{name}.parquet")
    sizes = numpy.array([module.size_bytes for module in modules], dtype=float)
    sizes[sizes < 0] = numpy.inf
    return list(lists), sizes


def _gains(sizes: Table, order: list[int]) -> tuple[float, float]:
    """Return the total and the geometric mean gain of lists over default<Oz>, in per cent."""
    base = sizes[:, 0]
    best = numpy.minimum(base, sizes[:, [place + 1 for place in order]].min(axis=1))
    return (
        100 * (1 - best.sum() / base.sum()),
        100 * (1 - float(numpy.exp(numpy.log(best / base).mean()))),
    )


def _greedy(tables: list[Table], first: list[int], rest: list[int]) -> list[int]:
    """Return `first`, then `rest` in the order of what each adds, on average over the tables."""
    logs = [numpy.log(table) for table in tables]
    best = [numpy.minimum(log[:, 0], log[:, [p + 1 for p in first]].min(axis=1)) for log in logs]
    order, rest = list(first), list(rest)
    while rest:
        gains = [
            sum(
                float(numpy.maximum(now - log[:, place + 1], 0).mean())
                for log, now in zip(logs, best, strict=True)
            )
            for place in rest
        ]
        chosen = rest.pop(int(numpy.argmax(gains)))
        order.append(chosen)
        best = [numpy.minimum(now, log[:, chosen + 1]) for log, now in zip(logs, best, strict=True)]
    return order


def _rejected(passes: PassList, book: VerdictBook, llvm_major: int) -> bool:
    verdicts = [book.lookup(passes, llvm_major, name) for name in ARCHITECTURES]
    return bool(unsafe_passes(passes)) or any(
        verdict is not None and verdict.kind is VerdictKind.REJECTED for verdict in verdicts
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=int, default=8, help="lists that keep their places")
    parser.add_argument("--drop", type=int, nargs="*", default=[])
    parser.add_argument("--coreset", type=Path, help="whose lists are ordered; default: shipped")
    parser.add_argument("--labels", type=Path, default=Path("data"), help="folder of the tables")
    parser.add_argument("--num-lists", type=int, help="keep no more of them")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    before = load_coreset(options.coreset)
    lists, train = _table(options.labels, "x86_64")
    place_of = {passes: position for position, passes in enumerate(lists)}
    if unknown := [recipe for recipe in before.lists if recipe not in place_of]:
        sys.exit(f"the labels know nothing of '{unknown[0]}'")
    order = [place_of[passes] for passes in before.lists]
    with VerdictBook(Path("/nonexistent/verdicts.db")) as book:
        bad = {p for p in order if _rejected(lists[p], book, before.llvm_major)}
    kept = [position for position in order if position not in bad | set(options.drop)]
    tables = [train, _table(options.labels, "aarch64")[1]]
    after = _greedy(tables, kept[: options.keep], kept[options.keep :])[: options.num_lists]
    print(f"{len(order) - len(kept)} lists left out: {sorted(set(order) - set(kept))}")
    print("total / geometric mean gain over default<Oz>, per cent")
    for name in ("x86_64", "aarch64", "validation-x86_64", "validation-aarch64"):
        sizes = _table(options.labels, name)[1]
        for step in _STEPS:
            old, new = _gains(sizes, order[:step]), _gains(sizes, after[:step])
            print(
                f"  {name:20} {step:3} lists: {old[0]:.2f} / {old[1]:.2f} before, "
                f"{new[0]:.2f} / {new[1]:.2f} after"
            )
    if options.output:
        picks = []
        for count, position in enumerate(after, 1):
            total, geomean = _gains(train, after[:count])
            best = train[:, [p + 1 for p in after[:count]]]
            others = numpy.minimum(train[:, 0], best[:, :-1].min(axis=1, initial=numpy.inf))
            picks.append(
                Pick(
                    passes=lists[position],
                    geomean_gain=geomean / 100,
                    total_gain=total / 100,
                    num_best=int((best[:, -1] < others).sum()),
                )
            )
        provenance = {
            **before.provenance,
            "reordered": datetime.now(UTC).date().isoformat(),
            "gains_on": f"{len(train)} modules of labels-x86_64.parquet",
            "num_left_out": before.provenance.get("num_left_out", 0) + len(order) - len(kept),
        }
        made: Coreset = replace(before, picks=tuple(picks), provenance=provenance)
        write_coreset(made, options.output)


if __name__ == "__main__":
    main()
