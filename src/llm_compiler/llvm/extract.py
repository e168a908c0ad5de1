"""Extract functions of a module, each with what it needs (docs/decisions/0001)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

from llm_compiler.errors import InputError
from llm_compiler.llvm.module import (
    AVAILABLE_EXTERNALLY,
    EXTERNAL,
    INTERNAL,
    LOCAL,
    Context,
    Module,
)

__all__ = ["extract_function", "extract_functions"]

_DROP = "globaldce,elim-avail-extern,globaldce,strip-dead-prototypes"
_HIDDEN = 1
_LINK_ONCE = 2
"""LLVMLinkOnceAnyLinkage: kept while used; marks shared statics until one function is left."""


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
    * constructors, ``llvm.used`` and module-level assembly are left out; an alias that is used
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


def extract_functions(module: Module, names: Sequence[str]) -> Iterator[Module | InputError]:
    """Yield what `extract_function` returns for each name, or the error that it raises.

    `extract_function` copies the whole module for each function. Here the copy is cut in halves
    until one function is left, which costs the module's size times the logarithm of the number of
    functions. A yielded module is closed when the next one is asked for: write it out before.
    """
    library = module.context.library
    whole = module.clone()
    if whole.has_block_addresses:
        whole.close()
        yield from _extract_one_by_one(module, names)
        return
    _drop_roots(whole)
    _resolve_aliases(whole)
    refused = _users_of_ifuncs(whole)
    wanted = [
        name
        for name in names
        if name not in refused
        and (handle := whole.function_handle(name))
        and not library.LLVMIsDeclaration(handle)
    ]
    _prepare_for_halving(whole, set(wanted))
    extracted = _halve(whole, wanted)
    remaining = iter(wanted)
    following = next(remaining, None)
    try:
        for name in names:
            if name == following:
                yield next(extracted)
                following = next(remaining, None)
                continue
            try:
                with extract_function(module, name) as each_module:
                    yield each_module
            except InputError as error:
                yield error
    finally:
        extracted.close()


def _extract_one_by_one(module: Module, names: Sequence[str]) -> Iterator[Module | InputError]:
    """Extract from a fresh copy each time: a module that cannot be cloned (block addresses).

    Each copy has a context of its own: parsed into the same one, types would be renamed.
    """
    bitcode = module.to_bitcode()
    for name in names:
        with Context(module.context.library) as context:
            copy = context.parse(bitcode, "<module>")
            kept = copy.function_handle(name)
            if not kept or copy.context.library.LLVMIsDeclaration(kept):
                yield InputError(f"the module defines no function '{name}'")
                continue
            _reduce_to(copy, kept)
            broken = copy.verify()
            yield InputError(f"'{name}' cannot stand alone: {broken}") if broken else copy


def _prepare_for_halving(module: Module, wanted: set[str]) -> None:
    """Do once what does not depend on the function kept, and drop the bodies not wanted."""
    library = module.context.library
    for variable in list(module.variable_handles()):
        if library.LLVMIsDeclaration(variable):
            continue
        if library.LLVMGetLinkage(variable) not in LOCAL:
            library.LLVMSetComdat(variable, None)
            library.LLVMSetLinkage(variable, AVAILABLE_EXTERNALLY)
        elif (
            not library.LLVMIsGlobalConstant(variable)
            and len(_using_functions(module, variable)) > 1
        ):
            library.LLVMSetLinkage(variable, _LINK_ONCE)
            library.LLVMSetVisibility(variable, _HIDDEN)
    for function in module.function_handles():
        if library.LLVMIsDeclaration(function):
            continue
        library.LLVMSetComdat(function, None)
        was_local = library.LLVMGetLinkage(function) in LOCAL
        kept = module.name_of(function) in wanted
        library.LLVMSetLinkage(function, EXTERNAL if kept else AVAILABLE_EXTERNALLY)
        if was_local:
            library.LLVMSetVisibility(function, _HIDDEN)
    module.run_passes(_DROP)


def _halve(module: Module, names: Sequence[str]) -> Generator[Module | InputError, None, None]:
    """Yield the modules of each of the functions, all of which a module defines; closes it."""
    library = module.context.library
    with module:
        if len(names) > 1:
            middle = len(names) // 2
            left = module.clone()
            _drop_functions(left, names[middle:])
            yield from _halve(left, names[:middle])
            _drop_functions(module, names[:middle])
            yield from _halve(module, names[middle:])
        elif names:
            for variable in module.variable_handles():
                if library.LLVMGetLinkage(variable) == _LINK_ONCE:
                    library.LLVMSetLinkage(variable, EXTERNAL)
            broken = module.verify()
            yield InputError(f"'{names[0]}' cannot stand alone: {broken}") if broken else module


def _drop_functions(module: Module, names: Sequence[str]) -> None:
    for name in names:
        module.context.library.LLVMSetLinkage(module.function_handle(name), AVAILABLE_EXTERNALLY)
    module.run_passes(_DROP)


def _users_of_ifuncs(module: Module) -> set[str]:
    """Return the functions that use an ifunc: they cannot stand alone."""
    library = module.context.library
    found: set[str] = set()
    indirect = library.LLVMGetFirstGlobalIFunc(module.handle)
    while indirect:
        found |= {module.name_of(user) for user in _using_functions(module, indirect)}
        indirect = library.LLVMGetNextGlobalIFunc(indirect)
    return found


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
    module.run_passes(_DROP)


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
        for user in module.users(pending.pop()):
            if library.LLVMIsAInstruction(user):
                block = library.LLVMGetInstructionParent(user)
                found.add(library.LLVMGetBasicBlockParent(block))
            elif user not in seen:
                seen.add(user)
                pending.append(user)
    return found
