"""What calls are passed: by prototype, by the callee in the same file, else by what registers hold.

A forward pass says of every register at every call whether something was written to it, and
whether that was read since: an argument is set and then only the call reads it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.rules.formats import FORMATS, arguments_of_format
from llm_compiler.disassembly.rules.mangled_names import NamedParameters
from llm_compiler.disassembly.rules.nodes import SLOT, CallSite, Graph, Node
from llm_compiler.disassembly.rules.prototypes import PROTOTYPES, Prototype
from llm_compiler.disassembly.rules.target import Convention

__all__ = ["Argument", "Arguments", "RegisterStates", "Signature", "arguments_of", "result_type"]

_CLOBBERED, _EMPTY, _ARGUMENT, _READ, _WRITTEN = -1, 0, 1, 2, 3
_PLACES: Final = frozenset({"frame", "address", "read", "load", "select", "add"})
_KINDS: Final = {"p": "ptr", "i": "i32", "l": "i64", "d": "double", "f": "float"}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function of the program takes and returns, as its own code shows.

    `integers`, `vectors`: numbers of registers; `stack`: words. `result`: empty where it is not
    known. `types`: of the integers, where it is known how much of them is read, else empty.
    `most`: how many integer registers it reads if all that its own calls may read counts; None:
    that is not known.
    """

    integers: int
    vectors: int
    stack: int = 0
    result: str = ""
    never_returns: bool = False
    types: tuple[str, ...] = ()
    is_variadic: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """A register that a call reads; `type`: empty where the variable's own is passed."""

    register: str
    type: str = ""
    is_size: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """All that a call reads, in the order of the parameters."""

    registers: tuple[Argument, ...] = ()
    slots: tuple[str, ...] = ()
    """Pushed words, the first parameter first."""
    words: tuple[tuple[int, str], ...] = ()
    """Words on the stack that were stored there: places of the frame, and types."""
    is_variadic: bool = False
    num_fixed: int = 0
    result: str = ""
    """The type, where a prototype says it."""


