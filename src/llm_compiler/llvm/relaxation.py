"""What a RISC-V linker takes out of calls: an object holds eight bytes for each, a program fewer.

The assembler writes AUIPC and JALR with a relocation that says that a linker may shorten them
(R_RISCV_RELAX). All linkers do, by default, to JAL, or to the compressed C.J and C.JAL where the
callee is near (RISC-V ELF psABI, "Linker Relaxation"). Counted is what is sure: how near a callee
lies is known within a section alone, where shortening other calls only brings it nearer; any other
one is taken to be within JAL's megabyte. Addresses that a linker makes relative to ``gp`` are not
counted, since the linker's script decides that. Pure; safe in threads and processes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from llm_compiler.llvm.elf_core import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_RELA,
    SHT_SYMTAB,
    Elf,
    RawSymbol,
)

__all__ = ["ShortenedCall", "relaxed_bytes", "shortened_calls"]

_RISCV = 243
_CALLS, _RELAX = frozenset({18, 19}), 51
"""R_RISCV_CALL and R_RISCV_CALL_PLT; R_RISCV_RELAX."""
_COMPRESSED = 1
"""EF_RISCV_RVC: the object's code may be compressed."""
_ZERO, _RA = 0, 1
_NEAR = range(-(1 << 11), 1 << 11)
"""Bytes that C.J and C.JAL reach."""


class ShortenedCall(NamedTuple):
    """A call that a linker shortens: where it is, and the bytes that go."""

    section: int
    offset: int
    saved_bytes: int


def relaxed_bytes(elf: Elf) -> int:
    """Return what linker relaxation takes out of an object's calls; 0 where there is none."""
    return sum(call.saved_bytes for call in shortened_calls(elf))


def shortened_calls(elf: Elf) -> Iterator[ShortenedCall]:
    """Yield the calls of a RISC-V object that a linker shortens; of other machines' none.

    Raises:
        DAMAGED: the object is cut short.
    """
    if elf.machine != _RISCV:
        return
    tables = {
        number: list(elf.symbols(header))
        for number, header in enumerate(elf.headers)
        if header.type == SHT_SYMTAB
    }
    for header in elf.headers:
        if header.type != SHT_RELA or header.info >= len(elf.headers):
            continue
        holder = elf.headers[header.info]
        if not (holder.flags & SHF_ALLOC and holder.flags & SHF_EXECINSTR):
            continue
        code = elf.contents(holder)
        rows = list(elf.relocations(header))
        for row, following in pairwise(rows):
            if row.type not in _CALLS or following[:2] != (row.offset, _RELAX):
                continue
            near = _is_near(tables.get(header.link, ()), header.info, row.symbol, row)
            yield ShortenedCall(
                header.info, row.offset, _saved(elf, code, row.offset, is_near=near)
            )


def _is_near(
    symbols: Sequence[RawSymbol], section: int, number: int, row: tuple[int, int, int, int]
) -> bool:
    if number >= len(symbols) or symbols[number].section != section:
        return False
    offset, _, _, addend = row
    return symbols[number].value + addend - offset in _NEAR


def _saved(elf: Elf, code: bytes, offset: int, *, is_near: bool) -> int:
    (link,) = struct.unpack_from("<I", code, offset + 4)
    register = link >> 7 & 31
    if (
        is_near
        and _flags(elf) & _COMPRESSED
        and register in ((_ZERO,) if elf.wide else (_ZERO, _RA))
    ):
        return 6  # C.JAL is of 32 bits alone
    return 4


def _flags(elf: Elf) -> int:
    (flags,) = struct.unpack_from(f"{elf.order}I", elf.data, 48 if elf.wide else 36)
    return int(flags)
