"""``llm-compiler disassemble``: an object in, a module and a verdict a function out."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.commands.engines import open_engine
from llm_compiler.commands.options.disassemble import DisassembleArguments
from llm_compiler.console import print_json, print_table, progress, warn
from llm_compiler.disassemble import (
    Disassembled,
    DisassembleOptions,
    LiftedFunction,
    LiftVerdict,
    disassemble,
    read_program,
)
from llm_compiler.disassembly.archive import MAGIC, read_archive
from llm_compiler.disassembly.disassembled import Retargeted
from llm_compiler.disassembly.graph import blocks_of, to_dot, to_html
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.disassembly.rules.known_functions import Program
from llm_compiler.errors import CompileFailed, ConfigError, InputError
from llm_compiler.llvm.demangle import demangled
from llm_compiler.llvm.module_jobs import Inspection, InspectJob
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import weights_hash, weights_of
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.model.engines.requests import Capability
from llm_compiler.option_fields import values_for
from llm_compiler.output import check_writable, make_folders, write_atomically
from llm_compiler.records import Status
from llm_compiler.signals import received
from llm_compiler.user_folders import cache_folder
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One object to lift: where it lies, what it is called, and where its module goes."""

    path: Path
    name: str
    output: Path


def _tasks(options: DisassembleArguments, folder: Path) -> list[_Task]:
    """Return what there is to lift: the files, and the members of archives, put into a folder."""
    found = _files(options.files, folder)
    target = options.out_dir or Path()
    if len(found) > 1:
        for flag, value in (("-o", options.output), ("--relink", options.relink)):
            if value is not None:
                raise ConfigError(f"{flag} takes one input, and there are {len(found)}: --out-dir")
    tasks: list[_Task] = []
    for path, name, stem in found:
        output = options.output or target / Path(stem).with_suffix(".ll").name
        for each_path in (output, options.relink):
            if (
                each_path is not None
                and str(each_path) != "-"
                and each_path.resolve() == path.resolve()
            ):
                raise ConfigError(f"the output {each_path} would overwrite its own input")
        if any(other.output == output for other in tasks):
            raise ConfigError(f"two inputs would both be written to {output}: lift them in turn")
        tasks.append(_Task(path=path, name=name, output=output))
    if options.relink is not None and tasks[0].output.resolve() == options.relink.resolve():
        raise ConfigError(f"the module and the object would both be written to {options.relink}")
    return tasks


def _files(sources: Sequence[Path], folder: Path) -> list[tuple[Path, str, str]]:
    """Return files, members of archives among them: where each lies, and what it is called."""
    found: list[tuple[Path, str, str]] = []
    for number, source in enumerate(sources):
        if source.suffix == ".ll" and source.is_file():
            raise InputError(f"{source} is LLVM-IR already: expected assembly or an ELF file")
        if not _is_archive(source):
            found.append((source, str(source), source.name))
            continue
        members = read_archive(source.read_bytes(), str(source))
        if not members:
            raise InputError(f"{source} is an archive without members")
        position = folder / f"archive-{number}"
        position.mkdir(parents=True)
        for index, member in enumerate(members):
            path = position / f"{index}.o"
            path.write_bytes(member.data)
            found.append((path, f"{source}({member.name})", member.name))
    return found


def _program(options: DisassembleArguments, tasks: Sequence[_Task], folder: Path) -> Program | None:
    """Return what files of one program say of each other; None where there is only one."""
    for path in options.beside:
        if not path.is_file():
            raise InputError(f"cannot read {path}: no such file")
    beside = [path for path, _, _ in _files(options.beside, folder)]
    own = {task.path.resolve() for task in tasks}
    files = [task.path for task in tasks] + [path for path in beside if path.resolve() not in own]
    if len(files) < 2:
        return None
    return read_program(files, target_triple=options.target_triple)


