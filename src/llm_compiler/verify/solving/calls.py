"""Calls of an interpreted function: of the library, of stubs, of LLVM's own, and of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from llm_compiler.verify.solving.events import Ended, Run
from llm_compiler.verify.solving.intrinsics import call_intrinsic, intrinsic_name
from llm_compiler.verify.solving.ir import Address, Instruction
from llm_compiler.verify.solving.ir_types import Type
from llm_compiler.verify.solving.laid_out import LaidOut
from llm_compiler.verify.solving.library_calls import LIBRARY, call_library
from llm_compiler.verify.solving.memory import Fault, Memory
from llm_compiler.verify.solving.surroundings import Answers, Surroundings
from llm_compiler.verify.solving.terms import Terms, Value
from llm_compiler.verify.solving.typed_values import Anything, bits_of, from_words, zero_of

__all__ = ["call_function"]

_ALL = (1 << 64) - 1


class Caller(Protocol):
    """The run that calls."""

    laid_out: LaidOut
    surroundings: Surroundings
    terms: Terms
    memory: Memory
    answers: Answers
    events: Run

    def pin(self, value: Value) -> int:
        """Take a number as what it is."""

    def recurse(self, arguments: Sequence[Anything]) -> Anything:
        """Run the function itself."""


def call_function(
    caller: Caller,
    instruction: Instruction,
    target: Value,
    arguments: Sequence[tuple[Type, Anything]],
) -> Anything:
    """Return a call's result.

    Args:
        target: the address that is called, where the instruction does not name it.

    Raises:
        Ended: it does not return, or is not interpreted.
        Fault: nothing is at the address, or memory is not there that the callee needs.
    """
    surroundings = caller.surroundings
    named = instruction.operands[0][1]
    functions = surroundings.world.functions
    if isinstance(named, Address):
        name = named.name
        intrinsic = intrinsic_name(name)
        if intrinsic is not None and intrinsic not in functions:
            return call_intrinsic(
                intrinsic, instruction.type, arguments, caller.memory, caller.terms
            )
        name = intrinsic or name
    else:
        known = caller.laid_out.functions.get(target[0])
        number = surroundings.callback(target[0])
        if known is None and number is None:
            caller.events.is_called = True
            raise Fault(target)
        caller.pin(target)
        if known is None:
            assert number is not None
            return _answered(caller, number, instruction.type, arguments)
        name = known
    if name in LIBRARY and name not in functions:
        return _of_library(caller, name, instruction.type, arguments)
    if name == surroundings.name:
        return caller.recurse([value for _, value in arguments])
    if name not in functions:
        raise Ended(f"not interpreted: a call of '{name}'")
    return _answered(caller, functions.index(name), instruction.type, arguments)


def _of_library(
    caller: Caller, name: str, kind: Type, arguments: Sequence[tuple[Type, Anything]]
) -> Anything:
    words = [
        caller.terms.resized("zext", value, bits_of(each), 64)
        for each, value in arguments
        if isinstance(value, tuple) and each.kind != "float"
    ]
    # Where, and how much; what memory is filled with may be anything.
    for index, word in enumerate(words):
        if (name, index) != ("memset", 1):
            caller.pin(word)
    result = call_library(name, words, caller.memory, caller.terms)
    if kind.kind == "void":
        return 0, None
    return caller.terms.resized("trunc", result, LIBRARY[name][2], bits_of(kind))


def _answered(
    caller: Caller, number: int, kind: Type, arguments: Sequence[tuple[Type, Anything]]
) -> Anything:
    """Return what a stub answers."""
    words: list[Value] = []
    for each, value in arguments:
        if not isinstance(value, tuple) or each.kind not in ("integer", "pointer"):
            continue
        if bits_of(each) > 64:
            words += [(value[0] & _ALL, None), (value[0] >> 64, None)]
        else:
            words.append(caller.terms.resized("zext", value, bits_of(each), 64))
    words = words[: caller.surroundings.num_registers]
    results = caller.answers.call(number, words)
    return _result(caller.terms, kind, results)


def _result(terms: Terms, kind: Type, results: Sequence[Value]) -> Anything:
    """Return the registers of results as a value: two of integers, one of numbers."""
    if kind.kind == "void":
        return 0, None
    if kind.kind == "struct":
        integers = list(results[:2])
        return [
            from_words(terms, part, [integers.pop(0)])
            if part.kind in ("integer", "pointer") and integers
            else _result(terms, part, results)
            for part in kind.parts
        ]
    if kind.is_sequence:
        return zero_of(kind)
    if kind.kind == "float" and kind.bits <= 64:
        return from_words(terms, kind, results[2:])
    return from_words(terms, kind, results[:2])
