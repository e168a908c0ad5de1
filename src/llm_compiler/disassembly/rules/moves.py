"""Which variants to try: likely changes one by one, then changes near the first difference."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Sequence
from typing import Any, Final

from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.variant import Variant

__all__ = ["changes_for", "first_variants", "keeps_loads_apart", "kind_of"]

_NUM_PIPELINES: Final = 7
_BRANCH: Final = re.compile(r"^[-+](?:j\w+|cmp|test|b\.|cb|tb|\.B)")
_WIDTH: Final = re.compile(r"^[-+](?:mov[lqzs]|leal|leaq|movs|cltq|sxt|uxt)")
_SUM: Final = re.compile(r"^[-+](?:lea|add|sub|inc|dec|shl|imul|neg)")
_STACK: Final = re.compile(r"%rsp|\bsp\b")
_CHOICE: Final = re.compile(r"^[-+](?:cmov|set|csel|cset)")


_APART: Final = re.compile(r"^-(?:mov[lqwbzs]\w* [^,]*\(%\w+\), %\w+|ldr\w* [wx]\d+, \[)")
_TOGETHER: Final = re.compile(r"^\+(?:(?:cmp|test|add|sub|and|or|xor)[lqwb] .*\(%|ldp )")


def keeps_loads_apart(lead: Sequence[str]) -> bool:
    """Return whether the code loads what the draft's reads in another instruction."""
    is_apart = any(_APART.match(line) for line in lead)
    return is_apart and any(_TOGETHER.match(line) for line in lead)


def _replaced(variant: Variant, **changes: Any) -> Variant:
    return dataclasses.replace(variant, **changes)


def first_variants(function: Function, lead: Sequence[str]) -> list[Variant]:
    """Return single changes of the default, those that the first difference asks for in front.

    Args:
        lead: `Likeness.changed` of the nearest draft so far.
    """
    results = function.result_types()
    default = Variant()
    blocks = [_replaced(default, placement=item) for item in (0, 2, -1, -2, -3, -4)]
    branches = [_replaced(default, branches=item) for item in ("as is", "negated")]
    branches.append(_replaced(default, keeps_switch=True))
    widths = [_replaced(default, result=result) for result in results[1:]]
    widths += [
        _replaced(default, wide_constants=1),
        _replaced(default, natural_bits=8),
        _replaced(default, is_wide=True),
        _replaced(default, has_pointers=False),
        _replaced(default, guessed_pointers=1),
    ]
    sums = [
        _replaced(default, overflow="nsw"),
        _replaced(default, sums_first=True),
        _replaced(default, inbounds=True, overflow="nuw nsw"),
        _replaced(default, overflow="nsw", is_wide=True),
    ]
    calls = [_replaced(default, arguments=item) for item in ("near", "all")]
    calls += [_replaced(default, cold=item) for item in (0, 2)]
    frames = [_replaced(default, alignment=8)]
    frames += [_replaced(default, frame=item) for item in ("each", "whole")]
    frames.append(_replaced(default, frame="each", alignment=8))
    orders = [_replaced(default, order=item) for item in (1, 2)]
    pairs = [
        _replaced(default, result=result, **more)
        for result in results[1:]
        for more in ({"overflow": "nsw"}, {"is_wide": True}, {"arguments": "near"})
    ]
    groups = {
        "branch": blocks + branches,
        "width": widths,
        "sum": sums,
        "stack": frames + calls,
        "choice": branches,
    }
    found = [_replaced(default, guessed_pointers=1), *groups.get(kind_of(lead), [])]
    for group in (blocks, widths, orders, branches, sums, frames, calls, pairs):
        found += group
    return list(dict.fromkeys(found))


def kind_of(lead: Sequence[str]) -> str:
    """Return what the first difference is about: ``branch``, ``width`` ..., or nothing known."""
    for line in lead:
        if _STACK.search(line):
            return "stack"
        for name, pattern in (
            ("choice", _CHOICE),
            ("branch", _BRANCH),
            ("sum", _SUM),
            ("width", _WIDTH),
        ):
            if pattern.match(line):
                return name
    return ""


def changes_for(
    function: Function, variant: Variant, lead: Sequence[str], chance: random.Random
) -> list[Variant]:
    """Return changes of one choice of a variant; those near the first difference count double."""
    results = function.result_types()
    by_kind: dict[str, list[dict[str, Any]]] = {
        "branch": [
            {"placement": chance.choice((0, 1, 2, -1, -2, -3, -4))},
            {"placement": chance.randrange(3, 1000)},
            {"branches": chance.choice(("strict", "as is", "negated"))},
            {"keeps_switch": not variant.keeps_switch},
        ],
        "width": [
            {"result": chance.choice(results)},
            {"natural_bits": 40 - variant.natural_bits},
            {"is_wide": not variant.is_wide},
            {"wide_constants": chance.choice((0, 1, chance.randrange(2, 100)))},
            {"has_pointers": not variant.has_pointers},
            {"guessed_pointers": chance.choice((0, 1, chance.randrange(2, 100)))},
        ],
        "sum": [
            {"overflow": chance.choice(("", "nsw", "nuw nsw"))},
            {"sums_first": not variant.sums_first},
            {"inbounds": not variant.inbounds},
        ],
        "stack": [
            {"frame": chance.choice(("parts", "each", "whole"))},
            {"alignment": chance.choice((16, 8, 4))},
            {"arguments": chance.choice(("written", "near", "all"))},
        ],
        "choice": [{"branches": chance.choice(("strict", "as is", "negated"))}],
    }
    other: list[dict[str, Any]] = [
        {"order": chance.choice((0, 1, 2, chance.randrange(3, 1000)))},
        {"order": chance.randrange(3, 1000)},
        {"pipeline": chance.randrange(_NUM_PIPELINES)},
        {"cold": chance.choice((0, 1, 2))},
        {"masks": not variant.masks},
    ]
    if (counts := _other_count(function, variant, chance)) is not None:
        by_kind["width"].append({"counts": counts})
        by_kind["stack"].append({"counts": counts})
    kind = kind_of(lead)
    choices = [table for each in by_kind.values() for table in each] + other
    choices += by_kind.get(kind, []) * 2
    return [_replaced(variant, **choice) for choice in choices]


def _other_count(
    function: Function, variant: Variant, chance: random.Random
) -> tuple[tuple[int, int], ...] | None:
    """Return another number of arguments for one of the callees that nothing is known of.

    All its calls get it, but where what is passed may differ: with ``...``, or through a pointer.
    """
    most = dict(function.open_calls())
    open_positions = [position for position, registers in most.items() if registers]
    if not open_positions:
        return None
    position = chance.choice(open_positions)
    sites = [node.data for node in function.calls()]
    same = [position]
    if sites[position].symbol and sites[position].vector_count is None:
        same = [other for other in most if sites[other].symbol == sites[position].symbol]
    count = chance.randrange(min(most[other] for other in same) + 1)
    return tuple(sorted({**dict(variant.counts), **dict.fromkeys(same, count)}.items()))
