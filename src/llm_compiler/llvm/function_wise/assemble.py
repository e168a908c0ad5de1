"""Assemble a unit from parts in this process: to rank assemblies before the stock tools make one.

Does with linkages what `stock_assembly` does with ``llvm-extract`` and ``function-import``. One
`Assembler` holds one unit in a context of its own; parts that recur are kept. A crash inside LLVM
ends the process: run it in a worker. Not safe in threads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from llm_compiler.closing import Closing
from llm_compiler.errors import CompileFailed, InputError
from llm_compiler.llvm.capi import Library, load
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.function_wise.plan import AssemblyPlan, Part
from llm_compiler.llvm.function_wise.prefix import Prefix, apply_prefix, find_prefix
from llm_compiler.llvm.function_wise.structure import Structure, inspect_structure
from llm_compiler.llvm.module import (
    AVAILABLE_EXTERNALLY,
    EXTERNAL,
    INTERNAL,
    LOCAL,
    Context,
    Module,
)
from llm_compiler.llvm.recipes import give_attributes, llvm_options, take_attributes
from llm_compiler.llvm.refusals import refusal_of
from llm_compiler.llvm.settings import pass_options, removed_attributes

__all__ = ["Assembler", "drop_unused", "internalize_pipeline"]

# llvm-c/Core.h
_DEFAULT, _HIDDEN = 0, 1
_FUNCTION_TYPE = 9
_WEAK_OF = {2: 5, 3: 6}
"""linkonce -> weak: kept though nothing in the same part uses it (as llvm-extract does)."""
_LINK_ONCE_OF = {weak: once for once, weak in _WEAK_OF.items()}
_DROP_BODIES = "elim-avail-extern"
_KEPT_PARTS = 12
_MAX_KEPT_BYTES = 8_000_000


def internalize_pipeline(names: tuple[str, ...]) -> str:
    """Return the pass that makes everything static but what others may name."""
    if not names:
        return "internalize"
    return f"internalize<{';'.join(f'preserve-gv={name}' for name in names)}>"


class Assembler(Closing):
    """One unit, ready to be assembled; owns its LLVM context.

    Args:
        bitcode: the unoptimised unit.

    Raises:
        IrParseError, UnsupportedTarget, CompileFailed: of the unit itself.
    """

    def __init__(self, bitcode: bytes, *, library: Library | None = None) -> None:
        self._context = Context(library or load())
        self._library = self._context.library
        self._kept: OrderedDict[Part, bytes] = OrderedDict()
        self.num_part_runs = 0
        try:
            self._unit = self._context.parse(bitcode, "<module>")
            self.prefix: Prefix = find_prefix(self._unit)
            apply_prefix(self._unit, self.prefix)
            self.structure: Structure = inspect_structure(self._unit)
            self._target_machine = TargetMachine.for_module(self._unit)
        except BaseException:
            self._context.close()
            raise

    def close(self) -> None:
        """Free all that LLVM holds."""
        if self._context is not None:
            self._target_machine.close()
            self._context.close()

    @property
    def target_machine(self) -> TargetMachine:
        """The code generator of the unit's target; the assembler's own."""
        return self._target_machine

    def emit_object(self, module: Module, plan: AssemblyPlan) -> bytes:
        """Return the object of an assembled module, which code generation changes.

        Raises:
            CompileFailed: in LLVM's own words.
        """
        if not plan.options:
            return self._target_machine.emit_object(module)
        with (
            llvm_options(self._library, plan.options),
            # Some options are read when a code generator is made.
            TargetMachine.for_module(module) as target_machine,
        ):
            return target_machine.emit_object(module)

    def assemble(self, plan: AssemblyPlan) -> Module:
        """Return the assembled module, ready for code generation; the caller owns it.

        Raises:
            InputError: the unit cannot be assembled from parts.
            CompileFailed: LLVM refuses a list, or what it leaves.
        """
        if self.structure.refusal:
            raise InputError(f"not assembled function by function: {self.structure.refusal}")
        for part in plan.parts:
            if why := refusal_of(part.recipe, self.structure.constructs):
                raise CompileFailed(f"refused for this kind of module: {why}")
        whole = self._optimized(plan.parts[0])
        try:
            for part in plan.parts[1:]:
                whole.link(self._optimized(part))
            drop_unused(whole, self.structure)
            whole.run_passes(
                f"{internalize_pipeline(self.structure.exported)},globaldce",
                self._target_machine.handle,
            )
            whole.run_passes(plan.suffix, self._target_machine.handle)
            if broken := whole.verify():
                raise CompileFailed(f"the assembly is a broken module: {broken}", detail=broken)
        except BaseException:
            whole.close()
            raise
        return whole

    def _optimized(self, part: Part) -> Module:
        """Return a part after its list; the caller owns it."""
        if (kept := self._kept.get(part)) is not None:
            self._kept.move_to_end(part)
            return self._context.parse(kept, "<part>")
        module = self._unit.clone()
        try:
            _Reduction(module, part, self.structure).run()
            take_attributes(module, removed_attributes(part.recipe))
            with llvm_options(self._library, pass_options(part.recipe)):
                for element in part.recipe.elements:
                    module.run_passes(element, self._target_machine.handle)
            give_attributes(module, part.recipe)
            module.run_passes(_DROP_BODIES, self._target_machine.handle)
            self.num_part_runs += 1
            if broken := module.verify():
                raise CompileFailed(f"the passes leave a broken part: {broken}", detail=broken)
            data = module.to_bitcode()
        finally:
            module.close()
        self._keep(part, data)
        # Read back even when new: comdats without members, which a linker would give preference to
        # over those of other parts, are left out of bitcode.
        return self._context.parse(data, "<part>")

    def _keep(self, part: Part, data: bytes) -> None:
        if len(data) * _KEPT_PARTS > _MAX_KEPT_BYTES:
            return
        self._kept[part] = data
        while len(self._kept) > _KEPT_PARTS:
            self._kept.popitem(last=False)


class _Reduction:
    """Makes of a whole unit the module that one part's list starts from."""

    def __init__(self, module: Module, part: Part, structure: Structure) -> None:
        self._module, self._part, self._structure = module, part, structure
        self._library = module.context.library
        self._imported: list[int] = []

    def run(self) -> None:
        if not self._part.is_base:
            self._library.LLVMSetModuleInlineAsm2(self._module.handle, b"", 0)
        self._sort_functions()
        self._sort_variables()
        self._sort_aliases()
        self._module.run_passes(f"{_DROP_BODIES},globaldce")
        for value in self._imported:
            self._library.LLVMSetLinkage(value, AVAILABLE_EXTERNALLY)
        self._make_internal()

    def _sort_functions(self) -> None:
        own, imported = set(self._part.functions), set(self._part.imported)
        for function in self._module.function_handles():
            if self._library.LLVMIsDeclaration(function):
                continue
            name = self._module.name_of(function)
            if name in own:
                self._make_visible(function)
            elif name in imported:
                self._import(function)
            else:
                self._drop(function)

    def _sort_variables(self) -> None:
        library, part = self._library, self._part
        own, absent = set(part.internal_variables), set(part.absent_variables)
        for variable in self._module.variable_handles():
            if library.LLVMIsDeclaration(variable):
                continue
            name = self._module.name_of(variable)
            if name.startswith("llvm."):
                if not part.is_base:
                    library.LLVMDeleteGlobal(variable)
            elif name in own or (part.is_base and name not in absent):
                self._make_visible(variable)
            elif name in self._structure.importable_constants:
                self._import(variable)
            else:
                self._drop(variable)

    def _sort_aliases(self) -> None:
        library, module = self._library, self._module
        of_functions = {alias for alias, function in self._structure.aliases if function}
        alias = library.LLVMGetFirstGlobalAlias(module.handle)
        while alias:
            following = library.LLVMGetNextGlobalAlias(alias)
            name = module.name_of(alias)
            if name in self._part.aliases or (self._part.is_base and name not in of_functions):
                self._make_visible(alias)
            else:
                self._declare(alias, name)
                # LLVM's C API cannot delete an alias: as a static one nobody needs it.
                library.LLVMSetLinkage(alias, INTERNAL)
            alias = following
        indirect = library.LLVMGetFirstGlobalIFunc(module.handle)
        while indirect:
            following = library.LLVMGetNextGlobalIFunc(indirect)
            if self._part.is_base:
                self._make_visible(indirect)
            else:
                self._declare(indirect, module.name_of(indirect))
                library.LLVMEraseGlobalIFunc(indirect)
            indirect = following

    def _declare(self, value: int, name: str) -> None:
        """Put a declaration in the place of an alias or ifunc."""
        library, handle = self._library, self._module.handle
        was_local = library.LLVMGetLinkage(value) in LOCAL
        library.LLVMSetValueName2(value, b"", 0)
        kind = library.LLVMGlobalGetValueType(value)
        text = name.encode("utf-8", "surrogateescape")
        if library.LLVMGetTypeKind(kind) == _FUNCTION_TYPE:
            declaration = library.LLVMAddFunction(handle, text, kind)
        else:
            declaration = library.LLVMAddGlobal(handle, kind, text)
        if was_local:
            library.LLVMSetVisibility(declaration, _HIDDEN)
        library.LLVMReplaceAllUsesWith(value, declaration)

    def _make_visible(self, value: int) -> None:
        """Give a static definition a name that other parts can refer to."""
        linkage = self._library.LLVMGetLinkage(value)
        if linkage in LOCAL:
            self._library.LLVMSetLinkage(value, EXTERNAL)
            self._library.LLVMSetVisibility(value, _HIDDEN)
        elif linkage in _WEAK_OF:
            self._library.LLVMSetLinkage(value, _WEAK_OF[linkage])

    def _import(self, value: int) -> None:
        """Mark a body to be looked into, once what is not needed is gone."""
        self._library.LLVMSetComdat(value, None)
        was_local = self._library.LLVMGetLinkage(value) in LOCAL
        self._library.LLVMSetLinkage(value, EXTERNAL)
        if was_local:
            self._library.LLVMSetVisibility(value, _HIDDEN)
        self._imported.append(value)

    def _drop(self, value: int) -> None:
        self._library.LLVMSetComdat(value, None)
        was_local = self._library.LLVMGetLinkage(value) in LOCAL
        self._library.LLVMSetLinkage(value, AVAILABLE_EXTERNALLY)
        if was_local:
            self._library.LLVMSetVisibility(value, _HIDDEN)

    def _make_internal(self) -> None:
        for name in self._part.internal_functions:
            self._set_static(self._module.function_handle(name))
        for name in self._part.internal_variables:
            self._set_static(self._module.variable_handle(name))

    def _set_static(self, value: int) -> None:
        if value:
            self._library.LLVMSetVisibility(value, _DEFAULT)
            self._library.LLVMSetLinkage(value, INTERNAL)


