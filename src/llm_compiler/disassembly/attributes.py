"""Attributes of lifted IR that claim something of the program, and how they are taken away.

What stays: attributes that belong to calling conventions, that say how code is generated, or that
forbid an optimisation. Runs in a worker.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection
from ctypes import c_void_p
from typing import Final

from llm_compiler.llvm.module import Module

__all__ = [
    "ABI_ATTRIBUTES",
    "CLAIMS",
    "CONTROL_CLAIMS",
    "calls_of",
    "move_to_calls",
    "not_throwing",
    "strip_attributes",
]

ABI_ATTRIBUTES: Final = (
    "zeroext",
    "signext",
    "inreg",
    "byval",
    "sret",
    "byref",
    "inalloca",
    "preallocated",
    "nest",
    "swiftself",
    "swifterror",
    "swiftasync",
    "returned",
)
"""On parameters and results: both sides of a call must have the same (`returned` is a claim, too,
but changes the caller's code)."""

_CLAIMS: Final = (
    "allocalign allockind allocptr allocsize captures dead_on_return dead_on_unwind "
    "dereferenceable dereferenceable_or_null initializes memory mustprogress noalias "
    "nocallback nocapture nofree nofpclass nonnull norecurse nosync noundef range readnone "
    "readonly speculatable willreturn writable writeonly argmemonly inaccessiblememonly "
    "inaccessiblemem_or_argmemonly align "
)
CLAIMS: Final = tuple(_CLAIMS.split())
CONTROL_CLAIMS: Final = ("noreturn", "nounwind", "returned")
"""Claims that code after calls depends on; functions that are left otherwise need them."""
_ALIGNMENT: Final = "align"
_STRINGS: Final = (
    "unsafe-fp-math",
    "no-nans-fp-math",
    "no-infs-fp-math",
    "no-signed-zeros-fp-math",
    "approx-func-fp-math",
)
_FUNCTION, _RESULT = 0xFFFFFFFF, 0
_BY_VALUE: Final = ("byval", "sret", "byref", "inalloca", "preallocated")


def strip_attributes(module: Module, names: Collection[str]) -> None:
    """Take attributes from a module's functions and calls; intrinsics have LLVM's own."""
    if not names:
        return
    stripper = _Stripper(module, names)
    for function in module.function_handles():
        if not module.context.library.LLVMGetIntrinsicID(function):
            stripper.function(function)
    for instruction in module.instruction_handles():
        if stripper.is_call(instruction):
            stripper.call(instruction)


def move_to_calls(module: Module) -> None:
    """Say at each call, not of the function, that it does not return.

    The same code comes of it, and other texts' declarations of the function have no part in it.
    """
    library = module.context.library
    kinds = [library.LLVMGetEnumAttributeKindForName(b"noreturn", len(b"noreturn"))]
    for name, call in calls_of(module):
        function = module.function_handle(name)
        for kind in kinds:
            if held := library.LLVMGetEnumAttributeAtIndex(function, _FUNCTION, kind):
                library.LLVMAddCallSiteAttribute(call, _FUNCTION, held)
    for function in module.function_handles():
        if library.LLVMIsDeclaration(function) and not library.LLVMGetIntrinsicID(function):
            for kind in kinds:
                library.LLVMRemoveEnumAttributeAtIndex(function, _FUNCTION, kind)


def not_throwing(module: Module) -> list[str]:
    """Return the declared functions of which a module says that they do not throw.

    Exception tables depend on the declaration, not on the call (LLVM's EHStreamer).
    """
    library = module.context.library
    kind = library.LLVMGetEnumAttributeKindForName(b"nounwind", len(b"nounwind"))
    return [
        module.name_of(handle)
        for handle in module.function_handles()
        if library.LLVMIsDeclaration(handle)
        and not library.LLVMGetIntrinsicID(handle)
        and library.LLVMGetEnumAttributeAtIndex(handle, _FUNCTION, kind)
    ]


def calls_of(module: Module) -> list[tuple[str, int]]:
    """Return the direct calls of functions that are no intrinsics: names and instructions."""
    library = module.context.library
    found = []
    for handle in module.instruction_handles():
        if not library.LLVMIsACallInst(handle) and not library.LLVMIsAInvokeInst(handle):
            continue
        callee = library.LLVMGetCalledValue(handle)
        if library.LLVMIsAFunction(callee) and not library.LLVMGetIntrinsicID(callee):
            found.append((module.name_of(callee), handle))
    return found


class _Stripper:
    def __init__(self, module: Module, names: Collection[str]) -> None:
        self._module, self._library = module, module.context.library
        kind = self._library.LLVMGetEnumAttributeKindForName
        self._kinds = {kind(name.encode(), len(name)): name for name in names}
        self._kinds.pop(0, None)
        self._by_value = [kind(name.encode(), len(name)) for name in _BY_VALUE]

    def is_call(self, instruction: int) -> bool:
        library = self._library
        return bool(library.LLVMIsACallInst(instruction) or library.LLVMIsAInvokeInst(instruction))

    def function(self, function: int) -> None:
        library = self._library
        type_ = library.LLVMGlobalGetValueType(function)
        for index in (_FUNCTION, _RESULT, *range(1, library.LLVMCountParamTypes(type_) + 1)):
            for kind in self._claimed(
                lambda i: library.LLVMGetAttributeCountAtIndex(function, i),
                lambda i, to: library.LLVMGetAttributesAtIndex(function, i, to),
                index,
            ):
                library.LLVMRemoveEnumAttributeAtIndex(function, index, kind)
        for name in _STRINGS:
            library.LLVMRemoveStringAttributeAtIndex(function, _FUNCTION, name.encode(), len(name))

    def call(self, call: int) -> None:
        library = self._library
        for index in (_FUNCTION, _RESULT, *range(1, library.LLVMGetNumArgOperands(call) + 1)):
            for kind in self._claimed(
                lambda i: library.LLVMGetCallSiteAttributeCount(call, i),
                lambda i, to: library.LLVMGetCallSiteAttributes(call, i, to),
                index,
            ):
                library.LLVMRemoveCallSiteEnumAttribute(call, index, kind)

    def _claimed(
        self, count: Callable[[int], int], read: Callable[[int, object], None], index: int
    ) -> list[int]:
        """Return the kinds of the claims among the attributes at one index."""
        number = count(index)
        if not number:
            return []
        held = (c_void_p * number)()
        read(index, ctypes.cast(held, ctypes.POINTER(c_void_p)))
        library = self._library
        kinds = [
            int(library.LLVMGetEnumAttributeKind(each_index))
            for each_index in held
            if library.LLVMIsEnumAttribute(each_index)
            or not library.LLVMIsStringAttribute(each_index)
        ]
        # The place of a copy on the stack has its alignment by the calling convention.
        keeps_alignment = any(kind in self._by_value for kind in kinds)
        return [
            kind
            for kind in kinds
            if kind in self._kinds and not (keeps_alignment and self._kinds[kind] == _ALIGNMENT)
        ]
