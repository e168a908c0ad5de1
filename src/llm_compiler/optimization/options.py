"""What a caller of `optimize` may ask for: efforts, proposers, kinds of output, the options."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

from llm_compiler.errors import ConfigError
from llm_compiler.llvm.settings import SettingKind, all_settings, find_setting
from llm_compiler.llvm.targets import canonical_triple, is_bare_metal
from llm_compiler.option_values import adopt_values
from llm_compiler.search.objective import FLASH, SIZE, Objective, objective_named

__all__ = ["Effort", "OptimizeOptions", "OutputKind", "Proposer"]


class Proposer(StrEnum):
    """Where candidate lists come from."""

    MODEL = "model"
    CORESET = "coreset"
    SEARCH = "search"


class OutputKind(StrEnum):
    """What `Optimized.output` holds."""

    OBJECT = "object"
    ASSEMBLY = "assembly"
    BITCODE = "bitcode"
    TEXT = "text"
    PASSES = "passes"


class Effort(StrEnum):
    """How much is tried; the seconds are those of a unit of median size on one idle core.

    Numbers of evaluations and not of seconds, so that a result does not depend on the machine.
    """

    FAST = "fast"
    """About 0.5 s."""
    DEFAULT = "default"
    """About 1 s."""
    HIGH = "high"
    """About 10 s."""
    MAX = "max"
    """About 100 s."""

    @property
    def candidates(self) -> int:
        """Recipes compiled beside clang -Oz."""
        return {Effort.FAST: 8, Effort.DEFAULT: 32, Effort.HIGH: 64, Effort.MAX: 64}[self]

    @property
    def budget(self) -> int:
        """Evaluations of local search after them."""
        return {Effort.FAST: 0, Effort.DEFAULT: 0, Effort.HIGH: 384, Effort.MAX: 4096}[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeOptions:
    """How to optimise; the defaults are the command line's."""

    candidates: int = Effort.DEFAULT.candidates
    """Recipes compiled beside clang -Oz."""
    budget: int = Effort.DEFAULT.budget
    """Evaluations of local search after them, at most."""
    seconds: float = math.inf
    """At most so long for measuring, for each input: what was best until then counts."""
    objective: Objective = SIZE
    objective_by_target: bool = False
    """Make flash small instead, where an input is for a target without operating system."""
    proposer: Proposer | None = None
    """None: the model if one is given, or came with the package and there are more candidates than
    `Effort.DEFAULT` has, a search, or pass lists alone; else the coreset. A model that cannot be
    loaded or does not answer is a warning, and the coreset chooses."""
    pass_lists_only: bool = False
    """Leave attributes and options of code generation as clang -Oz has them."""
    function_wise: bool = True
    """Assemble units from the best recipe of each function, where that is smaller."""
    novel: bool = False
    """model: lists of its own making too; they are checked if they win."""
    target_triple: str = ""
    clang_flags: tuple[str, ...] = ()
    kind: OutputKind = OutputKind.OBJECT
    timeout_s: float = 60.0
    """Limit of each evaluation and each run of clang or opt."""
    seed: int = 0
    allow: tuple[str, ...] = ()
    """Settings that change what the object offers, by name (`llvm.settings`)."""
    explain: bool = False
    """Find out which element of the recipe brings how many bytes."""
    trust: bool = False
    """Hand out a new list that wins without PassListEval (its verdict is then "unchecked")."""

    def for_target(self, triple: str) -> OptimizeOptions:
        """Return the options with the objective that an input for a target is made small by."""
        if self.objective_by_target and is_bare_metal(triple):
            return replace(self, objective=FLASH)
        return self

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", objective_named(self.objective))
        adopt_values(self)
        object.__setattr__(self, "target_triple", canonical_triple(self.target_triple))
        if self.candidates < 0 or self.budget < 0:
            raise ConfigError("--candidates and --budget cannot be negative")
        for name in self.allow:
            known = find_setting(SettingKind.ATTRIBUTE, name)
            if known is None or not known.contract:
                names = ", ".join(setting.name for setting in all_settings() if setting.contract)
                raise ConfigError(f"--allow {name}: what can be allowed is {names}")
        if not self.seconds > 0:
            raise ConfigError("--seconds must be more than 0")
        if self.timeout_s <= 0:
            raise ConfigError("--timeout-s must be more than 0")
