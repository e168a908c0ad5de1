"""Functions with ``...``: the prologue that saves argument registers becomes ``va_start``.

Compilers save what registers may hold of the arguments: the integer ones, and, where al says so,
the vector ones, 48 bytes above. ``va_start`` writes four numbers into the list: how far into both
halves the named arguments reach, where those on the stack begin, and where the saved ones are.
"""

from __future__ import annotations

from typing import Final

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.nodes import Block, Graph, Node
from llm_compiler.disassembly.rules.target import Convention

__all__ = ["rewrite_varargs"]

_VECTORS_AT: Final = 48
_SAVED, _LIST_BYTES = 16, 24


def rewrite_varargs(graph: Graph, convention: Convention) -> None:
    """Replace the prologue and the initialised lists, where a function has them."""
    entry = graph.blocks[0]
    saving = _saving_block(graph, entry, convention)
    if saving is None:
        return
    base = min(node.args[1].data for node in saving.nodes if node.op == "store") - _VECTORS_AT
    lists = _lists(graph, base, convention)
    if not lists:
        return
    named = min(lists.values())
    begun: set[int] = set()
    rewritten = [_rewrite(graph, block, base, lists, begun, convention) for block in graph.blocks]
    if _reads_saved(rewritten, base, convention):
        raise Unliftable("arguments of '...' that are read without a list")
    for block, nodes in zip(graph.blocks, rewritten, strict=True):
        block.nodes = nodes
    following = saving.successors[0]
    entry.nodes[-1] = Node("jump", "void", (), following)
    entry.successors = [following]
    graph.blocks[following].predecessors = [
        predecessor
        for predecessor in graph.blocks[following].predecessors
        if predecessor != saving.number
    ]
    if entry.number not in graph.blocks[following].predecessors:
        graph.blocks[following].predecessors.append(entry.number)
    graph.order.remove(saving.number)
    graph.num_named = named
    graph.sizes.update(dict.fromkeys(lists, _LIST_BYTES))


def _reads_saved(blocks: list[list[Node]], base: int, convention: Convention) -> bool:
    """Whether code reads saved arguments itself, where a list was optimised away."""
    end = base + _VECTORS_AT + 16 * len(convention.vector_arguments)
    for nodes in blocks:
        for node in nodes:
            if node.op == "load" and node.args[0].op == "frame":
                position = node.args[0].data
                if base <= position < end or position >= convention.first_stack_argument:
                    return True
    return False


def _saving_block(graph: Graph, entry: Block, convention: Convention) -> Block | None:
    """Return the block that stores vector registers, if al guards it."""
    last = entry.nodes[-1] if entry.nodes else None
    if last is None or last.op != "branch" or last.args[0].op != "icmp":
        return None
    asked = last.args[0].args[0]
    if asked.op != "read" or asked.data != convention.integer_results[0] or asked.type != "i8":
        return None
    choices: tuple[int, int] = last.data
    for number in choices:
        block = graph.blocks[number]
        stores = [node for node in block.nodes if node.op == "store"]
        registers = [store.args[0].data for store in stores if store.args[0].op == "read"]
        is_saving = len(registers) == len(stores) > 0 and len(block.successors) == 1
        is_frame = all(store.args[1].op == "frame" for store in stores)
        if is_saving and is_frame and set(registers) <= set(convention.vector_arguments):
            return block
    return None


def _lists(graph: Graph, base: int, convention: Convention) -> dict[int, int]:
    """Return the places of lists in the frame, and how many integer arguments are named."""
    saved = set()
    numbers: dict[int, int] = {}
    for block in graph.blocks:
        for node in block.nodes:
            position = _place(graph, block, node, convention)
            if position is None:
                continue
            value = _known(graph, block, node.args[0], convention)
            if value is not None and value.op == "frame" and value.data == base:
                saved.add(position - _SAVED)
            elif value is not None and value.op == "const" and isinstance(value.data, int):
                numbers[position] = value.data & 0xFFFFFFFF
    limit = 8 * len(convention.integer_arguments)
    return {
        position: numbers[position] // 8
        for position in saved
        if position in numbers and numbers[position] <= limit
    }


