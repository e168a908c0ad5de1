"""Whether a lift did on an input what the original did."""

from __future__ import annotations

from llm_compiler.verify.architectures import architecture_named
from llm_compiler.verify.inputs import Input, assign_locations
from llm_compiler.verify.library import KNOWN_ARITIES, KNOWN_NUMBERS
from llm_compiler.verify.lifted import Scalar, Signature
from llm_compiler.verify.side_by_side.outcomes import CRASHED, HUNG, RETURNED, SIGNALS, Outcome
from llm_compiler.verify.side_by_side.same_values import same_float, same_integer, same_memory
from llm_compiler.verify.side_by_side.world import World

__all__ = ["MAY_RETURN", "MAY_TAKE_MORE", "NO_NUMBERS", "OTHER_CONTENTS", "Comparison"]

MAY_TAKE_MORE = "may take more"
OTHER_CONTENTS = "may be passed other contents of the stack"
MAY_RETURN = "the original may return an integer, and the lifted function does not"
NO_NUMBERS = "memory differs in what is no number"
"""A doubt that says nothing: such an input shows neither that two are the same nor that they are
not."""

_CLOBBER = 0xDEADBEEF5C000000
_UNSET = 0xA5A5A5A5A5A5A5A5
_STACK_TAG = 0xFEED000000000001
_HALF = 0xFFFFFFFF
_TABLE = 0x7AB1E00000000000
"""The address of a jump table: nobody but the compiler can mean it."""
_OWN_CODE = 0xC0DE000000000002
"""An address within the function's own code, where a jump through a table has gone."""


