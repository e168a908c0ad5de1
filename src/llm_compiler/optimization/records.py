"""What a caller of `optimize` says and gets: options, kinds of output, the result."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from llm_compiler.errors import ConfigError
from llm_compiler.llvm.settings import SettingKind, all_settings, find_setting
from llm_compiler.notebook import card
from llm_compiler.option_values import adopt_values
from llm_compiler.records import Recipe
from llm_compiler.search.objective import SIZE, Objective, objective_named

if TYPE_CHECKING:  # options are read without what measures
    from llm_compiler.optimization.explain import Explanation

__all__ = ["Effort", "OptimizeOptions", "Optimized", "OutputKind", "Proposer"]


class Proposer(StrEnum):
    """Where candidate lists come from."""

    MODEL = "model"
    CORESET = "coreset"
    SEARCH = "search"


FROM_STORE = "store"
"""What `Optimized.proposer` says of a recipe that an earlier search of the user's had found."""


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
    """About 0.3 s."""
    DEFAULT = "default"
    """About 1 s."""
    HIGH = "high"
    """About 10 s."""
    MAX = "max"
    """About 100 s."""

    @property
    def candidates(self) -> int:
        """Recipes compiled beside clang -Oz."""
        return {Effort.FAST: 4, Effort.DEFAULT: 16, Effort.HIGH: 32, Effort.MAX: 64}[self]

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
    proposer: Proposer | None = None
    """None: the model if one is given or came with the package, else the coreset. A model that
    cannot be loaded or does not answer is a warning, and the coreset chooses."""
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "objective", objective_named(self.objective))
        adopt_values(self)
        if self.candidates < 0 or self.budget < 0:
            raise ConfigError("--candidates and --budget cannot be negative")
        for name in self.allow:
            known = find_setting(SettingKind.ATTRIBUTE, name)
            if known is None or not known.contract:
                names = ", ".join(one.name for one in all_settings() if one.contract)
                raise ConfigError(f"--allow {name}: what can be allowed is {names}")
        if not self.seconds > 0:
            raise ConfigError("--seconds must be more than 0")
        if self.timeout_s <= 0:
            raise ConfigError("--timeout-s must be more than 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """What became of one input.

    Sizes are those of the objects that clang itself made; `passes` is None where clang -Oz's
    stands. `output` are the bytes of the kind asked for.
    """

    input: str
    target_triple: str
    llvm_version: str
    baseline_bytes: int
    optimized_bytes: int
    baseline_text_data_bytes: int
    optimized_text_data_bytes: int
    objective: Objective = SIZE
    baseline_value: int
    """Of clang -Oz's object, by the objective."""
    optimized_value: int
    passes: str | None
    recipe: Recipe | None
    """The passes and what else the object was compiled with."""
    replay: tuple[str, ...]
    proposer: str
    verdict: str
    num_evaluations: int
    num_assemblies: int
    """Assemblies function by function that were compiled beside them."""
    seconds: float
    """From the start of this input's own work, not of the run's."""
    explanation: Explanation | None = None
    """Where that was asked for, and a recipe won."""
    warnings: tuple[str, ...] = ()
    diagnostics: str = field(default="", repr=False)
    """clang's own warnings about the input, as it printed them."""
    output: bytes = field(default=b"", repr=False)

    @property
    def saved_bytes(self) -> int:
        """Bytes saved over clang -Oz; never negative."""
        return self.baseline_bytes - self.optimized_bytes

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        share = 100 * self.saved_bytes / max(1, self.baseline_bytes)
        elements = self.explanation.contributions if self.explanation is not None else ()
        return card(
            f"-{share:.1f} % of clang -Oz" if self.saved_bytes else "as small as clang -Oz",
            {
                "input": self.input,
                "bytes": f"{self.baseline_bytes} -> {self.optimized_bytes}",
                ".text + .data": f"{self.baseline_text_data_bytes} -> "
                f"{self.optimized_text_data_bytes}",
                "recipe": self.recipe.text[:2000] if self.recipe is not None else "clang -Oz's own",
                "from": f"{self.proposer}, {self.verdict}",
                "target": f"{self.target_triple}, LLVM {self.llvm_version}",
                "warnings": "; ".join(self.warnings),
            },
            header=("element", "kind", "bytes saved"),
            rows=[(one.element, one.kind, str(one.saved_bytes)) for one in elements],
        )

    def to_json(self) -> dict[str, object]:
        """Return the object that ``optimize --json`` prints (docs/json.md)."""
        found: dict[str, object] = {
            "input": self.input,
            "target_triple": self.target_triple,
            "llvm_version": self.llvm_version,
            "baseline_bytes": self.baseline_bytes,
            "optimized_bytes": self.optimized_bytes,
            "baseline_text_data_bytes": self.baseline_text_data_bytes,
            "optimized_text_data_bytes": self.optimized_text_data_bytes,
            "objective": self.objective.name,
            "baseline_value": self.baseline_value,
            "optimized_value": self.optimized_value,
            "passes": self.passes,
            "recipe": self.recipe.to_json() if self.recipe is not None else None,
            "replay": list(self.replay),
            "proposer": self.proposer,
            "verdict": self.verdict,
            "num_evaluations": self.num_evaluations,
            "num_assemblies": self.num_assemblies,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
        }
        if self.explanation is not None:
            found["explain"] = self.explanation.to_json()
        return found
