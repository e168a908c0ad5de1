"""Where this package keeps what is the user's: caches and data, by the XDG rules."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["cache_folder", "data_folder", "llm_cc_folder"]


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


def llm_cc_folder(environment: Mapping[str, str]) -> Path | None:
    """Return the folder of llm-cc's client, server, cache and journal; None: there is no home.

    Its client in C says the same.
    """
    if named := environment.get("LLM_CC_DIR", ""):
        return Path(named)
    cache = environment.get("XDG_CACHE_HOME", "")
    if not cache.startswith("/"):
        home = environment.get("HOME", "")
        if not home.startswith("/"):
            return None
        cache = f"{home}/.cache"
    return Path(cache) / "llm-compiler" / "cc"
