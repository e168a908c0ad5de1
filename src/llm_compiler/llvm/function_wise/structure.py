"""What stands between a unit's functions: who uses whom, what must stay together, what may travel.

`inspect_structure` reads it from a module after the prefix; `Structure` is a light value that needs
no LLVM. Names are those of the IR.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from llm_compiler.llvm.constructs import constructs_of, describe, uncovered
from llm_compiler.llvm.module import AVAILABLE_EXTERNALLY, LOCAL, Module

__all__ = ["DISCARDABLE", "FORBIDDEN", "INTERPOSABLE", "Structure", "inspect_structure"]

# LLVMLinkage, llvm-c/Core.h
_LINK_ONCE_ANY, _LINK_ONCE_ODR, _WEAK_ANY = 2, 3, 5
_EXTERNAL_WEAK, _COMMON = 12, 14
DISCARDABLE = (_LINK_ONCE_ANY, _LINK_ONCE_ODR)
"""Dropped where nothing uses them."""
INTERPOSABLE = (_LINK_ONCE_ANY, _WEAK_ANY, _EXTERNAL_WEAK, _COMMON)
"""Another definition may take their place: nobody may look inside."""
FORBIDDEN = frozenset(",;()<>")
"""What a parameter of a pass cannot hold (``internalize<preserve-gv=NAME>``)."""
_OTHER_FORMATS = ("darwin", "macos", "ios", "windows", "mingw", "cygwin", "wasm", "emscripten")


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """The names of a unit and what ties them.

    `refusal` says why the unit cannot be assembled from parts; the rest is then empty.
    """

    refusal: str = ""
    constructs: tuple[str, ...] = ()
    """What the unit holds that some passes are refused for (`llvm.constructs`)."""
    functions: tuple[str, ...] = ()
    """Those that are optimised here, in the module's order."""
    exported: tuple[str, ...] = ()
    """Every definition that others may refer to by name, of any kind."""
    discardable_functions: tuple[str, ...] = ()
    discardable_variables: tuple[str, ...] = ()
    """Exported, but dropped where nothing uses them (inline functions of C++, vtables)."""
    local_functions: frozenset[str] = frozenset()
    local_variables: frozenset[str] = frozenset()
    pinned: frozenset[str] = frozenset()
    """Functions that must be in one module with the variables."""
    ties: tuple[tuple[str, ...], ...] = ()
    """Functions that must be in one module with each other (members of one comdat)."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Each alias, and the function that it stands for (empty: a variable's)."""
    importable_functions: frozenset[str] = frozenset()
    """Those whose body others may see: no other definition may take its place."""
    importable_constants: frozenset[str] = frozenset()
    opaque_constants: frozenset[str] = frozenset()
    """Constants whose value other parts may not see (weak ones, tables of block addresses)."""
    num_instructions: dict[str, int] = field(default_factory=dict)
    references: dict[str, frozenset[str]] = field(default_factory=dict)
    """Which functions and variables of the unit each of them uses."""

    @property
    def discardable(self) -> frozenset[str]:
        """All that is dropped where nothing uses it."""
        return frozenset(self.discardable_functions) | frozenset(self.discardable_variables)


def inspect_structure(module: Module) -> Structure:
    """Return the structure of a module that the prefix was carried out on."""
    constructs = constructs_of(module.to_text())
    if refusal := _refusal(module, constructs):
        return Structure(refusal=refusal)
    return replace(_Inspection(module).result(), constructs=constructs)


def _refusal(module: Module, constructs: tuple[str, ...]) -> str:
    library = module.context.library
    if missing := uncovered(constructs):
        return f"no self-testing program covers {missing[0]}"
    if "coroutine" in constructs:
        return f"it has {describe('coroutine')}"
    triple = module.target_triple
    if any(name in triple for name in _OTHER_FORMATS):
        return f"its target {triple} is not one of ELF"
    if library.LLVMGetNamedMetadataNumOperands(module.handle, b"llvm.dbg.cu"):
        return "it has debug information, which each part would repeat"
    retained = _retained(module)
    for value in module.symbol_handles():
        name = module.name_of(value)
        if library.LLVMGetLinkage(value) in LOCAL:
            if name in retained:
                return f"'{name}' is static and retained: it could not become static again"
            if (
                library.LLVMIsAFunction(value) or library.LLVMIsAGlobalVariable(value)
            ) and library.LLVMGetComdat(value):
                return f"'{name}' is a static member of a comdat: it could not become static again"
        elif not library.LLVMIsDeclaration(value) and FORBIDDEN & set(name):
            return f"the name '{name}' cannot be written in a pass list"
        if not name:
            return "a function or variable has no name"
    return ""


def _retained(module: Module) -> set[str]:
    """Return the names in ``llvm.used``: LLVM holds them to be used by what it cannot see."""
    library = module.context.library
    for variable in module.variable_handles():
        if module.name_of(variable) == "llvm.used":
            members = library.LLVMGetInitializer(variable)
            count = library.LLVMGetNumOperands(members) if members else 0
            return {
                module.name_of(library.LLVMGetOperand(members, index)) for index in range(count)
            }
    return set()


