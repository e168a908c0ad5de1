"""Give functions and calls of a lifted module other prototypes, without changing the code.

`RewriteJob` makes an edit of one text in several ways (which value is returned where nothing was,
what is passed where an argument was missing) until one lowers to the same code as before. Where
none does, the first that is well-formed is returned, marked: the caller must verify it anew.

Runs in a worker: LLVM may crash.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from ctypes import c_void_p
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.disassembly.attributes import calls_of
from llm_compiler.disassembly.naming import quoted_name
from llm_compiler.disassembly.prototypes import Prototype, ways_into
from llm_compiler.disassembly.register_values import CAST, IncompatibleTypes, RegisterValues
from llm_compiler.disassembly.value_uses import (
    drop_unused_join,
    is_only_passed_on,
    is_passed_in_place,
    is_returned,
)
from llm_compiler.errors import CompilerError, InputError, LlmCompilerError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status
from llm_compiler.verify.fingerprint import fingerprint

__all__ = ["Rewrite", "RewriteJob", "Rewritten"]

_VOID = 0  # LLVMTypeKind, llvm-c/Core.h
_FUNCTION = 0xFFFFFFFF
_MAX_CHOICES: Final = 24
_SUFFIX: Final = ".agreed"
_JOINING: Final = "function(instcombine<no-verify-fixpoint>)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """One edit: the prototypes that functions get, by name; the text's own among them or not."""

    prototypes: tuple[tuple[str, Prototype], ...]
    returns_last_call: bool = False
    """Only try to return the result of the last call: nothing else is likely enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """What became of an edit. `is_same`: the text lowers to the code that it lowered to before."""

    status: Status
    text: str = field(default="", repr=False)
    is_same: bool = False
    is_guessed: bool = False
    """Other code, in which arguments or results that were missing are guessed."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewriteJob:
    """Edit one text in each of several ways; each step's result is a `Rewritten`."""

    text: str = field(repr=False)
    function: str
    edits: tuple[Rewrite, ...]
    timeout_s: float = 30.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        """One for each edit."""
        return len(self.edits)

    def run(self, state: WorkerState, first_step: int) -> Iterator[Rewritten]:
        """Yield what each edit gives."""
        for edit in self.edits[first_step:]:
            try:
                yield _edit(self.text, self.function, edit)
            except LlmCompilerError as error:
                yield Rewritten(status=Status.REFUSED, detail=str(error)[:500])

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Rewritten:
        """Return nothing."""
        return Rewritten(status=status, detail=detail)


class _Impossible(Exception):
    """An edit that cannot be made in this way."""


def _edit(text: str, function: str, edit: Rewrite) -> Rewritten:
    with Context() as context:
        module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
        with TargetMachine.for_module(module) as machine:
            wanted = fingerprint(module, machine)
    added = "".join(
        f"{prototype.declaration(quoted_name(name + _SUFFIX))}\n"
        for name, prototype in edit.prototypes
    )
    best, reason, seen = "", "", set()
    is_guessed = False
    for choice in range(_MAX_CHOICES):
        with Context() as context:
            module = context.parse(f"{text}\n{added}".encode("utf-8", "surrogateescape"), "answer")
            editor = _Editor(module, function, choice, edit.returns_last_call)
            try:
                for name, _ in edit.prototypes:
                    editor.apply(name)
                editor.shorten()
            except (_Impossible, IncompatibleTypes) as error:
                reason = reason or str(error)
                if choice >= editor.num_choices - 1:
                    break
                continue
            if broken := module.verify():
                reason = reason or broken.splitlines()[0]
            else:
                found = module.to_text()
                if found not in seen:
                    seen.add(found)
                    if _lowers_to(module, wanted):
                        return Rewritten(status=Status.OK, text=found, is_same=True)
                    if not best and not editor.must_be_same:
                        best, is_guessed = found, editor.has_guessed
                    # A result that is passed on as one of several is narrowed where they join.
                    module.run_passes(_JOINING)
                    if _lowers_to(module, wanted):
                        return Rewritten(status=Status.OK, text=module.to_text(), is_same=True)
            if choice >= editor.num_choices - 1:
                break
    if best:
        return Rewritten(status=Status.OK, text=best, is_guessed=is_guessed)
    return Rewritten(status=Status.REFUSED, detail=reason[:300])


def _lowers_to(module: Module, wanted: object) -> bool:
    try:
        with TargetMachine.for_module(module) as machine:
            return fingerprint(module, machine) == wanted
    except (CompilerError, InputError):
        return False


