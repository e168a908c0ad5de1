"""What the operands of a linked file's instructions refer to, by address."""

from __future__ import annotations

import re

from llm_compiler.disassembly.architectures.architecture import Form
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.disassembly.reading.items import OWN, Target
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.elf import FileKind
from llm_compiler.llvm.listing import Instruction

__all__ = ["LinkedOperands"]

_DISPLACEMENT = re.compile(r"(?<![\w$(])(\d{5,})(?=\(|$|, %)")
_MOVED = re.compile(r"^(?:mov[lq]|pushq) \$(\d{5,})(?:, %\w+)?$")


class LinkedOperands:
    """Operands of one function of an executable or a library.

    Attributes:
        suffixes: none; an object's instructions have them.
        called: functions that are called through entries of the PLT.
    """

    def __init__(self, references: References) -> None:
        self.references = references
        self.code, self.elf, self.file = references.code, references.elf, references.file
        self.architecture = references.architecture
        self.suffixes: dict[int, str] = {}
        self.called: set[str] = set()

    def operand(self, instruction: Instruction) -> tuple[Target, Form, int] | None:
        """Return what an instruction refers to, how it is written, and where its field ends."""
        architecture = self.architecture
        if architecture.pair_addresses is not None:
            return self._paired_operand(instruction)
        if instruction.target is None:
            return self._absolute_operand(instruction)
        if architecture.is_branch(instruction):
            return self._of_branch(instruction), Form(), 0
        if not architecture.names_place(instruction):
            return None
        return (*self._of_address(instruction.target, "@GOTPCREL"), 0)

    def _of_branch(self, instruction: Instruction) -> Target:
        assert instruction.target is not None
        section = self.elf.section_at(instruction.target)
        if section is None:
            raise Unreadable(f"jumps to {instruction.target:#x}, which is outside the file")
        if section.name.startswith((".plt", ".iplt")):
            name, _, rest = instruction.hint.partition("@")
            if not name or not rest.startswith("plt") or "+" in rest:
                raise Unreadable(
                    f"calls {instruction.target:#x}, an entry of {section.name} without a name"
                )
            self.called.add(name)
            return self.references.by_name(None, name, 0)
        return self.references.of_jump(instruction, section)

    def _of_address(self, address: int, slot_suffix: str) -> tuple[Target, Form]:
        section = self.elf.section_at(address)
        if section is None:
            raise Unreadable(f"refers to {address:#x}, which is outside the file")
        if section.name.startswith(".got"):
            prefix = slot_suffix if slot_suffix.startswith(":") else ""
            form = Form(prefix=prefix, suffix="" if prefix else slot_suffix, through_table=True)
            if address in self.file.slots:
                name, addend = self.file.slots[address]
                if name:
                    return self.references.by_name(self.elf.symbol(name), name, 0), form
                value = addend
            else:
                offset = address - section.address
                value = int.from_bytes(section.read(offset, offset + 8), "little")
            held = self.elf.section_at(value) if value else None
            if held is None:
                raise Unreadable(f"loads an address from {address:#x} that nothing fills in")
            target = self.references.of_place(held, value)
            if target.section == OWN:
                raise Unreadable("loads the address of a label of its own from a table")
            return target, form
        return self.references.of_place(section, address), Form()

    def _absolute_operand(self, instruction: Instruction) -> tuple[Target, Form, int] | None:
        """Return the address in an instruction of an executable that is not loaded anywhere else.

        A displacement is taken for an address where it lies in a section; an immediate only in
        ``mov`` and ``push``.
        """
        if self.elf.kind is not FileKind.EXECUTABLE:
            return None
        displacement = _DISPLACEMENT.search(instruction.text)
        immediate = _MOVED.match(instruction.text)
        match = displacement or immediate
        if match is None:
            return None
        address = int(match[1])
        section = self.elf.section_at(address)
        if section is None or (section.is_code and not self.elf.symbols_at(section.index, address)):
            return None
        return (
            self.references.of_place(section, address),
            Form(),
            0 if immediate and not displacement else 4,
        )

    def _paired_operand(self, instruction: Instruction) -> tuple[Target, Form, int] | None:
        """Return what an instruction refers to where two of them make an address."""
        architecture = self.architecture
        if architecture.is_branch(instruction):
            return self._of_branch(instruction), Form(), 0
        if architecture.names_place(instruction) and not architecture.names_page(instruction):
            if instruction.target is None:
                return None
            return (*self._of_address(instruction.target, ":got:"), 0)
        pair = self.code.paired_addresses.get(instruction.address)
        if pair is None:
            return None
        target, form = self._of_address(pair.address, ":got:")
        if pair.is_low:
            low = ":got_lo12:" if form.through_table else ":lo12:"
            form = Form(prefix=low, through_table=form.through_table)
        return target, form, 0
