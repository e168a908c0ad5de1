"""Inputs for functions of which only machine code and a claimed signature are known.

An input fills everything that a function can read: all argument registers (those that the signature
does not name too, so that a lift which knows too few parameters shows), stack words, buffers that
pointers lead to, static variables, what other functions answer. Drawn from a seeded generator: the
same seed gives the same inputs.
"""

from __future__ import annotations

import dataclasses
import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from llm_compiler.verify.architectures import MemoryField, architecture_named
from llm_compiler.verify.lifted import Scalar, Signature

__all__ = [
    "ALLOCATION_FAILS",
    "ARENA",
    "BUFFER_BYTES",
    "CONTENT_BYTES",
    "NUM_CHOICES",
    "STRIDE",
    "ArgumentLocation",
    "Frame",
    "Input",
    "InputGenerator",
    "assign_locations",
    "buffer_address",
]

# As in execute_driver.c.
ARENA, STRIDE, BUFFER_BYTES, CONTENT_BYTES = 0x3A000000, 32768, 4096, 2048
NUM_CHOICES = 64
ALLOCATION_FAILS = 0x6661696C6661696C
"""An answer on which allocations give nothing."""
NUM_BUFFERS = 6
"""That arguments point to."""
_WORDS = CONTENT_BYTES // 8
_MAX_STACK_WORDS = 48
_ALL = (1 << 64) - 1

_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.25, -7.75, 1e10, -1e-10, 1e300, 5e-324, 100.0, 255.0)
_SPECIAL_FLOATS = (float("inf"), float("-inf"), float("nan"))


def buffer_address(index: int) -> int:
    """Return where the contents of a buffer begin; they, or their repeats, end at a guard page."""
    return ARENA + index * STRIDE + BUFFER_BYTES - CONTENT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentLocation:
    """Where a scalar is passed: ``integer`` or ``float`` register, ``stack`` word, ``indirect``."""

    kind: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The places of a signature's parameters, and how many stack words they take."""

    locations: tuple[ArgumentLocation, ...]
    num_stack_words: int


