"""Whether LLVM can read a pass list at all: what it cannot read is a mistake, not a bad list."""

from __future__ import annotations

from collections.abc import Sequence

from llm_compiler.errors import UnknownPass
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.records import PassList, Status
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["refuse_unreadable"]

_SMALLEST = b'target triple = "x86_64-pc-linux-gnu"\ndefine void @f() {\n  ret void\n}\n'


def refuse_unreadable(pool: WorkerPool, lists: Sequence[PassList]) -> None:
    """Let LLVM read each list, on a module of one empty function.

    Raises:
        UnknownPass: LLVM refuses one, in its own words.
    """
    if not lists:
        return
    (found,) = run_jobs(pool, [EvaluateJob(bitcode=_SMALLEST, pass_lists=tuple(lists))])
    for passes, measured in zip(lists, found, strict=True):
        if measured.status is Status.REFUSED:
            raise UnknownPass(f"LLVM cannot read the pass list '{passes}': {measured.detail}")
