"""Names for the data in a function's text, as LLVM itself would have them."""

from __future__ import annotations

import re

from llm_compiler.disassembly.reading.items import OWN, Item
from llm_compiler.disassembly.reading.references import References

__all__ = ["name_items"]

_LLVM_NUMBERED = re.compile(r"^\.L(CPI|JTI)\d+_(\d+)$")
_LLVM_PRIVATE = re.compile(r"^\.L(?!C\d|BB|tmp|func|CPI|JTI|FB|FE|BB)[A-Za-z_.][\w.$]*$")


def name_items(references: References) -> None:
    """Name all data of a function, after the input where it has names of use."""
    counts: dict[str, int] = {}
    taken: set[str] = set()

    def fresh(stem: str, first: str) -> str:
        while True:
            number = counts.get(stem, 0)
            counts[stem] = number + 1
            name = first if not number and first else f"{stem}{number}"
            if name not in taken:
                return name

    # Names that the input gives come first, so that invented names keep out of their way.
    for item in references.items.values():
        item.name = _given_name(item)
        taken.add(item.name)
    for item in sorted(
        references.items.values(), key=lambda each_item: (each_item.section.index, each_item.start)
    ):
        if item.name:
            continue
        if item.section.is_writable:
            offset = item.start - item.section.address
            item.name = f"lifted_data_{item.section.index}_{offset:x}"
        elif item.section.is_strings:
            item.name = fresh(".L.str.", ".L.str")
        elif item.section.is_mergeable:
            item.name = fresh(".LCPI0_", "")
        elif item.jump_table or _is_jump_table(references, item):
            item.name = fresh(".LJTI0_", "")
        elif references.file.is_linked and references.is_string(
            item.section, item.start - item.section.address
        ):
            item.name = fresh(".L.str.", ".L.str")
        else:
            stem = f".L__const.{references.symbol.name}"
            item.name = fresh(f"{stem}.", stem)
        taken.add(item.name)
    own = references.section.index, references.start, references.end
    # Where addresses are pairs, who refers to what is known function by function only.
    has_pairs = references.architecture.pair_addresses is not None
    knows_only_own_references = references.file.is_linked and has_pairs
    for item in references.items.values():
        if item.section.is_writable:
            symbol = item.symbol
            item.is_shared = (
                symbol is None
                or not symbol.is_local
                or symbol.name.startswith(".L")
                or knows_only_own_references
                or references.file.is_used_outside(item.section, item.start, item.end, own)
            )


def _given_name(item: Item) -> str:
    if item.symbol is None:
        return ""
    name = item.symbol.name
    if not name.startswith(".L"):
        return name
    if item.section.is_writable:
        return ""
    if match := _LLVM_NUMBERED.match(name):
        return f".L{match[1]}0_{match[2]}"
    return name if _LLVM_PRIVATE.match(name) else ""


def _is_jump_table(references: References, item: Item) -> bool:
    found = list(references.symbolic_values(item))
    return bool(found) and all(target.section == OWN for _, _, target, _ in found)
