"""Types of LLVM-IR, and how much memory they take on the targets that functions are run for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Type", "align_of", "field_offsets", "size_of"]

_FLOAT_BYTES = {16: 2, 32: 4, 64: 8, 80: 16, 128: 16}


@dataclass(frozen=True, slots=True)
class Type:
    """One type: ``integer``, ``pointer``, ``float``, ``array``, ``vector``, ``struct``, ``void``.

    `bits`: of integers and floats. `count`: of arrays and vectors. `parts`: the element's type, or
    the fields'.
    """

    kind: str
    bits: int = 0
    count: int = 0
    parts: tuple[Type, ...] = ()
    is_packed: bool = False

    @property
    def is_scalar(self) -> bool:
        """Whether one number stands for a value of it."""
        return self.kind in ("integer", "pointer", "float")

    @property
    def is_sequence(self) -> bool:
        """Whether all its elements are of one type."""
        return self.kind in ("array", "vector")


def size_of(given: Type) -> int:
    """Return how many bytes lie between two values in memory, one after the other."""
    match given.kind:
        case "pointer":
            return 8
        case "integer":
            size = (given.bits + 7) // 8
            return 1 << (size - 1).bit_length() if size <= 16 else (size + 15) // 16 * 16
        case "float":
            return _FLOAT_BYTES[given.bits]
        case "array":
            return given.count * size_of(given.parts[0])
        case "vector":
            element = given.parts[0]
            bits = given.count * (64 if element.kind == "pointer" else element.bits)
            size = (bits + 7) // 8
            return 1 << max(0, size - 1).bit_length()
        case "struct":
            end = 0
            for offset, part in field_offsets(given):
                end = offset + size_of(part)
            align = align_of(given)
            return (end + align - 1) // align * align
    return 0


def align_of(given: Type) -> int:
    """Return the alignment in bytes that the ABI asks for."""
    match given.kind:
        case "array":
            return align_of(given.parts[0])
        case "struct":
            return (
                1 if given.is_packed else max((align_of(part) for part in given.parts), default=1)
            )
        case "void":
            return 1
    return max(1, min(16, size_of(given)))


def field_offsets(given: Type) -> Iterator[tuple[int, Type]]:
    """Yield the offset in bytes and the type of each field of a structure."""
    place = 0
    for part in given.parts:
        align = 1 if given.is_packed else align_of(part)
        place = (place + align - 1) // align * align
        yield place, part
        place += size_of(part)