class _Editor:
    """Edits one module; `choice` counts the ways to fill what is missing."""

    def __init__(self, module: Module, function: str, choice: int, last_call_only: bool) -> None:
        self._module, self._function = module, function
        self._context, self._library = module.context, module.context.library
        self._choice, self._last_call_only = choice, last_call_only
        self._values = RegisterValues(self._context, choice)
        self._num_choices = 1
        self.has_guessed = False
        """Something that was missing was filled with what may be in its register."""
        self.must_be_same = False
        """It was filled with nothing, which is right only where the code shows no difference."""

    @property
    def num_choices(self) -> int:
        """How many ways there are, as far as was seen until now."""
        return max(self._num_choices, self._values.num_choices)

    def apply(self, name: str) -> None:
        """Give a function its new prototype: in its calls, and where it is defined."""
        library, module = self._library, self._module
        old, new = module.function_handle(name), module.function_handle(name + _SUFFIX)
        if not old:
            library.LLVMDeleteFunction(new)
            return
        for callee, call in calls_of(module):
            if callee == name:
                self._call(call, new)
        if name == self._function:
            self._define(old, new)
        else:
            self._copy_attributes(old, new)
        library.LLVMSetLinkage(new, library.LLVMGetLinkage(old))
        library.LLVMSetVisibility(new, library.LLVMGetVisibility(old))
        library.LLVMReplaceAllUsesWith(old, new)
        library.LLVMDeleteFunction(old)
        encoded = name.encode("utf-8", "surrogateescape")
        library.LLVMSetValueName2(new, encoded, len(encoded))

    def shorten(self) -> None:
        """Drop conversions made here that lead from a type to itself: the register is the same."""
        library = self._library
        made = [
            handle
            for handle in self._module.instruction_handles(
                self._module.function_handle(self._function)
            )
            if self._is_own_cast(handle)
        ]
        for index in made:
            source = library.LLVMGetOperand(index, 0)
            while True:
                if library.LLVMTypeOf(source) == library.LLVMTypeOf(index):
                    library.LLVMReplaceAllUsesWith(index, source)
                    break
                if not self._is_own_cast(source):
                    break
                source = library.LLVMGetOperand(source, 0)
        for index in reversed(made):
            if not library.LLVMGetFirstUse(index):
                library.LLVMInstructionEraseFromParent(index)

    def _is_own_cast(self, value: int) -> bool:
        library = self._library
        if not library.LLVMIsAInstruction(value) or library.LLVMGetNumOperands(value) != 1:
            return False
        return self._module.name_of(value).encode().startswith(CAST)

    # -- calls ---

    def _call(self, call: int, new: int, *, result: int | None = None) -> int:
        """Call a function by its own type instead; return the new call.

        Args:
            result: the type of the result, where it is not the function's.
        """
        library = self._library
        text = library.LLVMPrintValueToString(call)
        shown = ctypes.string_at(text).decode("utf-8", "replace")
        library.LLVMDisposeMessage(text)
        if ' [ "' in shown:
            raise _Impossible("a call has operand bundles")
        type_ = library.LLVMGlobalGetValueType(new)
        if result is not None:
            type_ = self._function_type(library.LLVMGetCalledFunctionType(call), result)
        types = self._parameters(type_)
        is_variadic = bool(library.LLVMIsFunctionVarArg(type_))
        number = library.LLVMGetNumArgOperands(call)
        passed = [library.LLVMGetOperand(call, index) for index in range(number)]
        builder = library.LLVMCreateBuilderInContext(self._context.handle)
        try:
            library.LLVMPositionBuilderBefore(builder, call)
            values = []
            places = self._values.counterparts(
                [library.LLVMTypeOf(value) for value in passed], types
            )
            for index, (wanted, place) in enumerate(zip(types, places, strict=True)):
                if place is not None:
                    values.append(self._values.cast(builder, passed[place], wanted))
                else:
                    values.append(self._missing(builder, call, index, wanted))
            # What a function without `...` is passed beyond its parameters, it does not read.
            if is_variadic:
                values += passed[len(types) :]
            arguments = (c_void_p * max(1, len(values)))(*values)
            pointer = ctypes.cast(arguments, ctypes.POINTER(c_void_p))
            is_invoke = bool(library.LLVMIsAInvokeInst(call))
            if is_invoke:
                made = library.LLVMBuildInvoke2(
                    builder,
                    type_,
                    new,
                    pointer,
                    len(values),
                    library.LLVMGetNormalDest(call),
                    library.LLVMGetUnwindDest(call),
                    b"",
                )
            else:
                made = library.LLVMBuildCall2(builder, type_, new, pointer, len(values), b"")
                library.LLVMSetTailCall(made, library.LLVMIsTailCall(call))
            library.LLVMSetInstructionCallConv(made, library.LLVMGetFunctionCallConv(new))
            self._copy_call_attributes(call, made, new)
            self._replace_result(builder, call, made, is_invoke)
        finally:
            library.LLVMDisposeBuilder(builder)
        return int(made)

    def _replace_result(self, builder: int, call: int, made: int, is_invoke: bool) -> None:
        library = self._library
        before, after = library.LLVMTypeOf(call), library.LLVMTypeOf(made)
        if library.LLVMGetFirstUse(call):
            if library.LLVMGetTypeKind(after) == _VOID:
                self._leave_open(call, before)
                library.LLVMInstructionEraseFromParent(call)
                return
            if before != after and is_invoke:
                _position_after(self._context, builder, made)
            library.LLVMReplaceAllUsesWith(call, self._values.result(builder, made, before))
        library.LLVMInstructionEraseFromParent(call)

    def _leave_open(self, call: int, type_: int) -> None:
        """Return what nobody set where a call's result was returned that there is not."""
        library = self._library
        if not is_returned(self._module, call):
            raise _Impossible("a result is used that the function does not return")
        library.LLVMReplaceAllUsesWith(call, library.LLVMGetUndef(type_))

    def _copy_call_attributes(self, call: int, made: int, new: int) -> None:
        library = self._library
        held = (c_void_p * max(1, library.LLVMGetCallSiteAttributeCount(call, _FUNCTION)))()
        library.LLVMGetCallSiteAttributes(
            call, _FUNCTION, ctypes.cast(held, ctypes.POINTER(c_void_p))
        )
        for item in held:
            if item:
                library.LLVMAddCallSiteAttribute(made, _FUNCTION, item)
        count = library.LLVMCountParamTypes(library.LLVMGlobalGetValueType(new))
        for index in range(count + 1):
            number = library.LLVMGetAttributeCountAtIndex(new, index)
            owned = (c_void_p * max(1, number))()
            library.LLVMGetAttributesAtIndex(
                new, index, ctypes.cast(owned, ctypes.POINTER(c_void_p))
            )
            is_void = library.LLVMGetTypeKind(library.LLVMTypeOf(made)) == _VOID
            for item in owned:
                if item and not (index == 0 and is_void):
                    library.LLVMAddCallSiteAttribute(made, index, item)

    def _missing(self, builder: int, call: int, index: int, wanted: int) -> int:
        """Return what a call passes that lacks an argument: a value that is in the register."""
        library = self._library
        self.has_guessed = True
        block = library.LLVMGetInstructionParent(call)
        function = library.LLVMGetBasicBlockParent(block)
        count = library.LLVMCountParamTypes(library.LLVMGlobalGetValueType(function))
        values = [library.LLVMGetParam(function, i) for i in range(count)]
        # The caller's own argument of that number is the likeliest: it was passed on.
        values = values[index : index + 1] + values[:index] + values[index + 1 :]
        values += self._before(call)
        values = [
            value for value in values if self._values.can_cast(library.LLVMTypeOf(value), wanted)
        ]
        self._num_choices = max(self._num_choices, len(values))
        if self._choice >= len(values):
            raise _Impossible("a call lacks an argument that the function takes")
        return self._values.cast(builder, values[self._choice], wanted)

    # -- the definition ---

    def _define(self, old: int, new: int) -> None:
        library = self._library
        if self._module.has_block_addresses:
            raise _Impossible("the addresses of its blocks are taken")
        before, after = (
            self._parameters(library.LLVMGlobalGetValueType(number)) for number in (old, new)
        )
        entry = library.LLVMGetFirstBasicBlock(old)
        self._copy_attributes(old, new)
        if library.LLVMHasPersonalityFn(old):
            library.LLVMSetPersonalityFn(new, library.LLVMGetPersonalityFn(old))
        if section := library.LLVMGetSection(old):
            library.LLVMSetSection(new, section)
        if alignment := library.LLVMGetAlignment(old):
            library.LLVMSetAlignment(new, alignment)
        block = entry
        while block:
            following = library.LLVMGetNextBasicBlock(block)
            library.LLVMRemoveBasicBlockFromParent(block)
            library.LLVMAppendExistingBasicBlock(new, block)
            block = following
        builder = library.LLVMCreateBuilderInContext(self._context.handle)
        try:
            library.LLVMPositionBuilderBefore(builder, library.LLVMGetFirstInstruction(entry))
            counterparts = self._values.counterparts(after, before)
            for index, place in enumerate(counterparts):
                parameter = library.LLVMGetParam(old, index)
                if place is not None:
                    own = library.LLVMGetParam(new, place)
                    name = self._module.name_of(parameter).encode("utf-8", "surrogateescape")
                    library.LLVMSetValueName2(own, name, len(name))
                    if library.LLVMGetFirstUse(parameter):
                        value = self._values.cast(builder, own, library.LLVMTypeOf(parameter))
                        library.LLVMReplaceAllUsesWith(parameter, value)
                elif library.LLVMGetFirstUse(parameter):
                    if not is_only_passed_on(self._module, parameter):
                        raise _Impossible("the function uses a parameter that nobody passes")
                    # It was passed on in case a callee reads the register: nobody set it.
                    if not is_passed_in_place(self._module, parameter, index):
                        self.must_be_same = True
                    undefined = library.LLVMGetUndef(library.LLVMTypeOf(parameter))
                    library.LLVMReplaceAllUsesWith(parameter, undefined)
            self._returns(builder, new)
        finally:
            library.LLVMDisposeBuilder(builder)

    def _returns(self, builder: int, new: int) -> None:
        library = self._library
        wanted = library.LLVMGetReturnType(library.LLVMGlobalGetValueType(new))
        for handle in list(self._module.instruction_handles(new)):
            if not library.LLVMIsAReturnInst(handle):
                continue
            library.LLVMPositionBuilderBefore(builder, handle)
            value = library.LLVMGetOperand(handle, 0) if library.LLVMGetNumOperands(handle) else 0
            if library.LLVMGetTypeKind(wanted) == _VOID:
                library.LLVMBuildRetVoid(builder)
            else:
                if not value or library.LLVMIsUndef(value):
                    value = self._left_in_register(handle, wanted)
                library.LLVMPositionBuilderBefore(builder, handle)
                library.LLVMBuildRet(builder, self._values.cast(builder, value, wanted))
            library.LLVMInstructionEraseFromParent(handle)
            drop_unused_join(self._module, value)

    def _left_in_register(self, at: int, wanted: int) -> int:
        """Return what a function returns that says nothing of it: what its code leaves there."""
        library = self._library
        self.has_guessed = True
        values = [
            index
            for index in self._before(at, calls=True)
            if self._is_call(index) or not self._last_call_only
        ]
        block = library.LLVMGetInstructionParent(at)
        joined = self._joined(block) if not any(self._is_call(value) for value in values) else None
        if not self._last_call_only:
            function = library.LLVMGetBasicBlockParent(block)
            count = library.LLVMCountParamTypes(library.LLVMGlobalGetValueType(function))
            values += [library.LLVMGetParam(function, i) for i in range(count)]
        values = [
            value
            for value in values
            if (
                self._is_call(value) and library.LLVMGetTypeKind(library.LLVMTypeOf(value)) == _VOID
            )
            or self._values.can_cast(library.LLVMTypeOf(value), wanted)
        ]
        self._num_choices = max(self._num_choices, len(values) + (1 if joined else 0))
        if joined and self._choice == 0:
            return self._phi(block, joined, wanted)
        position = self._choice - (1 if joined else 0)
        if position >= len(values):
            raise _Impossible("nothing is left in the result's register that could be returned")
        return self._with_result(values[position], wanted)

    def _joined(self, block: int) -> list[tuple[int, int]] | None:
        """Return the last call of each way into a block, if it is made of such ways."""
        found = []
        library = self._library
        for before in self._predecessors(block):
            last = library.LLVMGetPreviousInstruction(library.LLVMGetBasicBlockTerminator(before))
            while last and not self._is_call(last):
                last = library.LLVMGetPreviousInstruction(last)
            if not last:
                return None
            found.append((before, last))
        return found if len(found) > 1 else None

    def _phi(self, block: int, joined: list[tuple[int, int]], wanted: int) -> int:
        library = self._library
        values = [self._with_result(call, wanted) for _, call in joined]
        if any(library.LLVMTypeOf(value) != wanted for value in values):
            raise _Impossible("calls of several types meet in front of a return")
        builder = library.LLVMCreateBuilderInContext(self._context.handle)
        try:
            library.LLVMPositionBuilderBefore(builder, library.LLVMGetFirstInstruction(block))
            phi = library.LLVMBuildPhi(builder, wanted, b"")
            count = len(values)
            library.LLVMAddIncoming(
                phi,
                ctypes.cast((c_void_p * count)(*values), ctypes.POINTER(c_void_p)),
                ctypes.cast(
                    (c_void_p * count)(*(index for index, _ in joined)), ctypes.POINTER(c_void_p)
                ),
                count,
            )
            return int(phi)
        finally:
            library.LLVMDisposeBuilder(builder)

    def _with_result(self, value: int, wanted: int) -> int:
        """Return a value, or a call that was taken to return nothing with a result."""
        library = self._library
        if library.LLVMGetTypeKind(library.LLVMTypeOf(value)) != _VOID:
            return value
        callee = library.LLVMGetCalledValue(value)
        return self._call(value, callee, result=wanted)

    # -- values ---

    def _is_call(self, instruction: int) -> bool:
        library = self._library
        if not library.LLVMIsACallInst(instruction):
            return False
        callee = library.LLVMGetCalledValue(instruction)
        return not (library.LLVMIsAFunction(callee) and library.LLVMGetIntrinsicID(callee))

    def _before(self, at: int, *, calls: bool = False) -> list[int]:
        """Return values that stand before an instruction, the nearest first.

        Args:
            calls: calls that return nothing, too.
        """
        library = self._library
        found: list[int] = []
        block, seen = library.LLVMGetInstructionParent(at), set()
        item = library.LLVMGetPreviousInstruction(at)
        while block not in seen and len(found) < _MAX_CHOICES:
            seen.add(block)
            while item:
                kind = library.LLVMGetTypeKind(library.LLVMTypeOf(item))
                if kind != _VOID or (calls and self._is_call(item)):
                    found.append(item)
                item = library.LLVMGetPreviousInstruction(item)
            before = self._predecessors(block)
            if len(before) != 1:
                break
            block = before[0]
            item = library.LLVMGetBasicBlockTerminator(block)
        return found

    def _predecessors(self, block: int) -> list[int]:
        ends = ways_into(self._module, block)
        return [self._library.LLVMGetInstructionParent(end) for end in ends]

    def _parameters(self, type_: int) -> list[int]:
        count = self._library.LLVMCountParamTypes(type_)
        types = (c_void_p * max(1, count))()
        self._library.LLVMGetParamTypes(type_, ctypes.cast(types, ctypes.POINTER(c_void_p)))
        return [item for item in types[:count] if item]

    def _function_type(self, type_: int, result: int) -> int:
        types = self._parameters(type_)
        array = (c_void_p * max(1, len(types)))(*types)
        return int(
            self._library.LLVMFunctionType(
                result,
                ctypes.cast(array, ctypes.POINTER(c_void_p)),
                len(types),
                self._library.LLVMIsFunctionVarArg(type_),
            )
        )

    def _copy_attributes(self, old: int, new: int) -> None:
        library = self._library
        held = (c_void_p * max(1, library.LLVMGetAttributeCountAtIndex(old, _FUNCTION)))()
        library.LLVMGetAttributesAtIndex(
            old, _FUNCTION, ctypes.cast(held, ctypes.POINTER(c_void_p))
        )
        for item in held:
            if item:
                library.LLVMAddAttributeAtIndex(new, _FUNCTION, item)


