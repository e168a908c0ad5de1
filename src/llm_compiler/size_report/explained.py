"""What ``optimize --json --explain`` printed: which kind of element saved how many bytes.

Elements work together, so that the parts need not add up to the whole: what no element saves alone
is *together*, and where several save the same bytes the parts are scaled to what was saved.
Pure functions, but for reading the file.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.errors import InputError

__all__ = ["PARTS", "Explained", "parts_of", "read_explained"]

PARTS = {
    "functions": "functions with recipes of their own",
    "attribute": "function attributes",
    "option": "options of code generation",
    "pass": "passes",
    "together": "together only",
}
"""Parts of what is saved, and their names in a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """What one input saved over clang -Oz, in bytes, by part."""

    input: str
    saved_bytes: int
    parts: dict[str, int]
    """Of `PARTS`, those that saved anything; they add up to `saved_bytes`."""


def read_explained(path: Path) -> list[Explained]:
    """Return a row for each input that a recipe won, the one that saved most first.

    Raises:
        InputError: the file cannot be read, or holds no such rows.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError(f"{path} cannot be read: {reason}") from error
    rows = []
    for line in lines:
        try:
            found = json.loads(line)
            if "explain" not in found:
                continue
            saved = int(found["baseline_bytes"]) - int(found["optimized_bytes"])
            elements = [
                (str(element["kind"]), int(element["saved_bytes"]))
                for element in found["explain"]["elements"]
            ]
            rows.append(
                Explained(
                    input=str(found["input"]), saved_bytes=saved, parts=parts_of(saved, elements)
                )
            )
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path} is not what 'optimize --json --explain' prints: {line[:60]!r}"
            ) from error
    if not rows:
        raise InputError(f"{path} explains nothing: run 'optimize --json --explain'")
    return sorted(rows, key=lambda row: (-row.saved_bytes, row.input))


def parts_of(saved: int, elements: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Divide what was saved among the kinds of elements.

    Args:
        saved: bytes, in all.
        elements: kind, and the bytes that the object takes more without the element.
    """
    alone: Counter[str] = Counter()
    for kind, count in elements:
        if count > 0:
            alone[kind if kind in PARTS else "pass"] += count
    if saved <= 0:
        return {}
    total = alone.total()
    if total <= saved:
        alone["together"] = saved - total
        return {kind: alone[kind] for kind in PARTS if alone[kind]}
    shares = {kind: alone[kind] * saved // total for kind in PARTS if alone[kind]}
    largest = max(shares, key=lambda kind: shares[kind])
    shares[largest] += saved - sum(shares.values())
    return {kind: count for kind, count in shares.items() if count}
