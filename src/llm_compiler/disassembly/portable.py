"""What of x86-64 code's IR means the same on AArch64, and the IR rewritten so that it does.

Both are 64-bit little-endian targets of Linux that lay out C's types alike, so that IR with
x86-64's offsets and sizes in it stays right, but for what `obstacle_of` names. Rewritten are:

* triple and data layout; the processor's name and features;
* ``signext`` and ``zeroext``: AArch64's calling convention leaves extension to who reads a value;
* ``llvm.fmuladd``: a product and a sum, rounded twice as x86-64's code does, or ``llvm.fma`` where
  that code has fused instructions; fast-math flags, which would let them be fused;
* conversions of floating-point numbers to integers: out of range and of NaN they give what x86-64's
  instructions give, where IR leaves it open;
* ``dso_local`` of what other files define.

`RetargetJob` runs in a worker. The rest are pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.capi import take_message
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.job_steps import TextsJob
from llm_compiler.llvm.module import Context, Module
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status

__all__ = ["RetargetJob", "Retargeting", "foreign_obstacle", "obstacle_of"]

_STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
_TYPES = (
    (r"\bx86_fp80\b", "computes with 80-bit numbers (long double), which AArch64 does not have"),
    (r"\b(?:fp128|ppc_fp128)\b", "computes with 128-bit numbers, which x86-64's C knows otherwise"),
    (r"\bx86_(?:mmx|amx)\b", "uses registers that only x86-64 has"),
)
_CODE = (
    (r"\basm (?:sideeffect |alignstack |inteldialect |unwind )*\"|^module asm ", "holds assembly"),
    (r"@llvm\.x86\.", "uses instructions that only x86-64 has"),
    (
        r"@llvm\.va_|\bva_arg\b|^define [^\n]*\.\.\.\)",
        "takes a variable number of arguments, which each target keeps in a va_list of its own",
    ),
    (
        r"\b(?:atomicrmw|cmpxchg|fence)\b|\b(?:load|store) atomic\b",
        "synchronises threads: x86-64 keeps memory accesses in order where AArch64 does not, and "
        "its code does not say where it relies on that",
    ),
    (r"\b(?:invoke|landingpad|resume|catchpad|cleanuppad)\b", "catches exceptions"),
    (r"\baddrspace\(", "uses x86-64's segment registers"),
    (
        r"\b(?:byval|byref|inalloca|preallocated)\(|\binreg\b",
        "passes a struct by value, which AArch64 does in another way",
    ),
    (
        r"\b(?:x86_\w+cc|win64cc|intel_ocl_bicc|preserve_\w+cc|anyregcc|ghccc|cc \d+)\b",
        "has a calling convention that only x86-64 has",
    ),
    (r"@llvm\.(?:read|write)_(?:volatile_)?register\b", "names a register"),
    (r"@llvm\.readcyclecounter\b", "reads the time-stamp counter, which counts something else"),
)
_OBSTACLES = tuple((re.compile(word, re.MULTILINE), why) for word, why in (*_TYPES, *_CODE))

_FOREIGN = (
    (
        r"_*(?:isoc\d\d_)?v(?:f|s|sn|d|as|sw)?w?(?:printf|scanf)(?:_chk)?|v(?:err|warn)x?|"
        r"vsyslog",
        "takes a va_list, of which each target has its own",
    ),
    (r"_*(?:sig)?(?:setjmp|longjmp)(?:_chk)?", "works on a jmp_buf, which is larger on AArch64"),
    (
        r"_*(?:f|l)?x?stat(?:at)?(?:64)?|n?ftw(?:64)?|fts(?:64)?_\w+",
        "works on a struct stat, which is laid out otherwise on AArch64",
    ),
    (
        r"_*(?:open|openat|fcntl|open_by_handle_at)(?:64)?(?:_2)?",
        "takes flags of open, some of which have other numbers on AArch64",
    ),
    (r"syscall", "takes the number of a system call, which is another one on AArch64"),
    (
        r"(?:pthread|thrd|mtx|cnd|tss|sem)_\w+|__atomic_\w+|call_once",
        "is for threads: x86-64 keeps memory accesses in order where AArch64 does not, and types "
        "of that library have other sizes",
    ),
    (r"fe[a-z]+(?:round|env|except|exceptflag|excepts?)", "takes or gives numbers that differ"),
    (r"(?:get|set|make|swap)context", "works on a ucontext_t, which holds registers"),
    (r"epoll_\w+", "works on a struct epoll_event, which only x86-64 packs"),
    (r"(?:sem|shm|msg)ctl", "works on a struct that is laid out otherwise on AArch64"),
    (
        r"ptrace|personality|iopl|ioperm|arch_prctl|modify_ldt|clone|__cpu_\w+",
        "is about the processor itself",
    ),
)
_FOREIGN_PATTERNS = tuple((re.compile(word), why) for word, why in _FOREIGN)

_PROCESSOR = re.compile(
    r' "(?:target-cpu|target-features|tune-cpu|min-legal-vector-width|prefer-vector-width)"="[^"]*"'
)
_EXTENSION = re.compile(r"\b(?:signext|zeroext) ?")
_FLAGS = re.compile(
    r"\b(fneg|fadd|fsub|fmul|fdiv|frem|fcmp|fptrunc|fpext|phi|select|call)"
    r"(?: (?:fast|nnan|ninf|nsz|arcp|contract|afn|reassoc))+\b"
)
_OF_OTHERS = re.compile(
    r"^(declare (?:extern_weak )?|@\S+ = (?:external|extern_weak) )dso_local ", re.MULTILINE
)
_CONVERSION = re.compile(
    r"^  (%\S+) = fpto(si|ui) (float|double) (\S+) to i(8|16|32|64)((?:,.*)?)$", re.MULTILINE
)
_FUSED = re.compile(r"^v?fn?m(?:add|sub)(?:sub|add)?\d{3}", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retargeting:
    """A module for the other target, or why there is none (`obstacle`)."""

    text: str = field(default="", repr=False)
    obstacle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetargetJob(TextsJob):
    """Rewrite modules for another target; each step's result a `Retargeting`."""

    assemblies: tuple[str, ...] = field(repr=False)
    """What each text was lifted from: it tells products and sums from fused ones."""
    target_triple: str

    def run(self, state: WorkerState, first_step: int) -> Iterator[Retargeting]:
        """Yield what becomes of each text."""
        for step in range(first_step, len(self.texts)):
            try:
                yield _retarget(self.texts[step], self.assemblies[step], self.target_triple)
            except LlmCompilerError as error:
                yield Retargeting(obstacle=f"cannot be rewritten: {error}")

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> Retargeting:
        """Return the result of a text that LLVM died of."""
        return Retargeting(obstacle=f"cannot be rewritten: {detail}")