@dataclass(slots=True)
class RegisterStates:
    """At calls and returns: by register, what it holds."""

    at: dict[Node, dict[str, int]] = field(default_factory=dict)
    near: dict[Node, frozenset[str]] = field(default_factory=dict)
    """Registers written since the last call, in the same block."""
    possible: dict[Node, frozenset[str]] = field(default_factory=dict)
    """At calls: argument registers that hold something on some way to them."""
    symbols: dict[Node, dict[str, str]] = field(default_factory=dict)
    """At calls: registers that hold the address of a symbol, set in the same block."""
    strings: Mapping[str, str] = field(default_factory=dict)
    """Constant strings, by symbol."""
    tables: frozenset[str] = frozenset()
    """Jump tables: nobody but the compiler can mean their addresses."""
    read_places: frozenset[int] = frozenset()
    """Of the frame: loaded, or pointed to."""

    @classmethod
    def of(
        cls,
        graph: Graph,
        convention: Convention,
        signatures: Mapping[str, Signature],
        strings: Mapping[str, str],
        tables: Iterable[str] = (),
    ) -> RegisterStates:
        """Follow a function's registers."""
        places = _read_places(graph)
        states = cls(strings=strings, tables=frozenset(tables), read_places=places)
        # What follows the named parameters of a function with ``...`` is read from its list.
        integers = convention.integer_arguments[: graph.num_named]
        start = dict.fromkeys((*integers, *convention.vector_arguments), _ARGUMENT)
        entering: dict[int, dict[str, int]] = {0: start}
        pending = [0]
        while pending:
            number = pending.pop()
            state = dict(entering[number])
            states._follow(graph.blocks[number].nodes, state, convention, signatures)
            for successor in graph.blocks[number].successors:
                if successor not in entering:
                    entering[successor] = dict(state)
                    pending.append(successor)
                elif _join(entering[successor], state, convention):
                    pending.append(successor)
        states._find_possible(graph, convention, signatures)
        return states

    def _find_possible(
        self, graph: Graph, convention: Convention, signatures: Mapping[str, Signature]
    ) -> None:
        """Note at each call which argument registers hold something on some way to it.

        A vector register that no instruction reads holds no argument of the function's own, and
        no result of a call: most calls return no number.
        """
        read = {
            node.data
            for number in graph.order
            for node in graph.blocks[number].nodes
            if node.op == "read"
        }
        start = {*convention.integer_arguments[: graph.num_named]}
        start |= read.intersection(convention.vector_arguments)
        entering: dict[int, set[str]] = {0: start}
        pending = [0]
        while pending:
            number = pending.pop()
            held = set(entering[number])
            for node in graph.blocks[number].nodes:
                if node.op == "write":
                    is_held = node.args[0].op != "result" or (
                        self._is_given(node, convention, signatures)
                        and (node.data in read or not convention.is_vector(node.data))
                    )
                    is_held &= _symbol_of(node.args[0]) not in self.tables
                    (held.add if is_held else held.discard)(node.data)
                elif node.op in ("clobber", "restore"):
                    held.discard(node.data)
                elif node.op == "call":
                    self.possible[node] = frozenset(held)
            for successor in graph.blocks[number].successors:
                if successor not in entering:
                    entering[successor] = set()
                elif held <= entering[successor]:
                    continue
                entering[successor] |= held
                pending.append(successor)

    @staticmethod
    def _is_given(write: Node, convention: Convention, signatures: Mapping[str, Signature]) -> bool:
        """Whether what a call leaves in a register may be its result."""
        register = write.data
        second = (*convention.integer_results[1:], *convention.vector_results[1:])
        call: CallSite = write.args[0].args[0].data
        return register not in second and _may_return(
            call.symbol, convention.is_vector(register), signatures
        )

    def _follow(
        self,
        nodes: list[Node],
        state: dict[str, int],
        convention: Convention,
        signatures: Mapping[str, Signature],
    ) -> None:
        near: set[str] = set()
        symbols: dict[str, str] = {}
        for node in nodes:
            op, register = node.op, node.data
            if op == "read":
                if state.get(register) == _WRITTEN:
                    state[register] = _READ
            elif op == "write":
                symbols.pop(register, None)
                if (symbol := _symbol_of(node.args[0])) in self.strings:
                    symbols[register] = symbol
                if symbol in self.tables:
                    state[register] = _CLOBBERED
                elif node.args[0].op == "result":
                    is_given = self._is_given(node, convention, signatures)
                    state[register] = _READ if is_given else _CLOBBERED
                else:
                    is_place = register != convention.struct_result or _may_be_place(node)
                    is_place |= not convention.has_result_register
                    state[register] = _WRITTEN if is_place else _READ
                    near.add(register)
            elif op == "clobber":
                symbols.pop(register, None)
                state[register] = _CLOBBERED
                near.discard(register)
            elif op == "restore":
                state[register] = _EMPTY
            elif op in ("call", "return"):
                self.at[node] = dict(state)
                self.near[node] = frozenset(near)
                self.symbols[node] = dict(symbols)

    def holds(self, node: Node, register: str) -> bool:
        """Whether something was put into a register on every way to a call or return."""
        return self.at[node].get(register, _EMPTY) >= _READ


def _read_places(graph: Graph) -> frozenset[int]:
    """Return the places of the frame that are no mere arguments of calls."""
    found: set[int] = set()
    for number in graph.order:
        for node in graph.blocks[number].nodes:
            if node.op == "address" and node.data.frame is not None:
                found.add(node.data.frame)
            pointers = node.args[:1] if node.op == "store" else node.args
            found.update(pointer.data for pointer in pointers if pointer.op == "frame")
    return frozenset(found)


def _may_be_place(write: Node) -> bool:
    """Whether a register is set to what may be an address: a result in memory has one."""
    return write.bits in (0, 64) and write.args[0].op in _PLACES


