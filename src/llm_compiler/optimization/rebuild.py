"""A list's object by the stock tools, with all that an objective asks about it.

What is handed out is made here, and nowhere else. Not safe for two calls with one `name` at once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_compiler.errors import InputError
from llm_compiler.llvm.module_jobs import Inspection, InspectJob
from llm_compiler.llvm.object_file import section_sizes, undefined_symbols
from llm_compiler.optimization.choose import Built
from llm_compiler.optimization.library_names import is_library_name
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import PassList, Status
from llm_compiler.search.objective import Objective
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["baseline_of", "dangling_symbols", "rebuild"]


def rebuild(
    unit: Unit,
    passes: PassList,
    objective: Objective,
    *,
    pool: WorkerPool | None = None,
    name: str = "",
) -> Built:
    """Return the object that opt and clang make of a unit with a list.

    Args:
        pool: counts instructions, where the objective needs the module and not the object alone.
        name: keeps the temporary files of calls apart.

    Raises:
        CompilerError, ResourceError: the list works in process, but not with the stock tools.
    """
    optimized, final = unit.folder / f"optimized{name}.bc", unit.folder / f"final{name}.o"
    try:
        unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=unit.inspection.pic)
        unit.stock.run_backend(optimized, final, recipe=passes)
        data = final.read_bytes()
        count = _num_instructions(optimized, objective, pool)
    finally:
        optimized.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
    built = replace(Built.of(section_sizes(data), count), data=data)
    return replace(built, dangling=dangling_symbols(unit, data))


def baseline_of(unit: Unit, objective: Objective, *, pool: WorkerPool | None = None) -> Built:
    """Return clang -Oz's own object, as the objective sees it.

    Raises:
        LlmCompilerError: clang fails on the module that it made the object from.
    """
    count = 0
    if not objective.of_object:
        path = unit.folder / "baseline.bc"
        command = (*unit.stock.baseline_command(unit.source, path), "-emit-llvm")
        unit.stock.compile_source(command, unit.source)
        count = _num_instructions(path, objective, pool)
    return replace(Built.of(unit.baseline_sizes, count), data=unit.baseline)


def _num_instructions(bitcode: Path, objective: Objective, pool: WorkerPool | None) -> int:
    if objective.of_object:
        return 0
    assert pool is not None, "instructions are counted by a worker"
    (found,) = run_jobs(pool, [InspectJob(inputs=(bitcode.read_bytes(),))])[0]
    inspection: Inspection = found
    if inspection.status is not Status.OK:
        raise InputError(f"LLVM cannot read {bitcode.name} again: {inspection.detail}")
    return inspection.num_instructions


def dangling_symbols(unit: Unit, data: bytes) -> tuple[str, ...]:
    """Return the functions that an object needs, that clang -Oz's does not, and that may not exist.

    A body that is there for inlining only promises a copy in another object, but some headers
    (libstdc++'s) break that promise for functions that clang always inlines. Other code calls
    what exists nowhere, and expects the compiler to see that the call is never made.
    """
    assert unit.inspection is not None
    promised = frozenset(unit.inspection.available_externally)
    needed = undefined_symbols(data) - undefined_symbols(unit.baseline)
    return tuple(sorted(name for name in needed if name in promised or not is_library_name(name)))
