"""When two values are the same: by the bits that count, and NaN whatever its bits."""

from __future__ import annotations

import struct

from llm_compiler.verify.lifted import Scalar

__all__ = ["same_float", "same_integer", "same_memory"]


def same_integer(scalar: Scalar, a: int, b: int) -> bool:
    """Whether the bits that a scalar has are the same."""
    bits = 64 if scalar.kind == "pointer" else min(64, scalar.bits)
    if scalar.extension and bits < 32:
        bits = 32
    mask = (1 << bits) - 1
    return a & mask == b & mask


def same_float(scalar: Scalar, a: int, b: int) -> bool:
    """Whether two floating-point values are the same, or both NaN."""
    if scalar.kind == "vector" or scalar.bits not in (32, 64):
        return a == b
    mask = (1 << scalar.bits) - 1
    a, b = a & mask, b & mask
    exponent = 0x7F800000 if scalar.bits == 32 else 0x7FF0000000000000
    sign = 1 << (scalar.bits - 1)
    are_nan = [value & ~sign > exponent for value in (a, b)]
    return a == b or all(are_nan)


def same_memory(ours: bytes, theirs: bytes) -> bool:
    """Whether words are equal or both NaN, as doubles or half by half as floats."""
    if ours == theirs:
        return True
    if len(ours) != len(theirs):
        return False
    double, single = Scalar(kind="float", bits=64), Scalar(kind="float", bits=32)
    for (a,), (b,) in zip(
        struct.iter_unpack("<Q", ours), struct.iter_unpack("<Q", theirs), strict=True
    ):
        halves = all(same_float(single, a >> shift, b >> shift) for shift in (0, 32))
        if not (halves or same_float(double, a, b)):
            return False
    return True
