"""How far a run has come, and its checkpoints: found, loaded into a model again, written.

A checkpoint belongs to one run: its stage, seed, model, tokenizer, rows and data (its *identity*)
must be the same for going on. Imports PyTorch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from llm_compiler.errors import CheckpointMismatch, ConfigError
from llm_compiler.train.checkpoint import (
    STATE,
    check_tokenizer,
    checkpoints,
    find_weights,
    history,
    prune,
    read_training,
    write_checkpoint,
    write_weights,
)
from llm_compiler.train.clock import Clock
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.learner import Learner
from llm_compiler.train.lora import weights_fingerprint, write_adapters
from llm_compiler.train.processes import Processes
from llm_compiler.train.run_data import RunData
from llm_compiler.train.sharded_state import load_shard, save_shard
from llm_compiler.train.state import read_state, write_state

__all__ = ["RunCheckpoints", "RunState"]

_STATE_FILE = "state.safetensors"


@dataclass(slots=True, kw_only=True)
class RunState:
    """How far a run has come: what a checkpoint keeps beside weights and moments."""

    step: int = 0
    tokens: int = 0
    """Of all steps, prompts among them."""
    seconds: float = 0.0
    """That earlier processes took."""
    time_progress: float = 0.0
    """How much of the run was over by its minutes when these processes started, 0 to 1."""
    data: dict[str, Any] | None = None
    """The place in the data."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Tokens of answers that were learnt from, by task."""
    loss: float | None = None
    """Over the last logged steps."""
    validation: dict[str, dict[str, float]] = field(default_factory=dict)
    savings: dict[str, Any] = field(default_factory=dict)


class RunCheckpoints:
    """The checkpoints of one run.

    Raises:
        ArtifactError: the weights to start from are missing or damaged.
    """

    def __init__(self, config: TrainConfig, processes: Processes, data: RunData) -> None:
        self._config = config
        self._processes = processes
        self._prompts = data.prompts
        self._history: list[dict[str, Any]] = []
        self._identity: dict[str, Any] = {
            "stage": config.stage,
            "seed": config.seed,
            "model": {k: v for k, v in asdict(config.model).items() if k != "name"},
            "tokenizer": data.prompts.tokenizer_fingerprint,
            "row_tokens": config.row_tokens,
            "rows_per_step": config.rows_per_step,
            "shares": config.shares(),
            **({"optimizer": config.optimizer} if config.optimizer != "adamw" else {}),
            "data": {stage: source.fingerprint for stage, source in data.sources.items()},
        }
        if config.init is not None:
            base = find_weights(config.init)
            self._history = history(base)
            if config.lora is not None:
                self._identity |= {
                    "lora": config.lora.to_json(),
                    "base": weights_fingerprint(base),
                }

    def last(self, resume: bool) -> Path | None:
        """Return the checkpoint to go on from, if there is one.

        Raises:
            ConfigError: there is one, and nobody asked to go on.
        """
        found = checkpoints(self._config.out)
        if found and not resume:
            raise ConfigError(
                f"{self._config.out} holds a run already: go on with --resume, or name another "
                "folder with --out"
            )
        return found[-1] if found else None

    def load(self, folder: Path, learner: Learner) -> RunState:
        """Fill the model and the optimiser from a checkpoint; return how far it had come.

        Raises:
            CheckpointMismatch: it is of another run, damaged, or holds weights only.
            TokenizerMismatch: it belongs to another tokenizer.
        """
        training = read_training(folder)
        check_tokenizer(folder, self._prompts)
        before = training.get("identity", {})
        for name, value in self._identity.items():
            if before.get(name) != value:
                raise CheckpointMismatch(
                    f"{folder} is of a run with another {name.replace('_', ' ')}: it cannot be "
                    "resumed so (start a new one from its weights with --init)"
                )
        path = folder / STATE
        if not path.is_dir():
            raise CheckpointMismatch(f"{folder} holds weights only: start from it with --init")
        if (path / "state.pt").exists():
            raise CheckpointMismatch(
                f"{path} was written as a pickle, which is not read: start from its weights with "
                "--init"
            )
        try:
            self._load_state(path, learner)
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            first = str(error).strip().split("\n", 1)[0]
            raise CheckpointMismatch(f"{path} cannot be read: {first}") from error
        return RunState(
            step=training["step"],
            tokens=training["tokens"],
            seconds=training["seconds"],
            time_progress=float(training["time_progress"]),
            data=training["data"],
            tasks=training.get("tasks", {}),
        )

    def _load_state(self, path: Path, learner: Learner) -> None:
        processes = self._processes
        if processes.is_sharded:
            optimizer = learner.optimizer.optimizer
            load_shard(path, learner.model, optimizer, processes.rank, processes.world)
        else:
            state = read_state(path / _STATE_FILE)
            learner.llama.load_state_dict(state["model"], strict=self._config.lora is None)
            learner.optimizer.load_state_dict(state["optimizer"])

    def save(self, state: RunState, learner: Learner, clock: Clock) -> None:
        """Write a checkpoint; all processes call it together.

        Raises:
            OutputError: it cannot be written.
        """
        config, processes = self._config, self._processes
        weights = self._weights(state.step, learner)

        def write_model(folder: Path) -> None:
            if config.lora is None:
                write_weights(folder, weights, config.model)
            else:
                write_adapters(learner.llama, config.lora, str(config.init), folder)

        def write_own_state(folder: Path) -> None:
            if not processes.is_sharded:
                self._write_state(folder / _STATE_FILE, learner)

        processes.accelerator.wait_for_everyone()
        if processes.is_main:
            write_checkpoint(
                config.out,
                state.step,
                prompts=self._prompts,
                training=self._training(state, clock),
                write_model=write_model,
                write_state=write_own_state,
            )
            prune(config.out, config.keep_checkpoints)
        processes.accelerator.wait_for_everyone()

    def _weights(self, step: int, learner: Learner) -> dict[str, Any]:
        """Return the whole model's weights; of an FSDP run each process writes its shard, too."""
        processes = self._processes
        if not processes.is_sharded:
            weights: dict[str, Any] = learner.llama.state_dict()
            return weights
        # The main process completes the checkpoint around the shards. On CPUs the weights come as
        # shards, which all processes must put together.
        weights = {
            name.removeprefix("llama."): (
                tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
            )
            for name, tensor in processes.accelerator.get_state_dict(learner.model).items()
        }
        folder = self._config.out / f".partial-step-{step:08d}" / STATE
        optimizer = learner.optimizer.optimizer
        save_shard(folder, learner.model, optimizer, processes.rank, processes.world)
        return weights

    def _write_state(self, path: Path, learner: Learner) -> None:
        weights = learner.llama.state_dict()
        if self._config.lora is not None:
            weights = {name: tensor for name, tensor in weights.items() if ".lora_" in name}
        write_state(path, {"model": weights, "optimizer": learner.optimizer.state_dict()})

    def _training(self, state: RunState, clock: Clock) -> dict[str, Any]:
        return {
            "format": "llm-compiler checkpoint, version 1",
            "step": state.step,
            "tokens": state.tokens,
            "seconds": state.seconds + clock.seconds,
            "time_progress": clock.time_progress,
            "loss": state.loss,
            "identity": self._identity,
            "data": state.data,
            "tasks": state.tasks,
            "init": str(self._config.init or ""),
            "history": self._history,
            "validation": state.validation,
            "savings": state.savings,
            "device": self._processes.device_name,
            "precision": self._processes.precision,
            "num_processes": self._processes.world,
            "torch": torch.__version__,
        }
