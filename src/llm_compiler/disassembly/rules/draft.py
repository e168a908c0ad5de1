"""A draft: the plan of one variant (calls, variables, frame), and the body in LLVM's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from llm_compiler.disassembly.rules.calls import (
    Arguments,
    RegisterStates,
    Signature,
    arguments_of,
    result_type,
)
from llm_compiler.disassembly.rules.code import Code
from llm_compiler.disassembly.rules.frame import (
    FrameAccesses,
    FrameObject,
    frame_accesses,
    frame_objects,
)
from llm_compiler.disassembly.rules.liveness import Liveness, find_liveness
from llm_compiler.disassembly.rules.mangled_names import NamedParameters
from llm_compiler.disassembly.rules.nodes import Graph, Node, bits_of
from llm_compiler.disassembly.rules.prototypes import PROTOTYPES
from llm_compiler.disassembly.rules.target import Target
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.webs import Webs, find_webs

__all__ = ["Function", "Plan"]

_ACCESSES: Final = ("read", "write", "clobber")

_WHOLE: Final = ("", "ptr", "i64")
"""Types of results that fill the register; empty: of a function of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided of a variant before it is written down."""

    arguments: Mapping[Node, Arguments]
    result: str
    results: Mapping[str, str]
    """Registers that hold the result, and their types."""
    live: Liveness
    webs: Webs
    accesses: FrameAccesses
    objects: tuple[FrameObject, ...]


class Function:
    """One function's graph, and the plans that were made of it."""

    def __init__(
        self,
        code: Code,
        graph: Graph,
        target: Target,
        signatures: Mapping[str, Signature],
        named: Mapping[str, NamedParameters] | None = None,
    ) -> None:
        self.code, self.graph, self.target = code, graph, target
        self.signatures, self.named = signatures, named or {}
        self.states = RegisterStates.of(
            graph, target.convention, signatures, code.strings, code.tables
        )
        self._plans: dict[tuple[object, ...], Plan] = {}

    def plan(self, variant: Variant) -> Plan:
        """Return a variant's plan.

        Raises:
            Unliftable: the frame cannot be read this way.
        """
        key = (
            variant.result,
            variant.arguments,
            variant.counts,
            variant.natural_bits,
            variant.has_pointers,
            variant.guessed_pointers,
            variant.is_wide,
            variant.wide_constants,
            variant.frame,
            variant.alignment,
        )
        if key not in self._plans:
            self._plans[key] = self._make(variant)
        return self._plans[key]

    def _make(self, variant: Variant) -> Plan:
        graph, convention = self.graph, self.target.convention
        arguments = self.arguments(variant)
        result = variant.result or self.result_types()[0]
        results = self._registers(result)
        live = find_liveness(
            graph,
            arguments,
            {register: bits_of(type_) for register, type_ in results.items()},
            variant.natural_bits,
        )
        webs = find_webs(graph, live, arguments, results, convention, variant)
        words = [word for each in arguments.values() for word in each.words]
        accesses = frame_accesses(graph, live, words)
        first = convention.first_stack_argument
        objects = frame_objects(accesses, graph, variant.frame, first, variant.alignment)
        return Plan(arguments, result, results, live, webs, accesses, tuple(objects))

    def calls(self) -> list[Node]:
        """Return the calls, in the order of the blocks."""
        return [
            node
            for number in sorted(self.graph.order)
            for node in self.graph.blocks[number].nodes
            if node.op == "call"
        ]

    def arguments(self, variant: Variant) -> dict[Node, Arguments]:
        """Return what each call reads."""
        counts = dict(variant.counts)
        return {
            node: arguments_of(
                node,
                self.states,
                self.target.convention,
                self.signatures,
                variant.arguments,
                counts.get(place),
                self.named,
            )
            for place, node in enumerate(self.calls())
        }

    def open_calls(self) -> list[tuple[int, int]]:
        """Return the calls of which nothing says what they are passed: number, and how many
        registers it may be at most."""
        found = []
        for position, node in enumerate(self.calls()):
            symbol = node.data.symbol
            state = self.states.at.get(node)
            if symbol in PROTOTYPES or symbol in self.signatures or state is None:
                continue
            most = 0
            for register in self.target.convention.integer_arguments:
                if state.get(register, 0) < 1:
                    break
                most += 1
            found.append((position, most))
        return found

    def _registers(self, result: str) -> dict[str, str]:
        convention = self.target.convention
        found: dict[str, str] = {}
        if result == "void":
            return found
        parts = result.strip("{} ").split(", ") if result[0] == "{" else [result]
        used = [0, 0]
        for part in parts:
            kind = 1 if part in ("float", "double") or part[0] == "<" else 0
            registers = (convention.integer_results, convention.vector_results)[kind]
            found[registers[used[kind]]] = part
            used[kind] += 1
        return found

    def result_types(self) -> list[str]:
        """Return the result types that fit, the likeliest first."""
        graph, states = self.graph, self.states
        convention = self.target.convention
        if convention.has_result_register and self._is_read_first(convention.struct_result):
            return ["void"]  # the result is in memory
        exits = [graph.blocks[number].nodes[-1] for number in graph.returns]
        exits = [node for node in exits if node in states.at]
        if not exits:
            return self._tail_results()
        found: list[str] = []
        integer, second = convention.integer_results[:2]
        vector, second_vector = convention.vector_results[:2]
        floats = self._vector_results(exits, vector, second_vector)
        if all(states.holds(node, integer) for node in exits):
            found += self._integer_results(exits, integer, second)
        is_set = bool(floats) and all(states.at[node].get(vector, 0) != 2 for node in exits)
        was_read = all(states.at[node].get(integer, 0) == 2 for node in exits)
        if is_set and (was_read or not found or states.at[exits[0]].get(integer, 0) < 2):
            found = floats + found
        else:
            found += floats
        if "call" in self._written_kinds(integer) or found:
            found.append("void")
        if set(found) <= {"void"} and self._may_return_argument(exits, integer):
            return ["void", "i64", "ptr", "i32"]
        return list(dict.fromkeys(found)) or ["void"]

    def is_narrow(self, result: str) -> bool:
        """Whether a result has fewer bits than what the code computes for it."""
        likely = next((word for word in self.result_types() if word != "void"), "void")
        if not result.startswith("i") or likely not in ("i64", "ptr"):
            return False
        return bits_of(result) < 64

    def returned_types(self) -> list[str]:
        """Return the result types that fit and are none of ``void``; what a call at the end may
        return is returned whole."""
        found = [word for word in self.result_types() if word != "void"]
        has_unknown = any(
            call not in self.signatures and call not in PROTOTYPES for call in self._tail_calls()
        )
        return list(dict.fromkeys([*(["i64"] if has_unknown else []), *found]))

    def _may_return_argument(self, exits: list[Node], register: str) -> bool:
        """Whether a register holds something at every exit: what was set, or on some ways the
        argument that it held at entry."""
        is_held = all(self.states.at[node].get(register, 0) >= 1 for node in exits)
        return is_held and bool(self._written_kinds(register))

    def _is_read_first(self, register: str) -> bool:
        """Whether the function begins with reading a register's value."""
        nodes = self.graph.blocks[0].nodes
        first = next(
            (node for node in nodes if node.op in _ACCESSES and node.data == register), None
        )
        return first is not None and first.op == "read"

    def _vector_results(self, exits: list[Node], register: str, second: str) -> list[str]:
        """Return the types of a result in a vector register; it may be an argument given back."""
        states = self.states.at
        if not all(states[node].get(register, 0) >= 1 for node in exits):
            return []
        kinds = self._written_kinds(register)
        found: list[str] = [item for item in ("double", "float") if item in kinds]
        if not found and kinds - {"call"} and any(states[node][register] == 3 for node in exits):
            found = ["double"]
        if any(kind[0] == "<" for kind in kinds) and all(
            states[node][register] == 3 for node in exits
        ):
            found.append("<2 x double>")
        if found and all(states[node].get(second, 0) >= 2 for node in exits):
            found.append("{ double, double }")
        return found

    def _integer_results(self, exits: list[Node], register: str, second: str) -> list[str]:
        widths: list[int] = []
        pointer = False
        for number in self.graph.order:
            for node in self.graph.blocks[number].nodes:
                if node.op == "write" and node.data == register and node.args[0].op != "result":
                    widths.append(node.bits)
                    pointer |= node.args[0].op in ("frame", "address")
        last = self._reaching_widths(exits, register)
        tails = [self._known_result(call) for call in self._tail_calls()]
        last += [64 for tail in tails if tail in _WHOLE]
        pointer |= "ptr" in tails
        preferred = ["i32", "i64"]
        if last and max(last) == 64:
            preferred = ["i64", "i32"]
        if pointer and preferred[0] == "i64":
            preferred.insert(0, "ptr")
        elif pointer or preferred[0] == "i64":
            preferred.insert(1, "ptr")
        if 8 in widths:
            preferred.append("i8")
        if 16 in widths:
            preferred.append("i16")
        states = self.states.at
        if all(states[each_node].get(second, 0) == 3 for each_node in exits):
            preferred.append("{ i64, i64 }")
        return preferred

    def leaves_low_byte(self) -> bool:
        """Whether some exit's block sets only the low byte of the result's register.

        The rest is then whatever the register held: no caller may use it.
        """
        register = self.target.convention.integer_results[0]
        exits = [self.graph.blocks[number].nodes[-1] for number in self.graph.returns]
        return any(self._sets_low_byte(node, register) for node in exits)

    def _sets_low_byte(self, exit_: Node, register: str) -> bool:
        nodes = self.graph.blocks[exit_.block].nodes
        writes = [
            node for node in nodes if node.op in ("write", "clobber") and node.data == register
        ]
        last = writes[-1] if writes else None
        if last is None or last.op != "write" or not last.keeps or last.bits != 8:
            return False
        return not any(write.op == "write" and write.bits > 8 for write in writes)

    def _reaching_widths(self, exits: list[Node], register: str) -> list[int]:
        """Return how wide the values are that an exit may see in a register.

        What an unknown function returns may be as wide as the register. All paths count, not
        only the exit's own block: a list that is reversed leaves its loop with a pointer, and
        returns zero only where it was empty.
        """
        found: list[int] = []
        waiting = [node.block for node in exits]
        seen: set[int] = set()
        while waiting:
            block = self.graph.blocks[waiting.pop()]
            if block.number in seen:
                continue
            seen.add(block.number)
            writes = [node for node in block.nodes if node.op == "write" and node.data == register]
            if not writes:
                waiting += block.predecessors
            elif writes[-1].args[0].op != "result":
                found.append(writes[-1].bits or 64)
            elif self._known_result(writes[-1].args[0].args[0].data.symbol) in _WHOLE:
                found.append(64)
        return found

    def _known_result(self, symbol: str) -> str:
        """Return the type of what a function of this file, or a well-known one, returns."""
        if symbol in self.signatures:
            return self.signatures[symbol].result
        return result_type(PROTOTYPES[symbol]) if symbol in PROTOTYPES else ""

    def _written_kinds(self, register: str) -> set[str]:
        found: set[str] = set()
        for number in self.graph.order:
            for node in self.graph.blocks[number].nodes:
                if node.op == "write" and node.data == register:
                    value = node.args[0]
                    found.add("call" if value.op == "result" else value.type)
        return found

    def _tail_calls(self) -> list[str]:
        """Return the symbols that the function ends with calls of; empty for computed ones."""
        return [
            node.data.symbol
            for number in self.graph.order
            for node in self.graph.blocks[number].nodes
            if node.op == "call" and node.data.is_tail
        ]

    def _tail_results(self) -> list[str]:
        """Return the result types of a function that has no return, only calls at its ends."""
        found: list[str] = []
        symbols = self._tail_calls()
        for symbol in symbols:
            if symbol in self.signatures:
                found.append(self.signatures[symbol].result or "void")
            elif symbol in PROTOTYPES:
                found.append(result_type(PROTOTYPES[symbol]))
        return list(dict.fromkeys([*found, "void", *(["i32", "i64"] if symbols else [])]))

    def most_arguments(self) -> int | None:
        """Return how many integer registers the code may read at entry, if it reads no others.

        What calls of unknown functions may read counts as read. None: words on the stack, vector
        registers or a list of arguments are read, too.
        """
        most = self.most_integers()
        convention = self.target.convention
        plan = self.plan(Variant(arguments="all"))
        direct, pointed = plan.accesses.incoming(convention.first_stack_argument)
        takes_number = any(word in plan.webs.parameters for word in convention.vector_arguments)
        return None if direct or pointed or takes_number else most

    def most_integers(self) -> int | None:
        """Return how many integer registers the code may read at entry, whatever else it reads.

        None: it reads a list of arguments.
        """
        if self.graph.num_named is not None:
            return None
        parameters = self.plan(Variant(arguments="all")).webs.parameters
        registers = self.target.convention.integer_arguments
        return max(
            (place + 1 for place, word in enumerate(registers) if word in parameters), default=0
        )

    def signature(self) -> Signature:
        """Return what the function's own code shows of it."""
        convention = self.target.convention
        plan = self.plan(Variant())
        parameters = plan.webs.parameters
        integers = [
            place
            for place, argument in enumerate(convention.integer_arguments)
            if argument in parameters
        ]
        vectors = [
            place
            for place, argument in enumerate(convention.vector_arguments)
            if argument in parameters
        ]
        first = convention.first_stack_argument
        direct, _ = plan.accesses.incoming(first)
        stack = max(((place - first) // 8 + 1 for place, _ in direct), default=0)
        never = not self.graph.returns and not self._tail_calls()
        result = plan.result
        if result == "void" and any(self._known_result(word) == "" for word in self._tail_calls()):
            result = ""  # what it ends with may return something
        if self.graph.num_named is not None:
            return Signature(
                integers=self.graph.num_named, vectors=0, result=plan.result, is_variadic=True
            )
        asked = plan.live.entering[0].get(convention.integer_results[0])
        if asked == 8 and len(vectors) == len(convention.vector_arguments):
            # It asks how many vector registers hold arguments: it has "..." at the end.
            return Signature(integers=0, vectors=0, result=plan.result, is_variadic=True)
        num_integers = max(integers) + 1 if integers else 0
        entering = plan.live.entering[0]
        # What is only passed on is as wide as nobody knows.
        at_most = self.plan(Variant(natural_bits=64)).live.entering[0]
        read = [
            entering.get(word, 0) if entering.get(word) == at_most.get(word) else 0
            for word in convention.integer_arguments[:num_integers]
        ]
        types = [("i64" if bits > 32 else "i32") if bits else "" for bits in read]
        return Signature(
            integers=num_integers,
            vectors=max(vectors) + 1 if vectors else 0,
            stack=stack,
            result=result,
            never_returns=never,
            types=tuple(types) if any(types) else (),
        )
