"""The engine that a command asks: by name and model, as they were typed."""

from __future__ import annotations

from llm_compiler.console import warn
from llm_compiler.errors import CheckpointMismatch
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import has_shipped_model, load_engine
from llm_compiler.model.engines.registry import engine_kind
from llm_compiler.model.trained import untrained_warning

__all__ = ["open_engine"]

_STAGES = {
    "disassemble": "disassembly",
    "emulate": "emulation",
    "evaluate perplexity": "",
    "evaluate size-prediction": "emulation",
}
"""What answers a command, where it is no stage by name; every model has a perplexity."""


def open_engine(name: str, model: str | None, command: str) -> Engine:
    """Load an engine for a command; the caller closes it. Warns if its model never saw the task.

    Raises:
        CheckpointMismatch: no weights came with this installation, and none are named.
        ConfigError: the engine needs ``--model``.
    """
    kind = engine_kind(name)
    kind.check_model(model)
    if model is None and kind.uses_shipped_weights and not has_shipped_model():
        raise CheckpointMismatch(
            f"'{command}' needs a model, and this installation came without weights: name a "
            "checkpoint with --model FOLDER"
        )
    engine = load_engine(name, model)
    stage = _STAGES.get(command, command.removeprefix("evaluate "))
    if stage and (message := untrained_warning(engine.model, stage)):
        warn(message)
    return engine