def _symbol_of(value: Node) -> str:
    """Return the symbol whose address a value is; empty where it is another."""
    if value.op != "address" or value.args or value.data.displacement:
        return ""
    return str(value.data.symbol)


def _may_return(symbol: str, in_vector: bool, signatures: Mapping[str, Signature]) -> bool:
    """Whether a function may give its result in a register of a kind."""
    if symbol in signatures:
        result = signatures[symbol].result
    elif symbol in PROTOTYPES:
        result = result_type(PROTOTYPES[symbol])
    else:
        return True
    is_vector = result in ("float", "double", "<2 x double>", "{ double, double }")
    return result != "void" and is_vector == in_vector


def _join(into: dict[str, int], state: dict[str, int], convention: Convention) -> bool:
    changed = False
    for register in {*into, *state}:
        index, other = into.get(register, _EMPTY), state.get(register, _EMPTY)
        if index == other:
            continue
        if _CLOBBERED in (index, other):
            joined = _CLOBBERED
        else:
            is_kept = register in convention.callee_saved
            joined = _READ if is_kept else min(index, other)
        if joined != index:
            into[register] = joined
            changed = True
    return changed


def arguments_of(
    call: Node,
    states: RegisterStates,
    convention: Convention,
    signatures: Mapping[str, Signature],
    how: str,
    count: int | None = None,
    named: Mapping[str, NamedParameters] | None = None,
) -> Arguments:
    """Return what a call reads.

    Args:
        how: `Variant.arguments`.
        count: of integer registers, where the variant says it for this call.
        named: what names say of the functions of which nothing else is known.
    """
    found = _arguments_of(call, states, convention, signatures, how, count, named or {})
    position = convention.struct_result
    if not convention.has_result_register or call not in states.at:
        return found
    if states.at[call].get(position) != _WRITTEN or position not in states.near[call]:
        return found
    return dataclasses.replace(
        found,
        registers=(Argument(position, "ptr"), *found.registers),
        num_fixed=found.num_fixed + 1,
    )


def _arguments_of(
    call: Node,
    states: RegisterStates,
    convention: Convention,
    signatures: Mapping[str, Signature],
    how: str,
    count: int | None,
    named: Mapping[str, NamedParameters],
) -> Arguments:
    """Return what a call reads, less the address of a result in memory."""
    site: CallSite = call.data
    integers, vectors = convention.integer_arguments, convention.vector_arguments
    if call not in states.at:
        return Arguments()
    state, near = states.at[call], states.near[call]
    if (prototype := PROTOTYPES.get(site.symbol)) is not None and site.symbol not in signatures:
        asked = _asked_for(call, states, prototype, convention)
        return _by_prototype(site, prototype, state, near, convention, how, asked)
    signature = signatures.get(site.symbol)
    if signature is not None and count is None and how not in ("all", "every"):
        return _by_signature(site, signature, state, near, convention)
    possible = states.possible.get(call, frozenset()) if how == "every" else None
    number = _written(convention, state, near, how, possible) if count is None else count
    if count is None and signature is not None and signature.most is not None:
        number = max(min(number, signature.most), signature.integers)
    if (parameters := named.get(site.symbol)) is not None:
        return _by_name(parameters, number, count is not None, convention)
    is_variadic = (
        site.vector_count is not None
        and state.get(convention.integer_results[0], 0) >= _READ
        and convention.integer_results[0] in near
    )
    if is_variadic:
        assert site.vector_count is not None
        num_vectors = site.vector_count
    else:
        num_vectors = _written_vectors(vectors, state, near, how, possible)
    registers = [Argument(integer) for integer in integers[:number]]
    registers += [Argument(vector) for vector in vectors[:num_vectors]]
    uses_stack = number == len(integers) or num_vectors == len(vectors)
    slots = _slots(site) if uses_stack else ()
    words = _outgoing(site, states) if number == len(integers) else ()
    return Arguments(tuple(registers), slots, words, is_variadic, min(number, 1))


