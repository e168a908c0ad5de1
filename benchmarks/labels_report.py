"""What the committed tables of labels say: counts, gains, ceilings, autotuned modules, verdicts.

    python benchmarks/labels_report.py data/ [--packages] [--report DIR]

Reads the Parquet files of a folder, by name, and nothing else; all gains are over default<Oz> in
process, which is every list's backup, with 95 % bootstrap intervals over modules:

* `labels-*`: the first K lists of the coreset in their order, on each split and target;
* `random-*`: beside them, the expected best of K random lists on the same modules, exactly: of N
  lists measured on each module, the mean over all choices of K;
* `ceiling-*`, `autotuned-*`: the best that the autotuner found, and how long its lists are;
* `verdicts`: lists that PassListEval was asked about, and those that it rejected.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy

from llm_compiler.evaluate.figures import Figure
from llm_compiler.evaluate.flag_tuning.summary import gains
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.output import write_atomically
from llm_compiler.parquet import read_table
from llm_compiler.search.labels import Ceiling, ModuleLabels, read_ceilings, read_labels

COUNTS = (1, 4, 16, 64)
METRICS = ("size_bytes", "text_data_bytes")
METRIC_NAMES = ("all allocated bytes", ".text + .data")
Rows = list[tuple[str, ...]]
Table = tuple[tuple[str, ...], Rows]


def architecture(target_triple: str) -> str:
    return architecture_of(target_triple)


def by_group(labels: Sequence[ModuleLabels]) -> dict[tuple[str, str], list[ModuleLabels]]:
    """Return the modules of each split and target, in the order of both names."""
    found: dict[tuple[str, str], list[ModuleLabels]] = {}
    for label in labels:
        found.setdefault((label.split, architecture(label.target_triple)), []).append(label)
    return dict(sorted(found.items()))


def pair(base: Sequence[int], sizes: Sequence[float], logs: Sequence[float]) -> tuple[Figure, ...]:
    """Return the total gain of sizes, and the geometric mean gain of logarithms of sizes."""
    before = numpy.array(base, dtype=numpy.int64)
    return (
        gains(before, numpy.array(sizes, dtype=numpy.float64))[0],
        gains(before, numpy.exp(numpy.array(logs)))[1],
    )


def in_order(labels: Sequence[ModuleLabels], metric: str, count: int) -> tuple[Figure, ...]:
    """Return the gains of the first `count` lists."""
    base, sizes = [], []
    for label in labels:
        values = getattr(label, metric)
        base.append(values[0])
        sizes.append(min([values[0], *(v for v in values[1 : count + 1] if v >= 0)]))
    return pair(base, sizes, [math.log(max(size, 1)) for size in sizes])


def drawn(labels: Sequence[ModuleLabels], metric: str, count: int) -> tuple[Figure, ...]:
    """Return the expected gains of `count` lists drawn from all of a module's lists."""
    base, sizes, logs = [], [], []
    for label in labels:
        oz, *values = getattr(label, metric)
        ordered = sorted(min(oz, value) if value >= 0 else oz for value in values)
        num = len(ordered)
        # The i-th smallest is the best if it is drawn and the rest come from behind it.
        ways = [math.comb(num - 1 - i, count - 1) / math.comb(num, count) for i in range(num)]
        base.append(oz)
        sizes.append(sum(w * v for w, v in zip(ways, ordered, strict=True)))
        logs.append(sum(w * math.log(max(v, 1)) for w, v in zip(ways, ordered, strict=True)))
    return pair(base, sizes, logs)


def texts(figures: Sequence[Figure]) -> tuple[str, ...]:
    return tuple(figure.text() for figure in figures)


def count_labels(folder: Path) -> Table:
    """Return modules, packages, lists and the largest share of a package by file and group."""
    rows: Rows = []
    for path in sorted(folder.glob("labels-*.parquet")):
        lists, labels = read_labels(path)
        for (split, target), members in by_group(labels).items():
            packages = Counter(member.package for member in members)
            (name, most), *_ = packages.most_common(1)
            share = f"{100 * most / len(members):.1f} % ({name})"
            sizes = sorted(member.size_bytes[0] for member in members)
            failed = sum(v < 0 for member in members for v in member.size_bytes)
            rows.append(
                (
                    *(path.name, split, target, str(len(members)), str(len(packages)), share),
                    *(str(sizes[0]), str(statistics.median_low(sizes)), str(sizes[-1])),
                    *(str(len(lists)), str(failed)),
                )
            )
    header = (
        *("file", "split", "target", "modules", "packages", "largest share of a package"),
        *("bytes at -Oz: least", "median", "most", "lists", "failed"),
    )
    return header, rows


def count_packages(folder: Path) -> Table:
    """Return the labelled modules of each package by split and target."""
    counts: Counter[tuple[str, tuple[str, str]]] = Counter()
    for path in sorted(folder.glob("labels-*.parquet")):
        for group, members in by_group(read_labels(path)[1]).items():
            counts.update((member.package, group) for member in members)
    groups = sorted({group for _, group in counts})
    packages = sorted({package for package, _ in counts})
    rows = [(name, *(str(counts[name, group]) for group in groups)) for name in packages]
    return ("package", *(", ".join(group) for group in groups)), rows


