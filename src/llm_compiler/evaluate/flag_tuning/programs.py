"""Whole programs of a suite, built with the lists that were chosen, run beside their -O2 build.

Compared are exit status, standard output and output files. The programs are the user's own and run
with the user's rights, in an empty folder each, under a time limit. Other architectures' run under
qemu-user. Safe to call from several threads, each with a folder of its own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import (
    CompileFailed,
    LlmCompilerError,
    ResourceError,
)
from llm_compiler.evaluate.flag_tuning.program_files import Program, Run
from llm_compiler.evaluate.flag_tuning.rows import Row
from llm_compiler.evaluate.rows import Journal
from llm_compiler.evaluate.suites import Excluded, Suite
from llm_compiler.evaluate.threads import ThreadTools, in_threads
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.optimization.unit import Unit
from llm_compiler.process import Completed, run
from llm_compiler.records import content_hash
from llm_compiler.verify.target import Target, find_target
from llm_compiler.workers import WorkerPool, num_local_processes

__all__ = [
    "DIFFERS",
    "EQUAL",
    "NOT_BUILT",
    "ProgramRow",
    "Ready",
    "programs_hash",
    "ready_programs",
    "run_programs",
]

_EMULATED = 10
"""How many times its limit a program may take under an emulator."""
EQUAL, DIFFERS, NOT_BUILT = "equal", "differs", "not built"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRow:
    """One run of a program, built with one contender's lists."""

    suite: str
    program: str
    target_triple: str
    contender: str
    budget: int
    run: int
    """Its number, from 0."""
    verdict: str
    """``equal``, ``differs``, or ``not built``."""
    reason: str
    lists: str
    """As JSON: each unit's list; empty: clang -Oz's object."""
    num_units: int
    num_changed: int
    """Units with a list."""
    expected_status: int
    exit_status: int
    num_output_bytes: int
    """Of the -O2 build: what there was to compare."""
    seconds: float
    expected_seconds: float


# -- the -O2 builds ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What a run shows: compared as a whole, but for the seconds."""

    status: int
    stdout: str
    outputs: tuple[str, ...]
    """Hashes; empty for a file that is not there."""
    num_bytes: int
    seconds: float = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A program whose -O2 build runs, and runs alike each time."""

    suite: Suite
    program: Program
    units: tuple[Unit, ...] = field(repr=False)
    keys: tuple[str, ...]
    """Of the units' modules; empty for a unit without code of its own."""
    names: tuple[str, ...]
    target: Target
    expected: tuple[_Outcome, ...]

    @property
    def name(self) -> str:
        """Name the program in this run."""
        return f"{self.suite.name}|{self.program.name}"


def ready_programs(
    suite: Suite, programs: Sequence[Program], toolchain: Toolchain, folder: Path
) -> tuple[list[Ready], list[Excluded]]:
    """Build programs at -O2 and run each twice.

    Args:
        folder: for what is built.

    Returns:
        The programs that can be compared, and the others with the cause.
    """
    found: list[Ready] = []
    excluded: list[Excluded] = []
    for program in programs:
        own = folder / content_hash(f"{suite.name}|{program.name}".encode())[:12]
        own.mkdir(parents=True)
        try:
            found.append(_ready(suite, program, toolchain, own))
        except (LlmCompilerError, OSError) as error:
            name = f"program {program.name}"
            excluded.append(Excluded(suite=suite.name, name=name, cause=str(error)[:300]))
    return found, excluded


def programs_hash(programs: Sequence[Ready]) -> str:
    """Name programs and what they are expected to do: a run with others is another run."""
    described = [
        (program.name, str(program.program), str(program.expected)) for program in programs
    ]
    return content_hash(repr(described).encode())


