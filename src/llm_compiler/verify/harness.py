"""Link many programs into one executable, run them all, and say which one does wrong first.

The driver (``driver.c``) forks a child for each program, so that one process, and one emulator,
serves them all. Where the executable does not link, or dies before any program has run (static
constructors of all programs run first), halves of it are tried until the program is found that
brings it down. Knows nothing of passes. Safe to call from several threads.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from llm_compiler.errors import CompileFailed
from llm_compiler.verify.harness_table import main_symbol, symbol_suffix
from llm_compiler.verify.target import Target

__all__ = [
    "DEFAULT_PROGRAM_TIMEOUT_S",
    "Failure",
    "Harness",
    "Outcome",
    "main_symbol",
    "parse_records",
    "symbol_suffix",
]

DEFAULT_PROGRAM_TIMEOUT_S = 5
_RETRY_FACTOR = 4
"""A program that is too slow gets this many times the limit once: the machine may be busy."""
_START_TIMEOUT_S = 20.0
"""For the driver's own start, static constructors included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one program; `kind` and `number` as the driver prints them."""

    program: str
    kind: str
    number: int
    stdout: bytes = field(repr=False)

    def fault(self, expected: bytes) -> str:
        """Return what is wrong with it; empty where it printed `expected` and exited with 0."""
        match self.kind:
            case "missing":
                return "its main function is gone"
            case "timeout":
                return "timed out"
            case "signal":
                try:
                    return f"crashed with {signal.Signals(self.number).name}"
                except ValueError:
                    return f"crashed with signal {self.number}"
            case _ if self.number:
                return f"wrong result: exit code {self.number} instead of 0"
        return "" if self.stdout == expected else "wrong output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The program that shows a fault, and the fault."""

    program: str
    reason: str
    stdout: bytes = field(default=b"", repr=False)


def parse_records(data: bytes) -> list[Outcome]:
    """Return the complete records of the driver's output."""
    found = []
    position = 0
    while (end := data.find(b"\n", position)) >= 0:
        words = data[position:end].decode("utf-8", "replace").split(" ")
        if len(words) != 4 or not words[3].isdigit():
            break
        start, length = end + 1, int(words[3])
        if start + length > len(data):
            break
        stdout = data[start : start + length]
        found.append(Outcome(program=words[0], kind=words[1], number=int(words[2]), stdout=stdout))
        position = start + length
    return found


