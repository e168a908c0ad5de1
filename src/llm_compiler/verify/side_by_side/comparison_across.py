"""Whether a lift did on another target what the original did on its own."""

from __future__ import annotations

import dataclasses

from llm_compiler.verify.inputs import ARENA, ArgumentLocation, Frame, Input, assign_locations
from llm_compiler.verify.lifted import Signature
from llm_compiler.verify.side_by_side.outcomes import CRASHED, HUNG, RETURNED, SIGNALS, Outcome
from llm_compiler.verify.side_by_side.same_values import same_float, same_integer, same_memory
from llm_compiler.verify.side_by_side.world import World

__all__ = ["ComparisonAcross", "moved_input"]

_PROGRAM = 0x39D00000
"""Where the programs are linked; `ARENA` comes after them."""


class ComparisonAcross:
    """Compares outcomes on two targets, by what the lifted signatures name."""

    def __init__(self, signature: Signature, world: World, first: str, second: str) -> None:
        self._signature, self._world = signature, world
        self._architectures = first, second

    def compare(self, outcome: Outcome, other: Outcome) -> str:
        """Return the first difference; empty if there is none."""
        if other.kind == CRASHED:
            signal = SIGNALS.get(other.detail, f"signal {other.detail}")
            return f"on the other target it crashes with {signal}"
        if other.kind == HUNG:
            return "on the other target it does not end"
        for number, (ours, theirs) in enumerate(zip(outcome.calls, other.calls, strict=False), 1):
            if difference := self._compare_call(number, ours, theirs):
                return difference
        if len(outcome.calls) != len(other.calls):
            return f"it makes {len(other.calls)} calls instead of {len(outcome.calls)}"
        if outcome.kind != other.kind:
            return "one returns and the other does not"
        if outcome.kind == RETURNED:
            if difference := self._compare_results(outcome, other):
                return difference
            if other.broken & ~outcome.broken:
                return "it does not preserve the registers that it must"
        if not same_memory(outcome.changes, other.changes):
            return "memory is different afterwards"
        return ""

    def _name(self, number: int) -> str:
        functions = self._world.functions
        return functions[number] if number < len(functions) else "a function pointer"

    def _compare_call(self, number: int, ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
        name = self._name(ours[0])
        if ours[0] != theirs[0]:
            return f"call {number} is of {self._name(theirs[0])} instead of {name}"
        signature = self._world.declared.get(name)
        if signature is None or signature.unsupported:
            return ""
        frames = [assign_locations(signature, architecture) for architecture in self._architectures]
        if frames[0] is None or frames[1] is None:
            return ""
        positions = zip(signature.parameters, frames[0].locations, frames[1].locations, strict=True)
        for argument, (scalar, here, there) in enumerate(positions, 1):
            a, b = _passed(ours, here), _passed(theirs, there)
            if a is None or b is None:
                continue
            is_float = scalar.kind in ("float", "vector")
            if not is_float and _is_nowhere(a):
                continue
            if not (same_float(scalar, a, b) if is_float else same_integer(scalar, a, b)):
                return (
                    f"call {number}, of {name}, gets {b:#x} instead of {a:#x} as argument "
                    + str(argument)
                )
        return ""

    def _compare_results(self, outcome: Outcome, other: Outcome) -> str:
        integers = floats = 0
        for result in self._signature.results:
            words = (result.bits + 63) // 64
            for word in range(words):
                if result.kind in ("integer", "pointer"):
                    a, b = outcome.integers[integers], other.integers[integers]
                    integers += 1
                    part = dataclasses.replace(result, bits=min(64, result.bits - 64 * word))
                    is_same = _is_nowhere(a) or same_integer(part, a, b)
                else:
                    a, b = outcome.floats[2 * floats + word], other.floats[2 * floats + word]
                    floats += word == words - 1
                    is_same = same_float(result, a, b)
                if not is_same:
                    return f"it returns {b:#x} instead of {a:#x}"
        return ""


def _is_nowhere(value: int) -> bool:
    """Whether a value of the original is an address in its program that is in none of its objects.

    Places of objects come as what they stand for. Beyond them each program has something else: an
    index beyond a table's end shows nothing.
    """
    return _PROGRAM <= value < ARENA


def _passed(call: tuple[int, ...], place: ArgumentLocation) -> int | None:
    """Return what a recorded call has at a place; None where that was not recorded."""
    start, count = {"integer": (1, 8), "float": (17, 8), "stack": (25, 6)}.get(place.kind, (0, 0))
    return call[start + place.index] if place.index < count else None


def moved_input(given: Input, signature: Signature, frame: Frame, other: Frame) -> Input:
    """Return an input with its arguments where another calling convention has them."""
    integers, floats = list(given.integers), list(given.floats)
    stack = [*given.stack, *[0] * other.num_stack_words][: other.num_stack_words]
    indirect = given.indirect
    for parameter, here, there in zip(
        signature.parameters, frame.locations, other.locations, strict=True
    ):
        words = 2 if parameter.bits > 64 else 1
        if here.kind == "float":
            values = given.floats[2 * here.index : 2 * here.index + words]
        elif here.kind == "stack":
            values = given.stack[here.index : here.index + words]
        elif here.kind == "integer":
            values = given.integers[here.index : here.index + words]
        else:
            values = (given.indirect,)
        if there.kind == "float":
            floats[2 * there.index : 2 * there.index + words] = values
        elif there.kind == "stack":
            stack[there.index : there.index + words] = values
        elif there.kind == "integer":
            integers[there.index : there.index + words] = values
        else:
            indirect = values[0]
    return dataclasses.replace(
        given,
        integers=tuple(integers),
        floats=tuple(floats),
        stack=tuple(stack),
        indirect=indirect,
    )
