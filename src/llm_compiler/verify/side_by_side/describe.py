"""An input in words, for counterexamples."""

from __future__ import annotations

import struct
from collections.abc import Callable

from llm_compiler.verify.inputs import (
    CONTENT_BYTES,
    NUM_BUFFERS,
    STRIDE,
    Frame,
    Input,
    buffer_address,
)
from llm_compiler.verify.lifted import Signature

__all__ = ["describe_arguments"]


def describe_arguments(signature: Signature, frame: Frame, given: Input) -> tuple[str, ...]:
    """Return an input's arguments as text, with the memory that they point to."""
    found = []
    for number, (scalar, position) in enumerate(
        zip(signature.parameters, frame.locations, strict=True)
    ):
        read: dict[str, Callable[[int], int]] = {
            "integer": lambda index: given.integers[index],
            "float": lambda index: given.floats[2 * index],
            "stack": lambda index: given.stack[index],
            "indirect": lambda index: given.indirect,
        }
        value = read[position.kind](position.index)
        if scalar.kind == "integer":
            value &= (1 << min(64, scalar.bits)) - 1
            found.append(f"argument {number + 1}: i{scalar.bits} {value}")
        elif scalar.kind == "pointer" and not scalar.memory_bytes:
            buffer, offset = divmod(value - buffer_address(0), STRIDE)
            text = f"argument {number + 1}: ptr {value:#x}"
            if value and 0 <= buffer < NUM_BUFFERS and offset < CONTENT_BYTES:
                start = buffer * CONTENT_BYTES + offset
                text += " -> " + given.arena[start : start + 32].hex(" ", 4)
            found.append(text)
        elif scalar.kind == "float":
            code, size = ("<f", 4) if scalar.bits == 32 else ("<d", 8)
            number_ = struct.unpack(code, value.to_bytes(8, "little")[:size])[0]
            found.append(f"argument {number + 1}: {'float' if size == 4 else 'double'} {number_!r}")
        else:
            found.append(f"argument {number + 1}: {value:#x}")
    return tuple(found)
