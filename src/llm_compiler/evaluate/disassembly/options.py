"""How disassembly is evaluated: levels, answers for each function, and how they are checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llm_compiler.errors import ConfigError
from llm_compiler.verify.execute import ExecuteOptions

__all__ = ["LEVELS", "RETRIES", "LiftOptions"]

LEVELS = ("O0", "O1", "O2", "O3", "Os", "Oz")
RETRIES = ("unproved", "inexact")
"""What may be asked again: what is not at least *tests_passed*; what is not *exact*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftOptions:
    """What is asked, and how it is checked."""

    levels: tuple[str, ...] = ("Oz",)
    functions: int = 0
    """Drawn per target and level; 0: all."""
    candidates: int = 8
    max_executed: int = 5
    """At most, of a function's answers that are not exact."""
    temperature: float = 0.0
    seed: int = 0
    timeout_s: float = 60.0
    rules: bool = False
    """Rules alone are a contender too, and so are rules and each model together."""
    search_s: float = 2.0
    """Of processor time, for the rules' search."""
    function_s: float = 9.0
    """Of processor time, for a function as a whole: `DisassembleOptions.function_s`."""
    retry: str = ""
    """Of `RETRIES`, what is asked again that has rows; empty: nothing. It is no setting of the run:
    rows of the first time and of a retry stand side by side."""
    execute: ExecuteOptions = field(default_factory=ExecuteOptions)

    def __post_init__(self) -> None:
        if unknown := [level for level in self.levels if level not in LEVELS]:
            raise ConfigError(f"'{unknown[0]}' is no level: expected some of {', '.join(LEVELS)}")
        if self.retry and self.retry not in RETRIES:
            raise ConfigError(f"'{self.retry}' is no retry: expected {' or '.join(RETRIES)}")
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
            "function_s": self.function_s,
        }
