"""What calls are passed: by prototype, by the callee in the same file, else by what registers hold.

A forward pass says of every register at every call whether something was written to it, and
whether that was read since: an argument is set and then only the call reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.rules.builder import SLOT
from llm_compiler.disassembly.rules.nodes import CallSite, Graph, Node
from llm_compiler.disassembly.rules.prototypes import PROTOTYPES, Prototype
from llm_compiler.disassembly.rules.target import Convention

__all__ = ["Argument", "Arguments", "RegisterStates", "Signature", "arguments_of", "result_type"]

_CLOBBERED, _EMPTY, _ARGUMENT, _READ, _WRITTEN = -1, 0, 1, 2, 3
_KINDS: Final = {"p": "ptr", "i": "i32", "l": "i64", "d": "double", "f": "float"}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function of the file takes and returns, as its own code shows.

    `integers`, `vectors`: numbers of registers; `stack`: words. `types`: of the parameters, where
    known, in the order integers, vectors.
    """

    integers: int
    vectors: int
    stack: int = 0
    result: str = ""
    never_returns: bool = False
    types: tuple[str, ...] = ()
    is_variadic: bool = False


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

    @classmethod
    def of(cls, graph: Graph, convention: Convention) -> RegisterStates:
        """Follow a function's registers."""
        states = cls()
        start = dict.fromkeys(
            (*convention.integer_arguments, *convention.vector_arguments), _ARGUMENT
        )
        entering: dict[int, dict[str, int]] = {0: start}
        pending = [0]
        while pending:
            number = pending.pop()
            state = dict(entering[number])
            states._follow(graph.blocks[number].nodes, state, convention)
            for successor in graph.blocks[number].successors:
                if successor not in entering:
                    entering[successor] = dict(state)
                    pending.append(successor)
                elif _join(entering[successor], state, convention):
                    pending.append(successor)
        return states

    def _follow(self, nodes: list[Node], state: dict[str, int], convention: Convention) -> None:
        near: set[str] = set()
        second = (*convention.integer_results[1:], *convention.vector_results[1:])
        for node in nodes:
            op, register = node.op, node.data
            if op == "read":
                if state.get(register) == _WRITTEN:
                    state[register] = _READ
            elif op == "write":
                if node.args[0].op == "result":
                    state[register] = _CLOBBERED if register in second else _READ
                else:
                    state[register] = _WRITTEN
                    near.add(register)
            elif op == "clobber":
                state[register] = _CLOBBERED
                near.discard(register)
            elif op == "restore":
                state[register] = _EMPTY
            elif op in ("call", "return"):
                self.at[node] = dict(state)
                self.near[node] = frozenset(near)

    def holds(self, node: Node, register: str) -> bool:
        """Whether something was put into a register on every way to a call or return."""
        return self.at[node].get(register, _EMPTY) >= _READ


def _join(into: dict[str, int], state: dict[str, int], convention: Convention) -> bool:
    changed = False
    for register in {*into, *state}:
        one, other = into.get(register, _EMPTY), state.get(register, _EMPTY)
        if one == other:
            continue
        if _CLOBBERED in (one, other):
            joined = _CLOBBERED
        else:
            is_kept = register in convention.callee_saved
            joined = _READ if is_kept else min(one, other)
        if joined != one:
            into[register] = joined
            changed = True
    return changed


def arguments_of(
    call: Node,
    states: RegisterStates,
    convention: Convention,
    signatures: Mapping[str, Signature],
    how: str,
) -> Arguments:
    """Return what a call reads.

    Args:
        how: `Variant.arguments`.
    """
    site: CallSite = call.data
    integers, vectors = convention.integer_arguments, convention.vector_arguments
    if call not in states.at:
        return Arguments()
    state, near = states.at[call], states.near[call]
    if (prototype := PROTOTYPES.get(site.symbol)) is not None and site.symbol not in signatures:
        return _by_prototype(site, prototype, state, near, convention)
    signature = signatures.get(site.symbol)
    if signature is not None and how != "all":
        registers = [Argument(one) for one in integers[: signature.integers]]
        count = signature.vectors
        result = convention.integer_results[0]
        says_count = site.vector_count is not None and result in near
        is_variadic = signature.is_variadic or (says_count and state.get(result) == _WRITTEN)
        if is_variadic and site.vector_count is not None:
            count = max(count, site.vector_count)
            registers = [
                Argument(one)
                for one in integers[
                    : max(signature.integers, _written(integers, state, near, "written"))
                ]
            ]
        registers += [Argument(one) for one in vectors[:count]]
        slots = _slots(site)[: signature.stack] if not is_variadic else _slots(site)
        return Arguments(tuple(registers), slots, is_variadic, signature.integers)
    number = _written(integers, state, near, how)
    is_variadic = (
        site.vector_count is not None
        and state.get(convention.integer_results[0], 0) >= _READ
        and convention.integer_results[0] in near
    )
    if is_variadic:
        assert site.vector_count is not None
        count = site.vector_count
    else:
        count = _written_vectors(vectors, state, near, how)
    registers = [Argument(one) for one in integers[:number]]
    registers += [Argument(one) for one in vectors[:count]]
    uses_stack = number == len(integers) or count == len(vectors)
    slots = _slots(site) if uses_stack else ()
    return Arguments(tuple(registers), slots, is_variadic, min(number, 1))


def _slots(site: CallSite) -> tuple[str, ...]:
    return tuple(f"{SLOT}{one}" for one in site.pushed)


def _written(
    registers: tuple[str, ...], state: Mapping[str, int], near: frozenset[str], how: str
) -> int:
    """Return how many of the integer registers are arguments."""
    found = 0
    for place, register in enumerate(registers):
        if state.get(register, _EMPTY) < _ARGUMENT:
            break
        rest = registers[place:]
        if how == "written":
            is_passed = any(state.get(one) == _WRITTEN for one in rest)
        elif how == "near":
            is_passed = any(one in near and state.get(one, 0) >= _ARGUMENT for one in rest)
        else:
            is_passed = True
        if not is_passed:
            break
        found = place + 1
    return found


def _written_vectors(
    registers: tuple[str, ...], state: Mapping[str, int], near: frozenset[str], how: str
) -> int:
    found = 0
    for place, register in enumerate(registers):
        held = state.get(register, _EMPTY)
        if held == _WRITTEN or (held == _READ and how == "all" and register in near):
            found = place + 1
        else:
            break
    return found


def _by_prototype(
    site: CallSite,
    prototype: Prototype,
    state: Mapping[str, int],
    near: frozenset[str],
    convention: Convention,
) -> Arguments:
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
        last = max(used[0], _written(integers, state, near, "written"))
        # What stands before a written register was set by an earlier instruction or the caller.
        found += [Argument(one) for one in integers[used[0] : last]]
        count = site.vector_count or 0
        found += [Argument(one) for one in vectors[used[1] : max(count, used[1])]]
        if last == len(integers):
            slots = _slots(site)
    return Arguments(
        tuple(found),
        slots,
        prototype.is_variadic,
        num_fixed,
        result_type(prototype),
    )


def result_type(prototype: Prototype) -> str:
    """Return the type of what a well-known function returns."""
    return _KINDS.get(prototype.result, "void")