def _ready(suite: Suite, program: Program, toolchain: Toolchain, folder: Path) -> Ready:
    units: list[Unit] = []
    keys: list[str] = []
    names: list[str] = []
    by_source = {source.resolve(): unit for source, unit in suite.units.items()}
    modules = {
        evaluation_module.unit.source.resolve(): evaluation_module
        for evaluation_module in suite.modules
        if evaluation_module.unit is not None
    }
    for source in program.sources:
        unit = by_source.get(source.resolve())
        if unit is None:
            raise CompileFailed(f"{source.name} is not compiled")
        units.append(unit)
        module = modules.get(source.resolve())
        keys.append(module.key if module else "")
        names.append(module.name if module else source.name)
    triple = next((unit.triple for unit in units if unit.triple), "")
    target = find_target(architecture_of(triple), toolchain)
    objects = []
    for number, unit in enumerate(units):
        objects.append(folder / f"{number}.o")
        command = unit.stock.baseline_command(unit.source, objects[-1], level="-O2")
        unit.stock.compile_source(command, unit.source)
    executable = folder / "program"
    target.link(objects, executable, program.link_flags)
    outcomes = []
    for number, each_run in enumerate(program.runs):
        first, second = (
            _run(program, each_run, target, executable, folder / f"run-{number}-{again}")
            for again in range(2)
        )
        if first != second:
            raise CompileFailed(
                f"run {number} of the -O2 build does not give the same twice: nothing to compare"
            )
        if first.status < 0:
            raise CompileFailed(f"run {number} of the -O2 build dies of signal {-first.status}")
        outcomes.append(first)
    return Ready(
        suite=suite,
        program=program,
        units=tuple(units),
        keys=tuple(keys),
        names=tuple(names),
        target=target,
        expected=tuple(outcomes),
    )


