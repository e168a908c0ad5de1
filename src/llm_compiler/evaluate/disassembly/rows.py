"""The rows of disassembly, from which every figure is made."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BEYOND_CONTEXT", "NO_ANSWER", "UNREADABLE", "LiftRow"]

UNREADABLE, BEYOND_CONTEXT, NO_ANSWER = "unreadable", "beyond context", "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftRow:
    """One answer of one model for one function; of a function without answers one row."""

    suite: str
    module: str
    module_hash: str
    program: str
    target_triple: str
    level: str
    function: str
    num_instructions: int
    """Of the machine code; 0 where the function cannot be read."""
    model: str
    candidate: int
    """From 1, in the model's order, the greedy one first; 0: there is no answer."""
    verdict: str
    reason: str
    cause: str
    """Of rows without answer: ``unreadable`` (no model was asked), ``beyond context`` (the prompt
    leaves no room for an answer), ``no answer`` (none was finished in the context, or the model's
    form has no words for the function); else empty."""
    attributes: str
    """Of exact answers: the function attributes that took the place of the answer's own."""
    lowers: int
    """1: the answer is well-formed IR of this function, and lowers."""
    bleu: float
    """Of its assembly against the original's, 0 to 1; 0 where it does not lower."""
    num_inputs: int
    num_blocks: int
    num_covered: int
    counterexample: str
    model_seconds: float
    """Of all answers of the model, in the first row."""
    check_seconds: float
    assembly: str
    """The question: the function in normal form, in the first row."""
    answer: str
    """The model's own words."""
