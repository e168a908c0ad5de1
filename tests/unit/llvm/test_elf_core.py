"""The encoding of ELF files, of both widths and byte orders, written here field by field."""

from __future__ import annotations

import struct

import pytest

from llm_compiler.llvm.elf_core import DAMAGED, SHT_REL, SHT_RELA, SHT_SYMTAB, read_elf

STRINGS = b"\0.shstrtab\0.symtab\0.rel\0main\0"


def at(name: bytes) -> int:
    return STRINGS.index(name + b"\0")


def make(order: str, wide: bool, *, with_addend: bool, count: int | None = None) -> bytes:
    """Return a file with a string table, a symbol table of two rows, and one relocation."""
    if wide:
        header = struct.Struct(order + "16sHHIQQQIHHHHHH")
        section = struct.Struct(order + "IIQQQQIIQQ")
        null = struct.pack(order + "IBBHQQ", 0, 0, 0, 0, 0, 0)
        main = struct.pack(order + "IBBHQQ", at(b"main"), 0x12, 2, 1, 0x40, 7)
        info = 1 << 32 | 5
        row = struct.pack(order + ("QQq" if with_addend else "QQ"), 0x10, info, *[-4][:with_addend])
    else:
        header = struct.Struct(order + "16sHHIIIIIHHHHHH")
        section = struct.Struct(order + "10I")
        null = struct.pack(order + "IIIBBH", 0, 0, 0, 0, 0, 0)
        main = struct.pack(order + "IIIBBH", at(b"main"), 0x40, 7, 0x12, 2, 1)
        info = 1 << 8 | 5
        row = struct.pack(order + ("IIi" if with_addend else "II"), 0x10, info, *[-4][:with_addend])
    symbols = null + main
    bodies = (b"", STRINGS, symbols, row)
    offset = header.size
    kinds = (0, 3, SHT_SYMTAB, SHT_RELA if with_addend else SHT_REL)
    names = (0, at(b".shstrtab"), at(b".symtab"), at(b".rel"))
    headers = b""
    for kind, name, body in zip(kinds, names, bodies, strict=True):
        headers += section.pack(name, kind, 0, 0, offset, len(body), 1, 1, 1, 0)
        offset += len(body)
    ident = b"\x7fELF" + bytes((2 if wide else 1, 1 if order == "<" else 2, 1)) + bytes(9)
    sizes = (header.size, 0, 0, section.size, 4 if count is None else count, 1)
    head = header.pack(ident, 1, 243, 1, 0x77, 0, offset, 0, *sizes)
    return head + b"".join(bodies) + headers


@pytest.mark.parametrize("with_addend", [True, False])
@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_widths_and_byte_orders_are_read(order: str, wide: bool, with_addend: bool) -> None:
    elf = read_elf(make(order, wide, with_addend=with_addend))
    assert (elf.order, elf.wide, elf.type, elf.machine, elf.entry) == (order, wide, 1, 243, 0x77)
    assert [elf.name(header) for header in elf.headers] == [b"", b".shstrtab", b".symtab", b".rel"]
    table, relocations = elf.headers[2:]
    _, main = elf.symbols(table)
    assert elf.symbol_name(table, main) == b"main"
    assert (main.info, main.other, main.section, main.value, main.size) == (0x12, 2, 1, 0x40, 7)
    (row,) = elf.relocations(relocations)
    assert (row.offset, row.type, row.symbol) == (0x10, 5, 1)
    assert row.addend == (-4 if with_addend else 0)


@pytest.mark.parametrize("size", [0, 4, 20, 51, 63, 100])
def test_a_file_that_is_cut_short_is_damaged(size: int) -> None:
    with pytest.raises(DAMAGED):
        read_elf(make("<", True, with_addend=True)[:size])


def test_more_sections_than_bytes_are_refused_before_they_are_read() -> None:
    with pytest.raises(ValueError, match="60000 sections do not fit"):
        read_elf(make("<", True, with_addend=True, count=60000))


def test_a_section_that_ends_after_the_file_is_damaged() -> None:
    elf = read_elf(make("<", False, with_addend=True))
    with pytest.raises(ValueError, match="after the file's"):
        elf.contents(elf.headers[1]._replace(size=1 << 20))
