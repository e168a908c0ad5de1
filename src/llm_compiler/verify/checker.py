"""Who knows, and on request finds out, whether a pass list is safe to hand out.

Knowledge comes from the verdicts shipped with the package and from the user's own; what is not
known is put to PassListEval on the built-in suite and some Csmith programs, which costs seconds,
and the answer is kept. Nothing is prepared before the first check. Threads may share a checker:
they take turns at the book, and at checking.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from llm_compiler.closing import Closing
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.llvm.settings import all_settings, unsafe_settings
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import PassList, Verdict, VerdictKind
from llm_compiler.verify.pass_list_eval import PassListEval
from llm_compiler.verify.suite import built_in_suite
from llm_compiler.verify.target import ARCHITECTURES, find_target
from llm_compiler.verify.verdicts import VerdictBook
from llm_compiler.workers.pool import WorkerPool, run_jobs

__all__ = ["Checker", "validate_command"]

_CONTRACT = frozenset(setting.name for setting in all_settings() if setting.contract)
"""Verdicts are about what code means; whether its contract may change is asked elsewhere."""


def validate_command(architecture: str) -> str:
    """Return the command that checks the shipped recipes for an architecture."""
    if architecture in ARCHITECTURES:
        return "llm-compiler validate --coreset"
    return f"llm-compiler validate --coreset --recipes --architecture {architecture}"


class Checker(Closing):
    """Answers from the book of verdicts; asks PassListEval for the rest.

    Args:
        book: default: the user's own verdicts over the shipped ones.
        notify: called before something that takes long.
    """

    def __init__(
        self,
        *,
        toolchain: Toolchain,
        pool: WorkerPool,
        book: VerdictBook | None = None,
        cache_dir: Path | None = None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._notify = notify
        self._toolchain = toolchain
        self._pool = pool
        self._book = book or VerdictBook()
        self._cache_dir = cache_dir
        self._evaluations: dict[str, PassListEval | None] = {}
        self._reasons: dict[str, str] = {}
        self._space: tuple[str, ...] | None = None
        self._reading, self._checking = threading.RLock(), threading.RLock()

    def search_space(self) -> tuple[str, ...]:
        """Return the safe passes of the LLVM found, which searches draw from."""
        with self._checking:
            if self._space is None:
                self._space = run_jobs(self._pool, [RegistryJob()])[0][0]
            return self._space

    def known(self, passes: PassList, target_triple: str) -> VerdictKind:
        """Return what is known of a list without running anything."""
        architecture = architecture_of(target_triple)
        if unsafe_passes(passes) or unsafe_settings(passes, architecture, allowed=_CONTRACT):
            return VerdictKind.REJECTED
        with self._reading:
            verdict = self._book.lookup(passes, self._toolchain.major, architecture)
        return verdict.kind if verdict else VerdictKind.UNCHECKED

    def check(self, passes: PassList, target_triple: str) -> VerdictKind:
        """Return the verdict on a list; asks PassListEval and keeps its answer if it is unknown.

        UNCHECKED where this machine cannot run programs of that architecture.
        """
        architecture = architecture_of(target_triple)
        with self._checking:
            # Another thread may have found out meanwhile.
            known = self.known(passes, target_triple)
            if known is not VerdictKind.UNCHECKED:
                return known
            evaluation = self._evaluation(architecture)
            if evaluation is None:
                return VerdictKind.UNCHECKED
            verdict: Verdict = evaluation.check(passes)[architecture]
            if verdict.kind is not VerdictKind.UNCHECKED:
                with self._reading:
                    self._book.record(verdict)
            return verdict.kind

    def _evaluation(self, architecture: str) -> PassListEval | None:
        if architecture not in self._evaluations:
            self._notify(
                f"checking new pass lists for {architecture} on self-testing programs; "
                "the first time they are built, which takes up to a minute"
            )
            try:
                self._evaluations[architecture] = PassListEval(
                    built_in_suite(),
                    architectures=(architecture,),
                    pool=self._pool,
                    toolchain=self._toolchain,
                    cache_dir=self._cache_dir,
                )
            except LlmCompilerError as error:
                self._evaluations[architecture] = None
                self._reasons[architecture] = str(error)
        return self._evaluations[architecture]

    def not_checkable(self, target_triple: str) -> str:
        """Return why this machine can check no list for a target; empty where it can."""
        architecture = architecture_of(target_triple)
        if architecture not in self._reasons:
            try:
                find_target(architecture, self._toolchain)
                self._reasons[architecture] = ""
            except LlmCompilerError as error:
                self._reasons[architecture] = str(error)
        return self._reasons[architecture]

    def why_unchecked(self, target_triple: str) -> str:
        """Return one line that says why no list may be used for a target, and what mends it."""
        architecture = architecture_of(target_triple)
        if reason := self.not_checkable(target_triple):
            return (
                f"clang -Oz stands: {reason}; --trust hands out lists that nothing has checked "
                f"on {architecture}"
            )
        return (
            f"clang -Oz stands: no pass list has been checked for LLVM {self._toolchain.major} on "
            f"{architecture}; '{validate_command(architecture)}' does that once, in minutes"
        )

    def close(self) -> None:
        """Remove what the evaluations keep in temporary folders."""
        for evaluation in self._evaluations.values():
            if evaluation is not None:
                evaluation.close()
        self._evaluations.clear()
        self._book.close()
