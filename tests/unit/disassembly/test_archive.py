"""Archives, read without a tool."""

from __future__ import annotations

import pytest

from llm_compiler.disassembly.archive import MAGIC, read_archive
from llm_compiler.errors import InputError


def member(name: str, data: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n".encode()
    return header + data + b"\n" * (len(data) % 2)


def test_names_of_all_kinds() -> None:
    long = b"a_name_longer_than_sixteen.o/\nfolder/second_long_name.o/\n"
    data = MAGIC + member("/", b"symbols") + member("//", long)
    data += member("short.o/", b"one") + member("/0", b"two2") + member("/30", b"three")
    data += member("#1/8", b"bsd.o\0\0\0four")
    found = [(each_member.name, each_member.data) for each_member in read_archive(data, "lib.a")]
    assert found == [
        ("short.o", b"one"),
        ("a_name_longer_than_sixteen.o", b"two2"),
        ("second_long_name.o", b"three"),
        ("bsd.o", b"four"),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (MAGIC + member("a.o/", b"1234")[:-2], "is cut off"),
        (MAGIC + b"x" * 60, "no member begins at byte 8"),
        (MAGIC + member("/7", b"12"), "damaged"),
    ],
)
def test_damaged_ones(data: bytes, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        read_archive(data, "lib.a")
