"""From instructions to a graph: basic blocks first, then each block's nodes in reverse post order.

Words that are pushed count as registers until an access shows that the code reads them as memory:
then the function is translated once more.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Code, HandledRange, Unliftable
from llm_compiler.disassembly.rules.nodes import Block, CallSite, Graph, Node
from llm_compiler.disassembly.rules.target import Control, Target

__all__ = ["translate"]

_MAX_ROUNDS: Final = 4


def translate(
    code: Code,
    target: Target,
    no_return: frozenset[str] = frozenset(),
    *,
    keeps_scanned: bool = False,
) -> Graph:
    """Return what a function means.

    Args:
        no_return: functions that never come back.
        keeps_scanned: a scan for a bit leaves its destination where there is none.

    Raises:
        Unliftable: with what the rules lack.
    """
    slots: frozenset[int] = frozenset()
    for _ in range(_MAX_ROUNDS):
        translation = _Translation(code, target, no_return, slots, keeps_scanned)
        graph = translation.run()
        wanted = translation.memory_slots()
        if wanted <= slots:
            return graph
        slots |= wanted
    raise Unliftable("pushed words that are memory, too")


class _Translation:
    def __init__(
        self,
        code: Code,
        target: Target,
        no_return: frozenset[str],
        slots: frozenset[int],
        keeps_scanned: bool,
    ) -> None:
        self._code, self._target, self._no_return = code, target, no_return
        self._handled: dict[int, HandledRange] = {}
        for handled_range in code.handled:
            for number in range(handled_range.first, min(handled_range.end, len(code.lines))):
                self._handled[number] = handled_range
        self._controls = [self._control(number) for number in range(len(code.lines))]
        self._graph = Graph(self._blocks())
        self._order()
        self._builder = Builder(self._graph, code, target, slots)
        self._builder.keeps_scanned = keeps_scanned
        self._pushed: set[int] = set()

    def _control(self, number: int) -> Control:
        return self._target.control(self._code.lines[number], self._code)

    def _ends(self, number: int) -> bool:
        """Whether a block ends with an instruction."""
        control = self._controls[number]
        return control.ends or self._never_returns(number) or self._pad(number) is not None

    def _never_returns(self, number: int) -> bool:
        call = self._controls[number].call
        return bool(call) and call in self._no_return

    def _pad(self, number: int) -> HandledRange | None:
        control = self._controls[number]
        if not control.call and not (control.is_indirect and not control.ends):
            return None
        return self._handled.get(number)

    def _blocks(self) -> list[Block]:
        code = self._code
        used = {label for control in self._controls for label in control.targets}
        used |= {handled_range.landing_pad for handled_range in code.handled}
        leaders = {0} | {code.line_of(label) for label in used}
        for number in range(len(code.lines) - 1):
            if self._ends(number):
                leaders.add(number + 1)
        starts = sorted(leaders)
        ends = [*starts[1:], len(code.lines)]
        blocks = [Block(i, *pair) for i, pair in enumerate(zip(starts, ends, strict=True))]
        self._starts = starts
        for block in blocks:
            block.successors = self._successors(block, starts, len(code.lines))
        self._add_pads(blocks)
        for block in blocks:
            for successor in block.successors:
                if block.number not in blocks[successor].predecessors:
                    blocks[successor].predecessors.append(block.number)
        return blocks

    def _add_pads(self, blocks: list[Block]) -> None:
        """Put a block in front of each landing pad: only exceptions come that way, others may
        jump to what follows it."""
        self._pads: dict[str, int] = {}
        for handled_range in self._code.handled:
            if handled_range.landing_pad in self._pads:
                continue
            following = (
                bisect_right(self._starts, self._code.line_of(handled_range.landing_pad)) - 1
            )
            pad = Block(len(blocks), -1, -1, successors=[following], landing_pad=handled_range)
            blocks.append(pad)
            self._pads[handled_range.landing_pad] = pad.number
        for block in blocks:
            if block.end > 0 and (handled := self._pad(block.end - 1)) is not None:
                block.successors.append(self._pads[handled.landing_pad])

    def _successors(self, block: Block, starts: list[int], num_lines: int) -> list[int]:
        last = block.end - 1
        control = self._controls[last]
        positions = [self._code.line_of(label) for label in control.targets]
        if control.falls and not self._never_returns(last):
            if block.end >= num_lines:
                if control.call or control.is_indirect:
                    positions = []  # a call that never comes back, though nothing says so
                else:
                    raise Unliftable("code that runs into what follows it")
            else:
                positions.append(block.end)
        return list(dict.fromkeys(bisect_right(starts, place) - 1 for place in positions))

    def _order(self) -> None:
        """Number the blocks that are reached; drop the others from their successors' lists."""
        blocks = self._graph.blocks
        seen = {0}
        post: list[int] = []
        stack = [(0, iter(blocks[0].successors))]
        while stack:
            number, rest = stack[-1]
            for successor in rest:
                if successor not in seen:
                    seen.add(successor)
                    stack.append((successor, iter(blocks[successor].successors)))
                    break
            else:
                stack.pop()
                post.append(number)
        self._graph.order = post[::-1]
        for block in blocks:
            block.predecessors = [
                predecessor for predecessor in block.predecessors if predecessor in seen
            ]

    def run(self) -> Graph:
        graph, builder = self._graph, self._builder
        for number in list(graph.order):
            block = graph.blocks[number]
            builder.enter(block)
            if number == 0 and block.predecessors:
                builder.flags = None
            if block.landing_pad is not None:
                self._landing_pad(block.landing_pad)
            for position in range(block.first, block.end):
                line = self._code.lines[position]
                try:
                    self._target.translate(builder, line)
                except Unliftable as error:
                    raise Unliftable(error.cause, error.instruction or line.text) from None
                self._pushed |= set(builder.pushed)
            self._end(block)
            builder.leave()
        builder.finish()
        self._target.finish(graph)
        return graph

    def _landing_pad(self, handled: HandledRange) -> None:
        builder = self._builder
        pad = builder.node("landing_pad", "{ ptr, i32 }", (), handled)
        results = self._target.convention.integer_results
        for position, type_ in enumerate(("i64", "i32")):
            value = builder.node("extractvalue", type_, (pad,), position)
            builder.write(results[position], value)

    def _end(self, block: Block) -> None:
        """Give a block its terminator, if its last instruction was none."""
        builder, last = self._builder, block.end - 1
        if block.nodes and block.nodes[-1].op in _TERMINATORS:
            return
        if block.end < 0:  # a landing pad, which has no code of its own
            builder.flow.jump(block.successors[0])
            return
        calls = [node for node in block.nodes if node.op == "call"]
        if calls and (pad := self._pad(last)) is not None:
            site: CallSite = calls[-1].data
            site.landing_pad = self._pads[pad.landing_pad]
        if self._never_returns(last) or not block.successors:
            builder.flow.unreachable()
            return
        builder.flow.jump(bisect_right(self._starts, block.end) - 1)

    def memory_slots(self) -> frozenset[int]:
        """Return the pushed words that are read or written as memory, or lie in what is."""
        accessed = self._builder.accessed
        return frozenset(
            index for index in self._pushed if any(index <= place < index + 8 for place in accessed)
        )


_TERMINATORS: Final = frozenset(
    ["jump", "branch", "switch", "return", "tail_return", "unreachable", "indirect_jump"]
)


def terminator(block: Block) -> Node:
    """Return the node that ends a block."""
    return block.nodes[-1]
