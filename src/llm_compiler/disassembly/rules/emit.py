"""From a plan to LLVM-IR: variables as typed allocas, which LLVM's own passes turn into SSA form.

Every node is printed where it stands, once. Whether a 64-bit number is printed as a pointer follows
from the variables that it comes from and goes to.
"""

from __future__ import annotations

import random
import re
from typing import Final

from llm_compiler.disassembly.rules.builder import ANY
from llm_compiler.disassembly.rules.calls import Arguments
from llm_compiler.disassembly.rules.code import HandledRange, Unliftable
from llm_compiler.disassembly.rules.constants import lane_type, literal, number_text, overload
from llm_compiler.disassembly.rules.draft import Function, Plan
from llm_compiler.disassembly.rules.liveness import LANEWISE
from llm_compiler.disassembly.rules.nodes import (
    BINARY,
    CASTS,
    Block,
    CallSite,
    Graph,
    Node,
    bits_of,
)
from llm_compiler.disassembly.rules.placement import place_blocks
from llm_compiler.disassembly.rules.prototypes import NO_RETURN, REPORTS_ERRORS
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.webs import Web

__all__ = ["emit"]

Value = tuple[str, str]
"""Text and type."""

_FLOATS: Final = {"float": 32, "double": 64}
_STEPS: Final = {1: "i8", 2: "i16", 4: "i32", 8: "i64"}
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
_PLAIN: Final = re.compile(r"[\w.-]+")
_SEGMENTS: Final = {"gs": 256, "fs": 257}


def emit(function: Function, variant: Variant) -> str:
    """Return the text of a function's body, from ``define`` to the closing brace.

    Raises:
        Unliftable: the graph holds what has no words here.
    """
    return _Emitter(function, function.plan(variant), variant).run()


def global_name(name: str) -> str:
    """Return the IR's name of a symbol of the assembly."""
    plain = name.removeprefix(".L")
    return f"@{plain}" if _PLAIN.fullmatch(plain) else f'@"{plain}"'


