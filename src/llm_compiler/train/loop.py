"""The training loop: one stage, from weights or from where a killed run was.

A step is `rows_per_step` rows, shared out to the processes; its loss is the mean over all tokens of
all answers in it, so the number of processes changes nothing but the order of sums. AdamW; warm-up
by steps; then a cosine over the run's steps or its minutes, whichever is further on: a run that is
bounded in time ends with a low learning rate and a checkpoint.

The loop decides when what happens: `learner` takes the steps, `validation` measures, `run_state`
keeps checkpoints, `clock` says what time is left, `processes` lets all of them agree. Imports
PyTorch.
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ConfigError, OutputError
from llm_compiler.model.special import TASKS
from llm_compiler.signals import record
from llm_compiler.train.checkpoint import checkpoints
from llm_compiler.train.clock import Clock, learning_rate
from llm_compiler.train.configs import TrainConfig
from llm_compiler.train.learner import Learner, Window, loss_by_task
from llm_compiler.train.packing import Prefetched, Step, read_steps
from llm_compiler.train.processes import Processes
from llm_compiler.train.progress import RunLog, plot_curves
from llm_compiler.train.run_data import open_run_data
from llm_compiler.train.run_state import RunCheckpoints, RunState
from llm_compiler.train.validation import keep_time_for_validation, validate

__all__ = ["Outcome", "train"]

_MAX_SKIPPED: Final = 20
_PREFETCHED_STEPS: Final = 4


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


class _Run:
    def __init__(self, config: TrainConfig, *, max_minutes: float | None, resume: bool) -> None:
        started = time.monotonic()
        self.config = config
        self.processes = Processes(config)
        self.data = open_run_data(config)
        self.checkpoints = RunCheckpoints(config, self.processes, self.data)
        last = self.checkpoints.last(resume)
        # Adapters are little without the weights that they stand on.
        init = config.init if config.lora or not last else None
        self.learner = Learner(config, self.processes, self.data.prompts, init)
        self.state = self.checkpoints.load(last, self.learner) if last else RunState()
        self.clock = Clock(config.max_steps, max_minutes, self.state.time_progress, started)
        self.peak_flops = self.processes.measure_peak()
        self.steps: Prefetched[Step] | None = None
        self.log: RunLog | None = None
        self.validated_step, self.saved_step, self.saved_seconds = -1, self.state.step or -1, 0.0
        if self.processes.is_main:
            try:
                config.out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(f"cannot write {config.out}: {error.strerror}") from error
            self.log = RunLog(config.out, self.state.step)

    def train(self, on_progress: Callable[[int, str], None]) -> Outcome:
        config, state = self.config, self.state
        self.steps = Prefetched(
            read_steps(
                self.data.sources,
                config.shares(),
                row_tokens=config.row_tokens,
                rows_per_step=config.rows_per_step,
                state=state.data,
                shard=(self.processes.rank, self.processes.world),
            ),
            _PREFETCHED_STEPS,
        )
        self.saved_seconds = self.clock.seconds
        status = self._learn(self.steps, on_progress)
        if status != "interrupted" and self.validated_step != state.step:
            self._validate()
        if self.saved_step != state.step:
            self._save()
        if self.processes.is_main:
            plot_curves(config.out)
        return Outcome(
            status=status,
            step=state.step,
            tokens=state.tokens,
            loss=state.loss,
            validation=state.validation,
            savings=state.savings,
            checkpoint=checkpoints(config.out)[-1],
            seconds=self.clock.seconds,
        )

    def _learn(self, steps: Iterator[Step], on_progress: Callable[[int, str], None]) -> str:
        """Take the steps that are left, and return how they ended: `Outcome.status`."""
        config, state = self.config, self.state
        window = self.learner.new_window()
        status = "finished"
        step_s = rate = norm = 0.0
        skipped = 0
        with _StopSignal() as stop:
            while state.step < config.max_steps:
                # The furthest process's progress, so that all have one learning rate.
                progress = self.processes.max(self.clock.progress(state.step))
                reason = self._must_stop(stop, step_s) or ("time" if progress >= 1 else "")
                if reason:
                    status = reason
                    break
                started = time.perf_counter()
                step = next(steps)
                rate = learning_rate(config, state.step, progress)
                norm = self.learner.step(step, rate, window)
                skipped = 0 if math.isfinite(norm) else skipped + 1
                if skipped >= _MAX_SKIPPED:
                    raise ConfigError(
                        f"{skipped} steps in a row gave no finite gradient: lower learning_rate"
                    )
                state.step += 1
                state.data = step.state
                step_s = time.perf_counter() - started
                window.seconds += step_s
                tokens = max(1, sum(len(row.ids) for row in step.rows))
                keep_time_for_validation(self.clock, self.data, self.processes, step_s / tokens)
                if state.step % config.log_every == 0 or state.step == config.max_steps:
                    on_progress(state.step, self._log(window, rate, norm))
                    window = self.learner.new_window()
                self._do_what_is_due()
        if status == "time":
            self.clock.end()
        if window.tokens:
            on_progress(state.step, self._log(window, rate, norm))
        return status

    def _must_stop(self, stop: _StopSignal, step_s: float) -> str:
        """Return why the run must stop now: empty, ``time`` or ``interrupted``."""
        if self.processes.any(stop.number != 0):
            return "interrupted"
        return "time" if self.processes.any(self.clock.is_over(step_s)) else ""

    def _do_what_is_due(self) -> None:
        """Validate and save, where this step ends with it."""
        config, step = self.config, self.state.step
        if config.validate_every and step % config.validate_every == 0:
            self._validate()
        every = config.checkpoint_every_steps
        due_by_time = self.processes.any(
            self.clock.seconds - self.saved_seconds >= 60 * config.checkpoint_every_minutes
        )
        if (every and step % every == 0) or due_by_time:
            self._save()

    def _log(self, window: Window, rate: float, norm: float) -> str:
        """Write a line, and return the gist of it."""
        state, peak = self.state, self.peak_flops
        sums, counts = self.learner.totals(window)
        tokens = int(self.processes.sum(window.tokens))
        flops = self.processes.sum(window.flops)
        state.tokens += tokens
        answers = sum(counts)
        for task, count in zip(TASKS, counts, strict=True):
            if count:
                state.tasks[task] = state.tasks.get(task, 0) + round(count)
        state.loss = sum(sums) / answers if answers else None
        self._write_line(
            {
                "answer_tokens": round(answers),
                "loss": state.loss,
                "loss_by_task": loss_by_task(sums, counts),
                "learning_rate": rate,
                "gradient_norm": norm,
                "tokens_per_s": tokens / window.seconds,
                "share_of_peak": flops / window.seconds / peak if peak else None,
                "memory_bytes": self.processes.memory_bytes(),
                "seconds": state.seconds + self.clock.seconds,
            }
        )
        loss = "-" if state.loss is None else f"{state.loss:.3f}"
        return f"loss {loss}, {tokens / window.seconds:.0f} tokens/s"

    def _validate(self) -> None:
        self.validated_step = self.state.step
        if not self.data.validation_rows:
            return
        started = time.perf_counter()
        found = validate(self.data, self.learner, self.processes)
        self.state.validation = found.losses
        line: dict[str, Any] = {"validation": found.losses}
        if found.savings is not None:
            line["savings"] = self.state.savings = found.savings
        self._write_line(line)
        self.clock.keep_for_the_end(1.5 * (time.perf_counter() - started))

    def _save(self) -> None:
        started = time.perf_counter()
        self.checkpoints.save(self.state, self.learner, self.clock)
        self.clock.keep_for_the_end(1.5 * (time.perf_counter() - started))
        self.saved_step, self.saved_seconds = self.state.step, self.clock.seconds

    def _write_line(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write({"step": self.state.step, "tokens": self.state.tokens, **line})

    def close(self) -> None:
        """End threads, workers and files."""
        if self.steps is not None:
            self.steps.close()
        if self.log is not None:
            self.log.close()


class _StopSignal:
    """Lets the first signal end the loop after its step, and a second one end the process."""

    def __init__(self) -> None:
        self.number = 0
        """Of the signal that came; 0: none."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _StopSignal:
        with contextlib.suppress(ValueError):  # not the main thread
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: Any) -> None:
        if self.number:
            raise KeyboardInterrupt
        self.number = number
        record(number)
        print("llm-compiler: stopping after this step", file=sys.stderr)
