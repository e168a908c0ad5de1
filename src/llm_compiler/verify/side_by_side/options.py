"""What a caller of `verify.execute` says and gets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from llm_compiler.verify.lift_verdict import LiftVerdict

__all__ = ["Counterexample", "ExecuteOptions", "Execution", "Unproved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteOptions:
    """How much evidence is asked for."""

    num_inputs: int = 384
    """Drawn at first; half as many again for each further round."""
    num_rounds: int = 4
    """Further rounds, as long as blocks have not run: mutants of inputs that reached new ones."""
    num_searches: int = 24
    """Rounds after these, of which only inputs that reach new blocks are kept."""
    min_inputs: int = 48
    """On which the original must run to its end."""
    min_coverage: float = 1.0
    """Share of the original's basic blocks that these must run."""
    seed: int = 0
    run_timeout_s: float = 60.0
    max_seconds: float = 10.0
    """For one function and one lift: after that no more inputs are drawn or run. Code that never
    ends on most inputs would else cost minutes."""
    solve_s: float = 0.8
    """For one round of solving for inputs; 0: none."""
    emulated_share: float = 1.0
    """Of `num_inputs`, and of `min_inputs`, where code runs under an emulator, which is slow."""

    def emulated(self) -> ExecuteOptions:
        """Return the options for code that runs under an emulator."""
        return dataclasses.replace(
            self,
            num_inputs=max(1, round(self.num_inputs * self.emulated_share)),
            min_inputs=max(1, round(self.min_inputs * self.emulated_share)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterexample:
    """An input on which the two differ."""

    arguments: tuple[str, ...]
    difference: str
    seed: int
    number: int
    """Of the input, in the order of the seed's inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """A verdict from running, and its evidence."""

    verdict: LiftVerdict
    reason: str = ""
    num_inputs: int = 0
    num_completed: int = 0
    """On which the original ran to its end."""
    num_blocks: int = 0
    num_covered: int = 0
    counterexample: Counterexample | None = None


class Unproved(Exception):
    """There can be no evidence; the message says why."""
