"""Webs: the variables that registers stand for, each with one type.

A web is what definitions and uses of a register hold together: every use sees only definitions of
its own web. Types come from how wide a web is written and read, from prototypes, and from
addresses: what an address is made of is a pointer, and so is what it was copied from.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.rules.calls import Argument, Arguments
from llm_compiler.disassembly.rules.liveness import Liveness
from llm_compiler.disassembly.rules.nodes import ANY, Graph, Node, bits_of
from llm_compiler.disassembly.rules.target import Convention
from llm_compiler.disassembly.rules.variant import Variant

__all__ = ["Web", "Webs", "find_webs"]

_FLOATS: Final = ("float", "double")


@dataclass(eq=False, slots=True)
class Web:
    """One variable."""

    number: int
    register: str = ""
    type: str = ""
    written: int = 0
    read: int = 0
    """The widest write and read, in bits."""
    is_passed: bool = False
    """A call takes it as it is."""
    is_pointer: bool = False
    is_argument: bool = False
    is_result: bool = False
    """Of a call."""
    is_constant: bool = True
    """Nothing but constants is written to it."""
    is_returned_whole: bool = False
    """All 64 bits of it are the function's result."""
    is_size: bool = False
    kinds: set[str] = field(default_factory=set)
    """Types that a vector register is used as."""
    demand: int = 0


@dataclass(slots=True)
class Webs:
    """The webs of reads, writes, call arguments and results."""

    of: dict[Hashable, Web] = field(default_factory=dict)
    """By node; by (node, register) of what calls and returns read."""
    parameters: dict[str, Web] = field(default_factory=dict)
    """By register."""
    all: list[Web] = field(default_factory=list)
    pointers: set[Node] = field(default_factory=set)
    """Loads that give pointers."""
    undefined: set[Web] = field(default_factory=set)


def find_webs(
    graph: Graph,
    live: Liveness,
    arguments: Mapping[Node, Arguments],
    results: Mapping[str, str],
    convention: Convention,
    variant: Variant,
) -> Webs:
    """Return a function's variables.

    Args:
        results: the registers that the function returns, and their types.
    """
    finder = _Finder(graph, live, arguments, results, convention, variant)
    return finder.run()


class _Union:
    """Union-find over keys."""

    def __init__(self) -> None:
        self._parent: dict[Hashable, Hashable] = {}

    def find(self, key: Hashable) -> Hashable:
        parent = self._parent
        root = key
        while (up := parent.setdefault(root, root)) != root:
            root = up
        while parent[key] != root:
            parent[key], key = root, parent[key]
        return root

    def join(self, hashable: Hashable, other: Hashable) -> None:
        self._parent[self.find(hashable)] = self.find(other)


