"""What the steps of a unit work with: options, workers, verdicts, a model, a store."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from llm_compiler.optimization.model_rounds import ProposingModel
from llm_compiler.optimization.options import OptimizeOptions
from llm_compiler.search.coreset import Coreset
from llm_compiler.search.trial import MeasurementStore
from llm_compiler.verify.checker import Checker
from llm_compiler.workers.pool import WorkerPool

__all__ = ["Workplace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The same for all units of a run; threads share it.

    Args:
        coreset: None: the shipped one.
        model: for `Proposer.MODEL`; None: the coreset proposes.
        stop: ends every search at its next batch, with what it has.
        parts: in how many jobs a batch is measured side by side.
    """

    options: OptimizeOptions
    pool: WorkerPool
    checker: Checker
    coreset: Coreset | None = None
    model: ProposingModel | None = None
    store: MeasurementStore | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    parts: int = 1

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more is to be begun."""
        return self.stop.is_set()
