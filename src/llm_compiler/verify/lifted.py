"""What lifted IR is before it is lowered: well-formed or not, and the signatures that it claims.

`InspectLiftJob` runs in a worker, since a model's text may crash LLVM. Types are flattened to the
scalars that calling conventions assign to registers; what none of ours knows is named in
`Signature.unsupported`.
"""

from __future__ import annotations

import ctypes
import dataclasses
import re
from collections.abc import Iterator
from ctypes import c_void_p
from dataclasses import dataclass, field

from llm_compiler.errors import IrParseError
from llm_compiler.llvm.job_steps import TextsJob
from llm_compiler.llvm.module import AVAILABLE_EXTERNALLY, EXTERNAL, Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.records import Status
from llm_compiler.verify.lift_verdict import LiftVerdict

__all__ = ["DetachJob", "InspectLiftJob", "LiftInspection", "LiftVerdict", "Scalar", "Signature"]

# LLVMTypeKind, llvm-c/Core.h
_VOID, _HALF, _FLOAT, _DOUBLE, _X87, _FP128 = 0, 1, 2, 3, 4, 5
_INTEGER, _STRUCT, _ARRAY, _POINTER, _VECTOR = 8, 10, 11, 12, 13
_FLOAT_BITS = {_HALF: 16, _FLOAT: 32, _DOUBLE: 64, _X87: 80, _FP128: 128}
_FUNCTION_INDEX = 0xFFFFFFFF
_MAX_SCALARS = 64
_EXTENSIONS = (("zeroext", "zero"), ("signext", "sign"))
_HIDDEN = 1

