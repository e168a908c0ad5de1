"""The training loop: one stage, from weights or from where a killed run was.

A step is `rows_per_step` rows, shared out to the processes; its loss is the mean over all tokens of
all answers in it, so the number of processes changes nothing but the order of sums. AdamW; warm-up
by steps; then a cosine over the run's steps or its minutes, whichever is further on: a run that is
bounded in time ends with a low learning rate and a checkpoint.

Runs on one device, or under torchrun or `accelerate launch` (data-parallel, or FSDP by accelerate's
configuration). Imports PyTorch.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from llm_compiler.errors import CheckpointMismatch, ConfigError, OutputError, TokenizerMismatch
from llm_compiler.model.prompts import load_prompts
from llm_compiler.model.special import TASKS
from llm_compiler.signals import record
from llm_compiler.train.checkpoint import (
    STATE,
    check_tokenizer,
    checkpoints,
    find_weights,
    history,
    load_weights,
    prune,
    read_training,
    write_checkpoint,
    write_weights,
)
from llm_compiler.train.configs import STAGE_OF, TrainConfig
from llm_compiler.train.hardware import cpu_multiplies_bf16, find_gpu
from llm_compiler.train.language_model import PackedModel, TreeTensors, make_llama
from llm_compiler.train.lora import add_adapters, weights_fingerprint, write_adapters
from llm_compiler.train.optimizers import make_optimizer
from llm_compiler.train.packing import Prefetched, Row, Step, pack_rows, read_steps
from llm_compiler.train.progress import RunLog, plot_curves
from llm_compiler.train.ranking import Ranking, is_ranked
from llm_compiler.train.sharded_state import load_shard, save_shard
from llm_compiler.train.sources import first_documents, open_source
from llm_compiler.train.state import read_state, write_state

__all__ = ["Outcome", "learning_rate", "train"]

_STATE_FILE = "state.safetensors"
_MAX_SKIPPED = 20
_PREFETCHED_STEPS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended."""

    status: str
    """``finished``, ``time`` (its minutes are over), or ``interrupted`` (by a signal)."""
    step: int
    tokens: int
    """Of all steps, prompts among them."""
    loss: float | None
    """Over the last logged steps."""
    validation: dict[str, dict[str, float]]
    """By task: loss and number of tokens."""
    savings: dict[str, Any]
    """Of label shards: what the model's lists save, see `ranking.Ranking`."""
    checkpoint: Path
    seconds: float


def learning_rate(config: TrainConfig, step: int, progress: float) -> float:
    """Return the rate of a step.

    Args:
        progress: how much of the run is over, 0 to 1.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    low = config.min_learning_rate_ratio
    cosine = low + (1 - low) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return config.learning_rate * warm * cosine


def train(
    config: TrainConfig,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    on_progress: Callable[[int, str], None] = lambda step, note: None,
) -> Outcome:
    """Train, and leave a checkpoint.

    Args:
        resume: go on from the run's last checkpoint, if it has one.
        max_minutes: of wall time from now on, all included but the loading of PyTorch.
        on_progress: called after each log line with the step and a few words.

    Raises:
        ConfigError: settings that do not fit together, or a loss that is not finite.
        ArtifactError: data, checkpoint or tokenizer are missing, damaged, or not of one kind.
        OutputError: the run's folder cannot be written.
    """
    run = _Run(config, max_minutes=max_minutes, resume=resume)
    try:
        return run.train(on_progress)
    finally:
        run.close()


@dataclass(slots=True)
class _Window:
    """What has been summed up since the last log line; sums stay on the device."""

    sums: Any
    counts: Any
    tokens: int = 0
    flops: int = 0
    seconds: float = 0.0


class _Clock:
    """The run's progress, by steps and by minutes."""

    def __init__(
        self,
        config: TrainConfig,
        max_minutes: float | None,
        time_progress: float,
        started: float,
    ) -> None:
        self._started = started
        self._config = config
        self._limit_s = None if max_minutes is None else 60 * max_minutes
        self._before = time_progress
        self.finish_s = 0.0 if self._limit_s is None else min(5.0, 0.05 * self._limit_s)
        """What validation and the last checkpoint will take."""

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    @property
    def time_progress(self) -> float:
        """How much of the run is over by its minutes, those of earlier runs among them."""
        if self._limit_s is None:
            return self._before
        by_time = self.seconds / max(1e-9, self._limit_s - self.finish_s)
        return min(1.0, self._before + (1 - self._before) * by_time)

    def progress(self, step: int) -> float:
        """Return how much of the run is over, 0 to 1."""
        return max(step / self._config.max_steps, self.time_progress)

    def has_room(self, finish_s: float) -> bool:
        """Whether a run can end with something that long."""
        return self._limit_s is None or finish_s < 0.5 * self._limit_s

    def end(self) -> None:
        """Let the run be over: its learning rate is down, so that nobody goes on with it."""
        self._before, self._limit_s = 1.0, None

    def is_over(self, next_step_s: float) -> bool:
        """Whether there is no time for another step."""
        left = math.inf if self._limit_s is None else self._limit_s - self.finish_s - self.seconds
        return next_step_s >= left


