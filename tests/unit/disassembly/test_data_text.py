from __future__ import annotations

import struct

import pytest

from llm_compiler.disassembly.data_text import data_lines, quoted


@pytest.mark.parametrize(
    ("data", "alignment", "lines"),
    [
        (b"abc\0", 1, ['.asciz "abc"']),
        (bytes(40), 8, [".zero 40"]),
        (bytes(4), 4, [".long 0"]),
        (struct.pack("<3I", 1, 2, 0xFFFFFFFF), 4, [".long 1", ".long 2", ".long 4294967295"]),
        (struct.pack("<2q", -1, 70000), 8, [".quad -1", ".quad 70000"]),
        (struct.pack("<3H", 7, 8, 9), 2, [".short 7", ".short 8", ".short 9"]),
        (b"\x01\x02\x03", 1, [".byte 1", ".byte 2", ".byte 3"]),
    ],
)
def test_directives(data: bytes, alignment: int, lines: list[str]) -> None:
    assert data_lines("x86_64", data, alignment, {}) == lines


def test_symbols_stand_among_numbers() -> None:
    data = struct.pack("<QIIQ", 0, 5, 0, 0)
    symbols = {0: (8, "puts"), 16: (8, "names+8")}
    assert data_lines("x86_64", data, 8, symbols) == [".quad puts", ".quad 5", ".quad names+8"]
    assert data_lines("aarch64", data[:8], 8, {0: (8, "puts")}) == [".xword puts"]


def test_floating_point_constants_are_bits() -> None:
    data = struct.pack("<d", 3.25)
    assert data_lines("x86_64", data, 8, {}, as_bits=True) == [".quad 0x400a000000000000"]


def test_strings_are_escaped_as_llvm_does() -> None:
    assert quoted(b'a"\\\n\t\x01\xff') == r'"a\"\\\n\t\001\377"'
