"""Prove that a function's text is the function: assemble it and compare with the binary.

A text passes if

* it is a fixed point: read again from its own object, it is the same text;
* in objects and assembly, each relocation of the function has its counterpart: same place, type
  and name;
* the bytes are the same where no linker changes them; or, where the input's assembler chose another
  encoding of an instruction (GNU as does), the instructions are (`Reassembled.is_reencoded`).

Safe to call from several threads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.disassembly.binary import PLT_CALL, Binary, Origin
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.errors import CompileFailed
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.elf import ElfFile, FileKind, Symbol
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.round_trip import CodeObject, read_code_object

__all__ = ["Reassembled", "reassemble"]

_BRANCHES = {4: 2}
_ALIGNMENT = re.compile(r"^(?:\.p2align .*|(?:data16 )*(?:nop\w?|xchgw %ax, %ax|int3)(?: .*)?)$")
_SECTION = re.compile(r"^(?:\.section .*|\.text|\.data|\.bss)$")
_LABEL = re.compile(r"^(?!\.LBB)(.+):$")
_ATTRIBUTE = re.compile(r"^\.(?:hidden|globl|weak|type|size|local) ")
_COMMON = re.compile(r"^(\.comm .*), \d+$")


@dataclass(frozen=True, kw_only=True)
class Reassembled:
    """The object of a function's own text: what lifted code is compared with."""

    code: CodeObject
    is_reencoded: bool


def reassemble(
    binary: Binary, symbol: Symbol, function: FunctionText, toolchain: Toolchain, output: Path
) -> Reassembled:
    """Assemble a function's text and compare it with the function.

    Raises:
        Unreadable: it does not assemble, or to something else.
    """
    architecture = binary.elf.architecture
    try:
        assemble(function.text, architecture, toolchain, output, name=function.name)
    except CompileFailed as error:
        raise Unreadable(f"does not assemble again ({error})") from error
    code = read_code_object(output, toolchain)
    again = code.elf.symbol(function.name)
    if again is None:
        raise Unreadable("does not assemble again (its symbol is gone)")
    own = Binary(
        path=output,
        origin=Origin.ASSEMBLY,
        data=b"",
        elf=code.elf,
        listing=code.listing,
        called_through_plt=frozenset(PLT_CALL.findall(function.text)),
    )
    text = FunctionReader(own).read(again).text
    if _pieces(text) != _pieces(function.text):
        raise Unreadable(
            "is not the same when assembled again: " + _first_change(function.text, text)
        )
    start, end = symbol.value, symbol.value + function.size_bytes
    section = binary.elf.sections[symbol.section]
    ours = section.read(start - section.address, end - section.address)
    theirs = code.elf.sections[again.section].read(again.value, again.value + len(ours))
    changed = _fields(code.elf, again, len(ours))
    if binary.elf.kind is FileKind.RELOCATABLE:
        is_reencoded = not _same_relocations(binary.elf, symbol, code.elf, again, len(ours))
    else:
        is_reencoded = False
    size = _size(code, again)
    if size != len(ours) or any(
        a != b for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if i not in changed
    ):
        is_reencoded = True
    return Reassembled(code=code, is_reencoded=is_reencoded)


def _size(code: CodeObject, symbol: Symbol) -> int:
    return code.elf.sections[symbol.section].size - symbol.value


def _pieces(text: str) -> tuple[dict[str, list[str]], set[str]]:
    """Return a text by its labels, less what may change when it stands alone.

    That is alignment (and the no-ops for it), which pieces of data that were no neighbours before
    have otherwise, and their order.
    """
    pieces: dict[str, list[str]] = {"": []}
    attributes = set()
    section = label = ""
    for line in text.splitlines():
        if _ALIGNMENT.match(line):
            continue
        if match := _COMMON.match(line):
            attributes.add(match[1])
        elif _ATTRIBUTE.match(line):
            attributes.add(line)
        elif _SECTION.match(line):
            section = line
        elif match := _LABEL.match(line):
            label = match[1]
            pieces[label] = [section]
        else:
            pieces[label].append(line)
    return pieces, attributes


def _first_change(before: str, after: str) -> str:
    lines = before.splitlines(), after.splitlines()
    for one, other in zip(*lines, strict=False):
        if one != other:
            return f"'{one}' becomes '{other}'"
    return f"{len(lines[0])} lines become {len(lines[1])}"


def _fields(elf: ElfFile, symbol: Symbol, size: int) -> set[int]:
    """Return the bytes that a linker fills in, as offsets in the function."""
    found: set[int] = set()
    for one in elf.relocations_in(symbol.section, symbol.value, symbol.value + size):
        width = 8 if one.type in (1, 257) else 4
        found |= set(range(one.offset - symbol.value, one.offset - symbol.value + width))
    return found


def _same_relocations(elf: ElfFile, symbol: Symbol, own: ElfFile, again: Symbol, size: int) -> bool:
    ours = elf.relocations_in(symbol.section, symbol.value, symbol.value + size)
    theirs = {
        one.offset - again.value: one
        for one in own.relocations_in(again.section, again.value, again.value + size)
    }
    for one in ours:
        if not one.type:
            continue
        other = theirs.get(one.offset - symbol.value)
        if other is None:
            return False
        if elf.architecture == "x86_64":
            types = {_BRANCHES.get(each.type, each.type) for each in (one, other)}
        else:
            types = {one.type, other.type}
        if len(types) > 1:
            return False
        if not one.symbol.is_defined and (one.symbol.name, one.addend) != (
            other.symbol.name,
            other.addend,
        ):
            return False
    return True
