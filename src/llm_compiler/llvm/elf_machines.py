"""What reading sizes from objects must know of each ELF machine: one record each.

Several targets share a machine (all of Arm's 32-bit ones do), and an object names only that. A
record says which symbols name nothing, how a place holds its addend where the relocation table has
none (`SHT_REL`), and how code calls what lies in the same section without a relocation. Pure; safe
in threads and processes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from llm_compiler.llvm.target_record import BranchEncoding, LiftedTarget
from llm_compiler.llvm.targets import lifted_targets

__all__ = ["ElfMachine", "elf_machine"]

Calls = Iterator[tuple[int, int]]
"""Offsets of branches in a section, and of where they lead."""


def _no_calls(code: bytes) -> Calls:
    return iter(())


def _no_addend(body: bytes, offset: int, kind: int) -> int:
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfMachine:
    """A machine whose objects are divided into functions and variables."""

    name: str
    """For people."""
    wide: bool
    """Of 64 bits."""
    mapping_symbols: tuple[str, ...] = ()
    """Begin the names of symbols that say where code and data begin, and name nothing."""
    from_end: frozenset[int] = frozenset()
    """Relocations of code that are counted from the end of their field of four bytes."""
    has_thumb: bool = False
    """Whether the lowest bit of a function's address names its instruction set."""
    unwind_index: int | None = None
    """The type of sections that index unwind tables as Arm's do (`SHT_ARM_EXIDX`)."""
    addend: Callable[[bytes, int, int], int] = field(default=_no_addend, repr=False)
    """Of a section's bytes, the offset and the type of a relocation: the addend that stands there,
    counted from the symbol. Asked where the table has none."""
    calls: Callable[[bytes], Calls] = field(default=_no_calls, repr=False)
    """Of a section's code: branches whose targets no relocation names."""


def _signed(value: int, bits: int) -> int:
    sign = 1 << (bits - 1)
    return (value & (sign - 1)) - (value & sign)


def _word(body: bytes, offset: int) -> int:
    return int(struct.unpack_from("<i", body, offset)[0])


# -- Arm: ELF for the Arm Architecture, section 5.6; Arm Architecture Reference Manual, F5 ---

_ARM_PREL31 = 42
_ARM_WORDS = frozenset({2, 3, 24, 25, 26, 38, 95, 96, 104, 107, 108})
"""ABS32, REL32, GOTOFF32, BASE_PREL, GOT_BREL, TARGET1, GOT_PREL and those of thread-local data."""
_ARM_MOVES, _THUMB_MOVES = frozenset({43, 44, 45, 46}), frozenset({47, 48, 49, 50})
_ARM_BRANCHES, _THUMB_BRANCHES = frozenset({1, 28, 29}), frozenset({10, 30})


def _arm_addend(body: bytes, offset: int, kind: int) -> int:
    if kind in _ARM_WORDS:
        return _word(body, offset)
    if kind == _ARM_PREL31:
        return _signed(_word(body, offset), 31)
    if kind in _THUMB_BRANCHES:
        first, second = struct.unpack_from("<HH", body, offset)
        return (_thumb_distance(first, second) or 0) + 4  # Thumb's pc is four bytes ahead
    if kind in _ARM_BRANCHES:
        return 4 * _signed(_word(body, offset), 24) + 8  # Arm's is eight
    if kind in _ARM_MOVES:
        word = _word(body, offset)
        return _signed((word >> 4 & 0xF000) | word & 0xFFF, 16)
    if kind in _THUMB_MOVES:
        first, second = struct.unpack_from("<HH", body, offset)
        high = (first & 0xF) << 12 | (first & 0x400) << 1
        return _signed(high | (second & 0x7000) >> 4 | second & 0xFF, 16)
    return 0


def _thumb_distance(first: int, second: int) -> int | None:
    """Return how far BL or B.W leads from the pc; None: it is another instruction."""
    if first & 0xF800 != 0xF000 or second & 0x9000 != 0x9000:
        return None
    sign = first >> 10 & 1
    one, two = (~((second >> 13 & 1) ^ sign) & 1), (~((second >> 11 & 1) ^ sign) & 1)
    value = sign << 24 | one << 23 | two << 22 | (first & 0x3FF) << 12 | (second & 0x7FF) << 1
    return _signed(value, 25)


