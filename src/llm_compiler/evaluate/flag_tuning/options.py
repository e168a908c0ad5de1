"""How flag tuning is evaluated: the rules, the contenders, the budgets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.flag_tuning.contenders import ContenderKind
from llm_compiler.search.objective import SIZE, Objective, object_objectives

__all__ = ["FlagTuningOptions", "Protocol"]


class Protocol(StrEnum):
    """The rules of measurement."""

    OURS = "ours"
    PAPER = "paper"
    """One shot, .text + .data, long units split by function, what is still too long counts as
    -Oz."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagTuningOptions:
    """What is compared and how."""

    contenders: tuple[ContenderKind, ...]
    budgets: tuple[int, ...] = (1, 4, 16, 64, 256)
    protocol: Protocol = Protocol.OURS
    objective: Objective = SIZE
    check: bool = True
    """Put new lists that win to PassListEval."""
    seed: int = 0
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.contenders:
            raise ConfigError("there is no contender to measure")
        if not self.budgets or min(self.budgets) < 1:
            raise ConfigError("budgets are numbers of evaluations of at least 1")
        if not self.objective.column:
            known = " or ".join(objective.name for objective in object_objectives())
            raise ConfigError(f"an evaluation is about sizes: --objective {known}")