class _Finder:
    def __init__(
        self,
        graph: Graph,
        live: Liveness,
        arguments: Mapping[Node, Arguments],
        results: Mapping[str, str],
        convention: Convention,
        variant: Variant,
    ) -> None:
        self._graph, self._live, self._arguments = graph, live, arguments
        self._results, self._convention, self._variant = results, convention, variant
        self._union = _Union()
        self._uses: list[tuple[Hashable, Hashable]] = []
        self._webs = Webs()

    def run(self) -> Webs:
        self._connect()
        roots: dict[Hashable, Web] = {}
        for use, key in self._uses:
            root = self._union.find(key)
            web = roots.get(root)
            if web is None:
                web = roots[root] = Web(len(roots))
                self._webs.all.append(web)
            self._webs.of[use] = web
        for register in self._live.entering[0]:
            web = roots.get(self._union.find((-1, register)))
            if web is None:
                web = roots[self._union.find((-1, register))] = Web(len(roots))
                self._webs.all.append(web)
            web.register = register
            if register in (
                *self._convention.integer_arguments,
                *self._convention.vector_arguments,
                self._convention.struct_result,
            ):
                web.is_argument = True
                self._webs.parameters[register] = web
            else:
                self._webs.undefined.add(web)
        self._measure()
        if self._variant.has_pointers:
            guessed = [web for web in self._webs.all if self._may_be_pointer(web)]
            pointers = _Pointers(
                self._graph, self._live, self._arguments, self._webs, self._results
            )
            pointers.run(guessed)
        for web in self._webs.all:
            web.type = self._type_of(web)
        return self._webs

    # -- what belongs together ---

    def _connect(self) -> None:
        union, needs = self._union, self._live.needs
        for number in self._graph.order:
            current: dict[str, Hashable] = {}

            def key_of(
                register: str, number: int = number, current: dict[str, Hashable] = current
            ) -> Hashable:
                return current.setdefault(register, (number, register))

            for node in self._graph.blocks[number].nodes:
                op = node.op
                if op == "read":
                    if node in needs:
                        self._uses.append((node, key_of(node.data)))
                elif op == "write":
                    if node in self._live.merges:
                        union.join(node, key_of(node.data))
                    if self._live.after.get(node):
                        self._uses.append((node, node))
                    current[node.data] = node
                elif op in ("clobber", "restore"):
                    if self._variant.arguments == "every" and self._live.after.get(node):
                        self._uses.append((node, node))
                    current[node.data] = node
                elif op == "call":
                    found = self._arguments.get(node, Arguments())
                    for argument in found.registers:
                        self._uses.append(((node, argument.register), key_of(argument.register)))
                    for slot in found.slots:
                        self._uses.append(((node, slot), key_of(slot)))
                elif op == "return":
                    for register in self._results:
                        self._uses.append(((node, register), key_of(register)))
            for successor in self._graph.blocks[number].successors:
                for register in self._live.entering.get(successor, ()):
                    union.join((successor, register), key_of(register))
        for register in self._live.entering[0]:
            union.join((0, register), (-1, register))

    # -- how wide ---

    def _measure(self) -> None:
        of = self._webs.of
        for number in self._graph.order:
            for node in self._graph.blocks[number].nodes:
                if node.op == "read" and node in of:
                    self._measure_read(node, of[node])
                elif node.op == "write" and node in of:
                    self._measure_write(node, of[node])
                elif node.op == "call":
                    self._measure_call(node)
                elif node.op == "return":
                    for register, type_ in self._results.items():
                        web = of[node, register]
                        web.register = register
                        web.is_returned_whole |= bits_of(type_) == 64
                        self._read_as(web, type_)

    def _is_vector(self, register: str) -> bool:
        return self._convention.is_vector(register)

    def _measure_read(self, node: Node, web: Web) -> None:
        web.register = node.data
        bits = self._live.needs[node]
        widest = 128 if node.type == ANY else bits_of(node.type)
        web.demand = max(web.demand, min(bits, widest))
        if node.type == ANY:
            # Whole registers are copied for values as wide.
            web.read = max(web.read, 64)
            return
        self._read_as(web, _narrowed(node.type, bits))

    def _read_as(self, web: Web, type_: str) -> None:
        if self._is_vector(web.register):
            web.kinds.add(type_)
            web.demand = max(web.demand, bits_of(type_))
        web.read = max(web.read, bits_of(type_))

    def _measure_write(self, node: Node, web: Web) -> None:
        web.register = node.data
        value = node.args[0]
        wanted = self._live.after[node]
        web.demand = max(web.demand, wanted)
        if value.op == "result":
            web.is_result = True
            web.is_constant = False
            call = value.args[0]
            type_ = self._arguments[call].result if call in self._arguments else ""
            if type_ == "ptr":
                web.is_pointer = True
            elif type_ in _FLOATS and self._is_vector(node.data):
                web.kinds.add(type_)
            elif type_ not in ("", "void") and not self._is_vector(node.data):
                web.written = max(web.written, bits_of(type_))
            return
        if self._is_vector(node.data):
            if value.type != ANY and value.op not in ("const", "bytes"):
                web.kinds.add(_narrowed(value.type, wanted))
            web.is_constant = False
            return
        if value.op != "const" or node.bits not in (32, 64):
            web.is_constant = False
        merged = node in self._live.merges
        web.written = max(web.written, wanted if merged else node.bits or bits_of(value.type))

    def _measure_call(self, node: Node) -> None:
        found = self._arguments.get(node, Arguments())
        for register in found.registers:
            web = self._webs.of[node, register.register]
            web.register = register.register
            self._measure_argument(register, web)
        for slot in found.slots:
            web = self._webs.of[node, slot]
            web.register = slot
            web.is_passed = True

    def _measure_argument(self, argument: Argument, web: Web) -> None:
        if not argument.type:
            web.is_passed = True
            return
        if self._is_vector(argument.register):
            web.kinds.add(argument.type)
            web.demand = max(web.demand, bits_of(argument.type))
            return
        web.read = max(web.read, bits_of(argument.type))
        web.is_size |= argument.is_size
        if argument.type == "ptr":
            web.is_pointer = True

    def _may_be_pointer(self, web: Web) -> bool:
        """Whether a variant takes a variable for a pointer, though nothing shows it."""
        choice = self._variant.guessed_pointers
        is_whole = web.read >= 64 or (web.is_passed and web.written in (0, 64))
        if not choice or not is_whole or web.is_constant or self._is_vector(web.register):
            return False
        return choice == 1 or random.Random(f"{choice}.{web.number}").random() < 0.5

    def _type_of(self, web: Web) -> str:
        if self._is_vector(web.register):
            return _vector_type(web)
        if web.register.startswith("flag."):
            return "i1"
        variant = self._variant
        if web.is_pointer and variant.has_pointers and (web.read >= 64 or web.is_passed):
            return "ptr"
        read, written = web.read, web.written
        if web.is_argument or (web.is_result and not written):
            written = max(written, read)
        is_lone_constant = web.is_passed and web.is_constant and written and not web.is_argument
        if is_lone_constant and not web.is_result and self._widens(web):
            return "i64"
        if web.is_passed:
            bits = max(read, written)
            if web.is_argument and not web.read:
                bits = 64
        elif variant.is_wide:
            bits = read
        else:
            bits = min(read, written) if written else read
        if web.is_result and web.is_returned_whole:
            bits = 64  # another function gave all of them
        return f"i{bits or 64}"

    def _widens(self, web: Web) -> bool:
        choice = self._variant.wide_constants
        if web.is_size or choice == 1:
            return True
        return choice > 1 and random.Random(f"{choice}.{web.number}").random() < 0.5