def _by_signature(
    site: CallSite,
    signature: Signature,
    state: Mapping[str, int],
    near: frozenset[str],
    convention: Convention,
) -> Arguments:
    """Return what a call of a function of the program reads."""
    integers, vectors = convention.integer_arguments, convention.vector_arguments
    result = convention.integer_results[0]
    says_count = site.vector_count is not None and result in near
    num_integers, num_vectors = signature.integers, signature.vectors
    is_variadic = signature.is_variadic or (says_count and state.get(result) == _WRITTEN)
    if is_variadic:
        num_integers = max(num_integers, _written(convention, state, near, "written"))
        if signature.is_variadic:
            # What was put there since the last call is passed, though it was read in between.
            while num_integers < len(integers) and state.get(integers[num_integers], 0) >= _READ:
                num_integers += 1
        num_vectors = max(num_vectors, site.vector_count or 0)
    types = [*signature.types, *[""] * num_integers]
    registers = [
        *(Argument(integer, types[place]) for place, integer in enumerate(integers[:num_integers])),
        *(Argument(vector) for vector in vectors[:num_vectors]),
    ]
    slots = _slots(site) if is_variadic else _slots(site)[: signature.stack]
    words = () if slots or is_variadic else _words(site, signature.stack)
    num_fixed = signature.integers or min(num_integers, 1)
    return Arguments(tuple(registers), slots, words, is_variadic, num_fixed)


def _by_name(
    parameters: NamedParameters, number: int, is_chosen: bool, convention: Convention
) -> Arguments:
    """Return what a call of a function reads whose name says what it takes.

    Args:
        number: of integer registers that seem to be passed.
        is_chosen: the variant says so.
    """
    least = len(parameters.types)
    if not is_chosen:
        number = min(max(number, least), parameters.most)
    types = [*[""] * max(0, number - least), *parameters.types]
    integers = convention.integer_arguments[:number]
    vectors = convention.vector_arguments[: parameters.vectors]
    registers = [Argument(integer, types[place]) for place, integer in enumerate(integers)]
    registers += [Argument(vector) for vector in vectors]
    return Arguments(tuple(registers), num_fixed=min(number, 1))


def _outgoing(site: CallSite, states: RegisterStates) -> tuple[tuple[int, str], ...]:
    """Return the stored words that nothing else reads, as far as they follow each other."""
    found: list[tuple[int, str]] = []
    for position, kind in site.stored:
        if any(index in states.read_places for index in range(position, position + 8)):
            break
        found.append((position, kind))
    return tuple(found)


def _words(site: CallSite, number: int) -> tuple[tuple[int, str], ...]:
    """Return a number of words at the stack pointer, as they were stored."""
    known = dict(site.stored)
    positions = range(site.stack_offset, site.stack_offset + 8 * number, 8)
    return tuple((place, known.get(place, "i64")) for place in positions)


def _slots(site: CallSite) -> tuple[str, ...]:
    return tuple(f"{SLOT}{index}" for index in site.pushed)


def _last_of(registers: tuple[str, ...], possible: frozenset[str]) -> int:
    """Return how many registers there are up to the last that holds something on some way."""
    return max((place + 1 for place, word in enumerate(registers) if word in possible), default=0)


def _written(
    convention: Convention,
    state: Mapping[str, int],
    near: frozenset[str],
    how: str,
    possible: frozenset[str] | None = None,
) -> int:
    """Return how many of the integer registers are arguments.

    Args:
        possible: those that hold something on some way, if they all count.
    """
    registers = convention.integer_arguments
    if possible is not None:
        return _last_of(registers, possible)
    found = 0
    for position, register in enumerate(registers):
        held = state.get(register, _EMPTY)
        if held < _ARGUMENT:
            break
        rest = registers[position:]
        if how == "written":
            is_passed = any(state.get(word) == _WRITTEN for word in rest) or _is_passed_on(
                position, register, held, near, convention
            )
        elif how == "near":
            is_passed = any(word in near and state.get(word, 0) >= _ARGUMENT for word in rest)
        else:
            is_passed = True
        if not is_passed:
            break
        found = position + 1
    return found


