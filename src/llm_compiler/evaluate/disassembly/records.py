"""What disassembly is evaluated with: options, items, rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.errors import ConfigError
from llm_compiler.evaluate.suites import EvaluationModule
from llm_compiler.verify.execute import ExecuteOptions

__all__ = [
    "BEYOND_CONTEXT",
    "LEVELS",
    "NO_ANSWER",
    "UNREADABLE",
    "LiftItem",
    "LiftOptions",
    "LiftRow",
]

UNREADABLE, BEYOND_CONTEXT, NO_ANSWER = "unreadable", "beyond context", "no answer"
LEVELS = ("O0", "O1", "O2", "O3", "Os", "Oz")


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRow:
    """One answer of one model for one function; of a function without answers one row."""

    suite: str
    module: str
    module_hash: str
    program: str
    target_triple: str
    level: str
    function: str
    num_instructions: int
    """Of the machine code; 0 where the function cannot be read."""
    model: str
    candidate: int
    """From 1, in the model's order, the greedy one first; 0: there is no answer."""
    verdict: str
    reason: str
    cause: str
    """Of rows without answer: ``unreadable`` (no model was asked), ``beyond context`` (the prompt
    leaves no room for an answer), ``no answer`` (none was finished in the context, or the model's
    form has no words for the function); else empty."""
    attributes: str
    """Of exact answers: the function attributes that took the place of the answer's own."""
    lowers: int
    """1: the answer is well-formed IR of this function, and lowers."""
    bleu: float
    """Of its assembly against the original's, 0 to 1; 0 where it does not lower."""
    num_inputs: int
    num_blocks: int
    num_covered: int
    counterexample: str
    model_seconds: float
    """Of all answers of the model, in the first row."""
    check_seconds: float
    assembly: str
    """The question: the function in normal form, in the first row."""
    answer: str
    """The model's own words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftOptions:
    """What is asked, and how it is checked."""

    levels: tuple[str, ...] = ("Oz",)
    functions: int = 0
    """Drawn per target and level; 0: all."""
    candidates: int = 8
    max_executed: int = 3
    """At most, of a function's answers that are not exact."""
    temperature: float = 0.0
    seed: int = 0
    timeout_s: float = 60.0
    rules: bool = False
    """Rules alone are a contender too, and so are rules and each model together."""
    search_s: float = 2.0
    """Of processor time, for the rules' search."""
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)

    def __post_init__(self) -> None:
        if unknown := [one for one in self.levels if one not in LEVELS]:
            raise ConfigError(f"'{unknown[0]}' is no level: expected some of {', '.join(LEVELS)}")
        if self.candidates < 1:
            raise ConfigError("--candidates starts at 1")

    def to_json(self) -> dict[str, Any]:
        """Return what makes a run what it is."""
        return {
            "levels": list(self.levels),
            "functions": self.functions,
            "candidates": self.candidates,
            "max_executed": self.max_executed,
            "temperature": self.temperature,
            "seed": self.seed,
            "timeout_s": self.timeout_s,
            "rules": self.rules,
            "search_s": self.search_s,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftItem:
    """One function at one level."""

    module: EvaluationModule
    level: str
    function: str
    assembly: Path
    """Of the whole module."""

    @property
    def key(self) -> str:
        """What names it in a run."""
        return f"{self.module.key}|{self.level}|{self.function}"
