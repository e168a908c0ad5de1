"""Verify lifted bodies in a worker: exact, of other code, or no IR; and what is wrong in words.

In process and against assembly in normal form: for data and quick measurements. What a user is
shown, `disassembly` proves with clang and objects. Runs in a worker: LLVM may crash.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.dataset.assembly import normalize_assembly
from llm_compiler.dataset.lifting.assembly import ShortAssembly, shorten_assembly
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.lifting.report import describe_error, differing_lines
from llm_compiler.errors import CompilerError, InputError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status

__all__ = ["BodyVerdict", "VerifyBodiesJob", "verify_body"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyVerdict:
    """What a body is worth.

    `lowers`: it is well-formed. `report`: what is wrong (`dataset.lifting.report`); empty: it
    lowers to exactly the assembly.
    """

    lowers: bool
    report: str = ""

    @property
    def is_exact(self) -> bool:
        """Whether nothing is wrong."""
        return self.lowers and not self.report


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyBodiesJob:
    """Verify bodies of one function, a body in each step; the result is a `BodyVerdict`."""

    assembly: str = field(repr=False)
    """In normal form."""
    target_triple: str
    bodies: tuple[str, ...] = field(repr=False)
    attributes: str = ""
    """Of the function; by default those that clang gives at -Oz."""
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """A step for each body."""
        return len(self.bodies)

    def run(self, state: WorkerState, first_step: int) -> Iterator[BodyVerdict]:
        """Yield what each body is worth."""
        short = shorten_assembly(self.assembly, self.target_triple)
        for body in self.bodies[first_step:]:
            yield verify_body(body, short, self.target_triple, self.attributes)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> BodyVerdict:
        """Return the verdict on a body that LLVM died of."""
        return BodyVerdict(lowers=False, report=f"LLVM: {status.value}")


def verify_body(
    body: str, short: ShortAssembly, target_triple: str, attributes: str = ""
) -> BodyVerdict:
    """Return what a body is worth; in a worker only."""
    module = ""
    try:
        module = build_module_text(body, short, attributes=attributes)
        found = shorten_assembly(_lower(module), target_triple)
    except (CompilerError, InputError) as error:
        return BodyVerdict(lowers=False, report=describe_error(str(error), module, short))
    if found.function != short.function:
        return BodyVerdict(lowers=False, report="it defines another function")
    return BodyVerdict(lowers=True, report=differing_lines(short, found))


def _lower(module: str) -> str:
    with Context() as context:
        parsed = context.parse(module.encode("utf-8", "surrogateescape"), "<answer>")
        if broken := parsed.verify():
            raise InputError(broken)
        with TargetMachine.for_module(parsed) as machine:
            return normalize_assembly(machine.emit_assembly(parsed), machine.triple)