def coreset_gains(folder: Path) -> Table:
    """Return what the first lists save, and random lists on the same modules."""
    rows: Rows = []
    for path in sorted(folder.glob("labels-*.parquet")):
        _, labels = read_labels(path)
        beside = path.with_name(path.name.replace("labels-", "random-", 1))
        random_labels = read_labels(beside)[1] if beside.exists() else []
        same = {label.module_hash for label in random_labels}
        for (split, target), members in by_group(labels).items():
            groups = [("coreset", members)]
            # On the modules that both were measured on, and no others.
            both = [member for member in members if member.module_hash in same]
            if both:
                if len(both) < len(members):
                    groups.append(("coreset, modules of random", both))
                hashes = {module_labels.module_hash for module_labels in both}
                groups.append(("random", [o for o in random_labels if o.module_hash in hashes]))
            for name, modules in groups:
                width = len(modules[0].size_bytes) - 1
                measure = drawn if name == "random" else in_order
                for count in [*(k for k in COUNTS if k < width), width]:
                    found = [texts(measure(modules, metric, count)) for metric in METRICS]
                    position = (split, target, str(len(modules)), name, str(count))
                    rows.append((*position, *found[0], *found[1]))
    return (*("split", "target", "modules", "lists", "K"), *gain_header()), rows


def gain_header() -> tuple[str, ...]:
    return tuple(f"{name}, {mean}" for name in METRIC_NAMES for mean in ("total", "geomean"))


def searched(folder: Path) -> Table:
    """Return what the autotuner saved on each split and target, and how long its lists are."""
    rows: Rows = []
    paths = [p for kind in ("ceiling", "autotuned") for p in sorted(folder.glob(f"{kind}-*"))]
    for path in paths:
        if path.suffix != ".parquet":
            continue
        groups: dict[tuple[str, str], list[Ceiling]] = {}
        for ceiling in read_ceilings(path):
            groups.setdefault((ceiling.split, architecture(ceiling.target_triple)), []).append(
                ceiling
            )
        for (split, target), members in sorted(groups.items()):
            base = [[getattr(member, f"oz_{metric}") for member in members] for metric in METRICS]
            best = [[getattr(member, f"best_{metric}") for member in members] for metric in METRICS]
            found = [
                texts(pair(b, o, [math.log(max(v, 1)) for v in o]))
                for b, o in zip(base, best, strict=True)
            ]
            improved = [
                member for member in members if member.best_size_bytes < member.oz_size_bytes
            ]
            lengths = [
                len(parse_pass_list(each_ceiling.best_size_passes)) for each_ceiling in improved
            ]
            evaluations = statistics.mean(member.num_evaluations for member in members)
            rows.append(
                (
                    *(path.name, split, target, str(len(members))),
                    *(f"{evaluations:.0f}", *found[0], *found[1]),
                    f"{100 * len(improved) / len(members):.0f} %",
                    f"{statistics.mean(lengths):.1f}" if lengths else "",
                )
            )
    header = ("file", "split", "target", "modules", "evaluations", *gain_header())
    return (*header, "smaller than -Oz", "mean length of their lists"), rows


def verdicts(folder: Path) -> Iterator[tuple[str, Table]]:
    """Yield how many lists PassListEval was asked about, and the rejected ones."""
    path = folder / "verdicts.parquet"
    if not path.exists():
        return
    found = read_table(path).to_pylist()
    counts: Counter[tuple[str, str]] = Counter()
    rejected: Counter[tuple[str, str]] = Counter()
    for item in found:
        key = (item["origin"], item["architecture"])
        counts[key] += 1
        rejected[key] += item["kind"] == "rejected"
    rows: Rows = [
        (*key, str(count), str(rejected[key]), f"{100 * rejected[key] / count:.1f} %")
        for key, count in sorted(counts.items())
    ]
    yield "PassListEval", (("where lists came from", "target", "lists", "rejected", "share"), rows)
    rows = [
        (
            value["origin"],
            value["architecture"],
            value["guilty"],
            value["program"],
            value["reason"][:100],
        )
        for value in found
        if value["kind"] == "rejected"
    ]
    header = ("where lists came from", "target", "passes that do it", "program", "how")
    yield "Rejected", (header, sorted(rows))


def markdown(title: str, table: Table) -> str:
    header, rows = table
    lines = [" | ".join(header), "|".join(["---"] * len(header)), *(" | ".join(r) for r in rows)]
    return f"## {title}\n\n" + "".join(f"| {line} |\n" for line in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", action="store_true", help="modules of each package too")
    parser.add_argument("--report", type=Path, help="write labels.md here as well")
    options = parser.parse_args()
    parts = [("Labelled modules", count_labels(options.folder))]
    if options.packages:
        parts.append(("By package", count_packages(options.folder)))
    parts.append(("The coreset, and random lists", coreset_gains(options.folder)))
    parts.append(("The autotuner", searched(options.folder)))
    parts += verdicts(options.folder)
    text = "".join(markdown(title, table) for title, table in parts if table[1])
    print(text, end="")
    if options.report:
        options.report.mkdir(parents=True, exist_ok=True)
        write_atomically(options.report / "labels.md", text.encode())


if __name__ == "__main__":
    main()
