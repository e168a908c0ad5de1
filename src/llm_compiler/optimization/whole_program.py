"""A whole program as one module: everything static but what it exports, recipes by function.

The units are joined before any pass, so that whatever nothing outside needs can be inlined,
specialised or dropped; then the module goes the way of a unit: recipes of the coreset are measured,
it is assembled function by function, the best two are rebuilt with the stock tools and linked, and
what is smallest *after linking* is handed out. The baseline is ``clang -Oz -flto`` with the same
exports and ``--gc-sections``; its object stands where nothing is smaller. Units that do not join
are optimised one by one.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import CompileFailed, CompilerError, ConfigError, InputError, ResourceError
from llm_compiler.llvm.constructs import uncovered
from llm_compiler.llvm.function_wise.library_functions import LIBRARY_FUNCTIONS
from llm_compiler.llvm.link_time import LinkTime, as_text
from llm_compiler.llvm.module_jobs import EvaluateJob, Inspection, InspectJob
from llm_compiler.llvm.object_file import ObjectSizes, defined_symbols
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.optimization.function_wise import (
    best_assembly,
    rebuild_assembly,
    unit_structure,
)
from llm_compiler.optimization.options import OptimizeOptions
from llm_compiler.optimization.rebuild import dangling_symbols, rebuild
from llm_compiler.optimization.settings import extras_for, settings_for
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import OZ, Measurement, Recipe, Status, VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool, run_jobs

_ROUNDS = 3
"""How often what an assembly takes corrects the choice of recipes."""

__all__ = ["Candidate", "Candidates", "Program", "candidates_of", "join_units", "merge_objects"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One object that a program can become."""

    recipe: Recipe
    data: bytes
    linked: ObjectSizes
    replay: tuple[str, ...]
    is_assembled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A joined program; `unit` is its module as a unit."""

    unit: Unit
    link: LinkTime
    replay: tuple[str, ...]
    """The commands from the inputs to the unoptimised whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What a program can become, and what it took to know."""

    found: tuple[Candidate, ...] = ()
    num_evaluations: int = 0
    warnings: tuple[str, ...] = ()


def join_units(
    units: Sequence[Unit],
    exports: tuple[str, ...],
    link: LinkTime,
    baseline: bytes,
    pool: WorkerPool,
) -> Program:
    """Join prepared units to one module in which all is static but the exports.

    Args:
        baseline: the object of link-time optimisation.

    Raises:
        CompilerError, ResourceError: the units do not fit together.
        ConfigError: an export is defined nowhere.
    """
    stock = link.stock
    folder = link.folder / "whole"
    folder.mkdir()
    defined = {name for unit in units for name in unit.inspection.functions}
    defined |= defined_symbols(baseline)  # variables: a table of interrupts is what firmware offers
    if missing := [name for name in exports if name not in defined]:
        raise ConfigError(f"--export {missing[0]}: no input defines such a function or variable")
    # Code generation calls some functions by name that no module refers to.
    kept = (*exports, *sorted(n for n in defined - set(exports) if _may_be_called(n)))
    path = folder / "unoptimized.bc"
    for command in link.join_commands([u.bitcode_path for u in units], kept, path):
        stock.run_tool(command, "joining the units")
    bitcode = path.read_bytes()
    job = InspectJob(inputs=(bitcode,), timeout_s=stock.timeout_s)
    inspection: Inspection = run_jobs(pool, [job])[0][0]
    if inspection.status is not Status.OK:
        raise InputError(f"the joined program: {inspection.detail}")
    whole = Unit(
        source=path,
        output=units[0].output,
        folder=folder,
        stock=stock,
        baseline=baseline,
        baseline_sizes=ObjectSizes(size_bytes=0, text_data_bytes=0),
        inspection=inspection,
    )
    output = whole.output
    # Front ends may be started elsewhere, by a compile database.
    names = [
        Path(f"{output if unit.stock.cwd is None else output.absolute()}.{index}.bc")
        for index, unit in enumerate(units)
    ]
    commands = (
        *(
            as_text(unit.stock, unit.stock.frontend_command(unit.source, name))
            for unit, name in zip(units, names, strict=True)
        ),
        *map(shlex.join, link.join_commands(names, kept, Path(f"{output}.unoptimized.bc"))),
    )
    return Program(unit=whole, link=link, replay=commands)


def _may_be_called(name: str) -> bool:
    return name in LIBRARY_FUNCTIONS or name.startswith("__")


def candidates_of(
    program: Program,
    options: OptimizeOptions,
    pool: WorkerPool,
    checker: Checker,
    notify: Callable[[str], None],
) -> Candidates:
    """Return what a joined program can become, and how many evaluations were made.

    Raises:
        CompilerError, ResourceError: nothing compiles.
    """
    unit = program.unit
    bitcode = unit.bitcode_path.read_bytes()
    if missing := uncovered(unit.inspection.constructs):
        warning = (
            f"clang -Oz -flto stands: the program has {missing[0]}, which no self-testing program "
            "covers"
        )
        return Candidates(warnings=(warning,))
    recipes = _recipes(unit, options, checker)
    if not recipes and options.candidates:
        return Candidates(warnings=(checker.why_unchecked(unit.triple),))
    notify(
        f"{len(unit.inspection.functions)} functions, {unit.inspection.num_instructions} "
        f"instructions in one module; measuring {len(recipes)} recipes"
    )
    measured = _measure(unit, bitcode, recipes, pool, notify)
    good = {recipe: found for recipe, found in measured.items() if found.ok}
    if not good:
        return Candidates(num_evaluations=len(measured))
    best = min(good, key=lambda recipe: options.objective.rank(good[recipe]))
    attempts = [_try(lambda: _single(program, best, options, pool), program, notify)]
    notify("assembling function by function")
    # One object has one set of options of code generation; attributes are each function's own.
    for settings in dict.fromkeys(recipe.options for recipe in good):
        group = {recipe: m for recipe, m in good.items() if recipe.options == settings}

        def assemble(
            group: dict[Recipe, Measurement] = group, settings: tuple[str, ...] = settings
        ) -> Candidate | str:
            return _assembled(program, bitcode, group, settings, options, pool)

        attempts.append(_try(assemble, program, notify))
    return Candidates(
        found=tuple(attempt for attempt in attempts if isinstance(attempt, Candidate)),
        num_evaluations=len(measured),
        warnings=tuple(attempt for attempt in attempts if isinstance(attempt, str) and attempt),
    )


def _try(
    make: Callable[[], Candidate | str], program: Program, notify: Callable[[str], None]
) -> Candidate | str:
    """Return a candidate that can be linked, or why there is none; empty: there is nothing new."""
    start = time.monotonic()
    try:
        made = make()
        if isinstance(made, str):
            return made
        if names := dangling_symbols(program.unit, made.data):
            raise CompileFailed(f"it calls '{names[0]}', which link-time optimisation removes")
    except (CompilerError, ResourceError) as error:
        return f"a candidate was left out: {error}"
    how = "assembled" if made.is_assembled else "one recipe for all"
    notify(f"{how}: {made.linked.size_bytes} bytes linked, {time.monotonic() - start:.1f} s")
    return made


def _recipes(unit: Unit, options: OptimizeOptions, checker: Checker) -> list[Recipe]:
    """Return default<Oz> under each settings, then as many recipes as are asked for."""
    constructs = unit.inspection.constructs
    coreset = load_coreset()
    settings = settings_for(unit, options, coreset)
    probes = [OZ.with_settings_of(other) for other in settings]
    lists = [recipe for recipe in coreset.lists if not refusal_of(recipe, constructs)]
    usable = [
        recipe
        for recipe in dict.fromkeys(
            [
                *extras_for(unit, options, coreset),
                *(recipe.with_settings_of(settings[0]) for recipe in lists),
                *lists,
            ]
        )
        if recipe not in probes and checker.known(recipe, unit.triple) is VerdictKind.PASSED
    ]
    passed = [probe for probe in probes if checker.known(probe, unit.triple) is VerdictKind.PASSED]
    return [*passed, *usable[: options.candidates]]


def _measure(
    unit: Unit,
    bitcode: bytes,
    recipes: Sequence[Recipe],
    pool: WorkerPool,
    notify: Callable[[str], None],
) -> dict[Recipe, Measurement]:
    """Measure recipes; those with the same passes go to one worker, one after the other."""
    groups: dict[tuple[str, ...], list[Recipe]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.elements, []).append(recipe)
    tickets = {}
    for group in groups.values():
        job = EvaluateJob(
            bitcode=bitcode,
            pass_lists=tuple(group),
            timeout_s=unit.stock.timeout_s,
            module_hash=str(unit.bitcode_path),
            with_symbols=True,
        )
        tickets[pool.submit(job)] = group
    measured: dict[Recipe, Measurement] = {}
    smallest = 0
    for result in pool.results():
        if result.ticket not in tickets:
            continue
        if result.error is not None:
            raise result.error
        if result.step < 0 or result.last:
            continue
        found: Measurement = result.value
        measured[tickets[result.ticket][result.step]] = found
        if found.ok and (not smallest or found.size_bytes < smallest):
            smallest = found.size_bytes
            notify(f"{len(measured)} of {len(recipes)}: {smallest} bytes in the object")
    return {
        each_recipe: measured[each_recipe] for each_recipe in recipes if each_recipe in measured
    }


def _single(
    program: Program, recipe: Recipe, options: OptimizeOptions, pool: WorkerPool
) -> Candidate:
    unit = program.unit
    built = rebuild(unit, recipe, options.objective, pool=pool)
    output = unit.output
    optimized = Path(f"{output}.optimized.bc")
    commands = (
        unit.stock.opt_command(
            recipe, Path(f"{output}.unoptimized.bc"), optimized, pic=unit.inspection.pic
        ),
        unit.stock.backend_command(optimized, output, recipe=recipe),
    )
    return Candidate(
        recipe=recipe,
        data=built.data,
        linked=program.link.linked_sizes(built.data, "single"),
        replay=(*program.replay, *map(shlex.join, commands)),
        is_assembled=False,
    )


def _assembled(
    program: Program,
    bitcode: bytes,
    measured: dict[Recipe, Measurement],
    backend_options: tuple[str, ...],
    options: OptimizeOptions,
    pool: WorkerPool,
) -> Candidate | str:
    """Return the best assembly; else why the program is not assembled, empty if none compiles."""
    unit = program.unit
    timeout_s = 4 * unit.stock.timeout_s
    structure = unit_structure(pool, bitcode, timeout_s=timeout_s)
    if structure.structure.refusal:
        return f"not function by function: {structure.structure.refusal}"
    found = best_assembly(
        pool,
        bitcode,
        structure.structure,
        measured,
        objective=options.objective,
        options=backend_options,
        num_rounds=_ROUNDS,
        timeout_s=timeout_s,
    )
    if found is None:
        return ""
    data, assembly = rebuild_assembly(
        pool,
        unit.stock,
        structure,
        found.plan,
        unit.bitcode_path,
        unit.folder,
        pic=unit.inspection.pic,
    )
    output = unit.output
    commands = assembly.commands(Path(f"{output}.unoptimized.bc"), output)
    functions = tuple(sorted(found.plan.recipes.items()))
    return Candidate(
        recipe=Recipe(options=backend_options, functions=functions),
        data=data,
        linked=program.link.linked_sizes(data, "assembled"),
        replay=(*program.replay, *map(shlex.join, commands)),
        is_assembled=True,
    )


def merge_objects(
    objects: Sequence[tuple[Path, bytes]], output: Path, link: LinkTime
) -> tuple[bytes, str]:
    """Return one object of several that were optimised one by one, and the command for it.

    Args:
        objects: the names that their own commands write to, and their bytes.

    Raises:
        CompilerError, ResourceError: in the linker's own words.
    """
    paths = []
    for index, (_, data) in enumerate(objects):
        path = link.folder / f"unit{index}.o"
        path.write_bytes(data)
        paths.append(path)
    merged = link.folder / "merged.o"
    link.stock.run_tool(link.merge_command(paths, merged), "the merge")
    command = link.merge_command([name for name, _ in objects], output)
    return merged.read_bytes(), shlex.join(command)
