"""Lanes of vectors: what the tables of SSE instructions share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llm_compiler.disassembly.rules.nodes import Node
from llm_compiler.disassembly.rules.x86_64.machine import Machine

__all__ = ["PACKED", "SCALARS", "element", "num_lanes", "shuffle", "zeros"]

SCALARS: Final = {"ss": "float", "sd": "double"}
PACKED: Final = {"ps": "<4 x float>", "pd": "<2 x double>"}
"""Last letters of mnemonics, and the types of their operands."""


def element(type_: str) -> str:
    """Return the type of a vector's lanes; of a scalar, the type itself."""
    return type_[1:-1].split(" x ")[1] if type_[0] == "<" else type_


def num_lanes(type_: str) -> int:
    """Return how many lanes a vector has."""
    return int(type_[1:-1].split(" x ")[0])


def shuffle(machine: Machine, first: Node, second: Node, mask: Sequence[int]) -> Node:
    """Return lanes of two vectors, by their numbers in both together."""
    type_ = f"<{len(mask)} x {element(first.type)}>"
    return machine.builder.node("shufflevector", type_, (first, second), tuple(mask))


def zeros(machine: Machine, type_: str) -> Node:
    """Return a vector of zeros."""
    return machine.builder.literal("zeroinitializer", type_)
