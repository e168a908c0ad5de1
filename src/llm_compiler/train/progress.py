"""What a run tells: JSON lines, TensorBoard where it is installed, trackio where it is asked for,
and a plot of its curves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from llm_compiler.errors import OutputError
from llm_compiler.extras import require
from llm_compiler.output import write_atomically

__all__ = ["LOG_FILE", "RunLog", "plot_curves", "read_log"]

LOG_FILE: Final = "log.jsonl"
PLOT_FILE: Final = "curves.png"


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return a run's lines; one that was cut off by a kill is left out."""
    lines = []
    try:
        text = (run / LOG_FILE).read_text()
    except FileNotFoundError:
        return []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


class RunLog:
    """Appends to a run's log; a resumed run's begins after its checkpoint.

    Args:
        first_step: lines of later steps are of a run that was killed, and go.

    Raises:
        OutputError: the log cannot be written.
    """

    def __init__(self, run: Path, first_step: int) -> None:
        kept = [line for line in read_log(run) if line["step"] <= first_step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(run / LOG_FILE, text.encode())
        try:
            self._file = open(run / LOG_FILE, "a")  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise OutputError(f"cannot write {run / LOG_FILE}: {error.strerror}") from error
        self._board: Any = None
        self._tracker = _start_tracking(run)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

    def write(self, line: dict[str, Any]) -> None:
        """Write a line; its numbers go to TensorBoard, nested ones under their path."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._tracker is not None:
            self._tracker.log(dict(_scalars(line, "")), step=line["step"])
        if self._board is not None:
            for name, value in _scalars(line, ""):
                self._board.add_scalar(name, value, line["step"])

    def close(self) -> None:
        """Close the files."""
        os.fsync(self._file.fileno())
        self._file.close()
        if self._tracker is not None:
            self._tracker.finish()
        if self._board is not None:
            self._board.close()


def _start_tracking(run: Path) -> Any:
    """Return trackio's run if `LLM_COMPILER_TRACKING` names a project, else None.

    It keeps to this machine (`trackio show`), and is asked for by name only: the package may be
    installed for other reasons.
    """
    project = os.environ.get("LLM_COMPILER_TRACKING", "")
    if not project:
        return None
    trackio = require("trackio", extra="tracking")
    return trackio.init(project=project, name=run.name, resume="allow", embed=False)


def _scalars(values: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield prefix + name, value


def plot_curves(run: Path) -> Path | None:
    """Draw a run's losses and learning rate; None without matplotlib or without lines."""
    lines = read_log(run)
    try:
        import matplotlib
    except ImportError:
        return None
    trained = [line for line in lines if "loss" in line]
    if not trained:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (losses, rates) = pyplot.subplots(
        2, 1, figsize=(8, 7), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    tokens = [line["tokens"] / 1e6 for line in trained]
    losses.plot(tokens, [line["loss"] for line in trained], label="all", color="black", lw=1)
    for task in sorted({task for line in trained for task in line["loss_by_task"]}):
        points = [
            (line["tokens"] / 1e6, line["loss_by_task"][task])
            for line in trained
            if task in line["loss_by_task"]
        ]
        losses.plot(*zip(*points, strict=True), label=task, lw=0.7, alpha=0.7)
    validated = [line for line in lines if "validation" in line]
    for task in sorted({task for line in validated for task in line["validation"]}):
        points = [
            (line["tokens"] / 1e6, line["validation"][task]["loss"])
            for line in validated
            if task in line["validation"]
        ]
        losses.plot(*zip(*points, strict=True), "o--", label=f"{task}, unseen", ms=3, lw=0.7)
    losses.set_ylabel("loss (nats per token of the answer)")
    losses.legend(fontsize="small")
    rates.plot(tokens, [line["learning_rate"] for line in trained], lw=1)
    rates.set_ylabel("learning rate")
    rates.set_xlabel("million tokens")
    path = run / PLOT_FILE
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path
