"""Training where the GPU is: for some minutes, from the parts that have arrived.

The rate warms up, stays, and falls to nothing over the last third of the minutes. State (weights
and moments) is written every `save_s` seconds by a thread, renamed into place, two kept: cut off at
any moment, the same command goes on from the last state. `status.json` and `log.jsonl` say how it
goes. Imports PyTorch inside functions only.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import ArtifactError, OutputError
from llm_compiler.kit.pieces import write_pieces
from llm_compiler.kit.pool import Pool
from llm_compiler.model.special import TASKS
from llm_compiler.output import write_atomically
from llm_compiler.train.checkpoint import read_tensors

__all__ = ["detach", "export_pieces", "read_status", "train_parts", "wait"]

_STATUS: Final = "status.json"
_METADATA_KEY: Final = "told"  # as earlier states have it
_LOG: Final = "log.jsonl"
_COOL_DOWN: Final = 0.35
_WARM_UP_STEPS: Final = 30
_AHEAD: Final = 6


def rate_at(peak: float, step: int, progress: float) -> float:
    """Return a step's rate.

    Args:
        progress: of the minutes, 0 to 1.
    """
    cooling = min(1.0, max(0.0, (1 - progress) / _COOL_DOWN))
    return peak * min(1.0, (step + 1) / _WARM_UP_STEPS) * cooling


def detach(log: Path) -> bool:
    """Go on in a session of its own, with a file for output; False in the process that leaves."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for number, target in ((null, 0), (out, 1), (out, 2)):
        os.dup2(number, target)
    return True


