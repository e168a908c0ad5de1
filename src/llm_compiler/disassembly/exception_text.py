"""An exception table as assembly, in the spelling of LLVM's code generator.

Labels of ranges and landing pads are ``.Ltmp``; the ranges in between, in which nothing is caught,
begin and end at labels of their neighbours, or of the function. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from llm_compiler.disassembly.data_text import quoted
from llm_compiler.llvm.exceptions import INDIRECT, OMITTED, RELATIVE, ExceptionTable, type_size
from llm_compiler.llvm.targets import target_of

__all__ = ["TableText"]

_BEGIN, _END = ".Lfunc_begin0", ".Lfunc_end0"


class TableText:
    """The directives around a function's code, after it, and the labels within."""

    def __init__(self, table: ExceptionTable, size: int, architecture: str) -> None:
        self._table, self._architecture = table, architecture
        self._count = 0
        self._ends: dict[int, list[str]] = {}
        self._pads: dict[int, str] = {}
        self._begins: dict[int, list[str]] = {}
        self._sites: list[tuple[str, str, str, int]] = []
        self._name_sites(size)

    def _name_sites(self, size: int) -> None:
        """Name the ends of each range, and its landing pad."""
        named: list[tuple[str, str] | None] = []
        sites = self._table.call_sites
        for site in sites:
            if not site.landing_pad:
                named.append(None)
                continue
            begin, end = self._fresh(), self._fresh()
            self._begins.setdefault(site.start, []).append(begin)
            self._ends.setdefault(site.start + site.length, []).append(end)
            if site.landing_pad not in self._pads:
                self._pads[site.landing_pad] = self._fresh()
            named.append((begin, end))
        for index, site in enumerate(sites):
            own = named[index]
            pad = self._pads[site.landing_pad] if site.landing_pad else ""
            if own is None:
                own = self._gap(index, named, size)
            self._sites.append((*own, pad, site.action))

    def _gap(self, index: int, named: list[tuple[str, str] | None], size: int) -> tuple[str, str]:
        """Return the labels of a range in which nothing is caught."""
        sites = self._table.call_sites
        site = sites[index]
        start, end = site.start, site.start + site.length
        before = named[index - 1] if index else None
        after = named[index + 1] if index + 1 < len(sites) else None
        if before and sites[index - 1].start + sites[index - 1].length == start:
            first = before[1]
        elif not start:
            first = _BEGIN
        else:
            first = self._fresh()
            self._begins.setdefault(start, []).append(first)
        if after and sites[index + 1].start == end:
            return first, after[0]
        if end == size:
            return first, _END
        last = self._fresh()
        self._ends.setdefault(end, []).append(last)
        return first, last

    def _fresh(self) -> str:
        self._count += 1
        return f".Ltmp{self._count}"

    def labels_at(self, offset: int) -> tuple[list[str], list[str]]:
        """Return the labels at a place, before a block's own and after them."""
        # No jump goes to a landing pad: a block with a label there is the next one.
        pad = [self._pads[offset]] if offset in self._pads else []
        before, after = [*self._ends.get(offset, []), *pad], self._begins.get(offset, [])
        return [f"{word}:" for word in before], [f"{word}:" for word in after]

    def head(self) -> Iterator[str]:
        """Yield what follows the function's label."""
        table = self._table
        yield f"{_BEGIN}:"
        yield ".cfi_startproc"
        yield f".cfi_personality {table.personality_encoding}, {table.personality}"
        yield f".cfi_lsda {table.table_encoding}, .Lexception0"

    def end(self) -> Iterator[str]:
        """Yield what follows the code."""
        yield f"{_END}:"
        yield ".cfi_endproc"

    def directives(self) -> Iterator[str]:
        """Yield the table."""
        table = self._table
        has_types = table.type_encoding != OMITTED
        yield '.section .gcc_except_table, "a", @progbits'
        yield ".p2align 2, 0x0"
        yield "GCC_except_table0:"
        yield ".Lexception0:"
        yield f".byte {OMITTED}"
        yield f".byte {table.type_encoding}"
        if has_types:
            yield ".uleb128 .Lttbase0-.Lttbaseref0"
            yield ".Lttbaseref0:"
        yield ".byte 1"
        yield ".uleb128 .Lcst_end0-.Lcst_begin0"
        yield ".Lcst_begin0:"
        for first, last, pad, action in self._sites:
            yield f".uleb128 {first}-{_BEGIN}"
            yield f".uleb128 {last}-{first}"
            yield f".uleb128 {pad}-{_BEGIN}" if pad else ".byte 0"
            yield from _number(action)
        yield ".Lcst_end0:"
        yield from _numbers(table.actions)
        if has_types:
            yield ".p2align 2, 0x0"
            for name in reversed(table.types):
                yield from self._type(name)
            yield ".Lttbase0:"
            yield from _numbers(table.filters)
        yield ".p2align 2, 0x0"

    def _type(self, name: str) -> Iterator[str]:
        encoding = self._table.type_encoding
        words = target_of(self._architecture).assembly.words
        word = words[type_size(encoding)]
        if not name:
            yield f"{word} 0"
            return
        target = _slot(name) if encoding & INDIRECT else name
        if encoding & 0x70 == RELATIVE:
            label = self._fresh()
            yield f"{label}:"
            target = f"{target}-{label}"
        yield f"{word} {target}"

    def slots(self, section: str) -> Iterator[str]:
        """Yield the words through which types and the personality are reached.

        Args:
            section: the directive of the section at hand.
        """
        table = self._table
        word = target_of(self._architecture).assembly.words[8]
        if table.type_encoding != OMITTED and table.type_encoding & INDIRECT and any(table.types):
            if section != ".data":
                yield ".data"
            yield ".p2align 3, 0x0"
            for name in sorted(set(table.types) - {""}):
                yield f"{_slot(name)}:"
                yield f"{word} {name}"
        if table.personality_encoding & INDIRECT:
            slot = table.personality
            yield f".hidden {slot}"
            yield f".weak {slot}"
            yield f'.section .data.{slot}, "awG", @progbits, {slot}, comdat'
            yield ".p2align 3, 0x0"
            yield f".type {slot}, @object"
            yield f".size {slot}, 8"
            yield f"{slot}:"
            yield f"{word} {slot.removeprefix('DW.ref.')}"


def _slot(name: str) -> str:
    return f".L{name}.DW.stub"


def _number(value: int) -> Iterator[str]:
    data = bytearray()
    while True:
        data.append(value & 0x7F | (0x80 if value >> 7 else 0))
        value >>= 7
        if not value:
            break
    yield from _numbers(bytes(data))


def _numbers(data: bytes) -> Iterator[str]:
    """Yield bytes of numbers of variable length, one directive a number."""
    number = bytearray()
    for byte in data:
        number.append(byte)
        if byte < 0x80:
            if len(number) == 1:
                yield f".byte {byte}"
            else:
                yield f".ascii {quoted(bytes(number))}"
            number.clear()
    assert not number
