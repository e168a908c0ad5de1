"""Modules of LLVM-IR in this process: parse, clone, print, verify, run passes, extract functions.

Every handle has one owner: a `Context` owns its modules' types and constants, a `Module` its
functions. Both close once, by `close()` or as context managers, and refuse use afterwards. Closing
a context closes the modules made in it. A crash inside LLVM ends the process: for code that nobody
has checked, use a worker (`llvm.worker`). One context must not be used by two threads.
"""

from __future__ import annotations

import ctypes
import re
import weakref
from collections.abc import Iterator
from ctypes import byref, c_size_t, c_uint, c_void_p, string_at

from llm_compiler.closing import Closing
from llm_compiler.errors import CompileFailed, IrParseError
from llm_compiler.llvm.capi import DiagnosticHandler, Library, load, take_error, take_message
from llm_compiler.llvm.levels import pipeline_for
from llm_compiler.records import content_hash

__all__ = ["BITCODE_MAGIC", "Context", "Module"]

_LOCATION = re.compile(r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?:error: )?(?P<text>.*)")
BITCODE_MAGIC = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")

# LLVMLinkage, llvm-c/Core.h
EXTERNAL, AVAILABLE_EXTERNALLY, INTERNAL, PRIVATE = 0, 1, 8, 9
LOCAL = (INTERNAL, PRIVATE)
_SEVERITY_ERROR = 0
_FUNCTION_INDEX = 0xFFFFFFFF


class Context(Closing):
    """An LLVMContext: owns everything parsed into it.

    `diagnostics` collects the errors that LLVM reports through the context (code generation,
    inline assembly) since the last `take_diagnostics`.
    """

    def __init__(self, library: Library | None = None) -> None:
        self.library = library or load()
        self._handle: int | None = self.library.LLVMContextCreate()
        self._modules: weakref.WeakSet[Module] = weakref.WeakSet()
        self._diagnostics: list[str] = []
        # LLVM's default handler prints and calls exit(1) on an error.
        self._handler = DiagnosticHandler(self._collect)
        self.library.LLVMContextSetDiagnosticHandler(self.handle, self._handler, None)

    def _collect(self, info: int, _: int) -> None:
        if self.library.LLVMGetDiagInfoSeverity(info) == _SEVERITY_ERROR:
            pointer = self.library.LLVMGetDiagInfoDescription(info)
            self._diagnostics.append(take_message(self.library, pointer))

    @property
    def handle(self) -> int:
        """The LLVMContextRef.

        Raises:
            ValueError: the context is closed.
        """
        if self._handle is None:
            raise ValueError("this LLVM context is closed")
        return self._handle

    def take_diagnostics(self) -> str:
        """Return the errors reported since the last call, one a line, and forget them."""
        text = "\n".join(self._diagnostics)
        self._diagnostics.clear()
        return text

    def discard_value_names(self) -> None:
        """Drop the names of local values and blocks from now on; text can then not be parsed."""
        self.library.LLVMContextSetDiscardValueNames(self.handle, True)

    def parse(self, data: bytes, name: str = "<input>") -> Module:
        """Parse textual IR or bitcode.

        Raises:
            IrParseError: LLVM does not accept it; with line and column for text.
        """
        library = self.library
        self.take_diagnostics()
        if not data:
            raise IrParseError(f"{name} is empty: expected LLVM-IR or bitcode")
        # The text parser reads up to a NUL byte, which the copy appends.
        buffer = library.LLVMCreateMemoryBufferWithMemoryRangeCopy(
            data, len(data), name.encode("utf-8", "replace")
        )
        module, message = c_void_p(), c_void_p()
        if data.startswith(BITCODE_MAGIC):
            failed = library.LLVMParseBitcodeInContext2(self.handle, buffer, byref(module))
            library.LLVMDisposeMemoryBuffer(buffer)
            text = self.take_diagnostics()
        else:
            failed = library.LLVMParseIRInContext(
                self.handle, buffer, byref(module), byref(message)
            )
            text = take_message(library, message.value)
        if failed or not module.value:
            raise _parse_error(text, name)
        return Module(self, module.value)

    def _adopt(self, module: Module) -> None:
        self._modules.add(module)

    def close(self) -> None:
        """Free the context and close every module that still lives in it."""
        if self._handle is not None:
            for module in list(self._modules):
                module.close()
            self.library.LLVMContextDispose(self._handle)
            self._handle = None


