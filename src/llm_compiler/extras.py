"""Packages that an extra of the installation brings, imported where they are first needed."""

from __future__ import annotations

import importlib
from typing import Any

from llm_compiler.errors import ToolchainNotFound

__all__ = ["require"]


def require(name: str, *, extra: str) -> Any:
    """Return a module.

    Raises:
        ToolchainNotFound: it is not installed; the message says how it is.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ToolchainNotFound(
            f"{error.name or name} is not installed: pip install 'llm-compiler[{extra}]'"
        ) from error
