"""AArch64: the procedure call standard as Linux has it, general registers, scalar floating point.

Not known: exclusive and ordered accesses, words that calls are passed on the stack, some vector
instructions (tables, structured loads, the crypto extensions).
"""

from __future__ import annotations

import re
from typing import Any, Final

from llm_compiler.disassembly.rules.aarch64 import control as _control
from llm_compiler.disassembly.rules.aarch64.bit_fields import BIT_FIELDS
from llm_compiler.disassembly.rules.aarch64.flags import Flags, condition
from llm_compiler.disassembly.rules.aarch64.floats import SCALARS
from llm_compiler.disassembly.rules.aarch64.integers import INTEGERS
from llm_compiler.disassembly.rules.aarch64.machine import Machine, Rule
from llm_compiler.disassembly.rules.aarch64.memory import ACCESSES
from llm_compiler.disassembly.rules.aarch64.varargs import rewrite_varargs
from llm_compiler.disassembly.rules.aarch64.vectors import VECTORS
from llm_compiler.disassembly.rules.builder import Builder
from llm_compiler.disassembly.rules.code import Code, Line, Unliftable
from llm_compiler.disassembly.rules.nodes import Graph, Node
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.disassembly.rules.target import Convention
from llm_compiler.llvm import targets

__all__ = ["RULES", "VECTORS", "AArch64"]

_ARGUMENTS: Final = tuple(f"x{number}" for number in range(8))
_VECTOR_REGISTERS: Final = tuple(f"v{number}" for number in range(32))
_SETS_FRAME: Final = re.compile(r"(?:mov x29, sp|add x29, sp, #\d+|sub x29, sp, #\d+)$")
_UNOPTIMISED_START: Final = re.compile(
    r"@function\n\S+:\nsub sp, sp, #\d+\n(?:stp x29, x30, .*\nadd x29, sp, .*\n)?"
    r"(?!st[pr] [xd][12]\d)",
    re.MULTILINE,
)
_NO_FRAME: Final = re.compile(r"^st[pr] (?:x\d+, )?x30, ", re.MULTILINE)
_LANES: Final = re.compile(r"(?:\{ ?)?v\d+\.")
RULES: Final[dict[str, Rule]] = {
    **INTEGERS,
    **BIT_FIELDS,
    **ACCESSES,
    **SCALARS,
    **_control.CONTROL,
}
"""What every mnemonic means, where no operand is a vector: those are in `VECTORS`."""


class AArch64:
    """The target."""

    name = targets.AARCH64.name
    triple = targets.AARCH64.triple
    convention = Convention(
        integer_arguments=_ARGUMENTS,
        vector_arguments=_VECTOR_REGISTERS[:8],
        integer_results=("x0", "x1"),
        vector_results=("v0", "v1"),
        callee_saved=(
            *(f"x{number}" for number in range(19, 31)),
            *_VECTOR_REGISTERS[8:16],
        ),
        caller_saved=(
            *(f"x{number}" for number in range(19)),
            *_VECTOR_REGISTERS[:8],
            *_VECTOR_REGISTERS[16:],
        ),
        stack_pointer="sp",
        frame_pointer="x29",
        struct_result="x8",
        first_stack_argument=0,
        last_temporaries=_ARGUMENTS,
        vector_prefix="v",
        calls_show_ellipsis=False,
    )
    unoptimised_start = _UNOPTIMISED_START
    smallest_sign: re.Pattern[str] | None = None
    open_scans: frozenset[str] = frozenset()
    control = staticmethod(_control.control)
    jump_table = staticmethod(_control.jump_table)

    def attributes(self, text: str) -> str:
        """Return what a function's attributes say of the processor and the frame pointer."""
        kept = "none" if _NO_FRAME.search(text) and " x29" not in text else "non-leaf"
        return (
            f'"frame-pointer"="{kept}" "target-cpu"="generic" '
            '"target-features"="+fp-armv8,+neon,+outline-atomics,+v8a,-fmv" "nooutline"'
        )

    def has_frame_pointer(self, code: Code) -> bool:
        """Return whether x29 is set to a place of the frame, and to nothing else."""
        sets = [
            line.text
            for line in code.lines
            if line.operands
            and line.operands[0] in ("x29", "w29")
            and not line.mnemonic.startswith(("st", "ld", "cmp", "tst", "cb", "tb"))
        ]
        return bool(sets) and all(_SETS_FRAME.match(word) for word in sets)

    def released_after(self, code: Code, number: int) -> int:
        """Return 0: words for calls have their place in the frame."""
        return 0

    def translate(self, builder: Builder, line: Line) -> None:
        """Append an instruction's meaning."""
        machine = Machine(builder, line)
        if builder.code.name.startswith(PREFIX):
            raise Unliftable("outlined code, which is no function of the program's")
        has_lanes = any(_LANES.match(operand) for operand in line.operands)
        rules = VECTORS if has_lanes or line.mnemonic == "movi" else RULES
        rule = rules.get(line.mnemonic)
        if rule is None:
            raise machine.refuse()
        try:
            rule(machine)
        except (ValueError, IndexError, KeyError):  # another number or kind of operands
            raise machine.refuse() from None

    def finish(self, graph: Graph) -> None:
        """Write ``va_start`` where a prologue saves arguments for it."""
        rewrite_varargs(graph, self.convention)

    def condition(self, builder: Builder, flags: Any, code: str) -> Node:
        """Return whether a condition holds."""
        assert isinstance(flags, Flags)
        return condition(builder, flags, code)
