"""Validation within a run: the loss of documents that are not learnt, what proposed lists save.

Imports PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from llm_compiler.errors import ConfigError
from llm_compiler.model.special import TASKS
from llm_compiler.train.clock import Clock
from llm_compiler.train.learner import Learner, loss_by_task
from llm_compiler.train.packing import Row
from llm_compiler.train.processes import Processes
from llm_compiler.train.run_data import RunData

__all__ = ["Validated", "keep_time_for_validation", "validate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """What a validation found."""

    losses: dict[str, dict[str, float]]
    """By task: loss and number of tokens."""
    savings: dict[str, Any] | None
    """Of label shards, see `ranking.Ranking`; None without them."""


def validate(data: RunData, learner: Learner, processes: Processes) -> Validated:
    """Compute the rows that a run is validated on, shared out to the processes."""
    rows: list[Row] = data.validation_rows
    window = learner.new_window()
    found: list[tuple[int, Any]] = []
    # In one module's forward, as FSDP wants it; with as many calls in every process.
    turns = -(-len(rows) // processes.world)
    learner.model.eval()
    with torch.no_grad():
        for turn in range(turns):
            index = turn * processes.world + processes.rank
            _, sums, counts, log_probs = learner.forward(rows[index % len(rows)])
            if index < len(rows):
                window.sums += sums
                window.counts += counts
                found.append((index - len(data.validation), log_probs))
    learner.model.train()
    sums, counts = learner.totals(window)
    losses = {
        task: {"loss": loss, "num_tokens": counts[TASKS.index(task)]}
        for task, loss in loss_by_task(sums, counts).items()
    }
    savings = None
    if data.ranking is not None:
        best = data.ranking.best_sizes(
            (index, log_probs.double().cpu().numpy()) for index, log_probs in found
        )
        tensor = processes.sum_tensor(torch.from_numpy(best).to(processes.device))
        savings = data.ranking.savings(tensor.cpu().numpy())
    return Validated(losses=losses, savings=savings)


def keep_time_for_validation(
    clock: Clock, data: RunData, processes: Processes, token_s: float
) -> None:
    """Keep the time that validation will take: at most two thirds of a training step's.

    Args:
        token_s: seconds of training for one token.

    Raises:
        ConfigError: validation alone would take most of the run.
    """
    tokens = sum(len(row.ids) for row in data.validation_rows) / processes.world
    seconds = 0.67 * tokens * token_s
    if not clock.has_room(seconds):
        raise ConfigError(
            f"validation alone will take about {seconds:.0f} s, more than half of the minutes "
            "given: lower validation_documents"
        )
    clock.keep_for_the_end(2.0 + seconds)
