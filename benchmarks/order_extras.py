"""Choose whole recipes of a target greedily by what they add *function by function*.

A pool of recipes (the coreset's lists and LLVM's own pipelines under settings beside the target's
first ones) is measured on units of the training packages, with the size of every function. The
recipe comes next that most lowers the mean logarithm of a unit's size, assembled from the best
recipe of each function (a forecast, as `search.function_wise` makes it), each package counting as
the square root of its units. Prints the order, and what its beginnings save on the training units
and on units of validation packages, beside what ships. Rows are kept, so that a run that was
stopped goes on.

    python benchmarks/order_extras.py work/corpus --architecture x86_64 --rows rows.jsonl \
        --num 64 -o order.txt
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipes import draw_units

from llm_compiler.console import note, print_table
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.optimization.function_wise import unit_structure
from llm_compiler.output import write_atomically
from llm_compiler.records import OZ, Recipe
from llm_compiler.search.coreset import Coreset, load_coreset
from llm_compiler.search.function_wise import Chooser, Graph, improve
from llm_compiler.workers import LocalPool, run_jobs

PIPELINES = (
    *("default<Oz>", "default<Os>", "default<O1>", "default<O2>", "lto<Oz>", "lto<O2>"),
    "lto<Oz>,default<Oz>",
)
BESIDE = (
    *("", "+inline-threshold=100", "+inline-threshold=225", "+size-level=s", "+size-level=2"),
    "+inline-threshold=100 +size-level=s",
)
"""What is tried beside the target's first settings."""
STEPS = (8, 16, 24, 32, 48, 64, 96, 128)


def pool_of(coreset: Coreset, architecture: str, num_varied: int) -> list[Recipe]:
    """Return the pool: what ships first, then variants of pipelines and of the first lists."""
    (first, *_) = coreset.settings_for(architecture)
    shipped = [
        OZ.with_settings_of(first),
        *coreset.extras_for(architecture),
        *(recipe.with_settings_of(first) for recipe in coreset.lists),
    ]
    varied = [parse_recipe(text) for text in PIPELINES]
    varied += [parse_recipe(recipe.text) for recipe in coreset.lists[:num_varied]]
    pool = [OZ, *shipped, *varied]
    for recipe in varied:
        for words in BESIDE:
            beside = parse_recipe(f"default<Oz> {words}".strip())
            pool.append(
                Recipe(
                    recipe.elements,
                    attributes=tuple(sorted({*first.attributes, *beside.attributes})),
                    options=first.options,
                )
            )
    pool = [recipe for recipe in pool if recipe.options == first.options or recipe == OZ]
    return list(dict.fromkeys(pool))


@dataclass(slots=True)
class Row:
    """One unit: what each recipe makes of it, and of its functions."""

    package: str
    oz_bytes: int
    whole: list[int]
    """By recipe; negative: it failed."""
    rest: list[float]
    """By recipe: what is in no piece."""
    costs: list[list[float]]
    needs: list[list[list[int]]]
    roots: list[int]
    num_variables: int


def measure(pool: LocalPool, bitcode: bytes, package: str, recipes: Sequence[Recipe]) -> Row | None:
    """Return the row of a unit; None: default<Oz> does not compile, or it cannot be assembled."""
    job = EvaluateJob(bitcode=bitcode, pass_lists=tuple(recipes), with_symbols=True, timeout_s=10)
    found = dict(zip(recipes, run_jobs(pool, [job])[0], strict=True))
    if not found[OZ].ok:
        return None
    structure = unit_structure(pool, bitcode).structure
    good = {recipe: m for recipe, m in found.items() if m.ok and m.symbols}
    chooser = Chooser(structure, good)
    graph = chooser.graph
    row = Row(
        package=package,
        oz_bytes=found[OZ].size_bytes,
        whole=[m.size_bytes if m.ok else -1 for m in found.values()],
        rest=[],
        costs=[],
        needs=[],
        roots=[],
        num_variables=0,
    )
    if graph is None or structure.refusal:
        return row
    places = {recipe: place for place, recipe in enumerate(good)}
    row.roots, row.num_variables = sorted(graph.roots), graph.num_pieces - graph.num_functions
    for recipe, size in zip(recipes, row.whole, strict=True):
        place = places.get(recipe)
        if place is None:
            row.rest.append(0)
            row.costs.append([])
            row.needs.append([])
            row.whole[len(row.costs) - 1] = -1
            continue
        row.rest.append(size - graph.cost([place] * graph.num_pieces))
        row.costs.append([round(cost, 1) for cost in graph.costs[place]])
        row.needs.append([sorted(needed) for needed in graph.needs[place]])
    return row


