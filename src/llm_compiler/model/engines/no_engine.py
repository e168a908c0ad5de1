"""An engine without a model: lifting is left to the rules."""

from __future__ import annotations

from llm_compiler.model.engines.engine import BaseEngine

__all__ = ["NoEngine", "load_by_options"]


class NoEngine(BaseEngine):
    """An `Engine` that is capable of nothing."""

    name = "none"
    model = "rules"


def load_by_options(model: str | None, options: object) -> NoEngine:
    """Return it; for the registry."""
    return NoEngine()
