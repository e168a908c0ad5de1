"""From an input to its baseline object and its unoptimised module, by clang."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from llm_compiler.errors import InputError, IrParseError, LlmCompilerError
from llm_compiler.llvm.jobs import Inspection, InspectJob
from llm_compiler.llvm.object_file import object_format, section_sizes
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, ClangFlags
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["prepare_all", "with_dependencies"]


def with_dependencies(flags: ClangFlags, output: Path) -> ClangFlags:
    """Name the dependency file as clang itself would, had it written the user's object."""
    if not flags.dependencies:
        return flags
    return replace(
        flags,
        dependency_file=flags.dependency_file or str(output.with_suffix(".d")),
        dependency_target=flags.dependency_target or str(output),
    )


def _check_input(source: Path) -> None:
    if not source.exists():
        raise InputError(f"{source} does not exist")
    if source.is_dir():
        raise InputError(f"{source} is a directory: name the files in it")
    if source.suffix not in C_SUFFIXES + IR_SUFFIXES:
        raise InputError(
            f"{source} is not C, C++, LLVM-IR or bitcode by its name "
            f"(expected {', '.join(C_SUFFIXES + IR_SUFFIXES)})"
        )
    try:
        with source.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error


def prepare_all(
    units: Sequence[Unit], pool: WorkerPool, *, with_text: bool = False
) -> dict[int, LlmCompilerError]:
    """Make every unit's baseline and unoptimised module; return the failures by index.

    Args:
        with_text: keep the modules' text too, for a model to read.
    """
    failures: dict[int, LlmCompilerError] = {}

    def guarded(step: Callable[[Unit], None], index: int) -> None:
        if index in failures:
            return
        try:
            step(units[index])
        except LlmCompilerError as error:
            failures[index] = error

    for index in range(len(units)):
        guarded(lambda unit: _check_input(unit.source), index)
    # IR comes from outside: LLVM reads it in a worker before clang does.
    _inspect_ir(units, pool, failures)
    with ThreadPoolExecutor(max_workers=max(1, pool.num_workers)) as threads:
        list(threads.map(lambda index: guarded(_run_clang, index), range(len(units))))
    todo = [index for index in range(len(units)) if index not in failures]
    jobs = [
        InspectJob(
            inputs=(units[index].bitcode_path.read_bytes(),),
            names=(str(units[index].source),),
            with_text=with_text,
        )
        for index in todo
    ]
    for index, results in zip(todo, run_jobs(pool, jobs), strict=True):
        inspection: Inspection = results[0]
        if inspection.status is not Status.OK:
            failures[index] = InputError(f"{units[index].source}: {inspection.detail}")
            continue
        units[index].inspection = inspection
        _warn(units[index], inspection)
    return failures


def _inspect_ir(
    units: Sequence[Unit], pool: WorkerPool, failures: dict[int, LlmCompilerError]
) -> None:
    todo = [
        index
        for index, unit in enumerate(units)
        if index not in failures
        and unit.source.suffix in IR_SUFFIXES
        and unit.source.stat().st_size  # an empty file is an empty module to clang
    ]
    jobs = [
        InspectJob(inputs=(units[i].source.read_bytes(),), names=(str(units[i].source),))
        for i in todo
    ]
    for index, results in zip(todo, run_jobs(pool, jobs), strict=True):
        found: Inspection = results[0]
        unit = units[index]
        if found.target_triple and not unit.stock.target_triple:
            # Else clang would compile the module for this machine, whatever it was made for.
            unit.stock = replace(unit.stock, target_triple=found.target_triple)
        if found.status is Status.REFUSED:
            failures[index] = IrParseError(found.detail, line=found.line, column=found.column)
        elif found.status is not Status.OK:
            failures[index] = InputError(
                f"{units[index].source}: LLVM {found.status.value} while reading it: {found.detail}"
            )


def _run_clang(unit: Unit) -> None:
    stock = unit.stock
    baseline_path = unit.folder / "baseline.o"
    done = stock.compile_source(stock.baseline_command(unit.source, baseline_path), unit.source)
    unit.diagnostics = done.stderr_text
    unit.baseline = baseline_path.read_bytes()
    unit.object_format = object_format(unit.baseline)
    if unit.object_format == "ELF":
        unit.baseline_sizes = section_sizes(unit.baseline)
    else:
        unit.warnings.append(
            f"its object is in the format {unit.object_format}, and only ELF is measured: "
            "clang -Oz's own object stands, and no sizes are given"
        )
    dependencies: tuple[str, ...] = ()
    if stock.flags.dependencies:
        dependencies = (
            *stock.flags.dependencies,
            "-MF",
            stock.flags.dependency_file,
            "-MT",
            stock.flags.dependency_target,
        )
    command = stock.frontend_command(unit.source, unit.bitcode_path, dependencies=dependencies)
    stock.compile_source(command, unit.source)


def _warn(unit: Unit, inspection: Inspection) -> None:
    if flag := unit.stock.flags.baseline_only:
        unit.warnings.append(
            f"{flag} is carried out by clang's own passes, so clang -Oz's object stands"
        )
    if unit.source.suffix in IR_SUFFIXES and inspection.functions_without_minsize:
        count = len(inspection.functions_without_minsize)
        unit.warnings.append(
            f"{count} of {len(inspection.functions)} functions lack 'minsize' "
            f"({inspection.functions_without_minsize[0]}, ...): the baseline is clang -Oz on this "
            "file, which leaves them larger than clang -Oz on their source would"
        )
