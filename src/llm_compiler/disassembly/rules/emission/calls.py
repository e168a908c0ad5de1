"""Calls, what they are passed and return, and the landing pads of those that may throw."""

from __future__ import annotations

from llm_compiler.disassembly.rules.calls import Arguments
from llm_compiler.disassembly.rules.code import HandledRange
from llm_compiler.disassembly.rules.constants import global_name
from llm_compiler.disassembly.rules.draft import Function, Plan
from llm_compiler.disassembly.rules.emission.stack import Stack
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.variables import Variables
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.nodes import CallSite, Graph, Node
from llm_compiler.disassembly.rules.prototypes import NO_RETURN, REPORTS_ERRORS
from llm_compiler.disassembly.rules.webs import Web

__all__ = ["Calls"]


class Calls:
    """Writes calls of functions."""

    def __init__(
        self,
        writer: Writer,
        values: Values,
        variables: Variables,
        stack: Stack,
        function: Function,
        plan: Plan,
        cold: int,
    ) -> None:
        """Take the arguments of calls from a plan.

        Args:
            cold: `Variant.cold`.
        """
        self._writer, self._values = writer, values
        self._variables, self._stack = variables, stack
        self._function, self._plan, self._cold = function, plan, cold
        self._convention = function.target.convention

    def call(self, node: Node) -> None:
        """Append a call; set the node's value if it has one."""
        site: CallSite = node.data
        found = self._plan.arguments.get(node, Arguments())
        args = self._arguments(node, found)
        callee = (
            global_name(site.symbol) if site.symbol else self._values.typed(node.args[0], "ptr")
        )
        result = self._result_type(node, found)
        inner = ", ".join(f"{type_} {text}" for text, type_ in args)
        type_ = result
        if found.is_variadic:
            fixed = ", ".join(
                kind.split(" ")[0] if kind[:4] == "ptr " else kind
                for _, kind in args[: found.num_fixed]
            )
            type_ = f"{result} ({fixed}{', ' if fixed else ''}...)"
        text = f"{type_} {callee}({inner}){self._words(node, site)}"
        next_block = f"b{node.block}.c"
        if site.landing_pad is not None:
            text = f"invoke {text} to label %{next_block} unwind label %b{site.landing_pad}"
        else:
            text = f"{'tail ' if site.is_tail else ''}call {text}"
        if result == "void":
            self._writer.append(text)
        else:
            self._values.set(node, (self._writer.assign(text), result))
        if site.landing_pad is not None:
            self._writer.label(next_block)

    def _arguments(self, node: Node, found: Arguments) -> list[Value]:
        args: list[Value] = []
        webs = self._plan.webs.of
        has_result_register = self._convention.has_result_register
        for register in found.registers:
            text, kind = self._variables.read(webs[node, register.register], register.type)
            if register.register == self._convention.struct_result and has_result_register:
                text, kind = self._writer.convert((text, kind), "ptr"), "ptr sret(i8)"
            args.append((text, kind))
        for slot in found.slots:
            args.append(self._variables.read(webs[node, slot]))
        for position, kind in found.words:
            address = self._stack.address(position)
            args.append((self._writer.assign(f"load {kind}, ptr {address}, align 1"), kind))
        return args

    def _words(self, node: Node, site: CallSite) -> str:
        words = ""
        if _is_cold(node, site, self._function.graph, self._cold):
            words += " cold"
        never = self._function.signatures.get(site.symbol)
        if site.symbol in NO_RETURN or (never is not None and never.never_returns):
            words += " noreturn"
        return words

    def _result_type(self, node: Node, found: Arguments) -> str:
        if node.data.is_tail:
            return self._plan.result
        block = self._function.graph.blocks[node.block]
        after = self._plan.live.after
        wanted: list[Web] = []
        for each_node in block.nodes:
            is_own = each_node.op == "write" and each_node.args[0].op == "result"
            if is_own and each_node.args[0].args[0] is node and after.get(each_node):
                wanted.append(self._plan.webs.of[each_node])
        if not wanted:
            return "void"
        if found.result not in ("", "void"):
            return found.result
        types = {each_web.register: each_web.type for each_web in wanted}
        parts: list[str] = []
        for registers, unused in (
            (self._convention.integer_results, "i64"),
            (self._convention.vector_results, "double"),
        ):
            # What is in front of the last one of a kind is a part of the result, too.
            last = max((place for place, word in enumerate(registers) if word in types), default=-1)
            parts += [types.get(register, unused) for register in registers[: last + 1]]
        return parts[0] if len(parts) == 1 else f"{{ {', '.join(parts)} }}"

    def landing_pad(self, node: Node) -> Value:
        """Return the exception that a landing pad is entered with, and its selector."""
        handled: HandledRange = node.data
        clauses = ["cleanup"] if handled.is_cleanup or not handled.types else []
        for name in handled.types:
            clauses.append(f"catch ptr {global_name(name) if name else 'null'}")
        text = self._writer.assign(f"landingpad {{ ptr, i32 }} {' '.join(clauses)}")
        return text, node.type


def _is_cold(node: Node, site: CallSite, graph: Graph, how: int) -> bool:
    """Whether a call reports an error; `how`: `Variant.cold`."""
    if not how or site.symbol not in REPORTS_ERRORS:
        return False
    if site.symbol == "perror":
        return True
    blocks = [node.block]
    if how > 1:
        blocks += graph.blocks[node.block].predecessors
    return any(
        each_node.op == "address" and each_node.data.symbol == "stderr"
        for number in blocks
        for each_node in graph.blocks[number].nodes
    )