def obstacle_of(text: str) -> str:
    """Return what keeps IR of x86-64 code from meaning the same on AArch64; empty if nothing.

    >>> obstacle_of("define x86_fp80 @f(x86_fp80 %a) {")
    'computes with 80-bit numbers (long double), which AArch64 does not have'
    """
    # Without what strings and quoted names hold; the quotes stay, which assembly begins with.
    bare = _STRING.sub('""', text)
    return next((why for pattern, why in _OBSTACLES if pattern.search(bare)), "")


def foreign_obstacle(names: Iterable[str]) -> str:
    """Return which function of a library has another meaning on AArch64; empty if none."""
    for name in sorted(names):
        for pattern, why in _FOREIGN_PATTERNS:
            if pattern.fullmatch(name):
                return f"calls {name}, which {why}"
    return ""


def _retarget(text: str, assembly: str, target_triple: str) -> Retargeting:
    if obstacle := obstacle_of(text):
        return Retargeting(obstacle=obstacle)
    text = _PROCESSOR.sub("", text)
    text = _outside_strings(text, lambda part: _FLAGS.sub(r"\1", _EXTENSION.sub("", part)))
    text = _with_x86_conversions(_OF_OTHERS.sub(r"\1", text))
    if _FUSED.search(assembly):
        text = text.replace("@llvm.fmuladd.", "@llvm.fma.")
    with Context() as context:
        module = context.parse(text.encode("utf-8", "surrogateescape"), "lifted")
        library = context.library
        # A module's own layout may be missing: clang lowers by the target's.
        layouts = []
        for triple in (module.target_triple, target_triple):
            with TargetMachine(triple, library=library) as machine:
                layouts.append(library.LLVMCreateTargetDataLayout(machine.handle))
        try:
            if not _are_laid_out_alike(module, *layouts):
                return Retargeting(obstacle="uses a type that is of another size on AArch64")
            words = take_message(library, library.LLVMCopyStringRepOfTargetData(layouts[1]))
        finally:
            for layout in layouts:
                library.LLVMDisposeTargetData(layout)
        _split_products(module)
        library.LLVMSetDataLayout(module.handle, words.encode())
        module.target_triple = target_triple
        if broken := module.verify():
            return Retargeting(obstacle=f"cannot be rewritten: {broken.splitlines()[0]}")
        return Retargeting(text=module.to_text())


