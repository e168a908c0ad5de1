"""What function-wise assembly asks of the workers; the front process never runs LLVM.

Jobs and results can be pickled. A worker keeps the unit that it assembled last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.function_wise.assemble import Assembler, drop_unused
from llm_compiler.llvm.function_wise.plan import AssemblyPlan
from llm_compiler.llvm.function_wise.prefix import Prefix
from llm_compiler.llvm.function_wise.stock_assembly import Leftovers
from llm_compiler.llvm.function_wise.structure import Structure
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.symbol_sizes import local_references, symbol_name, symbol_sizes
from llm_compiler.records import Measurement, Status, content_hash

__all__ = ["AssembleJob", "Assembled", "LeftoversJob", "StructureJob", "UnitStructure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStructure:
    """A unit's structure, and the prefix that it has it after; or LLVM's reason for none."""

    structure: Structure
    prefix: Prefix = field(default_factory=Prefix)


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureJob(OneStepJob):
    """Read the structure of one unit; the result is a `UnitStructure`."""

    bitcode: bytes = field(repr=False)

    def run(self, state: WorkerState, first_step: int) -> Iterator[UnitStructure]:
        """Yield the structure."""
        try:
            assembler = state.assembler(self.bitcode)
        except LlmCompilerError as error:
            yield UnitStructure(structure=Structure(refusal=str(error)[:500]))
        else:
            yield UnitStructure(structure=assembler.structure, prefix=assembler.prefix)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> UnitStructure:
        """Return that there is none: LLVM died."""
        return UnitStructure(structure=Structure(refusal=f"LLVM {status.value}: {detail[:400]}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """What an assembly became: its sizes, and its object where that was asked for."""

    measurement: Measurement
    object_bytes: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssembleJob:
    """Assemble one unit by several plans; the result of each is an `Assembled`.

    The `result_hash` of the measurement names the assembled module.
    """

    bitcode: bytes = field(repr=False)
    plans: tuple[AssemblyPlan, ...]
    with_object: bool = False
    with_symbols: bool = False
    """Measure what each function and variable of an assembly takes as well."""
    known: frozenset[str] = field(default=frozenset(), repr=False)
    """Hashes of assembled modules that need no object any more."""
    timeout_s: float = 60.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each plan."""
        return len(self.plans)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Assembled]:
        """Yield what each plan makes."""
        for plan in self.plans[first_step:]:
            start = perf_counter()
            try:
                yield self._assemble(state.assembler(self.bitcode), plan, start)
            except LlmCompilerError as error:
                yield self.failed(0, Status.REFUSED, str(error)[:2000], perf_counter() - start)

    def _assemble(self, assembler: Assembler, plan: AssemblyPlan, start: float) -> Assembled:
        with assembler.assemble(plan) as module:
            state = content_hash(f"{module.bitcode_hash()} {' '.join(plan.options)}".encode())
            if state in self.known:
                return Assembled(measurement=Measurement(status=Status.OK, result_hash=state))
            num_instructions = module.num_instructions()
            # Code generation changes the module: what it refers to is read before.
            references = local_references(module) if self.with_symbols else {}
            names = [symbol_name(name) for name in module.defined_functions()]
            data = assembler.emit_object(module, plan)
        sizes = section_sizes(data)
        measurement = Measurement(
            status=Status.OK,
            size_bytes=sizes.size_bytes,
            text_data_bytes=sizes.text_data_bytes,
            merged_bytes=sizes.merged_bytes,
            num_instructions=num_instructions,
            result_hash=state,
            seconds=perf_counter() - start,
            symbols=symbol_sizes(data, references, names) if self.with_symbols else (),
        )
        return Assembled(measurement=measurement, object_bytes=data if self.with_object else b"")

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Assembled:
        """Return the result of an assembly that LLVM died of."""
        return Assembled(measurement=Measurement(status=status, detail=detail, seconds=seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoversJob(OneStepJob):
    """Say what nothing uses in linked parts; the result is a `Leftovers`, or an error's text."""

    linked: bytes = field(repr=False)
    structure: Structure

    def run(self, state: WorkerState, first_step: int) -> Iterator[Leftovers | str]:
        """Yield what is left over."""
        try:
            with Context() as context:
                module = context.parse(self.linked, "<linked parts>")
                functions, variables = drop_unused(module, self.structure)
        except LlmCompilerError as error:
            yield str(error)
        else:
            yield Leftovers(functions=functions, variables=variables)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return why there is no answer."""
        return f"LLVM {status.value}: {detail}"
