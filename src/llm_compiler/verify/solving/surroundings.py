"""What surrounds an interpreted function: memory, other functions, as ``execute_driver.c`` has it.

Only where other objects are is made the same; where the driver's answers are drawn, the same are
drawn here. What differs costs an input that leads elsewhere, and no verdict.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_compiler.verify.architectures import architecture_named
from llm_compiler.verify.inputs import (
    ALLOCATION_FAILS,
    BUFFER_BYTES,
    CONTENT_BYTES,
    NUM_BUFFERS,
    NUM_CHOICES,
    Frame,
    Input,
    buffer_address,
)
from llm_compiler.verify.lifted import Signature
from llm_compiler.verify.side_by_side.programs import Stub, stub_address
from llm_compiler.verify.side_by_side.world import NUM_CALLBACKS, World
from llm_compiler.verify.solving.events import Ended
from llm_compiler.verify.solving.memory import Memory, Region
from llm_compiler.verify.solving.terms import Terms, Value

__all__ = ["STACK_TOP", "VARIABLES", "Answers", "Surroundings", "shuffled", "writing"]

VARIABLES, STACK_TOP = 0x39D80000, 0x3B03F000
"""Where variables begin, which is nowhere near where they are, and where the stack ends."""
_IDLE_RESULT = 0xDEADBEEF5C000014
_STACK, _STACK_END = 0x3B000000, 0x3B040000
_UNSET = 0xA5A5A5A5
_MAX_CALLS = 96
_STEP = 0x9E3779B97F4A7C15
_ALL = (1 << 64) - 1
_SHUFFLES = 24
_HABIT, _WRITES = 40, 4
"""Which bits of the first word say what functions do to memory, and what they say if they write."""
_HABIT_OF_THROWS = 0x7468726F7773


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is the same for all inputs of a function."""

    name: str
    signature: Signature
    frame: Frame
    architecture: str
    world: World
    stubs: tuple[Stub, ...]
    addresses: dict[str, int] = field(repr=False)
    """Of functions and of all variables."""

    @property
    def num_buffers(self) -> int:
        """In front: those that arguments point to; then other files' variables; then the heap."""
        return NUM_BUFFERS + len(self.world.data) + 1

    @property
    def num_registers(self) -> int:
        """That integer arguments are passed in."""
        return architecture_named(self.architecture).target.integer_registers

    def callable_addresses(self) -> Sequence[int]:
        """Return stubs that nothing refers to by name."""
        first = len(self.world.functions)
        return [stub_address(index) for index in range(first, first + NUM_CALLBACKS)]

    def callback(self, address: int) -> int | None:
        """Return the number of the stub at an address, of those that nothing refers to by name."""
        places = self.callable_addresses()
        if address not in places:
            return None
        return len(self.world.functions) + places.index(address)

    def buffers(self, given: Input) -> list[Region]:
        """Return the memory that an input fills, but for variables and the stack."""
        found = []
        skipped = BUFFER_BYTES - CONTENT_BYTES
        for index in range(self.num_buffers):
            contents = given.arena[index * CONTENT_BYTES : (index + 1) * CONTENT_BYTES]
            whole = bytes(skipped) + contents * self.world.num_repeats
            first, count = index * CONTENT_BYTES // 8, CONTENT_BYTES // 8
            start = buffer_address(index) - skipped
            found.append(Region(start, whole, "arena", first, skipped, count))
        return found


def _mix(x: int) -> int:
    x ^= x >> 30
    x = x * 0xBF58476D1CE4E5B9 & _ALL
    x ^= x >> 27
    x = x * 0x94D049BB133111EB & _ALL
    return x ^ (x >> 31)


def _index(draw: int) -> int:
    """Return which of an input's words answers."""
    return 1 + draw % (NUM_CHOICES - 1)


def shuffled(given: Input, drawn: Sequence[tuple[int, int]], chance: random.Random) -> Input:
    """Return an input on which calls get the same answers, as far as can be, from other words.

    Several calls may share one: what has to be different for two of them then cannot be.
    """
    choices, best, fewest = given.choices, given, len(drawn) + 1
    kept = choices[0] >> _HABIT << _HABIT
    for _ in range(_SHUFFLES):
        first = kept | chance.getrandbits(_HABIT)
        made: dict[int, int] = {}
        num_others = 0
        for step, index in drawn:
            other = _index(_mix((first + step) & _ALL))
            num_others += made.setdefault(other, choices[index]) != choices[index]
        if num_others < fewest:
            fewest = num_others
            words = [made.get(index, word) for index, word in enumerate(choices)]
            best = dataclasses.replace(given, choices=(first, *words[1:]))
    return best


def writing(given: Input) -> Input:
    """Return an input on which other functions write to what they are passed."""
    first = given.choices[0] & ~(15 << _HABIT) | _WRITES << _HABIT
    return dataclasses.replace(given, choices=(first, *given.choices[1:]))


