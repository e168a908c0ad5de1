"""The model that is trained and its optimiser, on this process's device: forward, and a step.

Knows rows of documents, and neither files nor how long a run lasts. Imports PyTorch.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llm_compiler.errors import ConfigError
from llm_compiler.model.prompts import Prompts
from llm_compiler.model.special import TASKS
from llm_compiler.train.checkpoint import find_weights, load_weights
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.language_model import PackedModel, TreeTensors, make_llama
from llm_compiler.train.lora import add_adapters
from llm_compiler.train.optimizers import make_optimizer
from llm_compiler.train.packing import Row, Step
from llm_compiler.train.processes import Processes

__all__ = ["Learner", "Window", "loss_by_task"]


@dataclass(slots=True)
class Window:
    """Sums over some steps, of this process."""

    sums: Any
    """(tasks,) of losses; on the device, like `counts`."""
    counts: Any
    """(tasks,) of tokens of answers."""
    tokens: int = 0
    flops: int = 0
    seconds: float = 0.0


class Learner:
    """A model and its optimiser.

    Args:
        init: a folder of weights to start from; None: random ones, or those of a checkpoint that
            is loaded later.

    Raises:
        ConfigError: settings that do not fit together.
        ArtifactError: the weights are missing or do not fit.
    """

    def __init__(
        self, config: TrainConfig, processes: Processes, prompts: Prompts, init: Path | None
    ) -> None:
        self._config = config
        self._processes = processes
        sharded = processes.is_sharded
        torch.manual_seed(config.seed)
        llama = make_llama(config.model)
        if init is not None:
            load_weights(find_weights(init), llama, config.model, prompts)
        if config.lora is not None:
            if sharded:
                raise ConfigError("lora is for whole models on each device, not for FSDP")
            add_adapters(llama, config.lora, half=processes.precision == "bf16")
        model = PackedModel(
            llama,
            num_tasks=len(TASKS),
            longest=config.document_tokens,
            compiled=config.compile,
            flash=config.flash_attention,
            gradient_checkpointing=config.gradient_checkpointing,
            # Adapters, FSDP and checkpointing of activations hook into transformers' modules.
            lean=not (config.lora or sharded or config.gradient_checkpointing),
        )
        if config.optimizer == "muon" and sharded:
            raise ConfigError("optimizer 'muon' is for whole models on each device, not for FSDP")
        optimizer = make_optimizer(
            model.named_parameters(),
            name=config.optimizer,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(config.adam_beta1, config.adam_beta2),
            fused=not sharded or processes.device.type == "cuda",
        )
        self.model, self.optimizer = processes.accelerator.prepare(model, optimizer)

    @property
    def llama(self) -> Any:
        """The `LlamaForCausalLM` within."""
        return self._processes.accelerator.unwrap_model(self.model).llama

    def new_window(self) -> Window:
        """Return empty sums."""
        zeros = torch.zeros(len(TASKS), device=self._processes.device)
        return Window(sums=zeros, counts=zeros.clone())

    def forward(self, row: Row) -> Any:
        """Return a row's loss, its sums and counts by task, and its log-probabilities."""
        device = self._processes.device
        arrays = (row.ids, row.positions, row.targets, row.tasks)
        tensors = [torch.from_numpy(array).to(device, non_blocking=True) for array in arrays]
        trees = None if row.trees is None else TreeTensors.of(row.trees, device)
        with self._processes.autocast():
            return self.model(*tensors, row.lengths, trees)

    def step(self, step: Step, rate: float, window: Window) -> float:
        """Take one optimiser step and return the norm of its gradient."""
        config, accelerator = self._config, self._processes.accelerator
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weight = self._processes.sum(sum(row.weight for row in step.rows))
        last = len(step.rows) - 1
        for number, row in enumerate(step.rows):
            synced = contextlib.nullcontext() if number == last else self._unsynced()
            with synced:
                loss, sums, counts, _ = self.forward(row)
                # Gradients are averaged over the processes; the mean is over all their tokens.
                accelerator.backward(loss * (self._processes.world / max(1, weight)))
            window.sums += sums
            window.counts += counts
            window.tokens += len(row.ids)
            window.flops += config.model.training_flops(
                tokens=len(row.ids),
                answer_tokens=row.num_logits,
                squared_lengths=row.squared_lengths,
                frozen=config.lora is not None,
            )
        norm = float(accelerator.clip_grad_norm_(self.model.parameters(), config.max_gradient_norm))
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _unsynced(self) -> Any:
        return self._processes.accelerator.no_sync(self.model)

    def totals(self, window: Window) -> tuple[list[float], list[float]]:
        """Return a window's sums and counts, (tasks,) each, over all processes."""
        sums, counts = self._processes.sum_tensor(
            torch.stack([window.sums, window.counts])
        ).tolist()
        return sums, counts


def loss_by_task(sums: list[float], counts: list[float]) -> dict[str, float]:
    """Return the mean loss of each task that has tokens."""
    return {
        task: total / count for task, total, count in zip(TASKS, sums, counts, strict=True) if count
    }
