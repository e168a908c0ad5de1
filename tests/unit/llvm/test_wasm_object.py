"""Objects of WebAssembly, written by hand: what is counted, which names they have, and damage."""

from __future__ import annotations

import random
import struct

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.object_file import (
    has_sizes,
    object_format,
    section_groups,
    section_sizes,
    undefined_symbols,
)
from llm_compiler.llvm.wasm_object import wasm_symbols


def leb(value: int, *, width: int = 1) -> bytes:
    """Return an unsigned LEB128 of at least so many bytes: linkers patch numbers of five."""
    out = bytearray()
    while value >= 0x80 or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def section(number: int, body: bytes, *, width: int = 5) -> bytes:
    return bytes([number]) + leb(len(body), width=width) + body


def named(text: str) -> bytes:
    return leb(len(text)) + text.encode()


IMPORTS = [
    named("env") + named("memory") + b"\x02\x01\x01\x05",  # at least 1 page, at most 5
    named("env") + named("puts") + b"\x00\x00",
    named("env") + named("__stack_pointer") + b"\x03\x7f\x01",
]
CODE = leb(1) + leb(4) + b"\x00\x41\x07\x0b"
SEGMENTS = [
    b"\x00\x41\x00\x0b" + leb(4) + b"abcd",  # .rodata
    b"\x00\x41\x84\x01\x0b" + leb(200) + bytes(200),  # .bss
    b"\x00\x41\x00\x0b" + leb(8) + b"12345678",  # .data
]
NAMES = (".rodata..L.str", ".bss.table", ".data.shared")
SYMBOLS = [
    b"\x00\x00" + leb(1) + named("main"),
    b"\x00\x10" + leb(0),  # puts, by the name of its import
    b"\x01\x10" + named("elsewhere"),
    b"\x01\x02" + named("hidden") + leb(1) + leb(0) + leb(200),
    b"\x01\x00" + named("shared") + leb(2) + leb(0) + leb(8),
    b"\x02\x10" + leb(0),
    b"\x03\x02" + leb(4),  # a section
]


def linking() -> bytes:
    info = leb(len(NAMES)) + b"".join(named(name) + b"\x02\x00" for name in NAMES)
    table = leb(len(SYMBOLS)) + b"".join(SYMBOLS)
    return named("linking") + b"\x02" + section(5, info) + section(8, table)


def module() -> bytes:
    return (
        b"\0asm\1\0\0\0"
        + section(1, b"\x01\x60\x00\x01\x7f")
        + section(2, leb(len(IMPORTS)) + b"".join(IMPORTS))
        + section(3, b"\x01\x00")
        + section(10, CODE)
        + section(11, leb(len(SEGMENTS)) + b"".join(SEGMENTS))
        + section(0, linking())
        + section(0, named("name") + bytes(50))
    )


def test_what_a_linked_program_keeps_is_counted() -> None:
    data = module()
    assert (object_format(data), has_sizes(data)) == ("WebAssembly", True)
    header = 6  # number and a length of five bytes
    kept = len(SEGMENTS[0]) + len(SEGMENTS[2]) + 1
    assert section_groups(data) == {
        "types": header + 5,
        "functions": header + 2,
        "code": header + len(CODE),
        "data": header + kept,
    }
    sizes = section_sizes(data)
    assert sizes.size_bytes == sum(section_groups(data).values())
    assert sizes.text_data_bytes == 2 * header + len(CODE) + kept
    assert sizes.ram_bytes == 200 + 8
    assert sizes.flash_bytes == sizes.size_bytes


def test_names_are_those_of_the_symbol_table_and_of_imports() -> None:
    defined, undefined = wasm_symbols(module())
    assert defined == {"main", "shared"}
    assert undefined == undefined_symbols(module()) == {"puts", "elsewhere", "__stack_pointer"}


def test_a_program_that_is_linked_has_no_table_of_symbols() -> None:
    data = b"\0asm\1\0\0\0" + section(10, CODE)
    assert wasm_symbols(data) == (frozenset(), frozenset())
    assert section_sizes(data).size_bytes == 6 + len(CODE)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0asm\2\0\0\0", "version"),
        (module()[:60], "cut short"),
        (b"\0asm\1\0\0\0" + section(99, b""), "no section 99"),
        (b"\0asm\1\0\0\0\x0a" + b"\xff" * 12, "too long"),
    ],
)
def test_damage_is_said_in_one_sentence(data: bytes, words: str) -> None:
    with pytest.raises(InputError, match=f"WebAssembly object is damaged: .*{words}"):
        section_sizes(data)


def test_damaged_modules_never_raise_anything_else() -> None:
    rng = random.Random(7)
    whole = module()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(8, len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(8, len(data)) :]
        for read in (section_sizes, wasm_symbols):
            try:
                read(bytes(data))
            except InputError:
                continue


def test_a_file_of_another_format_has_no_sizes() -> None:
    assert not has_sizes(struct.pack("<H", 0x8664) + bytes(60))
