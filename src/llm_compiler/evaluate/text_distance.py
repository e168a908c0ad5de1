"""How near one text of code is to another: BLEU, as the paper measures round trips.

Needs sacrebleu (extra ``bleu``), which is imported on use.
"""

from __future__ import annotations

from typing import Any

from llm_compiler.extras import require

__all__ = ["bleu", "require_sacrebleu"]


def require_sacrebleu() -> Any:
    """Return the module.

    Raises:
        ToolchainNotFound: it is not installed.
    """
    return require("sacrebleu", extra="bleu")


def bleu(text: str, reference: str) -> float:
    """Return a text's BLEU against one reference, 0 to 1, by words between blanks.

    Raises:
        ToolchainNotFound: sacrebleu is not installed.
    """
    if not text.strip():
        return 0.0
    score = require_sacrebleu().sentence_bleu(text, [reference], tokenize="none")
    return round(float(score.score) / 100, 4)
