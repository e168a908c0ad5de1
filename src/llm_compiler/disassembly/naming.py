"""How symbols' names are written in IR. Pure functions."""

from __future__ import annotations

import re

__all__ = ["quoted_name"]


def quoted_name(name: str) -> str:
    """Return a symbol's name as IR writes it after the ``@``."""
    if re.fullmatch(r"[A-Za-z$._-][\w$.-]*", name):
        return name
    return (
        '"'
        + "".join(c if c.isprintable() and c not in '"\\' else f"\\{ord(c):02X}" for c in name)
        + '"'
    )
