"""Functions with ``...`` on Linux: the prologue that saves argument registers becomes ``va_start``.

A list is 32 bytes: where the arguments on the stack begin, where the saved integer and vector
registers end, and how far below these ends the next arguments are, as two negative numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.nodes import Block, Graph, Node, bits_of
from llm_compiler.disassembly.rules.target import Convention

__all__ = ["rewrite_varargs"]

_LIST_BYTES: Final = 32
_REACH: Final = 16


@dataclass(frozen=True, slots=True)
class _List:
    """A list in the frame, what it begins with, and the stores that set it up."""

    place: int
    general_top: int
    vector_top: int
    general: int
    vector: int
    """Bytes of saved registers below the tops."""
    stores: tuple[Node, ...]

    @property
    def areas(self) -> tuple[int, ...]:
        """What lists of one function have in common: all begin with the same arguments."""
        return self.general_top, self.vector_top, self.general, self.vector


def rewrite_varargs(graph: Graph, convention: Convention) -> None:
    """Replace the saves of a function's first block, and the initialised lists of any.

    Raises:
        Unliftable: saved arguments are read without a list.
    """
    entry = graph.blocks[0]
    if not any(_saves_vector(node, convention) for node in entry.nodes):
        return
    lists = [
        (graph.blocks[number], each)
        for number in graph.order
        for each in _find(graph, graph.blocks[number])
    ]
    if not lists:
        return
    found = lists[0][1]
    if found.vector % 16 or found.general % 8:
        return
    areas = [
        (found.general_top - found.general, found.general_top),
        (found.vector_top - found.vector, found.vector_top),
    ]
    for number in graph.order:
        for node in graph.blocks[number].nodes:
            if node.op == "load" and node.args[0].op == "frame":
                position = node.args[0].data
                if any(low <= position < high for low, high in areas):
                    raise Unliftable("arguments of '...' that are read without a list")
    if found.vector != 16 * len(convention.vector_arguments):
        return  # named vector arguments, or none saved: calls could not be given them
    for block, each in lists:
        if each.areas == found.areas:
            _begin(block, each)
            graph.sizes[each.place] = _LIST_BYTES
    entry.nodes[:] = [
        node
        for node in entry.nodes
        if not (node.op == "store" and _is_save(node, areas, convention))
    ]
    graph.num_named = len(convention.integer_arguments) - found.general // 8


def _begin(block: Block, found: _List) -> None:
    """Put ``va_start`` in the place of the stores that set up a list."""
    begins = Node("intrinsic", "void", (Node("frame", "i64", (), found.place),), "llvm.va_start.p0")
    begins.block = block.number
    last = max(block.nodes.index(store) for store in found.stores)
    block.nodes.insert(last + 1, begins)
    block.nodes[:] = [node for node in block.nodes if node not in found.stores]


def _saves_vector(node: Node, convention: Convention) -> bool:
    if node.op != "store" or node.args[1].op != "frame":
        return False
    return node.args[0].op == "read" and node.args[0].data in convention.vector_arguments


def _is_save(store: Node, areas: list[tuple[int, int]], convention: Convention) -> bool:
    value, address = store.args
    if address.op != "frame" or value.op != "read":
        return False
    registers = (*convention.integer_arguments, *convention.vector_arguments)
    return value.data in registers and any(low <= address.data < high for low, high in areas)


def _find(graph: Graph, block: Block) -> Iterator[_List]:
    """Yield the lists that a block sets up."""
    nodes = block.nodes
    values: dict[int, tuple[str, int]] = {}
    stores: dict[int, Node] = {}
    for node in nodes:
        if node.op == "store" and node.args[1].op == "frame":
            known = _known(graph, nodes, node.args[0], _REACH)
            if known is not None:
                position = node.args[1].data
                values[position], stores[position] = known, node
    for position, (kind, value) in values.items():
        tops = [values.get(position + 8), values.get(position + 16)]
        if kind != "frame" or value < 0 or any(top is None or top[0] != "frame" for top in tops):
            continue
        offsets = values.get(position + 24)
        if offsets is None or offsets[0] != "const":
            continue
        used = [position, position + 8, position + 16, position + 24]
        low, high = offsets[1] & 0xFFFFFFFF, offsets[1] >> 32 & 0xFFFFFFFF
        if bits_of(stores[position + 24].args[0].type) == 32:
            other = values.get(position + 28)
            if other is None or other[0] != "const":
                continue
            high = other[1] & 0xFFFFFFFF
            used.append(position + 28)
        assert tops[0] is not None
        assert tops[1] is not None
        yield _List(
            position,
            tops[0][1],
            tops[1][1],
            -low & 0xFFFFFFFF,
            -high & 0xFFFFFFFF,
            tuple(stores[index] for index in used),
        )


def _known(graph: Graph, nodes: list[Node], value: Node, depth: int) -> tuple[str, int] | None:
    """Return the place of the frame, or the number, that a value is."""
    if value.op in ("frame", "const") and isinstance(value.data, int):
        return value.op, value.data
    if depth == 0:
        return None
    if value.op == "read":
        if value not in nodes:
            return None
        start = nodes.index(value)
        for position in range(start - 1, -1, -1):
            node = nodes[position]
            if node.op in ("write", "clobber") and node.data == value.data:
                if node.op == "clobber" or node.keeps:
                    return None
                return _known(graph, nodes, node.args[0], depth - 1)
        return _set_first(graph, value.data, depth - 1)
    if value.op == "address" and value.data.has_base and not value.data.has_index:
        base = _known(graph, nodes, value.args[0], depth - 1)
        return None if base is None else (base[0], base[1] + value.data.displacement)
    if value.op in ("add", "sub"):
        left, right = (_known(graph, nodes, arg, depth - 1) for arg in value.args)
        if left is not None and right is not None and right[0] == "const":
            step = right[1] if value.op == "add" else -right[1]
            return left[0], left[1] + step
    return None


def _set_first(graph: Graph, register: str, depth: int) -> tuple[str, int] | None:
    """Return what a register is that the function's first block alone sets."""
    setters = [
        (number, node)
        for number in graph.order
        for node in graph.blocks[number].nodes
        if node.op in ("write", "clobber") and node.data == register
    ]
    if not setters or any(number for number, _ in setters):
        return None
    node = setters[-1][1]
    if node.op == "clobber" or node.keeps:
        return None
    return _known(graph, graph.blocks[0].nodes, node.args[0], depth)
