"""The assembly of a unit from the best recipe of each function, where it beats the best whole one.

The measurements of the search say what every function takes, so that no further evaluation is
needed to choose; the assemblies themselves are compiled and counted. Only recipes that may be
handed out take part. What comes out is made by the stock tools, as everything is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.function_wise.plan import AssemblyPlan
from llm_compiler.llvm.function_wise.stock_assembly import StockAssembly
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.symbol_sizes import is_divisible
from llm_compiler.llvm.targets import known_target
from llm_compiler.optimization.choose import Bench, Built, wins
from llm_compiler.optimization.function_wise import (
    best_assembly,
    rebuild_assembly,
    unit_structure,
)
from llm_compiler.optimization.options import OptimizeOptions, OutputKind
from llm_compiler.optimization.rebuild import dangling_symbols
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import Measurement, Recipe, VerdictKind
from llm_compiler.workers.pool import WorkerPool

__all__ = ["AssembledUnit", "Attempt", "assemble_unit", "assembly_wanted"]

_ROUNDS, _SEARCH_ROUNDS = 1, 3
"""How often what an assembly took corrects the choice: with few evaluations, and where a search has
been paid for. The first round brings most."""
_FEW_CANDIDATES = 8
"""With no more evaluations than that, another assembly would cost more than it brings."""
_MIN_FUNCTIONS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembledUnit:
    """An assembly that is better than any single recipe."""

    recipe: Recipe
    """The base's, with the functions that have another."""
    built: Built
    commands: StockAssembly
    optimized: Path
    """The bitcode that the object was made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """What came of assembling a unit."""

    unit: AssembledUnit | None = None
    """None: the best object so far stands."""
    num_assemblies: int = 0
    """Assemblies that were compiled."""
    warnings: tuple[str, ...] = ()


def assembly_wanted(unit: Unit, options: OptimizeOptions) -> bool:
    """Whether a unit is to be assembled function by function where that is smaller."""
    return (
        options.function_wise
        and known_target(unit.triple) is not None
        and is_divisible(unit.baseline)  # x32 and big-endian AArch64 are not
        and options.candidates + options.budget > 1
        and options.objective.of_object
        and options.kind is not OutputKind.PASSES
    )


def assemble_unit(
    unit: Unit,
    tried: Mapping[Recipe, Measurement],
    options: OptimizeOptions,
    bench: Bench,
    baseline: Built,
    best: Built,
    pool: WorkerPool,
) -> Attempt:
    """Return the unit's assembly if it beats `best`, the best object so far.

    An assembly that fails in any tool is none: the best object so far stands.

    Args:
        tried: what was measured of whole units.
    """
    if len(unit.inspection.functions) < _MIN_FUNCTIONS:
        return Attempt()
    usable = _usable(tried, options, bench)
    if len(usable) < 2:
        return Attempt()
    bitcode = unit.bitcode_path.read_bytes()
    structure = unit_structure(pool, bitcode, timeout_s=options.timeout_s)
    (group, *_) = {recipe.options for recipe in usable}
    found = best_assembly(
        pool,
        bitcode,
        structure.structure,
        usable,
        objective=options.objective,
        options=group,
        num_rounds=_num_rounds(options),
        timeout_s=options.timeout_s,
    )
    attempt = Attempt(num_assemblies=found.num_compiled if found is not None else 0)
    if found is None or not options.objective.beats(found.measurement, best):
        return attempt
    folder = unit.folder / "assembly"
    folder.mkdir(exist_ok=True)
    try:
        data, commands = rebuild_assembly(
            pool,
            unit.stock,
            structure,
            found.plan,
            unit.bitcode_path,
            folder,
            pic=unit.inspection.pic,
        )
    except LlmCompilerError as error:
        warning = f"the functions' best recipes do not fit together: {error}"
        return replace(attempt, warnings=(warning,))
    built = replace(Built.of(section_sizes(data)), data=data, dangling=dangling_symbols(unit, data))
    better = options.objective.beats(built, best) and wins(built, baseline, options.objective)
    if built.dangling or not better:
        return attempt
    assembled = AssembledUnit(
        recipe=_recipe_of(found.plan),
        built=built,
        commands=commands,
        optimized=folder / "assembly.o.optimized.bc",
    )
    return replace(attempt, unit=assembled)


def _num_rounds(options: OptimizeOptions) -> int:
    if options.budget:
        return _SEARCH_ROUNDS
    return _ROUNDS if options.candidates > _FEW_CANDIDATES else 0


def _usable(
    tried: Mapping[Recipe, Measurement], options: OptimizeOptions, bench: Bench
) -> dict[Recipe, Measurement]:
    """Return the recipes that may take part: passed, and of the best one's code generation."""
    found = {
        recipe: measured
        for recipe, measured in tried.items()
        if measured.ok
        and measured.symbols
        and (options.trust or bench.known(recipe) is VerdictKind.PASSED)
        and bench.known(recipe) is not VerdictKind.REJECTED
    }
    if not found:
        return {}
    # Code is generated once, for all functions, with one set of options.
    best = min(found, key=lambda recipe: options.objective.rank(found[recipe]))
    return {
        recipe: measured for recipe, measured in found.items() if recipe.options == best.options
    }


def _recipe_of(plan: AssemblyPlan) -> Recipe:
    """Return a plan as a recipe: the most frequent one, with those of the other functions."""
    by_function = plan.recipes
    base, _ = Counter(by_function.values()).most_common(1)[0]
    own = tuple(sorted((name, recipe) for name, recipe in by_function.items() if recipe != base))
    return replace(base, options=plan.options, functions=own)
