"""Winners of an evaluation: chosen by the function that `optimize` chooses by.

Of a user's own files the object of the stock tools counts; of modules of a corpus, which have no
flags, the one that was measured in process. Not thread-safe, as the checker is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.llvm.object_file import ObjectSizes
from llm_compiler.optimization.choose import Built, Outcome, choose, outcomes
from llm_compiler.optimization.rebuild import rebuild
from llm_compiler.records import Measurement, PassList, VerdictKind
from llm_compiler.search.objective import Objective
from llm_compiler.verify.checker import Checker

__all__ = ["Choice", "Chooser"]

Tried = Sequence[tuple[PassList, Measurement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The list that counts, with the sizes of its object; `passes` None: the baseline stands."""

    passes: PassList | None
    sizes: ObjectSizes
    in_process_size_bytes: int = -1
    verdict: str = "baseline"
    num_rejected: int = 0


@dataclass(frozen=True, slots=True)
class _Bench:
    module: EvaluationModule
    chooser: Chooser

    def known(self, passes: PassList) -> VerdictKind:
        return self.chooser.checker.known(passes, self.module.target_triple)

    def check(self, passes: PassList) -> VerdictKind:
        return self.chooser.checker.check(passes, self.module.target_triple)

    def build(self, passes: PassList, measured: Measurement) -> Built | str:
        if self.module.unit is None:
            return Built(size_bytes=measured.size_bytes, text_data_bytes=measured.text_data_bytes)
        return self.chooser.built(self.module, passes)


class Chooser:
    """Chooses winners; remembers what it rebuilt.

    Args:
        check: put unknown lists that would win to PassListEval; else they count unchecked.
    """

    def __init__(self, checker: Checker, objective: Objective, *, check: bool) -> None:
        self.checker = checker
        self._objective = objective
        self._check = check
        self._built: dict[tuple[str, str], Built | str] = {}

    def rebuild(self, tried: Iterable[tuple[EvaluationModule, Tried]], num_threads: int) -> None:
        """Rebuild the best outcomes with the stock tools ahead of `choose`, side by side."""
        todo: dict[tuple[str, str], tuple[EvaluationModule, PassList]] = {}
        for module, group in tried:
            if module.unit is None:
                continue
            for passes, _ in outcomes(group, self._objective, _Bench(module, self))[:1]:
                todo.setdefault((module.key, passes.text), (module, passes))
        todo = {key: pair for key, pair in todo.items() if key not in self._built}

        def build(item: tuple[int, tuple[EvaluationModule, PassList]]) -> Built | str:
            number, (module, passes) = item
            return self._rebuild(module, passes, f"-{number}")

        with ThreadPoolExecutor(max_workers=max(1, num_threads)) as threads:
            for key, built in zip(todo, threads.map(build, enumerate(todo.values())), strict=True):
                self._built[key] = built

    def built(self, module: EvaluationModule, passes: PassList) -> Built | str:
        """Return what the stock tools make of a module, kept or new."""
        key = module.key, passes.text
        if key not in self._built:
            self._built[key] = self._rebuild(module, passes, "")
        return self._built[key]

    def _rebuild(self, module: EvaluationModule, passes: PassList, name: str) -> Built | str:
        assert module.unit is not None
        try:
            built = rebuild(module.unit, passes, self._objective, name=name)
        except LlmCompilerError as error:
            return str(error)
        return Built(  # without the object: an evaluation keeps thousands
            size_bytes=built.size_bytes,
            text_data_bytes=built.text_data_bytes,
            dangling=built.dangling,
        )

    def choose(self, module: EvaluationModule, tried: Tried) -> Choice:
        """Return what `optimize` would hand out; where that is clang -Oz, the best list without it.

        Such a list counts in figures "without -Oz backup" only.
        """
        assert module.baseline is not None
        decision = choose(
            tried,
            Built.of(module.baseline),
            self._objective,
            _Bench(module, self),
            trust=not self._check,
        )
        num_rejected = len(decision.with_outcome(Outcome.REJECTED))
        best = decision.best_built
        if best is None or best.built is None:
            return Choice(passes=None, sizes=module.baseline, num_rejected=num_rejected)
        return Choice(
            passes=best.passes,
            sizes=best.built.sizes,
            in_process_size_bytes=best.measured.size_bytes,
            verdict=best.verdict.value,
            num_rejected=num_rejected,
        )
