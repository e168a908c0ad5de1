"""Values as other types of the same registers: what a call passes, as its callee takes it.

Runs in a worker, on one module; not safe to share between threads.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_compiler.llvm.module import Context

__all__ = ["CAST", "IncompatibleTypes", "RegisterValues"]

CAST = b"agreed"
"""What conversions made here are called."""
_INTEGER, _STRUCT, _POINTER = 8, 10, 12  # LLVMTypeKind, llvm-c/Core.h


class IncompatibleTypes(Exception):
    """Types whose values are in different kinds of registers."""


class RegisterValues:
    """Converts values of one module; `choice` counts the ways to extend constants."""

    def __init__(self, context: Context, choice: int) -> None:
        self._context, self._library, self._choice = context, context.library, choice
        self.num_choices = 1

    def counterparts(self, have: Sequence[int], wanted: Sequence[int]) -> list[int | None]:
        """Return for each wanted type the place of the value that is in its register.

        Types in the same places are taken for each other's, as far as they share registers; else
        the first of a kind of register is the first of that kind.
        """
        if all(self.can_cast(*pair) for pair in zip(have, wanted, strict=False)):
            return [place if place < len(have) else None for place in range(len(wanted))]
        kinds = [self._is_general(type_) for type_ in have]
        rest = {
            kind: [place for place, own in enumerate(kinds) if own == kind]
            for kind in (False, True)
        }
        found: list[int | None] = []
        for type_ in wanted:
            candidates = rest[self._is_general(type_)]
            found.append(candidates.pop(0) if candidates else None)
        return found

    def _is_general(self, type_: int) -> bool:
        """Whether values of a type are in integer registers."""
        return self._library.LLVMGetTypeKind(type_) in (_INTEGER, _POINTER)

    def can_cast(self, before: int, after: int) -> bool:
        """Whether values of two types are in the same kind of register."""
        kinds = [self._library.LLVMGetTypeKind(index) for index in (before, after)]
        return before == after or all(kind in (_INTEGER, _POINTER) for kind in kinds)

    def cast(self, builder: int, value: int, wanted: int) -> int:
        """Return a value as another type of the same registers.

        Raises:
            IncompatibleTypes: there is none.
        """
        library = self._library
        if library.LLVMTypeOf(value) == wanted:
            return value
        if not self.can_cast(library.LLVMTypeOf(value), wanted):
            raise IncompatibleTypes("types of different registers meet")
        value = self._whole_register(value, wanted)
        own = library.LLVMTypeOf(value)
        if own == wanted:
            return value
        if library.LLVMGetTypeKind(own) == _POINTER:
            word = library.LLVMIntTypeInContext(self._context.handle, 64)
            value = library.LLVMBuildPtrToInt(builder, value, word, CAST)
            own = word
        if library.LLVMGetTypeKind(wanted) == _POINTER:
            if library.LLVMGetIntTypeWidth(own) < 64:
                word = library.LLVMIntTypeInContext(self._context.handle, 64)
                value = library.LLVMBuildZExt(builder, value, word, CAST)
            return int(library.LLVMBuildIntToPtr(builder, value, wanted, CAST))
        bits = [library.LLVMGetIntTypeWidth(item) for item in (own, wanted)]
        if bits[0] == bits[1]:
            return value
        if bits[0] > bits[1]:
            return int(library.LLVMBuildTrunc(builder, value, wanted, CAST))
        if self._is_negative(value):
            self.num_choices = max(self.num_choices, 2)
            if self._choice % 2:
                return int(library.LLVMBuildSExt(builder, value, wanted, CAST))
        return int(library.LLVMBuildZExt(builder, value, wanted, CAST))

    def result(self, builder: int, call: int, wanted: int) -> int:
        """Return a call's result as another type that begins in the same register.

        What a pair has in its second register is left open where the call returns one.

        Raises:
            IncompatibleTypes: there is none.
        """
        library = self._library
        own = library.LLVMTypeOf(call)
        is_pair = [library.LLVMGetTypeKind(type_) == _STRUCT for type_ in (own, wanted)]
        if is_pair == [True, False]:
            first = library.LLVMBuildExtractValue(builder, call, 0, CAST)
            return self.cast(builder, first, wanted)
        if is_pair == [False, True]:
            first = self.cast(builder, call, library.LLVMStructGetTypeAtIndex(wanted, 0))
            undefined = library.LLVMGetUndef(wanted)
            return int(library.LLVMBuildInsertValue(builder, undefined, first, 0, CAST))
        return self.cast(builder, call, wanted)

    def _is_negative(self, value: int) -> bool:
        """Whether a value is a constant whose extension depends on its sign."""
        library = self._library
        return (
            bool(library.LLVMIsAConstantInt(value)) and library.LLVMConstIntGetSExtValue(value) < 0
        )

    def _whole_register(self, value: int, wanted: int) -> int:
        """Return what a value was cut from, if that is no wider than the type: no instruction cuts
        an argument whose upper bits nobody reads."""
        library = self._library
        bits = (
            64
            if library.LLVMGetTypeKind(wanted) == _POINTER
            else library.LLVMGetIntTypeWidth(wanted)
        )
        found = value
        while library.LLVMIsATruncInst(found):
            found = library.LLVMGetOperand(found, 0)
            if library.LLVMGetIntTypeWidth(library.LLVMTypeOf(found)) > bits:
                break
            value = found
        return value
