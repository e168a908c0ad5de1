"""What weights were trained for, by the records beside them (`training.json`).

Says nothing of how well they do it. Weights without records (Meta's, a server's) are not known:
nothing is said of them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

__all__ = ["TRAINING_FILE", "trained_tasks", "untrained_warning"]

TRAINING_FILE: Final = "training.json"


def trained_tasks(model: str | Path) -> frozenset[str] | None:
    """Return the stages, and the tasks, that any run before these weights learnt from.

    Args:
        model: a checkpoint's folder; anything else is not known.

    Returns:
        None where there are no records.
    """
    try:
        training = json.loads((Path(model) / TRAINING_FILE).read_bytes())
        runs = [*training.get("history", ()), training]
        found: set[str] = set()
        for run in runs:
            found |= _of_run(run)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
    return frozenset(found) if found else None


def _of_run(run: dict[str, Any]) -> set[str]:
    identity = run.get("identity", {})
    shares = identity.get("shares", {identity["stage"]: 1.0} if "stage" in identity else {})
    return {*(stage for stage, share in shares.items() if share > 0), *run.get("tasks", {})}


def untrained_warning(model: str, stage: str) -> str:
    """Say that weights never saw a stage; empty if they did, or if it is not known."""
    known = trained_tasks(model)
    if known is None or stage in known:
        return ""
    names = ", ".join(sorted(known))
    return f"{model} was not trained for {stage} (its records name {names}): expect no good answer"
