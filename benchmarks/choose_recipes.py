"""Which order of recipes saves most at equal evaluations and at equal milliseconds?

TRAIN and VALIDATION are folders of labels (`llm-compiler labels recipes`) of the same recipes.
Orders: ``fixed`` (greedy by function on TRAIN, as the coreset's), ``random``, ``static`` (trees
that read shapes and the sizes at default<Oz>), ``adaptive`` (trees that read what was measured so
far too), ``cautious`` (the same, but ``fixed``'s next recipe unless another promises twice as
much), ``gaussian`` (without trees: the improvement that a Gaussian over the recipes expects),
``model`` (the shipped model's ranking of the recipes' pass lists, with --model), ``oracle`` (knows
every size, and takes what adds most). A unit saves over default<Oz> in process: assembled function
by function (the forecast of `order_extras`), and by its best whole recipe. Differences to
``fixed`` have paired 95 % intervals, by bootstrap over packages. With --hold-out N every Nth
package of TRAIN is judged, too: trees never see the packages that they are judged on.

Milliseconds are the process's own: those of each choice as measured, and --evaluation-ms for each
evaluation.

    python benchmarks/choose_recipes.py work/corpus work/labels --validation work/labels-validation
    python benchmarks/choose_recipes.py work/corpus work/labels --hold-out 3 --units 300
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from order_extras import Forecast, Row

from llm_compiler.commands.label_recipes import shipped_label_recipes
from llm_compiler.console import note, print_table
from llm_compiler.corpus.manifest import load_manifest
from llm_compiler.llvm.function_shapes import KINDS, FunctionShape, function_shapes
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.model.engines.requests import Propose
from llm_compiler.model.recipe_trees import RecipeTrees
from llm_compiler.records import Recipe
from llm_compiler.search.function_label_shards import read_label_folder
from llm_compiler.search.function_labels import UnitLabels, graph_of
from llm_compiler.train.recipe_trees import LabelledUnit, TreeSettings, fit, labelled

STEPS = (1, 2, 4, 8, 16)
Shapes = Mapping[str, Sequence[float]]
Ranking = Callable[[LabelledUnit, Sequence[int], Forecast], int]
"""From a unit, the recipes tried (positions in the labels) and the forecast to the next recipe."""


def row_of(labels: UnitLabels) -> Row:
    """Return labels as the forecast reads them."""
    usable = [place for place, size in enumerate(labels.size_bytes) if size >= 0]
    row = Row(
        package=labels.package,
        oz_bytes=labels.size_bytes[0],
        whole=list(labels.size_bytes),
        rest=[0.0] * len(labels.size_bytes),
        costs=[],
        needs=[],
        roots=[],
        num_variables=0,
    )
    if not labels.functions:
        return row
    graph = graph_of(labels, usable)
    row.costs = [[] for _ in labels.size_bytes]
    row.needs = [[] for _ in labels.size_bytes]
    for place, recipe in enumerate(usable):
        row.costs[recipe] = graph.costs[place]
        row.needs[recipe] = [sorted(needed) for needed in graph.needs[place]]
        row.rest[recipe] = labels.size_bytes[recipe] - graph.cost([place] * graph.num_pieces)
    row.roots = sorted(graph.roots)
    return row


def read_shapes(corpus: Path, hashes: Iterable[str]) -> dict[str, Shapes]:
    """Return the shapes of all functions of units, by hash and symbol."""
    paths = {unit.sha256: corpus / unit.path for unit in load_manifest(corpus)}
    found: dict[str, Shapes] = {}
    for name in hashes:
        if name in paths:
            with Context() as context:
                shapes = function_shapes(context.parse(paths[name].read_bytes()))
            found[name] = {shape.name: shape.numbers() for shape in shapes}
    return found


def num_counts() -> int:
    """Return the length of a function's shape."""
    empty = FunctionShape(
        name="",
        num_instructions=0,
        num_blocks=0,
        num_conditional=0,
        num_calls_here=0,
        num_intrinsics=0,
        num_parameters=0,
        num_uses=0,
        is_local=False,
        is_discardable=False,
        kinds=(0,) * len(KINDS),
    )
    return len(empty.numbers())


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one order made of one unit: sizes after each evaluation, and the choices' time."""

    package: str
    oz_bytes: int
    by_function: tuple[float, ...]
    by_unit: tuple[int, ...]
    choice_ms: tuple[float, ...]
    """Of all choices up to each evaluation."""

    def at(self, milliseconds: float, evaluation_ms: float) -> float:
        """Return the size that is reached in a time; default<Oz>'s where none was measured."""
        size = float(self.oz_bytes)
        for index, value in enumerate(self.by_function):
            if (index + 1) * evaluation_ms + self.choice_ms[index] <= milliseconds:
                size = value
        return size


