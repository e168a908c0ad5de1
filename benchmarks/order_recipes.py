"""Order a coreset's lists by what they add function by function; print gains before and after.

    python benchmarks/order_recipes.py TRAIN... --validation VALIDATION... [-o coreset.json]

TRAIN and VALIDATION are shards of labels by function (`llm-compiler labels recipes`), one for each
target, made with the recipes that `--write-recipes FOLDER` writes: default<Oz>, what `optimize`
tries first on the target, then the coreset's lists under the target's first setting, as many as
labels can hold; those after them keep their places. The list comes next that most lowers the mean
logarithm of a unit's size, assembled from the best recipe of each function (a forecast, as
`search.function_labels` makes it), on average over the targets. Gains are over default<Oz> in
process.
"""

from __future__ import annotations

import argparse
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.llvm.targets import TARGETS, architecture_of
from llm_compiler.records import OZ, Recipe
from llm_compiler.search.coreset import Coreset, load_coreset, write_coreset
from llm_compiler.search.function_label_shards import MAX_RECIPES, read_function_labels
from llm_compiler.search.function_labels import UnitLabels, best_by_function
from llm_compiler.search.function_wise import Graph, choose

_STEPS = (1, 4, 8, 13, 16, 32, 64)


def recipes_of(coreset: Coreset, architecture: str) -> tuple[Recipe, ...]:
    """Return what is labelled: default<Oz>, the first tries, and each list with the first setting.

    The lists come last, in the coreset's order.
    """
    (first, *_) = coreset.settings_for(architecture)
    tries = (OZ, OZ.with_settings_of(first), *coreset.extras_for(architecture))
    found = (*tries, *(recipe.with_settings_of(first) for recipe in coreset.lists))
    return found[:MAX_RECIPES]


@dataclass(frozen=True, slots=True)
class Column:
    """What one recipe makes of one unit: by piece, and of what is no piece."""

    costs: Sequence[float | None]
    needs: Sequence[frozenset[int]]
    roots: frozenset[int]
    rest: float


def _column(unit: UnitLabels, recipe: int) -> Column:
    bit = 1 << recipe
    sizes = [function.size_bytes[recipe] for function in unit.functions]
    return Column(
        costs=[size if size >= 0 else None for size in sizes],
        needs=[
            frozenset(
                place
                for place, mask in zip(function.needs, function.needs_with, strict=True)
                if mask & bit
            )
            for function in unit.functions
        ],
        roots=frozenset(place for place, function in enumerate(unit.functions) if function.is_root),
        rest=unit.size_bytes[recipe] - best_by_function(unit, [recipe]),
    )


@dataclass(slots=True)
class Table:
    """The labels of one target; forecasts are remembered."""

    units: list[UnitLabels]
    first_list: int
    """The place of the coreset's first list among the recipes."""
    num_lists: int
    _known: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)
    _columns: dict[int, dict[int, Column]] = field(default_factory=dict)

    def size(self, number: int, chosen: Sequence[int]) -> float:
        """Return what unit `number` takes with the best of these recipes for each function."""
        key = number, tuple(sorted(chosen))
        if key not in self._known:
            self._known[key] = self._forecast(number, key[1])
        return self._known[key]

    def _forecast(self, number: int, chosen: tuple[int, ...]) -> float:
        unit = self.units[number]
        usable = [index for index in chosen if unit.size_bytes[index] >= 0]
        if not usable:
            return float(unit.size_bytes[0])
        whole = float(min(unit.size_bytes[index] for index in usable))
        if not unit.functions:
            return whole
        # What belongs to no function is as in the best whole unit.
        columns = self._columns_of(number)
        rest = min(columns[index].rest for index in usable)
        graph = Graph(
            [columns[index].costs for index in usable],
            [columns[index].needs for index in usable],
            columns[usable[0]].roots,
        )
        return min(whole, rest + graph.cost(choose(graph)))

    def _columns_of(self, number: int) -> dict[int, Column]:
        if number not in self._columns:
            unit = self.units[number]
            usable = [index for index, size in enumerate(unit.size_bytes) if size >= 0]
            self._columns[number] = {index: _column(unit, index) for index in usable}
        return self._columns[number]

    def logs(self, chosen: Sequence[int]) -> float:
        """Return the mean logarithm of sizes over those at default<Oz>."""
        ratios = (
            math.log(max(1.0, self.size(i, chosen)) / unit.size_bytes[0])
            for i, unit in enumerate(self.units)
        )
        return sum(ratios) / len(self.units)

    def gains(self, chosen: Sequence[int]) -> tuple[float, float]:
        """Return the total and the geometric mean gain over default<Oz>, in per cent."""
        total = sum(self.size(i, chosen) for i in range(len(self.units)))
        base = sum(unit.size_bytes[0] for unit in self.units)
        return 100 * (1 - total / base), 100 * (1 - math.exp(self.logs(chosen)))