# In printed IR: strings escape their quotes, so that no constant can look like it.
_INLINE_ASM = re.compile(
    r"\basm (?:sideeffect |alignstack |inteldialect |unwind )*"
    r'"((?:[^"\\]|\\[0-9A-Fa-f]{2}|\\\\)*)", "'
)
_MODULE_ASM = re.compile(r'^module asm "(.*)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One scalar of a signature.

    `kind`: ``integer``, ``pointer``, ``float`` or ``vector``; `element_bits` of a vector, whose
    elements are floats if `is_float`. `extension`: ``sign``, ``zero`` or empty. `memory_bytes`:
    passed as a copy of this number of bytes on the stack. `is_result`: the place for the result.
    """

    kind: str
    bits: int
    element_bits: int = 0
    is_float: bool = False
    extension: str = ""
    memory_bytes: int = 0
    is_result: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """Parameters and results as scalars."""

    parameters: tuple[Scalar, ...] = ()
    results: tuple[Scalar, ...] = ()
    result_extension: str = ""
    """What it promises of its one result: ``sign``, ``zero`` or nothing."""
    is_variadic: bool = False
    unsupported: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftInspection:
    """What one lifted text is. `detail` says why it is none, where `status` is not OK."""

    status: Status
    detail: str = ""
    text: str = field(default="", repr=False)
    """As LLVM prints it."""
    signature: Signature = Signature()
    functions: tuple[str, ...] = ()
    """Defined ones."""
    variables: tuple[str, ...] = ()
    """Defined ones that are no constants."""
    declared: dict[str, Signature] = field(default_factory=dict)
    """Declared functions; of variadic ones the arguments that every call passes."""
    external_variables: tuple[str, ...] = ()
    asm: tuple[str, ...] = ()
    """Templates of inline assembly, and module-level assembly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectLiftJob(TextsJob):
    """Parse and verify lifted texts; the result of each step is a `LiftInspection`."""

    function: str
    target_triple: str

    def run(self, state: WorkerState, first_step: int) -> Iterator[LiftInspection]:
        """Yield what each text is."""
        for text in self.texts[first_step:]:
            yield _inspect(text, self.function, self.target_triple)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> LiftInspection:
        """Return the result of a text that LLVM died of."""
        return LiftInspection(status=status, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachJob(TextsJob):
    """Turn definitions of static variables into declarations, and give functions further names.

    Each step's result is a text.

    The input keeps its variables: a second copy would be another variable. A text that LLVM
    refuses gives an empty one.
    """

    variables: tuple[tuple[str, ...], ...]
    """Of each text."""
    functions: tuple[str, ...]
    """Of each text, the function that it defines."""
    aliases: tuple[tuple[tuple[str, bool, bool], ...], ...]
    """Of each text's function, the other names, whether other files see them, and whether what they
    stand for is what the function returns (ifunc)."""
    alignments: tuple[tuple[str, int], ...] = ()
    """Of variables, in bytes: what is known of them; more is not claimed."""
    nothrow: frozenset[str] = frozenset()
    """Functions that do not throw, by some other text's exception table: all have to say so."""

    def run(self, state: WorkerState, first_step: int) -> Iterator[str]:
        """Yield each text without its variables' definitions."""
        alignments = dict(self.alignments)
        for step in range(first_step, len(self.texts)):
            with Context() as context:
                text = self.texts[step].encode("utf-8", "surrogateescape")
                module = context.parse(text, "lifted")
                library = context.library
                for variable in list(module.variable_handles()):
                    if module.name_of(variable) in self.variables[step]:
                        library.LLVMSetInitializer(variable, None)
                        library.LLVMSetLinkage(variable, EXTERNAL)
                        library.LLVMSetVisibility(variable, _HIDDEN)
                        known = alignments.get(module.name_of(variable))
                        if known and library.LLVMGetAlignment(variable) > known:
                            library.LLVMSetAlignment(variable, known)
                for function in module.function_handles():
                    if module.name_of(function) in self.nothrow:
                        library.LLVMAddAttributeAtIndex(
                            function, _FUNCTION_INDEX, _nounwind(module)
                        )
                for alias, is_visible, is_chosen in self.aliases[step]:
                    _add_alias(module, self.functions[step], alias, is_visible, is_chosen)
                yield "" if module.verify() else module.to_text()

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        """Return nothing."""
        return ""


def _nounwind(module: Module) -> int:
    library = module.context.library
    kind = library.LLVMGetEnumAttributeKindForName(b"nounwind", len(b"nounwind"))
    return int(library.LLVMCreateEnumAttribute(module.context.handle, kind, 0))


def _add_alias(module: Module, function: str, name: str, is_visible: bool, is_chosen: bool) -> None:
    library = module.context.library
    handle = module.function_handle(function)
    if not handle:
        return
    if is_chosen:
        declared = module.function_handle(name)
        of_nothing = library.LLVMFunctionType(
            library.LLVMVoidTypeInContext(module.context.handle), None, 0, False
        )
        type_ = library.LLVMGlobalGetValueType(declared) if declared else of_nothing
        alias = library.LLVMAddGlobalIFunc(module.handle, b"", 0, type_, 0, handle)
    else:
        alias = library.LLVMAddAlias2(
            module.handle, library.LLVMGlobalGetValueType(handle), 0, handle, b""
        )
    if not is_visible:
        library.LLVMSetVisibility(alias, _HIDDEN)
    # A function that calls itself by its other name has declared that.
    if declared := module.function_handle(name):
        library.LLVMReplaceAllUsesWith(declared, alias)
        library.LLVMDeleteFunction(declared)
    encoded = name.encode("utf-8", "surrogateescape")
    library.LLVMSetValueName2(alias, encoded, len(encoded))


def _refused(detail: str) -> LiftInspection:
    return LiftInspection(status=Status.REFUSED, detail=detail[:1000])


def _inspect(text: str, function: str, target_triple: str) -> LiftInspection:
    if not text.strip() or "\0" in text:
        return _refused("the answer is empty")
    with Context() as context:
        try:
            module = context.parse(text.encode("utf-8", "surrogateescape"), "answer")
        except IrParseError as error:
            return _refused(str(error))
        if broken := module.verify():
            return _refused(f"the module is broken: {broken.splitlines()[0]}")
        architecture = architecture_of(target_triple)
        if module.target_triple and architecture_of(module.target_triple) != architecture:
            return _refused(f"the module is for {module.target_triple}")
        module.target_triple = target_triple
        library = context.library
        handle = module.function_handle(function)
        if not handle or library.LLVMIsDeclaration(handle):
            defined = ", ".join(module.defined_functions()[:5]) or "none"
            return _refused(f"it defines no function '{function}' (defined: {defined})")
        printed = module.to_text()
        reader = _Types(module)
        asm = tuple(_INLINE_ASM.findall(printed)) + tuple(_MODULE_ASM.findall(printed))
        emitted = tuple(
            module.name_of(index)
            for index in module.function_handles()
            if not library.LLVMIsDeclaration(index)
            and library.LLVMGetLinkage(index) != AVAILABLE_EXTERNALLY
        )
        return LiftInspection(
            status=Status.OK,
            text=printed,
            signature=reader.signature(handle),
            functions=emitted,
            variables=tuple(
                module.name_of(index)
                for index in module.variable_handles()
                if not library.LLVMIsDeclaration(index) and not library.LLVMIsGlobalConstant(index)
            ),
            declared={
                module.name_of(index): reader.callee(index)
                for index in module.function_handles()
                if library.LLVMIsDeclaration(index) and not library.LLVMGetIntrinsicID(index)
            },
            external_variables=tuple(
                module.name_of(index)
                for index in module.variable_handles()
                if library.LLVMIsDeclaration(index)
            ),
            asm=asm,
        )


class _Unsupported(Exception):
    pass


class _Types:
    """Reads LLVM types of one module as scalars."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.library = module.context.library
        self.layout = self.library.LLVMGetModuleDataLayout(module.handle)
        names = ("zeroext", "signext", "byval", "sret", "nest", "swiftself", "inreg", "inalloca")
        self.kinds = {
            name: self.library.LLVMGetEnumAttributeKindForName(name.encode(), len(name))
            for name in names
        }

    def signature(self, function: int) -> Signature:
        """Return the signature of a function."""
        library = self.library
        type_ = library.LLVMGlobalGetValueType(function)
        try:
            if library.LLVMGetFunctionCallConv(function) not in (0, 8):
                raise _Unsupported("another calling convention than C's")
            parameters: list[Scalar] = []
            for index, number in enumerate(self._parameter_types(type_)):
                parameters += self._parameter(function, index, number)
            results = self._scalars(library.LLVMGetReturnType(type_))
        except _Unsupported as error:
            return Signature(unsupported=str(error))
        return Signature(
            parameters=tuple(parameters),
            results=tuple(results),
            result_extension=self._result_extension(function) if len(results) == 1 else "",
            is_variadic=bool(library.LLVMIsFunctionVarArg(type_)),
        )

    def callee(self, function: int) -> Signature:
        """Return what a declared function is passed by every call."""
        own = self.signature(function)
        if own.unsupported or not own.is_variadic:
            return own
        calls = []
        library = self.library
        use = library.LLVMGetFirstUse(function)
        while use:
            user = library.LLVMGetUser(use)
            use = library.LLVMGetNextUse(use)
            is_call = library.LLVMIsACallInst(user) or library.LLVMIsAInvokeInst(user)
            if is_call and library.LLVMGetCalledValue(user) == function:
                calls.append(self._arguments(user))
        if not calls or any(call is None for call in calls):
            return own
        passed = [call for call in calls if call is not None]
        common = min(passed, key=len)
        for group in passed:
            same = [a == b for a, b in zip(common, group, strict=False)]
            common = common[: same.index(False)] if False in same else common
        parameters = max((own.parameters, tuple(common)), key=len)
        return dataclasses.replace(own, parameters=parameters)

    def _arguments(self, call: int) -> list[Scalar] | None:
        found: list[Scalar] = []
        try:
            for index in range(self.library.LLVMGetNumArgOperands(call)):
                operand = self.library.LLVMGetOperand(call, index)
                found += self._scalars(self.library.LLVMTypeOf(operand))
        except _Unsupported:
            return None
        return found

    def _parameter_types(self, type_: int) -> list[int]:
        count = self.library.LLVMCountParamTypes(type_)
        types = (c_void_p * max(1, count))()
        self.library.LLVMGetParamTypes(type_, ctypes.cast(types, ctypes.POINTER(c_void_p)))
        return [item for item in types[:count] if item]

    def _attribute(self, function: int, index: int, name: str) -> int:
        found = self.library.LLVMGetEnumAttributeAtIndex(function, index + 1, self.kinds[name])
        return int(found or 0)

    def _result_extension(self, function: int) -> str:
        for name, extension in _EXTENSIONS:
            if self._attribute(function, -1, name):
                return extension
        return ""

    def _parameter(self, function: int, index: int, type_: int) -> list[Scalar]:
        for name in ("nest", "swiftself", "inreg", "inalloca"):
            if self._attribute(function, index, name):
                raise _Unsupported(f"a parameter marked {name}")
        if attribute := self._attribute(function, index, "byval"):
            held = self.library.LLVMGetTypeAttributeValue(attribute)
            size = int(self.library.LLVMABISizeOfType(self.layout, held))
            if size > 256:
                raise _Unsupported(f"a parameter of {size} bytes by value")
            return [Scalar(kind="pointer", bits=64, memory_bytes=max(8, (size + 7) // 8 * 8))]
        scalars = self._scalars(type_)
        if self._attribute(function, index, "sret"):
            return [Scalar(kind="pointer", bits=64, is_result=True)]
        for name, extension in _EXTENSIONS:
            if self._attribute(function, index, name) and len(scalars) == 1:
                scalar = scalars[0]
                return [Scalar(kind=scalar.kind, bits=scalar.bits, extension=extension)]
        return scalars

    def _scalars(self, type_: int) -> list[Scalar]:
        library = self.library
        kind = library.LLVMGetTypeKind(type_)
        if kind == _VOID:
            return []
        if kind == _INTEGER:
            bits = library.LLVMGetIntTypeWidth(type_)
            if bits > 128:
                raise _Unsupported(f"an integer of {bits} bits")
            return [Scalar(kind="integer", bits=bits)]
        if kind == _POINTER:
            return [Scalar(kind="pointer", bits=64)]
        if kind in (_FLOAT, _DOUBLE):
            return [Scalar(kind="float", bits=_FLOAT_BITS[kind])]
        if kind == _VECTOR:
            element = self._scalars(library.LLVMGetElementType(type_))[0]
            bits = library.LLVMGetVectorSize(type_) * element.bits
            if bits not in (64, 128):
                raise _Unsupported(f"a vector of {bits} bits")
            return [
                Scalar(
                    kind="vector",
                    bits=bits,
                    element_bits=element.bits,
                    is_float=element.kind == "float",
                )
            ]
        if kind == _STRUCT:
            elements = [
                library.LLVMStructGetTypeAtIndex(type_, index)
                for index in range(library.LLVMCountStructElementTypes(type_))
            ]
        elif kind == _ARRAY:
            length = library.LLVMGetArrayLength2(type_)
            elements = [library.LLVMGetElementType(type_)] * min(length, _MAX_SCALARS + 1)
        else:
            raise _Unsupported(f"a type of kind {kind}")
        found = [scalar for element in elements for scalar in self._scalars(element)]
        if len(found) > _MAX_SCALARS:
            raise _Unsupported(f"more than {_MAX_SCALARS} values in one")
        return found