class _Run:
    def __init__(self, config: TrainConfig, *, max_minutes: float | None, resume: bool) -> None:
        started = time.monotonic()
        self.config = config
        cpu = config.device == "cpu" or not torch.cuda.is_available()
        if config.device == "cuda" and cpu:
            raise ConfigError("device is 'cuda', but PyTorch finds no GPU")
        if config.num_threads:
            torch.set_num_threads(config.num_threads)
        self.accelerator = Accelerator(cpu=cpu)
        if cpu:
            _shard_on_cpu(self.accelerator)
        self.device = self.accelerator.device
        self.is_main: bool = self.accelerator.is_main_process
        self.rank: int = self.accelerator.process_index
        self.world: int = self.accelerator.num_processes
        if config.rows_per_step % self.world:
            raise ConfigError(
                f"rows_per_step is {config.rows_per_step}, which is no multiple of the "
                f"{self.world} processes"
            )
        half = config.precision == "bf16"
        if config.precision == "auto":
            half = not cpu or cpu_multiplies_bf16()
        self.precision = "bf16" if half else "fp32"
        if config.compile and not (half and not cpu and config.flash_attention):
            # Elsewhere each row's documents are constants of the graph: every row would compile.
            raise ConfigError("compile needs a GPU, bf16 and flash_attention")
        self.is_sharded = self.accelerator.distributed_type == DistributedType.FSDP
        self._open_data()
        last = self._last_checkpoint(resume)
        # Adapters are little without the weights that they stand on.
        self._make_model(config.init if config.lora or not last else None)
        self.step, self.tokens, self.seconds_before = 0, 0, 0.0
        self.data_state: dict[str, Any] | None = None
        self.loss: float | None = None
        self.validation_losses: dict[str, dict[str, float]] = {}
        self.savings: dict[str, Any] = {}
        progress = self._load(last) if last else 0.0
        self.clock = _Clock(config, max_minutes, progress, started)
        self.peak_flops = self._measure_peak()
        self.steps: Prefetched[Step] | None = None
        self.log: RunLog | None = None
        self.stop_signal = 0
        if self.is_main:
            try:
                config.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write {config.out}: {error.strerror}") from error
            self.log = RunLog(config.out, self.step)

    # Set-up

    def _open_data(self) -> None:
        config = self.config
        self.prompts = load_prompts(config.tokenizer)
        if self.prompts.vocab_size > config.model.vocab_size:
            raise TokenizerMismatch(
                f"the tokenizer in {config.tokenizer} has {self.prompts.vocab_size} tokens, the "
                f"model '{config.model.name}' has {config.model.vocab_size}"
            )
        self.sources = {
            stage: open_source(
                STAGE_OF[stage],
                config.data[stage],
                prompts=self.prompts,
                tokenizer=config.tokenizer,
                seed=config.seed,
                context=config.document_tokens,
                num_workers=config.num_workers,
                labels=config.labels,
            )
            for stage in config.shares()
        }
        self.validation: list[Row] = []
        self.ranking: Ranking | None = None
        for stage, where in config.validation.items():
            if is_ranked(where):
                self.ranking = Ranking(stage, where, config, self.prompts)
                continue
            documents = first_documents(
                STAGE_OF[stage],
                where,
                prompts=self.prompts,
                context=config.document_tokens,
                number=config.validation_documents,
            )
            self.validation += pack_rows(documents, config.row_tokens)
        self.identity = {
            "stage": config.stage,
            "seed": config.seed,
            "model": {k: v for k, v in asdict(config.model).items() if k != "name"},
            "tokenizer": self.prompts.tokenizer_fingerprint,
            "row_tokens": config.row_tokens,
            "rows_per_step": config.rows_per_step,
            "shares": config.shares(),
            **({"optimizer": config.optimizer} if config.optimizer != "adamw" else {}),
            "data": {stage: source.fingerprint for stage, source in self.sources.items()},
        }
        self.history: list[dict[str, Any]] = []
        self.tasks: dict[str, int] = {}
        """Tokens of answers that were learnt from, by task."""
        if config.init is not None:
            base = find_weights(config.init)
            self.history = history(base)
            if config.lora is not None:
                self.identity |= {"lora": config.lora.told(), "base": weights_fingerprint(base)}

    def _last_checkpoint(self, resume: bool) -> Path | None:
        found = checkpoints(self.config.out)
        if found and not resume:
            raise ConfigError(
                f"{self.config.out} holds a run already: go on with --resume, or name another "
                "folder with --out"
            )
        return found[-1] if found else None

    def _make_model(self, init: Path | None) -> None:
        config = self.config
        torch.manual_seed(config.seed)
        llama = make_llama(config.model)
        if init is not None:
            load_weights(find_weights(init), llama, config.model, self.prompts)
        if config.lora is not None:
            if self.is_sharded:
                raise ConfigError("lora is for whole models on each device, not for FSDP")
            add_adapters(llama, config.lora, half=self.precision == "bf16")
        model = PackedModel(
            llama,
            num_tasks=len(TASKS),
            longest=config.document_tokens,
            compiled=config.compile,
            flash=config.flash_attention,
            gradient_checkpointing=config.gradient_checkpointing,
            # Adapters, FSDP and checkpointing of activations hook into transformers' modules.
            lean=not (config.lora or self.is_sharded or config.gradient_checkpointing),
        )
        if config.optimizer == "muon" and self.is_sharded:
            raise ConfigError("optimizer 'muon' is for whole models on each device, not for FSDP")
        optimizer = make_optimizer(
            model.named_parameters(),
            name=config.optimizer,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            betas=(config.adam_beta1, config.adam_beta2),
            fused=not self.is_sharded or self.device.type == "cuda",
        )
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)

    def _load(self, folder: Path) -> float:
        """Go on from a checkpoint; return how much of the run was over by its minutes."""
        told = read_training(folder)
        check_tokenizer(folder, self.prompts)
        before = told.get("identity", {})
        for name, value in self.identity.items():
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
            if self.is_sharded:
                optimizer = self.optimizer.optimizer
                load_shard(path, self.model, optimizer, self.rank, self.world)
            else:
                state = read_state(path / _STATE_FILE)
                self._llama().load_state_dict(state["model"], strict=self.config.lora is None)
                self.optimizer.load_state_dict(state["optimizer"])
        except (OSError, RuntimeError, LookupError, ValueError) as error:
            first = str(error).strip().split("\n", 1)[0]
            raise CheckpointMismatch(f"{path} cannot be read: {first}") from error
        self.step, self.tokens = told["step"], told["tokens"]
        self.seconds_before = told["seconds"]
        self.data_state = told["data"]
        self.tasks = told.get("tasks", {})
        return float(told["time_progress"])

    def _llama(self) -> Any:
        return self.accelerator.unwrap_model(self.model).llama

    def _measure_peak(self) -> float | None:
        """Return what all devices together can do a second; None for an unknown GPU."""
        if self.device.type == "cuda":
            gpu = find_gpu(torch.cuda.get_device_name(self.device))
            return gpu.peak_flops * self.world if gpu else None
        # A processor's peak is what its library's matrix product reaches, in this precision.
        size = 768
        matrix = torch.ones(size, size, dtype=self._half() or torch.float32)
        best = math.inf
        for _ in range(4):
            started = time.perf_counter()
            torch.mm(matrix, matrix)
            best = min(best, time.perf_counter() - started)
        return 2 * size**3 / best * self.world

    def _half(self) -> Any:
        return torch.bfloat16 if self.precision == "bf16" else None

    def _autocast(self) -> Any:
        half = self._half()
        if half is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=half)

    # The loop

    def train(self, on_progress: Callable[[int, str], None]) -> Outcome:
        config = self.config
        self.steps = Prefetched(
            read_steps(
                self.sources,
                config.shares(),
                row_tokens=config.row_tokens,
                rows_per_step=config.rows_per_step,
                state=self.data_state,
                shard=(self.rank, self.world),
            ),
            _PREFETCHED_STEPS,
        )
        window = self._new_window()
        status = "finished"
        step_s = 0.0
        skipped = 0
        validated, saved = -1, self.step if self.step else -1
        last_saved = self.clock.seconds
        with self._signals():
            while self.step < config.max_steps:
                progress = self._agreed_progress()
                if reason := self._must_stop(step_s) or ("time" if progress >= 1 else ""):
                    status = reason
                    break
                started = time.perf_counter()
                step = next(self.steps)
                rate = learning_rate(config, self.step, progress)
                norm = self._step(step, rate, window)
                skipped = 0 if math.isfinite(norm) else skipped + 1
                if skipped >= _MAX_SKIPPED:
                    raise ConfigError(
                        f"{skipped} steps in a row gave no finite gradient: lower learning_rate"
                    )
                self.step += 1
                self.data_state = step.state
                step_s = time.perf_counter() - started
                window.seconds += step_s
                self._expect_validation(step_s / max(1, sum(len(row.ids) for row in step.rows)))
                if self.step % config.log_every == 0 or self.step == config.max_steps:
                    on_progress(self.step, self._log(window, rate, norm))
                    window = self._new_window()
                if config.validate_every and self.step % config.validate_every == 0:
                    self._validate()
                    validated = self.step
                due = config.checkpoint_every_steps
                due_by_time = self._agree(
                    self.clock.seconds - last_saved >= 60 * config.checkpoint_every_minutes
                )
                if (due and self.step % due == 0) or due_by_time:
                    self._save()
                    saved, last_saved = self.step, self.clock.seconds
        if status == "time":
            self.clock.end()
        if window.tokens:
            on_progress(self.step, self._log(window, rate, norm))
        if status != "interrupted" and validated != self.step:
            self._validate()
        if saved != self.step:
            self._save()
        if self.is_main:
            plot_curves(config.out)
        return Outcome(
            status=status,
            step=self.step,
            tokens=self.tokens,
            loss=self.loss,
            validation=self.validation_losses,
            savings=self.savings,
            checkpoint=checkpoints(config.out)[-1],
            seconds=self.clock.seconds,
        )

    def _step(self, step: Step, rate: float, window: _Window) -> float:
        """Take one optimiser step and return the norm of its gradient."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weight = self._sum(sum(row.weight for row in step.rows))
        last = len(step.rows) - 1
        for number, row in enumerate(step.rows):
            synced = contextlib.nullcontext() if number == last else self._unsynced()
            with synced:
                with self._autocast():
                    loss, sums, counts, _ = self.model(*self._to_device(row))
                # Gradients are averaged over the processes; the mean is over all their tokens.
                self.accelerator.backward(loss * (self.world / max(1, weight)))
            window.sums += sums
            window.counts += counts
            window.tokens += len(row.ids)
            window.flops += self.config.model.training_flops(
                tokens=len(row.ids),
                answer_tokens=row.num_logits,
                squared_lengths=row.squared_lengths,
                frozen=self.config.lora is not None,
            )
        norm = float(
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.max_gradient_norm)
        )
        if math.isfinite(norm):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _unsynced(self) -> Any:
        return self.accelerator.no_sync(self.model)

    def _to_device(self, row: Row) -> list[Any]:
        arrays = (row.ids, row.positions, row.targets, row.tasks)
        tensors = [torch.from_numpy(one).to(self.device, non_blocking=True) for one in arrays]
        trees = None if row.trees is None else TreeTensors.of(row.trees, self.device)
        return [*tensors, row.lengths, trees]

    def _new_window(self) -> _Window:
        zeros = torch.zeros(len(TASKS), device=self.device)
        return _Window(sums=zeros, counts=zeros.clone())

    def _log(self, window: _Window, rate: float, norm: float) -> str:
        """Write a line, and return the gist of it."""
        sums, counts = self._reduced(window)
        tokens = int(self._sum(window.tokens))
        flops = self._sum(window.flops)
        self.tokens += tokens
        answers = sum(counts)
        for task, count in zip(TASKS, counts, strict=True):
            if count:
                self.tasks[task] = self.tasks.get(task, 0) + round(count)
        self.loss = sum(sums) / answers if answers else None
        line = {
            "step": self.step,
            "tokens": self.tokens,
            "answer_tokens": round(answers),
            "loss": self.loss,
            "loss_by_task": _by_task(sums, counts),
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens_per_s": tokens / window.seconds,
            "share_of_peak": (
                flops / window.seconds / self.peak_flops if self.peak_flops else None
            ),
            "memory_bytes": self._memory_bytes(),
            "seconds": self.seconds_before + self.clock.seconds,
        }
        if self.log is not None:
            self.log.write(line)
        loss = "-" if self.loss is None else f"{self.loss:.3f}"
        return f"loss {loss}, {tokens / window.seconds:.0f} tokens/s"

    def _memory_bytes(self) -> int:
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    def _validate(self) -> None:
        """Measure the loss of documents that are not learnt, and what proposed lists save."""
        rows = [*self.validation, *(self.ranking.rows if self.ranking else ())]
        if not rows:
            return
        started = time.perf_counter()
        window = self._new_window()
        # In one module's forward, as FSDP wants it; with as many calls in every process.
        turns = -(-len(rows) // self.world)
        found: list[Any] = []
        self.model.eval()
        with torch.no_grad(), self._autocast():
            for turn in range(turns):
                place = turn * self.world + self.rank
                row = rows[place % len(rows)]
                _, sums, counts, log_probs = self.model(*self._to_device(row))
                if place < len(rows):
                    window.sums += sums
                    window.counts += counts
                    found.append((place - len(self.validation), log_probs))
        self.model.train()
        sums, counts = self._reduced(window)
        losses = {
            task: {"loss": loss, "num_tokens": counts[TASKS.index(task)]}
            for task, loss in _by_task(sums, counts).items()
        }
        self.validation_losses = losses
        line: dict[str, Any] = {"step": self.step, "tokens": self.tokens, "validation": losses}
        if self.ranking is not None:
            best = self.ranking.best_sizes(
                (place, log_probs.double().cpu().numpy()) for place, log_probs in found
            )
            tensor = torch.from_numpy(best).to(self.device)
            if self.world > 1:
                tensor = self.accelerator.reduce(tensor, reduction="sum")
            line["savings"] = self.savings = self.ranking.savings(tensor.cpu().numpy())
        if self.log is not None:
            self.log.write(line)
        self.clock.finish_s = max(self.clock.finish_s, 1.5 * (time.perf_counter() - started))

    def _expect_validation(self, token_s: float) -> None:
        """Keep the time that validation will take: at most two thirds of a training step's."""
        rows = [*self.validation, *(self.ranking.rows if self.ranking else ())]
        tokens = sum(len(row.ids) for row in rows) / self.world
        seconds = 0.67 * tokens * token_s
        if not self.clock.has_room(seconds):
            raise ConfigError(
                f"validation alone will take about {seconds:.0f} s, more than half of the minutes "
                "given: lower validation_documents"
            )
        self.clock.finish_s = max(self.clock.finish_s, 2.0 + seconds)

    def _save(self) -> None:
        started = time.perf_counter()
        config = self.config
        folder = config.out / f".partial-step-{self.step:08d}" / STATE
        if self.is_sharded:
            # Every process writes its shard; the main one completes the checkpoint around them.
            # On CPUs they come as shards, which all processes must put together.
            weights = {
                name.removeprefix("llama."): (
                    tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
                )
                for name, tensor in self.accelerator.get_state_dict(self.model).items()
            }
            save_shard(folder, self.model, self.optimizer.optimizer, self.rank, self.world)
        else:
            weights = self._llama().state_dict()

        def write_model(folder: Path) -> None:
            if config.lora is None:
                write_weights(folder, weights, config.model)
            else:
                write_adapters(self._llama(), config.lora, str(config.init), folder)

        self.accelerator.wait_for_everyone()
        if self.is_main:
            write_checkpoint(
                config.out,
                self.step,
                prompts=self.prompts,
                training=self._training(),
                write_model=write_model,
                write_state=self._write_state,
            )
            prune(config.out, config.keep_checkpoints)
        self.accelerator.wait_for_everyone()
        self.clock.finish_s = max(self.clock.finish_s, 1.5 * (time.perf_counter() - started))

    def _write_state(self, folder: Path) -> None:
        if not self.is_sharded:
            weights = self._llama().state_dict()
            if self.config.lora is not None:
                weights = {name: one for name, one in weights.items() if ".lora_" in name}
            state = {
                "model": weights,
                "optimizer": self.optimizer.state_dict(),
            }
            write_state(folder / _STATE_FILE, state)

    def _training(self) -> dict[str, Any]:
        return {
            "format": "llm-compiler checkpoint, version 1",
            "step": self.step,
            "tokens": self.tokens,
            "seconds": self.seconds_before + self.clock.seconds,
            "time_progress": self.clock.time_progress,
            "loss": self.loss,
            "identity": self.identity,
            "data": self.data_state,
            "tasks": self.tasks,
            "init": str(self.config.init or ""),
            "history": self.history,
            "validation": self.validation_losses,
            "savings": self.savings,
            "device": (
                torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
            ),
            "precision": self.precision,
            "num_processes": self.world,
            "torch": torch.__version__,
        }

    # Processes and signals

    def _sum(self, value: float) -> float:
        """Return the sum over all processes; exact for whole numbers up to 2^53."""
        if self.world == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        return float(self.accelerator.reduce(tensor, reduction="sum").item())

    def _reduced(self, window: _Window) -> tuple[list[float], list[float]]:
        both = torch.stack([window.sums, window.counts])
        if self.world > 1:
            both = self.accelerator.reduce(both, reduction="sum")
        sums, counts = both.tolist()
        return sums, counts

    def _agree(self, mine: bool) -> bool:
        """Return whether any process says so."""
        return self._sum(int(mine)) > 0

    def _agreed_progress(self) -> float:
        """Return the furthest process's progress, so that all have one learning rate."""
        mine = self.clock.progress(self.step)
        if self.world == 1:
            return mine
        tensor = torch.tensor([mine], dtype=torch.float64, device=self.device)
        return float(self.accelerator.gather(tensor).max().item())

    def _must_stop(self, step_s: float) -> str:
        """Return why the run must stop now: empty, ``time`` or ``interrupted``."""
        if self._agree(self.stop_signal != 0):
            return "interrupted"
        return "time" if self._agree(self.clock.is_over(step_s)) else ""

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the first signal end the loop behind its step, and a second one end the process."""

        def stop(number: int, frame: Any) -> None:
            if self.stop_signal:
                raise KeyboardInterrupt
            self.stop_signal = number
            record(number)
            print("llm-compiler: stopping behind this step", file=sys.stderr)

        before = {}
        with contextlib.suppress(ValueError):  # not the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def close(self) -> None:
        """End threads, workers and files."""
        if self.steps is not None:
            self.steps.close()
        if self.log is not None:
            self.log.close()


def _shard_on_cpu(accelerator: Accelerator) -> None:
    """Let processes on CPUs (gloo) shard as those on GPUs do, where the environment asks for it.

    accelerate leaves FSDP to accelerators; PyTorch's second version of it runs anywhere. It is how
    sharding is tested without a GPU.
    """
    wanted = os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true"
    if wanted and accelerator.num_processes > 1:
        plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["LlamaDecoderLayer"],
            reshard_after_forward=True,
            state_dict_type="FULL_STATE_DICT",
            cpu_ram_efficient_loading=False,
        )
        state = AcceleratorState()
        state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, plugin


def _by_task(sums: list[float], counts: list[float]) -> dict[str, float]:
    return {
        task: total / count for task, total, count in zip(TASKS, sums, counts, strict=True) if count
    }