def _is_archive(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
    return False


def run(options: DisassembleArguments) -> int:
    """Lift files and print the verdicts; 1 if any is not at least tests_passed."""
    given = values_for(DisassembleOptions, options)
    settings = DisassembleOptions(
        **given
        | {
            "rules": False if options.no_rules else None,
            "relink": options.relink is not None,
            "keep_unproved": options.keep_unproved and not options.strict,
        }
    )
    is_complete = True
    with tempfile.TemporaryDirectory(prefix="llm-compiler-") as name:
        tasks = _tasks(options, Path(name))
        if options.out_dir is not None:
            make_folders(options.out_dir, [task.output for task in tasks])
        if options.graph is not None:
            make_folders(options.graph, [])
        for task in tasks:
            check_writable(task.output)
        if options.relink is not None:
            check_writable(options.relink)
        program = _program(options, tasks, Path(name) / "beside")
        engine = open_engine(options.engine, options.model, "disassemble")
        try:
            with LocalPool(1) as pool, _cache(engine, options) as cache:
                for task in tasks:
                    try:
                        result = _lift(task, engine, settings, pool, options, cache, program)
                    except InputError as error:
                        if len(tasks) == 1:
                            raise
                        # One damaged member does not lose the others.
                        warn(str(error).replace(str(task.path), task.name))
                        is_complete = False
                        continue
                    is_complete = is_complete and result.is_complete
                    if not options.json and len(tasks) > 1:
                        print(f"{task.name}:")
                    if options.json:
                        print_json(result.to_json())
                    elif str(task.output) != "-":
                        _print(result)
                    if received():
                        break  # what was lifted of this one is written
        finally:
            engine.close()
    return 0 if is_complete else 1


def _cache(
    engine: Engine, options: DisassembleArguments
) -> contextlib.AbstractContextManager[LiftCache | None]:
    """Return the user's cache of outcomes; none where an engine's answers may be others each time.

    Those are servers', and files that somebody wants verdicts on.
    """
    if options.no_cache or Capability.VERBATIM in engine.capabilities:
        return contextlib.nullcontext()
    weights = weights_of(engine.name, options.model)
    if weights and Path(weights).is_dir():
        model = f"{engine.name} {weights_hash(Path(weights))}"
    elif engine.name == NoEngine.name:
        model = NoEngine.name
    else:
        return contextlib.nullcontext()
    return LiftCache(cache_folder() / "lifts", model=model, toolchain=find_toolchain())


def _lift(
    task: _Task,
    engine: Engine,
    settings: DisassembleOptions,
    pool: WorkerPool,
    options: DisassembleArguments,
    cache: LiftCache | None,
    program: Program | None,
) -> Disassembled:
    """Lift one object and write what comes of it."""
    with progress(None, "lifting") as bar:

        def show(name: str, done: int, total: int) -> None:
            bar.update(done, name, total=total)

        result = disassemble(
            task.path,
            engine,
            settings,
            pool=pool,
            on_progress=show,
            name=task.name,
            cache=cache,
            program=program,
        )
        module = result.retargeted.module if result.retargeted else result.module
        data = module.encode("utf-8", "surrogateescape")
        if task.output.suffix == ".bc":
            data = _as_bitcode(data, task.output, pool)
    for message in result.warnings:
        warn(message)
    write_atomically(task.output, data)
    if options.relink is not None:
        write_atomically(options.relink, result.relinked)
    if options.graph is not None:
        _write_graphs(result, options.graph)
    return result


def _write_graphs(result: Disassembled, folder: Path) -> None:
    names = demangled([function.name for function in result.functions])
    for function in result.functions:
        blocks = blocks_of(result.module, function.name)
        blocks = blocks or blocks_of(result.module, f"{function.name}.{function.verdict.value}")
        if not blocks:
            continue
        stem = re.sub(r"[^\w.-]", "_", function.name)[:120]
        page = to_html(names[function.name], _verdict_line(function), function.assembly, blocks)
        for path, text in (
            (folder / f"{stem}.dot", to_dot(function.name, blocks)),
            (folder / f"{stem}.html", page),
        ):
            write_atomically(path, text.encode("utf-8", "surrogateescape"))


def _verdict_line(lifted_function: LiftedFunction) -> str:
    evidence = _evidence(lifted_function)
    return (
        f"{lifted_function.verdict.value}: {evidence}"
        if evidence
        else lifted_function.verdict.value
    )


def _as_bitcode(text: bytes, output: Path, pool: WorkerPool) -> bytes:
    """Return a module's text as bitcode.

    Raises:
        CompileFailed: LLVM does not read it.
    """
    (found,) = run_jobs(pool, [InspectJob(inputs=(text,), names=(str(output),))])[0]
    inspection: Inspection = found
    if inspection.status is not Status.OK:
        raise CompileFailed(f"LLVM cannot make {output}: {inspection.detail}")
    return inspection.bitcode


def _print(result: Disassembled) -> None:
    names = demangled([function.name for function in result.functions])
    rows = [
        (
            names[function.name],
            function.verdict.value,
            str(function.num_instructions),
            str(function.num_candidates),
            "known" if function.is_cached else f"{function.seconds:.1f}",
            _evidence(function),
        )
        for function in result.functions
    ]
    if rows:
        header = ("function", "verdict", "instructions", "candidates", "seconds", "why")
        print_table(header, rows, right="llrrr")
    counts = [
        f"{number} {verdict.value}"
        for verdict in LiftVerdict
        if (number := sum(function.verdict is verdict for function in result.functions))
    ]
    print(", ".join(counts))
    if not result.is_whole and result.obstacle and result.retargeted is None:
        print(f"the module is not whole, --relink makes an object of it: {result.obstacle}")
    if result.retargeted is not None:
        _print_retargeted(result.retargeted)


def _print_retargeted(result: Retargeted) -> None:
    print(f"\nfor {result.target_triple}:")
    rows = [
        (
            function.name,
            function.verdict.value,
            "yes" if function.is_defined else "no",
            f"agrees on {function.num_completed} inputs"
            if function.verdict is LiftVerdict.TESTS_PASSED
            else function.reason,
        )
        for function in result.functions
    ]
    print_table(("function", "verdict", "defined", "why"), rows, right="lll")


def _evidence(lifted_function: LiftedFunction) -> str:
    if lifted_function.is_ifunc:
        return f"'{lifted_function.alias_of}' chooses at load time what it is"
    if lifted_function.alias_of:
        return f"another name of '{lifted_function.alias_of}'"
    if lifted_function.counterexample is not None:
        arguments = ", ".join(lifted_function.counterexample.arguments) or "no arguments"
        return f"{lifted_function.reason}; with {arguments}"
    if lifted_function.verdict is LiftVerdict.TESTS_PASSED:
        return f"agrees on {lifted_function.num_completed} inputs; {lifted_function.reason}"
    return lifted_function.reason
