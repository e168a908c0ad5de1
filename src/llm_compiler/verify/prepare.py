"""Make a suite ready for one architecture: linkable bitcode of each program, and what it prints.

The bitcode is what searches start from (``clang -Oz -Xclang -disable-llvm-passes``); what a
program must print is what its ``-O0`` build prints. Both are cached on disk program by program, so
that suites share them; files appear whole or not at all, so several processes may prepare at the
same time. A program that cannot serve (does not compile, fails at -O0, is too slow, breaks when
its symbols are renamed) is skipped, with the reason.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import CompileFailed, OutputError
from llm_compiler.output import write_atomically
from llm_compiler.records import OZ, PassList, Status, content_hash
from llm_compiler.verify.harness import Harness, symbol_suffix
from llm_compiler.verify.program_jobs import BuildJob, Built, RenameJob
from llm_compiler.verify.suite import Program, Suite
from llm_compiler.verify.target import Target
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = [
    "PreparedProgram",
    "prepare_programs",
    "scratch_dir",
    "write_cached",
]

_FORMAT = 3
"""Part of every cache key: to be raised when what is cached means something else."""
_REFERENCE_TIMEOUT_S = 20.0
_TOO_SLOW = ("took too long", "timed out")
"""How the reasons for skipping end that another day may not give."""
_ALWAYS_INLINE = "always-inline"
_NO_PASSES = PassList()
_FRONT_END = ("-Oz", "-Xclang", "-disable-llvm-passes", "-emit-llvm", "-c")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedProgram:
    """A program, ready for one architecture; `skipped` says why it cannot serve, if so."""

    program: Program
    key: str
    """Names its bitcode's cache entry."""
    bitcode: bytes = field(default=b"", repr=False)
    expected: bytes = field(default=b"", repr=False)
    skipped: str = ""


def scratch_dir() -> Path | None:
    """Return a folder in memory for short-lived objects, if there is one."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() and os.access(shared, os.W_OK) else None


def write_cached(path: Path, data: bytes) -> None:
    """Write a cache file whole or not at all, and its folder where it is missing.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the suite cache {path.parent} cannot be made: {error}") from error
    write_atomically(path, data)


class _Entry:
    """The cache entry of one program for one target: .bc, .out, and .json, written last."""

    def __init__(self, folder: Path, key: str) -> None:
        self._folder, self._key = folder, key

    def _path(self, suffix: str) -> Path:
        return self._folder / self._key[:2] / f"{self._key}{suffix}"

    def load(self, program: Program) -> PreparedProgram | None:
        try:
            skipped = json.loads(self._path(".json").read_bytes())["skipped"]
            bitcode = self._path(".bc").read_bytes() if not skipped else b""
            expected = self._path(".out").read_bytes() if not skipped else b""
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return PreparedProgram(
            program=program, key=self._key, bitcode=bitcode, expected=expected, skipped=skipped
        )

    def store(self, prepared: PreparedProgram) -> None:
        if not prepared.skipped:
            write_cached(self._path(".bc"), prepared.bitcode)
            write_cached(self._path(".out"), prepared.expected)
        document = {"name": prepared.program.name, "skipped": prepared.skipped}
        write_cached(self._path(".json"), json.dumps(document).encode())


