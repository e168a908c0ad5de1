"""Bytes and relocations of data as assembler directives, in the spelling of LLVM's code generator.

The types of constants are gone from an object: elements are taken to be as wide as alignment and
values suggest. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from llm_compiler.llvm.targets import target_of

__all__ = ["data_lines", "quoted"]

_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}
_LONG_ZEROS = 16


def quoted(data: bytes) -> str:
    """Return a string literal as LLVM writes it: octal escapes for what cannot be printed."""
    return (
        '"'
        + "".join(_ESCAPES.get(b) or (chr(b) if 32 <= b < 127 else f"\\{b:03o}") for b in data)
        + '"'
    )


def data_lines(
    architecture: str,
    data: bytes,
    alignment: int,
    symbols: Mapping[int, tuple[int, str]],
    *,
    is_string: bool = False,
    as_bits: bool = False,
) -> list[str]:
    """Return the directives for one piece of data.

    Args:
        alignment: of its start, in bytes.
        symbols: by offset, the size of a symbolic value and its expression.
        is_string: it is a C string.
        as_bits: floating-point constants, written as hexadecimal bits.
    """
    if is_string and data == b"\0":
        return [".zero 1"]
    if is_string and data.endswith(b"\0") and b"\0" not in data[:-1]:
        return [f".asciz {quoted(data[:-1])}"]
    names = target_of(architecture).assembly.words
    if not symbols and not any(data):
        if as_bits or len(data) not in names or len(data) > alignment:
            return [f".zero {len(data)}"] if not as_bits else _words(data, len(data), names, True)
        return [f"{names[len(data)]} 0"]
    lines: list[str] = []
    position = 0
    for place in [*sorted(symbols), len(data)]:
        if place > position:
            piece = data[position:place]
            # What follows a symbol starts where the last one ended: a multiple of its size.
            start_alignment = min(alignment, position & -position) if position else alignment
            lines += _plain(piece, start_alignment, names, as_bits)
        if place < len(data):
            size, expression = symbols[place]
            lines.append(f"{names[size]} {expression}")
            position = place + size
    return lines


def _plain(data: bytes, alignment: int, names: Mapping[int, str], as_bits: bool) -> list[str]:
    if not any(data):
        return [f".zero {len(data)}"] if len(data) not in names else [f"{names[len(data)]} 0"]
    if as_bits:
        return _words(data, min(8, len(data)), names, as_bits)
    if _is_text(data):
        if data.endswith(b"\0") and b"\0" not in data[:-1]:
            return [f".asciz {quoted(data[:-1])}"]
        return [f".ascii {quoted(data)}"]
    return _words(data, _element_size(data, alignment), names, as_bits)


def _is_text(data: bytes) -> bool:
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in data)
    return len(data) > 3 and printable >= 0.75 * len(data)


def _element_size(data: bytes, alignment: int) -> int:
    for size in (8, 4, 2):
        if alignment < size or len(data) % size:
            continue
        if len(data) == size:
            return size
        words = [
            int.from_bytes(data[i : i + size], "little", signed=True)
            for i in range(0, len(data), size)
        ]
        # Elements of half the size would fill the upper halves as well.
        small = sum(abs(word) < 1 << (4 * size) for word in words)
        if small >= 0.75 * len(words) and not all(word == 0 for word in words):
            return size
    return 1 if alignment < 4 or len(data) % 4 else 4


def _words(data: bytes, size: int, names: Mapping[int, str], as_bits: bool) -> list[str]:
    if size not in names or len(data) % size:
        size = next(item for item in (8, 4, 2, 1) if len(data) % item == 0)
    return list(_each_word(data, size, names[size], as_bits))


def _each_word(data: bytes, size: int, directive: str, as_bits: bool) -> Iterator[str]:
    position = 0
    while position < len(data):
        rest = data[position:]
        zeros = len(rest) - len(rest.lstrip(b"\0"))
        zeros -= zeros % size
        if zeros >= _LONG_ZEROS and not as_bits:
            yield f".zero {zeros}"
            position += zeros
            continue
        word = int.from_bytes(data[position : position + size], "little", signed=size == 8)
        position += size
        if as_bits:
            yield f"{directive} 0x{word % (1 << (8 * size)):0{2 * size}x}"
        else:
            yield f"{directive} {word}"