def read_table(folder: Path, coreset: Coreset) -> Table:
    """Read the labels of one target.

    Raises:
        SystemExit: they are of other recipes.
    """
    recipes, units = read_function_labels(folder)
    found = [unit for unit in units if unit.size_bytes[0] > 0]
    wanted = recipes_of(coreset, architecture_of(found[0].target_triple))
    if tuple(recipes) != wanted:
        raise SystemExit(f"{folder} is of other recipes: make it of --write-recipes")
    tries = sum(recipe.pass_list not in coreset.lists for recipe in wanted)
    return Table(units=found, first_list=tries, num_lists=len(wanted) - tries)


def greedy(tables: Sequence[Table], most: int) -> list[int]:
    """Return places of lists in the coreset, each the one that adds most to those before it.

    What a list adds seldom grows as others come, so what it added last is taken for a bound.
    """
    order: list[int] = []

    def value(chosen: Sequence[int]) -> float:
        return sum(
            table.logs([*range(1, table.first_list), *(table.first_list + p for p in chosen)])
            for table in tables
        )

    now = value(order)
    num_lists = min(table.num_lists for table in tables)
    queue = [(-math.inf, position, -1) for position in range(num_lists)]
    while queue and len(order) < most:
        bound, position, when = heapq.heappop(queue)
        if when == len(order):
            order.append(position)
            now += bound
            continue
        heapq.heappush(queue, (value([*order, position]) - now, position, len(order)))
    return order


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", nargs="*", type=Path)
    parser.add_argument("--validation", nargs="*", type=Path, default=[])
    parser.add_argument("--coreset", type=Path, help="default: the shipped one")
    parser.add_argument("--num-lists", type=int, default=32, help="that are ordered; others stay")
    parser.add_argument("--write-recipes", type=Path, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    before = load_coreset(options.coreset)
    if options.write_recipes:
        for target in TARGETS:
            text = "".join(f"{recipe.text}\n" for recipe in recipes_of(before, target.name))
            (options.write_recipes / f"{target.name}.txt").write_text(text)
        return
    tables = [read_table(folder, before) for folder in options.train]
    order = greedy(tables, options.num_lists)
    order += [place for place in range(len(before.lists)) if place not in order]
    rows = []
    for folder in (*options.train, *options.validation):
        table = read_table(folder, before)
        for step in [index for index in _STEPS if index <= table.num_lists]:
            rows.append([folder.name, str(len(table.units)), str(step)])
            for positions in (range(step), order[:step]):
                chosen = [table.first_list + place for place in positions]
                total, geomean = table.gains([*range(1, table.first_list), *chosen])
                rows[-1].append(f"{total:.2f} / {geomean:.2f}")
    print_table(("labels", "units", "lists", "before, %", "after, %"), rows, right="lrrrr")
    if options.output:
        provenance = {**before.provenance, "reordered": datetime.now(UTC).date().isoformat()}
        picks = tuple(before.picks[place] for place in order)
        write_coreset(replace(before, picks=picks, provenance=provenance), options.output)


if __name__ == "__main__":
    main()
