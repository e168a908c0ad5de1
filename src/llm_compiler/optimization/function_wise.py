"""Assemble units function by function: choose, compile assemblies in workers, rebuild with clang.

The engine between measurements and an object: `best_assembly` turns measurements with symbols into
the best assembly found in process, `rebuild_assembly` makes it with the stock tools and says by
which commands. Who may use which recipe is not asked here. A unit that cannot be assembled has a
`Structure.refusal` that says why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.elf_core import SHN_LORESERVE, SHT_SYMTAB, STB_LOCAL, read_elf
from llm_compiler.llvm.function_wise.assemble_jobs import (
    Assembled,
    AssembleJob,
    LeftoversJob,
    StructureJob,
    UnitStructure,
)
from llm_compiler.llvm.function_wise.plan import SUFFIXES, AssemblyPlan, make_plan
from llm_compiler.llvm.function_wise.stock_assembly import (
    Leftovers,
    StockAssembly,
    run_commands,
)
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.symbol_sizes import symbol_name
from llm_compiler.records import Measurement, Recipe
from llm_compiler.search.function_wise import MAX_LISTS, Chooser
from llm_compiler.search.objective import SIZE, Objective
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Assembly", "best_assembly", "rebuild_assembly", "unit_structure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """An assembly and what it measures in process."""

    plan: AssemblyPlan
    measurement: Measurement
    num_compiled: int
    """How many assemblies it is the best of."""


def unit_structure(pool: WorkerPool, bitcode: bytes, *, timeout_s: float = 60.0) -> UnitStructure:
    """Return what stands between a unit's functions, or why it cannot be assembled."""
    found: UnitStructure = run_jobs(pool, [StructureJob(bitcode=bitcode, timeout_s=timeout_s)])[0][
        0
    ]
    return found


def best_assembly(
    pool: WorkerPool,
    bitcode: bytes,
    structure: Structure,
    measured: Mapping[Recipe, Measurement],
    *,
    objective: Objective = SIZE,
    options: tuple[str, ...] = (),
    max_lists: int = MAX_LISTS,
    num_rounds: int = 0,
    timeout_s: float = 60.0,
) -> Assembly | None:
    """Return the best assembly for measurements of the whole unit; None if none compiles.

    Three assemblies are compiled: static functions of one part visible, the same kept static, and
    the better of the two with more done at the end. What the best takes differs from the forecast,
    since functions look into each other: each round corrects the forecast and compiles another.

    Args:
        measured: with symbols (`EvaluateJob.with_symbols`); all of one set of options.
        options: that set.
        num_rounds: how often what an assembly took corrects the forecast, and another is compiled.
    """
    if structure.refusal:
        return None
    chooser = Chooser(structure, measured, objective=objective, max_lists=max_lists)
    chosen = chooser.choose()
    if not chosen:
        return None
    tried: dict[AssemblyPlan, Measurement] = {}

    def measure(*plans: AssemblyPlan) -> None:
        new = [plan for plan in plans if plan not in tried]
        job = AssembleJob(
            bitcode=bitcode, plans=tuple(new), with_symbols=num_rounds > 0, timeout_s=timeout_s
        )
        results: list[Assembled] = run_jobs(pool, [job])[0] if new else []
        tried.update(zip(new, (result.measurement for result in results), strict=True))

    def best() -> AssemblyPlan | None:
        good = [plan for plan, found in tried.items() if found.ok]
        return min(good, key=lambda plan: objective.rank(tried[plan]), default=None)

    visible = make_plan(structure, chosen, options=options)
    measure(visible, make_plan(structure, chosen, options=options, keep_internal=True))
    if (leader := best()) is None:
        return None
    keep_internal = leader != visible
    measure(replace(leader, suffix=SUFFIXES[1]))
    leader = best()
    assert leader is not None
    suffix, plan = leader.suffix, leader
    for _ in range(num_rounds):
        chooser.learn(chosen, tried[plan])
        chosen = chooser.choose()
        plan = make_plan(
            structure, chosen, options=options, keep_internal=keep_internal, suffix=suffix
        )
        if plan in tried:
            break
        measure(plan)
        if not tried[plan].ok:
            break
    leader = best()
    assert leader is not None
    return Assembly(plan=leader, measurement=tried[leader], num_compiled=len(tried))


def rebuild_assembly(
    pool: WorkerPool,
    stock: Stock,
    unit: UnitStructure,
    plan: AssemblyPlan,
    unoptimized: Path,
    folder: Path,
    *,
    pic: bool,
) -> tuple[bytes, StockAssembly]:
    """Assemble with the stock tools; return the object, and the commands that make it again.

    Args:
        unoptimized: the unit's bitcode file.
        folder: for intermediate files; the caller owns it.

    Raises:
        CompileFailed, PassCrashed, TimedOut, OutOfMemory: a tool's own words; or the object would
            define or need other names than the unit does.
    """
    assembly = StockAssembly(
        stock=stock, structure=unit.structure, prefix=unit.prefix, plan=plan, pic=pic
    )
    if not assembly.fits():
        raise CompileFailed("the unit has too many names for the command line of its assembly")
    output = folder / "assembly.o"
    run_commands(stock, assembly.link_commands(unoptimized, str(output)))
    leftovers = Leftovers()
    if unit.structure.discardable:
        linked = Path(assembly.linked(str(output))).read_bytes()
        job = LeftoversJob(linked=linked, structure=unit.structure)
        answer: Leftovers | str = run_jobs(pool, [job])[0][0]
        if isinstance(answer, str):
            raise CompileFailed(f"the linked parts cannot be read: {answer}")
        leftovers = answer
    assembly = replace(assembly, leftovers=leftovers)
    run_commands(stock, assembly.last_commands(output))
    data = output.read_bytes()
    if fault := _names_at_fault(data, unit.structure):
        raise CompileFailed(f"the assembly {fault}")
    return data, assembly


def _names_at_fault(data: bytes, structure: Structure) -> str:
    """Return what is wrong with an assembled object's names; empty if nothing is."""
    elf = read_elf(data)
    symbols = [
        (elf.symbol_name(header, symbol).decode("utf-8", "replace"), symbol)
        for header in elf.headers
        if header.type == SHT_SYMTAB
        for symbol in elf.symbols(header)
    ]
    defined = {name for name, symbol in symbols if name and symbol.section}
    needed = {name for name, symbol in symbols if name and not symbol.section}
    own = {
        symbol_name(name)
        for name in (*structure.exported, *structure.local_functions, *structure.local_variables)
    }
    if left := sorted(needed & own):
        return f"needs '{left[0]}', which the unit itself defines"
    kept = {symbol_name(n) for n in structure.exported if n not in structure.discardable}
    if lost := sorted(kept - defined):
        return f"lacks '{lost[0]}'"
    visible = {
        name
        for name, symbol in symbols
        if 0 < symbol.section < SHN_LORESERVE and symbol.info >> 4 != STB_LOCAL
    }
    static = {symbol_name(n) for n in (*structure.local_functions, *structure.local_variables)}
    if shown := sorted(visible & static):
        return f"shows '{shown[0]}', which is static"
    return ""