class Answers:
    """What other functions do on one input."""

    def __init__(
        self, surroundings: Surroundings, given: Input, memory: Memory, terms: Terms
    ) -> None:
        self._surroundings, self._given, self._memory = surroundings, given, memory
        self._terms = terms
        self._ordinals: Counter[int] = Counter()
        self._num_calls = 0
        self.drawn: list[tuple[int, int]] = []
        """What is added to the input's first word for each call, and the word that it led to."""
        self._has_thrown = False
        self._heap = buffer_address(surroundings.num_buffers - 1) + CONTENT_BYTES - BUFFER_BYTES
        more = CONTENT_BYTES * (surroundings.world.num_repeats - 1)
        self._heap_end = self._heap + BUFFER_BYTES + more

    def call(self, number: int, arguments: Sequence[Value]) -> tuple[Value, Value, Value]:
        """Return a stub's integer results, and its number.

        Args:
            number: of the stub.
            arguments: in the integer registers, as many as the call passes.

        Raises:
            Ended: it does not return, or throws.
        """
        stub = self._surroundings.stubs[number]
        if stub.kind == 7 and arguments and not arguments[0][0]:
            return (_IDLE_RESULT, None), (_IDLE_RESULT + 1, None), (_IDLE_RESULT + 2, None)
        if self._num_calls == _MAX_CALLS:
            raise Ended("calls")
        call = self._num_calls
        self._num_calls += 1
        choices = self._given.choices
        self._ordinals[number] += 1
        step = number * _STEP + self._ordinals[number]
        draw = _mix((choices[0] + step) & _ALL)
        self.drawn.append((step, _index(draw)))
        if self._throws(stub, call):
            raise Ended("thrown")
        if stub.kind == 1:
            raise Ended("ends")
        results = [self._choice(draw >> shift) for shift in (0, 8, 16)]
        if stub.result_bits:
            narrow = self._terms.resized("trunc", results[0], 64, stub.result_bits)
            extension = "sext" if stub.is_signed else "zext"
            results[0] = self._terms.resized(extension, narrow, stub.result_bits, 64)
        for place in range(3):
            if stub.idle >> place & 1:
                results[place] = _IDLE_RESULT + place, None
        if stub.kind in (0, 7):
            self._leave_traces(stub, draw, arguments)
        elif stub.kind == 5 and arguments:
            results[0] = arguments[0]
        elif stub.kind in (2, 3, 4, 6):
            found = self._allocated(
                stub.kind, arguments, is_failing=results[0][0] == ALLOCATION_FAILS
            )
            if stub.kind != 6:
                fails = self._terms.compare("eq", results[0], (ALLOCATION_FAILS, None), 64)
                found = self._terms.choose(fails, (0, None), found, 64)
            results[0] = found
        return results[0], results[1], results[2]

    def _choice(self, draw: int) -> Value:
        return self._word(_index(draw))

    def _word(self, index: int) -> Value:
        return self._given.choices[index], self._terms.word("choices", index)

    def _throws(self, stub: Stub, call: int) -> bool:
        if not self._surroundings.world.thrown or not stub.throws:
            return False
        if stub.throws == 2:
            return True
        choices = self._given.choices
        habit = _mix(choices[0] ^ _HABIT_OF_THROWS)
        which = habit >> 8
        drawn = _mix((choices[1 + call % (NUM_CHOICES - 1)] + call) & _ALL)
        quarter = not drawn >> 32 & 3
        match habit & 3:
            case 0:
                return False
            case 1:
                return call == which % 6
            case 2:
                return call == which % _MAX_CALLS
        return quarter

    def _allocated(self, kind: int, arguments: Sequence[Value], *, is_failing: bool) -> Value:
        wanted = 2 if kind in (3, 4) else 1
        if len(arguments) < wanted:
            raise Ended("an allocation without a size")
        size = arguments[1 if kind == 4 else 0][0]
        if kind == 3:
            size = size * arguments[1][0] & _ALL
        taken = (size + 15) & ~15
        if taken > self._heap_end - self._heap:
            return 0, None
        if is_failing and kind != 6:
            return self._heap, None
        found = self._heap
        self._heap += taken
        if kind == 3 and size:
            for place in range(found, found + size):
                self._memory.write((place, None), (0, None), 1)
        if kind == 4 and arguments[0][0] and size:
            self._memory.copy((found, None), arguments[0], size)
        return found, None

    def _leave_traces(self, stub: Stub, draw: int, arguments: Sequence[Value]) -> None:
        habit = self._given.choices[0] >> _HABIT
        followed = [
            (index, value[0]) for index, value in enumerate(arguments) if stub.followed >> index & 1
        ]
        if habit & 3 != 3:
            places = {at for _, at in followed if _STACK <= at < _STACK_END}
            for at in sorted(places, reverse=True):
                self._set_stack(at)
        if habit >> 2 & 3 != 1:
            return
        for index, at in followed:
            value = self._choice(draw >> (24 + 4 * index))
            region = self._memory.region(at, 1)
            if region is None or region.is_constant:
                continue
            step, bits = 0, 32
            if region.part == "arena":
                step, bits = 8 * (_mix((draw + index) & _ALL) & 3), 64
            elif region.part != "variables" and at % 4:
                bits = 8
            if at + step + bits // 8 <= region.end:
                narrow = self._terms.resized("trunc", value, 64, bits)
                self._memory.write((at + step, None), narrow, bits // 8)

    def _set_stack(self, at: int) -> None:
        """Set words of the stack that nobody has set."""
        whole = self._word(NUM_CHOICES - 1)
        halves = [
            self._terms.resized("trunc", whole, 64, 32),
            self._terms.resized(
                "trunc", self._terms.operate("lshr", whole, (32, None), 64), 64, 32
            ),
        ]
        at = (at + 3) & ~3
        for number in range(64):
            if self._memory.region(at, 4) is None:
                return
            known, term = self._memory.read((at, None), 4)
            if term is not None or known != _UNSET:
                return
            self._memory.write((at, None), halves[number & 1], 4)
            at += 4
