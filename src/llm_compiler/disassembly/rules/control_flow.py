"""How blocks end, and calls, which leave registers undefined: a part of the `Builder`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llm_compiler.disassembly.rules.code import Line, Unliftable
from llm_compiler.disassembly.rules.nodes import ANY, SLOT, Block, CallSite, Node, bits_of

if TYPE_CHECKING:
    from llm_compiler.disassembly.rules.builder import Builder

__all__ = ["ControlFlow"]

_NOWHERE = 1 << 40
"""A place of the frame where nothing is: words for calls are not looked for above it."""


class ControlFlow:
    """Appends jumps, returns and calls to a builder's current block."""

    def __init__(self, builder: Builder) -> None:
        """Write with a builder."""
        self._builder = builder

    def block_at(self, label: str) -> int:
        """Return the number of the block at a label of the function."""
        line = self._builder.code.line_of(label)
        return next(block.number for block in self._builder.graph.blocks if block.first == line)

    def block_after(self, line: Line) -> int:
        """Return the number of the block that an instruction falls through to.

        Raises:
            Unliftable: there is none.
        """
        for block in self._builder.graph.blocks:
            if block.first == line.number + 1:
                return block.number
        raise Unliftable("code that runs into what follows it", line.text)

    def jump(self, block: int) -> None:
        """End the block."""
        self._builder.append(Node("jump", "void", (), block))

    def branch(self, condition: Node, yes: int, no: int) -> None:
        """End the block with a choice between two others."""
        if yes == no:
            self.jump(yes)
        else:
            self._builder.append(Node("branch", "void", (condition,), (yes, no)))

    def switch(self, index: Node, blocks: Sequence[int], through: str = "") -> None:
        """End the block with a jump to the block of a number, which counts from 0.

        Args:
            through: a register that held the address: nobody reads it after the jump.
        """
        if through:
            self._builder.append(Node("clobber", "void", (), through))
        self._builder.append(Node("switch", "void", (index,), tuple(blocks)))

    def give_back(self) -> None:
        """End the function: return what the convention's registers hold."""
        self._builder.append(Node("return", "void", ()))
        self._builder.graph.returns.append(self._builder.block.number)

    def unreachable(self) -> None:
        """End the block with what is never reached."""
        self._builder.append(Node("unreachable", "void", ()))

    def call(
        self, symbol: str = "", target: Node | None = None, *, vector_count: int | None = None
    ) -> Node:
        """Append a call: registers that a call may change are undefined after it."""
        builder = self._builder
        convention = builder.convention
        site = self._site(symbol, vector_count)
        made = builder.append(Node("call", ANY, () if target is None else (target,), site))
        for register in convention.caller_saved:
            builder.append(Node("clobber", "void", (), register))
            builder.values.pop(register, None)
        for position in site.pushed:
            builder.append(Node("clobber", "void", (), f"{SLOT}{position}"))
        for register in (
            *convention.integer_results,
            *convention.vector_results,
        ):
            result = builder.append(Node("result", ANY, (made,), register))
            write = Node("write", "void", (result,), register)
            builder.append(write)
        builder.pushed = []
        builder.flags = None
        return made

    def tail_call(
        self, symbol: str = "", target: Node | None = None, *, vector_count: int | None = None
    ) -> None:
        """End the function with a call whose result is its own."""
        site = self._site(symbol, vector_count)
        site.is_tail = True
        self._builder.append(Node("call", ANY, () if target is None else (target,), site))
        self._builder.append(Node("tail_return", "void", ()))

    def _site(self, symbol: str, vector_count: int | None) -> CallSite:
        position = self._builder.frame.get(self._builder.convention.stack_pointer, _NOWHERE)
        pushed = _following(self._builder.pushed[::-1], position)
        return CallSite(
            symbol=symbol,
            pushed=tuple(pushed),
            stored=() if pushed else _stored(self._builder.block.nodes, position),
            vector_count=vector_count,
            stack_offset=position,
        )

    def tail_call_if(self, condition: Node, symbol: str, otherwise: int) -> None:
        """End the block: where a condition holds, the function ends with a call."""
        builder = self._builder
        own, block = builder.block, self._extra_block()
        self.branch(condition, block.number, otherwise)
        own.successors.append(block.number)
        builder.graph.order.append(block.number)
        builder.block = block
        self.tail_call(symbol)
        builder.block = own

    def _extra_block(self) -> Block:
        """Return a new block without instructions, whose predecessor is the current one."""
        blocks = self._builder.graph.blocks
        block = Block(len(blocks), -1, -1)
        block.predecessors.append(self._builder.block.number)
        blocks.append(block)
        return block


def _stored(nodes: Sequence[Node], place: int) -> tuple[tuple[int, str], ...]:
    """Return the slots from a place upwards that the block has set since the last call."""
    kinds: dict[int, str] = {}
    for node in reversed(nodes):
        if node.op == "call":
            break
        if node.op == "store" and node.args[1].op == "frame":
            kinds.setdefault(node.args[1].data, node.args[0].type)
    found: list[tuple[int, str]] = []
    while (slot := place + 8 * len(found)) in kinds and bits_of(kinds[slot]) <= 64:
        found.append((slot, kinds[slot]))
    return tuple(found)


def _following(order: Sequence[int], start: int) -> list[int]:
    """Return the places that are words one after the other, from the first on."""
    steps = enumerate(order)
    return [
        index
        for _, index in itertools.takewhile(lambda each: each[1] == start + 8 * each[0], steps)
    ]
