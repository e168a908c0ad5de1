"""What is done to a unit before its functions go separate ways.

* A static function with one call is merged into its caller, as every list would do that inlines:
  afterwards the caller has one list for both, and nothing of the merge is lost when the two would
  have got different lists. (LLVM's inliner at a threshold that takes only those would need a global
  option; ``alwaysinline`` on those functions says the same for one module.)
* A static function that is called like one of the C library is marked ``nobuiltin``: while it is
  visible to the other parts, LLVM must not take it for the library's.
* Nameless variables get names, so that the parts can refer to them.

Needs a module; the result is a light value from which `stock_assembly` makes ``opt``'s arguments.
"""

from __future__ import annotations

import ctypes
from ctypes import c_void_p
from dataclasses import dataclass
from itertools import islice

from llm_compiler.llvm.function_wise.library_functions import LIBRARY_FUNCTIONS
from llm_compiler.llvm.module import LOCAL, Module

__all__ = ["PREFIX_PIPELINE", "Prefix", "apply_prefix", "find_prefix"]

PREFIX_PIPELINE = "always-inline,name-anon-globals"
_FUNCTION_INDEX = 0xFFFFFFFF
_MAX_MERGED_INSTRUCTIONS = 1_000
"""What LLVM's own bonus for the last call of a static function takes at most."""
# Two functions that differ in these alone may be merged; any other difference (target features,
# strict floating point, sanitizers, stack protection) is left to the lists' own inliners.
_HARMLESS = (
    "cold",
    "hot",
    "inlinehint",
    "memory",
    "mustprogress",
    "nofree",
    "norecurse",
    "noreturn",
    "nosync",
    "nounwind",
    "willreturn",
    "uwtable",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """Attributes that are given to functions before the prefix' passes run."""

    merged: tuple[str, ...] = ()
    """Static functions with one call."""
    shielded: tuple[str, ...] = ()
    """Static functions with the name of a library function."""

    @property
    def forced_attributes(self) -> tuple[tuple[str, str], ...]:
        """Pairs of function and attribute, as ``opt -force-attribute=`` takes them."""
        return (
            *((name, "alwaysinline") for name in self.merged),
            *((name, "nobuiltin") for name in self.shielded),
        )


def find_prefix(module: Module) -> Prefix:
    """Return what the prefix of a module is."""
    library = module.context.library
    merged, shielded = [], []
    ignored = {_kind(module, name) for name in _HARMLESS}
    for function in module.function_handles():
        name = module.name_of(function)
        if (
            library.LLVMIsDeclaration(function)
            or library.LLVMGetLinkage(function) not in LOCAL
            or not name
        ):
            continue
        if name in LIBRARY_FUNCTIONS:
            shielded.append(name)
        elif _has_one_call(module, function, ignored):
            merged.append(name)
    return Prefix(merged=tuple(merged), shielded=tuple(shielded))


def apply_prefix(module: Module, prefix: Prefix) -> None:
    """Carry a prefix out on its module.

    Raises:
        CompileFailed: in LLVM's own words.
    """
    library = module.context.library
    for name, attribute in prefix.forced_attributes:
        item = library.LLVMCreateEnumAttribute(
            module.context.handle, _kind(module, attribute), ctypes.c_uint64(0)
        )
        library.LLVMAddAttributeAtIndex(module.function_handle(name), _FUNCTION_INDEX, item)
    module.run_passes(PREFIX_PIPELINE)


def _kind(module: Module, attribute: str) -> int:
    name = attribute.encode()
    return int(module.context.library.LLVMGetEnumAttributeKindForName(name, len(name)))


def _has_one_call(module: Module, function: int, ignored: set[int]) -> bool:
    """Whether a function's only use is one call, from a function that it may be merged into."""
    library = module.context.library
    use = library.LLVMGetFirstUse(function)
    if not use or library.LLVMGetNextUse(use):
        return False
    call = library.LLVMGetUser(use)
    if not library.LLVMIsACallInst(call) and not library.LLVMIsAInvokeInst(call):
        return False
    if library.LLVMGetCalledValue(call) != function or library.LLVMGetComdat(function):
        return False
    if library.LLVMIsFunctionVarArg(library.LLVMGlobalGetValueType(function)):
        return False
    caller = library.LLVMGetBasicBlockParent(library.LLVMGetInstructionParent(call))
    attributes = _attributes(module, function)
    for name in ("noinline", "optnone", "naked", "returns_twice", "presplitcoroutine"):
        item = library.LLVMGetEnumAttributeAtIndex(function, _FUNCTION_INDEX, _kind(module, name))
        other = library.LLVMGetEnumAttributeAtIndex(caller, _FUNCTION_INDEX, _kind(module, name))
        if item or other:
            return False
    if caller == function or _without(module, attributes, ignored) != _without(
        module, _attributes(module, caller), ignored
    ):
        return False
    instructions = islice(module.instruction_handles(function), _MAX_MERGED_INSTRUCTIONS + 1)
    return sum(1 for _ in instructions) <= _MAX_MERGED_INSTRUCTIONS


def _attributes(module: Module, function: int) -> list[int]:
    library = module.context.library
    count = library.LLVMGetAttributeCountAtIndex(function, _FUNCTION_INDEX)
    found = (c_void_p * count)()
    library.LLVMGetAttributesAtIndex(function, _FUNCTION_INDEX, found)
    return [item for item in found if item]


def _without(module: Module, attributes: list[int], ignored: set[int]) -> set[int]:
    """Return attributes but those of some kinds; equal attributes are one object in a context."""
    library = module.context.library
    return {
        attribute
        for attribute in attributes
        if not library.LLVMIsEnumAttribute(attribute)
        or library.LLVMGetEnumAttributeKind(attribute) not in ignored
    }
