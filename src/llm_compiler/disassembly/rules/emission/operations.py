"""Arithmetic, comparisons, casts and vector operations: nodes that compute and touch no memory."""

from __future__ import annotations

import re
from typing import Final

from llm_compiler.disassembly.rules.constants import number_text, overload
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.liveness import LANEWISE
from llm_compiler.disassembly.rules.nodes import Node
from llm_compiler.disassembly.rules.variant import Variant

__all__ = ["Operations"]

_OPPOSITE: Final = {
    "eq": "ne",
    "ne": "eq",
    "slt": "sge",
    "sge": "slt",
    "sgt": "sle",
    "sle": "sgt",
    "ult": "uge",
    "uge": "ult",
    "ugt": "ule",
    "ule": "ugt",
}
_NOT_STRICT: Final = frozenset({"ne", "sle", "sge", "ule", "uge"})


class Operations:
    """Writes values that follow from other values alone."""

    def __init__(self, writer: Writer, values: Values, variant: Variant) -> None:
        """Take what a variant leaves open."""
        self._writer, self._values, self._variant = writer, values, variant

    # -- two values ---

    def binary(self, node: Node) -> Value:
        """Return an operation of two values of one type."""
        op, type_ = node.op, node.type
        left, right = node.args
        if op in LANEWISE and type_[0] == "<":
            type_ = self._values.narrow(node)
        is_sum = type_ == "i64" and op in ("add", "sub")
        if is_sum and (pointer := self._pointer_sum(node)) is not None:
            return pointer
        if op in ("shl", "lshr", "ashr") and not self._variant.masks:
            right = _unmasked(right)
        first, second = self._values.typed(left, type_), self._values.typed(right, type_)
        word = op
        if self._variant.overflow and op in ("add", "sub", "mul") and type_ in ("i32", "i64"):
            word = f"{op} {self._variant.overflow}"
        return self._writer.assign(f"{word} {type_} {first}, {second}"), type_

    def _pointer_sum(self, node: Node) -> Value | None:
        """Return a sum as an address, if one side is a pointer."""
        first, second = (self._values.of(arg) for arg in node.args)
        left, right = node.args
        if node.op == "add" and second[1] == "ptr" and first[1] != "ptr":
            first, second, left, right = second, first, right, left
        if first[1] != "ptr" or second[1] == "ptr":
            return None
        if node.op == "sub":
            if right.op == "const":
                distance = number_text(-right.data, "i64")
            else:
                amount = self._writer.convert(second, "i64")
                distance = self._writer.assign(f"sub i64 0, {amount}")
        else:
            distance = self._writer.convert(second, "i64")
        return self._writer.assign(f"getelementptr i8, ptr {first[0]}, i64 {distance}"), "ptr"

    def overflow(self, node: Node) -> Value:
        """Return whether an operation of two integers overflows."""
        type_ = node.args[0].type
        first, second = (self._values.typed(arg, type_) for arg in node.args)
        pair = f"{{ {type_}, i1 }}"
        both = self._writer.assign(
            f"call {pair} @llvm.{node.data}.with.overflow.{type_}"
            f"({type_} {first}, {type_} {second})"
        )
        return self._writer.assign(f"extractvalue {pair} {both}, 1"), "i1"

    # -- one value ---

    def cast(self, node: Node) -> Value:
        """Return a value converted as an instruction does it."""
        value = node.args[0]
        own = value.type
        text = self._values.typed(value, own)
        if re.fullmatch(r"-?\d+", text) and node.type[0] == "i" and node.op == "trunc":
            return number_text(int(text), node.type), node.type
        return self._writer.assign(f"{node.op} {own} {text} to {node.type}"), node.type

    def sign(self, node: Node) -> Value:
        """Return a floating-point number negated, or without its sign."""
        type_ = self._values.narrow(node)
        text = self._values.typed(node.args[0], type_)
        if node.op == "fneg":
            return self._writer.assign(f"fneg {type_} {text}"), type_
        name = overload(type_)
        return self._writer.assign(f"call {type_} @llvm.fabs.{name}({type_} {text})"), type_

    # -- conditions ---

    def compare(self, node: Node) -> Value:
        """Return a comparison of two values."""
        return self._compare(node, node.data), node.type

    def _compare(self, node: Node, predicate: str) -> str:
        left, right = node.args
        type_ = left.type
        if node.op == "icmp" and type_ == "i64":
            values = [self._values.of(arg) for arg in node.args]
            kinds = [value[1] for value in values]
            texts = [value[0] for value in values]
            is_pointer = "ptr" in kinds and all(
                kind == "ptr" or text == "0" for text, kind in zip(texts, kinds, strict=True)
            )
            if is_pointer and (predicate in ("eq", "ne") or predicate[0] == "u"):
                type_ = "ptr"
        first, second = self._values.typed(left, type_), self._values.typed(right, type_)
        return self._writer.assign(f"{node.op} {predicate} {type_} {first}, {second}")

    def select(self, node: Node) -> Value:
        """Return one of two values."""
        condition, yes, no = node.args
        values = [self._values.of(each_node) for each_node in (yes, no)]
        type_ = node.type
        is_pointer = any(value[1] == "ptr" for value in values)
        if is_pointer and all(value[1] == "ptr" or value[0] == "0" for value in values):
            type_ = "ptr"
        test = self.opposite(condition)
        if test is not None:
            yes, no = no, yes
        else:
            test = self._values.typed(condition, condition.type)
        first, second = (self._values.typed(each_node, type_) for each_node in (yes, no))
        text = f"select {condition.type} {test}, {type_} {first}, {type_} {second}"
        return self._writer.assign(text), type_

    def opposite(self, condition: Node) -> str | None:
        """Return the negation of a comparison, where the variant wants it negated."""
        how = self._variant.branches
        if condition.op != "icmp" or how == "as is":
            return None
        if how == "strict" and condition.data not in _NOT_STRICT:
            return None
        return self._compare(condition, _OPPOSITE[condition.data])

    # -- lanes ---

    def extract_lane(self, node: Node) -> Value:
        """Return a lane of a vector."""
        ((vector, type_),) = self._own_types(node)
        return self._writer.assign(f"extractelement {type_} {vector}, i64 {node.data}"), node.type

    def insert_lane(self, node: Node) -> Value:
        """Return a vector with another value in one lane."""
        (old, type_), (part, element) = self._own_types(node)
        text = f"insertelement {type_} {old}, {element} {part}, i64 {node.data}"
        return self._writer.assign(text), node.type

    def shuffle(self, node: Node) -> Value:
        """Return lanes of two vectors in another order."""
        (first, type_), (second, _) = self._own_types(node)
        mask = ", ".join(f"i32 {item}" for item in node.data)
        text = f"shufflevector {type_} {first}, {type_} {second}, <{len(node.data)} x i32> <{mask}>"
        return self._writer.assign(text), node.type

    def extract_part(self, node: Node) -> Value:
        """Return a member of what an instruction gives as a structure."""
        text, whole = self._values.of(node.args[0])
        is_exception = node.args[0].op == "landing_pad" and node.data == 0
        part = "ptr" if is_exception else node.type
        return self._writer.assign(f"extractvalue {whole} {text}, {node.data}"), part

    def _own_types(self, node: Node) -> list[Value]:
        return [(self._values.typed(arg, arg.type), arg.type) for arg in node.args]


def _unmasked(amount: Node) -> Node:
    if amount.op == "and" and amount.args[1].op == "const":
        return amount.args[0]
    return amount
