"""The order of blocks in a draft: code generation keeps it more often than not."""

from __future__ import annotations

import random

from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.nodes import Graph, Node
from llm_compiler.disassembly.rules.variant import Variant

__all__ = ["place_blocks"]

_NOT_STRICT = frozenset({"sle", "sge", "ule", "uge"})


def place_blocks(function: Function, variant: Variant) -> list[int]:
    """Return the numbers of a draft's blocks in the order in which they are written."""
    graph = function.graph
    numbers = sorted(graph.order, key=lambda number: _place(graph, number))
    how = variant.placement
    if how == 0:
        return numbers
    if how < 0:
        return _by_depth(graph, how)
    order = list(numbers)
    moved: set[int] = set()
    chance = random.Random(how) if how > 2 else None
    for number in numbers:
        block = graph.blocks[number]
        if not block.nodes or block.nodes[-1].op != "branch":
            continue
        last = block.nodes[-1]
        yes = last.data[0]
        if yes in moved or yes <= number + 1 or yes not in order:
            continue
        is_cold = not graph.blocks[yes].successors and graph.blocks[yes].nodes[-1].op in (
            "unreachable",
        )
        moves = _was_swapped(last) or (how == 2 and is_cold)
        if moves or (chance is not None and chance.random() < 0.3):
            order.remove(yes)
            order.insert(order.index(number) + 1, yes)
            moved.add(yes)
    return order


def _place(graph: Graph, number: int) -> float:
    """Return where a block stands: landing pads in front of the code that they lead to."""
    block = graph.blocks[number]
    return block.successors[0] - 0.5 if block.landing_pad is not None else float(number)


def _was_swapped(branch: Node) -> bool:
    """Whether clang writes the comparison the other way around: its constants are canonical."""
    condition = branch.args[0]
    if condition.op != "icmp" or condition.data not in _NOT_STRICT:
        return False
    return condition.args[1].op == "const"


def _by_depth(graph: Graph, how: int) -> list[int]:
    """Return reverse post order (-1, -2) or depth-first order (-3, -4), later successors first
    for the odd ones."""
    found: list[int] = []
    seen = {0}

    def following(number: int) -> list[int]:
        successors = [index for index in graph.blocks[number].successors if index in graph.order]
        return successors[::-1] if how in (-1, -3) else successors

    stack = [(0, iter(following(0)))]
    if how in (-3, -4):
        found.append(0)
    while stack:
        number, rest = stack[-1]
        for successor in rest:
            if successor not in seen:
                seen.add(successor)
                if how in (-3, -4):
                    found.append(successor)
                stack.append((successor, iter(following(successor))))
                break
        else:
            stack.pop()
            if how not in (-3, -4):
                found.append(number)
    return found if how in (-3, -4) else found[::-1]