def follow(unit: LabelledUnit, choose: Ranking, most: int) -> Course:
    """Try recipes in the order that a ranking asks for."""
    forecast = Forecast(row_of(unit.labels))
    tried: list[int] = []
    sizes: list[float] = []
    whole: list[int] = []
    spent: list[float] = []
    total = 0.0
    for _ in range(most):
        started = time.process_time()
        chosen = choose(unit, tried, forecast)
        total += 1000 * (time.process_time() - started)
        tried.append(chosen)
        sizes.append(forecast.take(chosen))
        known = [unit.labels.size_bytes[place] for place in tried]
        whole.append(min([unit.labels.size_bytes[0], *(size for size in known if size >= 0)]))
        spent.append(total)
    return Course(
        package=unit.labels.package,
        oz_bytes=unit.labels.size_bytes[0],
        by_function=tuple(sizes),
        by_unit=tuple(whole),
        choice_ms=tuple(spent),
    )


def positions_of(trees: RecipeTrees, recipes: Sequence[Recipe]) -> list[int]:
    """Return the labels' place of each recipe of the trees."""
    texts = [recipe.text for recipe in recipes]
    return [texts.index(text) for text in trees.recipes]


def by_features(trees: RecipeTrees, recipes: Sequence[Recipe]) -> Ranking:
    """Return the trees' order of a unit of which nothing was measured."""
    positions = positions_of(trees, recipes)
    orders: dict[str, list[int]] = {}

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        name = unit.labels.unit_hash
        if name not in orders:
            ranked = trees.ranked(unit.view, {}, range(len(positions)))
            orders[name] = [positions[place] for place in ranked]
        return orders[name][len(tried)]

    return choose


def by_trees(trees: RecipeTrees, recipes: Sequence[Recipe], margin: float) -> Ranking:
    """Return the trees' choice in view of what was measured.

    Args:
        margin: how many times the gain of the fixed order's next recipe another must promise.
    """
    positions = positions_of(trees, recipes)

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        known = {i: unit.savings[place] for i, place in enumerate(positions) if place in tried}
        expected = unit.view.weights @ trees.gains(unit.view, known)
        left = [i for i in range(len(positions)) if i not in known]
        best = max(left, key=lambda i: (float(expected[i]), -i))
        return positions[best if expected[best] > margin * expected[left[0]] else left[0]]

    return choose


def by_gaussian(trees: RecipeTrees, recipes: Sequence[Recipe]) -> Ranking:
    """Return the choice by what the Gaussian expects alone: the last of the trees' columns."""
    positions = positions_of(trees, recipes)

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        known = {i: unit.savings[place] for i, place in enumerate(positions) if place in tried}
        rows = trees.rows(unit.view, known)[:, -1].reshape(len(unit.view.names), -1)
        expected = unit.view.weights @ rows
        left = [i for i in range(len(positions)) if i not in known]
        return positions[max(left, key=lambda i: (float(expected[i]), -i))]

    return choose


def by_order(order: Sequence[int]) -> Ranking:
    """Return the choice of a fixed order."""
    return lambda unit, tried, forecast: order[len(tried)]


def by_chance(num_recipes: int, seed: int) -> Ranking:
    """Return a choice at random, the same for the same unit."""

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        rng = random.Random(f"{seed}:{unit.labels.unit_hash}")
        order = rng.sample(range(1, num_recipes), num_recipes - 1)
        return order[len(tried)]

    return choose


def by_oracle(num_recipes: int) -> Ranking:
    """Return the choice that adds most, by sizes that nobody has measured."""

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        left = [place for place in range(1, num_recipes) if place not in tried]
        return min(left, key=lambda place: (forecast.with_one_more(place), place))

    return choose


