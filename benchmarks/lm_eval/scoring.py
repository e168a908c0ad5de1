"""How lm-evaluation-harness scores an answer: by its text alone; nothing is compiled here.

An exact answer is the wanted one, blanks at line ends and around it aside. For sizes of objects and
round trips, which need LLVM, `llm-compiler evaluate` measures the same models.
"""

from __future__ import annotations

import re
from typing import Any

_CODE = re.compile(r"<code>(.*?)(?:</code>|\Z)", re.DOTALL)
_LIST = re.compile(r"""-p(?:asses)?[= ]?\s*['"]?([\w<>;,()=-]+)""")


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _code(text: str) -> str:
    found = _CODE.search(text)
    return found.group(1) if found else ""


def _compare(found: str, wanted: str) -> dict[str, Any]:
    answered = bool(found.strip())
    return {
        "exact": float(answered and _lines(found) == _lines(wanted)),
        "answered": float(answered),
    }


def disassembly(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Score lifted IR."""
    return _compare(_code(results[0]), doc["answer"])


emulation = disassembly
"""Score the code behind a pass list."""


def flag_tuning(doc: dict[str, Any], results: list[str]) -> dict[str, Any]:
    """Score a pass list: one of those that make the smallest object is exact."""
    found = _LIST.search(results[0])
    named = found.group(1) if found else ""
    return {"exact": float(named in doc["best"]), "answered": float(bool(named))}
