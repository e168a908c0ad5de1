"""Read static libraries (``ar``): the objects in them, by name. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass, field

from llm_compiler.errors import InputError

__all__ = ["MAGIC", "Member", "read_archive"]

MAGIC = b"!<arch>\n"
_HEADER = 60
_END = b"`\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of an archive."""

    name: str
    data: bytes = field(repr=False)


def read_archive(data: bytes, name: str) -> list[Member]:
    """Return the members of an archive, without its tables of symbols and names.

    Names are read as GNU ``ar`` and LLVM write them for ELF, and BSD's long ones.

    Raises:
        InputError: it is damaged.
    """
    found: list[Member] = []
    names = b""
    position = len(MAGIC)
    try:
        while position + _HEADER <= len(data):
            header = data[position : position + _HEADER]
            if header[58:60] != _END:
                raise ValueError(f"no member begins at byte {position}")
            title = header[:16].decode("utf-8", "surrogateescape").rstrip()
            size = int(header[48:58])
            start = position + _HEADER
            body = data[start : start + size]
            if len(body) < size:
                raise ValueError(f"the member '{title}' is cut off")
            position = start + size + size % 2
            if title in ("/", "/SYM64/", "__.SYMDEF", "__.SYMDEF SORTED"):
                continue
            if title == "//":
                names = body
                continue
            if title.startswith("#1/"):
                length = int(title[3:])
                title = body[:length].rstrip(b"\0").decode("utf-8", "surrogateescape")
                body = body[length:]
            elif title.startswith("/"):
                begin = int(title[1:])
                end = names.index(b"\n", begin)
                title = names[begin:end].decode("utf-8", "surrogateescape")
            found.append(Member(name=title.rstrip("/").rsplit("/", 1)[-1], data=body))
    except ValueError as error:
        raise InputError(f"{name} is a damaged archive: {error}") from None
    return found