def by_model(engine: Engine, corpus: Path, recipes: Sequence[Recipe]) -> Ranking:
    """Return the shipped model's ranking of the recipes' pass lists; equal lists as they stand."""
    paths = {unit.sha256: corpus / unit.path for unit in load_manifest(corpus)}
    lists = list(dict.fromkeys(recipe.pass_list for recipe in recipes[1:]))
    orders: dict[str, list[int]] = {}

    def choose(unit: LabelledUnit, tried: Sequence[int], forecast: Forecast) -> int:
        name = unit.labels.unit_hash
        if name not in orders:
            with Context() as context:
                text = context.parse(paths[name].read_bytes()).to_text()
            request = Propose(
                code=text,
                target_triple=unit.labels.target_triple,
                num_candidates=len(lists),
                lists=lists,
                oz_size_bytes=unit.labels.size_bytes[0],
                tried=(),
                seed=1,
            )
            rank = {found.passes: i for i, found in enumerate(engine.answer(request))}
            orders[name] = sorted(
                range(1, len(recipes)),
                key=lambda place: (rank.get(recipes[place].pass_list, len(lists)), place),
            )
        return orders[name][len(tried)]

    return choose


# -- what came of it ------------------------------------------------------------------------------


def gains(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the total and the geometric mean gain, in per cent."""
    logs = [math.log(max(1.0, new) / old) for old, new in zip(before, after, strict=True)]
    return 100 * (1 - sum(after) / sum(before)), 100 * (1 - math.exp(sum(logs) / len(logs)))


def interval(
    packages: Sequence[str], before: Sequence[float], ours: Sequence[float], theirs: Sequence[float]
) -> tuple[float, float]:
    """Return the paired 95 % interval of the difference of geometric mean gains, in points."""
    names = sorted(set(packages))
    sums = np.zeros((len(names), 3))
    for package, old, mine, other in zip(packages, before, ours, theirs, strict=True):
        logs = (math.log(max(1.0, mine) / old), math.log(max(1.0, other) / old))
        sums[names.index(package)] += (1.0, *logs)
    rng = np.random.default_rng(1)
    drawn = sums[rng.integers(len(names), size=(4000, len(names)))].sum(axis=1)
    leads = 100 * (np.exp(drawn[:, 2] / drawn[:, 0]) - np.exp(drawn[:, 1] / drawn[:, 0]))
    low, high = np.quantile(leads, (0.025, 0.975))
    return float(low), float(high)


def report(
    courses: Mapping[str, Sequence[Course]],
    title: str,
    columns: Mapping[str, Callable[[Course], float]],
) -> None:
    """Print what each order saves, total / geometric mean, and its lead over the fixed order."""
    rows = []
    base = courses["fixed"]
    before = [float(course.oz_bytes) for course in base]
    packages = [course.package for course in base]
    for name, found in courses.items():
        cells = [name]
        for size in columns.values():
            ours, theirs = [size(c) for c in found], [size(c) for c in base]
            total, geomean = gains(before, ours)
            text = f"{total:.2f} / {geomean:.2f}"
            if name != "fixed":
                low, high = interval(packages, before, ours, theirs)
                text += f" [{low:+.2f}, {high:+.2f}]"
            cells.append(text)
        rows.append(tuple(cells))
    print(title)
    print_table(("order", *columns), rows, right="l" + "r" * len(columns))


def report_all(courses: Mapping[str, Sequence[Course]], title: str, evaluation_ms: float) -> None:
    """Print all tables of one set of units."""
    base = courses["fixed"]
    packages = len({course.package for course in base})
    title = f"{title}: {len(base)} units of {packages} packages, total / geometric mean, %,"

    def assembled(step: int) -> Callable[[Course], float]:
        return lambda course: course.by_function[step - 1]

    def whole(step: int) -> Callable[[Course], float]:
        return lambda course: float(course.by_unit[step - 1])

    def timed(milliseconds: float) -> Callable[[Course], float]:
        return lambda course: course.at(milliseconds, evaluation_ms)

    report(courses, f"{title} function by function", {str(k): assembled(k) for k in STEPS})
    report(courses, f"{title} best whole recipe", {str(k): whole(k) for k in STEPS})
    times = [(step + 0.5) * evaluation_ms for step in STEPS]
    report(
        courses,
        f"{title} function by function, in milliseconds",
        {f"{value:.0f}": timed(value) for value in times},
    )


def judge(
    units: Sequence[LabelledUnit],
    training: Sequence[LabelledUnit],
    recipes: Sequence[Recipe],
    options: argparse.Namespace,
    engine: Engine | None,
) -> tuple[dict[str, list[Course]], RecipeTrees]:
    """Train on some units and follow every order on others."""
    size = {"num_trees": options.trees, "states_per_unit": options.states}
    adaptive = fit(training, recipes, options.architecture, settings=TreeSettings(**size))
    size["states_per_unit"] = max(1, options.states // 2)
    static = fit(
        training, recipes, options.architecture, settings=TreeSettings(**size, adaptive=False)
    )
    note(f"trained on {len(training)} units; judging {len(units)}")
    rankings: dict[str, Ranking] = {
        "fixed": by_order(positions_of(adaptive, recipes)),
        "random": by_chance(len(recipes), seed=1),
        "gaussian": by_gaussian(adaptive, recipes),
        "static": by_features(static, recipes),
        "adaptive": by_trees(adaptive, recipes, margin=1.0),
        "cautious": by_trees(adaptive, recipes, margin=2.0),
    }
    if engine is not None:
        rankings["model"] = by_model(engine, options.corpus, recipes)
    rankings["oracle"] = by_oracle(len(recipes))
    most = max(STEPS)
    found = {
        name: [follow(unit, choose, most) for unit in units] for name, choose in rankings.items()
    }
    return found, adaptive


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("train", type=Path)
    parser.add_argument("--validation", type=Path)
    parser.add_argument("--architecture", default="x86_64")
    parser.add_argument("--recipes", type=Path, help="of the labels (default: those shipped)")
    parser.add_argument("--hold-out", type=int, default=0, metavar="N")
    parser.add_argument("--units", type=int, default=10**9, help="held out at most")
    parser.add_argument("--max-train", type=int, default=10**9)
    parser.add_argument("--trees", type=int, default=120)
    parser.add_argument("--states", type=int, default=4, help="drawn for each training unit")
    parser.add_argument("--evaluation-ms", type=float, default=24.0)
    parser.add_argument("--model", action="store_true", help="ask the shipped model, too")
    parser.add_argument("--save", type=Path, help="write the trees")
    options = parser.parse_args()
    recipes = (
        [parse_recipe(line) for line in options.recipes.read_text().splitlines() if line]
        if options.recipes
        else shipped_label_recipes(options.architecture)
    )
    folders = [options.train, *([options.validation] if options.validation else [])]
    tables = [list(read_label_folder(path, options.architecture, recipes)) for path in folders]
    shapes = read_shapes(options.corpus, [unit.unit_hash for table in tables for unit in table])
    training, *validation = [
        [
            unit
            for labels in table
            if (unit := labelled(labels, shapes.get(labels.unit_hash, {}), num_counts()))
        ]
        for table in tables
    ]
    random.Random(1).shuffle(training)
    engine = load_engine() if options.model else None
    held_out: list[LabelledUnit] = []
    if options.hold_out:
        packages = sorted({unit.labels.package for unit in training})
        random.Random(1).shuffle(packages)
        chosen = set(packages[:: options.hold_out])
        held_out = [unit for unit in training if unit.labels.package in chosen][: options.units]
        training = [unit for unit in training if unit.labels.package not in chosen]
    judged = [*held_out, *(unit for table in validation for unit in table)]
    names = {unit.labels.package for table in validation for unit in table}
    training = [unit for unit in training if unit.labels.package not in names]
    if not judged or not training:
        raise SystemExit("nothing to judge or to train on: name --validation or --hold-out")
    courses, trees = judge(judged, training[: options.max_train], recipes, options, engine)
    count = len(held_out)
    parts = {"held-out packages of TRAIN": slice(count), "VALIDATION": slice(count, None)}
    for title, part in parts.items():
        if judged[part]:
            of_part = {name: found[part] for name, found in courses.items()}
            report_all(of_part, f"{options.architecture}, {title}", options.evaluation_ms)
    for name, of_order in courses.items():
        print(
            f"{name}: {np.mean([c.choice_ms[-1] for c in of_order]) / max(STEPS):.2f} ms a choice"
        )
    if options.save:
        trees.save(options.save)
        print(f"{options.save}: {options.save.stat().st_size} bytes")


if __name__ == "__main__":
    main()
