"""A function's instructions and data as lines of assembly in normal form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from llm_compiler.disassembly.architectures.architecture import Form
from llm_compiler.disassembly.data_text import data_lines
from llm_compiler.disassembly.exception_text import TableText
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.disassembly.reading.items import OWN, Item, Target, directive, quoted
from llm_compiler.disassembly.reading.jump_tables import table_entries
from llm_compiler.disassembly.reading.linked_operands import LinkedOperands
from llm_compiler.disassembly.reading.object_operands import ObjectOperands
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.listing import Instruction

__all__ = ["TextWriter"]


class TextWriter:
    """Writes one function, all of whose operands are resolved and whose data is named.

    Args:
        found: by the address of an instruction, what it refers to, how that is written, and where
            its field ends.
        table: its exception table.
    """

    def __init__(
        self,
        references: References,
        operands: ObjectOperands | LinkedOperands,
        found: Mapping[int, tuple[Target, Form, int] | None],
        table: TableText | None,
    ) -> None:
        self.references, self.code = references, references.code
        self.operands, self.found, self.table = operands, found, table
        self._first_alignment = 1

    def lines(self) -> Iterator[str]:
        """Yield the lines of the module with this one function."""
        return self._module(self._body())

    def _body(self) -> list[str]:
        lines: list[str] = []
        after_tls = False
        architecture = self.code.architecture
        padding = self._padding()
        for instruction in self.code.instructions:
            if instruction.address in padding:
                lines += (
                    [f".p2align 4, {architecture.code_fill}"]
                    if padding[instruction.address]
                    else []
                )
                continue
            lines += self._labels_at(instruction.address)
            suffix = self.operands.suffixes.get(instruction.address, "")
            if suffix == "tls":
                if instruction.size == 8:
                    lines.append("data16")
            elif suffix:
                lines.append(suffix)
            elif after_tls and instruction.size == 8:
                lines += ["data16", "data16", "rex64"]
            after_tls = suffix == "tls"
            operand = self.found[instruction.address]
            if operand is None:
                lines.append(instruction.text)
                continue
            target, form, field_end = operand
            symbol = self._expression(target)
            if (
                architecture.plt_suffix
                and target.name
                and architecture.is_branch(instruction)
                and (target.name in self.operands.called or self._is_preemptible(target.name))
                and (target.name != self.code.symbol.name or self._is_relocated(instruction))
            ):
                form = Form(suffix=architecture.plt_suffix)
            text = architecture.with_symbol(instruction, symbol, form, field_end)
            if text is None:
                raise Unreadable(
                    f"has a symbol in an operand that is not known here ({instruction.text})"
                )
            lines.append(text)
        return lines

    def _module(self, body: Sequence[str]) -> Iterator[str]:
        symbol, name = self.code.symbol, quoted(self.code.symbol.name)
        yield ".text"
        ordered = sorted(
            self.references.items.values(),
            key=lambda each_item: (each_item.section.index, each_item.start),
        )
        constants = [each_item for each_item in ordered if each_item.name.startswith(".LCPI")]
        tables = [each_item for each_item in ordered if each_item.name.startswith(".LJTI")]
        others = [
            each_item
            for each_item in ordered
            if each_item not in constants and each_item not in tables
        ]
        section = ".text"
        before: Item | None = None
        for item in constants:
            yield from self._item(item, section, before)
            section, before = directive(item.section), item
        if section != ".text":
            yield ".text"
            section = ".text"
        if symbol.is_local or symbol.is_hidden:
            yield f".hidden {name}"
        yield f".{'weak' if symbol.binding == 'weak' else 'globl'} {name}"
        yield from self._alignment()
        yield f".type {name}, @function"
        yield f"{name}:"
        if self.table is not None:
            yield from self.table.head()
            yield from body
            yield from self._labels_at(self.code.end)
            yield from self.table.end()
        else:
            yield from body
        before = None
        for item in tables:
            yield from self._item(item, section, before)
            section, before = directive(item.section), item
        if self.table is not None:
            yield from self.table.directives()
            section, before = "", None
        for item in others:
            yield from self._item(item, section, before)
            if not self._is_common(item):
                section, before = directive(item.section), item
        if self.table is not None:
            yield from self.table.slots(section)
        for other, each_symbol in self.references.named.items():
            if other == self.code.symbol.name:
                continue
            if each_symbol is not None and (each_symbol.is_local or each_symbol.is_hidden):
                yield f".hidden {quoted(other)}"
            elif (
                each_symbol is not None
                and each_symbol.binding == "weak"
                and not each_symbol.is_defined
            ):
                yield f".weak {quoted(other)}"

    def _alignment(self) -> Iterator[str]:
        """Yield the directive that aligns the function."""
        fill, own = self.code.architecture.code_fill, self.code.architecture.code_alignment
        if not fill:
            yield f".p2align {own.bit_length() - 1}"
        elif self.code.section.alignment >= 16 and self.code.start % 16 == 0:
            yield f".p2align 4, {fill}"
        elif self.code.symbol.name.startswith("_ZN"):
            # A pointer to a member function needs the lowest bit.
            yield f".p2align 1, {fill}"

    @cached_property
    def _label_names(self) -> dict[int, str]:
        return {place: f".LBB0_{i}" for i, place in enumerate(sorted(self.references.labels), 1)}

    def _expression(self, target: Target) -> str:
        if target.section == OWN:
            name = self._label_names[target.anchor]
        elif target.name:
            name = quoted(target.name)
        else:
            name = quoted(self.references.items[target.section, target.anchor].name)
        return name + (f"{target.addend:+d}" if target.addend else "")

    def _is_preemptible(self, name: str) -> bool:
        """Whether another definition may take a function's place, so that it is called by @PLT."""
        if self.code.binary.called_through_plt is not None:
            return name in self.code.binary.called_through_plt
        symbol = self.references.named.get(name)
        return symbol is None or not (symbol.is_local or symbol.is_hidden)

    def _labels_at(self, address: int) -> list[str]:
        own = [f"{self._label_names[address]}:"] if address in self.references.labels else []
        if self.table is None:
            return own
        before, after = self.table.labels_at(address - self.code.start)
        return [*before, *own, *after]

    def _is_relocated(self, instruction: Instruction) -> bool:
        return bool(
            self.code.elf.relocations_in(
                self.code.section.index, instruction.address, instruction.end
            )
        )

    def _padding(self) -> dict[int, bool]:
        """Return the no-ops that align a block, and whether each begins a run."""
        found: dict[int, bool] = {}
        if (
            not self.code.architecture.code_fill
            or self.code.start % 16
            or self.code.section.alignment < 16
        ):
            return found
        run: list[int] = []
        no_operation = self.code.architecture.no_operation
        for instruction in self.code.instructions:
            if no_operation.match(instruction.text) and not self._labels_at(instruction.address):
                run.append(instruction.address)
                continue
            if run and instruction.address % 16 == 0 and instruction.address - run[0] < 16:
                found |= {address: address == run[0] for address in run}
            run = []
        return found

    def _is_common(self, item: Item) -> bool:
        return (
            item.section.name.startswith(".bss")
            and not item.is_shared
            and item.section.takes_no_space
        )

    def _item(self, item: Item, section: str, before: Item | None) -> Iterator[str]:
        name = quoted(item.name)
        is_label = item.name.startswith((".LCPI", ".LJTI"))
        size = item.end - item.start
        alignment = item.alignment
        if item.is_shared:
            yield f".hidden {name}"
        if not is_label:
            yield f".type {name}, @object"
        if self._is_common(item):
            yield f".local {name}"
            yield f".comm {name}, {size}, {alignment}"
            return
        if (own := directive(item.section)) != section:
            yield own
        if item.is_shared:
            yield f".globl {name}"
        # Neighbours stay neighbours: code may count from one into the next. What the first of them
        # is not aligned to would push the others away.
        follows = before is not None and before.section is item.section and before.end == item.start
        if not follows:
            self._first_alignment = alignment
        if 1 < alignment <= self._first_alignment:
            fill = "" if item.jump_table and item.base != item.start else ", 0x0"
            yield f".p2align {alignment.bit_length() - 1}{fill}"
        yield f"{name}:"
        yield from self._values(item, alignment)
        if not is_label:
            yield f".size {name}, {size}"

    def _values(self, item: Item, alignment: int) -> list[str]:
        start, end = (position - item.section.address for position in (item.start, item.end))
        data = item.section.read(start, end)
        symbols = {}
        own = quoted(item.name)
        if item.jump_table:
            base = own if item.base == item.start else self._label_names[item.base]
            for index, position in enumerate(table_entries(self.code, item)):
                distance = f"{self._label_names[position]}-{base}"
                # A shift is one of 64 bits without sign.
                part = "/4" if item.is_signed else ">>2"
                expression = distance if item.scale == 1 else f"({distance}){part}"
                symbols[index * item.jump_table] = item.jump_table, expression
        for position, size, target, is_distance in self.references.symbolic_values(item):
            expression = self._expression(target)
            symbols[position] = size, f"{expression}-{own}" if is_distance else expression
        return data_lines(
            self.code.architecture.target.name,
            data,
            alignment,
            symbols,
            is_string=item.section.is_strings or item.name.startswith(".L.str"),
            as_bits=item.name.startswith(".LCPI"),
        )
