"""Prove that a function's text is the function: assemble it and compare with the binary.

A text passes if

* it is a fixed point: read again from its own object, it is the same text;
* in objects and assembly, each relocation of the function has its counterpart: same place, type
  and name; its exception table, if it has one, is the same;
* the bytes are the same where no linker changes them; or, where the input's assembler chose another
  encoding of an instruction (GNU as does), the instructions are (`Reassembled.is_reencoded`).

Safe to call from several threads.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.dataset.lifting.module_text import DIRECTIVE_BYTES
from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.disassembly.binary import PLT_CALL, Binary, Origin
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.errors import CompileFailed, InputError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.elf import ElfFile, FileKind, Relocation, Symbol, SymbolKind
from llm_compiler.llvm.exceptions import CallSite, ExceptionTable, table_of, type_size
from llm_compiler.llvm.listing import Listing
from llm_compiler.llvm.targets import target_of
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.round_trip import CodeObject, read_code_object

__all__ = ["Reassembled", "reassemble"]

_ALIGNMENT = re.compile(r"^(?:\.p2align .*|(?:data16 )*(?:nop\w?|xchgw %ax, %ax|int3)(?: .*)?)$")
_SECTION = re.compile(r"^(?:\.section .*|\.text|\.data|\.bss)$")
_LABEL = re.compile(r"^(?!\.LBB)(.+):$")
_ATTRIBUTE = re.compile(r"^\.(?:hidden|globl|weak|type|size|local) ")
_NUMBER = re.compile(r"^(\.\w+) (-?\d+)$")
_BYTES = "bytes "
_FILLER = re.compile(r"^\.(?:byte|hword) \((\.LBB\w+)-\1\)(?:>>2|/4)$")
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
        if not is_reencoded and (change := _DataCheck(binary, code).run(symbol, again, len(ours))):
            raise Unreadable(f"refers to data that cannot be kept apart ({change})")
    else:
        is_reencoded = False
    size = _size(code, again)
    if size != len(ours) or any(
        a != b for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if i not in changed
    ):
        is_reencoded = True
    if change := _table_change(binary, symbol, code, again, not is_reencoded):
        raise Unreadable(f"has an exception table that {change} when assembled again")
    return Reassembled(code=code, is_reencoded=is_reencoded)


def _table_change(
    binary: Binary, symbol: Symbol, own: CodeObject, again: Symbol, is_same_code: bool
) -> str:
    """Say how the exception tables differ; empty if they do not.

    Byte by byte where the code is the same; else by the instructions that places stand for.
    """
    if binary.elf.kind is not FileKind.RELOCATABLE:
        return ""  # those are not read
    try:
        first = table_of(binary.elf, symbol.section, symbol.value)
        second = table_of(own.elf, again.section, again.value)
    except InputError as error:
        return f"cannot be read ({error})"
    if first is None or second is None:
        return "" if first is second else "is gone"
    if not is_same_code:
        first, second = (
            _by_instruction(table, listing, each_symbol)
            for table, listing, each_symbol in (
                (first, binary.listing, symbol),
                (second, own.listing, again),
            )
        )
    if first != second:
        return "says something else"
    contents = []
    for file, (section, start, end) in ((binary.elf, first.place), (own.elf, second.place)):
        data = bytearray(file.sections[section].read(start, end))
        for relocation in file.relocations_in(section, start, end):
            size = type_size(first.type_encoding)
            data[relocation.offset - start : relocation.offset - start + size] = bytes(size)
        contents.append(data)
    return "has other bytes" if is_same_code and contents[0] != contents[1] else ""


def _by_instruction(table: ExceptionTable, listing: Listing, symbol: Symbol) -> ExceptionTable:
    """Return a table whose places are numbers of instructions; no-ops for alignment count not."""

    def number(offset: int) -> int:
        before = listing.between(symbol.section, symbol.value, symbol.value + offset)
        return sum(not _ALIGNMENT.match(instruction.text) for instruction in before)

    sites = []
    for site in table.call_sites:
        start = number(site.start)
        sites.append(
            CallSite(
                start=start,
                length=number(site.start + site.length) - start,
                landing_pad=number(site.landing_pad),
                action=site.action,
            )
        )
    return dataclasses.replace(table, call_sites=tuple(sites))


class _DataCheck:
    """Follows the references of both objects, and compares the bytes at their ends.

    Independent of how the text was written: it knows nothing but places and relocations. Its own
    object's labels say how far each piece of data goes.
    """

    def __init__(self, binary: Binary, own: CodeObject) -> None:
        self._sides = (binary.elf, binary.listing), (own.elf, own.listing)
        self._seen: set[tuple[int, int, int, int]] = set()

    def run(self, symbol: Symbol, again: Symbol, size: int) -> str:
        """Return what differs; empty if nothing does."""
        return self._compare(symbol.section, symbol.value, again.section, again.value, size)

    def _compare(
        self, section: int, start: int, own_section: int, own_start: int, size: int
    ) -> str:
        positions = (section, start), (own_section, own_start)
        found = [
            {
                relocation.offset - at: self._target(side, index, relocation)
                for relocation in self._sides[side][0].relocations_in(index, at, at + size)
                if relocation.type
            }
            for side, (index, at) in enumerate(positions)
        ]
        for offset, target in found[0].items():
            other = found[1].get(offset)
            if target is None or other is None or (*target, *other) in self._seen:
                continue
            self._seen.add((*target, *other))
            if change := self._compare_data(target, other):
                return change
        return ""

    def _target(self, side: int, section: int, relocation: Relocation) -> tuple[int, int] | None:
        """Return a place in data; None for names and code."""
        elf, listing = self._sides[side]
        if not relocation.symbol.is_defined or elf.sections[relocation.symbol.section].is_code:
            return None
        offset = relocation.addend
        if elf.sections[section].is_code:
            form = architecture_named(elf.architecture).forms.get(relocation.type)
            if form is None or form.through_table:
                return None
            if form.relative:
                at = listing.between(section, max(0, relocation.offset - 15), relocation.offset + 1)
                offset += at[-1].end - relocation.offset if at else 4
        elif relocation.type in target_of(elf.architecture).relocations.relative:
            return None  # counts from a base that only the code knows
        if relocation.symbol.kind is not SymbolKind.SECTION:
            offset += relocation.symbol.value
        return relocation.symbol.section, offset

    def _compare_data(self, place: tuple[int, int], own_place: tuple[int, int]) -> str:
        section, own = (
            self._sides[0][0].sections[place[0]],
            self._sides[1][0].sections[own_place[0]],
        )
        symbols = self._sides[1][0].symbols_in(own.index)
        before = [symbol for symbol in symbols if symbol.value <= own_place[1]]
        if not before or own_place[1] >= own.size:
            return ""
        start = before[-1].value
        sizes = [symbol.size for symbol in before if symbol.value == start and symbol.size]
        end = start + max(sizes) if sizes else own.size
        later = [symbol.value for symbol in symbols if symbol.value > start]
        end = min([end, *later[:1]])
        shift = place[1] - own_place[1]
        ours = section.read(max(0, start + shift), end + shift)
        theirs = own.read(start, end)
        padding = len(theirs) - len(ours)
        if padding > 0 and not any(theirs[len(ours) :]):
            theirs = theirs[: len(ours)]
        if ours != theirs and not (not sizes and ours.startswith(theirs.rstrip(b"\0"))):
            return f"{section.name}+{place[1]:#x} is not {before[-1].name}"
        return self._compare(section.index, start + shift, own.index, start, end - start)


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
        elif (data := _data_of(line)) is not None:
            _add_data(pieces[label], data)
        else:
            pieces[label].append(line)
    for lines in pieces.values():
        # What fills up to the next piece reads like further blocks of a jump table.
        while len(lines) > 2 and _FILLER.match(lines[-1]):
            del lines[-1]
    return pieces, attributes


def _data_of(line: str) -> bytes | None:
    """Return the bytes that a line of numbers stands for: how wide they are written depends on how
    the piece is aligned and used."""
    match = _NUMBER.match(line)
    if match is None:
        return None
    if match[1] == ".zero":
        return bytes(int(match[2]))
    size = DIRECTIVE_BYTES.get(match[1])
    return None if size is None else (int(match[2]) % (1 << 8 * size)).to_bytes(size, "little")


def _add_data(lines: list[str], data: bytes) -> None:
    """Append bytes, in one line with those before."""
    if lines and lines[-1].startswith(_BYTES):
        lines[-1] += data.hex()
    else:
        lines.append(_BYTES + data.hex())


def _first_change(before: str, after: str) -> str:
    lines = before.splitlines(), after.splitlines()
    for line, other in zip(*lines, strict=False):
        if line != other:
            return f"'{line}' becomes '{other}'"
    return f"{len(lines[0])} lines become {len(lines[1])}"


def _fields(elf: ElfFile, symbol: Symbol, size: int) -> set[int]:
    """Return the bytes that a linker fills in, as offsets in the function."""
    found: set[int] = set()
    widths = target_of(elf.architecture).relocations.absolute
    for relocation in elf.relocations_in(symbol.section, symbol.value, symbol.value + size):
        width = widths.get(relocation.type, 4)
        found |= set(
            range(relocation.offset - symbol.value, relocation.offset - symbol.value + width)
        )
    return found


def _same_relocations(elf: ElfFile, symbol: Symbol, own: ElfFile, again: Symbol, size: int) -> bool:
    same = target_of(elf.architecture).relocations.same
    ours = elf.relocations_in(symbol.section, symbol.value, symbol.value + size)
    theirs = {
        relocation.offset - again.value: relocation
        for relocation in own.relocations_in(again.section, again.value, again.value + size)
    }
    for our in ours:
        if not our.type:
            continue
        other = theirs.get(our.offset - symbol.value)
        if other is None:
            return False
        if same.get(our.type, our.type) != same.get(other.type, other.type):
            return False
        if not our.symbol.is_defined and (our.symbol.name, our.addend) != (
            other.symbol.name,
            other.addend,
        ):
            return False
    return True
