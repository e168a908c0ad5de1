"""What PassListEval asks of the workers: make programs linkable, and build them with a pass list.

The front process never runs LLVM. Jobs and results can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.errors import CompileFailed, LlmCompilerError
from llm_compiler.llvm.jobs import Emitted, WorkerState
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.rename import rename_for_linking
from llm_compiler.records import PassList, Status

__all__ = ["BuildJob", "Built", "RenameJob"]

_KEPT_BYTES = 100_000
"""Bitcode bytes of modules between passes for each program: there are over a hundred of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameJob:
    """Give the symbols of each module a suffix of its own; the result is an `Emitted` bitcode."""

    modules: tuple[bytes, ...] = field(repr=False)
    suffixes: tuple[str, ...]
    pipeline: str = ""
    """Run afterwards: what a program cannot do without."""
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each module."""
        return len(self.modules)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Emitted]:
        """Yield each module's bitcode under its new names."""
        for step in range(first_step, len(self.modules)):
            try:
                with Context() as context:
                    module = context.parse(self.modules[step])
                    rename_for_linking(module, self.suffixes[step])
                    module.run_passes(self.pipeline)
                    if broken := module.verify():
                        raise CompileFailed(f"renaming broke the module: {broken}")
                    yield Emitted(status=Status.OK, data=module.to_bitcode())
            except LlmCompilerError as error:
                yield Emitted(status=Status.REFUSED, detail=str(error)[:2000])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Emitted:
        """Return the result of a module that LLVM died of."""
        return Emitted(status=status, detail=detail, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A program after the passes: its object, or why there is none.

    `module_hash` names the optimised module. Where it is one of the job's `known`, code
    generation was left out and `object_bytes` is empty.
    """

    status: Status
    excused: bool = False
    """The list is refused for such modules, so that nothing was built: no fault of the list's."""
    module_hash: str = ""
    object_bytes: bytes = field(default=b"", repr=False)
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """Run one pass list on each of several programs and emit objects; the result is a `Built`.

    `known` are the hashes of optimised modules that were linked and run before and did right:
    a list that ends in one of them needs neither object nor run.
    """

    modules: tuple[bytes, ...] = field(repr=False)
    passes: PassList
    known: frozenset[str] = field(default=frozenset(), repr=False)
    refusals: bool = True
    """Whether the list is left out on modules that it is refused for, as everywhere else."""
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each module."""
        return len(self.modules)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Built]:
        """Yield what each program became."""
        for module in self.modules[first_step:]:
            try:
                evaluator = state.evaluator(module, kept_bytes=_KEPT_BYTES)
                if self.refusals and evaluator.refusal(self.passes):
                    yield Built(status=Status.OK, excused=True)
                    continue
                module_hash, object_bytes = evaluator.build(self.passes, self.known)
            except LlmCompilerError as error:
                yield Built(status=Status.REFUSED, detail=str(error)[:2000])
            else:
                yield Built(status=Status.OK, module_hash=module_hash, object_bytes=object_bytes)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Built:
        """Return the result of a program that LLVM died of."""
        return Built(status=status, detail=detail)
