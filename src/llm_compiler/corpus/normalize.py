"""The one normaliser of IR: the form in which modules are stored, learnt from and compared.

Two modules that differ only in what no pass and no code generator looks at become one text. Steps,
in this order:

1. names of local values and blocks go (they become numbers);
2. debug information goes (`LLVMStripModuleDebugInfo`), named metadata ``llvm.dbg.*`` and the module
   flags about it included;
3. metadata that is read by nothing after the front end goes: ``!srcloc`` (where an error message
   about inline assembly would point to), ``!nosanitize``, ``!annotation`` (for remarks);
4. string attributes of functions that repeat a default go (`_drop_default_attributes` has the list
   and the reasons); only at `Level.FULL`;
5. declarations that nothing uses go (``strip-dead-prototypes``); unused types and metadata go by
   themselves, since LLVM prints what is used;
6. the module is called ``-``, and so is its source file;
7. ``!llvm.ident`` and ``!llvm.commandline`` go: they fill sections that are not loaded;
8. the text is what LLVM prints of that, without comments;
9. the bitcode is that of the text when parsed again, so that both name one module: the order of
   uses, which text does not keep, is gone.

Symbol names, types' names, linkage, comdats, module flags, aliasing and loop metadata stay: code
depends on them, or people do. Applied to its own result, text or bitcode, it gives that again.
That meaning is kept is checked for every sample of a corpus (`corpus.sampling_jobs`): the objects
after ``default<Oz>`` are the same. The bitcode, and with it the module's hash, is that of one LLVM
version.

Runs LLVM in this process: for code that nobody has checked, in a worker.
"""

from __future__ import annotations

import re
from ctypes import byref, c_uint, string_at
from dataclasses import dataclass, field
from enum import StrEnum

from llm_compiler.llvm.capi import Library
from llm_compiler.llvm.module import BITCODE_MAGIC, Context, Module
from llm_compiler.records import content_hash

__all__ = ["Level", "Normalized", "normalize"]

_FUNCTION_INDEX = 0xFFFFFFFF
_NAME = b"-"
_DROPPED_METADATA = (b"srcloc", b"nosanitize", b"annotation")
_DROPPED_NAMED = re.compile(r"^!llvm\.(?:ident|commandline) = .*\n", re.MULTILINE)
_FLAGS = re.compile(r"^(!llvm\.module\.flags = !\{)(.*)(\})$", re.MULTILINE)
_DEBUG_FLAG = re.compile(
    r'^(!\d+) = !\{i32 \d, !"(?:Dwarf Version|Debug Info Version|DWARF64)", i32 \d+\}$',
    re.MULTILINE,
)
# Strings escape the end of the line: a line that begins so is none of a string's.
_COMMENT = re.compile(r"^;.*\n", re.MULTILINE)
_BLOCK_COMMENT = re.compile(r"^(\d+:) +;.*$", re.MULTILINE)

# What clang writes on each function for "-march=x86-64", which that processor implies.
_X86_64_FEATURES = b"+cmov,+cx8,+fxsr,+mmx,+sse,+sse2,+x87"


class Level(StrEnum):
    """How much goes: everything listed above, or all but the attributes."""

    FULL = "full"
    KEEP_ATTRIBUTES = "keep-attributes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalized:
    """A module in its normal form, as text and as bitcode: each parses to the other."""

    text: str
    bitcode: bytes = field(repr=False)

    @property
    def module_hash(self) -> str:
        """The name that samples and labels use."""
        return content_hash(self.bitcode)


def normalize(
    data: bytes, level: Level = Level.FULL, *, library: Library | None = None
) -> Normalized:
    """Return the normal form of a module given as text or bitcode.

    Raises:
        IrParseError: LLVM does not accept it.
    """
    if not data.startswith(BITCODE_MAGIC):
        # LLVM reads names in text only in a context that keeps them.
        with Context(library) as context:
            data = context.parse(data).to_bitcode()
    with Context(library) as context:
        context.discard_value_names()
        module = context.parse(data)
        _reduce(module, level)
        text = module.to_text()
    reduced = _without_named_metadata(text)
    if reduced != text:
        # Metadata is numbered anew without the nodes that only these lines referred to.
        with Context(library) as context:
            text = context.parse(reduced.encode()).to_text()
    text = _without_comments(text)
    with Context(library) as context:
        return Normalized(text=text, bitcode=context.parse(text.encode()).to_bitcode())


def _without_named_metadata(text: str) -> str:
    """The C API cannot delete named metadata, nor what it lists."""
    debug_flags = set(_DEBUG_FLAG.findall(text))

    def without_debug(match: re.Match[str]) -> str:
        kept = [flag for flag in match[2].split(", ") if flag not in debug_flags]
        return match[1] + ", ".join(kept) + match[3]

    text = _DROPPED_NAMED.sub("", text)
    return _FLAGS.sub(without_debug, text) if debug_flags else text


def _without_comments(text: str) -> str:
    return _BLOCK_COMMENT.sub(r"\1", _COMMENT.sub("", text))


def _reduce(module: Module, level: Level) -> None:
    library = module.context.library
    library.LLVMStripModuleDebugInfo(module.handle)
    _drop_metadata(module)
    if level is Level.FULL:
        for function in module.function_handles():
            _drop_default_attributes(library, function)
    module.run_passes("strip-dead-prototypes")
    library.LLVMSetModuleIdentifier(module.handle, _NAME, len(_NAME))
    library.LLVMSetSourceFileName(module.handle, _NAME, len(_NAME))


def _drop_metadata(module: Module) -> None:
    library = module.context.library
    kinds = [
        library.LLVMGetMDKindIDInContext(module.context.handle, name, len(name))
        for name in _DROPPED_METADATA
    ]
    for instruction in module.instruction_handles():
        if library.LLVMHasMetadata(instruction):
            for kind in kinds:
                library.LLVMSetMetadata(instruction, kind, None)


def _drop_default_attributes(library: Library, function: int) -> None:
    dropped = [b"no-trapping-math"]  # read for ARM only, and true unless said otherwise
    if _attribute(library, function, b"stack-protector-buffer-size") == b"8":
        dropped.append(b"stack-protector-buffer-size")  # the default of the pass that reads it
    if _attribute(library, function, b"target-cpu") == b"x86-64":
        if _attribute(library, function, b"tune-cpu") == b"generic":
            dropped.append(b"tune-cpu")  # what LLVM tunes for where the processor is x86-64
        if _attribute(library, function, b"target-features") == _X86_64_FEATURES:
            dropped.append(b"target-features")
            dropped.append(b"min-legal-vector-width")  # matters with AVX-512 only
    for name in dropped:
        library.LLVMRemoveStringAttributeAtIndex(function, _FUNCTION_INDEX, name, len(name))


def _attribute(library: Library, function: int, name: bytes) -> bytes | None:
    attribute = library.LLVMGetStringAttributeAtIndex(function, _FUNCTION_INDEX, name, len(name))
    if not attribute:
        return None
    length = c_uint()
    pointer = library.LLVMGetStringAttributeValue(attribute, byref(length))
    return string_at(pointer, length.value)
