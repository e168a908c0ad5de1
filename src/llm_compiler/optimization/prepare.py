"""From an input to its baseline object and its unoptimised module, by clang."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from llm_compiler.errors import InputError, IrParseError, LlmCompilerError
from llm_compiler.llvm.clang_flags import ClangFlags
from llm_compiler.llvm.demangle import demangled
from llm_compiler.llvm.module_jobs import Inspection, InspectJob
from llm_compiler.llvm.object_file import ObjectSizes, has_sizes, object_format, section_sizes
from llm_compiler.llvm.stock import C_SUFFIXES, IR_SUFFIXES, Stock
from llm_compiler.optimization.unit import Request, Unit
from llm_compiler.records import Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["prepare", "prepare_all", "with_dependencies"]

_LANGUAGES = ("c", "c++", "cpp-output", "c++-cpp-output")
"""That ``-x`` may name for files of other names."""
_NO_SIZES = ObjectSizes(size_bytes=0, text_data_bytes=0)


def with_dependencies(flags: ClangFlags, output: Path) -> ClangFlags:
    """Name the dependency file as clang itself would, had it written the user's object."""
    if not flags.dependencies:
        return flags
    return replace(
        flags,
        dependency_file=flags.dependency_file or str(output.with_suffix(".d")),
        dependency_target=flags.dependency_target or str(output),
    )


def _check_input(source: Path, language: str) -> None:
    if not source.exists():
        raise InputError(f"{source} does not exist")
    if source.is_dir():
        raise InputError(f"{source} is a directory: name the files in it")
    if source.suffix not in C_SUFFIXES + IR_SUFFIXES and language not in _LANGUAGES:
        raise InputError(
            f"{source} is not C, C++, LLVM-IR or bitcode by its name "
            f"(expected {', '.join(C_SUFFIXES + IR_SUFFIXES)})"
        )
    try:
        with source.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error


def prepare(request: Request, pool: WorkerPool, *, with_text: bool = False) -> Unit:
    """Make an input's baseline and its unoptimised module.

    Args:
        with_text: keep the module's text too, for a model to read.

    Raises:
        LlmCompilerError: the input cannot be read or does not compile.
    """
    source = request.source
    if request.stock.stdin is None:
        _check_input(request.file, request.stock.flags.language)
    stock = request.stock
    # Clang knows what an empty file is; the reader of IR does not.
    if source.suffix in IR_SUFFIXES and request.file.stat().st_size:
        stock = _for_module(request, pool)
    baseline_path = request.folder / "baseline.o"
    done = stock.compile_source(stock.baseline_command(source, baseline_path), source)
    dependencies: tuple[str, ...] = ()
    if stock.flags.dependencies:
        dependencies = (
            *stock.flags.dependencies,
            "-MF",
            stock.flags.dependency_file,
            "-MT",
            stock.flags.dependency_target,
        )
    command = stock.frontend_command(source, request.bitcode_path, dependencies=dependencies)
    stock.compile_source(command, source)
    inspection = _inspect(request.bitcode_path, source, pool, with_text=with_text)
    if inspection.status is not Status.OK:
        raise InputError(f"{source}: {inspection.detail}")
    baseline = baseline_path.read_bytes()
    format_name = object_format(baseline)
    is_measured = has_sizes(baseline)
    sizes = section_sizes(baseline) if is_measured else _NO_SIZES
    warnings = _warnings(source, stock, inspection, format_name, is_measured=is_measured)
    return Unit(
        source=source,
        output=request.output,
        folder=request.folder,
        stock=stock,
        baseline=baseline,
        baseline_sizes=sizes,
        object_format=format_name,
        inspection=replace(inspection, bitcode=b""),  # it is in the file
        warnings=(*stock.flags.notes, *warnings),
        diagnostics=done.stderr_text,
    )


def prepare_all(requests: Sequence[Request], pool: WorkerPool) -> list[Unit | LlmCompilerError]:
    """Prepare several inputs side by side; return a unit or the error of each, in their order."""

    def prepared(request: Request) -> Unit | LlmCompilerError:
        try:
            return prepare(request, pool)
        except LlmCompilerError as error:
            return error

    with ThreadPoolExecutor(max_workers=max(1, pool.num_workers)) as threads:
        return list(threads.map(prepared, requests))


def _inspect(path: Path, source: Path, pool: WorkerPool, *, with_text: bool = False) -> Inspection:
    job = InspectJob(inputs=(path.read_bytes(),), names=(str(source),), with_text=with_text)
    found: Inspection = run_jobs(pool, [job])[0][0]
    return found


def _for_module(request: Request, pool: WorkerPool) -> Stock:
    """Read IR in a worker before clang does, since it comes from outside; return its tools.

    Raises:
        IrParseError, InputError: LLVM refuses it, or dies of it.
    """
    found = _inspect(request.file, request.source, pool)
    if found.status is Status.REFUSED:
        raise IrParseError(found.detail, line=found.line, column=found.column)
    if found.status is not Status.OK:
        raise InputError(
            f"{request.source}: LLVM {found.status.value} while reading it: {found.detail}"
        )
    if found.target_triple and not request.stock.target_triple:
        # Else clang would compile the module for this machine, whatever it was made for.
        return replace(request.stock, target_triple=found.target_triple)
    return request.stock


def _name(function: str) -> str:
    return demangled([function])[function]


def _warnings(
    source: Path, stock: Stock, inspection: Inspection, format_name: str, *, is_measured: bool
) -> Iterator[str]:
    if not is_measured:
        yield (
            f"its object is in the format {format_name}, which is not measured: "
            "clang -Oz's own object stands, and no sizes are given"
        )
    if flag := stock.flags.baseline_only:
        yield f"{flag} is carried out by clang's own passes, so clang -Oz's object stands"
    if untouched := inspection.functions_with_optnone:
        yield (
            f"{len(untouched)} of {len(inspection.functions)} functions are 'optnone' "
            f"({_name(untouched[0])}, ...), as clang -O0 makes them: no pass may touch those"
        )
    if source.suffix in IR_SUFFIXES and inspection.functions_without_minsize:
        count = len(inspection.functions_without_minsize)
        first = _name(inspection.functions_without_minsize[0])
        yield (
            f"{count} of {len(inspection.functions)} functions lack 'minsize' "
            f"({first}, ...): the baseline is clang -Oz on this "
            "file, which leaves them larger than clang -Oz on their source would"
        )
