"""Where two comparisons that are nearly the same come out differently."""

from __future__ import annotations

from llm_compiler.verify.solving.terms import Terms, Value

__all__ = ["edges_of"]


def edges_of(terms: Terms, predicate: str, ours: Value, theirs: Value, bits: int) -> list[Value]:
    """Return what is true where a comparison one off, or of the other signedness, is another.

    Args:
        predicate: of the comparison, which asks for an order; of these two values, of `bits` bits.
    """
    step = "sub" if predicate[1:] in ("lt", "ge") else "add"
    beside = terms.operate(step, theirs, (1, None), bits)
    mixed = terms.operate("xor", ours, theirs, bits)
    return [
        terms.compare("eq", ours, theirs, bits),
        terms.compare("eq", ours, beside, bits),
        terms.compare("slt", mixed, (0, None), bits),
    ]
