"""What the nodes of a graph are called in IR: constants, places of the frame, results so far."""

from __future__ import annotations

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.constants import literal, number_text
from llm_compiler.disassembly.rules.emission.stack import Stack
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.liveness import Liveness
from llm_compiler.disassembly.rules.nodes import Node, bits_of

__all__ = ["Values"]


class Values:
    """Values by node. Every node that computes something is set once, before it is used."""

    def __init__(self, writer: Writer, stack: Stack, live: Liveness) -> None:
        """Start without any."""
        self._writer, self._stack, self._live = writer, stack, live
        self._set: dict[Node, Value] = {}

    def set(self, node: Node, value: Value) -> None:
        """Keep what a node was written as."""
        self._set[node] = value

    def found(self, node: Node) -> Value | None:
        """Return what a node was written as; None: it has no result, or nobody needs it."""
        return self._set.get(node)

    def of(self, node: Node) -> Value:
        """Return a node's value, with the type that it has in IR.

        Raises:
            Unliftable: it is used before it is there.
        """
        op = node.op
        if op == "const":
            text = node.data if isinstance(node.data, str) else number_text(node.data, node.type)
            return text, node.type
        if op == "undef":
            return "poison" if node.type[0] == "<" else "undef", node.type
        if op == "frame":
            return self._stack.address(node.data), "ptr"
        if op == "bytes":
            return self.bytes(node)
        found = self._set.get(node)
        if found is None:
            raise Unliftable("a value that is used before it is there", repr(node)[:80])
        return found

    def typed(self, node: Node, type_: str) -> str:
        """Return a node's value converted to a type."""
        return self._writer.convert(self.of(node), type_)

    def is_pointer(self, node: Node) -> bool:
        """Whether IR has a node's value as a pointer."""
        return self.of(node)[1] == "ptr"

    def pointer(self, node: Node) -> tuple[str, str]:
        """Return an address as text and the type of pointer that it is."""
        text, type_ = self.of(node)
        if type_.startswith("ptr "):
            return text, type_
        return self._writer.convert((text, type_), "ptr"), "ptr"

    def needed_bits(self, node: Node) -> int:
        """Return how many low bits of a value anybody asks for."""
        return self._live.needs.get(node, 128)

    def narrow(self, node: Node) -> str:
        """Return the type of a lane-wise value of which only low bits are asked for."""
        if node.type[0] != "<":
            return node.type
        element = node.type[1:-1].split(" x ")[1]
        return element if self.needed_bits(node) <= bits_of(element) else node.type

    def bytes(self, node: Node) -> Value:
        """Return a constant that is known by its bytes."""
        data: bytes = node.data
        type_ = node.type
        if type_[0] != "<":
            return literal(data, type_), type_
        element = type_[1:-1].split(" x ")[1]
        width = bits_of(element) // 8
        if self.needed_bits(node) <= 8 * width:
            return literal(data[:width], element), element
        if not any(data):
            return "zeroinitializer", type_
        parts = [
            f"{element} {literal(data[place : place + width], element)}"
            for place in range(0, len(data), width)
        ]
        return f"<{', '.join(parts)}>", type_