def _run(
    program: Program, each_run: Run, target: Target, executable: Path, folder: Path
) -> _Outcome:
    """Run an executable in a folder of its own.

    Raises:
        ResourceError: it takes longer than its limit.
    """
    folder.mkdir()
    try:
        for file in program.files:
            shutil.copyfile(file, folder / file.name)
        stdin = each_run.stdin.read_bytes() if each_run.stdin is not None else None
        limit = program.timeout_s * (_EMULATED if target.runner else 1)
        done: Completed = run(
            [*target.runner, executable, *each_run.arguments],
            timeout_s=limit,
            stdin=stdin,
            cwd=folder,
        )
        if done.timed_out:
            raise ResourceError(f"it does not end within {limit:g} s")
        outputs, count = [], len(done.stdout)
        for name in each_run.outputs:
            written = folder / name
            data = written.read_bytes() if written.is_file() else None
            outputs.append("" if data is None else content_hash(data))
            count += len(data or b"")
        return _Outcome(
            status=done.exit_status,
            stdout=content_hash(done.stdout),
            outputs=tuple(outputs),
            num_bytes=count,
            seconds=done.seconds,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -- the contenders' builds ----------------------------------------------------------------------


_OBJECT = "object "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Build:
    """A program with one list for each unit; empty: clang -Oz's object.

    What `optimize` made is linked as it is: in a list's place stands `_OBJECT` and its name.
    """

    ready: Ready
    lists: tuple[str, ...]
    objects: Path

    @property
    def key(self) -> str:
        """What names it in a run."""
        return f"{self.ready.name}|{content_hash(json.dumps(self.lists).encode())}"


def run_programs(
    programs: Sequence[Ready],
    rows: Iterable[Row],
    journal: Journal[ProgramRow],
    *,
    pool: WorkerPool,
    objects: Path = Path(),
    on_progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> list[ProgramRow]:
    """Build each program with each contender's lists at each budget, and compare.

    Lists count whether they make a unit smaller or not: what is tested is whether they break it. A
    program that several contenders build from the same lists is built once.

    Args:
        rows: of the modules; which list each contender chose.
        journal: what it holds is not built again.
        objects: where the objects are that `optimize` made.
    """
    chosen: dict[tuple[str, int], dict[str, str]] = {}
    for row in rows:
        key = f"{row.suite}|{row.module}|{row.module_hash}"
        made = f"{_OBJECT}{row.object_name}" if row.object_name and row.recipe else row.passes
        chosen.setdefault((row.contender, row.budget), {})[key] = made
    wanted: dict[tuple[str, str, int], _Build] = {}
    for ready in programs:
        for (contender, budget), lists in chosen.items():
            if any(key and key not in lists for key in ready.keys):
                continue  # a unit that was split by function has no list of its own
            own = tuple(lists.get(key, "") for key in ready.keys)
            wanted[ready.name, contender, budget] = _Build(ready=ready, lists=own, objects=objects)
    builds = list({each_build.key: each_build for each_build in wanted.values()}.values())
    todo = [build for build in builds if journal.rows(build.key) is None]
    done = len(builds) - len(todo)
    for build, compared in in_threads(
        todo,
        lambda build, tools: list(_compare(build, tools)),
        num_threads=num_local_processes(pool),
        make_pool=lambda: contextlib.nullcontext(pool),  # nothing here asks it
    ):
        journal.add(build.key, compared)
        done += 1
        on_progress(done, len(builds), build.key)
    return [
        dataclasses.replace(row, contender=contender, budget=budget)
        for (_, contender, budget), build in wanted.items()
        for row in journal.rows(build.key) or ()
    ]


def _compare(build: _Build, tools: ThreadTools) -> Iterator[ProgramRow]:
    ready = build.ready
    folder = tools.folder / content_hash(build.key.encode())[:12]
    folder.mkdir()
    executable = folder / "program"
    cause = ""
    try:
        _link(build, folder, executable)
    except (LlmCompilerError, OSError) as error:
        cause = str(error)[:300]
    for number, (each_run, expected) in enumerate(
        zip(ready.program.runs, ready.expected, strict=True)
    ):
        verdict, reason, found = NOT_BUILT, cause, None
        if not cause:
            try:
                found = _run(
                    ready.program, each_run, ready.target, executable, folder / str(number)
                )
                verdict, reason = _verdict(found, expected)
            except ResourceError as error:
                verdict, reason = DIFFERS, f"{error}; the -O2 build took {expected.seconds:.1f} s"
        yield ProgramRow(
            suite=ready.suite.name,
            program=ready.program.name,
            target_triple=ready.target.triple,
            contender="",
            budget=0,
            run=number,
            verdict=verdict,
            reason=reason,
            lists=json.dumps(dict(zip(ready.names, build.lists, strict=True))),
            num_units=len(build.lists),
            num_changed=sum(bool(word) for word in build.lists),
            expected_status=expected.status,
            exit_status=found.status if found else -1,
            num_output_bytes=expected.num_bytes,
            seconds=round(found.seconds, 4) if found else 0.0,
            expected_seconds=round(expected.seconds, 4),
        )
    shutil.rmtree(folder, ignore_errors=True)


def _verdict(found: _Outcome, expected: _Outcome) -> tuple[str, str]:
    if found.status < 0:
        return DIFFERS, f"it dies of signal {-found.status}"
    if found.status != expected.status:
        return DIFFERS, f"exit code {found.status} instead of {expected.status}"
    if found.stdout != expected.stdout:
        return DIFFERS, "other standard output"
    if found.outputs != expected.outputs:
        return DIFFERS, "other output files"
    return EQUAL, ""


def _link(build: _Build, folder: Path, executable: Path) -> None:
    objects = []
    for number, (unit, pipeline) in enumerate(zip(build.ready.units, build.lists, strict=True)):
        objects.append(folder / f"{number}.o")
        if not pipeline:
            objects[-1].write_bytes(unit.baseline)
            continue
        if pipeline.startswith(_OBJECT):
            made = build.objects / f"{pipeline.removeprefix(_OBJECT)}.o"
            objects[-1].write_bytes(made.read_bytes())
            continue
        optimized = folder / f"{number}.bc"
        passes = parse_pass_list(pipeline)
        unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=unit.inspection.pic)
        unit.stock.run_backend(optimized, objects[-1])
    build.ready.target.link(objects, executable, build.ready.program.link_flags)
