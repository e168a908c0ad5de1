"""From what was tried on a module to the list that counts: smallest first, until one may be used.

As `optimize` does it: lists that PassListEval rejects are passed over, unknown ones are put to it
if they would win; of a user's own files the object of the stock tools counts, not the one that was
measured in process. Not thread-safe, as the checker is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.optimization.unit import Unit
from llm_compiler.records import Measurement, PassList, VerdictKind
from llm_compiler.search.objective import Objective
from llm_compiler.verify.checker import Checker

__all__ = ["Choice", "Chooser", "best_outcomes"]

_MAX_FINALISTS = 3
_MAX_CHECKS = 6

Tried = Sequence[tuple[PassList, Measurement]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The list that counts, with the sizes of its object; `passes` None: the baseline stands."""

    passes: PassList | None
    sizes: ObjectSizes
    in_process_size_bytes: int = -1
    verdict: str = "baseline"
    num_rejected: int = 0


def best_outcomes(
    tried: Tried,
    objective: Objective,
    *,
    prefer: Callable[[PassList], bool] = lambda passes: True,
) -> list[tuple[PassList, Measurement]]:
    """Return one list for each different result, best first; of equals a preferred, short one."""

    def rank(one: tuple[PassList, Measurement]) -> tuple[int, bool, int, tuple[str, ...]]:
        return objective.of(one[1]), not prefer(one[0]), len(one[0]), one[0].elements

    found: dict[str, tuple[PassList, Measurement]] = {}
    for one in sorted((one for one in tried if one[1].ok), key=rank):
        found.setdefault(one[1].result_hash, one)
    return list(found.values())


class Chooser:
    """Chooses winners; remembers what it rebuilt.

    Args:
        check: put unknown lists that would win to PassListEval; else they count unchecked.
    """

    def __init__(self, checker: Checker, objective: Objective, *, check: bool) -> None:
        self._checker = checker
        self._objective = objective
        self._check = check
        self._rebuilt: dict[tuple[str, str], ObjectSizes | None] = {}

    def rebuild(
        self, wanted: Iterable[tuple[EvaluationModule, PassList]], num_threads: int
    ) -> None:
        """Rebuild objects with the stock tools ahead of `choose`, side by side."""
        todo = {
            (module.key, passes.pipeline): (module, passes)
            for module, passes in wanted
            if module.unit is not None and (module.key, passes.pipeline) not in self._rebuilt
        }

        def one(item: tuple[int, tuple[EvaluationModule, PassList]]) -> ObjectSizes | None:
            number, (module, passes) = item
            assert module.unit is not None
            return _rebuild(module.unit, passes, str(number))

        with ThreadPoolExecutor(max_workers=max(1, num_threads)) as threads:
            for key, sizes in zip(todo, threads.map(one, enumerate(todo.values())), strict=True):
                self._rebuilt[key] = sizes

    def choose(self, module: EvaluationModule, tried: Tried) -> Choice:
        """Return the winner of what was tried; without any, the baseline."""
        assert module.baseline is not None
        num_rejected = num_checks = 0
        for passes, measured, sizes in self._finalists(module, tried):
            known = self._checker.known(passes, module.target_triple)
            if (
                known is VerdictKind.UNCHECKED
                and self._check
                and _wins(sizes, module.baseline, self._objective)
            ):
                if num_checks >= _MAX_CHECKS:
                    continue
                num_checks += 1
                known = self._checker.check(passes, module.target_triple)
                if known is VerdictKind.UNCHECKED:
                    continue  # this machine cannot check it, so it is not handed out
            if known is VerdictKind.REJECTED:
                num_rejected += 1
                continue
            return Choice(
                passes=passes,
                sizes=sizes,
                in_process_size_bytes=measured.size_bytes,
                verdict=known.value,
                num_rejected=num_rejected,
            )
        return Choice(passes=None, sizes=module.baseline, num_rejected=num_rejected)

    def _finalists(
        self, module: EvaluationModule, tried: Tried
    ) -> list[tuple[PassList, Measurement, ObjectSizes]]:
        """Return outcomes with the sizes that count, best first."""
        outcomes = best_outcomes(
            tried, self._objective, prefer=lambda passes: self._passed(passes, module)
        )
        outcomes = [one for one in outcomes if not unsafe_passes(one[0])]
        found: list[tuple[PassList, Measurement, ObjectSizes]] = []
        if module.unit is None:
            for passes, one in outcomes:
                sizes = ObjectSizes(size_bytes=one.size_bytes, text_data_bytes=one.text_data_bytes)
                found.append((passes, one, sizes))
            return found
        for passes, one in outcomes[: _MAX_FINALISTS + _MAX_CHECKS]:
            self.rebuild([(module, passes)], 1)
            rebuilt = self._rebuilt[module.key, passes.pipeline]
            if rebuilt is None:
                continue  # works in process, but not with the stock tools
            found.append((passes, one, rebuilt))
            agrees = rebuilt.size_bytes == one.size_bytes
            usable = not self._check or self._passed(passes, module)
            if (agrees and usable) or len(found) >= _MAX_FINALISTS:
                break
        found.sort(key=lambda one: (_value(one[2], self._objective), len(one[0])))
        return found

    def _passed(self, passes: PassList, module: EvaluationModule) -> bool:
        return self._checker.known(passes, module.target_triple) is VerdictKind.PASSED


def _value(sizes: ObjectSizes, objective: Objective) -> int:
    return sizes.size_bytes if objective is Objective.SIZE else sizes.text_data_bytes


def _wins(sizes: ObjectSizes, baseline: ObjectSizes, objective: Objective) -> bool:
    return _value(sizes, objective) < _value(baseline, objective)


def _rebuild(unit: Unit, passes: PassList, name: str) -> ObjectSizes | None:
    """Return the sizes of the object that opt and clang make with a list; None if they fail."""
    assert unit.inspection is not None
    optimized, final = unit.folder / f"optimized-{name}.bc", unit.folder / f"final-{name}.o"
    try:
        unit.stock.run_opt(passes, unit.bitcode_path, optimized, pic=unit.inspection.pic)
        unit.stock.run_backend(optimized, final)
        return section_sizes(final.read_bytes())
    except LlmCompilerError:
        return None
    finally:
        optimized.unlink(missing_ok=True)
        final.unlink(missing_ok=True)
