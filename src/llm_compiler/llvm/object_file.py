"""Section sizes of ELF objects, as `size` and the paper count them.

Reads the section header table and nothing else (a few dozen bytes a section; an object is measured
thousands of times in a search). 32 and 64 bits, both byte orders. Pure functions.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from llm_compiler.errors import InputError

__all__ = ["ObjectSizes", "section_sizes"]

_SHT_NOBITS = 8
_SHF_ALLOC = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectSizes:
    """Bytes of an object file.

    `size_bytes`: all allocated sections that take space in the file. `text_data_bytes`: those
    named ``.text*`` and ``.data*``, the paper's metric.
    """

    size_bytes: int
    text_data_bytes: int


def section_sizes(data: bytes) -> ObjectSizes:
    """Add up the sections of an ELF object.

    Raises:
        InputError: `data` is not an ELF file, or is cut short.
    """
    if data[:4] != b"\x7fELF" or len(data) < 52:
        raise InputError("not an ELF object file")
    order = "<" if data[5] == 1 else ">"
    try:
        if data[4] == 2:
            table, entry_size, count, names = struct.unpack_from(f"{order}40xQ10xHHH", data)
            entry = struct.Struct(f"{order}IIQQQQIIQQ")
        else:
            table, entry_size, count, names = struct.unpack_from(f"{order}32xI10xHHH", data)
            entry = struct.Struct(f"{order}10I")
        if table and count == 0:
            # More than 65,279 sections: the real numbers stand in section 0 (ELF specification).
            first = entry.unpack_from(data, table)
            count, names = first[5], first[6] if names == 0xFFFF else names
        if count * max(entry_size, entry.size) > len(data):
            raise struct.error(f"{count} sections do not fit in {len(data)} bytes")
        headers = [entry.unpack_from(data, table + i * entry_size) for i in range(count)]
        strings = headers[names][4] if count else 0
    except (struct.error, IndexError, OverflowError) as error:
        raise InputError(f"the ELF object's section table is damaged: {error}") from None
    size = text_data = 0
    for name, kind, flags, _, _, length, *_ in headers:
        if not flags & _SHF_ALLOC or kind == _SHT_NOBITS:
            continue
        size += length
        start = strings + name
        if data.startswith((b".text", b".data"), start):
            text_data += length
    return ObjectSizes(size_bytes=size, text_data_bytes=text_data)
