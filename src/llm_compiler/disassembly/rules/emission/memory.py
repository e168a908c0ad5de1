"""Addresses, and what reads and writes through them: loads, stores, atomics, copies."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

from llm_compiler.disassembly.rules.constants import global_name
from llm_compiler.disassembly.rules.draft import Function, Plan
from llm_compiler.disassembly.rules.emission.stack import Stack
from llm_compiler.disassembly.rules.emission.values import Values
from llm_compiler.disassembly.rules.emission.writer import Value, Writer
from llm_compiler.disassembly.rules.frame import alignment_at
from llm_compiler.disassembly.rules.nodes import AddressParts, Graph, Node
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.webs import Webs

__all__ = ["Addresses", "Memory"]

_STEPS: Final = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}
_SURE_ALIGNMENT: Final = 8
"""Of the frame's words, in bytes."""
_SEGMENTS: Final = {"gs": 256, "fs": 257}
_COPIES: Final = frozenset({"llvm.memcpy.any", "llvm.memset.any"})


class Addresses:
    """Writes addresses: as pointers where one is meant, else as sums."""

    def __init__(
        self,
        writer: Writer,
        values: Values,
        stack: Stack,
        function: Function,
        webs: Webs,
        variant: Variant,
    ) -> None:
        """Take what a variant leaves open."""
        self._writer, self._values, self._stack = writer, values, stack
        self._function, self._webs, self._variant = function, webs, variant

    def address(self, node: Node) -> Value:
        """Return symbol or base, plus index and displacement."""
        parts: AddressParts = node.data
        if parts.segment:
            return self._segment(node)
        args = list(node.args)
        index = args.pop() if parts.has_index else None
        base = args.pop() if parts.has_base else None
        if parts.symbol:
            text = global_name(parts.symbol)
            if parts.symbol in self._function.code.tables:
                # Kept in memory up to the jump, which is a switch, and read by nobody else.
                text = "null"
        elif parts.frame is not None:
            text = self._stack.address(parts.frame)
        elif base is None and index is not None:
            text = "null"
        elif base is None:
            return str(parts.displacement), "i64"
        else:
            if index is not None and parts.scale == 1 and self._is_swapped(base, index):
                base, index = index, base
            value = self._values.of(base)
            if value[1] != "ptr" and node not in self._used_as_pointers:
                return self._sum(value, index, parts)
            text = self._writer.convert(value, "ptr")
            base = None
        if base is not None:
            text = self._step("i8", text, self._values.typed(base, "i64"))
        displacement = parts.displacement
        if self._variant.sums_first and displacement and index is not None:
            text = self._step("i8", text, str(displacement))
            displacement = 0
        if index is not None:
            text = self._step(_STEPS[parts.scale], text, self._values.typed(index, "i64"))
        if displacement:
            text = self._step("i8", text, str(displacement))
        return text, "ptr"

    def _step(self, element: str, pointer: str, by: str) -> str:
        return self._writer.assign(f"getelementptr {element}, ptr {pointer}, i64 {by}")

    def _is_swapped(self, base: Node, index: Node) -> bool:
        """Whether the index is the pointer and the base is the number."""
        return self._values.is_pointer(index) and not self._values.is_pointer(base)

    @cached_property
    def _used_as_pointers(self) -> frozenset[Node]:
        return _used_as_pointers(self._function.graph, self._webs)

    def _sum(self, base: Value, index: Node | None, parts: AddressParts) -> Value:
        """Return what lea computes, as a number."""
        writer, displacement = self._writer, parts.displacement
        words = f" {self._variant.overflow}" if self._variant.overflow else ""
        total = writer.convert(base, "i64")
        if index is not None:
            by = self._values.typed(index, "i64")
            if parts.scale > 1:
                by = writer.assign(f"shl{words} i64 {by}, {parts.scale.bit_length() - 1}")
            if displacement and self._variant.sums_first:
                by = writer.assign(f"add{words} i64 {by}, {displacement}")
                displacement = 0
            total = writer.assign(f"add{words} i64 {total}, {by}")
        if displacement:
            total = writer.assign(f"add{words} i64 {total}, {displacement}")
        return total, "i64"

    def _segment(self, node: Node) -> Value:
        writer = self._writer
        parts: AddressParts = node.data
        space = f"ptr addrspace({_SEGMENTS[parts.segment]})"
        args = list(node.args)
        if not args:
            return f"inttoptr (i64 {parts.displacement} to {space})", space
        index = self._values.typed(args.pop(), "i64") if parts.has_index else None
        total = self._values.typed(args.pop(), "i64") if parts.has_base else "0"
        if index is not None:
            scaled = writer.assign(f"shl i64 {index}, {parts.scale.bit_length() - 1}")
            total = writer.assign(f"add i64 {total}, {scaled}")
        if parts.displacement:
            total = writer.assign(f"add i64 {total}, {parts.displacement}")
        return writer.assign(f"inttoptr i64 {total} to {space}"), space


