from __future__ import annotations

import random
import struct

import pytest

from llm_compiler.errors import InputError
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes

PROGBITS, NOBITS = 1, 8
WRITE, ALLOC, EXEC = 1, 2, 4
SECTIONS = (
    # name, type, flags, bytes
    (".text", PROGBITS, ALLOC | EXEC, 100),
    (".text.unlikely.", PROGBITS, ALLOC | EXEC, 7),
    (".data", PROGBITS, ALLOC | WRITE, 20),
    (".data.rel.ro", PROGBITS, ALLOC | WRITE, 8),
    (".rodata.str1.1", PROGBITS, ALLOC, 30),
    (".eh_frame", 0x70000001, ALLOC, 40),
    (".bss", NOBITS, ALLOC | WRITE, 5000),
    (".tbss", NOBITS, ALLOC | WRITE, 500),
    (".comment", PROGBITS, 0, 21),
    (".symtab", 2, 0, 240),
)
EXPECTED = ObjectSizes(
    size_bytes=100 + 7 + 20 + 8 + 30 + 40,
    text_data_bytes=100 + 7 + 20 + 8,
    ram_bytes=20 + 5000 + 500,
)


def elf(
    sections: tuple[tuple[str, int, int, int], ...] = SECTIONS,
    *,
    bits: int = 64,
    order: str = "<",
    many: bool = False,
) -> bytes:
    """An object file made by hand: header, section names, section headers, no contents.

    `many` writes the numbers of sections and names into section 0, as files with more than 65,279
    sections do.
    """
    names = b"\0"
    rows = [(0, 0, 0, 0, 0)]
    for name, kind, flags, size in sections:
        rows.append((len(names), kind, flags, 64, size))
        names += name.encode() + b"\0"
    names_at = 64 if bits == 64 else 52
    rows.append((len(names), 3, 0, names_at, len(names) + 10))
    names += b".shstrtab\0"
    table_at = names_at + len(names)
    count, index = len(rows), len(rows) - 1
    header = struct.pack("4sBBBB8x", b"\x7fELF", bits // 32, 1 if order == "<" else 2, 1, 0)
    stored = (0, 0xFFFF) if many else (count, index)
    if bits == 64:
        header += struct.pack(
            f"{order}HHIQQQIHHHHHH", 1, 62, 1, 0, 0, table_at, 0, 64, 0, 0, 64, *stored
        )
        entry = struct.Struct(f"{order}IIQQQQIIQQ")
    else:
        header += struct.pack(
            f"{order}HHIIIIIHHHHHH", 1, 3, 1, 0, 0, table_at, 0, 52, 0, 0, 40, *stored
        )
        entry = struct.Struct(f"{order}10I")
    data = header + names
    for number, (name_at, kind, flags, offset, size) in enumerate(rows):
        link = index if many and number == 0 else 0
        length = count if many and number == 0 else size
        data += entry.pack(name_at, kind, flags, 0, offset, length, link, 0, 1, 0)
    return data


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("many", [False, True])
def test_counts_allocated_sections_that_take_space(bits: int, order: str, many: bool) -> None:
    assert section_sizes(elf(bits=bits, order=order, many=many)) == EXPECTED


def test_an_object_without_sections_is_empty() -> None:
    assert section_sizes(elf(())) == ObjectSizes(size_bytes=0, text_data_bytes=0)


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"BC\xc0\xde" + bytes(100), bytes(200)])
def test_what_is_no_elf_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="not an ELF object"):
        section_sizes(data)


def test_an_object_cut_short_is_refused() -> None:
    data = elf()
    with pytest.raises(InputError, match="section table is damaged"):
        section_sizes(data[:-10])


def test_an_absurd_number_of_sections_ends_at_once() -> None:
    data = bytearray(elf(many=True))
    (table_at,) = struct.unpack_from("<Q", data, 40)
    struct.pack_into("<H", data, 58, 0)  # an entry size of 0
    struct.pack_into("<Q", data, table_at + 32, 1 << 60)
    with pytest.raises(InputError, match="sections do not fit"):
        section_sizes(bytes(data))


def test_damaged_headers_never_raise_anything_else() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        data = bytearray(elf(bits=rng.choice((32, 64))))
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(4, 64)] = rng.randrange(256)
        try:
            sizes = section_sizes(bytes(data))
        except InputError:
            continue
        assert 0 <= sizes.text_data_bytes <= sizes.size_bytes


def test_unwind_entries_that_a_linker_merges_are_not_in_flash() -> None:
    """Exception Handling ABI for the Arm Architecture: the second word 1 means "cannot unwind"."""
    index = struct.pack("<6I", 0, 1, 0, 0x80B0B0B0, 0, 1)
    name = b"\0.ARM.exidx\0"
    header = struct.pack("4sBBBB8x", b"\x7fELF", 1, 1, 1, 0)
    table_at = 52 + len(index) + len(name)
    header += struct.pack("<HHIIIIIHHHHHH", 1, 40, 1, 0, 0, table_at, 0, 52, 0, 0, 40, 3, 2)
    rows = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 0x70000001, ALLOC, 0, 52, len(index), 0, 0, 4, 0),
        (1, 3, 0, 0, 52 + len(index), len(name), 0, 0, 1, 0),
    ]
    data = header + index + name + b"".join(struct.pack("<10I", *row) for row in rows)
    found = section_sizes(data)
    assert (found.size_bytes, found.merged_bytes, found.flash_bytes) == (24, 16, 8)
