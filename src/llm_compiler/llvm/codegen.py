"""Code generation in process: assembly, objects, and their sizes.

For ranking: what a user is handed is made by clang (`llm_compiler.stock`), since a bare target
machine ignores ``-ffunction-sections`` and writes ``.ctors``. Not safe to share between threads.
"""

from __future__ import annotations

from ctypes import byref, c_void_p

from llm_compiler.closing import Closing
from llm_compiler.errors import CompileFailed, UnsupportedTarget
from llm_compiler.llvm.capi import Library, load, take_message
from llm_compiler.llvm.module import Module, take_buffer
from llm_compiler.llvm.object_file import ObjectSizes, section_sizes
from llm_compiler.llvm.targets import known_target

__all__ = ["TargetMachine", "default_triple"]

# llvm-c/TargetMachine.h
_LEVEL_NONE, _LEVEL_DEFAULT = 0, 2
_RELOC_STATIC, _RELOC_PIC = 1, 2
_CODE_MODEL_DEFAULT = 0
_ASSEMBLY, _OBJECT = 0, 1


def default_triple(library: Library | None = None) -> str:
    """Return the triple that LLVM generates code for by default on this machine."""
    library = library or load()
    return take_message(library, library.LLVMGetDefaultTargetTriple())


def _object_features(module: Module, triple: str) -> str:
    """Return the features that a whole object says it is for, where its target has such.

    RISC-V's assembler relaxes code and marks objects by the target machine's features, whatever the
    functions' own are; clang gives it those of the command line, which are on every function.
    """
    record = known_target(triple)
    if record is None or not record.has_object_features:
        return ""
    return next(filter(None, map(module.features_of, module.function_handles())), "")


class TargetMachine(Closing):
    """A code generator as ``clang -Oz`` sets it up: level "default", PIC as the module asks.

    The processor and its features come from the functions' own attributes (``target-cpu``,
    ``target-features``), which clang writes on each. Of targets whose objects have features of
    their own, the first function's are those.
    """

    def __init__(
        self,
        triple: str,
        *,
        pic: bool = True,
        is_optimising: bool = True,
        features: str = "",
        library: Library | None = None,
    ) -> None:
        self.library = library or load()
        self.triple = triple
        self.pic = pic
        self._handle: int | None = None
        self.library.initialize_target(triple)
        target, message = c_void_p(), c_void_p()
        if self.library.LLVMGetTargetFromTriple(triple.encode(), byref(target), byref(message)):
            text = take_message(self.library, message.value)
            raise UnsupportedTarget(f"'{triple}' is not supported by this libLLVM: {text}")
        self._handle = self.library.LLVMCreateTargetMachine(
            target.value,
            triple.encode(),
            b"",
            features.encode(),
            _LEVEL_DEFAULT if is_optimising else _LEVEL_NONE,
            _RELOC_PIC if pic else _RELOC_STATIC,
            _CODE_MODEL_DEFAULT,
        )
        if not self._handle:
            raise UnsupportedTarget(f"libLLVM makes no target machine for '{triple}'")

    @classmethod
    def for_module(cls, module: Module, *, is_optimising: bool = True) -> TargetMachine:
        """Return a code generator for a module's own triple and ``PIC Level``; caller owns it.

        Args:
            is_optimising: False: as ``clang -O0`` sets it up.

        Raises:
            UnsupportedTarget: the library has no such target.
        """
        triple = module.target_triple or default_triple(module.context.library)
        return cls(
            triple,
            pic=bool(module.flag("PIC Level")),
            is_optimising=is_optimising,
            features=_object_features(module, triple),
            library=module.context.library,
        )

    @property
    def handle(self) -> int:
        """The LLVMTargetMachineRef.

        Raises:
            ValueError: the target machine is closed.
        """
        if self._handle is None:
            raise ValueError("this LLVM target machine is closed")
        return self._handle

    def close(self) -> None:
        """Free the target machine; closing twice does nothing."""
        if self._handle is not None:
            self.library.LLVMDisposeTargetMachine(self._handle)
            self._handle = None

    def _emit(self, module: Module, kind: int) -> bytes:
        buffer, message = c_void_p(), c_void_p()
        module.context.take_diagnostics()
        failed = self.library.LLVMTargetMachineEmitToMemoryBuffer(
            self.handle, module.handle, kind, byref(message), byref(buffer)
        )
        text = take_message(self.library, message.value) if failed else ""
        data = b"" if failed else take_buffer(self.library, buffer.value or 0)
        if text := text or module.context.take_diagnostics():
            raise CompileFailed(f"code generation for {self.triple} failed: {text}", detail=text)
        return data

    def emit_object(self, module: Module) -> bytes:
        """Return the object file of a module. Code generation changes the module: pass a clone.

        Raises:
            CompileFailed: in LLVM's own words.
        """
        return self._emit(module, _OBJECT)

    def emit_assembly(self, module: Module) -> str:
        """Return the assembly of a module, which it changes: pass a clone.

        Raises:
            CompileFailed: in LLVM's own words.
        """
        return self._emit(module, _ASSEMBLY).decode("utf-8", "replace")

    def sizes(self, module: Module) -> ObjectSizes:
        """Return the section sizes of a module's object; changes the module."""
        return section_sizes(self.emit_object(module))
