"""Extract one function of a module, with what it needs (docs/decisions/0001)."""

from __future__ import annotations

from llm_compiler.errors import InputError
from llm_compiler.llvm.module import AVAILABLE_EXTERNALLY, EXTERNAL, INTERNAL, LOCAL, Module

__all__ = ["extract_function"]

_HIDDEN = 1


def extract_function(module: Module, name: str) -> Module:
    """Return a module that keeps one function and what it needs; the caller owns it.

    The C API has no extraction. Every other function becomes ``available_externally`` and
    LLVM's ``elim-avail-extern`` turns it into a declaration; ``globaldce`` then drops what
    nothing uses. What this changes against the whole module:

    * the function itself, if it was ``static``, becomes external (else it would be dropped),
      under its own name, with hidden visibility;
    * ``static`` functions that it calls become external declarations: they can no longer be
      inlined;
    * constants keep their initialisers and their linkage;
    * a ``static`` variable that other functions used too becomes hidden and external, but
      keeps its initialiser: otherwise LLVM would take it for never written elsewhere;
    * external variables become declarations;
    * constructors, ``llvm.used`` and module-level assembly stay behind; an alias that is used
      is replaced by what it stands for.

    Raises:
        InputError: there is no such function with a body, or it is an alias' or ifunc's.
    """
    library = module.context.library
    source = library.LLVMGetNamedFunction(module.handle, name.encode("utf-8", "surrogateescape"))
    if not source or library.LLVMIsDeclaration(source):
        raise InputError(
            f"the module defines no function '{name}'; it defines: "
            + (", ".join(module.defined_functions()[:20]) or "none")
        )
    copy = module.clone()
    try:
        _reduce_to(copy, copy.function_handle(name))
        if broken := copy.verify():
            raise InputError(f"'{name}' cannot stand alone: {broken}")
    except BaseException:
        copy.close()
        raise
    return copy


def _reduce_to(module: Module, kept: int) -> None:
    library = module.context.library
    _drop_roots(module)
    _resolve_aliases(module)
    shared = [v for v in module.variable_handles() if _is_shared_static(module, v, kept)]
    for function in module.function_handles():
        if library.LLVMIsDeclaration(function):
            continue
        library.LLVMSetComdat(function, None)
        if function == kept:
            if library.LLVMGetLinkage(function) in LOCAL:
                library.LLVMSetLinkage(function, EXTERNAL)
                library.LLVMSetVisibility(function, _HIDDEN)
            else:
                library.LLVMSetLinkage(function, EXTERNAL)
        else:
            was_local = library.LLVMGetLinkage(function) in LOCAL
            library.LLVMSetLinkage(function, AVAILABLE_EXTERNALLY)
            if was_local:
                library.LLVMSetVisibility(function, _HIDDEN)
    for variable in module.variable_handles():
        if library.LLVMIsDeclaration(variable):
            continue
        if variable in shared:
            library.LLVMSetLinkage(variable, EXTERNAL)
            library.LLVMSetVisibility(variable, _HIDDEN)
        elif library.LLVMGetLinkage(variable) not in LOCAL:
            # A linkage that promises the definition elsewhere: constants may be folded.
            library.LLVMSetComdat(variable, None)
            library.LLVMSetLinkage(variable, AVAILABLE_EXTERNALLY)
    module.run_passes("globaldce,elim-avail-extern,globaldce,strip-dead-prototypes")


def _drop_roots(module: Module) -> None:
    """Delete what keeps everything alive: constructors, used lists."""
    library = module.context.library
    for variable in list(module.variable_handles()):
        if module.name_of(variable).startswith("llvm."):
            library.LLVMDeleteGlobal(variable)


def _resolve_aliases(module: Module) -> None:
    library = module.context.library
    alias = library.LLVMGetFirstGlobalAlias(module.handle)
    while alias:
        library.LLVMReplaceAllUsesWith(alias, library.LLVMAliasGetAliasee(alias))
        # LLVMDeleteGlobal is for variables only; as a local, `globaldce` drops it.
        library.LLVMSetLinkage(alias, INTERNAL)
        alias = library.LLVMGetNextGlobalAlias(alias)
    indirect = library.LLVMGetFirstGlobalIFunc(module.handle)
    while indirect:
        library.LLVMSetLinkage(indirect, INTERNAL)
        indirect = library.LLVMGetNextGlobalIFunc(indirect)


def _is_shared_static(module: Module, variable: int, kept: int) -> bool:
    """Whether a mutable static is used outside the kept function."""
    library = module.context.library
    if (
        library.LLVMGetLinkage(variable) not in LOCAL
        or library.LLVMIsGlobalConstant(variable)
        or library.LLVMIsDeclaration(variable)
    ):
        return False
    users = _using_functions(module, variable)
    return kept in users and users != {kept}


def _using_functions(module: Module, value: int) -> set[int]:
    """Return the functions that use a value, also through constants and initialisers."""
    library = module.context.library
    found: set[int] = set()
    seen = {value}
    pending = [value]
    while pending:
        use = library.LLVMGetFirstUse(pending.pop())
        while use:
            user = library.LLVMGetUser(use)
            use = library.LLVMGetNextUse(use)
            if library.LLVMIsAInstruction(user):
                block = library.LLVMGetInstructionParent(user)
                found.add(library.LLVMGetBasicBlockParent(block))
            elif user not in seen:
                seen.add(user)
                pending.append(user)
    return found
