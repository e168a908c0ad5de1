"""What an evaluation asks of the workers beyond measuring: a module's text as models read it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from llm_compiler.corpus.normalize import normalize
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module_jobs import Emitted, WorkerState
from llm_compiler.records import Status

__all__ = ["NormalizeJob"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalizeJob(OneStepJob):
    """Bring a module into the normal form that models learnt from; an `Emitted` text in UTF-8."""

    bitcode: bytes = field(repr=False)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Emitted]:
        """Yield the normal form."""
        try:
            yield Emitted(status=Status.OK, data=normalize(self.bitcode).text.encode())
        except LlmCompilerError as error:
            yield Emitted(status=Status.REFUSED, detail=str(error)[:500])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Emitted:
        """Return the result of a module that LLVM died of."""
        return Emitted(status=status, detail=detail, seconds=seconds)