def _narrowed(type_: str, bits: int) -> str:
    """Return what is left of a lane-wise vector where only low bits are asked for."""
    if type_[0] != "<":
        return type_
    element = type_[1:-1].split(" x ")[1]
    if bits <= bits_of(element):
        return element
    return type_


def _vector_type(web: Web) -> str:
    kinds = {word for word in web.kinds if bits_of(word) <= max(web.demand, 32)}
    widest = max((bits_of(word) for word in kinds), default=0)
    if max(widest, web.demand) <= 64:
        floats = {word for word in kinds if word in _FLOATS}
        if len(floats) == 1:
            return next(iter(floats))
        if kinds <= {"i32"} and kinds:
            return "i32"
        if len(kinds) == 1 and (kind := next(iter(kinds)))[0] == "<":
            return kind
        return "double"
    vectors = sorted(word for word in kinds if word[0] == "<" and bits_of(word) > 64)
    if not vectors:
        return "<2 x i64>"
    floating = [vector for vector in vectors if "float" in vector or "double" in vector]
    return floating[0] if floating and len(floating) == len(vectors) else vectors[0]


class _Pointers:
    """Which webs and loads are pointers: what addresses are made of, and what flows into it."""

    def __init__(
        self,
        graph: Graph,
        live: Liveness,
        arguments: Mapping[Node, Arguments],
        webs: Webs,
        results: Mapping[str, str],
    ) -> None:
        self._graph, self._live, self._arguments = graph, live, arguments
        self._webs, self._results = webs, results
        self._union = _Union()
        self._seeds: list[Hashable] = []

    def run(self, guessed: Sequence[Web]) -> None:
        self._seeds += guessed
        for number in self._graph.order:
            for node in self._graph.blocks[number].nodes:
                if node.op in ("write",) and node in self._webs.of:
                    self._flow(self._webs.of[node], node.args[0])
                elif node.op == "address" and node in self._live.needs:
                    self._address(node)
                elif node.op in ("load", "store", "atomicrmw", "cmpxchg"):
                    self._access(node)
                elif node.op == "call":
                    if node.args:
                        self._seed(node.args[0])
                elif node.op == "intrinsic" and node.data.startswith(("llvm.mem",)):
                    for arg in node.args[:2]:
                        self._seed(arg)
                elif node.op == "return":
                    for register, type_ in self._results.items():
                        if type_ == "ptr":
                            self._seeds.append(self._webs.of[node, register])
        self._seeds += [web for web in self._webs.all if web.is_pointer]
        roots = {self._union.find(seed) for seed in self._seeds}
        for web in self._webs.all:
            if self._union.find(web) in roots:
                web.is_pointer = True
        for number in self._graph.order:
            for node in self._graph.blocks[number].nodes:
                if node.op == "load" and node.type == "i64" and self._union.find(node) in roots:
                    self._webs.pointers.add(node)

    def _seed(self, node: Node) -> None:
        if (origin := self._origin(node)) is not None:
            self._seeds.append(origin)

    def _access(self, node: Node) -> None:
        if node.op == "load" and node not in self._live.needs:
            return
        position = node.args[1] if node.op == "store" else node.args[0]
        self._seed(position)

    def _address(self, node: Node) -> None:
        """Note the base of an address that is used as one; lea's sums are distinguished by use."""

    def _flow(self, web: Web, value: Node) -> None:
        is_own = value.op in ("frame", "dynamic_alloca")
        if is_own or (value.op == "address" and _is_known(value)):
            self._seeds.append(web)
            return
        if value.type not in ("i64", ANY):
            return
        for origin in self._origins(value):
            self._union.join(web, origin)

    def _origins(self, value: Node) -> list[Hashable]:
        if value.op == "select":
            return [hashable for each in value.args[1:] for hashable in self._origins(each)]
        origin = self._origin(value)
        return [] if origin is None else [origin]

    def _origin(self, value: Node) -> Hashable | None:
        """Return the web or load that a pointer would come from."""
        for _ in range(32):
            if value.op == "read":
                return self._webs.of.get(value) if value.type in ("i64", ANY) else None
            if value.op == "load":
                return value if value.type == "i64" else None
            if value.op in ("add", "sub") and value.type == "i64":
                left, right = value.args
                if right.op == "const":
                    value = left
                    continue
                if value.op == "add":
                    return self._of_sum(left, right)
                return None
            if value.op == "address":
                if _is_known(value) or not value.data.has_base:
                    return None
                base = value.args[0]
                if value.data.has_index and value.data.scale == 1:
                    return self._of_sum(base, value.args[1])
                value = base
                continue
            return None
        return None

    def _of_sum(self, left: Node, right: Node) -> Hashable | None:
        """Of a sum of two unknown numbers: the one that is no extended or scaled index."""
        if _is_index(left):
            return self._origin(right)
        return self._origin(left)


def _is_known(address: Node) -> bool:
    position = address.data
    return bool(position.symbol) or position.frame is not None


def _is_index(value: Node) -> bool:
    return value.op in ("sext", "zext", "shl", "mul", "lshr", "ashr", "and")
