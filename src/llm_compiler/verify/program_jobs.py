"""What PassListEval asks of the workers: make programs linkable, and build them with a pass list.

The front process never runs LLVM. Jobs and results can be pickled.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.errors import CompileFailed, LlmCompilerError
from llm_compiler.llvm.function_wise.assemble_jobs import AssembleJob
from llm_compiler.llvm.function_wise.plan import SUFFIXES, make_plan
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import Emitted, WorkerState
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.rename import rename_for_linking
from llm_compiler.records import PassList, Status

__all__ = ["AssembleProgramsJob", "BuildJob", "Built", "RenameJob"]

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
                    # Header functions that must be inlined (libstdc++ has some) are defined
                    # nowhere else: no list without always-inline could pass.
                    if module.available_externally(always_inline=True):
                        module.run_passes("always-inline")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleProgramsJob:
    """Give each function of several programs a list at random and assemble; results are `Built`.

    What is drawn depends on the seed and the program's name alone: `lists_per_program` lists, one
    of them for each function, whether static functions stay static in their part, and what runs at
    the end. `Built.detail` says what was drawn, or why a program cannot be taken apart (`excused`).
    """

    modules: tuple[bytes, ...] = field(repr=False)
    names: tuple[str, ...]
    lists: tuple[PassList, ...]
    seed: int
    lists_per_program: int = 3
    known: frozenset[str] = field(default=frozenset(), repr=False)
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each module."""
        return len(self.modules)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Built]:
        """Yield what each program became."""
        for step in range(first_step, len(self.modules)):
            try:
                yield self._assemble(state, step)
            except LlmCompilerError as error:
                yield Built(status=Status.REFUSED, detail=str(error)[:2000])

    def _assemble(self, state: WorkerState, step: int) -> Built:
        draw = random.Random(f"{self.seed} {self.names[step]}")
        bitcode = self.modules[step]
        structure = state.assembler(bitcode).structure
        lists = [recipe for recipe in self.lists if not refusal_of(recipe, structure.constructs)]
        if structure.refusal or not lists:
            reason = structure.refusal or "every list is refused for such modules"
            return Built(status=Status.OK, excused=True, detail=reason)
        some = draw.sample(lists, min(self.lists_per_program, len(lists)))
        plan = make_plan(
            structure,
            {name: draw.choice(some) for name in structure.functions},
            default=some[0],
            keep_internal=draw.random() < 0.5,
            suffix=draw.choice(SUFFIXES),
        )
        job = AssembleJob(bitcode=bitcode, plans=(plan,), known=self.known, with_object=True)
        (made,) = job.run(state, 0)
        found = made.measurement
        drawn = {name: recipe.text for name, recipe in plan.recipes.items()}
        return Built(
            status=found.status,
            module_hash=found.result_hash,
            object_bytes=made.object_bytes,
            detail=found.detail or json.dumps(drawn),
        )

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Built:
        """Return the result of a program that LLVM died of."""
        return Built(status=status, detail=detail)
