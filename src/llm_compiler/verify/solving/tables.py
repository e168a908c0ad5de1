"""Tables of constants that are read where the input says: what each place would give, as a term."""

from __future__ import annotations

from dataclasses import dataclass

from bitwuzla import Kind

from llm_compiler.verify.solving.ir_types import Type, size_of
from llm_compiler.verify.solving.memory import Memory
from llm_compiler.verify.solving.terms import Term, Terms, Value
from llm_compiler.verify.solving.typed_values import bits_of

__all__ = ["LookedUp", "looked_up"]

_MOST_ENTRIES = 2048


@dataclass(frozen=True, slots=True)
class LookedUp:
    """What a table has at an address, and what has to hold for it to be the table's."""

    value: Value
    conditions: tuple[Term, ...]


def looked_up(memory: Memory, terms: Terms, kind: Type, address: Value) -> LookedUp | None:
    """Return what is read of a table; None: it is no table, too large, or the address is known."""
    known, term = address
    if term is None or kind.kind not in ("integer", "pointer"):
        return None
    size, bits = size_of(kind), bits_of(kind)
    region = memory.region(known, size)
    if region is None or not region.is_constant:
        return None
    first = region.start + (known - region.start) % size
    places = range(first, region.end - size + 1, size)
    if len(places) > _MOST_ENTRIES:
        return None
    mask = (1 << bits) - 1
    entries = [
        int.from_bytes(
            region.contents[place - region.start : place - region.start + size], "little"
        )
        & mask
        for place in places
    ]
    offset = terms.operate("sub", address, (first, None), 64)
    number = (known - first) // size
    conditions = [terms.compare("ule", offset, (places[-1] - first, None), 64)[1]]
    if size > 1:
        rest = terms.operate("and", offset, (size - 1, None), 64)
        conditions.append(terms.compare("eq", rest, (0, None), 64)[1])
    index = terms.operate("lshr", offset, (size.bit_length() - 1, None), 64)[1]
    found = _tree(terms, index, entries, (len(entries) - 1).bit_length(), bits)
    return LookedUp((entries[number], found), tuple(conditions))


def _tree(terms: Terms, index: Term, entries: list[int], depth: int, bits: int) -> Term:
    """Return one of some numbers, chosen by the lowest bits of an index, as a tree of choices."""
    level = [terms.constant(entry, bits) for entry in entries]
    zero = terms.constant(0, bits)
    for place in range(depth):
        bit = terms.make(Kind.EQUAL, [terms.part(index, place, place), terms.constant(1, 1)])
        if len(level) % 2:
            level.append(zero)
        level = [
            low if low == high else terms.make(Kind.ITE, [bit, high, low])
            for low, high in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]