class Harness:
    """Links and runs programs of one suite for one target.

    Args:
        programs: names of all programs that may be run.
        folder: where the driver's objects are made; the caller owns it.
        num_processes: how many drivers run at the same time.
        program_timeout_s: for one program; one that exceeds it gets a second, longer try.
        retry_factor: how much longer; 1: there is no second try.
    """

    def __init__(
        self,
        target: Target,
        programs: Sequence[str],
        folder: Path,
        *,
        link_flags: Mapping[str, Sequence[str]] | None = None,
        num_processes: int = 1,
        program_timeout_s: int = DEFAULT_PROGRAM_TIMEOUT_S,
        retry_factor: int = _RETRY_FACTOR,
    ) -> None:
        self.target = target
        self._retry_factor = retry_factor
        self._program_timeout_s = program_timeout_s
        self._order = {name: index for index, name in enumerate(programs)}
        self._link_flags = dict(link_flags or {})
        self._num_processes = num_processes
        self._drivers = self._compile_driver(folder)

    def _compile_driver(self, folder: Path) -> list[Path]:
        table = folder / "table.c"
        table.write_text(self.target.program_table(list(self._order)))
        objects = []
        for source in (table, self.target.driver):
            objects.append(folder / f"{source.stem}.o")
            self.target.compile(["-O1", "-w", "-c", str(source), "-o", str(objects[-1])])
        return objects

    def first_failure(
        self, objects: Mapping[str, Path], expected: Mapping[str, bytes], folder: Path
    ) -> tuple[set[str], Failure | None]:
        """Link and run programs.

        Args:
            objects: the object of each program to run.
            expected: what each must print.
            folder: for the executables; the caller owns it.

        Returns:
            The programs that did right, and the first that did not in the suite's order, if any.
            What comes after a failure need not have been run.
        """
        names = sorted(objects, key=self._order.__getitem__)
        if not names:
            return set(), None
        executable = folder / f"run-{self._order[names[0]]}-{len(names)}"
        flags = [flag for name in names for flag in self._link_flags.get(name, ())]
        try:
            self.target.link([*self._drivers, *(objects[n] for n in names)], executable, flags)
        except CompileFailed as error:
            if len(names) == 1:
                reason = f"does not link: {str(error).split(': ', 1)[-1]}"
                return set(), Failure(program=names[0], reason=reason)
            return self._halves(names, objects, expected, folder)
        passed, failure, not_run = self._run(executable, names, expected)
        executable.unlink()
        if failure is None and not_run:
            if len(names) == 1:
                return passed, Failure(program=names[0], reason="crashed before its main function")
            more, failure = self._halves(not_run, objects, expected, folder)
            passed |= more
        return passed, failure

    def all_failures(
        self, objects: Mapping[str, Path], expected: Mapping[str, bytes], folder: Path
    ) -> list[Failure]:
        """Link and run programs as `first_failure` does, but all of them; return every failure."""
        names = sorted(objects, key=self._order.__getitem__)
        if not names:
            return []
        executable = folder / f"all-{self._order[names[0]]}-{len(names)}"
        flags = [flag for name in names for flag in self._link_flags.get(name, ())]
        rest: list[str] = names
        failures: list[Failure] = []
        try:
            self.target.link([*self._drivers, *(objects[n] for n in names)], executable, flags)
        except CompileFailed as error:
            reason = f"does not link: {str(error).split(': ', 1)[-1]}"
        else:
            reason = "crashed before its main function"
            failures, rest = self._run_all(executable, names, expected)
            executable.unlink()
        if len(rest) == 1:
            return [*failures, Failure(program=rest[0], reason=reason)]
        middle = max(1, len(rest) // 2)
        for part in (rest[:middle], rest[middle:]):
            failures += self.all_failures({n: objects[n] for n in part}, expected, folder)
        return failures

    def _run_all(
        self, executable: Path, names: Sequence[str], expected: Mapping[str, bytes]
    ) -> tuple[list[Failure], list[str]]:
        """Run programs to the last; the second result: those that could not be started."""
        failures: list[Failure] = []
        pending = list(names)
        while pending:
            outcomes = self._drive(executable, pending, self._program_timeout_s, go_on=True)
            if not outcomes:
                return failures, pending
            for found in outcomes:
                outcome = self._tried_again(executable, found)
                if fault := outcome.fault(expected[outcome.program]):
                    failures.append(
                        Failure(program=outcome.program, reason=fault, stdout=outcome.stdout)
                    )
            pending = pending[len(outcomes) :]
        return failures, []

    def _halves(
        self,
        names: Sequence[str],
        objects: Mapping[str, Path],
        expected: Mapping[str, bytes],
        folder: Path,
    ) -> tuple[set[str], Failure | None]:
        passed: set[str] = set()
        middle = max(1, len(names) // 2)
        for part in (names[:middle], names[middle:]):
            more, failure = self.first_failure({n: objects[n] for n in part}, expected, folder)
            passed |= more
            if failure is not None:
                return passed, failure
        return passed, None

    def _run(
        self, executable: Path, names: Sequence[str], expected: Mapping[str, bytes]
    ) -> tuple[set[str], Failure | None, list[str]]:
        parts = [names[start :: self._num_processes] for start in range(self._num_processes)]
        parts = [part for part in parts if part]
        with ThreadPoolExecutor(len(parts)) as threads:
            results = list(
                threads.map(lambda part: self._run_part(executable, part, expected), parts)
            )
        passed = {name for part_passed, _, _ in results for name in part_passed}
        failures = [failure for _, failure, _ in results if failure is not None]
        failures.sort(key=lambda failure: self._order[failure.program])
        not_run = [name for _, _, rest in results for name in rest]
        not_run.sort(key=self._order.__getitem__)
        return passed, failures[0] if failures else None, not_run

    def _run_part(
        self, executable: Path, names: Sequence[str], expected: Mapping[str, bytes]
    ) -> tuple[list[str], Failure | None, list[str]]:
        """Run programs one after the other; the last result: those that could not be started."""
        passed: list[str] = []
        while pending := names[len(passed) :]:
            outcomes = self._drive(executable, pending, self._program_timeout_s)
            if not outcomes:
                return passed, None, list(pending)
            for found in outcomes:
                outcome = self._tried_again(executable, found)
                if fault := outcome.fault(expected[outcome.program]):
                    return (
                        passed,
                        Failure(program=outcome.program, reason=fault, stdout=outcome.stdout),
                        [],
                    )
                passed.append(outcome.program)
        return passed, None, []

    def _tried_again(self, executable: Path, outcome: Outcome) -> Outcome:
        """Give a program that was too slow more time: the machine may be busy."""
        if outcome.kind != "timeout" or self._retry_factor <= 1:
            return outcome
        limit = self._program_timeout_s * self._retry_factor
        return (*self._drive(executable, [outcome.program], limit), outcome)[0]

    def _drive(
        self, executable: Path, names: Sequence[str], timeout_s: int, *, go_on: bool = False
    ) -> list[Outcome]:
        completed = self.target.run(
            executable,
            [*(["-k"] if go_on else []), str(timeout_s), *names],
            # Far below the sum of all limits: what was not run is asked for again.
            timeout_s=_START_TIMEOUT_S + 2 * timeout_s,
        )
        return parse_records(completed.stdout)
