"""The third step of a unit: which object is handed out, of those that the lists make.

The best list is chosen by objects of the stock tools; then the unit is assembled function by
function, where that is smaller. Nothing is written for the user here.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from llm_compiler.errors import CompilerError, ResourceError
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.optimization.assembly import (
    AssembledUnit,
    Attempt,
    assemble_unit,
    assembly_wanted,
)
from llm_compiler.optimization.choose import Built, Decision, Outcome, Step, choose
from llm_compiler.optimization.options import OutputKind
from llm_compiler.optimization.rebuild import baseline_of, rebuild
from llm_compiler.optimization.settings import may_have
from llm_compiler.optimization.unit import Found, Unit
from llm_compiler.optimization.workplace import Workplace
from llm_compiler.records import Measurement, PassList, VerdictKind
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import PoolInterrupted

__all__ = ["Chosen", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What becomes of a unit, and why.

    `decision` is None where nothing was tried, `assembled` where no assembly is better.
    """

    baseline: Built
    """clang -Oz's own object."""
    decision: Decision | None = None
    assembled: AssembledUnit | None = None
    num_assemblies: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def winner(self) -> Step | None:
        """The best list for the whole unit."""
        return self.decision.winner if self.decision is not None else None

    @property
    def built(self) -> Built:
        """The best object."""
        if self.assembled is not None:
            return self.assembled.built
        winner = self.winner
        return self.baseline if winner is None or winner.built is None else winner.built


@dataclass(frozen=True, slots=True, kw_only=True)
class _StockBench:
    """Verdicts of the checker, objects of the stock tools."""

    unit: Unit
    workplace: Workplace

    def known(self, passes: PassList) -> VerdictKind:
        # A store may hold measurements from before a pass was refused for such modules.
        if refusal_of(passes, self.unit.inspection.constructs):
            return VerdictKind.REJECTED
        if not may_have(passes, self.unit, self.workplace.options):
            return VerdictKind.REJECTED
        return self.workplace.checker.known(passes, self.unit.triple)

    def check(self, passes: PassList) -> VerdictKind:
        # Checking may take a minute: nobody who stopped the search waits for that.
        if not self.workplace.is_stopped:
            with contextlib.suppress(PoolInterrupted):
                return self.workplace.checker.check(passes, self.unit.triple)
        return self.known(passes)

    def build(self, passes: PassList, measured: Measurement) -> Built | str:
        try:
            objective = self.workplace.options.objective
            return rebuild(self.unit, passes, objective, pool=self.workplace.pool)
        except (CompilerError, ResourceError) as error:
            return str(error)


def decide(unit: Unit, found: Found, workplace: Workplace) -> Chosen:
    """Return the best verified object of a unit.

    Raises:
        LlmCompilerError: clang fails on the module that it made the baseline from.
    """
    options = workplace.options
    objective = options.objective
    baseline = Built.of(unit.baseline_sizes)
    if found.searched or not objective.of_object:
        baseline = baseline_of(unit, objective, pool=workplace.pool)
    if not found.searched:
        return Chosen(baseline=baseline)
    bench = _StockBench(unit=unit, workplace=workplace)
    tried = found.measured
    if options.kind is OutputKind.PASSES:
        # What `opt -passes=` alone cannot do again is not what was asked for.
        tried = {recipe: measured for recipe, measured in tried.items() if recipe.is_pass_list}
    decision = choose(tried.items(), baseline, objective, bench, trust=options.trust)
    whole = Chosen(baseline=baseline, decision=decision)
    attempt = Attempt()
    if assembly_wanted(unit, options) and not workplace.is_stopped:
        with contextlib.suppress(PoolInterrupted):
            attempt = assemble_unit(
                unit, found.measured, options, bench, baseline, whole.built, workplace.pool
            )
    return Chosen(
        baseline=baseline,
        decision=decision,
        assembled=attempt.unit,
        num_assemblies=attempt.num_assemblies,
        warnings=(*_discarded(decision, unit, workplace.checker), *attempt.warnings),
    )


def _discarded(decision: Decision, unit: Unit, checker: Checker) -> list[str]:
    """Say what became of lists that would have won, where that is no everyday matter."""
    found = [
        f"'{step.passes}' works in process but not with the stock tools: {step.detail}"
        for step in decision.with_outcome(Outcome.BUILD_FAILED)
    ]
    if unverified := decision.with_outcome(Outcome.UNVERIFIED):
        found.append(
            f"{len(unverified)} smaller results were discarded, since their lists are new: "
            + checker.why_unchecked(unit.triple)
        )
    rejected = decision.with_outcome(Outcome.REJECTED)
    if rejected and decision.winner is None:
        found.append(
            f"{len(rejected)} smaller results were discarded: PassListEval rejects their lists"
        )
    return found