def _place(graph: Graph, block: Block, node: Node, convention: Convention) -> int | None:
    """Return the place of the frame that a store writes, also through a register."""
    if node.op != "store":
        return None
    address = node.args[1]
    if address.op == "frame":
        return int(address.data)
    distance = 0
    if address.op == "address":
        position = address.data
        if position.symbol or position.has_index or not position.has_base or position.segment:
            return None
        distance, address = position.displacement, address.args[0]
    known = _known(graph, block, address, convention)
    return int(known.data) + distance if known is not None and known.op == "frame" else None


def _known(graph: Graph, block: Block, value: Node, convention: Convention) -> Node | None:
    """Return what a value is, also where it went through a register that is set once, or in the
    same block."""
    if value.op != "read":
        return value
    nodes = block.nodes
    before = nodes[: nodes.index(value)] if value in nodes else []
    for each_node in reversed(before):
        if each_node.op in ("write", "clobber") and each_node.data == value.data:
            return each_node.args[0] if each_node.op == "write" and not each_node.keeps else None
    if value.data in convention.integer_arguments:
        return _entering(graph, block, value.data)
    writes = [
        node
        for each in graph.blocks
        for node in each.nodes
        if node.op == "write" and node.data == value.data and node.args[0].op != "result"
    ]
    return writes[0].args[0] if len(writes) == 1 and not writes[0].keeps else None


def _entering(graph: Graph, block: Block, register: str) -> Node | None:
    """Return what a register is set to on every way into a block; None where that differs."""
    found: list[Node] = []
    seen: set[int] = set()
    pending = [block]
    while pending:
        at = pending.pop()
        if not at.number:
            return None  # what the caller left there
        for number in at.predecessors:
            if number in seen:
                continue
            seen.add(number)
            before = graph.blocks[number]
            last = next(
                (
                    node
                    for node in reversed(before.nodes)
                    if node.op in ("write", "clobber") and node.data == register
                ),
                None,
            )
            if last is None:
                pending.append(before)
            elif last.op != "write" or last.keeps:
                return None
            else:
                found.append(last.args[0])
    return found[0] if found and all(value is found[0] for value in found) else None


def _rewrite(
    graph: Graph,
    block: Block,
    base: int,
    lists: dict[int, int],
    begun: set[int],
    convention: Convention,
) -> list[Node]:
    """Return a block without the stores of the prologue and of the lists; ``va_start`` stands
    where the first one was."""
    end = base + _VECTORS_AT + 16 * len(convention.vector_arguments)
    kept: list[Node] = []
    for node in block.nodes:
        position = _place(graph, block, node, convention)
        owner = next(
            (
                index
                for index in lists
                if position is not None and index <= position < index + _LIST_BYTES
            ),
            None,
        )
        if position is None or (owner is None and not base <= position < end):
            kept.append(node)
        elif owner is None:
            continue
        elif not _initialises(graph, block, node, lists[owner], convention):
            kept.append(node)
        elif owner not in begun:
            begun.add(owner)
            call = Node("intrinsic", "void", (Node("frame", "i64", (), owner),), "llvm.va_start.p0")
            call.block = block.number
            kept.append(call)
    return kept


def _initialises(
    graph: Graph, block: Block, node: Node, named: int, convention: Convention
) -> bool:
    """Whether a store into a list is one that ``va_start`` does, not a step of ``va_arg``."""
    value = _known(graph, block, node.args[0], convention)
    if value is None or value.op == "frame":
        return value is not None
    numbers = (8 * named, _VECTORS_AT, _VECTORS_AT << 32 | 8 * named)
    return value.op == "const" and value.data in numbers
