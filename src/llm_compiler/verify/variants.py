"""Function attributes that assembly does not tell, tried one after the other.

Lifted IR may be right but for attributes that change how it is lowered: whether the function was
compiled for size, whether it keeps a frame pointer. `MatchJob` lowers an answer in process with
its own attributes, then with each variant, and says which gives the function's bytes. That is a
filter: clang and `round_trip.difference` decide, as for any answer.

Runs in a worker: LLVM may crash.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from llm_compiler.errors import CompilerError, InputError, IrParseError
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.elf import ElfFile, parse_elf
from llm_compiler.llvm.job_steps import OneStepJob
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status
from llm_compiler.verify.architectures import find_architecture

__all__ = ["OWN", "Match", "MatchJob", "Variant", "function_bytes", "variants_of"]

_FUNCTION_INDEX = 0xFFFFFFFF
_SIZE_ATTRIBUTES: Final = ("minsize", "optsize")
_FRAME_POINTER: Final = "frame-pointer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """What takes the place of an answer's own attributes; None: they stay."""

    size: tuple[str, ...] | None = None
    """Which of ``minsize`` and ``optsize`` the function has."""
    frame_pointer: str | None = None
    """``none``, ``non-leaf`` or ``all``."""

    @property
    def name(self) -> str:
        """What a report calls it; empty for the answer's own attributes."""
        parts = []
        if self.size is not None:
            parts.append(" ".join(self.size) or "neither minsize nor optsize")
        if self.frame_pointer is not None:
            parts.append(f"frame-pointer={self.frame_pointer}")
        return ", ".join(parts)


OWN: Final = Variant()
"""The answer as it is."""
_SIZES: Final = ((), ("optsize",), ("minsize", "optsize"))


def variants_of(assembly: str, architecture: str) -> tuple[Variant, ...]:
    """Return what is worth trying for a function, the likely first, without `OWN`.

    Args:
        assembly: of the function, in normal form: its prologue tells of a frame pointer.
    """
    known = find_architecture(architecture)
    if known is None:
        return ()
    if not known.frame_pointer_setup.search(assembly):
        frames = ["none"]
    elif known.non_leaf is not None and known.non_leaf.search(assembly):
        frames = ["non-leaf", "none"]
    else:
        frames = ["all", "none"]
    return tuple(Variant(size=size, frame_pointer=frame) for frame in frames for size in _SIZES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What became of an answer.

    `status` and `detail`: whether it lowers with its own attributes, and LLVM's words if not.
    `place`: of the first variant that gives the wanted bytes, -1 if none does. `text`: the answer
    with that variant's attributes.
    """

    status: Status
    detail: str = ""
    place: int = -1
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchJob(OneStepJob):
    """Lower one answer with variants of attributes until one gives the wanted bytes.

    One step; its result is a `Match`.
    """

    text: str = field(repr=False)
    function: str
    code: bytes = field(repr=False)
    """The function's bytes, fields of relocations being 0 as in objects of ELF."""
    variants: Sequence[Variant]
    """In this order."""
    timeout_s: float = 30.0

    def run(self, state: WorkerState, first_step: int) -> Iterator[Match]:
        """Yield what became of the answer."""
        try:
            yield self._match()
        except (CompilerError, InputError) as error:
            yield Match(status=Status.REFUSED, detail=str(error)[:1000])

    def _match(self) -> Match:
        with Context() as context:
            module = context.parse(self.text.encode("utf-8", "surrogateescape"), "answer")
            seen: set[str] = set()
            with TargetMachine.for_module(module) as machine:
                for position, variant in enumerate(self.variants):
                    with module.clone() as copy:
                        _apply(copy, self.function, variant)
                        # Printed first: code generation changes a module.
                        text = copy.to_text()
                        if text in seen:
                            continue
                        seen.add(text)
                        elf = parse_elf(machine.emit_object(copy), self.function)
                        if function_bytes(elf, self.function) == self.code:
                            return Match(status=Status.OK, place=position, text=text)
        return Match(status=Status.OK)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Match:
        """Return the result of an answer that LLVM died of."""
        return Match(status=status, detail=detail)


def _apply(module: Module, function: str, variant: Variant) -> None:
    """Give a function a variant's attributes."""
    library = module.context.library
    handle = module.function_handle(function)
    if not handle:
        raise IrParseError(f"there is no function '{function}'")
    if variant.size is not None:
        for name in _SIZE_ATTRIBUTES:
            kind = library.LLVMGetEnumAttributeKindForName(name.encode(), len(name))
            library.LLVMRemoveEnumAttributeAtIndex(handle, _FUNCTION_INDEX, kind)
            if name in variant.size:
                attribute = library.LLVMCreateEnumAttribute(module.context.handle, kind, 0)
                library.LLVMAddAttributeAtIndex(handle, _FUNCTION_INDEX, attribute)
    if variant.frame_pointer is not None:
        key, value = _FRAME_POINTER.encode(), variant.frame_pointer.encode()
        attribute = library.LLVMCreateStringAttribute(
            module.context.handle, key, len(key), value, len(value)
        )
        library.LLVMAddAttributeAtIndex(handle, _FUNCTION_INDEX, attribute)


def function_bytes(elf: ElfFile, function: str) -> bytes:
    """Return a function's bytes in an object; empty where it is not defined."""
    symbol = elf.symbol(function)
    if symbol is None or not symbol.is_defined:
        return b""
    section = elf.sections[symbol.section]
    return section.read(symbol.value, symbol.value + (symbol.size or section.size - symbol.value))
