"""Which nodes and registers matter, and how many of their bits.

Backward data flow: a register is as wide as its later uses ask for; a write that nobody asks for is
dropped, with what it alone needed (so that a word pushed for alignment makes no parameter). Bits of
vector operations lane by lane are followed through, so that the sign of a double in a 128-bit
register stays a matter of 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.rules.calls import Arguments
from llm_compiler.disassembly.rules.nodes import ANY, Graph, Node, bits_of

__all__ = ["EFFECTS", "LANEWISE", "Liveness", "find_liveness"]

EFFECTS: Final = frozenset(
    [
        "store",
        "call",
        "branch",
        "switch",
        "jump",
        "return",
        "tail_return",
        "unreachable",
        "atomicrmw",
        "cmpxchg",
        "fence",
        "landing_pad",
        "dynamic_alloca",
    ]
)
LANEWISE: Final = frozenset({"fneg", "fabs", "and", "or", "xor"})
_FROM_BELOW: Final = frozenset(
    {"add", "sub", "mul", "and", "or", "xor", "trunc", "zext", "address"}
)
"""Integer operations whose low bits come from the operands' low bits alone."""
_ALL: Final = 1 << 20


@dataclass(slots=True)
class Liveness:
    """Needed bits of nodes; of registers at the beginning of blocks; after each write."""

    needs: dict[Node, int] = field(default_factory=dict)
    entering: dict[int, dict[str, int]] = field(default_factory=dict)
    after: dict[Node, int] = field(default_factory=dict)
    merges: set[Node] = field(default_factory=set)
    """Writes that keep bits which are asked for."""


def find_liveness(
    graph: Graph,
    arguments: Mapping[Node, Arguments],
    results: Mapping[str, int],
    natural_bits: int,
) -> Liveness:
    """Return what matters.

    Args:
        results: the registers that the function returns, and how wide.
        natural_bits: what a call is taken to read of an argument, at least.
    """
    exact = _Flow(graph, arguments, results, natural_bits, {}, counts_bits=True).run()
    return _Flow(graph, arguments, results, natural_bits, exact.after).run()


class _Flow:
    def __init__(
        self,
        graph: Graph,
        arguments: Mapping[Node, Arguments],
        results: Mapping[str, int],
        natural_bits: int,
        asked: Mapping[Node, int],
        *,
        counts_bits: bool = False,
    ) -> None:
        """Start before any block.

        Args:
            asked: how many bits are asked for after writes, where that is known exactly.
            counts_bits: ask for no more bits of operands than decide the bits of results. Else
                values keep the width that the code works with, as the compiler's own mostly do.
        """
        self._graph, self._arguments = graph, arguments
        self._results, self._natural = results, natural_bits
        self._asked, self._counts_bits = asked, counts_bits
        self._found = Liveness(entering={number: {} for number in graph.order})
        self._changed = False

    def run(self) -> Liveness:
        self._changed = True
        backwards = self._graph.order[::-1]
        while self._changed:
            self._changed = False
            for number in backwards:
                demand = self._block(number)
                if demand != self._found.entering[number]:
                    self._found.entering[number] = demand
                    self._changed = True
        return self._found

    def _block(self, number: int) -> dict[str, int]:
        block = self._graph.blocks[number]
        demand: dict[str, int] = {}
        for successor in block.successors:
            for register, bits in self._found.entering.get(successor, {}).items():
                demand[register] = max(demand.get(register, 0), bits)
        needs = self._found.needs
        for node in reversed(block.nodes):
            op = node.op
            if op == "write":
                self._write(node, demand)
            elif op == "read":
                if bits := needs.get(node, 0):
                    wanted = min(bits, bits_of(node.type)) if node.type != ANY else bits
                    demand[node.data] = max(demand.get(node.data, 0), wanted)
            elif op in ("clobber", "restore"):
                self._found.after[node] = demand.pop(node.data, 0)
            elif op in EFFECTS or (op == "intrinsic" and node.type == "void"):
                self._need(node, _ALL)
                self._effect(node, demand)
                for arg in node.args:
                    self._need(arg, _ALL)
            elif bits := needs.get(node, 0):
                passed = bits if op in LANEWISE and node.type[0] == "<" else _ALL
                if self._counts_bits and (op in _FROM_BELOW and node.type[0] == "i"):
                    passed = min(bits, bits_of(node.type))
                for arg in node.args:
                    self._need(arg, passed)
        return demand

    def _need(self, node: Node, bits: int) -> None:
        if self._found.needs.get(node, 0) < bits:
            self._found.needs[node] = bits
            self._changed = True

    def _write(self, node: Node, demand: dict[str, int]) -> None:
        register = node.data
        wanted = demand.get(register, 0)
        self._found.after[node] = wanted
        if not wanted:
            return
        value = node.args[0]
        if node.keeps and min(wanted, self._asked.get(node, wanted)) > node.bits:
            self._found.merges.add(node)
        else:
            self._found.merges.discard(node)
            del demand[register]
        is_counted = self._counts_bits and value.type != ANY and value.type[0] == "i"
        if node.is_copy or is_counted or (value.type != ANY and value.type[0] == "<"):
            self._need(value, wanted)
        else:
            self._need(value, _ALL)

    def _effect(self, node: Node, demand: dict[str, int]) -> None:
        if node.op == "call":
            found = self._arguments.get(node, Arguments())
            for argument in found.registers:
                bits = bits_of(argument.type) if argument.type else self._natural
                demand[argument.register] = max(demand.get(argument.register, 0), bits)
            for slot in found.slots:
                demand[slot] = max(demand.get(slot, 0), self._natural)
        elif node.op == "return":
            for register, bits in self._results.items():
                demand[register] = max(demand.get(register, 0), bits)