def prepare_programs(
    suite: Suite, target: Target, pool: WorkerPool, cache_dir: Path, *, num_processes: int = 1
) -> list[PreparedProgram]:
    """Return every program of a suite as it is for a target, made anew or from the cache.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = cache_dir / f"suite-{target.toolchain.version}-{target.triple}"
    keys = [_key(program, target) for program in suite.programs]
    found = {
        key: _Entry(folder, key).load(program)
        for key, program in zip(keys, suite.programs, strict=True)
    }
    missing = [p for key, p in zip(keys, suite.programs, strict=True) if found[key] is None]
    if missing:
        for made in _make(missing, target, pool, num_processes):
            # A busy machine is no property of the program: the next run tries again.
            if not made.skipped.endswith(_TOO_SLOW):
                _Entry(folder, made.key).store(made)
            found[made.key] = made
    return [prepared_program for key in keys if (prepared_program := found[key]) is not None]


def _key(program: Program, target: Target) -> str:
    parts = [
        _FORMAT,
        program.name,
        program.source,
        program.language,
        program.flags,
        program.link_flags,
        target.triple,
        target.toolchain.version,
    ]
    if reason := target.left_out.get(program.name):
        parts.append(reason)
    return content_hash(json.dumps(parts).encode())


def _make(
    programs: Sequence[Program], target: Target, pool: WorkerPool, num_processes: int
) -> list[PreparedProgram]:
    with tempfile.TemporaryDirectory(prefix="llm-compiler-suite-") as name:
        folder = Path(name)
        with ThreadPoolExecutor(num_processes) as threads:
            made = list(
                threads.map(lambda program: _compile_one(program, target, folder), programs)
            )
        renamed = _rename(made, pool)
        checked = _drop_unusable(renamed, target, pool, folder, num_processes)
        again = _rename(_failing(made, checked), pool, _ALWAYS_INLINE)
        checked = _replace(checked, _drop_unusable(again, target, pool, folder, num_processes))
        # Coroutines cannot be compiled before they are split: those programs must do right at -Oz.
        again = _rename(_failing(made, checked), pool)
        return _replace(checked, _drop_unusable(again, target, pool, folder, num_processes, OZ))


def _failing(
    made: Sequence[PreparedProgram], checked: Sequence[PreparedProgram]
) -> list[PreparedProgram]:
    """Return the programs that compiled, and were skipped since."""
    return [old for old, new in zip(made, checked, strict=True) if new.skipped and not old.skipped]


def _replace(
    checked: Sequence[PreparedProgram], again: Sequence[PreparedProgram]
) -> list[PreparedProgram]:
    """Put what serves now in the place of what did not."""
    mended = {
        prepared_program.program.name: prepared_program
        for prepared_program in again
        if not prepared_program.skipped
    }
    return [
        mended.get(prepared_program.program.name, prepared_program) for prepared_program in checked
    ]


def _compile_one(program: Program, target: Target, parent: Path) -> PreparedProgram:
    folder = parent / program.name
    key = _key(program, target)
    if reason := target.left_out.get(program.name):
        return PreparedProgram(program=program, key=key, skipped=reason)
    if program.language not in target.languages:
        reason = f"there is no library of {program.language.upper()} for {target.architecture}"
        return PreparedProgram(program=program, key=key, skipped=reason)
    folder.mkdir()
    (folder / program.file_name).write_text(program.source, "utf-8", "surrogateescape")
    # Relative names in its own folder: __FILE__ and the module's name must not vary.
    common = [*program.flags, "-w", program.file_name]
    try:
        target.compile(
            [*_FRONT_END, *common, "-o", "unoptimized.bc"], language=program.language, cwd=folder
        )
        target.build_reference(
            program.file_name,
            [*program.flags, "-w"],
            folder / "reference",
            language=program.language,
            link_flags=program.link_flags,
        )
    except CompileFailed as error:
        return PreparedProgram(program=program, key=key, skipped=str(error))
    expected, fault = target.run_reference(folder / "reference", timeout_s=_REFERENCE_TIMEOUT_S)
    if fault:
        return PreparedProgram(program=program, key=key, skipped=f"its -O0 build {fault}")
    bitcode = (folder / "unoptimized.bc").read_bytes()
    return PreparedProgram(program=program, key=key, bitcode=bitcode, expected=expected)


def _rename(
    made: Sequence[PreparedProgram], pool: WorkerPool, pipeline: str = ""
) -> list[PreparedProgram]:
    usable = [program for program in made if not program.skipped]
    job = RenameJob(
        modules=tuple(program.bitcode for program in usable),
        suffixes=tuple(symbol_suffix(program.program.name) for program in usable),
        pipeline=pipeline,
    )
    results = dict(
        zip(
            (program.key for program in usable),
            run_jobs(pool, [job])[0] if usable else [],
            strict=True,
        )
    )
    renamed = []
    for prepared_program in made:
        if prepared_program.skipped:
            renamed.append(prepared_program)
            continue
        result = results[prepared_program.key]
        bad = result.status is not Status.OK
        renamed.append(
            PreparedProgram(
                program=prepared_program.program,
                key=prepared_program.key,
                bitcode=result.data,
                expected=prepared_program.expected,
                skipped=f"cannot be made linkable: {result.detail}" if bad else "",
            )
        )
    return renamed


def _drop_unusable(
    made: Sequence[PreparedProgram],
    target: Target,
    pool: WorkerPool,
    folder: Path,
    num_processes: int,
    passes: PassList = _NO_PASSES,
) -> list[PreparedProgram]:
    """Skip the programs that fail without any pass: those a pass list cannot be blamed for."""
    usable = [program for program in made if not program.skipped]
    reasons: dict[str, str] = {}
    if usable:
        job = BuildJob(modules=tuple(program.bitcode for program in usable), passes=passes)
        objects: dict[str, Path] = {}
        built: Built
        for prepared_program, built in zip(usable, run_jobs(pool, [job])[0], strict=True):
            if built.status is Status.OK:
                objects[prepared_program.program.name] = (
                    folder / f"{prepared_program.program.name}.o"
                )
                objects[prepared_program.program.name].write_bytes(built.object_bytes)
            else:
                reasons[prepared_program.program.name] = built.detail
        harness = Harness(
            target,
            [program.program.name for program in usable],
            folder,
            link_flags={program.program.name: program.program.link_flags for program in usable},
            num_processes=num_processes,
        )
        expected = {program.program.name: program.expected for program in usable}
        while objects:
            passed, failure = harness.first_failure(objects, expected, folder)
            objects = {name: path for name, path in objects.items() if name not in passed}
            if failure is None:
                break
            objects.pop(failure.program)
            reasons[failure.program] = failure.reason
    return [
        PreparedProgram(
            program=program.program, key=program.key, skipped=f"fails without any pass: {reason}"
        )
        if (reason := reasons.get(program.program.name))
        else program
        for program in made
    ]
