"""The jobs on one module that workers carry out, and what every job is: `Job`.

Light records, each with its steps and what a dead step means.

A job yields one result a step. When the worker dies in a step (crash, time-out, lack of memory),
the pool asks the job what that step's result is (`failed`) and runs the rest in a new worker; so a
dead worker loses one evaluation. Jobs and results can be pickled; jobs hold no handles.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.constructs import constructs_of
from llm_compiler.llvm.evaluator import KEPT_BYTES, Evaluator
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.function_wise.assemble import Assembler
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.object_file import section_groups
from llm_compiler.llvm.settings import unfit_settings
from llm_compiler.records import Measurement, PassList, Recipe, Status, content_hash

__all__ = [
    "EmitJob",
    "Emitted",
    "EvaluateJob",
    "ExtractJob",
    "InspectJob",
    "Inspection",
    "Job",
    "RegistryJob",
    "SectionsJob",
    "WorkerState",
]

_MAX_EVALUATORS = 512
_MAX_PART_RUNS = 200
"""Lists run by one assembler: LLVM contexts never give back constants and types."""
_MAX_EVALUATOR_BYTES = 12_000_000
"""Bitcode bytes of the modules that one worker keeps evaluators for."""


class WorkerState:
    """What a worker keeps from job to job: the evaluators of the last few modules."""

    def __init__(self) -> None:
        self._evaluators: OrderedDict[tuple[str, bool], Evaluator] = OrderedDict()
        self._bytes = 0
        self._assembler: tuple[str, Assembler] | None = None

    def assembler(self, bitcode: bytes) -> Assembler:
        """Return what assembles a unit function by function; the last unit's is kept.

        Raises:
            LlmCompilerError: of the unit itself.
        """
        key = content_hash(bitcode)
        if self._assembler is not None:
            if self._assembler[0] == key and self._assembler[1].num_part_runs < _MAX_PART_RUNS:
                return self._assembler[1]
            self._assembler[1].close()
            self._assembler = None
        made = Assembler(bitcode)
        self._assembler = key, made
        return made

    def evaluator(
        self, bitcode: bytes, share: bool = True, *, kept_bytes: int = KEPT_BYTES
    ) -> Evaluator:
        """Return the evaluator of a module, kept or new."""
        key = content_hash(bitcode), share
        if key in self._evaluators:
            self._evaluators.move_to_end(key)
            return self._evaluators[key]
        self._bytes += len(bitcode)
        while self._evaluators and (
            len(self._evaluators) >= _MAX_EVALUATORS or self._bytes > _MAX_EVALUATOR_BYTES
        ):
            oldest = self._evaluators.popitem(last=False)[1]
            self._bytes -= oldest.num_bytes
            oldest.close()
        evaluator = self._evaluators[key] = Evaluator(bitcode, share=share, kept_bytes=kept_bytes)
        return evaluator


class Job(Protocol):
    """One unit of work for a worker.

    `timeout_s` is the limit of one step; jobs with the same `affinity` go to the same worker
    where that costs no waiting.
    """

    @property
    def timeout_s(self) -> float:
        """The limit of one step."""
        ...

    @property
    def num_steps(self) -> int:
        """How many results the job yields."""
        ...

    @property
    def affinity(self) -> str:
        """Jobs of one name share what a worker keeps; empty: no matter."""
        ...

    def run(self, state: WorkerState, first_step: int) -> Iterator[Any]:
        """Yield the results of the steps from `first_step` on."""
        ...

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Any:
        """Return the result of a step in which the worker died."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateJob:
    """Measure pass lists on one module; each step's result is a `Measurement`."""

    bitcode: bytes = field(repr=False)
    pass_lists: tuple[PassList, ...]
    timeout_s: float = 60.0
    share: bool = True
    module_hash: str = ""
    with_symbols: bool = False
    """Measure what each function and variable takes as well."""
    with_instructions: bool = True
    """Count instructions, which takes some milliseconds."""
    constructs: tuple[str, ...] | None = None
    """Of the module, if they are known already (`llvm.constructs`)."""

    @property
    def num_steps(self) -> int:
        """One for each pass list."""
        return len(self.pass_lists)

    @property
    def affinity(self) -> str:
        """The module: its worker has the shared prefixes."""
        return self.module_hash

    def run(self, state: WorkerState, first_step: int) -> Iterator[Measurement]:
        """Yield a measurement for each list."""
        evaluator = state.evaluator(self.bitcode, self.share)
        if self.constructs is not None:
            evaluator.constructs = self.constructs
        for passes in self.pass_lists[first_step:]:
            yield evaluator.measure(
                passes,
                with_symbols=self.with_symbols,
                with_instructions=self.with_instructions,
            )

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Measurement:
        """Return the measurement of a list that LLVM died of."""
        return Measurement(status=status, detail=detail, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionsJob:
    """Measure the sections of a module's object; each step's result is bytes by section.

    Empty where LLVM makes no object.
    """

    bitcode: bytes = field(repr=False)
    recipes: tuple[Recipe, ...]
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each recipe."""
        return len(self.recipes)

    def run(self, state: WorkerState, first_step: int) -> Iterator[dict[str, int]]:
        """Yield the sections for each recipe."""
        from llm_compiler.errors import LlmCompilerError

        evaluator = state.evaluator(self.bitcode)
        for recipe in self.recipes[first_step:]:
            try:
                yield section_groups(evaluator.build(recipe, ())[1])
            except LlmCompilerError:
                yield {}

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> dict[str, int]:
        """Return that there is no object: LLVM died."""
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """What a module became: bytes of the kind asked for, or why there are none."""

    status: Status
    data: bytes = field(default=b"", repr=False)
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitJob:
    """Run one pass list on each of several modules and emit them; the result is an `Emitted`.

    `kind`: ``object``, ``assembly``, ``bitcode`` or ``text``.
    """

    modules: tuple[bytes, ...] = field(repr=False)
    passes: PassList
    kind: str = "object"
    timeout_s: float = 60.0
    affinity: str = ""
    target_triple: str = ""
    """Replaces the modules' own, if given."""

    @property
    def num_steps(self) -> int:
        """One for each module."""
        return len(self.modules)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Emitted]:
        """Yield what each module became."""
        from llm_compiler.errors import LlmCompilerError

        for bitcode in self.modules[first_step:]:
            try:
                yield Emitted(status=Status.OK, data=self._emit(bitcode))
            except LlmCompilerError as error:
                yield Emitted(status=Status.REFUSED, detail=str(error)[:2000])

    def _emit(self, bitcode: bytes) -> bytes:
        from llm_compiler.errors import CompileFailed

        with Context() as context:
            module = context.parse(bitcode, "<module>")
            if self.target_triple:
                module.target_triple = self.target_triple
            with TargetMachine.for_module(module) as target_machine:
                for element in self.passes.elements:
                    module.run_passes(element, target_machine.handle)
                if broken := module.verify():
                    raise CompileFailed(f"the passes leave a broken module: {broken}")
                match self.kind:
                    case "object":
                        return target_machine.emit_object(module)
                    case "assembly":
                        return target_machine.emit_assembly(module).encode()
                    case "bitcode":
                        return module.to_bitcode()
                    case _:
                        return module.to_text().encode()

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Emitted:
        """Return the result of a module that LLVM died of."""
        return Emitted(status=status, detail=detail, seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What a module is, or why LLVM does not accept it (`line` and `column` from 1, 0: unknown)."""

    status: Status
    detail: str = ""
    line: int = 0
    column: int = 0
    target_triple: str = ""
    num_instructions: int = 0
    functions: tuple[str, ...] = ()
    functions_without_minsize: tuple[str, ...] = ()
    functions_with_optnone: tuple[str, ...] = ()
    available_externally: tuple[str, ...] = ()
    """Functions whose body is there for inlining only."""
    constructs: tuple[str, ...] = ()
    """What passes may be refused for (`llvm.constructs`)."""
    unfit_settings: tuple[str, ...] = ()
    """Names of settings that the code of this module cannot have (`llvm.settings`)."""
    pic: bool = False
    """Whether the module asks for position-independent code."""
    bitcode: bytes = field(default=b"", repr=False)
    """The module again as bitcode."""
    text: str = field(default="", repr=False)
    """The module as text, if that was asked for."""
    stripped: bytes = field(default=b"", repr=False)
    """The module without its debug information, if that was asked for and there is any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectJob:
    """Parse and verify inputs from outside, which may be anything; the result an `Inspection`."""

    inputs: tuple[bytes, ...] = field(repr=False)
    names: tuple[str, ...] = ()
    with_text: bool = False
    strip: bool = False
    """Leave debug information out of `Inspection.text`, and return `Inspection.stripped`."""
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each input."""
        return len(self.inputs)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Inspection]:
        """Yield what each input is."""
        for step in range(first_step, len(self.inputs)):
            name = self.names[step] if step < len(self.names) else "<input>"
            yield self._inspect(self.inputs[step], name)

    def _inspect(self, data: bytes, name: str) -> Inspection:
        from llm_compiler.errors import IrParseError

        with Context() as context:
            try:
                module = context.parse(data, name)
            except IrParseError as error:
                return Inspection(
                    status=Status.REFUSED,
                    detail=str(error)[:2000],
                    line=error.line,
                    column=error.column,
                )
            if broken := module.verify():
                return Inspection(
                    status=Status.REFUSED, detail=f"{name} is broken: {broken.splitlines()[0]}"
                )
            bitcode = module.to_bitcode()
            stripped = b""
            if self.strip and context.library.LLVMStripModuleDebugInfo(module.handle):
                stripped = module.to_bitcode()
            text = module.to_text()
            return Inspection(
                status=Status.OK,
                target_triple=module.target_triple,
                num_instructions=module.num_instructions(),
                functions=module.defined_functions(),
                functions_without_minsize=module.functions_without_minsize(),
                functions_with_optnone=module.functions_with_optnone(),
                available_externally=module.available_externally(),
                constructs=constructs_of(text),
                pic=bool(module.flag("PIC Level")),
                unfit_settings=unfit_settings(text),
                bitcode=bitcode,
                text=text if self.with_text else "",
                stripped=stripped,
            )

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Inspection:
        """Return the result of an input that LLVM died of."""
        return Inspection(status=status, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryJob(OneStepJob):
    """Ask the loaded LLVM which safe passes it has; the result a tuple of elements."""

    def run(self, state: WorkerState, first_step: int) -> Iterator[tuple[str, ...]]:
        """Yield the search space."""
        from llm_compiler.llvm.capi import load
        from llm_compiler.llvm.passes import search_space
        from llm_compiler.llvm.registry import available

        yield search_space(available(load()))

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> tuple[str, ...]:
        """Return no pass: LLVM died of an empty module."""
        return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractJob:
    """Extract functions from a module (`llvm.extract`); the result an `Emitted` bitcode."""

    bitcode: bytes = field(repr=False)
    functions: tuple[str, ...]
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each function."""
        return len(self.functions)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Emitted]:
        """Yield the bitcode of each function's module."""
        from llm_compiler.errors import LlmCompilerError

        with Context() as context:
            module = context.parse(self.bitcode, "<module>")
            for name in self.functions[first_step:]:
                try:
                    with extract_function(module, name) as extracted:
                        yield Emitted(status=Status.OK, data=extracted.to_bitcode())
                except LlmCompilerError as error:
                    yield Emitted(status=Status.REFUSED, detail=str(error)[:2000])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Emitted:
        """Return the result of a function that LLVM died of."""
        return Emitted(status=status, detail=detail, seconds=seconds)