def _used_as_pointers(graph: Graph, webs: Webs) -> frozenset[Node]:
    """Return the addresses that are read or written through, or kept in a pointer."""
    found: set[Node] = set()
    for number in graph.order:
        for node in graph.blocks[number].nodes:
            if node.op == "store":
                found.add(node.args[1])
            elif node.op in ("load", "atomicrmw", "cmpxchg") or (node.op == "call" and node.args):
                found.add(node.args[0])
            elif node.op == "intrinsic" and node.data.startswith("llvm.mem"):
                found.update(node.args[:2])
            elif node.op == "write":
                web = webs.of.get(node)
                if web is not None and web.type == "ptr":
                    found.add(node.args[0])
    return frozenset(found)


class Memory:
    """Writes what reads and changes memory."""

    def __init__(self, writer: Writer, values: Values, plan: Plan) -> None:
        """Take which values are pointers from a plan."""
        self._writer, self._values = writer, values
        self._pointers, self._plan = plan.webs.pointers, plan

    def allocate(self, node: Node) -> Value:
        """Return memory of a computed size below the stack pointer."""
        size = self._values.typed(node.args[0], "i64")
        return self._writer.assign(f"alloca i8, i64 {size}, align 16"), "ptr"

    def load(self, node: Node) -> Value:
        """Return what is at an address."""
        text, kind = self._values.pointer(node.args[0])
        type_ = "ptr" if node in self._pointers else self._values.narrow(node)
        words, order = _access_words(node, node.args[0])
        if order:
            type_ = node.type  # all of it, at once
        place = f"{kind} {text}{order}"
        align = self._alignment(node, node.args[0])
        return self._writer.assign(f"load {words}{type_}, {place}, align {align}"), type_

    def store(self, node: Node) -> None:
        """Set what is at an address."""
        value, address = node.args
        own = self._values.of(value)
        if own[1] != "ptr":
            own = self._writer.convert(own, value.type), value.type
        text, kind = self._values.pointer(address)
        words, order = _access_words(node, address)
        place = f"{kind} {text}{order}"
        align = self._alignment(node, address)
        self._writer.append(f"store {words}{own[1]} {own[0]}, {place}, align {align}")

    def _alignment(self, access: Node, address: Node) -> int:
        """Return what an access may rely on: of its own frame, no more than the draft's has."""
        asked: int = access.data
        place = address.data if address.op == "frame" else None
        if address.op == "address":
            place = address.data.frame
        if asked <= _SURE_ALIGNMENT or place is None:
            return asked
        return min(asked, alignment_at(self._plan.objects, place) or asked)

    def fence(self, node: Node) -> None:
        """Order accesses."""
        self._writer.append(f"fence {node.flags}")

    def atomic(self, node: Node) -> Value:
        """Return what was at an address before it was changed."""
        text, kind = self._values.pointer(node.args[0])
        values = [(self._values.typed(arg, arg.type), arg.type) for arg in node.args[1:]]
        if node.op == "atomicrmw":
            value, type_ = values[0]
            words = f"{node.data} {kind} {text}, {type_} {value} {node.flags}"
            return self._writer.assign(f"atomicrmw {words}"), type_
        (old, type_), (new, _) = values
        words = f"{kind} {text}, {type_} {old}, {type_} {new} {node.flags}"
        return self._writer.assign(f"cmpxchg {words}"), node.type

    def intrinsic(self, node: Node) -> None:
        """Append a call of an intrinsic; set the node's value if it has one."""
        name = node.data
        if name == "llvm.va_start.p0":
            pointer = self._values.typed(node.args[0], "ptr")
            self._writer.append(f"call void @{name}(ptr {pointer})")
        elif name in _COPIES:
            self._copy(node, name)
        else:
            args = [f"{arg.type} {self._values.typed(arg, arg.type)}" for arg in node.args]
            inner = ", ".join(args)
            if node.type == "void":
                self._writer.append(f"call void @{name}({inner})")
            else:
                text = self._writer.assign(f"call {node.type} @{name}({inner})")
                self._values.set(node, (text, node.type))

    def _copy(self, node: Node, name: str) -> None:
        to = self._values.typed(node.args[0], "ptr")
        length = self._values.typed(node.args[2], "i64")
        is_known = re.fullmatch(r"\d+", length) is not None
        inline = ".inline" if is_known and node.bits > 1 else ""
        align = f" align {node.bits}" if node.bits > 1 else ""
        if "memcpy" in name:
            source = self._values.typed(node.args[1], "ptr")
            name, second = f"memcpy{inline}.p0.p0.i64", f"ptr{align} {source}"
        else:
            byte = self._values.typed(node.args[1], "i8")
            name, second = f"memset{inline}.p0.i64", f"i8 {byte}"
        self._writer.append(
            f"call void @llvm.{name}(ptr{align} {to}, {second}, i64 {length}, i1 false)"
        )


def _access_words(node: Node, address: Node) -> tuple[str, str]:
    """Return what stands in front of a load's or store's type, and after its address.

    What code reads at an address that it names as a number is no memory of the program but a
    device's: nobody else gives such addresses.
    """
    parts = address.data if address.op == "address" else None
    is_number = parts is not None and not (
        parts.symbol or parts.has_base or parts.segment or parts.frame is not None
    )
    if node.flags.startswith("atomic "):
        return "atomic ", f" {node.flags.removeprefix('atomic ')}"
    words = node.flags or ("volatile" if is_number or address.op == "const" else "")
    return f"{words} " if words else "", ""
