"""Who proposes lists in an evaluation: models, the coreset, searches, and the plain pipelines.

Each contender is a strategy (`search.trial`) for one module and one budget. All see the same
modules, the same space of safe passes and the same count of evaluations; what differs from module
to module depends on the seed and the module's hash only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import public_name
from llm_compiler.model.engines.requests import Propose
from llm_compiler.optimization.model_rounds import Ask, ModelRounds, Tried
from llm_compiler.records import PassList
from llm_compiler.search.autotune import Method, autotune_strategy, module_rng
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.strategies import (
    fixed,
    in_sequence,
    local_search,
    random_search,
)
from llm_compiler.search.trial import Strategy, Trial

__all__ = ["OF_MODELS", "PLAIN", "Attempt", "Contender", "ContenderKind", "contenders_of"]

_MAX_FROM_MODEL = 64
"""With larger budgets, local search from the model's best spends the rest."""
_MODEL_LOCAL = (16, 64)
"""Lists of the model, and evaluations of local search from its best."""

PLAIN = {f"-O{level}": parse_pass_list(f"default<O{level}>") for level in ("z", "s", "2")}


class ContenderKind(StrEnum):
    """What proposes."""

    OPTIMIZE = "optimize"
    """All that a user gets (`shipped`): recipes, assemblies, the stock tools; no strategy."""
    MODEL = "model"
    MODEL_LOCAL = "model-local"
    ONE_SHOT = "one-shot"
    CORESET = "coreset"
    LOCAL = "local"
    AUTOTUNER = "autotuner"
    RANDOM = "random"
    PLAIN = "plain"


OF_MODELS = (ContenderKind.MODEL, ContenderKind.MODEL_LOCAL, ContenderKind.ONE_SHOT)


@dataclass(slots=True)
class Attempt:
    """One contender on one module with one budget, while it runs."""

    module: EvaluationModule
    contender: Contender
    trial: Trial
    model_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A contender: what proposes.

    Args:
        anytime: its first K lists do not depend on the budget, so that one run tells all budgets.
        lists: that the model may choose from, those that PassListEval has passed; by module.
    """

    name: str
    kind: ContenderKind
    engine: Engine | None = field(default=None, repr=False)
    anytime: bool = True
    space: tuple[str, ...] = field(default=(), repr=False)
    coreset: Coreset | None = field(default=None, repr=False)
    passed: Callable[[EvaluationModule], Sequence[PassList]] = field(
        default=lambda module: (), repr=False
    )
    fits: Callable[[EvaluationModule], bool] = field(default=lambda module: True, repr=False)
    """Whether the model is asked about a module: the paper's protocol leaves out what is cut."""
    seed: int = 0

    @property
    def model(self) -> str:
        """Name the weights; empty where there is no model."""
        return public_name(self.engine.model) if self.engine is not None else ""

    def budgets(self, budgets: Sequence[int]) -> tuple[int, ...]:
        """Return the budgets that this contender is measured at."""
        match self.kind:
            case ContenderKind.PLAIN:
                return (len(PLAIN),)
            case ContenderKind.MODEL_LOCAL:
                return (sum(_MODEL_LOCAL),)
        return tuple(budgets)

    def strategy(self, attempt: Attempt, oz_size_bytes: int) -> Strategy:
        """Return what this contender does within the budget of the attempt's trial."""
        budget = attempt.trial.budget
        rng = module_rng(self.seed, attempt.trial.module_hash)
        lists = self.passed(attempt.module)
        weights = self.coreset.weights_for(self.space) if self.coreset and self.space else None
        local = local_search(self.space, rng, weights=weights, donors=lists)
        match self.kind:
            case ContenderKind.PLAIN:
                return fixed(list(PLAIN.values()))
            case ContenderKind.CORESET:
                return fixed(lists)
            case ContenderKind.RANDOM:
                return random_search(self.space, rng)
            case ContenderKind.AUTOTUNER:
                return autotune_strategy(Method.PAPER, space=self.space, budget=budget, rng=rng)
            case ContenderKind.LOCAL:
                # As `optimize --candidates K/4 --budget 3K/4`.
                return in_sequence(fixed(lists[: max(1, budget // 4)]), local)
        if not self.fits(attempt.module):
            return fixed(())
        most = _MODEL_LOCAL[0] if self.kind is ContenderKind.MODEL_LOCAL else _MAX_FROM_MODEL
        from_model = min(budget, most)
        rounds = ModelRounds(
            ask=self._asking(attempt, lists), lists=lists, oz_size_bytes=oz_size_bytes
        )
        if self.kind is ContenderKind.ONE_SHOT:
            return rounds.one_shot(budget)
        led = rounds.strategy(from_model)
        return led if budget == from_model else in_sequence(led, local)

    def _asking(self, attempt: Attempt, lists: Sequence[PassList]) -> Ask:
        """Return how the model is asked about a module; its time is noted in the attempt."""
        engine = self.engine
        assert engine is not None

        def ask(count: int, tried: Tried, oz_size_bytes: int) -> list[PassList]:
            start = time.monotonic()
            proposals = engine.answer(
                Propose(
                    code=attempt.module.text,
                    target_triple=attempt.module.target_triple,
                    num_candidates=count,
                    lists=lists,
                    oz_size_bytes=oz_size_bytes,
                    tried=tried,
                    seed=self.seed,
                )
            )
            attempt.model_seconds += time.monotonic() - start
            return [proposal.passes for proposal in proposals]

        return ask


def contenders_of(
    kinds: Sequence[ContenderKind],
    *,
    engines: Sequence[Engine],
    coreset: Coreset,
    passed: Callable[[EvaluationModule], Sequence[PassList]],
    space: tuple[str, ...],
    fits: Callable[[Engine, EvaluationModule], bool],
    seed: int,
) -> list[Contender]:
    """Return the contenders of a run: one of each kind, of models one for each engine.

    `optimize` is none of them: it is no strategy for a search (`shipped`).
    """
    found: list[Contender] = []
    for kind in kinds:
        if kind is ContenderKind.OPTIMIZE:
            continue  # it is run as a whole
        if kind not in OF_MODELS:
            found.append(
                Contender(
                    name=kind.value,
                    kind=kind,
                    anytime=kind not in (ContenderKind.LOCAL, ContenderKind.AUTOTUNER),
                    space=space,
                    coreset=coreset,
                    passed=passed,
                    seed=seed,
                )
            )
            continue
        for number, engine in enumerate(engines, 1):
            suffix = f" {number}" if len(engines) > 1 else ""
            found.append(
                Contender(
                    name=f"{kind.value}{suffix}",
                    kind=kind,
                    engine=engine,
                    anytime=False,
                    space=space,
                    coreset=coreset,
                    passed=passed,
                    fits=lambda module, engine=engine: fits(engine, module),  # type: ignore[misc]
                    seed=seed,
                )
            )
    return found