def train_parts(
    parts: Path,
    run: Path,
    *,
    minutes: float,
    max_steps: int = 0,
    save_s: float = 45.0,
    wait_s: float = 120.0,
    device: str = "auto",
    threads: int = 0,
) -> dict[str, Any]:
    """Train, and return what the last status says.

    Args:
        parts: the folder where parts arrive.
        run: where state, log and status are written; what is there already is gone on from.
        minutes: of wall time, from now on.
        max_steps: 0: as many as there is time for.
        save_s: between states.
        wait_s: for the first part.
        threads: of PyTorch on a CPU; 0: as many as it likes.

    Raises:
        ArtifactError: no part has come.
        OutputError: the run's folder cannot be written.
    """
    started = time.monotonic()
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {run}: {error.strerror}") from error
    _write_status(run, {"state": "starting"})
    import torch

    from llm_compiler.kit.engine import DeviceRow, Engine, full_speed
    from llm_compiler.train.hardware import cpu_multiplies_bf16, find_gpu
    from llm_compiler.train.packing import Prefetched

    if threads:
        torch.set_num_threads(threads)
    cuda = device != "cpu" and torch.cuda.is_available()
    position = torch.device("cuda" if cuda else "cpu")
    last = _last_state(run)
    step, tokens, seconds = (
        (int(last[1]["step"]), int(last[1]["tokens"]), float(last[1]["seconds"]))
        if last
        else (0, 0, 0.0)
    )
    pool = Pool(parts, seed=step, wait_s=wait_s)
    plan = pool.plan
    half = cuda or cpu_multiplies_bf16()
    weights = None
    if last is None:
        assert pool.first is not None
        weights = _first_weights(pool, run)
    engine = Engine(plan, weights, device=position, half=half, compiled=cuda)
    if last:
        _restore(engine, last[0])
    pool.first = None

    def device_rows() -> Iterator[Any]:
        for row in pool.rows():
            yield DeviceRow(row, position)

    rows: Prefetched[Any] = Prefetched(device_rows(), _AHEAD)
    saver = _Saver(run)
    log = open(run / _LOG, "a")  # noqa: SIM115 - closed below
    gpu = find_gpu(torch.cuda.get_device_name(position)) if cuda else None
    limit = 60 * minutes
    status: dict[str, Any] = {}
    try:
        with full_speed(position):
            reason = engine.try_out(next(rows))
            if reason:
                print(f"uncompiled, since the compiler refused: {reason}", flush=True)
            sums = torch.zeros(2, len(TASKS), device=position)
            saved = logged = time.monotonic()
            flops = window = 0
            while True:
                now = time.monotonic()
                progress = (now - started) / limit
                if max_steps:
                    progress = max(progress, step / max_steps)
                if progress >= 1:
                    break
                held = [next(rows) for _ in range(plan["rows_per_step"])]
                rate = rate_at(plan["learning_rate"], step, progress)
                of_sums, of_counts, norm = engine.step(held, rate)
                sums += torch.stack([of_sums, of_counts])
                step += 1
                for row in held:
                    window += row.host.num_tokens
                    flops += engine.model.training_flops(
                        tokens=row.host.num_tokens,
                        answer_tokens=len(row.host.answer_positions) + len(row.host.edge_places),
                        squared_lengths=row.host.squared_lengths,
                    )
                now = time.monotonic()
                if now - logged > 4 or step == 1 or step == max_steps:
                    both = sums.tolist()  # waits for the device, every few seconds
                    now = time.monotonic()
                    tokens += window
                    elapsed = now - logged
                    status = {
                        "state": "training",
                        "step": step,
                        "tokens": tokens,
                        "seconds": seconds + now - started,
                        "minutes_left": max(0.0, (limit - (now - started)) / 60),
                        "loss_by_task": {
                            task: round(total / count, 4)
                            for task, total, count in zip(TASKS, *both, strict=True)
                            if count
                        },
                        "rate": rate,
                        "gradient_norm": float(norm),
                        "tokens_per_s": window / elapsed,
                        "share_of_peak": flops / elapsed / gpu.peak_flops if gpu else None,
                        "parts": sorted(pool.parts),
                        "tokens_there": pool.num_tokens,
                        "read": dict(pool.read),
                        "compiled": engine.compiled,
                        "device": torch.cuda.get_device_name(position) if cuda else "cpu",
                        "torch": torch.__version__,
                    }
                    log.write(json.dumps(status) + "\n")
                    log.flush()
                    _write_status(run, status)
                    sums.zero_()
                    flops, window, logged = 0, 0, now
                if now - saved > save_s and not saver.busy:
                    saver.save(step, engine, {**status, "step": step, "tokens": tokens + window})
                    saved = now
        status = {
            **status,
            "step": step,
            "tokens": tokens + window,
            "seconds": seconds + time.monotonic() - started,
        }
        saver.save(step, engine, status)
        saver.wait()
        _write_status(run, status := {**status, "state": "finished", "minutes_left": 0.0})
    finally:
        rows.close()
        log.close()
    return status


def _write_status(run: Path, status: dict[str, Any]) -> None:
    write_atomically(run / _STATUS, (json.dumps(status) + "\n").encode())


def read_status(run: Path) -> dict[str, Any]:
    """Return what a run last said of itself; empty before it has."""
    try:
        status: dict[str, Any] = json.loads((run / _STATUS).read_bytes())
    except (OSError, ValueError):
        return {}
    return status


def _first_weights(pool: Pool, run: Path) -> dict[str, Any] | None:
    """Return the weights that the first part holds, None if it has none; unpack its tokenizer."""
    assert pool.first is not None
    pool.first.unpack("tokenizer", run / "tokenizer")
    if not pool.first.unpack("init", run / "init"):
        return None
    return {name: tensor.float() for name, tensor in read_tensors(run / "init").items()}


def _states(run: Path) -> list[Path]:
    return sorted(run.glob("state-*.safetensors"))


def _last_state(run: Path) -> tuple[Path, dict[str, Any]] | None:
    import safetensors

    for path in reversed(_states(run)):
        try:
            with safetensors.safe_open(path, framework="pt") as found:
                status = json.loads(found.metadata()[_METADATA_KEY])
        except (OSError, ValueError, KeyError, TypeError, safetensors.SafetensorError):
            continue
        return path, status
    return None