def _is_passed_on(
    place: int, register: str, held: int, near: frozenset[str], convention: Convention
) -> bool:
    """Whether a register is passed though it was read since it was set.

    Measured on calls whose prototype is known (training packages, x86-64): of first arguments that
    were set all are; of own arguments that are still there 70 %; of others set in the same block
    rsi and rdx, mostly, and rcx hardly ever.
    """
    if register not in convention.last_temporaries:
        return False
    if place == 0:
        return held >= _ARGUMENT
    return held == _READ and register in near


def _written_vectors(
    registers: tuple[str, ...],
    state: Mapping[str, int],
    near: frozenset[str],
    how: str,
    possible: frozenset[str] | None = None,
) -> int:
    if possible is not None:
        return _last_of(registers, possible)
    found = 0
    for position, register in enumerate(registers):
        held = state.get(register, _EMPTY)
        if held == _WRITTEN or (held == _READ and how == "all" and register in near):
            found = position + 1
        else:
            break
    return found


def _by_prototype(
    site: CallSite,
    prototype: Prototype,
    state: Mapping[str, int],
    near: frozenset[str],
    convention: Convention,
    how: str,
    asked: tuple[int, int] | None,
) -> Arguments:
    """Return what a call of a well-known function reads.

    Args:
        asked: how many integers and numbers its format asks for, where it is a known string.
    """
    integers, vectors = convention.integer_arguments, convention.vector_arguments
    found: list[Argument] = []
    used = [0, 0]
    for letter in prototype.parameters:
        kind = 1 if letter in "df" else 0
        registers = (integers, vectors)[kind]
        if used[kind] < len(registers):
            found.append(Argument(registers[used[kind]], _KINDS[letter], letter == "l"))
        used[kind] += 1
    num_fixed = len(found)
    slots: tuple[str, ...] = ()
    if prototype.is_variadic:
        if asked is not None:
            wanted = used[0] + asked[0]
            found += [Argument(integer) for integer in integers[used[0] : wanted]]
            found += [Argument(vector) for vector in vectors[used[1] : used[1] + asked[1]]]
            on_stack = max(0, wanted - len(integers)) + max(0, asked[1] - len(vectors))
            slots = _slots(site)[:on_stack]
            words = () if slots else _words(site, on_stack)
            if len(slots) + len(words) == on_stack:
                result = result_type(prototype)
                return Arguments(tuple(found), slots, words, True, num_fixed, result)
            del found[num_fixed:]
        last = max(used[0], _written(convention, state, near, how))
        # What stands before a written register was set by an earlier instruction or the caller.
        found += [Argument(integer) for integer in integers[used[0] : last]]
        count = site.vector_count or 0
        found += [Argument(vector) for vector in vectors[used[1] : max(count, used[1])]]
        if last == len(integers):
            slots = _slots(site)
    return Arguments(
        tuple(found),
        slots,
        (),
        prototype.is_variadic,
        num_fixed,
        result_type(prototype),
    )


def _asked_for(
    call: Node, states: RegisterStates, prototype: Prototype, convention: Convention
) -> tuple[int, int] | None:
    """Return what a call's format asks for, as `arguments_of_format` does."""
    site: CallSite = call.data
    position = FORMATS.get(site.symbol)
    if position is None or not prototype.is_variadic:
        return None
    register = convention.integer_arguments[position]
    symbol = states.symbols.get(call, {}).get(register, "")
    if symbol not in states.strings:
        return None
    return arguments_of_format(site.symbol, states.strings[symbol])


def result_type(prototype: Prototype) -> str:
    """Return the type of what a well-known function returns."""
    return _KINDS.get(prototype.result, "void")
