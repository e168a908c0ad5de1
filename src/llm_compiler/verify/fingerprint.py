"""What code generation in process makes of a module, to tell whether an edit of the IR changed it.

Both sides come from the same code generator, so nothing but the edit can make a difference. What
is no code and no data of the program (frame descriptions, the compiler's name) does not count.
Pure functions; safe in threads.
"""

from __future__ import annotations

from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.elf import Relocation, SymbolKind, parse_elf
from llm_compiler.llvm.module import Module

__all__ = ["Fingerprint", "fingerprint"]

Fingerprint = tuple[tuple[object, ...], ...]

_IGNORED = (".eh_frame", ".comment", ".note", ".llvm_addrsig")


def fingerprint(module: Module, machine: TargetMachine) -> Fingerprint:
    """Return all allocated sections with their contents and relocations; the module stays as it is.

    Raises:
        CompileFailed: in LLVM's own words.
    """
    with module.clone() as copy:
        elf = parse_elf(machine.emit_object(copy), "the module")
    sections = {each_section.index: each_section.name for each_section in elf.sections}

    def relocation(each_relocation: Relocation) -> tuple[object, ...]:
        symbol = each_relocation.symbol
        position: object = symbol.name
        if symbol.is_defined and (symbol.kind is SymbolKind.SECTION or symbol.is_local):
            position = sections[symbol.section], symbol.value
        return each_relocation.offset, each_relocation.type, position, each_relocation.addend

    found: list[tuple[object, ...]] = []
    for section in elf.sections:
        if not section.is_allocated or not section.size or section.name.startswith(_IGNORED):
            continue
        found.append(
            (
                section.name,
                section.read(0, section.size),
                tuple(relocation(item) for item in elf.relocations.get(section.index, ())),
            )
        )
    return tuple(found)