def _thumb_calls(code: bytes) -> Calls:
    """Yield what may be BL, B.W or the short B; data among the code may look like one, too."""
    halves = struct.unpack(f"<{len(code) // 2}H", code[: len(code) // 2 * 2])
    for index, first in enumerate(halves):
        if first & 0xF800 == 0xE000:
            yield 2 * index, 2 * index + 4 + 2 * _signed(first, 11)
        elif index + 1 < len(halves):
            distance = _thumb_distance(first, halves[index + 1])
            if distance is not None:
                yield 2 * index, 2 * index + 4 + distance
    for offset in range(0, len(code) - 3, 4):
        word = _word(code, offset)
        if word & 0x0E000000 == 0x0A000000:  # B and BL of the Arm instruction set
            yield offset, offset + 8 + 4 * _signed(word, 24)


# -- RISC-V: psABI, ELF; the ISA manual, RV32I and the C extension ---


def _riscv_calls(code: bytes) -> Calls:
    """Yield pairs of AUIPC and JALR, which stand for calls where nothing is relaxed."""
    for offset in range(0, len(code) - 7, 2):
        first = _word(code, offset)
        second = _word(code, offset + 4)
        if (
            first & 0x7F == 0x17
            and second & 0x707F == 0x67
            and first >> 7 & 31 == second >> 15 & 31
        ):
            yield offset, offset + (first & ~0xFFF) + (second >> 20)


# -- i386: System V ABI, Intel386 supplement, table 4-9 ---

_I386_FROM_END = frozenset({2, 4})
"""PC32 and PLT32."""
_I386_NARROW = frozenset({20, 21, 22, 23})
"""Of one byte or two."""


def _i386_calls(code: bytes) -> Calls:
    """Yield what may be CALL or JMP with a distance of 32 bits."""
    for offset in range(len(code) - 4):
        if code[offset] & 0xFE == 0xE8:
            yield offset, offset + 5 + _word(code, offset + 1)


def _i386_addend(body: bytes, offset: int, kind: int) -> int:
    return 0 if kind in _I386_NARROW else _word(body, offset)


def _words_calls(branch: BranchEncoding) -> Callable[[bytes], Calls]:
    def calls(code: bytes) -> Calls:
        words = struct.unpack(f"<{len(code) // 4}I", code[: len(code) // 4 * 4])
        for index, word in enumerate(words):
            if (distance := branch.distance(word)) is not None:
                yield 4 * index, 4 * index + distance

    return calls


def _of_target(target: LiftedTarget) -> ElfMachine:
    branch = target.outlines_with
    return ElfMachine(
        name=target.title,
        wide=target.pointer_bytes == 8,
        mapping_symbols=target.assembly.mapping_symbols,
        from_end=target.relocations.from_end,
        calls=_no_calls if branch is None else _words_calls(branch),
    )


_MACHINES = {
    (40, False): ElfMachine(
        name="32-bit Arm",
        wide=False,
        mapping_symbols=("$a", "$t", "$d"),
        has_thumb=True,
        unwind_index=0x70000001,
        addend=_arm_addend,
        calls=_thumb_calls,
    ),
    (243, False): ElfMachine(
        name="32-bit RISC-V", wide=False, mapping_symbols=("$x", "$d"), calls=_riscv_calls
    ),
    (243, True): ElfMachine(
        name="64-bit RISC-V", wide=True, mapping_symbols=("$x", "$d"), calls=_riscv_calls
    ),
    (3, False): ElfMachine(
        name="32-bit x86",
        wide=False,
        from_end=_I386_FROM_END,
        addend=_i386_addend,
        calls=_i386_calls,
    ),
}


def elf_machine(number: int, *, wide: bool) -> ElfMachine | None:
    """Return the record of an ELF machine; None: its objects are not divided."""
    for target in lifted_targets():
        if target.elf_machine == number and (target.pointer_bytes == 8) == wide:
            return _of_target(target)
    return _MACHINES.get((number, wide))
