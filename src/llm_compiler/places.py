"""Where this package keeps what is the user's: caches and data, by the XDG rules."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def _folder(variable: str, default: str) -> Path:
    # The XDG specification: a relative path in the variable is invalid and ignored.
    named = Path(os.environ.get(variable, ""))
    base = named if named.is_absolute() else Path.home() / default
    return base / "llm-compiler"


def cache_folder() -> Path:
    """Return the folder for what can be made again; it may not exist yet."""
    return _folder("XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """Return the folder for the user's own measurements and verdicts; it may not exist yet."""
    return _folder("XDG_DATA_HOME", ".local/share")
