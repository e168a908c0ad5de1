"""LLVM's C API through ctypes: the prototypes, in one block, and nothing else.

Every handle is a plain pointer here; `module` and `codegen` give each one an owner. The headers
that the prototypes come from are `llvm-c/*.h` of LLVM 17 to 22; functions that one of those
versions lacks are not used. One loaded library serves the process; it is not safe to use one
context from two threads.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from typing import Any

from llm_compiler.errors import ToolchainMismatch, ToolchainNotFound, UnsupportedTarget
from llm_compiler.llvm.targets import known_target
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain

__all__ = ["DiagnosticHandler", "Library", "load", "take_error", "take_message"]

_bool, _enum, _ptr, _str = c_int, c_int, c_void_p, c_char_p

DiagnosticHandler = CFUNCTYPE(None, c_void_p, c_void_p)

# name: (result, arguments). A `char *` that the caller must free is a _ptr.
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    # Core.h
    "LLVMGetVersion": (None, (POINTER(c_uint), POINTER(c_uint), POINTER(c_uint))),
    "LLVMDisposeMessage": (None, (_ptr,)),
    "LLVMContextCreate": (_ptr, ()),
    "LLVMContextDispose": (None, (_ptr,)),
    "LLVMContextSetDiagnosticHandler": (None, (_ptr, DiagnosticHandler, _ptr)),
    "LLVMContextSetDiscardValueNames": (None, (_ptr, _bool)),
    "LLVMGetMDKindIDInContext": (c_uint, (_ptr, _str, c_uint)),
    "LLVMHasMetadata": (_bool, (_ptr,)),
    "LLVMSetMetadata": (None, (_ptr, c_uint, _ptr)),
    "LLVMGetDiagInfoDescription": (_ptr, (_ptr,)),
    "LLVMGetDiagInfoSeverity": (_enum, (_ptr,)),
    "LLVMCreateMemoryBufferWithMemoryRangeCopy": (_ptr, (_str, c_size_t, _str)),
    "LLVMGetBufferStart": (_ptr, (_ptr,)),
    "LLVMGetBufferSize": (c_size_t, (_ptr,)),
    "LLVMDisposeMemoryBuffer": (None, (_ptr,)),
    "LLVMCloneModule": (_ptr, (_ptr,)),
    "LLVMDisposeModule": (None, (_ptr,)),
    "LLVMPrintModuleToString": (_ptr, (_ptr,)),
    "LLVMGetTarget": (_str, (_ptr,)),
    "LLVMSetTarget": (None, (_ptr, _str)),
    "LLVMSetDataLayout": (None, (_ptr, _str)),
    "LLVMSetModuleIdentifier": (None, (_ptr, _str, c_size_t)),
    "LLVMSetSourceFileName": (None, (_ptr, _str, c_size_t)),
    "LLVMGetModuleFlag": (_ptr, (_ptr, _str, c_size_t)),
    "LLVMGetModuleInlineAsm": (_ptr, (_ptr, POINTER(c_size_t))),
    "LLVMSetModuleInlineAsm2": (None, (_ptr, _str, c_size_t)),
    "LLVMGetModuleContext": (_ptr, (_ptr,)),
    "LLVMMetadataAsValue": (_ptr, (_ptr, _ptr)),
    "LLVMConstIntGetZExtValue": (ctypes.c_ulonglong, (_ptr,)),
    "LLVMConstIntGetSExtValue": (ctypes.c_longlong, (_ptr,)),
    "LLVMIsAConstantInt": (_ptr, (_ptr,)),
    "LLVMGetFirstFunction": (_ptr, (_ptr,)),
    "LLVMGetNextFunction": (_ptr, (_ptr,)),
    "LLVMGetNamedFunction": (_ptr, (_ptr, _str)),
    "LLVMGetNamedGlobal": (_ptr, (_ptr, _str)),
    "LLVMGetFirstGlobal": (_ptr, (_ptr,)),
    "LLVMGetNextGlobal": (_ptr, (_ptr,)),
    "LLVMGetFirstGlobalAlias": (_ptr, (_ptr,)),
    "LLVMGetNextGlobalAlias": (_ptr, (_ptr,)),
    "LLVMEraseGlobalIFunc": (None, (_ptr,)),
    "LLVMGetGlobalIFuncResolver": (_ptr, (_ptr,)),
    "LLVMGetNamedMetadataNumOperands": (c_uint, (_ptr, _str)),
    "LLVMAddFunction": (_ptr, (_ptr, _str, _ptr)),
    "LLVMAddGlobal": (_ptr, (_ptr, _ptr, _str)),
    "LLVMGetFirstGlobalIFunc": (_ptr, (_ptr,)),
    "LLVMGetNextGlobalIFunc": (_ptr, (_ptr,)),
    "LLVMAliasGetAliasee": (_ptr, (_ptr,)),
    "LLVMAddGlobalIFunc": (_ptr, (_ptr, _str, c_size_t, _ptr, c_uint, _ptr)),
    "LLVMAddAlias2": (_ptr, (_ptr, _ptr, c_uint, _ptr, _str)),
    "LLVMDeleteFunction": (None, (_ptr,)),
    "LLVMDeleteGlobal": (None, (_ptr,)),
    "LLVMGetFirstBasicBlock": (_ptr, (_ptr,)),
    "LLVMGetNextBasicBlock": (_ptr, (_ptr,)),
    "LLVMGetFirstInstruction": (_ptr, (_ptr,)),
    "LLVMGetInstructionOpcode": (_enum, (_ptr,)),
    "LLVMGetNextInstruction": (_ptr, (_ptr,)),
    "LLVMGetNumOperands": (c_int, (_ptr,)),
    "LLVMGetOperand": (_ptr, (_ptr, c_uint)),
    "LLVMGetInstructionParent": (_ptr, (_ptr,)),
    "LLVMGetBasicBlockParent": (_ptr, (_ptr,)),
    "LLVMIsAInstruction": (_ptr, (_ptr,)),
    "LLVMIsAGlobalValue": (_ptr, (_ptr,)),
    "LLVMIsAGlobalVariable": (_ptr, (_ptr,)),
    "LLVMIsAGlobalAlias": (_ptr, (_ptr,)),
    "LLVMIsAGlobalIFunc": (_ptr, (_ptr,)),
    "LLVMIsAFunction": (_ptr, (_ptr,)),
    "LLVMIsABlockAddress": (_ptr, (_ptr,)),
    "LLVMIsAConstant": (_ptr, (_ptr,)),
    "LLVMGetFirstUse": (_ptr, (_ptr,)),
    "LLVMGetNextUse": (_ptr, (_ptr,)),
    "LLVMGetUser": (_ptr, (_ptr,)),
    "LLVMIsDeclaration": (_bool, (_ptr,)),
    "LLVMIsGlobalConstant": (_bool, (_ptr,)),
    "LLVMGetInitializer": (_ptr, (_ptr,)),
    "LLVMSetInitializer": (None, (_ptr, _ptr)),
    "LLVMGetLinkage": (_enum, (_ptr,)),
    "LLVMSetLinkage": (None, (_ptr, _enum)),
    "LLVMGetVisibility": (_enum, (_ptr,)),
    "LLVMSetVisibility": (None, (_ptr, _enum)),
    "LLVMGetValueName2": (_ptr, (_ptr, POINTER(c_size_t))),
    "LLVMSetValueName2": (None, (_ptr, _str, c_size_t)),
    "LLVMReplaceAllUsesWith": (None, (_ptr, _ptr)),
    "LLVMCountBasicBlocks": (c_uint, (_ptr,)),
    "LLVMGetEnumAttributeKindForName": (c_uint, (_str, c_size_t)),
    "LLVMGetEnumAttributeAtIndex": (_ptr, (_ptr, c_uint, c_uint)),
    "LLVMGetStringAttributeAtIndex": (_ptr, (_ptr, c_uint, _str, c_uint)),
    "LLVMGetStringAttributeValue": (_ptr, (_ptr, POINTER(c_uint))),
    "LLVMGetAttributeCountAtIndex": (c_uint, (_ptr, c_uint)),
    "LLVMGetAttributesAtIndex": (None, (_ptr, c_uint, POINTER(_ptr))),
    "LLVMIsEnumAttribute": (_bool, (_ptr,)),
    "LLVMGetEnumAttributeKind": (c_uint, (_ptr,)),
    "LLVMRemoveStringAttributeAtIndex": (None, (_ptr, c_uint, _str, c_uint)),
    "LLVMRemoveEnumAttributeAtIndex": (None, (_ptr, c_uint, c_uint)),
    "LLVMCreateEnumAttribute": (_ptr, (_ptr, c_uint, ctypes.c_uint64)),
    "LLVMCreateStringAttribute": (_ptr, (_ptr, _str, c_uint, _str, c_uint)),
    "LLVMAddAttributeAtIndex": (None, (_ptr, c_uint, _ptr)),
    "LLVMGetIntrinsicID": (c_uint, (_ptr,)),
    "LLVMGlobalGetValueType": (_ptr, (_ptr,)),
    "LLVMGetReturnType": (_ptr, (_ptr,)),
    "LLVMCountParamTypes": (c_uint, (_ptr,)),
    "LLVMGetParamTypes": (None, (_ptr, POINTER(_ptr))),
    "LLVMIsFunctionVarArg": (_bool, (_ptr,)),
    "LLVMGetTypeKind": (_enum, (_ptr,)),
    "LLVMGetIntTypeWidth": (c_uint, (_ptr,)),
    "LLVMGetElementType": (_ptr, (_ptr,)),
    "LLVMGetVectorSize": (c_uint, (_ptr,)),
    "LLVMGetArrayLength2": (ctypes.c_uint64, (_ptr,)),
    "LLVMCountStructElementTypes": (c_uint, (_ptr,)),
    "LLVMStructGetTypeAtIndex": (_ptr, (_ptr, c_uint)),
    "LLVMTypeOf": (_ptr, (_ptr,)),
    "LLVMGetTypeAttributeValue": (_ptr, (_ptr,)),
    "LLVMGetFunctionCallConv": (c_uint, (_ptr,)),
    "LLVMIsACallInst": (_ptr, (_ptr,)),
    "LLVMIsACastInst": (_ptr, (_ptr,)),
    "LLVMIsAInvokeInst": (_ptr, (_ptr,)),
    "LLVMGetCalledValue": (_ptr, (_ptr,)),
    "LLVMGetNumArgOperands": (c_uint, (_ptr,)),
    "LLVMIsThreadLocal": (_bool, (_ptr,)),
    "LLVMIsAAllocaInst": (_ptr, (_ptr,)),
    "LLVMGetAllocatedType": (_ptr, (_ptr,)),
    "LLVMIsAGetElementPtrInst": (_ptr, (_ptr,)),
    "LLVMGetGEPSourceElementType": (_ptr, (_ptr,)),
    "LLVMTypeIsSized": (_bool, (_ptr,)),
    "LLVMCreateBuilderInContext": (_ptr, (_ptr,)),
    "LLVMPositionBuilderBefore": (None, (_ptr, _ptr)),
    "LLVMPositionBuilderAtEnd": (None, (_ptr, _ptr)),
    "LLVMInsertBasicBlockInContext": (_ptr, (_ptr, _ptr, c_char_p)),
    "LLVMBuildBr": (_ptr, (_ptr, _ptr)),
    "LLVMSetNormalDest": (None, (_ptr, _ptr)),
    "LLVMCountIncoming": (c_uint, (_ptr,)),
    "LLVMGetIncomingValue": (_ptr, (_ptr, c_uint)),
    "LLVMGetIncomingBlock": (_ptr, (_ptr, c_uint)),
    "LLVMDisposeBuilder": (None, (_ptr,)),
    "LLVMGetEnumAttributeValue": (ctypes.c_uint64, (_ptr,)),
    "LLVMIsStringAttribute": (_bool, (_ptr,)),
    "LLVMGetCallSiteAttributeCount": (c_uint, (_ptr, c_uint)),
    "LLVMGetCallSiteAttributes": (None, (_ptr, c_uint, POINTER(_ptr))),
    "LLVMAddCallSiteAttribute": (None, (_ptr, c_uint, _ptr)),
    "LLVMRemoveCallSiteEnumAttribute": (None, (_ptr, c_uint, c_uint)),
    "LLVMGetCalledFunctionType": (_ptr, (_ptr,)),
    "LLVMGetInstructionCallConv": (c_uint, (_ptr,)),
    "LLVMSetInstructionCallConv": (None, (_ptr, c_uint)),
    "LLVMSetFunctionCallConv": (None, (_ptr, c_uint)),
    "LLVMIsTailCall": (_bool, (_ptr,)),
    "LLVMSetTailCall": (None, (_ptr, _bool)),
    "LLVMGetParam": (_ptr, (_ptr, c_uint)),
    "LLVMIsUndef": (_bool, (_ptr,)),
    "LLVMGetPoison": (_ptr, (_ptr,)),
    "LLVMGetUndef": (_ptr, (_ptr,)),
    "LLVMIsATruncInst": (_ptr, (_ptr,)),
    "LLVMIsAPHINode": (_ptr, (_ptr,)),
    "LLVMIsAReturnInst": (_ptr, (_ptr,)),
    "LLVMIsASelectInst": (_ptr, (_ptr,)),
    "LLVMGetBasicBlockTerminator": (_ptr, (_ptr,)),
    "LLVMGetPreviousInstruction": (_ptr, (_ptr,)),
    "LLVMGetNumSuccessors": (c_uint, (_ptr,)),
    "LLVMGetSuccessor": (_ptr, (_ptr, c_uint)),
    "LLVMGetNormalDest": (_ptr, (_ptr,)),
    "LLVMGetUnwindDest": (_ptr, (_ptr,)),
    "LLVMPrintTypeToString": (_ptr, (_ptr,)),
    "LLVMPrintValueToString": (_ptr, (_ptr,)),
    "LLVMRemoveBasicBlockFromParent": (None, (_ptr,)),
    "LLVMAppendExistingBasicBlock": (None, (_ptr, _ptr)),
    "LLVMHasPersonalityFn": (_bool, (_ptr,)),
    "LLVMGetPersonalityFn": (_ptr, (_ptr,)),
    "LLVMSetPersonalityFn": (None, (_ptr, _ptr)),
    "LLVMGetAlignment": (c_uint, (_ptr,)),
    "LLVMSetAlignment": (None, (_ptr, c_uint)),
    "LLVMGetSection": (_str, (_ptr,)),
    "LLVMSetSection": (None, (_ptr, _str)),
    "LLVMFunctionType": (_ptr, (_ptr, POINTER(_ptr), c_uint, _bool)),
    "LLVMIntTypeInContext": (_ptr, (_ptr, c_uint)),
    "LLVMVoidTypeInContext": (_ptr, (_ptr,)),
    "LLVMBuildCall2": (_ptr, (_ptr, _ptr, _ptr, POINTER(_ptr), c_uint, _str)),
    "LLVMBuildInvoke2": (_ptr, (_ptr, _ptr, _ptr, POINTER(_ptr), c_uint, _ptr, _ptr, _str)),
    "LLVMBuildRet": (_ptr, (_ptr, _ptr)),
    "LLVMBuildRetVoid": (_ptr, (_ptr,)),
    "LLVMBuildExtractValue": (_ptr, (_ptr, _ptr, c_uint, _str)),
    "LLVMBuildInsertValue": (_ptr, (_ptr, _ptr, _ptr, c_uint, _str)),
    "LLVMBuildTrunc": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildZExt": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildSExt": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildPtrToInt": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildIntToPtr": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildPhi": (_ptr, (_ptr, _ptr, _str)),
    "LLVMAddIncoming": (None, (_ptr, POINTER(_ptr), POINTER(_ptr), c_uint)),
    "LLVMBuildFMul": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMBuildFAdd": (_ptr, (_ptr, _ptr, _ptr, _str)),
    "LLVMInstructionEraseFromParent": (None, (_ptr,)),
    # DebugInfo.h
    "LLVMStripModuleDebugInfo": (_bool, (_ptr,)),
    # Comdat.h
    "LLVMGetOrInsertComdat": (_ptr, (_ptr, _str)),
    "LLVMGetComdat": (_ptr, (_ptr,)),
    "LLVMSetComdat": (None, (_ptr, _ptr)),
    "LLVMGetComdatSelectionKind": (_enum, (_ptr,)),
    "LLVMSetComdatSelectionKind": (None, (_ptr, _enum)),
    # IRReader.h, BitReader.h, BitWriter.h, Analysis.h
    "LLVMParseIRInContext": (_bool, (_ptr, _ptr, POINTER(_ptr), POINTER(_ptr))),
    "LLVMParseBitcodeInContext2": (_bool, (_ptr, _ptr, POINTER(_ptr))),
    "LLVMWriteBitcodeToMemoryBuffer": (_ptr, (_ptr,)),
    "LLVMVerifyModule": (_bool, (_ptr, _enum, POINTER(_ptr))),
    # Linker.h
    "LLVMLinkModules2": (_bool, (_ptr, _ptr)),
    # Error.h, ErrorHandling.h
    "LLVMGetErrorMessage": (_ptr, (_ptr,)),
    "LLVMDisposeErrorMessage": (None, (_ptr,)),
    # Transforms/PassBuilder.h
    "LLVMRunPasses": (_ptr, (_ptr, _str, _ptr, _ptr)),
    "LLVMCreatePassBuilderOptions": (_ptr, ()),
    "LLVMDisposePassBuilderOptions": (None, (_ptr,)),
    # Target.h, TargetMachine.h
    "LLVMGetTargetFromTriple": (_bool, (_str, POINTER(_ptr), POINTER(_ptr))),
    "LLVMGetDefaultTargetTriple": (_ptr, ()),
    "LLVMNormalizeTargetTriple": (_ptr, (_str,)),
    "LLVMCreateTargetMachine": (_ptr, (_ptr, _str, _str, _str, _enum, _enum, _enum)),
    "LLVMDisposeTargetMachine": (None, (_ptr,)),
    "LLVMCreateTargetDataLayout": (_ptr, (_ptr,)),
    "LLVMCopyStringRepOfTargetData": (_ptr, (_ptr,)),
    "LLVMDisposeTargetData": (None, (_ptr,)),
    "LLVMTargetMachineEmitToMemoryBuffer": (
        _bool,
        (_ptr, _ptr, _enum, POINTER(_ptr), POINTER(_ptr)),
    ),
    "LLVMGetModuleDataLayout": (_ptr, (_ptr,)),
    "LLVMCreateTargetData": (_ptr, (_str,)),
    "LLVMABISizeOfType": (ctypes.c_ulonglong, (_ptr, _ptr)),
    "LLVMABIAlignmentOfType": (c_uint, (_ptr, _ptr)),
    # Support.h
    "LLVMParseCommandLineOptions": (None, (c_int, POINTER(_str), _str)),
}
_RESET_OPTIONS = "_ZN4llvm2cl25ResetAllOptionOccurrencesEv"
"""``llvm::cl::ResetAllOptionOccurrences()``."""
_TARGET_PARTS = ("TargetInfo", "Target", "TargetMC", "AsmPrinter", "AsmParser")


class Library:
    """libLLVM, loaded, with its prototypes set; functions are attributes by their C names."""

    def __init__(self, toolchain: Toolchain) -> None:
        self.toolchain = toolchain
        try:
            # RTLD_LOCAL: two LLVMs in one process must not see each other's symbols.
            self._dll = ctypes.CDLL(str(toolchain.libllvm), mode=ctypes.RTLD_LOCAL)
        except OSError as error:
            raise ToolchainNotFound(f"{toolchain.libllvm} cannot be loaded: {error}") from error
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(self._dll, name)
            except AttributeError as error:
                raise ToolchainMismatch(
                    f"{toolchain.libllvm} lacks {name}: is it LLVM {toolchain.version}?"
                ) from error
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        parts = (c_uint(), c_uint(), c_uint())
        self.LLVMGetVersion(*map(byref, parts))
        self.version = ".".join(str(part.value) for part in parts)
        if self.version != toolchain.version:
            raise ToolchainMismatch(
                f"clang in {toolchain.bin_dir} is version {toolchain.version} but "
                f"{toolchain.libllvm} is version {self.version}: install both from one release"
            )
        self._targets: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are not set: keeps mypy and readers from guessing.
        raise AttributeError(f"{name} is not among the C API functions declared in capi.py")

    def reset_options(self) -> None:
        """Set LLVM's command-line options of this process back to their defaults.

        The C API can set an option but once; this is the C++ function that lets it be set anew.

        Raises:
            ToolchainMismatch: this libLLVM does not export it.
        """
        try:
            reset = self._dll[_RESET_OPTIONS]
        except AttributeError as error:
            raise ToolchainMismatch(f"{self.toolchain.libllvm} lacks {_RESET_OPTIONS}") from error
        reset.restype, reset.argtypes = None, ()
        reset()

    def initialize_target(self, triple: str) -> None:
        """Register the code generator for a target triple; cheap when done before.

        Raises:
            UnsupportedTarget: the library was built without it.
        """
        component = _component(triple)
        if component in self._targets:
            return
        for part in _TARGET_PARTS:
            try:
                getattr(self._dll, f"LLVMInitialize{component}{part}")()
            except AttributeError:
                if part == "AsmParser":
                    continue  # some targets (NVPTX) have none
                raise UnsupportedTarget(
                    f"{self.toolchain.libllvm} has no code generator for '{triple}'"
                ) from None
        self._targets.add(component)


_COMPONENTS = (
    ("aarch64_", "AArch64"),
    ("arm64_", "AArch64"),
    ("arm64e", "AArch64"),
    ("arm", "ARM"),
    ("thumb", "ARM"),
    ("riscv", "RISCV"),
    ("powerpc", "PowerPC"),
    ("ppc", "PowerPC"),
    ("mips", "Mips"),
    ("s390x", "SystemZ"),
    ("nvptx", "NVPTX"),
    ("wasm", "WebAssembly"),
    ("loongarch", "LoongArch"),
    ("sparc", "Sparc"),
    ("hexagon", "Hexagon"),
    ("avr", "AVR"),
    ("msp430", "MSP430"),
    ("bpf", "BPF"),
    ("amdgcn", "AMDGPU"),
)


def _component(triple: str) -> str:
    if (target := known_target(triple)) is not None:
        return target.component
    for prefix, component in _COMPONENTS:
        if triple.startswith(prefix):
            return component
    raise UnsupportedTarget(f"'{triple}' is not a target triple that this package knows")


@lru_cache(maxsize=1)
def load() -> Library:
    """Load the libLLVM of `find_toolchain` once for this process.

    Raises:
        ToolchainNotFound, ToolchainMismatch: see there, and where clang's and libLLVM's versions
            differ.
    """
    return Library(find_toolchain())


def take_message(library: Library, pointer: int | None) -> str:
    """Copy a message that the caller owns and free it."""
    if not pointer:
        return ""
    text = ctypes.string_at(pointer).decode("utf-8", "replace")
    library.LLVMDisposeMessage(pointer)
    return text


def take_error(library: Library, error: int | None) -> str:
    """Consume an LLVMErrorRef and return its message; empty for success."""
    if not error:
        return ""
    pointer = library.LLVMGetErrorMessage(error)
    text = ctypes.string_at(pointer).decode("utf-8", "replace")
    library.LLVMDisposeErrorMessage(pointer)
    return text