class Comparison:
    """Compares outcomes: what must be the same (hard), and what may tell (soft)."""

    def __init__(
        self,
        signature: Signature,
        world: World,
        architecture: str,
        *,
        computes_numbers: bool = False,
        residues: frozenset[int] = frozenset(),
    ) -> None:
        """Compare for one signature.

        Args:
            residues: values that no code can mean, beside those that calls leave.
            computes_numbers: the code computes with floating-point numbers. Which of two NaN a sum
                is depends on their order, which LLVM does not keep.
        """
        self._signature, self._world = signature, world
        self._architecture, self._computes_numbers = architecture, computes_numbers
        self._residues = residues | {_TABLE, *range(_CLOBBER, _CLOBBER + 32)}
        known = architecture_named(architecture)
        self._num_registers = known.target.integer_registers
        self._result_at_entry, self._kept = known.result_at_entry, known.kept_at_entry
        self._entry: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self.returns_nothing = False
        """An input has shown that the original returns no integer: it left what was there."""
        self._answers: frozenset[int] = frozenset()
        """Of other functions, on the input that is compared."""
        frame = assign_locations(signature, architecture)
        self._parameters = {
            (place.kind, place.index + word)
            for parameter, place in zip(
                signature.parameters, frame.locations if frame else (), strict=False
            )
            for word in range(2 if parameter.bits > 64 and place.kind == "integer" else 1)
        }

    def compare(self, given: Input, outcome: Outcome, other: Outcome) -> tuple[str, str]:
        """Return the first difference that refutes, and the first that raises doubt."""
        self._entry, self._answers = (given.integers, given.floats), frozenset(given.choices)
        if other.kind in (CRASHED, HUNG):
            how = "does not end" if other.kind == HUNG else "crashes"
            if other.kind == CRASHED:
                how += f" with {SIGNALS.get(other.detail, f'signal {other.detail}')}"
            return f"the lifted function {how}", ""
        doubt = ""
        for number, (ours, theirs) in enumerate(zip(outcome.calls, other.calls, strict=False), 1):
            hard, soft = self._compare_call(number, ours, theirs)
            if hard:
                return hard, ""
            doubt = doubt or soft
        if len(outcome.calls) != len(other.calls):
            return f"it makes {len(other.calls)} calls instead of {len(outcome.calls)}", ""
        if outcome.kind != other.kind:
            return "one returns and the other does not", ""
        if outcome.kind == RETURNED:
            hard, soft = self._compare_results(outcome, other)
            if hard:
                return hard, ""
            doubt = doubt or soft
            if other.broken & ~outcome.broken:
                return "it does not preserve the registers that it must", ""
        if outcome.changes != other.changes:
            if self._computes_numbers and same_memory(outcome.changes, other.changes):
                return "", NO_NUMBERS
            return "memory is different afterwards", ""
        return "", doubt

    def _name(self, number: int) -> str:
        functions = self._world.functions
        return functions[number] if number < len(functions) else "a function pointer"

    def _compare_call(
        self, number: int, ours: tuple[int, ...], theirs: tuple[int, ...]
    ) -> tuple[str, str]:
        name = self._name(ours[0])
        if ours[0] != theirs[0]:
            return f"call {number} is of {self._name(theirs[0])} instead of {name}", ""
        signature = self._world.declared.get(name)
        frame = None
        if signature is not None and not signature.unsupported:
            frame = assign_locations(signature, self._architecture)
        doubt = ""
        declared: set[tuple[str, int]] = set()
        if signature is not None and frame is not None:
            for argument, (scalar, position) in enumerate(
                zip(signature.parameters, frame.locations, strict=True), 1
            ):
                for word in range(
                    max(1, (scalar.bits + 63) // 64) if position.kind != "float" else 1
                ):
                    index = position.index + word
                    declared.add((position.kind, index))
                    if position.kind == "integer":
                        a, b = ours[1 + index], theirs[1 + index]
                        if a in self._residues or same_integer(scalar, a, _UNSET):
                            # What the last call left there is no argument, whatever was named, and
                            # what nobody has set on the stack is no value.
                            continue
                        if not same_integer(scalar, a, b):
                            return (
                                f"call {number}, of {name}, gets {b:#x} instead of {a:#x} as "
                                f"argument {argument}",
                                "",
                            )
                        if a == _STACK_TAG and (
                            _differ(ours[9 + index], theirs[9 + index])
                            or self._lacks_field(ours[31 + index], theirs[31 + index])
                        ):
                            doubt = f"{name} {OTHER_CONTENTS}"
                    elif position.kind == "float" and index < 8:
                        a, b = ours[17 + index], theirs[17 + index]
                        if not same_float(scalar, a, b):
                            return f"call {number}, of {name}, gets another argument {argument}", ""
                    elif position.kind == "stack" and index < 6:
                        a, b = ours[25 + index], theirs[25 + index]
                        is_unset = same_integer(scalar, a, _UNSET)
                        if not is_unset and not same_integer(scalar, a, b):
                            return (
                                f"call {number}, of {name}, gets {b:#x} instead of {a:#x} on the "
                                "stack",
                                "",
                            )
        known = self._world.arities.get(name, KNOWN_ARITIES.get(name))
        if known is not None and sum(kind != "float" for kind, _ in declared) >= known:
            return "", doubt
        numbers = KNOWN_NUMBERS.get(name)
        if numbers is not None and sum(kind == "float" for kind, _ in declared) >= numbers:
            return "", doubt
        bound = min(self._num_registers, self._world.bounds.get(name, self._num_registers))
        most_numbers = min(8, self._world.numbers.get(name, 8))
        for kind, start, count in (("integer", 1, bound), ("float", 17, most_numbers)):
            for index in range(count):
                a, b = ours[start + index], theirs[start + index]
                if (kind, index) in declared or a == b or self._is_idle(kind, index, a):
                    continue
                what = "arguments" if kind == "integer" else "numbers"
                doubt = doubt or f"{name} {MAY_TAKE_MORE} {what} than the lifted code passes"
        return "", doubt

    def _lacks_field(self, ours: int, theirs: int) -> bool:
        """Whether a field that the original sets for its callees is not so in the lift."""
        for word in self._world.fields:
            a, b = (value >> 8 * (word - 2) & 0xFF for value in (ours, theirs))
            if a and a != b:
                return True
        return False

    def _is_idle(self, kind: str, index: int, value: int) -> bool:
        """Whether the original cannot mean a register as an argument: nobody has set it.

        It holds what the last call left there, or what was there at the beginning, and that was no
        parameter.
        """
        if value in self._residues:
            return True
        integers, floats = self._entry
        before = integers[index] if kind == "integer" else floats[2 * index]
        return value == before and (kind, index) not in self._parameters

    def _is_no_result(self, ours: int, theirs: int) -> bool:
        """Whether a result's register is as the caller left it, or but for its lowest byte as the
        caller left another one: then no caller reads that of it."""
        if self._result_at_entry is not None and ours == self._result_at_entry:
            return True
        rest = ours & 0xFFFFFF00
        is_kept = any(rest == kept & 0xFFFFFF00 for kept in self._kept)
        return is_kept and not (ours ^ theirs) & 0xFF

    def _compare_results(self, outcome: Outcome, other: Outcome) -> tuple[str, str]:
        integers = floats = 0
        doubt = ""
        for result in self._signature.results:
            if result.kind in ("integer", "pointer"):
                for word in range((result.bits + 63) // 64):
                    a, b = outcome.integers[integers], other.integers[integers]
                    integers += 1
                    part = Scalar(
                        kind=result.kind,
                        bits=min(64, result.bits - 64 * word),
                        extension=result.extension,
                    )
                    if self._is_no_result(a, b):
                        continue
                    if not same_integer(part, a, b):
                        mask = (1 << part.bits) - 1
                        return f"it returns {b & mask:#x} instead of {a & mask:#x}", ""
                    if a != b and not doubt:
                        doubt = f"the results differ above bit {part.bits}"
            else:
                words = (result.bits + 63) // 64
                for word in range(words):
                    a, b = outcome.floats[2 * floats + word], other.floats[2 * floats + word]
                    if not same_float(result, a, b):
                        return f"it returns the floating-point value {b:#x} instead of {a:#x}", ""
                floats += 1
        # An empty result leaves what was there.
        start = self._entry[0][0] if self._result_at_entry is None else self._result_at_entry
        idle = outcome.integers[0] == start
        self.returns_nothing |= idle and self._result_at_entry is not None
        # What a call left in its register is none where a number is returned.
        idle |= bool(floats) and outcome.integers[0] in self._answers
        idle |= outcome.integers[0] in self._residues or outcome.integers[0] == _OWN_CODE
        if not integers and outcome.integers[0] != other.integers[0] and not idle:
            doubt = doubt or MAY_RETURN
        idle = outcome.floats[0] == self._entry[1][0] or outcome.floats[0] in self._residues
        if not floats and not integers and outcome.floats[0] != other.floats[0] and not idle:
            doubt = doubt or "the original may return a number, and the lifted function does not"
        return "", doubt


def _differ(ours: int, theirs: int) -> bool:
    """Whether a word at a pointer that the original has set is another one in the lift."""
    words = ((ours, theirs), (ours >> 32, theirs >> 32))
    return any(a & _HALF and a & _HALF != b & _HALF for a, b in words)
