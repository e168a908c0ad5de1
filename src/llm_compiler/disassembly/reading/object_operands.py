"""What the operands of an object's instructions refer to, by their relocations."""

from __future__ import annotations

from llm_compiler.disassembly.architectures.architecture import Form
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.disassembly.reading.items import Target, quoted
from llm_compiler.disassembly.reading.references import References
from llm_compiler.llvm.elf import Relocation
from llm_compiler.llvm.listing import Instruction

__all__ = ["ObjectOperands"]


class ObjectOperands:
    """Operands of one function of an object.

    Attributes:
        suffixes: by address, what thread-local storage wants written beside an instruction.
        called: functions that are called through the PLT, as far as operands say so.
    """

    def __init__(self, references: References) -> None:
        self.references = references
        self.code, self.elf = references.code, references.elf
        self.architecture = references.architecture
        self.suffixes: dict[int, str] = {}
        self.called: set[str] = set()

    def operand(self, instruction: Instruction) -> tuple[Target, Form, int] | None:
        """Return what an instruction refers to, how it is written, and where its field ends."""
        relocations = self.elf.relocations_in(
            self.code.section.index, instruction.address, instruction.end
        )
        relocations = [
            reloc
            for reloc in relocations
            if not self._is_tls_marker(instruction, reloc) and reloc.type
        ]
        if not relocations:
            return self._resolved_operand(instruction)
        if len(relocations) > 1:
            raise Unreadable(f"has two symbols in one instruction ({instruction.text})")
        reloc = relocations[0]
        form = self.architecture.forms.get(reloc.type)
        if form is None:
            raise Unreadable(f"has a relocation of type {reloc.type}, which is not known here")
        addend = reloc.addend
        if form.relative:
            addend += instruction.end - reloc.offset
        target = self.references.of_symbol(
            reloc.symbol, addend, branch=self.architecture.is_branch(instruction)
        )
        if form.suffix in ("@TLSGD", "@TLSLD"):
            self.suffixes[instruction.address] = "tls"
        size = self.architecture.target.relocations.absolute.get(reloc.type, 4)
        return target, form, instruction.end - reloc.offset - size

    def _is_tls_marker(self, instruction: Instruction, reloc: Relocation) -> bool:
        if reloc.type == self.architecture.thread_local_call:
            self.suffixes[instruction.address] = f".tlsdesccall {quoted(reloc.symbol.name)}"
            return True
        return False

    def _resolved_operand(self, instruction: Instruction) -> tuple[Target, Form, int] | None:
        """Return what the assembler resolved by itself: places in the same section."""
        if instruction.target is None or instruction.target < 0:
            return None
        if not self.architecture.names_place(instruction) and not self.architecture.is_branch(
            instruction
        ):
            return None
        return self.references.of_jump(instruction, self.code.section), Form(), 0