def drop_unused(module: Module, structure: Structure) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Drop the definitions of linked parts that were to be dropped where nothing uses them.

    In the parts they were weak, since another part may need them.

    Returns:
        The functions and the variables that are gone.
    """
    library = module.context.library

    def present(names: tuple[str, ...], find: Callable[[str], int]) -> dict[str, int]:
        found = {name: find(name) for name in names}
        return {n: h for n, h in found.items() if h and not library.LLVMIsDeclaration(h)}

    def all_present() -> tuple[dict[str, int], dict[str, int]]:
        return (
            present(structure.discardable_functions, module.function_handle),
            present(structure.discardable_variables, module.variable_handle),
        )

    before = all_present()
    if not any(before):
        return (), ()
    for found in before:
        for handle in found.values():
            linkage = library.LLVMGetLinkage(handle)
            library.LLVMSetLinkage(handle, _LINK_ONCE_OF.get(linkage, linkage))
    module.run_passes("globaldce")
    after = all_present()
    for found in after:
        for handle in found.values():
            linkage = library.LLVMGetLinkage(handle)
            library.LLVMSetLinkage(handle, _WEAK_OF.get(linkage, linkage))
    functions, variables = (
        tuple(name for name in table if name not in other)
        for table, other in zip(before, after, strict=True)
    )
    return functions, variables