def _parse_error(text: str, name: str) -> IrParseError:
    first = text.strip().splitlines()[0] if text.strip() else "LLVM gives no reason"
    if match := _LOCATION.match(first):
        line, column = int(match["line"]), int(match["column"])
        return IrParseError(
            f"{name}:{line}:{column}: {match['text']}", line=line, column=column, detail=text
        )
    return IrParseError(f"{name} is not valid LLVM bitcode: {first}", detail=text)


class Module(Closing):
    """An LLVM module; owned by whoever made it, freed by `close()` or with its context."""

    def __init__(self, context: Context, handle: int) -> None:
        self.context = context
        self._handle: int | None = handle
        self._has_block_addresses: bool | None = None
        """None: nobody asked yet. Passes make none where there were none."""
        context._adopt(self)

    @property
    def handle(self) -> int:
        """The LLVMModuleRef.

        Raises:
            ValueError: the module is closed.
        """
        if self._handle is None:
            raise ValueError("this LLVM module is closed")
        return self._handle

    @property
    def _library(self) -> Library:
        return self.context.library

    def close(self) -> None:
        """Free the module; closing twice does nothing."""
        if self._handle is not None:
            self._library.LLVMDisposeModule(self._handle)
            self._handle = None

    def link(self, other: Module) -> None:
        """Add another module of the same context to this one; the other is used up.

        Raises:
            CompileFailed: they do not fit. This module is then in no defined state.
        """
        assert other.context is self.context
        handle, other._handle = other.handle, None
        failed = self._library.LLVMLinkModules2(self.handle, handle)
        text = self.context.take_diagnostics()
        if failed:
            raise CompileFailed(f"modules do not link: {text}", detail=text)

    def clone(self) -> Module:
        """Return a copy in the same context; the caller owns it.

        LLVM's own clone leaves block addresses in initialisers (tables of computed gotos)
        pointing into the original (LLVM 19): such a module is copied through its bitcode.
        """
        if self.has_block_addresses:
            copy = self.context.parse(self.to_bitcode())
        else:
            copy = Module(self.context, self._library.LLVMCloneModule(self.handle))
        copy._has_block_addresses = self._has_block_addresses
        return copy

    @property
    def has_block_addresses(self) -> bool:
        """Whether the address of any block is taken (computed gotos)."""
        if self._has_block_addresses is None:
            self._has_block_addresses = self._find_block_addresses()
        return self._has_block_addresses

    def _find_block_addresses(self) -> bool:
        """Tell whether the address of any block is taken: its function is used by the constant."""
        library = self._library
        for function in self.function_handles():
            use = library.LLVMGetFirstUse(function)
            while use:
                if library.LLVMIsABlockAddress(library.LLVMGetUser(use)):
                    return True
                use = library.LLVMGetNextUse(use)
        return False

    def to_text(self) -> str:
        """Return the textual IR."""
        return take_message(self._library, self._library.LLVMPrintModuleToString(self.handle))

    def to_bitcode(self) -> bytes:
        """Return the bitcode, without use-list orders (as clang writes it by default)."""
        return take_buffer(self._library, self._library.LLVMWriteBitcodeToMemoryBuffer(self.handle))

    def bitcode_hash(self) -> str:
        """Return the hash of the bitcode: equal hashes, equal modules but for use-list orders."""
        library = self._library
        buffer = library.LLVMWriteBitcodeToMemoryBuffer(self.handle)
        start, size = library.LLVMGetBufferStart(buffer), library.LLVMGetBufferSize(buffer)
        view = memoryview((ctypes.c_char * size).from_address(start)) if size else b""
        try:
            return content_hash(view)
        finally:
            del view
            library.LLVMDisposeMemoryBuffer(buffer)

    @property
    def target_triple(self) -> str:
        """The target triple, empty if the module names none."""
        text: bytes = self._library.LLVMGetTarget(self.handle) or b""
        return text.decode("utf-8", "replace")

    @target_triple.setter
    def target_triple(self, triple: str) -> None:
        self._library.LLVMSetTarget(self.handle, triple.encode())

    def flag(self, name: str) -> int | None:
        """Return an integer module flag (``PIC Level``, ``PIE Level``); None if it is not there."""
        library = self._library
        metadata = library.LLVMGetModuleFlag(self.handle, name.encode(), len(name))
        if not metadata:
            return None
        value = library.LLVMMetadataAsValue(self.context.handle, metadata)
        # A flag's value is wrapped as metadata: its only operand is the constant.
        constant = library.LLVMGetOperand(value, 0) if library.LLVMGetNumOperands(value) else value
        if not constant or not library.LLVMIsAConstantInt(constant):
            return None
        return int(library.LLVMConstIntGetZExtValue(constant))

    def verify(self) -> str:
        """Return what LLVM's verifier objects to; empty if the module is well-formed."""
        message = c_void_p()
        broken = self._library.LLVMVerifyModule(self.handle, 2, byref(message))
        text = take_message(self._library, message.value)
        return (text.strip() or "the module is broken") if broken else ""

    def run_passes(self, pipeline: str, target_machine: int | None = None) -> None:
        """Run a pipeline given as text for ``opt -passes=`` on this module, in place.

        Args:
            target_machine: an LLVMTargetMachineRef that the passes may ask for costs.

        Raises:
            CompileFailed: LLVM refuses the text or a pass reports an error. The module is then
                in no defined state.
        """
        if not pipeline:
            return
        library = self._library
        options = library.LLVMCreatePassBuilderOptions()
        try:
            text = pipeline_for(pipeline, library.toolchain.major)
            error = library.LLVMRunPasses(
                self.handle, text.encode(), target_machine or None, options
            )
        finally:
            library.LLVMDisposePassBuilderOptions(options)
        if text := take_error(library, error) or self.context.take_diagnostics():
            raise CompileFailed(f"LLVM refuses '{pipeline}': {text}", detail=text)

    # -- functions ---------------------------------------------------------------------------

    def function_handles(self) -> Iterator[int]:
        """Yield the functions, declared ones too."""
        library = self._library
        function = library.LLVMGetFirstFunction(self.handle)
        while function:
            following = library.LLVMGetNextFunction(function)
            yield function
            function = following

    def features_of(self, function: int) -> str:
        """Return the ``target-features`` of a function; empty where it has none."""
        library, key = self._library, b"target-features"
        attribute = library.LLVMGetStringAttributeAtIndex(function, _FUNCTION_INDEX, key, len(key))
        if not attribute:
            return ""
        length = c_uint()
        value = library.LLVMGetStringAttributeValue(attribute, byref(length))
        return string_at(value, length.value).decode("utf-8", "replace")

    def variable_handles(self) -> Iterator[int]:
        """Yield the global variables, declared ones too."""
        library = self._library
        variable = library.LLVMGetFirstGlobal(self.handle)
        while variable:
            following = library.LLVMGetNextGlobal(variable)
            yield variable
            variable = following

    def users(self, value: int) -> Iterator[int]:
        """Yield what uses a value, once for each use: instructions, constants, initialisers."""
        use = self._library.LLVMGetFirstUse(value)
        while use:
            yield self._library.LLVMGetUser(use)
            use = self._library.LLVMGetNextUse(use)

    def name_of(self, value: int) -> str:
        """Return the name of a global value."""
        length = c_size_t()
        pointer = self._library.LLVMGetValueName2(value, byref(length))
        return ctypes.string_at(pointer, length.value).decode("utf-8", "surrogateescape")

    def defined_functions(self) -> tuple[str, ...]:
        """Return the names of the functions with a body, in the module's order."""
        declared = self._library.LLVMIsDeclaration
        return tuple(self.name_of(f) for f in self.function_handles() if not declared(f))

    def num_instructions(self) -> int:
        """Return the number of IR instructions in all functions (debug records are none)."""
        return sum(1 for _ in self.instruction_handles())

    def instruction_handles(self, function: int | None = None) -> Iterator[int]:
        """Yield the instructions of one function, or of all in the module's order."""
        library = self._library
        first, following = library.LLVMGetFirstInstruction, library.LLVMGetNextInstruction
        for index in self.function_handles() if function is None else (function,):
            block = library.LLVMGetFirstBasicBlock(index)
            while block:
                instruction = first(block)
                while instruction:
                    yield instruction
                    instruction = following(instruction)
                block = library.LLVMGetNextBasicBlock(block)

    def functions_without_minsize(self) -> tuple[str, ...]:
        """Return the defined functions that carry no ``minsize`` (nor ``optnone``)."""
        library = self._library
        kinds = [
            library.LLVMGetEnumAttributeKindForName(name, len(name))
            for name in (b"minsize", b"optnone")
        ]
        return tuple(
            self.name_of(function)
            for function in self.function_handles()
            if not library.LLVMIsDeclaration(function)
            and not any(
                library.LLVMGetEnumAttributeAtIndex(function, _FUNCTION_INDEX, kind)
                for kind in kinds
            )
        )

    def functions_with_optnone(self) -> tuple[str, ...]:
        """Return the defined functions that no pass may touch, as clang -O0 marks them."""
        library = self._library
        kind = library.LLVMGetEnumAttributeKindForName(b"optnone", len(b"optnone"))
        return tuple(
            self.name_of(function)
            for function in self.function_handles()
            if not library.LLVMIsDeclaration(function)
            and library.LLVMGetEnumAttributeAtIndex(function, _FUNCTION_INDEX, kind)
        )

    def available_externally(self, *, always_inline: bool = False) -> tuple[str, ...]:
        """Return the functions whose body is here for inlining only, in the module's order.

        Args:
            always_inline: only those that must be inlined. libstdc++ has some of which no copy
                exists anywhere: a call that is left of one does not link.
        """
        library = self._library
        name = b"alwaysinline"
        kind = library.LLVMGetEnumAttributeKindForName(name, len(name))
        return tuple(
            self.name_of(function)
            for function in self.function_handles()
            if library.LLVMGetLinkage(function) == AVAILABLE_EXTERNALLY
            and (
                not always_inline
                or library.LLVMGetEnumAttributeAtIndex(function, _FUNCTION_INDEX, kind)
            )
        )

    def is_used(self, name: str) -> bool:
        """Whether anything in the module refers to a function of this name."""
        function = self.function_handle(name)
        return bool(function and self._library.LLVMGetFirstUse(function))

    def symbol_handles(self) -> Iterator[int]:
        """Yield every global value: functions, variables, aliases, ifuncs."""
        library = self._library
        yield from self.function_handles()
        yield from self.variable_handles()
        for kind in ("Alias", "IFunc"):
            value = getattr(library, f"LLVMGetFirstGlobal{kind}")(self.handle)
            while value:
                following = getattr(library, f"LLVMGetNextGlobal{kind}")(value)
                yield value
                value = following

    def variable_handle(self, name: str) -> int:
        """Return the global variable of a name, 0 or None if there is none."""
        handle: int = self._library.LLVMGetNamedGlobal(
            self.handle, name.encode("utf-8", "surrogateescape")
        )
        return handle

    def function_handle(self, name: str) -> int:
        """Return the function of a name, 0 or None if there is none."""
        handle: int = self._library.LLVMGetNamedFunction(
            self.handle, name.encode("utf-8", "surrogateescape")
        )
        return handle


def take_buffer(library: Library, buffer: int) -> bytes:
    """Copy a memory buffer that the caller owns and free it."""
    start, size = library.LLVMGetBufferStart(buffer), library.LLVMGetBufferSize(buffer)
    data = ctypes.string_at(start, size) if size else b""
    library.LLVMDisposeMemoryBuffer(buffer)
    return data