def _restore(engine: Any, path: Path) -> None:
    import safetensors.torch

    tensors = safetensors.torch.load_file(path)
    weights = {n.removeprefix("w."): tensor for n, tensor in tensors.items() if n.startswith("w.")}
    moments = {n.removeprefix("m."): tensor for n, tensor in tensors.items() if n.startswith("m.")}
    engine.restore(weights, moments)


class _Saver:
    """Writes states in a thread: the step goes on meanwhile."""

    def __init__(self, run: Path) -> None:
        self._run = run
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def save(self, step: int, engine: Any, status: dict[str, Any]) -> None:
        self.wait()
        tensors = {f"w.{name}": weight for name, weight in engine.weights().items()}
        tensors |= {f"m.{name}": moment for name, moment in engine.moments().items()}
        status = {
            **status,
            "model": engine.plan["model"],
            "history": engine.plan.get("history", []),
        }
        arguments = (step, tensors, status)
        self._thread = threading.Thread(target=self._write, args=arguments, name="state")
        self._thread.start()

    def _write(self, step: int, tensors: dict[str, Any], status: dict[str, Any]) -> None:
        import safetensors.torch

        path = self._run / f"state-{step:08d}.safetensors"
        partial = self._run / f".partial-{step:08d}"
        metadata = {_METADATA_KEY: json.dumps(status)}
        safetensors.torch.save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            partial,
            metadata=metadata,
        )
        os.replace(partial, path)
        for old in _states(self._run)[:-2]:
            old.unlink(missing_ok=True)

    def wait(self) -> None:
        if self._thread is not None:
            self._thread.join()


def export_pieces(run: Path, out: Path, *, piece_bytes: int) -> list[Path]:
    """Write a run's newest weights, as bf16, in pieces, with its log.

    Raises:
        ArtifactError: it has no state yet.
    """
    import safetensors.torch
    import torch

    last = _last_state(run)
    if last is None:
        raise ArtifactError(f"{run} has no state yet")
    path, status = last
    tensors = {
        name.removeprefix("w."): item.to(torch.bfloat16)
        for name, item in safetensors.torch.load_file(path).items()
        if name.startswith("w.")
    }
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    paths = write_pieces(out, int(status["step"]), data, status, piece_bytes=piece_bytes)
    with contextlib.suppress(OSError):
        write_atomically(out / _LOG, (run / _LOG).read_bytes()[-4_000_000:])
    return paths


def wait(
    run: Path, out: Path, *, minutes: float, every_s: float = 15.0, piece_bytes: int
) -> dict[str, Any]:
    """Print how a run goes until it is over or the minutes are, and write its weights in pieces.

    The weights are exported again whenever there is a newer state, so that a call that is cut off
    still brings home the last state but one.
    """
    end = time.monotonic() + 60 * minutes
    exported = ""
    while True:
        status = read_status(run)
        print(_gist(status), flush=True)
        states = _states(run)
        if states and states[-1].name != exported:
            with contextlib.suppress(FileNotFoundError):  # pruned meanwhile: the next one is there
                export_pieces(run, out, piece_bytes=piece_bytes)
                exported = states[-1].name
        if status.get("state") == "finished" or time.monotonic() >= end:
            return status
        time.sleep(min(every_s, max(0.1, end - time.monotonic())))


def _gist(status: dict[str, Any]) -> str:
    """Return a status in a line."""
    losses = [f"{name} {loss:.3f}" for name, loss in status.get("loss_by_task", {}).items()]
    share = status.get("share_of_peak")
    words = [
        f"{status.get('state', 'nothing yet')} step {status.get('step', 0)}",
        f"{status.get('tokens', 0) / 1e6:.1f} M tokens",
        f"{status.get('tokens_per_s', 0):,.0f}/s",
        *([] if share is None else [f"{100 * share:.0f} % of peak"]),
        f"parts {status.get('parts', [])}",
        f"{status.get('minutes_left', math.nan):.1f} min left",
    ]
    return f"{', '.join(words)}; {' '.join(losses)}"
