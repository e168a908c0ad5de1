"""What sampling asks of the workers: list a unit's functions; extract, normalise and measure them.

The front process never runs LLVM. Jobs and results can be pickled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from llm_compiler.corpus.normalize import Level, Normalized, normalize
from llm_compiler.corpus.shingles import anonymous_text, shingles
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.extract import extract_functions
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.object_file import object_contents, section_sizes
from llm_compiler.records import OZ, Status, content_hash

__all__ = ["FunctionInfo", "ListFunctionsJob", "Made", "MakeSamplesJob", "UnitFunctions"]

# LLVMLinkage, llvm-c/Core.h: available externally, link once (any, ODR), weak ODR.
_REPEATED = (1, 2, 3, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionInfo:
    """A function of a unit.

    `repeated`: other units may hold the same function (inline, template).
    """

    name: str
    repeated: bool
    num_instructions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFunctions:
    """The functions of a unit in its order, or why there are none."""

    status: Status
    functions: tuple[FunctionInfo, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFunctionsJob(OneStepJob):
    """List the functions with a body; the result is a `UnitFunctions`."""

    bitcode: bytes = field(repr=False)
    timeout_s: float = 120.0

    def run(self, state: WorkerState, first_step: int) -> Iterator[UnitFunctions]:
        """Yield the functions."""
        try:
            with Context() as context:
                module = context.parse(self.bitcode, "<unit>")
                library = context.library
                functions = tuple(
                    FunctionInfo(
                        name=module.name_of(function),
                        repeated=library.LLVMGetLinkage(function) in _REPEATED,
                        num_instructions=sum(1 for _ in module.instruction_handles(function)),
                    )
                    for function in module.function_handles()
                    if not library.LLVMIsDeclaration(function)
                    and _is_unicode(module.name_of(function))
                )
        except LlmCompilerError as error:
            yield UnitFunctions(status=Status.REFUSED, detail=str(error)[:500])
        else:
            yield UnitFunctions(status=Status.OK, functions=functions)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> UnitFunctions:
        """Return the result of a unit that LLVM died of."""
        return UnitFunctions(status=status, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A module made into a sample, or why there is none (`status`, `reason`).

    `reason` is one of: "refused" (LLVM does not extract or compile it), "too-long" (`num_chars`),
    "too-small", "changed" (the object differs after normalisation at every level), "crashed",
    "timed-out", "out-of-memory"; empty for a sample. `level` is how far it could be normalised.
    `shingles` are 32-bit hashes in this machine's byte order.
    """

    function: str
    reason: str = ""
    detail: str = ""
    level: str = ""
    num_chars: int = 0
    num_functions: int = 0
    num_instructions: int = 0
    module_hash: str = ""
    anonymous_hash: str = ""
    bitcode: bytes = field(default=b"", repr=False)
    text: str = field(default="", repr=False)
    size_bytes: int = 0
    text_data_bytes: int = 0
    shingles: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSamplesJob:
    """Extract functions of a unit, normalise and measure each; the unit itself last, if wanted.

    Each step's result is a `Made`; an empty `function` means the unit.
    """

    bitcode: bytes = field(repr=False)
    functions: tuple[str, ...]
    whole: bool
    max_text_bytes: int
    min_instructions: int
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """A step for each function, and one for the unit."""
        return len(self.functions) + self.whole

    def run(self, state: WorkerState, first_step: int) -> Iterator[Made]:
        """Yield what each function, and the unit, became."""
        names = self.functions[first_step:]
        with Context() as context:
            module = context.parse(self.bitcode, "<unit>")
            extracted = extract_functions(module, names)
            for name, item in chain(zip(names, extracted, strict=True), [("", module)]):
                if not name and not self.whole:
                    return
                if not isinstance(item, Module):
                    yield Made(function=name, reason="refused", detail=str(item)[:500])
                    continue
                try:
                    yield self._make(name, item)
                except LlmCompilerError as error:
                    yield Made(function=name, reason="refused", detail=str(error)[:500])

    def _make(self, name: str, module: Module) -> Made:
        raw = module.to_bitcode()
        normal = normalize(raw)
        num_chars = len(normal.text)
        if len(normal.text.encode("utf-8", "surrogateescape")) > self.max_text_bytes:
            return Made(function=name, reason="too-long", num_chars=num_chars)
        wanted = object_contents(_object(raw))
        for level in Level:
            if level is not Level.FULL:
                normal = normalize(raw, level)
            emitted = _object(normal.bitcode)
            if object_contents(emitted) == wanted:
                return self._sample(name, normal, level, emitted)
        return Made(function=name, reason="changed", num_chars=num_chars)

    def _sample(self, name: str, normal: Normalized, level: Level, emitted: bytes) -> Made:
        with Context() as context:
            module = context.parse(normal.bitcode)
            num_functions, num_instructions = (
                len(module.defined_functions()),
                module.num_instructions(),
            )
        if num_instructions < self.min_instructions:
            return Made(function=name, reason="too-small", num_chars=len(normal.text))
        sizes = section_sizes(emitted)
        return Made(
            function=name,
            level=level.value,
            num_chars=len(normal.text),
            num_functions=num_functions,
            num_instructions=num_instructions,
            module_hash=normal.module_hash,
            anonymous_hash=content_hash(
                anonymous_text(normal.text).encode("utf-8", "surrogateescape")
            ),
            bitcode=normal.bitcode,
            text=normal.text,
            size_bytes=sizes.size_bytes,
            text_data_bytes=sizes.text_data_bytes,
            shingles=shingles(normal.text).tobytes(),
        )

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Made:
        """Return the result of a function that LLVM died of."""
        name = self.functions[step] if step < len(self.functions) else ""
        return Made(function=name, reason=status.value, detail=detail[:500])


def _is_unicode(name: str) -> bool:
    """Whether a symbol can be stored as text: a few assemblers' names are any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _object(bitcode: bytes) -> bytes:
    """Return the object after default<Oz>, its source file called as the normaliser calls it."""
    with Context() as context:
        module = context.parse(bitcode)
        context.library.LLVMSetModuleIdentifier(module.handle, b"-", 1)
        context.library.LLVMSetSourceFileName(module.handle, b"-", 1)
        with TargetMachine.for_module(module) as target_machine:
            module.run_passes(OZ.pipeline, target_machine.handle)
            return target_machine.emit_object(module)
