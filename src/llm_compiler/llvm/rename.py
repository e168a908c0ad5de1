"""Rename a module's symbols, so that programs with the same names fit into one executable."""

from __future__ import annotations

from llm_compiler.llvm.module import AVAILABLE_EXTERNALLY, LOCAL, Module

__all__ = ["rename_for_linking"]


def rename_for_linking(module: Module, suffix: str) -> None:
    """Append `suffix` to the name of every symbol that a module defines for others.

    So modules that define the same names (``main``, inline functions of C++) can be linked
    into one executable, each with its own copy. Comdats are renamed with their members;
    local symbols, declarations and LLVM's own globals keep their names.
    """
    library = module.context.library
    comdats: dict[int, int] = {}
    for value in list(module.symbol_handles()):
        name = module.name_of(value)
        if (
            library.LLVMIsDeclaration(value)
            or library.LLVMGetLinkage(value) in (*LOCAL, AVAILABLE_EXTERNALLY)
            or name.startswith("llvm.")
        ):
            continue
        renamed = (name + suffix).encode("utf-8", "surrogateescape")
        library.LLVMSetValueName2(value, renamed, len(renamed))
    # A comdat's own name cannot be asked for: the new one is called after its first member.
    for value in [*module.function_handles(), *module.variable_handles()]:
        if old := library.LLVMGetComdat(value):
            if old not in comdats:
                member = module.name_of(value)
                name = member if suffix in member else member + suffix
                new = library.LLVMGetOrInsertComdat(
                    module.handle, name.encode("utf-8", "surrogateescape")
                )
                kind = library.LLVMGetComdatSelectionKind(old)
                library.LLVMSetComdatSelectionKind(new, kind)
                comdats[old] = new
            library.LLVMSetComdat(value, comdats[old])
