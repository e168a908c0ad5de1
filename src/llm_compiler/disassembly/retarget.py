"""Lifted x86-64 code as one module for AArch64, each function run on both.

A lift that lowers to the same x86-64 code need not mean what that code does: where the IR's
behaviour is undefined, another target may do something else. So each function's AArch64 code is run
under the emulator on the inputs that the original runs on (`verify.execute`). The module defines

* functions that are accepted, that nothing keeps on x86-64 (`portable`), and that agree on every
  input; of those that cannot be run on enough inputs only exact lifts;
* the input's variables, read from its data: nothing of the input is linked in later.

Safe to call from several threads, each with a folder of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from llm_compiler.disassembly.binary import Binary, Origin
from llm_compiler.disassembly.disassembled import Retargeted, RetargetedFunction
from llm_compiler.disassembly.lift import Lift
from llm_compiler.disassembly.merge import (
    comment,
    detached_texts,
    link_modules,
    without_header,
)
from llm_compiler.disassembly.portable import Retargeting, RetargetJob, foreign_obstacle
from llm_compiler.disassembly.read_function import Data, FunctionReader, Unreadable
from llm_compiler.disassembly.variables import data_module
from llm_compiler.errors import (
    CompilerError,
    ConfigError,
    InputError,
    ResourceError,
    ToolchainNotFound,
)
from llm_compiler.llvm.assembler import triple_of
from llm_compiler.llvm.targets import AARCH64, X86_64, known_target, target_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import Status
from llm_compiler.verify.execute import ExecuteOptions, Execution, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection, LiftVerdict
from llm_compiler.verify.round_trip import CodeObject, difference, lower, read_code_object
from llm_compiler.verify.target import find_target
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["check_retarget", "retarget"]

_FROM: Final = X86_64
_TO: Final = AARCH64
"""What keeps its meaning from one to the other is known of this pair alone (`portable`)."""


def check_retarget(binary: Binary, target_triple: str) -> None:
    """Refuse what is not from x86-64 to AArch64.

    Raises:
        ConfigError: another pair of targets, or the input is linked.
    """
    if known_target(target_triple) is not _TO or "linux" not in target_triple:
        raise ConfigError(
            f"--retarget {target_triple}: lifted code can be made for {_TO.linux_triple} only"
        )
    if (own := target_of(binary.elf.architecture)) is not _FROM:
        raise ConfigError(
            f"--retarget takes {_FROM.title} code, and {binary.path} is {own.title}'s already"
        )
    if binary.origin is Origin.EXECUTABLE:
        raise ConfigError(
            f"{binary.path} is linked: --retarget takes assembly and objects, whose variables "
            "have sizes"
        )


def retarget(
    binary: Binary,
    lifts: Sequence[Lift],
    dropped: Collection[str],
    *,
    pool: WorkerPool,
    toolchain: Toolchain,
    folder: Path,
    options: ExecuteOptions,
    timeout_s: float,
    accept_unproved: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Retargeted:
    """Return accepted functions as one module for AArch64.

    Args:
        dropped: accepted functions that the x86-64 module leaves out.
        accept_unproved: define what is not shown to differ, too.
    """
    work = _Work(
        binary,
        pool=pool,
        toolchain=toolchain,
        folder=folder,
        options=options,
        timeout_s=timeout_s,
        accept_unproved=accept_unproved,
    )
    results = []
    for number, lift in enumerate(lifts):
        on_progress(lift.outcome.name, number, len(lifts))
        if lift.outcome.name in dropped or not lift.outcome.is_accepted:
            verdict = lift.outcome.verdict.value
            reason = f"there is no accepted lift ({verdict})"
            results.append(_no(lift.outcome.name, reason))
        elif lift.outcome.alias_of:
            reason = f"it is another name of '{lift.outcome.alias_of}', which alone is taken"
            results.append(_no(lift.outcome.name, reason))
        else:
            results.append(work.verify(lift))
    return work.finish(results)


def _no(name: str, reason: str) -> RetargetedFunction:
    return RetargetedFunction(name=name, verdict=LiftVerdict.NO_ANSWER, reason=reason)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Part:
    """A function that the module is to define."""

    text: str
    code: CodeObject
    lift: Lift
    inspection: LiftInspection


class _Work:
    def __init__(
        self,
        binary: Binary,
        *,
        pool: WorkerPool,
        toolchain: Toolchain,
        folder: Path,
        options: ExecuteOptions,
        timeout_s: float,
        accept_unproved: bool,
    ) -> None:
        self._accept_unproved = accept_unproved
        self._binary, self._pool, self._toolchain = binary, pool, toolchain
        self._folder, self._timeout_s = folder, timeout_s
        self._reader = FunctionReader(binary)
        self._parts: dict[str, _Part] = {}
        self._executors: tuple[Executor, Executor] | None = None
        self._no_executor = ""
        self._triple = triple_of(_TO.name)
        try:
            target = find_target(_TO.name, toolchain)
            second = Executor(target, self._subfolder("second"), options)
            # What costs so much under the emulator is run on the original only as often.
            first = Executor(
                find_target(_FROM.name, toolchain),
                self._subfolder("first"),
                options.emulated() if target.runner else options,
            )
            self._executors = first, second
        except ToolchainNotFound as error:
            self._no_executor = str(error)

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / f"retarget-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    # -- one function ------------------------------------------------------------------------------

    def verify(self, lift: Lift) -> RetargetedFunction:
        """Say what a function is worth on the other target; keep it if it goes into the module."""
        assert lift.text is not None
        assert lift.original is not None
        name, text = lift.outcome.name, lift.text
        job = RetargetJob(
            texts=(lift.outcome.ir,), assemblies=(text.text,), target_triple=self._triple
        )
        found: Retargeting = run_jobs(self._pool, [job])[0][0]
        if found.obstacle:
            return _no(name, f"it {found.obstacle}")
        own, inspection = (
            self._inspect(ir, name, triple)
            for ir, triple in (
                (lift.outcome.ir, self._binary.target_triple),
                (found.text, self._triple),
            )
        )
        if inspection.status is not Status.OK:
            return _no(name, f"rewritten, it is no module: {inspection.detail}")
        if obstacle := self._foreign(inspection):
            return _no(name, f"it {obstacle}")
        source = self._folder / f"retargeted-{len(self._parts)}.ll"
        source.write_text(found.text, "utf-8", "surrogateescape")
        try:
            self._variables({name: inspection}, [lift])
            lower(
                source,
                source.with_suffix(".o"),
                _TO.name,
                self._toolchain,
                timeout_s=self._timeout_s,
            )
            code = read_code_object(source.with_suffix(".o"), self._toolchain)
        except Unreadable as error:
            return _no(name, f"it {error}")
        except (CompilerError, ResourceError, InputError) as error:
            return _no(name, f"it does not lower for AArch64: {error}")
        result = self._execute(lift, code, inspection, own)
        is_kept = result.verdict is LiftVerdict.TESTS_PASSED or (
            result.verdict is LiftVerdict.UNPROVED
            and (self._accept_unproved or lift.outcome.verdict is LiftVerdict.EXACT)
        )
        if is_kept:
            self._parts[name] = _Part(text=found.text, code=code, lift=lift, inspection=inspection)
        return RetargetedFunction(
            name=name,
            verdict=result.verdict,
            reason=result.reason,
            is_defined=is_kept,
            num_inputs=result.num_inputs,
            num_completed=result.num_completed,
            counterexample=result.counterexample,
        )

    def _inspect(self, ir: str, name: str, triple: str) -> LiftInspection:
        job = InspectLiftJob(texts=(ir,), function=name, target_triple=triple)
        found: LiftInspection = run_jobs(self._pool, [job])[0][0]
        return found

    def _foreign(self, inspection: LiftInspection) -> str:
        """Return what keeps calls of other files' functions from meaning the same."""
        names = (*inspection.declared, *inspection.external_variables)
        foreign = [word for word in names if not self._is_own(word)]
        if found := foreign_obstacle(foreign):
            return found
        for name in foreign:
            signature = inspection.declared.get(name)
            if signature is None:
                continue
            kinds = {result.kind for result in signature.results}
            has_vector = any(
                parameter.kind == "vector"
                for parameter in (*signature.parameters, *signature.results)
            )
            if has_vector or len(kinds) > 1:
                return f"may pass a struct to {name}, which AArch64 does in another way"
        return ""

    def _is_own(self, name: str) -> bool:
        symbol = self._binary.elf.symbol(name)
        return symbol is not None and symbol.is_defined

    def _execute(
        self, lift: Lift, code: CodeObject, inspection: LiftInspection, own: LiftInspection
    ) -> Execution:
        assert lift.text is not None
        assert lift.original is not None
        if self._executors is None:
            return Execution(verdict=LiftVerdict.UNPROVED, reason=self._no_executor)
        first, second = self._executors
        return first.verify_across(
            lift.original, lift.text.text, lift.outcome.name, second, code, inspection, own
        )

    # -- the module --------------------------------------------------------------------------------

    def _variables(
        self, inspections: dict[str, LiftInspection], lifts: Sequence[Lift]
    ) -> list[Data]:
        names = {
            variable.symbol
            for lift in lifts
            if lift.text is not None
            for variable in lift.text.variables
        }
        if "" in names:
            raise Unreadable("refers to a variable without a symbol, which may be part of another")
        for inspection in inspections.values():
            names |= {name for name in inspection.external_variables if self._is_own(name)}
        return self._reader.read_data(sorted(names))

    def finish(self, results: list[RetargetedFunction]) -> Retargeted:
        """Link what was kept, check it once more, and say what it is."""
        while True:
            body, wrong = self._link()
            if not wrong:
                break
            for name, reason in wrong.items():
                del self._parts[name]
                position = next(i for i, result in enumerate(results) if result.name == name)
                results[position] = _no(name, reason)
        lines = [
            f"; Lifted from {self._binary.path.name} (x86-64) for AArch64: what is shown of each "
            "function there."
        ]
        for function in results:
            said = function.verdict.value + ("" if function.is_defined else " (not defined)")
            said += f": {function.reason}" if function.reason else ""
            lines.append(comment(f"{function.name}: {said}"))
        text = "\n".join(lines) + "\n\n" + (body or f'target triple = "{self._triple}"\n')
        return Retargeted(target_triple=self._triple, module=text, functions=tuple(results))

    def _link(self) -> tuple[str, dict[str, str]]:
        """Return the module, or the functions that do not fit into it."""
        parts = self._parts
        if not parts:
            return "", {}
        lifts = [each_part.lift for each_part in parts.values()]
        texts = [each_part.text for each_part in parts.values()]
        sources = []
        for index, text in enumerate(detached_texts(texts, lifts, self._pool)):
            path = self._folder / f"retargeted-part-{index}.ll"
            path.write_text(text, "utf-8", "surrogateescape")
            sources.append(path)
        functions = {name for each_part in parts.values() for name in each_part.inspection.declared}
        try:
            data = self._variables(
                {name: each_part.inspection for name, each_part in parts.items()}, lifts
            )
        except Unreadable as error:
            return "", dict.fromkeys(parts, f"it {error}")
        variables = self._folder / "retargeted-data.ll"
        variables.write_text(
            data_module(data, functions | set(parts), self._is_function, self._triple),
            "utf-8",
            "surrogateescape",
        )
        output, lowered = self._folder / "retargeted.ll", self._folder / "retargeted.o"
        if refused := link_modules([*sources, variables], output, self._toolchain):
            name = next(reversed(parts))
            return "", {name: f"it does not link with the others: {refused}"}
        try:
            lower(
                output,
                lowered,
                _TO.name,
                self._toolchain,
                timeout_s=self._timeout_s,
                is_merged=True,
            )
            code = read_code_object(lowered, self._toolchain)
        except (CompilerError, ResourceError, InputError) as error:
            return "", dict.fromkeys(parts, f"the module does not lower: {error}")
        wrong = {}
        for name, part in parts.items():
            if change := difference(part.code, code, name, alone=False):
                wrong[name] = f"it becomes other code when merged: {change}"
        return without_header(output.read_text("utf-8", "surrogateescape")), wrong

    def _is_function(self, name: str) -> bool:
        symbol = self._binary.elf.symbol(name)
        return (
            symbol is not None
            and symbol.is_defined
            and self._binary.elf.sections[symbol.section].is_code
        )
