"""Registers as variables: an alloca for each web, which LLVM's passes turn into SSA form."""

from __future__ import annotations

import random

from llm_compiler.disassembly.rules.constants import lane_type, number_text
from llm_compiler.disassembly.rules.draft import Plan
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.nodes import ANY, Node, bits_of
from llm_compiler.disassembly.rules.target import Convention
from llm_compiler.disassembly.rules.webs import Web

__all__ = ["Variables"]


class Variables:
    """Reads and writes of webs."""

    def __init__(self, writer: Writer, values: Values, plan: Plan, convention: Convention) -> None:
        """Take the webs of a plan."""
        self._writer, self._values, self._plan = writer, values, plan
        self._convention = convention

    def allocas(self, order: int) -> list[str]:
        """Return the lines that allocate the variables; `order`: `Variant.order`."""
        webs = list(self._plan.webs.all)
        if order == 1:
            webs.reverse()
        elif order == 2:
            webs.sort(key=lambda web: web.register)
        elif order > 2:
            random.Random(order).shuffle(webs)
        return [f"  %w{web.number} = alloca {web.type}" for web in webs]

    def read(self, web: Web, type_: str = "") -> Value:
        """Return a variable's value.

        Args:
            type_: the type that is asked for, `ANY` or empty. A pointer stays one where a number
                as wide is asked for.
        """
        value = self._writer.assign(f"load {web.type}, ptr %w{web.number}"), web.type
        if type_ in ("", ANY) or (web.type == "ptr" and type_ == "i64"):
            return value
        return self._writer.convert(value, type_), type_

    def read_node(self, node: Node) -> Value:
        """Return what a node reads of its register."""
        return self.read(self._plan.webs.of[node], self._values.narrow(node))

    def write(self, node: Node) -> None:
        """Set the variable that a node writes to."""
        web = self._plan.webs.of[node]
        source = node.args[0]
        if source.op == "result":
            result = self._values.found(source.args[0])
            part = self._result_part(result, source) if result is not None else None
            if part is not None:
                self._set(web, part)
            return
        value = self._values.of(source)
        if node in self._plan.live.merges:
            self._merge(web, value, node.bits)
            return
        bits = node.bits
        is_number = value[1][0] == "i" and not node.is_copy
        if is_number and bits and bits_of(value[1]) != bits:
            value = self._writer.convert(value, f"i{bits}"), f"i{bits}"
        self._set(web, value)

    def clear(self, node: Node) -> None:
        """Set the variable of a register that a call leaves undefined, where it has one.

        What is passed all the same is then no address by chance.
        """
        web = self._plan.webs.of.get(node)
        if web is not None:
            self._writer.append(f"store {web.type} zeroinitializer, ptr %w{web.number}")

    def _set(self, web: Web, value: Value) -> None:
        text = self._writer.convert(value, web.type)
        self._writer.append(f"store {web.type} {text}, ptr %w{web.number}")

    def _merge(self, web: Web, value: Value, low_bits: int) -> None:
        """Set low bits, and keep those above."""
        writer = self._writer
        old = writer.assign(f"load {web.type}, ptr %w{web.number}"), web.type
        if web.type[0] == "<" or self._convention.is_vector(web.register):
            if web.type[0] != "<":
                self._set(web, value)
                return
            element = lane_type(bits_of(value[1]), value[1])
            lanes = f"<{bits_of(web.type) // bits_of(element)} x {element}>"
            whole = writer.convert(old, lanes)
            part = writer.convert(value, element)
            made = writer.assign(f"insertelement {lanes} {whole}, {element} {part}, i64 0")
            self._set(web, (made, lanes))
            return
        bits = bits_of(web.type)
        type_ = f"i{bits}"
        if bits <= low_bits:
            self._set(web, value)
            return
        mask = number_text(~((1 << low_bits) - 1), type_)
        kept = writer.assign(f"and {type_} {writer.convert(old, type_)}, {mask}")
        part_type = f"i{low_bits}"
        low = writer.convert((writer.convert(value, part_type), part_type), type_)
        self._set(web, (writer.assign(f"or {type_} {kept}, {low}"), type_))

    def _result_part(self, value: Value, node: Node) -> Value | None:
        """Return the part of a call's result that one register holds; None: it holds none."""
        text, type_ = value
        is_vector = self._convention.is_vector(node.data)
        if type_[0] != "{":
            is_other = is_vector if type_ == "ptr" or type_[0] == "i" else not is_vector
            return None if is_other or type_ == "void" else value
        parts = type_.strip("{} ").split(", ")
        num_integers = sum(part == "ptr" or part[0] == "i" for part in parts)
        integers, vectors = self._convention.integer_results, self._convention.vector_results
        place = num_integers + vectors.index(node.data) if is_vector else integers.index(node.data)
        if place >= (len(parts) if is_vector else num_integers):
            return None
        return self._writer.assign(f"extractvalue {type_} {text}, {place}"), parts[place]
