"""Which registers hold a number, whichever way the code came: a fill's may be set far above it.

Asked while blocks are written, so that what is not written yet is taken on trust, and looked at
again in the end. Not safe in threads.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.nodes import ANY, Block, Graph, Node, bits_of

__all__ = ["KnownNumbers"]

_ALL: Final = (1 << 64) - 1


class KnownNumbers:
    """Looks backwards for what sets a register."""

    def __init__(self, graph: Graph, written: Container[int]) -> None:
        """Start with a graph of which some blocks are written.

        Args:
            written: numbers of blocks; grows.
        """
        self._graph, self._written = graph, written
        self._taken: list[tuple[Block, int, str, int, str]] = []
        """Where which register was taken to hold which number, or place of the frame."""

    def at(self, block: Block, register: str) -> int | None:
        """Return the number that a register holds at the end of what a block has so far.

        Without a sign, as wide as the register: what sets its low half makes the upper one 0.
        """
        length = len(block.nodes)
        number = self._find(block, length, register, "const")
        if number is not None:
            self._taken.append((block, length, register, number, "const"))
        return number

    def place_at(self, block: Block, register: str) -> int | None:
        """Return the place of the frame that a register holds at the end of what a block has."""
        length = len(block.nodes)
        place = self._find(block, length, register, "frame")
        if place is not None:
            self._taken.append((block, length, register, place, "frame"))
        return place

    def check(self) -> None:
        """Look again, now that all blocks are written.

        Raises:
            Unliftable: one that was not sets a register that was taken for a number.
        """
        for block, length, register, number, kind in self._taken:
            if self._find(block, length, register, kind) != number:
                raise Unliftable(f"a number in {register} that a loop changes")

    def _find(self, block: Block, length: int, register: str, kind: str) -> int | None:
        numbers: set[int] = set()
        seen: set[tuple[int, str, int]] = set()
        pending = [(block, length, register, _ALL)]
        while pending:
            block, length, register, mask = pending.pop()
            position = _last_setter(block.nodes[:length], register)
            if position is not None:
                setter = block.nodes[position]
                value = setter.args[0] if setter.op == "write" and not setter.keeps else None
                if value is None:
                    return None
                if value.type != ANY:
                    mask &= (1 << bits_of(value.type)) - 1
                if value.op == "read" and value in block.nodes[:position]:
                    pending.append((block, block.nodes.index(value), value.data, mask))
                elif value.op == kind and isinstance(value.data, int):
                    numbers.add(value.data & mask if kind == "const" else value.data)
                else:
                    return None
                continue
            if block.number == 0:  # the caller's value comes in here
                return None
            for number in block.predecessors:
                if (number, register, mask) not in seen and number in self._written:
                    seen.add((number, register, mask))
                    before = self._graph.blocks[number]
                    pending.append((before, len(before.nodes), register, mask))
        return numbers.pop() if len(numbers) == 1 else None


def _last_setter(nodes: Sequence[Node], register: str) -> int | None:
    """Return the position of the last node that changes a register."""
    for position in range(len(nodes) - 1, -1, -1):
        node = nodes[position]
        if node.op in ("write", "clobber", "restore") and node.data == register:
            return position
    return None
