"""Labels by function: what each of a few recipes makes of a unit and of all its functions.

One evaluation of a unit says what each of its functions takes (`Measurement.symbols`), so the
labels of all functions cost no more than those of the unit. What is labelled is what function-wise
choice moves (`search.function_wise`): a *piece* is a function, or the functions of one comdat. Its
cost is its own bytes, its unwind data, the nameless data that only it uses, and its share of what a
recipe made beside it (outlined code); with each recipe it needs other pieces, which count then.
While labels are made, each finished unit is one line of a journal; `search.function_label_shards`
packs lines into Parquet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.symbol_sizes import symbol_name
from llm_compiler.records import Measurement, Recipe, Status, content_hash
from llm_compiler.search.function_wise import (
    Graph,
    choose,
    find_roots,
    fold_costs,
    pieces_of,
)
from llm_compiler.workers.pool import WorkerPool

__all__ = [
    "ABSENT",
    "FAILED",
    "FunctionLabel",
    "LabelFunctionsJob",
    "RecipeSizes",
    "UnitLabels",
    "UnitToLabel",
    "best_by_function",
    "graph_of",
    "label_units",
    "recipes_hash",
]

FAILED, ABSENT = -1, -2
"""In place of bytes: the recipe gave no object; the function is in no object of the recipe's, since
it was inlined everywhere or is not used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSizes:
    """What one recipe makes of a unit.

    `pieces`: (all bytes, .text bytes, names of the pieces it needs) by name; `roots`: the names of
    those that count whatever needs them.
    """

    status: Status
    size_bytes: int = FAILED
    text_data_bytes: int = FAILED
    pieces: dict[str, tuple[int, int, tuple[str, ...]]] = field(default_factory=dict)
    roots: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFunctionsJob:
    """Measure recipes on one unit, function by function; each step's result is a `RecipeSizes`."""

    bitcode: bytes = field(repr=False)
    recipes: tuple[Recipe, ...]
    timeout_s: float = 20.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each recipe."""
        return len(self.recipes)

    def run(self, state: WorkerState, first_step: int) -> Iterator[RecipeSizes]:
        """Yield what each recipe makes."""
        evaluator = state.evaluator(self.bitcode)
        structure = state.assembler(self.bitcode).structure
        for recipe in self.recipes[first_step:]:
            try:
                yield _sizes(evaluator.measure(recipe, with_symbols=True), structure)
            except LlmCompilerError:
                yield RecipeSizes(status=Status.REFUSED)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> RecipeSizes:
        """Return that there is no object: LLVM died."""
        return RecipeSizes(status=status)


def _sizes(found: Measurement, structure: Structure) -> RecipeSizes:
    if not found.ok:
        return RecipeSizes(status=found.status)
    # None where the unit cannot be taken apart: its own sizes are labels all the same.
    pieces = pieces_of(structure)
    names: dict[int, str] = {}
    for name, piece in pieces.items():
        names.setdefault(piece, symbol_name(name))
    by_symbol = {symbol_name(name): piece for name, piece in pieces.items()}
    table = found.symbols
    size, needs, present = fold_costs(
        table, by_symbol, len(names), lambda symbol_size: symbol_size.size_bytes
    )
    text, _, _ = fold_costs(
        table, by_symbol, len(names), lambda symbol_size: float(symbol_size.text_bytes)
    )
    return RecipeSizes(
        status=found.status,
        size_bytes=found.size_bytes,
        text_data_bytes=found.text_data_bytes,
        pieces={
            name: (
                round(size[piece]),
                round(text[piece]),
                tuple(names[index] for index in sorted(needs[piece])),
            )
            for piece, name in names.items()
            if piece in present
        },
        roots=frozenset(names[root] for root in find_roots(structure, pieces, table)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitToLabel:
    """A unit of a corpus; `bitcode` is read when its turn comes."""

    unit_hash: str
    """SHA-256 of the bitcode, which the corpus's manifest has too."""
    target_triple: str
    split: str
    package: str
    read: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLabel:
    """One piece: a number for each recipe, in their order; or `FAILED`, or `ABSENT`.

    `needs`: places among the unit's pieces, and for each in `needs_with` the recipes (bit i: recipe
    i) with which this one needs it.
    """

    name: str
    is_root: bool
    """It counts whatever needs it: others may know its name."""
    size_bytes: tuple[int, ...]
    text_bytes: tuple[int, ...]
    needs: tuple[int, ...] = ()
    needs_with: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitLabels:
    """What each recipe makes of one unit and of its functions."""

    unit_hash: str
    target_triple: str
    split: str
    package: str
    size_bytes: tuple[int, ...]
    text_data_bytes: tuple[int, ...]
    functions: tuple[FunctionLabel, ...]

    def to_line(self) -> bytes:
        """Return the line of a journal."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> UnitLabels:
        """Read a line of a journal.

        Raises:
            ValueError, TypeError, KeyError: it is none, or torn.
        """
        data = json.loads(line)
        functions = tuple(
            FunctionLabel(
                name=item.pop("name"),
                is_root=item.pop("is_root"),
                **{key: tuple(values) for key, values in item.items()},
            )
            for item in data.pop("functions")
        )
        for key in ("size_bytes", "text_data_bytes"):
            data[key] = tuple(data[key])
        return cls(**data, functions=functions)


def recipes_hash(recipes: Sequence[Recipe]) -> str:
    """Return the name of a sequence of recipes: labels of other sequences are not mixed with it."""
    return content_hash("\n".join(recipe.text for recipe in recipes).encode())


def label_units(
    pool: WorkerPool,
    units: Iterable[UnitToLabel],
    recipes: Sequence[Recipe],
    *,
    timeout_s: float = 20.0,
) -> Iterator[UnitLabels]:
    """Measure every recipe on every unit, yielding each unit as it ends.

    A unit that no recipe gives an object of is left out.
    """
    # Recipes that begin alike stand side by side: the worker runs their common beginning once.
    order = sorted(range(len(recipes)), key=lambda index: recipes[index].elements)
    ordered = tuple(recipes[index] for index in order)
    rest = iter(units)
    waiting: dict[int, tuple[UnitToLabel, list[RecipeSizes | None]]] = {}

    def submit() -> None:
        while len(waiting) < 2 * pool.num_workers and (unit := next(rest, None)) is not None:
            job = LabelFunctionsJob(
                bitcode=unit.read(),
                recipes=ordered,
                timeout_s=timeout_s,
                affinity=unit.unit_hash,
            )
            waiting[pool.submit(job)] = unit, [None] * len(ordered)

    submit()
    while waiting:
        for result in pool.results():
            if (entry := waiting.get(result.ticket)) is None:
                continue
            if result.error is not None:
                raise result.error
            unit, found = entry
            if not result.last:
                found[order[result.step]] = result.value
                continue
            del waiting[result.ticket]
            labels = _labels(unit, found)
            if any(size >= 0 for size in labels.size_bytes):
                yield labels
            submit()


def _labels(unit: UnitToLabel, found: Sequence[RecipeSizes | None]) -> UnitLabels:
    names = dict.fromkeys(
        name for recipe_sizes in found if recipe_sizes for name in recipe_sizes.pieces
    )
    positions = {name: place for place, name in enumerate(names)}
    roots = frozenset(name for recipe_sizes in found if recipe_sizes for name in recipe_sizes.roots)
    return UnitLabels(
        unit_hash=unit.unit_hash,
        target_triple=unit.target_triple,
        split=unit.split,
        package=unit.package,
        size_bytes=tuple(
            recipe_sizes.size_bytes if recipe_sizes else FAILED for recipe_sizes in found
        ),
        text_data_bytes=tuple(
            recipe_sizes.text_data_bytes if recipe_sizes else FAILED for recipe_sizes in found
        ),
        functions=tuple(_label(name, name in roots, found, positions) for name in names),
    )


def _label(
    name: str, is_root: bool, found: Sequence[RecipeSizes | None], numbers: Mapping[str, int]
) -> FunctionLabel:
    size, text = [], []
    needs: dict[int, int] = {}
    for index, recipe_sizes in enumerate(found):
        nothing = ABSENT if recipe_sizes and recipe_sizes.status is Status.OK else FAILED
        with_recipe = recipe_sizes.pieces.get(name) if recipe_sizes else None
        size.append(with_recipe[0] if with_recipe else nothing)
        text.append(with_recipe[1] if with_recipe else nothing)
        for needed in with_recipe[2] if with_recipe else ():
            # What is in no object of any recipe's costs nothing.
            if (position := numbers.get(needed)) is not None:
                needs[position] = needs.get(position, 0) | 1 << index
    return FunctionLabel(
        name=name,
        is_root=is_root,
        size_bytes=tuple(size),
        text_bytes=tuple(text),
        needs=tuple(needs),
        needs_with=tuple(needs.values()),
    )


def graph_of(labels: UnitLabels, recipes: Sequence[int]) -> Graph:
    """Return the graph that the choice of one of these recipes for each function is made on.

    Args:
        recipes: places of recipes; each must have given an object.
    """
    functions = labels.functions
    costs: list[list[float | None]] = [
        [function.size_bytes[i] if function.size_bytes[i] >= 0 else None for function in functions]
        for i in recipes
    ]
    needs = [
        [
            frozenset(
                place
                for place, mask in zip(function.needs, function.needs_with, strict=True)
                if mask >> i & 1
            )
            for function in functions
        ]
        for i in recipes
    ]
    roots = frozenset(place for place, function in enumerate(functions) if function.is_root)
    return Graph(costs, needs, roots)


def best_by_function(labels: UnitLabels, chosen: Sequence[int]) -> float:
    """Return what a unit's functions take if each has the best for it of the chosen recipes.

    A forecast, as `choose_lists` makes it, without variables; 0 for a unit of none.
    """
    usable = [index for index in chosen if labels.size_bytes[index] >= 0]
    if not usable or not labels.functions:
        return 0.0
    graph = graph_of(labels, usable)
    return graph.cost(choose(graph))
