"""From a plan to LLVM-IR: variables as typed allocas, which LLVM's own passes turn into SSA form.

Every node is printed where it stands, once. Whether a 64-bit number is printed as a pointer follows
from the variables that it comes from and goes to. What writes which kind of node is in `emission`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from llm_compiler.disassembly.rules.constants import global_name
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.emission.calls import Calls
from llm_compiler.disassembly.rules.emission.control import Terminators, find_range_checks
from llm_compiler.disassembly.rules.emission.memory import Addresses, Memory
from llm_compiler.disassembly.rules.emission.operations import Operations
from llm_compiler.disassembly.rules.emission.stack import Stack
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.variables import Variables
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.nodes import BINARY, CASTS, Block, Node
from llm_compiler.disassembly.rules.placement import place_blocks
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.webs import Web

__all__ = ["emit"]


def emit(function: Function, variant: Variant) -> str:
    """Return the text of a function's body, from ``define`` to the closing brace.

    Raises:
        Unliftable: the graph holds what has no words here.
    """
    return _Emitter(function, variant).run()


class _Emitter:
    def __init__(self, function: Function, variant: Variant) -> None:
        plan = function.plan(variant)
        graph, convention = function.graph, function.target.convention
        self._function, self._plan, self._variant = function, plan, variant
        self._graph, self._convention = graph, convention
        self._writer = writer = Writer()
        self._stack = stack = Stack(writer, function, plan)
        self._values = values = Values(writer, stack, plan.live)
        self._variables = variables = Variables(writer, values, plan, convention)
        self._checks = {} if variant.keeps_switch else find_range_checks(graph, plan.live)
        operations = Operations(writer, values, variant)
        addresses = Addresses(writer, values, stack, function, plan.webs, variant)
        memory = Memory(writer, values, plan)
        calls = Calls(writer, values, variables, stack, function, plan, variant.cold)
        self._terminators = Terminators(writer, values, variables, operations, plan, self._checks)
        self._results: dict[str, Callable[[Node], Value]] = {
            **dict.fromkeys(BINARY, operations.binary),
            **dict.fromkeys(CASTS, operations.cast),
            "icmp": operations.compare,
            "fcmp": operations.compare,
            "select": operations.select,
            "fneg": operations.sign,
            "fabs": operations.sign,
            "overflow": operations.overflow,
            "extractvalue": operations.extract_part,
            "extractelement": operations.extract_lane,
            "insertelement": operations.insert_lane,
            "shufflevector": operations.shuffle,
            "address": addresses.address,
            "dynamic_alloca": memory.allocate,
            "load": memory.load,
            "atomicrmw": memory.atomic,
            "cmpxchg": memory.atomic,
            "bytes": values.bytes,
            "landing_pad": calls.landing_pad,
        }
        self._effects: dict[str, Callable[[Node], None]] = {
            "store": memory.store,
            "fence": memory.fence,
            "intrinsic": memory.intrinsic,
            "call": calls.call,
        }

    def run(self) -> str:
        guarded = {check.guarded for check in self._checks.values()}
        written = [number for number in self._graph.order if number not in guarded]
        bodies: dict[int, list[str]] = {}
        for number in written:
            bodies[number] = self._writer.begin(f"b{number}")
            self._block(self._graph.blocks[number])
        order = [block for block in place_blocks(self._function, self._variant) if block in bodies]
        order += [index for index in written if index not in order]
        parameters, prologue = self._parameters()
        lines = [
            f"define {self._plan.result} {global_name(self._function.code.name)}"
            f"({', '.join(parameters)}){self._personality()} {{",
            "entry:",
            *self._variables.allocas(self._variant.order),
            *self._stack.allocas(),
            *prologue,
            "  br label %b0",
            *(line for number in order for line in bodies[number]),
        ]
        if self._terminators.needs_unreachable:
            lines += ["unreached:", "  unreachable"]
        lines.append("}")
        text = "\n".join(lines) + "\n"
        if self._variant.inbounds:
            text = text.replace("= getelementptr ", "= getelementptr inbounds ")
        return text

    def _personality(self) -> str:
        name = self._function.code.personality
        return f" personality ptr {global_name(name)}" if name else ""

    def _parameters(self) -> tuple[list[str], list[str]]:
        """Return the parameters, and the lines that store them in their variables."""
        convention, webs = self._convention, self._plan.webs.parameters
        num_integers = _num_used(convention.integer_arguments, webs)
        if self._stack.has_words:
            num_integers = len(convention.integer_arguments)
        found: list[str] = []
        prologue: list[str] = []
        for registers, number, letter, unused in (
            (convention.integer_arguments, num_integers, "a", "i64"),
            (
                convention.vector_arguments,
                _num_used(convention.vector_arguments, webs),
                "x",
                "double",
            ),
        ):
            for position, register in enumerate(registers[:number]):
                web = webs.get(register)
                type_ = web.type if web is not None else unused
                found.append(f"{type_} %{letter}{position}")
                if web is not None:
                    prologue.append(f"  store {type_} %{letter}{position}, ptr %w{web.number}")
        web = webs.get(convention.struct_result) if convention.has_result_register else None
        # A function that returns a value has none in memory: the register holds nothing yet.
        if web is not None and self._plan.result == "void":
            found.insert(0, "ptr sret(i8) %result")
            text = "%result"
            if web.type != "ptr":
                prologue.append(f"  %result.n = ptrtoint ptr %result to {web.type}")
                text = "%result.n"
            prologue.append(f"  store {web.type} {text}, ptr %w{web.number}")
        if (named := self._graph.num_named) is not None:
            while len(found) < named:
                found.append(f"i64 %a{len(found)}")
            return [*found, "..."], prologue
        on_stack, stores = self._stack.parameters()
        return found + on_stack, prologue + stores

    def _block(self, block: Block) -> None:
        needs, after = self._plan.live.needs, self._plan.live.after
        for node in block.nodes:
            if node.op == "write":
                if after.get(node):
                    self._variables.write(node)
            elif node.op == "clobber":
                self._variables.clear(node)
            elif node.op in ("read", "result", "const", "undef", "frame"):
                if node.op == "read" and node in needs:
                    self._values.set(node, self._variables.read_node(node))
            elif node in needs:
                self._node(node, block)

    def _node(self, node: Node, block: Block) -> None:
        if (result := self._results.get(node.op)) is not None:
            self._values.set(node, result(node))
        elif (effect := self._effects.get(node.op)) is not None:
            effect(node)
        else:
            self._terminators.end(node, block)


def _num_used(registers: tuple[str, ...], used: Mapping[str, Web]) -> int:
    """Return how many registers there are up to the last one that is used."""
    return max(
        (place + 1 for place, register in enumerate(registers) if register in used), default=0
    )