class _Emitter:
    def __init__(self, function: Function, plan: Plan, variant: Variant) -> None:
        self._function, self._plan, self._variant = function, plan, variant
        self._graph = function.graph
        self._convention = function.target.convention
        self._has_result_register = self._convention.has_result_register
        self._lines: list[str] = []
        self._values: dict[Node, Value] = {}
        self._count = 0
        self._needs_unreachable = False
        self._by_value: int | None = None
        self._stack_words = self._stack()
        self._folded = {} if variant.keeps_switch else self._range_checks()

    # -- the whole ---

    def run(self) -> str:
        bodies: dict[int, list[str]] = {}
        guarded = {self._graph.blocks[number].nodes[-1].data[1] for number in self._folded}
        written = [number for number in self._graph.order if number not in guarded]
        for number in written:
            self._lines = [f"b{number}:"]
            self._block(self._graph.blocks[number])
            bodies[number] = self._lines
        order = [one for one in place_blocks(self._function, self._variant) if one in bodies]
        order += [one for one in written if one not in order]
        parameters, prologue = self._parameters()
        allocas = self._allocas()
        lines = [
            f"define {self._plan.result} {global_name(self._function.code.name)}"
            f"({', '.join(parameters)}){self._personality()} {{",
            "entry:",
            *allocas,
            *prologue,
            "  br label %b0",
            *(line for number in order for line in bodies[number]),
        ]
        if self._needs_unreachable:
            lines += ["unreached:", "  unreachable"]
        lines.append("}")
        text = "\n".join(lines) + "\n"
        if self._variant.inbounds:
            text = text.replace("= getelementptr ", "= getelementptr inbounds ")
        return text

    def _personality(self) -> str:
        name = self._function.code.personality
        return f" personality ptr {global_name(name)}" if name else ""

    def _stack(self) -> dict[int, int]:
        """Return the words that the caller passes on the stack, and their numbers."""
        first = self._convention.first_stack_argument
        direct, pointed = self._plan.accesses.incoming(first)
        if pointed:
            end = max([place + size for place, size in direct] + [one + 8 for one in pointed])
            self._by_value = -(-(end - first) // 8) * 8
            return {}
        last = max(((place - first) // 8 for place, _ in direct), default=-1)
        return {first + 8 * number: number for number in range(last + 1)}

    def _parameters(self) -> tuple[list[str], list[str]]:
        found: list[str] = []
        prologue: list[str] = []
        webs = self._plan.webs.parameters
        integers, vectors = (
            self._convention.integer_arguments,
            self._convention.vector_arguments,
        )
        used = [place for place, one in enumerate(integers) if one in webs]
        last = max(used) if used else -1
        if self._stack_words and self._by_value is None:
            last = len(integers) - 1
        for place in range(last + 1):
            register = integers[place]
            web = webs.get(register)
            type_ = web.type if web is not None else "i64"
            found.append(f"{type_} %a{place}")
            if web is not None:
                prologue.append(f"  store {type_} %a{place}, ptr %w{web.number}")
        used = [place for place, one in enumerate(vectors) if one in webs]
        for place in range(max(used) + 1 if used else 0):
            web = webs.get(vectors[place])
            type_ = web.type if web is not None else "double"
            found.append(f"{type_} %x{place}")
            if web is not None:
                prologue.append(f"  store {type_} %x{place}, ptr %w{web.number}")
        result = self._convention.struct_result
        if self._has_result_register and (web := webs.get(result)) is not None:
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
        if self._by_value is not None:
            found.append(f"ptr byval([{self._by_value} x i8]) align 8 %stack")
        for place, number in self._stack_words.items():
            type_ = self._stack_type(place)
            found.append(f"{type_} %p{number}")
            prologue.append(f"  %in{place} = alloca {type_}")
            prologue.append(f"  store {type_} %p{number}, ptr %in{place}")
        return found, prologue

    def _stack_type(self, place: int) -> str:
        """Return the type of a word that the caller passes on the stack, by how it is read."""
        direct = self._plan.accesses.direct
        sizes = {size for start, size in direct if place <= start < place + 8}
        is_low = all(start == place for start, _ in direct if place <= start < place + 8)
        return f"i{8 * max(sizes)}" if sizes and is_low else "i64"

    def _allocas(self) -> list[str]:
        webs = list(self._plan.webs.all)
        order = self._variant.order
        if order == 1:
            webs.reverse()
        elif order == 2:
            webs.sort(key=lambda one: one.register)
        elif order > 2:
            random.Random(order).shuffle(webs)
        lines = [f"  %w{one.number} = alloca {one.type}" for one in webs]
        for number, one in enumerate(self._plan.objects):
            size = one.end - one.start
            lines.append(f"  %s{number} = alloca [{size} x i8], align {one.alignment}")
        return lines

    # -- one block ---

    def _block(self, block: Block) -> None:
        needs, after = self._plan.live.needs, self._plan.live.after
        for node in block.nodes:
            if node.op == "write":
                if after.get(node):
                    self._write(node)
            elif node.op in ("read", "result", "const", "undef", "frame"):
                if node.op == "read" and node in needs:
                    self._values[node] = self._read(self._plan.webs.of[node], node)
            elif node in needs:
                self._node(node, block)

    def _add(self, text: str) -> str:
        self._count += 1
        name = f"%t{self._count}"
        self._lines.append(f"  {name} = {text}")
        return name

    def _say(self, text: str) -> None:
        self._lines.append(f"  {text}")

    def _node(self, node: Node, block: Block) -> None:
        op = node.op
        if op in BINARY:
            self._values[node] = self._binary(node)
        elif op in CASTS:
            self._values[node] = self._cast(node)
        elif op in ("icmp", "fcmp"):
            self._values[node] = self._compare(node, node.data), node.type
        elif op == "select":
            self._values[node] = self._select(node)
        elif op == "load":
            self._values[node] = self._load(node)
        elif op == "store":
            self._store(node)
        elif op == "address":
            self._values[node] = self._address(node)
        elif op == "intrinsic":
            self._intrinsic(node)
        elif op in _OTHERS:
            self._values[node] = self._other(node)
        elif op == "call":
            self._call(node)
        else:
            self._terminator(node, block)

    # -- values ---

    def _value(self, node: Node) -> Value:
        op = node.op
        if op == "const":
            text = node.data if isinstance(node.data, str) else number_text(node.data, node.type)
            return text, node.type
        if op == "undef":
            return "poison" if node.type[0] == "<" else "undef", node.type
        if op == "frame":
            return self._frame(node.data), "ptr"
        if op == "bytes":
            return self._bytes(node, self._plan.live.needs.get(node, 128))
        found = self._values.get(node)
        if found is None:
            raise Unliftable("a value that is used before it is there", repr(node)[:80])
        return found

    def _as(self, node: Node, type_: str) -> str:
        return self._convert(self._value(node), type_)

    def _convert(self, value: Value, type_: str) -> str:
        """Return a value's low bits as another type, zero-extended where it is narrower."""
        text, own = value
        if own == type_:
            return text
        if text == "zeroinitializer" and type_[0] != "<":
            return {"float": "0.0", "double": "0.0", "ptr": "null"}.get(type_, "0")
        if own[0] == "<" or type_[0] == "<":
            return self._convert_vector(value, type_)
        if own in _FLOATS:
            number = f"i{_FLOATS[own]}"
            return self._convert((self._add(f"bitcast {own} {text} to {number}"), number), type_)
        if type_ in _FLOATS:
            number = f"i{_FLOATS[type_]}"
            text = self._convert(value, number)
            return self._add(f"bitcast {number} {text} to {type_}")
        if own == "ptr":
            if text == "null":
                return "0"
            return self._convert((self._add(f"ptrtoint ptr {text} to i64"), "i64"), type_)
        if type_ == "ptr":
            text = self._convert(value, "i64")
            return "null" if text == "0" else self._add(f"inttoptr i64 {text} to ptr")
        return self._resize(text, bits_of(own), bits_of(type_))

    def _resize(self, text: str, own: int, bits: int) -> str:
        if text in ("undef", "poison"):
            return text
        if re.fullmatch(r"-?\d+", text) or text in ("true", "false"):
            number = {"true": 1, "false": 0}.get(text)
            number = int(text) if number is None else number
            return number_text(number & ((1 << min(own, bits)) - 1), f"i{bits}")
        return self._add(f"{'zext' if bits > own else 'trunc'} i{own} {text} to i{bits}")

    def _convert_vector(self, value: Value, type_: str) -> str:
        text, own = value
        if own[0] == "<" and type_[0] == "<":
            if text == "zeroinitializer":
                return text
            if bits_of(own) == bits_of(type_):
                return self._add(f"bitcast {own} {text} to {type_}")
            if bits_of(own) > bits_of(type_):
                low = self._convert(value, f"i{bits_of(type_)}")
                return self._convert((low, f"i{bits_of(type_)}"), type_)
            low = self._convert(value, f"i{bits_of(own)}")
            return self._convert((low, f"i{bits_of(own)}"), type_)
        if own[0] == "<":
            element = lane_type(bits_of(type_), type_)
            lanes = f"<{bits_of(own) // bits_of(element)} x {element}>"
            whole = self._convert(value, lanes)
            low = self._add(f"extractelement {lanes} {whole}, i64 0")
            return self._convert((low, element), type_)
        if bits_of(own) == bits_of(type_):
            return self._add(f"bitcast {own} {self._convert(value, own)} to {type_}")
        element = lane_type(bits_of(own), own)
        part = self._convert(value, element)
        lanes = f"<{bits_of(type_) // bits_of(element)} x {element}>"
        whole = self._add(f"insertelement {lanes} zeroinitializer, {element} {part}, i64 0")
        return self._convert((whole, lanes), type_)

    def _bytes(self, node: Node, needed: int) -> Value:
        data: bytes = node.data
        type_ = node.type
        if type_[0] == "<":
            element = type_[1:-1].split(" x ")[1]
            if needed <= bits_of(element):
                return literal(data[: bits_of(element) // 8], element), element
            width = bits_of(element) // 8
            parts = [
                f"{element} {literal(data[place : place + width], element)}"
                for place in range(0, len(data), width)
            ]
            if not any(data):
                return "zeroinitializer", type_
            return f"<{', '.join(parts)}>", type_
        return literal(data, type_), type_

    # -- registers ---

    def _read(self, web: Web, node: Node | None = None, type_: str = "") -> Value:
        text = self._add(f"load {web.type}, ptr %w{web.number}")
        value = text, web.type
        wanted = type_
        if node is not None:
            wanted = node.type
            if node.type[0] == "<":
                wanted = self._narrow(node)
        if wanted in ("", ANY) or (web.type == "ptr" and wanted == "i64"):
            return value
        return self._convert(value, wanted), wanted

    def _narrow(self, node: Node) -> str:
        """Return the type of a lane-wise value of which only low bits are asked for."""
        if node.type[0] != "<":
            return node.type
        element = node.type[1:-1].split(" x ")[1]
        needed = self._plan.live.needs.get(node, 128)
        return element if needed <= bits_of(element) else node.type

    def _write(self, node: Node) -> None:
        web = self._plan.webs.of[node]
        value_node = node.args[0]
        if value_node.op == "result":
            if value_node.args[0] not in self._values:
                return
            value = self._values[value_node.args[0]]
            if value[1] == "void":
                return
            self._set(web, self._result_part(value, value_node), "")
            return
        value = self._value(value_node)
        if node in self._plan.live.merges:
            self._merge(web, value, node)
            return
        bits = node.bits
        is_number = value[1][0] == "i" and not node.is_copy
        if is_number and bits and bits_of(value[1]) != bits:
            value = self._convert(value, f"i{bits}"), f"i{bits}"
        self._set(web, value, "")

    def _set(self, web: Web, value: Value, _: str) -> None:
        self._say(f"store {web.type} {self._convert(value, web.type)}, ptr %w{web.number}")

    def _merge(self, web: Web, value: Value, node: Node) -> None:
        """Set low bits, and keep those above."""
        old = self._add(f"load {web.type}, ptr %w{web.number}"), web.type
        if web.type[0] == "<" or self._convention.is_vector(web.register):
            if web.type[0] != "<":
                self._set(web, value, "")
                return
            element = lane_type(bits_of(value[1]), value[1])
            lanes = f"<{bits_of(web.type) // bits_of(element)} x {element}>"
            whole = self._convert(old, lanes)
            part = self._convert(value, element)
            made = self._add(f"insertelement {lanes} {whole}, {element} {part}, i64 0")
            self._set(web, (made, lanes), "")
            return
        bits = bits_of(web.type)
        type_ = f"i{bits}"
        if bits <= node.bits:
            self._set(web, value, "")
            return
        mask = number_text(~((1 << node.bits) - 1), type_)
        kept = self._add(f"and {type_} {self._convert(old, type_)}, {mask}")
        low = self._convert((self._convert(value, f"i{node.bits}"), f"i{node.bits}"), type_)
        self._set(web, (self._add(f"or {type_} {kept}, {low}"), type_), "")

    # -- operations ---

    def _binary(self, node: Node) -> Value:
        op, type_ = node.op, node.type
        left, right = node.args
        if op in LANEWISE and type_[0] == "<":
            type_ = self._narrow(node)
        is_sum = type_ == "i64" and op in ("add", "sub")
        if is_sum and (pointer := self._pointer_sum(node)) is not None:
            return pointer
        if op in ("shl", "lshr", "ashr") and not self._variant.masks:
            right = _unmasked(right)
        first, second = self._as(left, type_), self._as(right, type_)
        word = op
        if self._variant.overflow and op in ("add", "sub", "mul") and type_ in ("i32", "i64"):
            word = f"{op} {self._variant.overflow}"
        return self._add(f"{word} {type_} {first}, {second}"), type_

    def _pointer_sum(self, node: Node) -> Value | None:
        """Return a sum as an address, if one side is a pointer."""
        first, second = (self._value(one) for one in node.args)
        left, right = node.args
        if node.op == "add" and second[1] == "ptr" and first[1] != "ptr":
            first, second, left, right = second, first, right, left
        if first[1] != "ptr" or second[1] == "ptr":
            return None
        if node.op == "sub":
            if right.op == "const":
                distance = number_text(-right.data, "i64")
            else:
                amount = self._convert(second, "i64")
                distance = self._add(f"sub i64 0, {amount}")
        else:
            distance = self._convert(second, "i64")
        return self._add(f"getelementptr i8, ptr {first[0]}, i64 {distance}"), "ptr"

    def _cast(self, node: Node) -> Value:
        value = node.args[0]
        own = value.type
        text = self._as(value, own)
        if re.fullmatch(r"-?\d+", text) and node.type[0] == "i" and node.op == "trunc":
            return number_text(int(text), node.type), node.type
        return self._add(f"{node.op} {own} {text} to {node.type}"), node.type

    def _compare(self, node: Node, predicate: str) -> str:
        left, right = node.args
        type_ = left.type
        if node.op == "icmp" and type_ == "i64":
            values = [self._value(one) for one in node.args]
            kinds = [one[1] for one in values]
            texts = [one[0] for one in values]
            is_pointer = "ptr" in kinds and all(
                kind == "ptr" or text == "0" for text, kind in zip(texts, kinds, strict=True)
            )
            if is_pointer and (predicate in ("eq", "ne") or predicate[0] == "u"):
                type_ = "ptr"
        word = "icmp" if node.op == "icmp" else "fcmp"
        first, second = self._as(left, type_), self._as(right, type_)
        return self._add(f"{word} {predicate} {type_} {first}, {second}")

    def _select(self, node: Node) -> Value:
        condition, yes, no = node.args
        values = [self._value(one) for one in (yes, no)]
        type_ = node.type
        is_pointer = any(one[1] == "ptr" for one in values)
        if is_pointer and all(one[1] == "ptr" or one[0] == "0" for one in values):
            type_ = "ptr"
        test = self._opposite(condition)
        if test is not None:
            yes, no = no, yes
        else:
            test = self._as(condition, condition.type)
        texts = [self._as(one, type_) for one in (yes, no)]
        kind = condition.type
        return (
            self._add(f"select {kind} {test}, {type_} {texts[0]}, {type_} {texts[1]}"),
            type_,
        )

    def _opposite(self, condition: Node) -> str | None:
        """Return the negation of a comparison, where the variant wants it negated."""
        how = self._variant.branches
        if condition.op != "icmp" or how == "as is":
            return None
        if how == "strict" and condition.data not in _NOT_STRICT:
            return None
        return self._compare(condition, _OPPOSITE[condition.data])

    # -- memory ---

    def _frame(self, place: int) -> str:
        if place >= self._convention.first_stack_argument:
            return self._incoming(place)
        for number, one in enumerate(self._plan.objects):
            if one.start <= place < one.end or (place == one.end and place == 0):
                if place == one.start:
                    return f"%s{number}"
                return self._add(f"getelementptr i8, ptr %s{number}, i64 {place - one.start}")
        raise Unliftable("a place of the frame in no object")

    def _incoming(self, place: int) -> str:
        first = self._convention.first_stack_argument
        if self._graph.num_named is not None:
            raise Unliftable("arguments of '...' that are read without a list")
        if self._by_value is not None:
            if place == first:
                return "%stack"
            return self._add(f"getelementptr i8, ptr %stack, i64 {place - first}")
        word = first + (place - first) // 8 * 8
        if word not in self._stack_words:
            raise Unliftable("a place of the caller's frame")
        if word == place:
            return f"%in{word}"
        return self._add(f"getelementptr i8, ptr %in{word}, i64 {place - word}")

    def _address(self, node: Node) -> Value:
        place = node.data
        if place.segment:
            return self._segment(node)
        args = list(node.args)
        index = args.pop() if place.has_index else None
        base = args.pop() if place.has_base else None
        displacement = place.displacement
        if place.symbol:
            text = global_name(place.symbol)
            if place.symbol in self._function.code.tables:
                raise Unliftable("the address of a jump table")
        elif place.frame is not None:
            text = self._frame(place.frame)
        elif base is None and index is not None:
            text = "null"
        elif base is None:
            return str(displacement), "i64"
        else:
            is_swapped = index is not None and place.scale == 1 and self._is_pointer(index)
            if index is not None and is_swapped and not self._is_pointer(base):
                base, index = index, base
            value = self._value(base)
            if value[1] != "ptr" and not self._is_used_as_pointer(node):
                return self._sum(value, index, place.scale, displacement)
            text = self._convert(value, "ptr")
            base = None
        if base is not None:
            text = self._add(f"getelementptr i8, ptr {text}, i64 {self._as(base, 'i64')}")
        if self._variant.sums_first and displacement and index is not None:
            text = self._add(f"getelementptr i8, ptr {text}, i64 {displacement}")
            displacement = 0
        if index is not None:
            step = _STEPS[place.scale]
            text = self._add(f"getelementptr {step}, ptr {text}, i64 {self._as(index, 'i64')}")
        if displacement:
            text = self._add(f"getelementptr i8, ptr {text}, i64 {displacement}")
        return text, "ptr"

    def _is_pointer(self, node: Node) -> bool:
        return self._value(node)[1] == "ptr"

    def _is_used_as_pointer(self, node: Node) -> bool:
        """Whether an address is one: read or written through, or kept in a pointer."""
        if not hasattr(self, "_pointed"):
            self._pointed = self._find_pointed()
        return node in self._pointed

    def _find_pointed(self) -> set[Node]:
        found: set[Node] = set()
        for number in self._graph.order:
            for node in self._graph.blocks[number].nodes:
                if node.op == "store":
                    found.add(node.args[1])
                elif node.op in ("load", "atomicrmw", "cmpxchg") or (
                    node.op == "call" and node.args
                ):
                    found.add(node.args[0])
                elif node.op == "intrinsic" and node.data.startswith("llvm.mem"):
                    found.update(node.args[:2])
                elif node.op == "write":
                    web = self._plan.webs.of.get(node)
                    if web is not None and web.type == "ptr":
                        found.add(node.args[0])
        return found

    def _sum(self, base: Value, index: Node | None, scale: int, displacement: int) -> Value:
        """Return what lea computes, as a number."""
        words = f" {self._variant.overflow}" if self._variant.overflow else ""
        total = self._convert(base, "i64")
        if index is not None:
            by = self._as(index, "i64")
            if scale > 1:
                by = self._add(f"shl{words} i64 {by}, {scale.bit_length() - 1}")
            if displacement and self._variant.sums_first:
                by = self._add(f"add{words} i64 {by}, {displacement}")
                displacement = 0
            total = self._add(f"add{words} i64 {total}, {by}")
        if displacement:
            total = self._add(f"add{words} i64 {total}, {displacement}")
        return total, "i64"

    def _segment(self, node: Node) -> Value:
        place = node.data
        space = f"ptr addrspace({_SEGMENTS[place.segment]})"
        args = list(node.args)
        if not args:
            return f"inttoptr (i64 {place.displacement} to {space})", space
        index = self._as(args.pop(), "i64") if place.has_index else None
        total = self._as(args.pop(), "i64") if place.has_base else "0"
        if index is not None:
            scaled = self._add(f"shl i64 {index}, {place.scale.bit_length() - 1}")
            total = self._add(f"add i64 {total}, {scaled}")
        if place.displacement:
            total = self._add(f"add i64 {total}, {place.displacement}")
        return self._add(f"inttoptr i64 {total} to {space}"), space

    def _place(self, node: Node) -> tuple[str, str]:
        """Return an address as text and the type of pointer that it is."""
        text, type_ = self._value(node)
        if type_.startswith("ptr "):
            return text, type_
        return self._convert((text, type_), "ptr"), "ptr"

    def _load(self, node: Node) -> Value:
        text, kind = self._place(node.args[0])
        type_ = "ptr" if node in self._plan.webs.pointers else self._narrow(node)
        alignment = node.data
        words = self._access_words(node, node.args[0])
        return self._add(f"load {words}{type_}, {kind} {text}, align {alignment}"), type_

    def _store(self, node: Node) -> None:
        value, address = node.args
        own = self._value(value)
        if own[1] != "ptr":
            own = self._convert(own, value.type), value.type
        text, kind = self._place(address)
        words = self._access_words(node, address)
        self._say(f"store {words}{own[1]} {own[0]}, {kind} {text}, align {node.data}")

    def _access_words(self, node: Node, address: Node) -> str:
        """Return what stands in front of a load's or store's type.

        What code reads at an address that it names as a number is no memory of the program but a
        device's: nobody else gives such addresses.
        """
        place = address.data if address.op == "address" else None
        is_number = place is not None and not (
            place.symbol or place.has_base or place.segment or place.frame is not None
        )
        words = node.flags or ("volatile" if is_number or address.op == "const" else "")
        return f"{words} " if words else ""

    # -- what is rare ---

    def _other(self, node: Node) -> Value:
        op, type_ = node.op, node.type
        if op == "bytes":
            return self._bytes(node, self._plan.live.needs.get(node, 128))
        if op in ("fneg", "fabs"):
            return self._sign(node)
        if op == "overflow":
            return self._overflow(node)
        args = [(self._as(one, one.type), one.type) for one in node.args]
        if op == "extractvalue":
            whole = self._values[node.args[0]]
            part = type_
            if node.args[0].op == "landing_pad" and node.data == 0:
                part = "ptr"
            text = self._add(f"extractvalue {whole[1]} {whole[0]}, {node.data}")
            return text, part
        if op == "extractelement":
            text = self._add(f"extractelement {args[0][1]} {args[0][0]}, i64 {node.data}")
            return text, type_
        if op == "insertelement":
            (old, kind), (part, element) = args
            text = self._add(f"insertelement {kind} {old}, {element} {part}, i64 {node.data}")
            return text, type_
        if op == "shufflevector":
            (first, kind), (second, _) = args
            mask = ", ".join(f"i32 {one}" for one in node.data)
            text = self._add(
                f"shufflevector {kind} {first}, {kind} {second}, <{len(node.data)} x i32> <{mask}>"
            )
            return text, type_
        return self._atomic(node)

    def _atomic(self, node: Node) -> Value:
        if node.op == "fence":
            self._say(f"fence {node.flags}")
            return "", "void"
        if node.op == "landing_pad":
            return self._landing_pad(node), node.type
        text, kind = self._place(node.args[0])
        values = [(self._as(one, one.type), one.type) for one in node.args[1:]]
        if node.op == "atomicrmw":
            value, type_ = values[0]
            made = self._add(f"atomicrmw {node.data} {kind} {text}, {type_} {value} {node.flags}")
            return made, type_
        (old, type_), (new, _) = values
        made = self._add(f"cmpxchg {kind} {text}, {type_} {old}, {type_} {new} {node.flags}")
        return made, node.type

    def _sign(self, node: Node) -> Value:
        type_ = self._narrow(node)
        text = self._as(node.args[0], type_)
        if node.op == "fneg":
            return self._add(f"fneg {type_} {text}"), type_
        name = overload(type_)
        return self._add(f"call {type_} @llvm.fabs.{name}({type_} {text})"), type_

    def _overflow(self, node: Node) -> Value:
        type_ = node.args[0].type
        first, second = (self._as(one, type_) for one in node.args)
        pair = f"{{ {type_}, i1 }}"
        both = self._add(
            f"call {pair} @llvm.{node.data}.with.overflow.{type_}"
            f"({type_} {first}, {type_} {second})"
        )
        return self._add(f"extractvalue {pair} {both}, 1"), "i1"

    def _intrinsic(self, node: Node) -> None:
        name = node.data
        args = [(self._as(one, one.type), one.type) for one in node.args]
        if name == "llvm.va_start.p0":
            self._say(f"call void @{name}(ptr {self._as(node.args[0], 'ptr')})")
            return
        if name in ("llvm.memcpy.any", "llvm.memset.any"):
            self._memory(node, name)
            return
        inner = ", ".join(f"{type_} {text}" for text, type_ in args)
        if node.type == "void":
            self._say(f"call void @{name}({inner})")
        else:
            self._values[node] = self._add(f"call {node.type} @{name}({inner})"), node.type

    def _memory(self, node: Node, name: str) -> None:
        to = self._as(node.args[0], "ptr")
        length = self._as(node.args[2], "i64")
        is_known = re.fullmatch(r"\d+", length) is not None
        word = "memcpy" if "memcpy" in name else "memset"
        inline = ".inline" if is_known and node.bits > 1 else ""
        align = f" align {node.bits}" if node.bits > 1 else ""
        if word == "memcpy":
            source = self._as(node.args[1], "ptr")
            self._say(
                f"call void @llvm.memcpy{inline}.p0.p0.i64(ptr{align} {to}, ptr{align} {source}, "
                f"i64 {length}, i1 false)"
            )
        else:
            byte = self._as(node.args[1], "i8")
            self._say(
                f"call void @llvm.memset{inline}.p0.i64(ptr{align} {to}, i8 {byte}, i64 {length}, "
                "i1 false)"
            )

    # -- calls ---

    def _call(self, node: Node) -> None:
        site: CallSite = node.data
        found = self._plan.arguments.get(node, Arguments())
        args: list[Value] = []
        for one in found.registers:
            text, kind = self._read(self._plan.webs.of[node, one.register], type_=one.type)
            if one.register == self._convention.struct_result and self._has_result_register:
                text, kind = self._convert((text, kind), "ptr"), "ptr sret(i8)"
            args.append((text, kind))
        for slot in found.slots:
            args.append(self._read(self._plan.webs.of[node, slot]))
        for place, kind in found.words:
            args.append((self._add(f"load {kind}, ptr {self._frame(place)}, align 1"), kind))
        callee = global_name(site.symbol) if site.symbol else self._as(node.args[0], "ptr")
        result = self._result_type(node, found)
        inner = ", ".join(f"{type_} {text}" for text, type_ in args)
        type_ = result
        if found.is_variadic:
            fixed = ", ".join(
                kind.split(" ")[0] if kind[:4] == "ptr " else kind
                for _, kind in args[: found.num_fixed]
            )
            type_ = f"{result} ({fixed}{', ' if fixed else ''}...)"
        words = self._call_words(node, site)
        text = f"{type_} {callee}({inner}){words}"
        if site.landing_pad is not None:
            name = f"b{node.block}.c"
            text = f"invoke {text} to label %{name} unwind label %b{site.landing_pad}"
        else:
            text = f"{'tail ' if site.is_tail else ''}call {text}"
        if result == "void":
            self._say(text)
        else:
            self._values[node] = self._add(text), result
        if site.landing_pad is not None:
            self._lines.append(f"b{node.block}.c:")

    def _call_words(self, node: Node, site: CallSite) -> str:
        words = ""
        if _is_cold(node, site, self._graph, self._variant.cold):
            words += " cold"
        never = self._function.signatures.get(site.symbol)
        if site.symbol in NO_RETURN or (never is not None and never.never_returns):
            words += " noreturn"
        return words

    def _result_type(self, node: Node, found: Arguments) -> str:
        if node.data.is_tail:
            return self._plan.result
        block = self._graph.blocks[node.block]
        after = self._plan.live.after
        wanted: list[Web] = []
        for one in block.nodes:
            is_own = one.op == "write" and one.args[0].op == "result"
            if is_own and one.args[0].args[0] is node and after.get(one):
                wanted.append(self._plan.webs.of[one])
        if not wanted:
            return "void"
        if found.result not in ("", "void") and len(wanted) == 1:
            return found.result
        first = (self._convention.integer_results[0], self._convention.vector_results[0])
        kinds = [one.type for one in wanted]
        if len(wanted) == 1:
            web = wanted[0]
            if web.register in first:
                return web.type
            kind = "double" if self._convention.is_vector(web.register) else "i64"
            return f"{{ {kind}, {web.type} }}"
        return f"{{ {', '.join(kinds)} }}"

    def _result_part(self, value: Value, node: Node) -> Value:
        text, type_ = value
        if type_[0] != "{":
            return value
        parts = type_.strip("{} ").split(", ")
        firsts = (self._convention.integer_results[0], self._convention.vector_results[0])
        second = 0 if node.data in firsts else 1
        return self._add(f"extractvalue {type_} {text}, {second}"), parts[second]

    def _landing_pad(self, node: Node) -> str:
        handled: HandledRange = node.data
        clauses = ["cleanup"] if handled.is_cleanup or not handled.types else []
        for name in handled.types:
            clauses.append(f"catch ptr {global_name(name) if name else 'null'}")
        return self._add(f"landingpad {{ ptr, i32 }} {' '.join(clauses)}")

    # -- terminators ---

    def _terminator(self, node: Node, block: Block) -> None:
        op = node.op
        if op == "jump":
            self._say(f"br label %b{node.data}")
        elif op == "branch":
            if block.number in self._folded:
                self._switch(*self._folded[block.number])
                return
            yes, no = node.data
            condition = node.args[0]
            test = self._opposite(condition)
            if test is not None:
                yes, no = no, yes
            else:
                test = self._as(condition, "i1")
            self._say(f"br i1 {test}, label %b{yes}, label %b{no}")
        elif op == "switch":
            self._switch(node.args[0], node.data, None)
        elif op == "return":
            self._return(node)
        elif op == "tail_return":
            call = next(one for one in reversed(block.nodes) if one.op == "call")
            if call in self._values:
                text, type_ = self._values[call]
                self._say(f"ret {type_} {text}")
            else:
                self._say("ret void")
        elif op == "unreachable":
            self._say("unreachable")
        else:
            raise Unliftable(f"no words for '{op}'")

    def _switch(self, index: Node, blocks: tuple[int, ...], default: int | None) -> None:
        value = self._value(index)
        type_ = "i64" if value[1] == "ptr" else value[1]
        text = self._convert(value, type_)
        if default is None:
            self._needs_unreachable = True
        other = "unreached" if default is None else f"b{default}"
        cases = " ".join(f"{type_} {number}, label %b{one}" for number, one in enumerate(blocks))
        self._say(f"switch {type_} {text}, label %{other} [ {cases} ]")

    def _range_checks(self) -> dict[int, tuple[Node, tuple[int, ...], int]]:
        """Find range checks that do nothing but guard a jump table: switches have their own."""
        found: dict[int, tuple[Node, tuple[int, ...], int]] = {}
        for number in self._graph.order:
            block = self._graph.blocks[number]
            if not block.nodes or block.nodes[-1].op != "switch":
                continue
            if len(block.predecessors) != 1 or self._has_effects(block):
                continue
            guard = self._graph.blocks[block.predecessors[0]]
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
                kept = list(blocks)
                found[guard.number] = check.args[0], tuple(kept), last.data[0]
        return found

    def _has_effects(self, block: Block) -> bool:
        """Whether a block does more than find out where to jump."""
        entering = self._plan.live.entering
        wanted = {one for number in block.successors for one in entering.get(number, ())}
        for node in block.nodes[:-1]:
            if node.op == "write" and node.data in wanted:
                return True
            if node.op in ("store", "call", "atomicrmw", "cmpxchg", "fence"):
                return True
        return False

    def _return(self, node: Node) -> None:
        results = self._plan.results
        if not results:
            self._say("ret void")
            return
        values = [
            (self._convert(self._read(self._plan.webs.of[node, register]), type_), type_)
            for register, type_ in results.items()
        ]
        if len(values) == 1:
            self._say(f"ret {values[0][1]} {values[0][0]}")
            return
        whole = "poison"
        for place, (text, type_) in enumerate(values):
            whole = self._add(f"insertvalue {self._plan.result} {whole}, {type_} {text}, {place}")
        self._say(f"ret {self._plan.result} {whole}")


_OTHERS: Final = frozenset(
    [
        "bytes",
        "fneg",
        "fabs",
        "overflow",
        "extractvalue",
        "extractelement",
        "insertelement",
        "shufflevector",
        "atomicrmw",
        "cmpxchg",
        "fence",
        "landing_pad",
    ]
)


def _unmasked(amount: Node) -> Node:
    if amount.op == "and" and amount.args[1].op == "const":
        return amount.args[0]
    return amount


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
        one.op == "address" and one.data.symbol == "stderr"
        for number in blocks
        for one in graph.blocks[number].nodes
    )
