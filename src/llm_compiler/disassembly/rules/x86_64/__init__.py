"""x86-64: System V convention, AT&T syntax, general registers, SSE and SSE2.

Not known: x87 and MMX, AVX, far control transfers, instructions for the operating system.
"""

from __future__ import annotations

import re
from typing import Any, Final

from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Code, Line
from llm_compiler.disassembly.rules.nodes import Graph, Node
from llm_compiler.disassembly.rules.target import Convention
from llm_compiler.disassembly.rules.x86_64 import control as _control
from llm_compiler.disassembly.rules.x86_64.bits import BITS
from llm_compiler.disassembly.rules.x86_64.flags import Flags, condition
from llm_compiler.disassembly.rules.x86_64.floats import FLOATS
from llm_compiler.disassembly.rules.x86_64.integers import INTEGERS
from llm_compiler.disassembly.rules.x86_64.machine import Machine, Rule
from llm_compiler.disassembly.rules.x86_64.operands import WIDE, Memory
from llm_compiler.disassembly.rules.x86_64.strings import STRINGS
from llm_compiler.disassembly.rules.x86_64.varargs import rewrite_varargs
from llm_compiler.disassembly.rules.x86_64.vectors import VECTORS
from llm_compiler.llvm import targets
from llm_compiler.verify.architectures import architecture_named

__all__ = ["RULES", "X86_64"]

_VECTOR_REGISTERS: Final = tuple(f"xmm{number}" for number in range(16))
_CALLEE_SAVED: Final = ("rbx", "rbp", "r12", "r13", "r14", "r15")
_UNOPTIMISED_START: Final = re.compile(
    r"^pushq %rbp\n(?:\.cfi.*\n)*movq %rsp, %rbp\n(?:\.cfi.*\n)*(?:subq \$\d+, %rsp\n)?(?!push)",
    re.MULTILINE,
)
_FRAME: Final = architecture_named(targets.X86_64.name).frame_pointer_setup
_RELEASE: Final = re.compile(
    r"addq \$(?P<bytes>\d+), %rsp$|popq %(?:r[acd]x|r[sd]i|r8|r9|r10|r11)$"
)
_LEAVES_FRAME: Final = re.compile(r"popq |retq|jmp (?!\.L)")
_VECTOR_MOVE: Final = re.compile(r"%xmm\d")

RULES: Final[dict[str, Rule]] = {
    **INTEGERS,
    **BITS,
    **STRINGS,
    **FLOATS,
    **VECTORS,
    **_control.CONTROL,
}
"""What every mnemonic means."""
_LOCKED: Final = frozenset(
    f"{name}{letter}"
    for name in ["add", "sub", "and", "or", "xor", "inc", "dec", "xadd", "cmpxchg", "xchg"]
    for letter in "bwlq"
)
_REPEATED: Final = frozenset(f"{name}{letter}" for name in ("movs", "stos") for letter in "bwlq")


class X86_64:  # noqa: N801  # the architecture's name
    """The target."""

    name = targets.X86_64.name
    triple = targets.X86_64.triple
    convention = Convention(
        integer_arguments=("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
        vector_arguments=_VECTOR_REGISTERS[:8],
        integer_results=("rax", "rdx"),
        vector_results=("xmm0", "xmm1"),
        callee_saved=_CALLEE_SAVED,
        caller_saved=(
            *(item for item in WIDE if item not in _CALLEE_SAVED and item != "rsp"),
            *_VECTOR_REGISTERS,
        ),
        stack_pointer="rsp",
        frame_pointer="rbp",
        struct_result="rdi",
        first_stack_argument=8,
        last_temporaries=("rdi", "rsi", "rdx"),
        vector_prefix="xmm",
        calls_show_ellipsis=True,
    )
    unoptimised_start = _UNOPTIMISED_START
    smallest_sign: re.Pattern[str] | None = re.compile(r"^pushq \$", re.MULTILINE)
    open_scans: frozenset[str] = frozenset(f"bs{way}{letter}" for way in "fr" for letter in "wlq")
    control = staticmethod(_control.control)
    jump_table = staticmethod(_control.jump_table)

    def attributes(self, text: str) -> str:
        """Return what a function's attributes say of the processor and the frame pointer."""
        frame = '"frame-pointer"="all" ' if _FRAME.search(text) else ""
        return f'{frame}"target-cpu"="x86-64"'

    def has_frame_pointer(self, code: Code) -> bool:
        """Return whether rbp is set to the stack pointer once, right after it was saved.

        Where other registers are saved in between, it is one of several that happens to hold the
        address of the frame's first object.
        """
        sets = [
            line.text
            for line in code.lines
            if line.operands
            and line.operands[-1] in ("%rbp", "%ebp", "%bp", "%bpl")
            and not line.mnemonic.startswith(("cmp", "test", "push", "pop"))
        ]
        first = [line.text for line in code.lines[:12]]
        if sets != ["movq %rsp, %rbp"] or "pushq %rbp" not in first:
            return False
        start = first.index("pushq %rbp") + 1
        lines = [line.text for line in code.lines]
        between = lines[start : lines.index("movq %rsp, %rbp")]
        return not any(text.startswith(("push", "call", "j", "sub")) for text in between)

    def released_after(self, code: Code, number: int) -> int:
        """Return the bytes that ``addq`` and pops of free registers take off after a call."""
        released = 0
        for line in code.lines[number + 1 :]:
            if match := _RELEASE.match(line.text):
                released += int(match["bytes"] or 8)
            else:
                return 0 if _LEAVES_FRAME.match(line.text) else released
        return 0

    def translate(self, builder: Builder, line: Line) -> None:
        """Append an instruction's meaning."""
        machine = Machine(builder, line)
        name = line.mnemonic
        rule = RULES.get(name)
        if name == "movq" and _VECTOR_MOVE.search(line.text):
            self._move_quadword(machine)
            return
        if name == "movsd" and line.prefix:
            raise machine.refuse()
        if rule is None:
            raise machine.refuse()
        if line.prefix == "lock" and name not in _LOCKED:
            raise machine.refuse()
        is_repeated = line.prefix in ("rep", "repe", "repne")
        if is_repeated and name not in _REPEATED and not name.startswith("ret"):
            raise machine.refuse()
        rule(machine)

    def finish(self, graph: Graph) -> None:
        """Write ``va_start`` where a prologue saves arguments for it."""
        rewrite_varargs(graph, self.convention)

    def condition(self, builder: Builder, flags: Any, code: str) -> Node:
        """Return whether a condition holds."""
        assert isinstance(flags, Flags)
        return condition(builder, flags, code)

    @staticmethod
    def _move_quadword(machine: Machine) -> None:
        """``movq`` with a vector register: 64 bits, the rest becomes 0."""
        source, destination = machine.line.operands
        builder = machine.builder
        first, second = machine.parse()
        if destination.startswith("%xmm"):
            is_number = source.startswith("%") and not source.startswith("%xmm")
            is_number |= "@GOTPCREL" in source
            value = machine.get(first, 64) if is_number else machine.scalar(first, "double")
            machine.put_scalar(second, value, keeps=False)
        elif isinstance(second, Memory):
            builder.store(machine.address(second), machine.scalar(first, "double"))
        else:
            machine.put(second, builder.read(source[1:], "i64"))