def _position_after(context: Context, builder: int, invoke: int) -> None:
    """Go on in a block of its own between an invoke and where it returns to."""
    library = context.library
    target = library.LLVMGetNormalDest(invoke)
    source = library.LLVMGetInstructionParent(invoke)
    between = library.LLVMInsertBasicBlockInContext(context.handle, target, b"")
    phi = library.LLVMGetFirstInstruction(target)
    while phi and library.LLVMIsAPHINode(phi):
        following = library.LLVMGetNextInstruction(phi)
        library.LLVMPositionBuilderBefore(builder, phi)
        other = library.LLVMBuildPhi(builder, library.LLVMTypeOf(phi), b"")
        count = library.LLVMCountIncoming(phi)
        blocks = [library.LLVMGetIncomingBlock(phi, index) for index in range(count)]
        library.LLVMAddIncoming(
            other,
            (c_void_p * count)(*(library.LLVMGetIncomingValue(phi, i) for i in range(count))),
            (c_void_p * count)(*(between if block == source else block for block in blocks)),
            count,
        )
        library.LLVMReplaceAllUsesWith(phi, other)
        library.LLVMInstructionEraseFromParent(phi)
        phi = following
    library.LLVMSetNormalDest(invoke, between)
    library.LLVMPositionBuilderAtEnd(builder, between)
    library.LLVMPositionBuilderBefore(builder, library.LLVMBuildBr(builder, target))
