"""PassListEval: is a pass list safe? Apply it to self-testing programs, link, run, compare.

After Cummins et al., "Meta Large Language Model Compiler" (2024), section 3.2.1: a list that makes
the compiler crash or refuse, or a program crash, hang or print something else, is rejected. To pass
is evidence, not proof. Whether the registry holds the passes to be safe is not asked here
(`llvm.passes.unsafe_passes`): what is asked to be checked is checked. One instance belongs to one
thread; several processes may share a cache folder.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.closing import Closing
from llm_compiler.errors import InputError, ToolchainNotFound
from llm_compiler.llvm.module_jobs import Job
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.records import PassList, Status, Verdict, VerdictKind
from llm_compiler.user_folders import cache_folder
from llm_compiler.verify.harness import DEFAULT_PROGRAM_TIMEOUT_S, Failure, Harness
from llm_compiler.verify.passed_modules import PassedModules
from llm_compiler.verify.prepare import (
    PreparedProgram,
    prepare_programs,
    scratch_dir,
)
from llm_compiler.verify.program_jobs import AssembleProgramsJob, BuildJob, Built
from llm_compiler.verify.reproducer import Reproducer, save_reproducer
from llm_compiler.verify.suite import Suite
from llm_compiler.verify.target import ARCHITECTURES, Target, find_target
from llm_compiler.workers import WorkerPool, num_local_processes

__all__ = ["PASSED", "SAME", "AssemblyCheck", "PassListEval", "Transform"]

PASSED, SAME = "passed", "same"

Transform = Callable[[str, bytes], bytes]
"""From a program's name and module (bitcode or text) to the module that the passes start from."""

