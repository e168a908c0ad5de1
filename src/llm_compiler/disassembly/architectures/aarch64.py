"""AArch64 to the readers of machine code. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from llm_compiler.disassembly.architectures.architecture import (
    Architecture,
    Form,
    MergedVariables,
    PairedAddress,
    ShortTable,
)
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.llvm import targets
from llm_compiler.llvm.elf import ElfFile
from llm_compiler.llvm.listing import Instruction

__all__ = ["AARCH64"]

_FORMS: Final = {
    273: Form(),
    274: Form(),
    275: Form(),
    276: Form(),
    277: Form(prefix=":lo12:"),
    278: Form(prefix=":lo12:"),
    279: Form(),
    280: Form(),
    282: Form(),
    283: Form(),
    284: Form(prefix=":lo12:"),
    285: Form(prefix=":lo12:"),
    286: Form(prefix=":lo12:"),
    299: Form(prefix=":lo12:"),
    311: Form(prefix=":got:", through_table=True),
    312: Form(prefix=":got_lo12:", through_table=True),
    541: Form(prefix=":gottprel:", through_table=True),
    542: Form(prefix=":gottprel_lo12:", through_table=True),
    549: Form(prefix=":tprel_hi12:", through_table=True),
    550: Form(prefix=":tprel_lo12:", through_table=True),
    551: Form(prefix=":tprel_lo12_nc:", through_table=True),
    562: Form(prefix=":tlsdesc:", through_table=True),
    563: Form(prefix=":tlsdesc_lo12:", through_table=True),
    564: Form(prefix=":tlsdesc_lo12:", through_table=True),
}
_BRANCH: Final = re.compile(r"^(?:b|bl|b\.\w+|bc\.\w+|cbz|cbnz|tbz|tbnz)$")
_LAST_IMMEDIATE: Final = re.compile(r"#-?\d+(?=(?:, lsl #12)?$)")
_MEMORY: Final = re.compile(r"\[(x\d+|sp)(?:, #-?\d+)?\]")
_LOW: Final = re.compile(r"(?:^add x\d+, (x\d+), #(\d+)$)|(?:\[(x\d+)(?:, #(\d+))?\]$)")
_MAIN: Final = re.compile(r"add x0, (x\d+), #(\d+)$")
_MAIN_SLOT: Final = re.compile(r"ldr x0, \[(x\d+), #(\d+)\]$")
_ACCESS: Final = re.compile(
    r"^(?P<name>(?:ld|st)\w+) (?P<register>[wxbhsdq])\d+.*\[x\d+(?:, #(?P<place>\d+))?\]"
)
_SUM: Final = re.compile(r"^add x\d+, x\d+, #(?P<place>\d+)$")
_ENTRY: Final = re.compile(r"^(ldrb|ldrh|ldrsw) [wx]\d+, \[(x\d+), ")
"""Reads an entry of a jump table."""
_ENTRY_BYTES: Final = {"ldrb": 1, "ldrh": 2, "ldrsw": 4}
_NEAR: Final = 6
"""Instructions: so near to each other are the load of an entry, its base and the jump."""
_SIGNED: Final = re.compile(r"^add x\d+, x\d+, w\d+, sxt[bh] #2$")
_FAR: Final = 40
"""The same, where each is seen to be made of the one before."""
_WIDTHS: Final = {"b": 1, "h": 2, "s": 4, "w": 4, "d": 8, "x": 8, "q": 16}


def _is_branch(instruction: Instruction) -> bool:
    operands = instruction.text.rpartition(" ")[2]
    return bool(_BRANCH.match(instruction.mnemonic)) and operands.startswith("0x")


def _names_place(instruction: Instruction) -> bool:
    is_literal = instruction.mnemonic == "ldr" and "[" not in instruction.text
    return is_literal or instruction.mnemonic in ("adr", "adrp")


def _names_page(instruction: Instruction) -> bool:
    return instruction.mnemonic == "adrp"


def _write_symbol(instruction: Instruction, symbol: str, form: Form, field_end: int) -> str | None:
    text, mnemonic = instruction.text, instruction.mnemonic
    symbol = form.prefix + symbol
    if _names_place(instruction):
        return text.rpartition(" ")[0] + " " + symbol
    if mnemonic in ("add", "adds"):
        found, count = _LAST_IMMEDIATE.subn(lambda _: symbol, text, count=1)
        if form.prefix == ":tprel_hi12:":
            found = found.removesuffix(", lsl #12")  # the assembler knows it
    elif mnemonic == "mov":
        # add xD, xS, #0 where one of them is the stack pointer
        words = text.split(" ", 1)[1]
        return f"add {words}, {symbol}"
    else:
        found, count = _MEMORY.subn(lambda match: f"[{match[1]}, {symbol}]", text)
    return found if count else None


def _pair_addresses(instructions: Sequence[Instruction]) -> dict[int, PairedAddress]:
    """Pair each adrp with what adds the rest.

    Raises:
        Unreadable: an address is computed in more than two steps.
    """
    found: dict[int, PairedAddress] = {}
    pages: dict[str, tuple[int, int]] = {}
    for instruction in instructions:
        words = re.split(r"[ ,\[\]]+", instruction.text)
        if instruction.mnemonic == "adrp" and instruction.target is not None:
            pages[words[1]] = instruction.address, instruction.target
            continue
        if match := _LOW.search(instruction.text):
            register = match[1] or match[3]
            if register in pages:
                source, page = pages[register]
                address = page + int(match[2] or match[4] or 0)
                found[instruction.address] = PairedAddress(address, is_low=True)
                found.setdefault(source, PairedAddress(address, is_low=False))
        if words[0].startswith(("b", "ret")):
            continue
        if not instruction.mnemonic.startswith(("st", "cmp", "cmn", "tst", "cb", "tb", "prfm")):
            loaded = words[1:3] if instruction.mnemonic.startswith(("ldp", "ldxp")) else words[1:2]
            for register in loaded:
                pages.pop(register.replace("w", "x", 1), None)
    for instruction in instructions:
        if instruction.mnemonic == "adrp" and instruction.address not in found:
            raise Unreadable(f"computes an address in more than two steps ({instruction.text})")
    return found


def _main_functions(elf: ElfFile, instructions: Sequence[Instruction]) -> Iterator[int]:
    pages: dict[str, int] = {}
    for instruction in instructions:
        if instruction.mnemonic == "adrp" and instruction.target is not None:
            pages[instruction.text.split()[1].rstrip(",")] = instruction.target
        elif (match := _MAIN.match(instruction.text)) and match[1] in pages:
            yield pages[match[1]] + int(match[2])
        elif (match := _MAIN_SLOT.match(instruction.text)) and match[1] in pages:
            slot = pages[match[1]] + int(match[2])
            for filled in elf.dynamic_relocations:
                if filled.offset == slot and not filled.symbol.name:
                    yield filled.addend


def _find_short_table(rest: Sequence[Instruction], addresses: Collection[int]) -> ShortTable | None:
    """``(block - base) >> 2`` in one or two bytes, or ``block - base`` in four, read before a jump.

    The table's address may be taken far in front of the jump: out of a loop.
    """
    table = _destination(rest[0])
    for index, instruction in enumerate(rest):
        match = _ENTRY.match(instruction.text)
        if match is not None and match[2] == table:
            near = rest[max(0, index - _NEAR) : index + 1 + _NEAR]
            bases = [
                each.target for each in near if each.mnemonic == "adr" and each.target in addresses
            ]
            is_near = any(each.mnemonic == "br" for each in rest[index : index + 1 + _NEAR])
            base = bases[0] if bases and is_near else _far_base(rest, index)
            if base in addresses:
                size = _ENTRY_BYTES[match[1]]
                # GCC counts from a place in the middle of the code.
                is_signed = size == 4 or any(_SIGNED.match(each.text) for each in near)
                return ShortTable(size, base or 0, 1 if size == 4 else 4, index, is_signed)
        is_own = not index or instruction.text.startswith(f"add {table}, {table}, #")
        if _destination(instruction) == table and not is_own:
            return None
    return None


def _far_base(rest: Sequence[Instruction], index: int) -> int | None:
    """Return the base of a table, where much stands between the load of an entry and the jump."""
    entry = _destination(rest[index])[1:]
    sums: dict[str, str] = {}
    for each in rest[index + 1 : index + 1 + _FAR]:
        if each.mnemonic == "br":
            base = sums.get(each.text.split()[1])
            before = rest[max(0, index - _FAR) : index + 1 + _FAR]
            found = [a for a in before if a.mnemonic == "adr" and _destination(a) == base]
            return found[-1].target if found else None
        if _is_branch(each) or each.mnemonic in ("ret", "blr"):
            return None
        words = each.text.replace(",", "").split()
        set_ = _destination(each)
        if words[0] == "add" and len(words) > 3 and words[3][1:] == entry:
            sums[set_] = words[2]
        else:
            sums.pop(set_, None)
    return None


def _destination(instruction: Instruction) -> str:
    """Return the register that an instruction sets, as a whole one."""
    words = instruction.text.split(" ", 1)
    return words[1].split(",")[0] if len(words) > 1 else ""


def _reach(instruction: Instruction) -> int:
    if match := _ACCESS.match(instruction.text):
        narrow = match["name"][-1] if match["name"][-1] in "bh" else match["register"]
        width = _WIDTHS[narrow] * (2 if match["name"][2] == "p" else 1)
        return int(match["place"] or 0) + width
    if match := _SUM.match(instruction.text):
        return int(match["place"]) + 1
    return 0


AARCH64: Final = Architecture(
    target=targets.AARCH64,
    forms=_FORMS,
    thread_local_call=569,
    is_branch=_is_branch,
    is_call=lambda each_instruction: each_instruction.mnemonic == "bl",
    names_place=_names_place,
    names_page=_names_page,
    write_symbol=_write_symbol,
    pair_addresses=_pair_addresses,
    main_functions=_main_functions,
    no_operation=re.compile(r"^nop(?: |$)"),
    padding=re.compile(r"^(?:nop|udf #0)(?: |$)"),
    leaving=frozenset({"ret", "b", "br", "brk"}),
    code_alignment=4,
    indirect_jumps=("br ",),
    comparison=re.compile(r"^cmp [wx]\d+, #(\d+)$"),
    find_short_table=_find_short_table,
    # LLVM puts small variables of a file into one, GCC counts from section anchors.
    merged_variables=MergedVariables(
        reach=_reach,
        takes_address=lambda each_instruction: each_instruction.mnemonic == "add",
        clang_flags=("-mno-global-merge",),
    ),
)
