"""How blocks end: jumps, branches, switches, returns."""

from __future__ import annotations

from dataclasses import dataclass

from llm_compiler.disassembly.rules.code import Unliftable
from llm_compiler.disassembly.rules.draft import Plan
from llm_compiler.disassembly.rules.emission.operations import Operations
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.variables import Variables
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.liveness import Liveness
from llm_compiler.disassembly.rules.nodes import Block, Graph, Node

__all__ = ["RangeCheck", "Terminators", "find_range_checks"]


@dataclass(frozen=True, slots=True)
class RangeCheck:
    """A branch that does nothing but guard a jump through a table, and that table."""

    index: Node
    blocks: tuple[int, ...]
    """Where the table leads, by index."""
    default: int
    """Where an index out of range leads."""
    guarded: int
    """The block that jumps through the table."""


def find_range_checks(graph: Graph, live: Liveness) -> dict[int, RangeCheck]:
    """Find range checks that a switch with a default makes superfluous, by block."""
    found: dict[int, RangeCheck] = {}
    for number in graph.order:
        block = graph.blocks[number]
        if not block.nodes or block.nodes[-1].op != "switch":
            continue
        if len(block.predecessors) != 1 or _has_effects(block, live):
            continue
        guard = graph.blocks[block.predecessors[0]]
        last = guard.nodes[-1]
        if last.op != "branch" or last.args[0].op != "icmp" or last.data[1] != number:
            continue
        check = last.args[0]
        blocks: tuple[int, ...] = block.nodes[-1].data
        limit = check.args[1]
        if limit.op != "const" or check.block != guard.number:
            continue
        size = {"ugt": limit.data + 1, "uge": limit.data}.get(check.data)
        if size == len(blocks):
            found[guard.number] = RangeCheck(check.args[0], blocks, last.data[0], number)
    return found


def _has_effects(block: Block, live: Liveness) -> bool:
    """Whether a block does more than find out where to jump."""
    wanted = {word for number in block.successors for word in live.entering.get(number, ())}
    for node in block.nodes[:-1]:
        if node.op == "write" and node.data in wanted:
            return True
        if node.op in ("store", "call", "atomicrmw", "cmpxchg", "fence"):
            return True
    return False


class Terminators:
    """Writes the last instruction of blocks."""

    def __init__(
        self,
        writer: Writer,
        values: Values,
        variables: Variables,
        operations: Operations,
        plan: Plan,
        checks: dict[int, RangeCheck],
    ) -> None:
        """Take the range checks that become part of a switch."""
        self._writer, self._values = writer, values
        self._variables, self._operations = variables, operations
        self._plan, self._checks = plan, checks
        self.needs_unreachable = False
        """A switch leads to the block ``unreached``."""

    def end(self, node: Node, block: Block) -> None:
        """Append a terminator.

        Raises:
            Unliftable: it has no words.
        """
        op = node.op
        if op == "jump":
            self._writer.append(f"br label %b{node.data}")
        elif op == "branch":
            self._branch(node, block)
        elif op == "switch":
            self._switch(self._values.of(node.args[0]), node.data, None)
        elif op == "return":
            self._return(node)
        elif op == "tail_return":
            call = next(each_node for each_node in reversed(block.nodes) if each_node.op == "call")
            result = self._values.found(call)
            self._writer.append("ret void" if result is None else f"ret {result[1]} {result[0]}")
        elif op == "unreachable":
            self._writer.append("unreachable")
        else:
            raise Unliftable(f"no words for '{op}'")

    def _branch(self, node: Node, block: Block) -> None:
        if (check := self._checks.get(block.number)) is not None:
            self._switch(self._values.of(check.index), check.blocks, check.default)
            return
        yes, no = node.data
        condition = node.args[0]
        test = self._operations.opposite(condition)
        if test is not None:
            yes, no = no, yes
        else:
            test = self._values.typed(condition, "i1")
        self._writer.append(f"br i1 {test}, label %b{yes}, label %b{no}")

    def _switch(self, index: Value, blocks: tuple[int, ...], default: int | None) -> None:
        type_ = "i64" if index[1] == "ptr" else index[1]
        text = self._writer.convert(index, type_)
        self.needs_unreachable |= default is None
        other = "unreached" if default is None else f"b{default}"
        cases = " ".join(
            f"{type_} {number}, label %b{block}" for number, block in enumerate(blocks)
        )
        self._writer.append(f"switch {type_} {text}, label %{other} [ {cases} ]")

    def _return(self, node: Node) -> None:
        results = self._plan.results
        if not results:
            self._writer.append("ret void")
            return
        values: list[Value] = []
        for register, type_ in results.items():
            value = self._variables.read(self._plan.webs.of[node, register])
            values.append((self._writer.convert(value, type_), type_))
        if len(values) == 1:
            self._writer.append(f"ret {values[0][1]} {values[0][0]}")
            return
        whole, result = "poison", self._plan.result
        for position, (text, type_) in enumerate(values):
            whole = self._writer.assign(f"insertvalue {result} {whole}, {type_} {text}, {position}")
        self._writer.append(f"ret {result} {whole}")