class Forecast:
    """The choice for each function among the recipes taken so far, one for each unit."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.usable = [index for index, size in enumerate(row.whole) if size >= 0]
        self.places = {index: place for place, index in enumerate(self.usable)}
        self.graph = None
        if row.costs and self.usable:
            self.graph = Graph(
                [row.costs[index] for index in self.usable],
                [[frozenset(needed) for needed in row.needs[index]] for index in self.usable],
                frozenset(row.roots),
                num_variables=row.num_variables,
            )
        self.taken: list[int] = []
        self.chosen: list[int] | None = None

    def size(self, taken: Sequence[int], chosen: list[int] | None) -> float:
        """Return what the unit takes under a choice, or as the best whole one of those taken."""
        usable = [index for index in taken if index in self.places]
        whole = min([self.row.oz_bytes, *(self.row.whole[index] for index in usable)])
        if self.graph is None or chosen is None or not usable:
            return float(whole)
        # What belongs to no function is as in the best whole unit.
        rest = min(self.row.rest[index] for index in usable)
        return min(float(whole), rest + self.graph.cost(chosen))

    def with_one_more(self, index: int) -> float:
        """Return what the unit takes if functions may have another recipe too."""
        taken = [*self.taken, index]
        if self.graph is None or index not in self.places:
            return self.size(taken, self.chosen)
        place = self.places[index]
        start = self.chosen or [place] * self.graph.num_pieces
        return self.size(taken, improve(self.graph, start, [place], max_rounds=2))

    def take(self, index: int) -> float:
        """Take a recipe; return what the unit takes then."""
        self.taken.append(index)
        places = [self.places[other] for other in self.taken if other in self.places]
        if self.graph is not None and index in self.places:
            starts = [[places[-1]] * self.graph.num_pieces]
            starts += [self.chosen] if self.chosen is not None else []
            found = [improve(self.graph, start, places) for start in starts]
            self.chosen = min(found, key=self.graph.cost)
        return self.size(self.taken, self.chosen)


def weights_of(rows: Sequence[Row]) -> list[float]:
    """Return a weight for each row: a package of many units counts as their square root."""
    counts = Counter(row.package for row in rows)
    values = [1 / math.sqrt(counts[row.package]) for row in rows]
    return [value / sum(values) for value in values]


def greedy(rows: Sequence[Row], num_recipes: int, first: int, most: int) -> list[int]:
    """Return numbers of recipes, each the one that adds most to those before it.

    What a recipe adds seldom grows as others come, so what it added last is taken for a bound.
    """
    weights = weights_of(rows)
    states = [Forecast(row) for row in rows]

    def mean(sizes: Sequence[float]) -> float:
        return sum(
            weight * math.log(max(1.0, size) / row.oz_bytes)
            for size, row, weight in zip(sizes, rows, weights, strict=True)
        )

    order = [first]
    now = mean([state.take(first) for state in states])
    queue = [(-math.inf, index, -1) for index in range(num_recipes) if index != first]
    while queue and len(order) < most:
        _, index, when = heapq.heappop(queue)
        if when == len(order):
            order.append(index)
            now = mean([state.take(index) for state in states])
            note(f"{len(order)}: {-100 * now:.2f} %")
            continue
        value = mean([state.with_one_more(index) for state in states]) - now
        heapq.heappush(queue, (value, index, len(order)))
    return order


def gain_texts(rows: Sequence[Row], order: Sequence[int], steps: Sequence[int]) -> list[str]:
    """Return the total and the geometric mean gain over default<Oz>, in per cent, by beginning."""
    states = [Forecast(row) for row in rows]
    base = sum(row.oz_bytes for row in rows)
    found = []
    for count, index in enumerate(order, 1):
        sizes = [state.take(index) for state in states]
        if count in steps:
            logs = [
                math.log(max(1.0, s) / row.oz_bytes) for s, row in zip(sizes, rows, strict=True)
            ]
            mean = 100 * (1 - math.exp(sum(logs) / len(logs)))
            found.append(f"{100 * (1 - sum(sizes) / base):.2f} / {mean:.2f}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--units", type=int, default=80)
    parser.add_argument("--validation-units", type=int, default=40)
    parser.add_argument("--max-bytes", type=int, default=12_000, help="of a unit's bitcode")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--num-varied", type=int, default=16, help="lists tried under more settings"
    )
    parser.add_argument("--num", type=int, default=64, help="recipes that are ordered")
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    coreset = load_coreset()
    recipes = pool_of(coreset, options.architecture, options.num_varied)
    num_shipped = 1 + len(coreset.extras_for(options.architecture)) + len(coreset.lists)
    note(f"{len(recipes)} recipes")
    known: dict[str, dict[str, Any]] = {}
    if options.rows.exists():
        known = {row["unit"]: row for row in map(json.loads, options.rows.open())}
    rows: dict[str, list[Row]] = {}
    with LocalPool(1) as pool, options.rows.open("a") as out:
        for split, count in (("train", options.units), ("validation", options.validation_units)):
            options.split = split
            for unit in draw_units(options, count):
                if unit.path not in known:
                    data = (options.corpus / unit.path).read_bytes()
                    row = measure(pool, data, unit.package, recipes)
                    values = {name: getattr(row, name) for name in Row.__slots__} if row else None
                    known[unit.path] = {"unit": unit.path, "row": values}
                    out.write(json.dumps(known[unit.path]) + "\n")
                    out.flush()
                if known[unit.path]["row"] is not None:
                    rows.setdefault(split, []).append(Row(**known[unit.path]["row"]))
    order = greedy(rows["train"], len(recipes), 1, options.num)
    shipped = list(range(1, num_shipped + 1))
    steps = [step for step in STEPS if step <= min(len(order), len(shipped))]
    columns = [
        gain_texts(rows[split], chosen, steps) for split in rows for chosen in (shipped, order)
    ]
    table = [[str(step), *texts] for step, *texts in zip(steps, *columns, strict=True)]
    print_table(
        ("recipes", "train, shipped", "train, greedy", "validation, shipped", "validation, greedy"),
        table,
        right="rrrrr",
    )
    if options.output:
        text = "".join(f"{recipes[place].text}\n" for place in order)
        write_atomically(options.output, text.encode())


if __name__ == "__main__":
    main()
