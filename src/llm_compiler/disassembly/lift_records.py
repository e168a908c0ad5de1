"""One function on its way through a `Lifter`: the question, verdicts on its answers, the lift."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from llm_compiler.disassembly.disassembled import LiftedFunction
from llm_compiler.disassembly.read_function import FunctionText
from llm_compiler.disassembly.reassemble import Reassembled
from llm_compiler.model.engines.requests import CodeAnswer
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.verify.round_trip import CodeObject

__all__ = ["AnswerVerdict", "Lift", "Question", "bleu_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A function in normal form, which is proved to assemble to itself."""

    text: FunctionText
    proof: Reassembled
    folder: Path = field(repr=False)
    """Of its own, for what answers lower to."""
    has_outlined_code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerVerdict:
    """One answer, and what it alone is worth."""

    answer: CodeAnswer
    verdict: LiftVerdict
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lift:
    """A function's outcome, and what merging needs of it."""

    outcome: LiftedFunction
    verdicts: tuple[AnswerVerdict, ...] = ()
    """Every answer that was looked at, those of the rules first."""
    text: FunctionText | None = field(default=None, repr=False)
    original: CodeObject | None = field(default=None, repr=False)
    lowered: CodeObject | None = field(default=None, repr=False)
    bare: str = field(default="", repr=False)
    """The IR without the claims that it keeps for the sake of its code."""
    nothrow: tuple[str, ...] = ()
    """Functions of which its exception table needs that they do not throw."""
    is_changed: bool = False
    """Its IR lowers to other code than what its verdict is about."""


def bleu_of(lowered: str, original: str) -> float | None:
    """Return how like two texts of assembly are, from 0 to 1; None without the extra for it."""
    try:
        sacrebleu: Any = import_module("sacrebleu")
    except ImportError:
        return None
    if not lowered:
        return 0.0
    score = sacrebleu.sentence_bleu(lowered, [original], tokenize="none")
    return round(float(score.score) / 100, 4)