def _with_x86_conversions(text: str) -> str:
    """Give conversions to integers the results of ``cvttsd2si`` and of what is made of it."""
    declared: set[str] = set()
    count = 0

    def signed(value: str, kind: str, bits: int, result: str = "") -> tuple[str, str]:
        """Return lines and their result: the smallest integer stands for all out of range."""
        nonlocal count
        count += 1
        name = f"llvm.fptosi.sat.i{bits}.{'f32' if kind == 'float' else 'f64'}"
        declared.add(f"declare i{bits} @{name}({kind})")
        result = result or f"%retarget.{count}"
        bound = "0x41E0000000000000" if bits == 32 else "0x43E0000000000000"
        lines = (
            f"  %retarget.{count}.sat = call i{bits} @{name}({kind} {value})\n"
            f"  %retarget.{count}.in = fcmp olt {kind} {value}, {bound}\n"
            f"  {result} = select i1 %retarget.{count}.in, i{bits} %retarget.{count}.sat, "
            f"i{bits} {-1 << (bits - 1)}\n"
        )
        return lines, result

    def replace(match: re.Match[str]) -> str:
        result, sign, kind, value, rest = (match[i] for i in (1, 2, 3, 4, 6))
        bits = int(match[5])
        if sign == "si" and bits >= 32:
            return signed(value, kind, bits, result)[0][:-1] + rest
        if bits < 64:
            lines, wide = signed(value, kind, 64 if bits == 32 else 32)
            width = 64 if bits == 32 else 32
            return f"{lines}  {result} = trunc i{width} {wide} to i{bits}{rest}"
        low_lines, low = signed(value, kind, 64)
        reduced = f"{low}.reduced"
        high_lines, high = signed(reduced, kind, 64)
        return (
            f"{low_lines}  {reduced} = fsub {kind} {value}, 0x43E0000000000000\n{high_lines}"
            f"  {low}.sign = ashr i64 {low}, 63\n"
            f"  {low}.high = and i64 {high}, {low}.sign\n"
            f"  {result} = or i64 {low}.high, {low}{rest}"
        )

    text = _CONVERSION.sub(replace, text)
    missing = sorted(word for word in declared if word not in text)
    return text + "".join(f"{word}\n" for word in missing)


def _outside_strings(text: str, change: Callable[[str], str]) -> str:
    parts = _STRING.split(text)
    parts[::2] = map(change, parts[::2])
    return "".join(parts)


def _are_laid_out_alike(module: Module, *layouts: int) -> bool:
    """Whether all types of memory have the same size and alignment in all layouts."""
    library = module.context.library
    types = {library.LLVMGlobalGetValueType(handle) for handle in module.variable_handles()}
    for index in module.instruction_handles():
        if library.LLVMIsAAllocaInst(index):
            types.add(library.LLVMGetAllocatedType(index))
        elif library.LLVMIsAGetElementPtrInst(index):
            types.add(library.LLVMGetGEPSourceElementType(index))
    for index in types:
        if not library.LLVMTypeIsSized(index):
            continue
        sizes = {
            (
                library.LLVMABISizeOfType(layout, index),
                library.LLVMABIAlignmentOfType(layout, index),
            )
            for layout in layouts
        }
        if len(sizes) > 1:
            return False
    return True


def _split_products(module: Module) -> None:
    """Replace ``llvm.fmuladd`` by a product and a sum, which no code generator fuses."""
    library = module.context.library
    fused = [
        handle
        for handle in module.instruction_handles()
        if library.LLVMIsACallInst(handle)
        and (called := library.LLVMGetCalledValue(handle))
        and library.LLVMIsAFunction(called)
        and module.name_of(called).startswith("llvm.fmuladd.")
    ]
    builder = library.LLVMCreateBuilderInContext(module.context.handle)
    try:
        for number in fused:
            a, b, c = (library.LLVMGetOperand(number, index) for index in range(3))
            library.LLVMPositionBuilderBefore(builder, number)
            product = library.LLVMBuildFMul(builder, a, b, b"")
            library.LLVMReplaceAllUsesWith(number, library.LLVMBuildFAdd(builder, product, c, b""))
            library.LLVMInstructionEraseFromParent(number)
    finally:
        library.LLVMDisposeBuilder(builder)