def assign_locations(signature: Signature, architecture: str) -> Frame | None:
    """Assign parameters as the C calling convention does; None where they do not fit."""
    known = architecture_named(architecture)
    registers = known.target.integer_registers
    integers = floats = stack = 0
    locations = []
    for parameter in signature.parameters:
        if parameter.memory_bytes and known.passes_memory_on_stack:
            locations.append(ArgumentLocation(kind="stack", index=stack))
            stack += parameter.memory_bytes // 8
        elif parameter.is_result and known.has_result_register:
            locations.append(ArgumentLocation(kind="indirect", index=0))
        elif parameter.kind in ("integer", "pointer"):
            words = 2 if parameter.bits > 64 else 1
            if integers + words <= registers:
                locations.append(ArgumentLocation(kind="integer", index=integers))
                integers += words
            else:
                integers = integers if words == 1 else registers
                locations.append(ArgumentLocation(kind="stack", index=stack))
                stack += words
        elif floats < 8:
            locations.append(ArgumentLocation(kind="float", index=floats))
            floats += 1
        else:
            words = 2 if parameter.bits > 64 else 1
            stack += stack % words
            locations.append(ArgumentLocation(kind="stack", index=stack))
            stack += words
    # Some more, which a lift may not know of.
    stack += 4
    return (
        Frame(locations=tuple(locations), num_stack_words=stack)
        if stack <= _MAX_STACK_WORDS
        else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Everything that one run starts from."""

    integers: tuple[int, ...]
    indirect: int
    floats: tuple[int, ...]
    """Two words a register."""
    stack: tuple[int, ...]
    choices: tuple[int, ...]
    """What other functions may answer; the first also seeds which they choose."""
    variables: bytes | None = field(repr=False)
    """Contents of the static variables; None: as the program begins."""
    arena: bytes = field(repr=False)

    def encoded(self) -> bytes:
        """Return the input as the driver reads it."""
        words = (*self.integers, self.indirect, *self.floats, *self.stack, *self.choices)
        head = struct.pack(f"<{len(words)}Q", *words)
        flag = struct.pack("<Q", self.variables is not None)
        return head + flag + (self.variables or b"") + self.arena


def _drawn(rng: random.Random, alphabet: bytes) -> bytes:
    """Return contents of a buffer drawn from some bytes, all nearly as often."""
    table = (alphabet * (256 // len(alphabet) + 1))[:256]
    return rng.randbytes(CONTENT_BYTES).translate(table)


class InputGenerator:
    """Draws inputs for one signature.

    Args:
        constants: numbers that the code compares with.
        num_extra_buffers: after those of arguments: external variables, and the heap.
        variable_bytes: of all static variables, each filled up to 8.
        functions: addresses that can be called.
        fields: what the code reads at fixed distances from pointers.
        offsets: distances from pointers of which the code takes the address.
        throws: other functions throw exceptions, which their answers decide.
    """

    def __init__(
        self,
        signature: Signature,
        frame: Frame,
        *,
        seed: int,
        constants: Sequence[int],
        num_extra_buffers: int,
        variable_bytes: int,
        functions: Sequence[int],
        fields: Sequence[MemoryField] = (),
        offsets: Sequence[int] = (),
        throws: bool = False,
    ) -> None:
        self._signature, self._frame = signature, frame
        self._random = random.Random(f"inputs:{seed}")
        self._constants = [value & _ALL for value in constants] or [0]
        self._num_buffers = NUM_BUFFERS + num_extra_buffers
        self._variable_bytes = variable_bytes
        self._functions = list(functions)
        self._kinds = (0.2, 0.5, 0.9) if throws else (0.35, 0.75, 0.9)
        """Shares of what is changed: parameters, then memory, then answers, then variables."""
        self._fields = [
            memory_field
            for memory_field in fields
            if 0 <= memory_field.place <= CONTENT_BYTES - memory_field.size
        ]
        self._offsets = [offset for offset in offsets if 0 <= offset < CONTENT_BYTES]
        self._compared = [
            memory_field for memory_field in self._fields if memory_field.constant is not None
        ]
        self._last_pointer = 0
        self._recent: list[int] = []
        self._swept = -1
        """Bytes are few enough to try all of them."""
        self._pointer_share = 0.35
        self._address_share = 0.12
        """Of the parameters that are numbers as wide as pointers: a lift may call pointers so."""

    def pointer(self) -> int:
        """Return an address that can be read."""
        return self._pointer()

    # -- values ----------------------------------------------------------------------------------

    def _integer(self, bits: int) -> int:
        rng = self._random
        if self._recent and rng.random() < 0.2:
            # Comparisons tell at equality, or one constant apart.
            near = rng.choice((0, 0, 0, 1, -1, *rng.choices(self._constants, k=2)))
            value = rng.choice(self._recent) + rng.choice((near, -near))
            return value & ((1 << bits) - 1)
        value = self._fresh_integer(bits)
        self._recent = [*self._recent[-7:], value]
        return value

    def _fresh_integer(self, bits: int) -> int:
        rng = self._random
        kind = rng.random()
        if kind < 0.25:
            value = rng.choice(self._constants) + rng.choice((-1, 0, 0, 0, 1))
        elif kind < 0.3:
            # Ranges are tested by subtracting their start and comparing with their length.
            value = rng.choice(self._constants) + rng.choice(self._constants)
        elif kind < 0.5:
            value = rng.choice((0, 1, -1, 2, -2, 1 << (bits - 1), (1 << (bits - 1)) - 1, 255, 128))
        elif kind < 0.73:
            value = rng.randrange(0, 24)
        elif kind < 0.82:
            # Indices of this kind tell sign from zero extension: memory in front is readable.
            value = -rng.randrange(1, 24)
        elif kind < 0.88:
            value = 1 << rng.randrange(bits)
        elif kind < 0.93:
            # Below a limit of the code's all may be valid, and above it none.
            value = rng.randrange(max(1, rng.choice(self._constants)))
        else:
            value = rng.getrandbits(bits)
        return value & ((1 << bits) - 1)

    def _pointer(self, buffer: int | None = None) -> int:
        rng = self._random
        if self._last_pointer and rng.random() < 0.2:
            # Begin and end of one range, as iterators and string views hold them.
            step = rng.choice((0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256))
            if self._offsets and rng.random() < 0.4:
                step = rng.choice(self._offsets)
            return self._last_pointer + step
        index = rng.randrange(NUM_BUFFERS) if buffer is None else buffer % NUM_BUFFERS
        address = buffer_address(index)
        self._last_pointer = address
        kind = rng.random()
        if kind < 0.8:
            return address
        if kind < 0.9:
            return address + 8 * rng.randrange(_WORDS // 2)
        return address + rng.randrange(CONTENT_BYTES)

    def _float(self, bits: int) -> int:
        rng = self._random
        kind = rng.random()
        if kind < 0.5:
            value = rng.choice(_FLOATS)
        elif kind < 0.6:
            value = rng.choice(_SPECIAL_FLOATS)
        elif kind < 0.8:
            value = float(rng.randrange(-300, 300))
        elif kind < 0.9:
            value = rng.uniform(-1000, 1000)
        else:
            return rng.getrandbits(bits)
        if bits == 64:
            return int(struct.unpack("<Q", struct.pack("<d", value))[0])
        try:
            return int(struct.unpack("<I", struct.pack("<f", value))[0])
        except OverflowError:
            return 0x7F7FFFFF

    def _word(self) -> int:
        """Return what a word of memory may hold."""
        rng = self._random
        if rng.random() < self._pointer_share:
            return self._pointer()
        kind = rng.random()
        if kind < 0.08 and self._functions:
            return rng.choice(self._functions)
        if kind < 0.35:
            return 0
        return self._integer(self._random.choice((8, 16, 32, 64)))

    def _widened(self, scalar: Scalar, value: int) -> int:
        """Fill the register's upper bits, which carry nothing that the function may rely on."""
        rng = self._random
        bits = scalar.bits
        if scalar.extension and bits < 32:
            if scalar.extension == "sign" and value >> (bits - 1):
                value |= ((1 << 32) - 1) ^ ((1 << bits) - 1)
            bits = 32
        upper = rng.choice((0, 0, _ALL, rng.getrandbits(64)))
        return value | (upper >> bits << bits) & _ALL if bits < 64 else value

    def _scalar(self, scalar: Scalar, number: int) -> list[int]:
        rng = self._random
        if scalar.memory_bytes:
            return [self._word() for _ in range(scalar.memory_bytes // 8)]
        if scalar.kind == "pointer":
            if scalar.is_result:
                return [buffer_address(number % NUM_BUFFERS)]
            return [
                0 if rng.random() < 0.04 else self._pointer(number if rng.random() < 0.85 else None)
            ]
        if scalar.kind == "integer":
            if scalar.bits > 64:
                return [self._integer(64), rng.choice((0, 0, _ALL, self._integer(64)))]
            if scalar.bits == 64 and rng.random() < self._address_share:
                return [0 if rng.random() < 0.04 else self._pointer()]
            value = self._integer(scalar.bits)
            if scalar.bits <= 8 and rng.random() < 0.7:
                self._swept += 1
                value = self._swept & ((1 << scalar.bits) - 1)
            return [self._widened(scalar, value)]
        if scalar.kind == "float":
            return [
                self._float(scalar.bits) | (rng.getrandbits(32) << 32 if scalar.bits == 32 else 0)
            ]
        size = scalar.element_bits
        draw = self._float if scalar.is_float else self._integer
        lanes = [draw(max(size, 1)) for _ in range(scalar.bits // max(size, 1))]
        packed = sum(lane << i * size for i, lane in enumerate(lanes))
        return [packed & _ALL, packed >> 64]

    # -- memory ----------------------------------------------------------------------------------

    def _contents(self) -> bytes:
        rng = self._random
        style = rng.choices(
            ("words", "bytes", "integers", "text", "zero", "few", "doubles", "floats", "shorts"),
            (9, 2, 4, 4, 2, 2, 1, 1, 1),
        )[0]
        match style:
            case "words":
                # Structures live at the front; what follows repeats it.
                front = [self._word() for _ in range(48)]
                return struct.pack("<48Q", *front) * 5 + bytes(CONTENT_BYTES - 5 * 384)
            case "bytes":
                return rng.randbytes(CONTENT_BYTES)
            case "integers":
                return struct.pack("<64I", *(self._integer(32) for _ in range(64))) * 8
            case "shorts":
                return struct.pack("<64H", *(self._integer(16) for _ in range(64))) * 16
            case "text":
                letters = b"abcdefgxyzABZ0123456789 .,:;-+/%_=\n\t\\\"'()[]{}<>#"
                extra = bytes(c for c in self._constants if 0 < c < 128) or letters
                alphabet = rng.choice((letters, letters, extra, extra + letters[:8]))
                text = bytearray(_drawn(rng, alphabet))
                for _ in range(rng.randrange(1, 40)):
                    text[rng.randrange(CONTENT_BYTES)] = 0
                text[rng.randrange(0, 24)] = 0
                return bytes(text)
            case "zero":
                return bytes(CONTENT_BYTES)
            case "few":
                return _drawn(rng, b"\0\1\2\xff")
            case "doubles":
                return struct.pack("<32Q", *(self._float(64) for _ in range(32))) * 8
            case _:
                return struct.pack("<64I", *(self._float(32) for _ in range(64))) * 8

    def _choices(self) -> tuple[int, ...]:
        rng = self._random
        # Long chains of calls go on only while nearly all of them succeed.
        usual = rng.choice((0, 0, 0, 1, _ALL, *rng.choices(self._constants, k=1)))
        is_usual = rng.random() < 0.35
        found = [rng.getrandbits(62)]
        for _ in range(NUM_CHOICES - 1):
            found.append(usual if is_usual and rng.random() < 0.93 else self._answer())
        return tuple(found)

    def _answer(self) -> int:
        """Return what another function may answer."""
        rng = self._random
        kind = rng.random()
        if kind < 0.02:
            return ALLOCATION_FAILS
        if kind < 0.35:
            return rng.choice((0, 0, 1, _ALL))
        if kind < 0.6:
            return self._pointer()
        return self._integer(rng.choice((8, 32, 64)))

    def _other_choices(self, choices: tuple[int, ...]) -> tuple[int, ...]:
        """Return answers of other functions that differ in few, or in who gives them."""
        rng = self._random
        kind = rng.random()
        if kind < 0.4:
            return self._choices()
        found = list(choices)
        position = rng.randrange(NUM_CHOICES) if kind < 0.8 else 0
        found[position] = self._answer() if position else rng.getrandbits(62)
        return tuple(found)

    def _variables(self) -> bytes | None:
        if not self._variable_bytes or self._random.random() < 0.4:
            return None
        count = self._variable_bytes // 8
        words = [self._word() for _ in range(min(count, 512))]
        data = struct.pack(f"<{len(words)}Q", *words)
        return data + bytes(self._variable_bytes - len(data))

    def _set_field(self, arena: bytearray, start: int) -> None:
        """Set what the code reads of one buffer, so that its comparisons go both ways."""
        rng = self._random
        memory_field = rng.choice(
            self._compared if self._compared and rng.random() < 0.5 else self._fields
        )
        if memory_field.constant is not None and rng.random() < 0.7:
            value = memory_field.constant + rng.choice((0, 0, 0, 1, -1))
        elif memory_field.size == 8:
            value = self._word()
        else:
            value = self._integer(8 * memory_field.size)
        position = start + memory_field.place
        arena[position : position + memory_field.size] = (value & _ALL).to_bytes(8, "little")[
            : memory_field.size
        ]

    def _other_variables(self, variables: bytes | None) -> bytes | None:
        """Return contents that differ in one part, or others."""
        rng = self._random
        if not variables or rng.random() < 0.4:
            return self._variables()
        size = rng.choice((1, 4, 8, 8))
        start = size * rng.randrange(len(variables) // size)
        word = self._word() if size == 8 else self._integer(8 * size)
        return variables[:start] + word.to_bytes(8, "little")[:size] + variables[start + size :]

    # -- inputs ----------------------------------------------------------------------------------

    def draw(self) -> Input:
        """Return a new input."""
        rng = self._random
        self._last_pointer, self._recent = 0, []
        # Dense pointers make long and cyclic lists.
        self._pointer_share = rng.choice((0.15, 0.35, 0.35, 0.8))
        self._address_share = rng.choice((0.12, 0.12, 0.5, 0.9))
        integers = [rng.getrandbits(64) for _ in range(8)]
        floats = [rng.getrandbits(64) for _ in range(16)]
        stack = [rng.getrandbits(64) for _ in range(self._frame.num_stack_words)]
        indirect = buffer_address(NUM_BUFFERS - 1)
        for number, (scalar, position) in enumerate(
            zip(self._signature.parameters, self._frame.locations, strict=True)
        ):
            self._store(integers, floats, stack, position, self._scalar(scalar, number))
        return Input(
            integers=tuple(integers),
            indirect=indirect,
            floats=tuple(floats),
            stack=tuple(stack),
            choices=self._choices(),
            variables=self._variables(),
            arena=b"".join(self._contents() for _ in range(self._num_buffers)),
        )

    def _store(
        self,
        integers: list[int],
        floats: list[int],
        stack: list[int],
        place: ArgumentLocation,
        words: list[int],
    ) -> None:
        if place.kind == "integer":
            integers[place.index : place.index + len(words)] = words
        elif place.kind == "float":
            floats[2 * place.index : 2 * place.index + len(words)] = words
        elif place.kind == "stack":
            stack[place.index : place.index + len(words)] = words

    def mutate(self, item: Input) -> Input:
        """Return an input that differs from another in one or a few respects."""
        rng = self._random
        for _ in range(rng.choice((1, 1, 2, 3))):
            kind = rng.random()
            if kind < self._kinds[0] and self._signature.parameters:
                number = rng.randrange(len(self._signature.parameters))
                integers, floats, stack = list(item.integers), list(item.floats), list(item.stack)
                words = self._scalar(self._signature.parameters[number], number)
                self._store(integers, floats, stack, self._frame.locations[number], words)
                item = dataclasses.replace(
                    item, integers=tuple(integers), floats=tuple(floats), stack=tuple(stack)
                )
            elif kind < self._kinds[1]:
                arena = bytearray(item.arena)
                for _ in range(rng.choice((1, 2, 8))):
                    buffer = rng.randrange(self._num_buffers) * CONTENT_BYTES
                    if self._fields and rng.random() < 0.6:
                        self._set_field(arena, buffer)
                        continue
                    size = rng.choice((1, 2, 4, 8, 8))
                    start = buffer + size * rng.randrange(min(256, CONTENT_BYTES) // size)
                    word = self._word() if size == 8 else self._integer(8 * size)
                    arena[start : start + size] = word.to_bytes(8, "little")[:size]
                item = dataclasses.replace(item, arena=bytes(arena))
            elif kind < self._kinds[2] or not self._variable_bytes:
                item = dataclasses.replace(item, choices=self._other_choices(item.choices))
            else:
                item = dataclasses.replace(item, variables=self._other_variables(item.variables))
        return item
