"""Objects of computed size on the stack: the stack pointer less a number that is not known.

What such a subtraction gives becomes an allocation, and is where the stack then ends. The frame is
reached through the frame pointer meanwhile, which is where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from llm_compiler.disassembly.rules.nodes import Node

if TYPE_CHECKING:
    from llm_compiler.disassembly.rules.builder import Builder

__all__ = ["DYNAMIC_STACK", "allocate_below"]

DYNAMIC_STACK: Final = "dynamic.stack"
"""What holds the stack pointer where its place in the frame is not known."""
_UNIT: Final = 16
"""Bytes that sizes are rounded up to."""


def allocate_below(builder: Builder, value: Node) -> bool:
    """Make the subtraction that a new stack pointer comes from an allocation; whether it is one."""
    below = _found(builder, value)
    if builder.convention.frame_pointer not in builder.frame or below.op != "sub":
        return False
    place = _found(builder, below.args[0])
    is_fixed = place.op == "frame" and place.data == builder.frame.get(
        builder.convention.stack_pointer
    )
    last = builder.values.get(DYNAMIC_STACK)
    is_last = last is not None and _found(builder, last) is place
    if not (is_fixed or is_last or (place.op == "read" and place.data == DYNAMIC_STACK)):
        return False
    below.op, below.args = "dynamic_alloca", (_unrounded(builder, below.args[1]),)
    return True


def _found(builder: Builder, value: Node) -> Node:
    """Return what a register that a node reads was set to in the current block; else the node."""
    nodes = builder.block.nodes
    while value.op == "read" and value in nodes:
        for node in reversed(nodes[: nodes.index(value)]):
            if node.op in ("write", "clobber") and node.data == value.data:
                break
        else:
            return value
        if node.op != "write" or node.keeps:
            return value
        value = node.args[0]
    return value


def _unrounded(builder: Builder, size: Node) -> Node:
    """Return a size before it was rounded up, which an allocation does by itself."""
    masked = _found(builder, size)
    if masked.op != "and" or not _is_number(masked.args[1], -_UNIT):
        return size
    added = _found(builder, masked.args[0])
    if added.op == "add" and _is_number(added.args[1], _UNIT - 1):
        return added.args[0]
    if added.op == "address" and added.data.displacement == _UNIT - 1:
        is_plain = added.data.has_base and not added.data.has_index and not added.data.symbol
        return added.args[0] if is_plain else size
    return size


def _is_number(node: Node, value: int) -> bool:
    return node.op == "const" and node.data == value