class _Inspection:
    """Collects a module's structure."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._library = module.context.library
        self._references: dict[str, set[str]] = defaultdict(set)
        self._pinned: set[str] = set()
        self._no_import: set[str] = set()
        """Functions with addresses of blocks: no copy of them makes sense."""
        self._opaque: set[str] = set()

    def result(self) -> Structure:
        library, module = self._library, self._module
        functions, variables = [], []
        for function in module.function_handles():
            if not library.LLVMIsDeclaration(function):
                functions.append(function)
        for variable in module.variable_handles():
            if not library.LLVMIsDeclaration(variable):
                variables.append(variable)
        names = {number: module.name_of(number) for number in [*functions, *variables]}
        for index, name in names.items():
            if not name.startswith("llvm."):
                self._follow_uses(index, name)
        linkage = {name: library.LLVMGetLinkage(number) for number, name in names.items()}
        own = [names[f] for f in functions if linkage[names[f]] != AVAILABLE_EXTERNALLY]
        constants = {names[v] for v in variables if library.LLVMIsGlobalConstant(v)}
        interposable = {name for name, kind in linkage.items() if kind in INTERPOSABLE}
        aliases = self._aliases()
        ties = self._comdat_ties(functions, variables, names)
        for tied in ties:
            if self._pinned & set(tied):
                self._pinned |= set(tied)
        others = self._exported_aliases() + self._indirect()
        special = {n for n in names.values() if n.startswith("llvm.")}
        exported = [
            name
            for name, kind in linkage.items()
            if kind not in (*LOCAL, AVAILABLE_EXTERNALLY) and name not in special
        ]
        local = {name for name, kind in linkage.items() if kind in LOCAL}
        opaque = (self._opaque | interposable) & constants
        return Structure(
            functions=tuple(own),
            exported=(*exported, *others),
            discardable_functions=tuple(n for n in own if linkage[n] in DISCARDABLE),
            discardable_variables=tuple(
                names[v] for v in variables if linkage[names[v]] in DISCARDABLE
            ),
            local_functions=frozenset(n for n in own if n in local),
            local_variables=frozenset(names[v] for v in variables) & local,
            pinned=frozenset(self._pinned),
            ties=ties,
            aliases=aliases,
            importable_functions=frozenset(names[f] for f in functions)
            - interposable
            - self._no_import,
            importable_constants=frozenset(constants - opaque - special),
            opaque_constants=frozenset(opaque),
            num_instructions={
                names[f]: sum(1 for _ in module.instruction_handles(f)) for f in functions
            },
            references={name: frozenset(used) for name, used in self._references.items()},
        )

    def _follow_uses(self, value: int, name: str) -> None:
        """Note who uses a value, through constants; addresses of its blocks bind its users."""
        library, module = self._library, self._module
        seen = {value}
        pending = [(value, False)]
        while pending:
            current, of_block = pending.pop()
            use = library.LLVMGetFirstUse(current)
            while use:
                user = library.LLVMGetUser(use)
                use = library.LLVMGetNextUse(use)
                if library.LLVMIsAInstruction(user):
                    block = library.LLVMGetInstructionParent(user)
                    owner = module.name_of(library.LLVMGetBasicBlockParent(block))
                    self._references[owner].add(name)
                    if of_block and owner != name:
                        self._pinned |= {name, owner}
                elif library.LLVMIsAGlobalVariable(user):
                    owner = module.name_of(user)
                    self._references[owner].add(name)
                    if of_block:
                        self._pinned.add(name)
                        self._opaque.add(owner)
                elif library.LLVMIsAGlobalAlias(user) or library.LLVMIsAGlobalIFunc(user):
                    # Who uses the alias needs what it stands for.
                    if user not in seen:
                        seen.add(user)
                        pending.append((user, of_block))
                elif library.LLVMIsAFunction(user):
                    self._references[module.name_of(user)].add(name)  # its personality
                elif user not in seen:
                    seen.add(user)
                    is_block = of_block or bool(library.LLVMIsABlockAddress(user))
                    if is_block:
                        self._no_import.add(name)
                    pending.append((user, is_block))

    def _aliases(self) -> tuple[tuple[str, str], ...]:
        library, module = self._library, self._module
        found = []
        alias = library.LLVMGetFirstGlobalAlias(module.handle)
        while alias:
            target = alias
            while target and library.LLVMIsAGlobalAlias(target):
                target = library.LLVMAliasGetAliasee(target)
            is_function = bool(target) and bool(library.LLVMIsAFunction(target))
            found.append((module.name_of(alias), module.name_of(target) if is_function else ""))
            alias = library.LLVMGetNextGlobalAlias(alias)
        return tuple(found)

    def _exported_aliases(self) -> list[str]:
        library, module = self._library, self._module
        found = []
        alias = library.LLVMGetFirstGlobalAlias(module.handle)
        while alias:
            if library.LLVMGetLinkage(alias) not in LOCAL:
                found.append(module.name_of(alias))
            alias = library.LLVMGetNextGlobalAlias(alias)
        return found

    def _indirect(self) -> list[str]:
        """Return the exported ifuncs; all resolvers stay where they are."""
        library, module = self._library, self._module
        found = []
        indirect = library.LLVMGetFirstGlobalIFunc(module.handle)
        while indirect:
            if library.LLVMGetLinkage(indirect) not in LOCAL:
                found.append(module.name_of(indirect))
            resolver = library.LLVMGetGlobalIFuncResolver(indirect)
            if resolver and library.LLVMIsAFunction(resolver):
                self._pinned.add(module.name_of(resolver))
            indirect = library.LLVMGetNextGlobalIFunc(indirect)
        return found

    def _comdat_ties(
        self, functions: list[int], variables: list[int], names: dict[int, str]
    ) -> tuple[tuple[str, ...], ...]:
        """Return functions that share a comdat; with a variable in it they are pinned."""
        members: dict[int, list[str]] = defaultdict(list)
        of_variables = set()
        for function in functions:
            if comdat := self._library.LLVMGetComdat(function):
                members[comdat].append(names[function])
        for variable in variables:
            if comdat := self._library.LLVMGetComdat(variable):
                of_variables.add(comdat)
        for comdat in of_variables:
            self._pinned |= set(members.get(comdat, ()))
        return tuple(tuple(found) for found in members.values() if len(found) > 1)