_COMPILE_TIMEOUT_S = 20.0
_ASSEMBLE_TIMEOUT_S = 60.0
_PATIENCE = 6
"""A compilation that takes too long gets this multiple of the limit once, on a busy machine."""
_PROGRAMS_PER_JOB = 5
_MAX_REASON = 240
_COMPILER_FAULTS = {
    Status.REFUSED: "compiler refused",
    Status.CRASHED: "compiler crashed",
    Status.TIMED_OUT: "compiler timed out",
    Status.OUT_OF_MEMORY: "compiler ran out of memory",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssemblyCheck:
    """What became of a suite whose programs were assembled function by function."""

    num_programs: int
    """Those that could be taken apart."""
    left: Mapping[str, str]
    """The others, with the reason."""
    failures: Mapping[str, str]
    """Programs that do wrong, and how."""
    drawn: Mapping[str, str] = field(repr=False)
    """The list of each function, as JSON, by program."""


class PassListEval(Closing):
    """Checks pass lists on a suite, for each architecture that this machine can run.

    Args:
        architectures: of ``x86_64`` and ``aarch64``; those without tools are `not_checkable`.
        cache_dir: for prepared programs and results; default: the user's cache folder.
        transform: applied to each program's module in front of the list: a stand-in for a wrong
            pass, in tests of the suite's sensitivity.
        program_timeout_s: for one run of one program; a slow one gets a second, longer try.
        refusals: a list is not held against programs whose kind of module it is refused for
            (`llvm.refusals`); False: it is, to find out what must be refused.

    Raises:
        ToolchainNotFound: not one of the architectures can be checked.
        InputError: not one program of the suite can serve.
        OutputError: the cache cannot be written.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        architectures: Sequence[str] = ARCHITECTURES,
        pool: WorkerPool,
        toolchain: Toolchain | None = None,
        cache_dir: Path | None = None,
        transform: Transform | None = None,
        program_timeout_s: int = DEFAULT_PROGRAM_TIMEOUT_S,
        refusals: bool = True,
    ) -> None:
        self.suite = suite
        self._refusals = refusals
        self.toolchain = toolchain or find_toolchain()
        self.on_progress: Callable[[str, int], None] = lambda what, done: None
        """Called with what is done and how many programs of a list have been compiled."""
        self.not_checkable: dict[str, str] = {}
        self._pool = pool
        self._transform = transform
        self._scratch = tempfile.TemporaryDirectory(
            prefix="llm-compiler-verify-", dir=scratch_dir()
        )
        self._parts: dict[str, _Architecture] = {}
        self._architectures = tuple(architectures)
        try:
            self._prepare(cache_dir or cache_folder(), program_timeout_s)
        except BaseException:
            self.close()
            raise

    def _prepare(self, cache_dir: Path, program_timeout_s: int) -> None:
        for architecture in self._architectures:
            try:
                target = find_target(architecture, self.toolchain)
            except ToolchainNotFound as error:
                self.not_checkable[architecture] = str(error)
                continue
            scratch = Path(self._scratch.name) / architecture
            scratch.mkdir()
            self._parts[architecture] = _Architecture(
                self.suite,
                target,
                self._pool,
                cache_dir=cache_dir,
                scratch=scratch,
                # A wrong module that nobody notices is not one that is known to do right.
                learns=self._transform is None,
                program_timeout_s=program_timeout_s,
            )
        if not self._parts:
            raise ToolchainNotFound("; ".join(self.not_checkable.values()))

    @property
    def skipped(self) -> dict[str, dict[str, str]]:
        """The programs that cannot serve, with the reason, by architecture."""
        return {name: dict(part.skipped) for name, part in self._parts.items()}

    @property
    def checkable(self) -> tuple[str, ...]:
        """The architectures that verdicts are made for."""
        return tuple(self._parts)

    @property
    def num_programs_in_all(self) -> int:
        """How many programs a list is compiled to, on all architectures."""
        return sum(len(part.prepared) for part in self._parts.values())

    def num_programs(self, architecture: str) -> int:
        """Return how many programs a list is checked on."""
        return len(self._parts[architecture].prepared)

    def prepared(self, architecture: str, program: str) -> tuple[Target, PreparedProgram]:
        """Return how a program is built and run, and what it must print.

        Raises:
            InputError: it is not part of this evaluation.
        """
        part = self._parts.get(architecture)
        for prepared_program in part.prepared if part else ():
            if part and prepared_program.program.name == program:
                return part.target, prepared_program
        raise InputError(f"'{program}' is not among the programs checked for {architecture}")

    def save_reproducer(self, verdict: Verdict, folder: Path) -> Reproducer:
        """Write what shows why a list was rejected into a folder.

        Raises:
            InputError: the verdict is no rejection, or names a program of another suite.
            OutputError: the folder cannot be written.
        """
        target, prepared = self.prepared(verdict.architecture, verdict.program)
        return save_reproducer(verdict, prepared.program, target, prepared.expected, folder)

    def check(self, passes: PassList) -> dict[str, Verdict]:
        """Return the verdict on a list by architecture: passed, rejected, or unchecked."""
        built = self._build(passes)
        self.on_progress("linking and running", sum(map(len, built.values())))
        with ThreadPoolExecutor(len(self._parts)) as threads:
            pending = [
                threads.submit(part.find_failure, built[name]) for name, part in self._parts.items()
            ]
            failures = [item.result() for item in pending]
        verdicts = {
            name: self._verdict(passes, part, failure)
            for (name, part), failure in zip(self._parts.items(), failures, strict=True)
        }
        for name, reason in self.not_checkable.items():
            verdicts[name] = Verdict(
                kind=VerdictKind.UNCHECKED,
                passes=passes,
                llvm_major=self.toolchain.major,
                architecture=name,
                reason=reason,
            )
        return verdicts

    def failures(self, passes: PassList) -> dict[str, dict[str, str]]:
        """Return every program that a list breaks, with the reason, by architecture.

        Slower than `check`, which stops at the first one.
        """
        return {
            name: {program: why for program, why in found.items() if why not in (SAME, PASSED)}
            for name, found in self.outcomes(passes).items()
        }

    def outcomes(self, passes: PassList) -> dict[str, dict[str, str]]:
        """Return what a list makes of every program, by architecture.

        `SAME`: a module that did right before, or the list is refused for it; `PASSED`: it ran and
        did right; else the reason why it is rejected.
        """
        built = self._build(passes, go_on=True)
        with ThreadPoolExecutor(len(self._parts)) as threads:
            found = threads.map(
                lambda name: self._parts[name].find_all_failures(built[name]), self._parts
            )
            return dict(zip(self._parts, found, strict=True))

    def check_assemblies(self, lists: Sequence[PassList], seed: int) -> dict[str, AssemblyCheck]:
        """Assemble every program from functions whose lists are drawn at random; run them all.

        Args:
            lists: drawn from (`AssembleProgramsJob`).
            seed: another one draws anew.
        """

        def job(
            part: _Architecture, share: Sequence[PreparedProgram], patience: int
        ) -> AssembleProgramsJob:
            return part.assembly_job(share, lists, seed, patience)

        built = self._run_jobs(job, go_on=True)
        found = {}
        for name, part in self._parts.items():
            left = {
                prepared_program.program.name: result.detail
                for prepared_program, result in built[name]
                if result.excused
            }
            drawn = {
                prepared_program.program.name: result.detail
                for prepared_program, result in built[name]
            }
            found[name] = AssemblyCheck(
                num_programs=len(built[name]) - len(left),
                left=left,
                failures={
                    program: said
                    for program, said in part.find_all_failures(built[name]).items()
                    if said not in (PASSED, SAME)
                },
                drawn=drawn,
            )
        return found

    def _build(
        self, passes: PassList, *, go_on: bool = False
    ) -> dict[str, list[tuple[PreparedProgram, Built]]]:
        """Return what each program became, by architecture; no more programs after a fault."""

        def job(part: _Architecture, share: Sequence[PreparedProgram], patience: int) -> BuildJob:
            return part.job(share, passes, self._transform, self._refusals, patience)

        return self._run_jobs(job, go_on=go_on)

    def _run_jobs(
        self,
        make_job: Callable[[_Architecture, Sequence[PreparedProgram], int], Job],
        *,
        go_on: bool,
    ) -> dict[str, list[tuple[PreparedProgram, Built]]]:
        """Run jobs over all programs; return what each became, by architecture."""
        waiting = {
            name: deque((share, 1) for share in part.shares(_PROGRAMS_PER_JOB))
            for name, part in self._parts.items()
        }
        built: dict[str, list[tuple[PreparedProgram, Built]]] = {name: [] for name in waiting}
        running: dict[int, tuple[str, list[PreparedProgram], int]] = {}

        def submit() -> None:
            while any(waiting.values()) and len(running) < 2 * self._pool.num_workers:
                name = max(waiting, key=lambda word: len(waiting[word]))
                share, patience = waiting[name].popleft()
                job = make_job(self._parts[name], share, patience)
                running[self._pool.submit(job)] = name, share, patience

        submit()
        for result in self._pool.results():
            if result.error is not None:
                raise result.error
            if result.ticket not in running:
                continue  # left over from a check that ended early
            name, share, patience = running[result.ticket]
            if result.last:
                del running[result.ticket]
                submit()
                continue
            # Wrong modules hang often, and are expected to.
            if result.value.status is Status.TIMED_OUT and patience == 1 and not self._transform:
                waiting[name].append(([share[result.step]], _PATIENCE))
                continue
            built[name].append((share[result.step], result.value))
            self.on_progress("compiling", sum(map(len, built.values())))
            if result.value.status is not Status.OK and not go_on:
                # A list that makes LLVM hang should not cost a time limit for each program.
                waiting[name].clear()
        return built

    def check_many(
        self, lists: Iterable[PassList]
    ) -> Iterator[tuple[PassList, dict[str, Verdict]]]:
        """Yield each list with its verdicts as soon as they are known."""
        for passes in lists:
            yield passes, self.check(passes)

    def _verdict(self, passes: PassList, part: _Architecture, failure: Failure | None) -> Verdict:
        return Verdict(
            kind=VerdictKind.PASSED if failure is None else VerdictKind.REJECTED,
            passes=passes,
            llvm_major=self.toolchain.major,
            architecture=part.target.architecture,
            program=failure.program if failure else "",
            reason=failure.reason if failure else "",
            num_programs=len(part.prepared),
        )

    def close(self) -> None:
        """Remove the temporary files; the pool stays its owner's."""
        self._scratch.cleanup()


class _Architecture:
    """One architecture's programs, and the optimised modules that are known to do right."""

    def __init__(
        self,
        suite: Suite,
        target: Target,
        pool: WorkerPool,
        *,
        cache_dir: Path,
        scratch: Path,
        learns: bool,
        program_timeout_s: int,
    ) -> None:
        self.target = target
        self.learns = learns
        self._folder = scratch
        programs = prepare_programs(
            suite, target, pool, cache_dir, num_processes=num_local_processes(pool)
        )
        self.prepared = [program for program in programs if not program.skipped]
        self.skipped = {
            program.program.name: program.skipped for program in programs if program.skipped
        }
        if not self.prepared:
            name, reason = next(iter(self.skipped.items()))
            raise InputError(
                f"no program of suite '{suite.name}' can serve on {target.architecture}; "
                f"'{name}': {reason}"
            )
        self._expected = {
            prepared_program.program.name: prepared_program.expected
            for prepared_program in self.prepared
        }
        self._known = PassedModules(
            cache_dir / f"suite-{target.toolchain.version}-{target.triple}" / "passed"
        )
        self._harness = Harness(
            target,
            [prepared_program.program.name for prepared_program in self.prepared],
            scratch,
            link_flags={
                prepared_program.program.name: prepared_program.program.link_flags
                for prepared_program in self.prepared
            },
            num_processes=num_local_processes(pool),
            program_timeout_s=program_timeout_s,
            # Wrong modules hang often, and are expected to.
            **({} if learns else {"retry_factor": 1}),
        )

    def shares(self, size: int) -> list[list[PreparedProgram]]:
        return [self.prepared[i : i + size] for i in range(0, len(self.prepared), size)]

    def job(
        self,
        share: Sequence[PreparedProgram],
        passes: PassList,
        transform: Transform | None,
        refusals: bool,
        patience: int,
    ) -> BuildJob:
        modules = [prepared_program.bitcode for prepared_program in share]
        if transform is not None:
            modules = [
                transform(prepared_program.program.name, prepared_program.bitcode)
                for prepared_program in share
            ]
        return BuildJob(
            modules=tuple(modules),
            passes=passes,
            refusals=refusals,
            known=frozenset(
                hash_
                for prepared_program in share
                for hash_ in self._known.of(prepared_program.key)
            ),
            timeout_s=_COMPILE_TIMEOUT_S * patience,
            # The same programs meet the same worker: it knows what their prefixes lead to.
            affinity=f"{self.target.architecture}/{share[0].program.name}",
        )

    def assembly_job(
        self,
        share: Sequence[PreparedProgram],
        lists: Sequence[PassList],
        seed: int,
        patience: int,
    ) -> AssembleProgramsJob:
        return AssembleProgramsJob(
            modules=tuple(prepared_program.bitcode for prepared_program in share),
            names=tuple(prepared_program.program.name for prepared_program in share),
            lists=tuple(lists),
            seed=seed,
            known=frozenset(
                hash_
                for prepared_program in share
                for hash_ in self._known.of(prepared_program.key)
            ),
            timeout_s=_ASSEMBLE_TIMEOUT_S * patience,
        )

    def find_failure(self, built: Sequence[tuple[PreparedProgram, Built]]) -> Failure | None:
        """Return the first program that the list breaks, after linking and running what is new."""
        built = self._in_order(built)
        if refused := _compiler_failures(built):
            return refused[0]
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            objects = _write_objects(built, Path(name))
            passed, failure = self._harness.first_failure(objects, self._expected, Path(name))
        self._learn(built, passed)
        return failure

    def find_all_failures(self, built: Sequence[tuple[PreparedProgram, Built]]) -> dict[str, str]:
        """Return what became of every program (`PassListEval.outcomes`)."""
        built = self._in_order(built)
        found = _compiler_failures(built)
        with tempfile.TemporaryDirectory(dir=self._folder) as name:
            objects = _write_objects(built, Path(name))
            found += self._harness.all_failures(objects, self._expected, Path(name))
        failed = {failure.program: failure.reason for failure in found}
        self._learn(built, objects.keys() - failed.keys())
        plain = {
            prepared_program.program.name: PASSED
            if prepared_program.program.name in objects
            else SAME
            for prepared_program, _ in built
        }
        return {**plain, **failed}

    def _in_order(
        self, built: Sequence[tuple[PreparedProgram, Built]]
    ) -> list[tuple[PreparedProgram, Built]]:
        order = {
            prepared_program.key: index for index, prepared_program in enumerate(self.prepared)
        }
        return sorted(built, key=lambda pair: order[pair[0].key])

    def _learn(
        self, built: Sequence[tuple[PreparedProgram, Built]], passed: Collection[str]
    ) -> None:
        if not self.learns:
            return
        self._known.add(
            (prepared_program.key, result.module_hash)
            for prepared_program, result in built
            if prepared_program.program.name in passed
        )


def _compiler_failures(built: Sequence[tuple[PreparedProgram, Built]]) -> list[Failure]:
    failures = []
    for prepared_program, result in built:
        if result.status is not Status.OK:
            said = result.detail.strip().split("\n", 1)[0][:_MAX_REASON]
            reason = f"{_COMPILER_FAULTS[result.status]}: {said}"
            failures.append(Failure(program=prepared_program.program.name, reason=reason))
    return failures


def _write_objects(built: Sequence[tuple[PreparedProgram, Built]], folder: Path) -> dict[str, Path]:
    objects: dict[str, Path] = {}
    for prepared_program, result in built:
        if result.object_bytes:
            path = objects[prepared_program.program.name] = (
                folder / f"{prepared_program.program.name}.o"
            )
            path.write_bytes(result.object_bytes)
    return objects
