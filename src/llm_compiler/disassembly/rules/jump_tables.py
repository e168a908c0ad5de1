"""The index of a jump table, found in what a register was set to in front of the jump."""

from __future__ import annotations

from collections.abc import Set

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.nodes import Node

__all__ = ["table_index"]

_MAX_STEPS = 24


def table_index(builder: Builder, value: Node, extends: Set[str]) -> Node | None:
    """Find the index in start + extended table[index], or in a table of addresses.

    Args:
        value: what is jumped to.
        extends: the operations that make an entry a distance.
    """
    pending = [value]
    for _ in range(_MAX_STEPS):
        if not pending:
            return None
        node = pending.pop()
        if node.op == "load":
            address = node.args[0]
            if address.op == "address" and address.data.has_index:
                return address.args[-1]
        elif node.op == "read" and (known := _set_before(builder, node)) is not None:
            pending.append(known)
        elif node.op == "add" or node.op in extends:
            pending += node.args
    return None


def _set_before(builder: Builder, read: Node) -> Node | None:
    """Return what the register that a node reads was set to in its block, as a whole."""
    nodes = builder.block.nodes
    if read not in nodes:
        return None
    for node in reversed(nodes[: nodes.index(read)]):
        if node.op in ("write", "clobber") and node.data == read.data:
            return node.args[0] if node.op == "write" and not node.keeps else None
    return None
