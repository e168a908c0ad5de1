"""x86-64 to the readers of machine code: AT&T syntax, System V ABI. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from llm_compiler.disassembly.architectures.architecture import Architecture, Form, decorated
from llm_compiler.llvm import targets
from llm_compiler.llvm.elf import ElfFile
from llm_compiler.llvm.listing import Instruction

__all__ = ["X86_64"]

_FORMS: Final = {
    2: Form(relative=True),
    4: Form(relative=True),
    9: Form(suffix="@GOTPCREL", relative=True, through_table=True),
    10: Form(),
    11: Form(),
    1: Form(),
    19: Form(suffix="@TLSGD", relative=True, through_table=True),
    20: Form(suffix="@TLSLD", relative=True, through_table=True),
    21: Form(suffix="@DTPOFF", through_table=True),
    22: Form(suffix="@GOTTPOFF", relative=True, through_table=True),
    23: Form(suffix="@TPOFF", through_table=True),
    41: Form(suffix="@GOTPCREL", relative=True, through_table=True),
    42: Form(suffix="@GOTPCREL", relative=True, through_table=True),
}
_BRANCH: Final = re.compile(r"^(?:(?:notrack|bnd|addr32|data16|rex64) )*(?:call|j|loop|xbegin)\w*$")
_RELATIVE: Final = re.compile(r"(?:-?\d+)?\(%rip\)")
_MEMORY: Final = re.compile(r"(?<![\w$])(?:(%[c-gs]s:)?)(-?\d+)?(\([^)]*\))")
_PLAIN: Final = re.compile(r"(?<![\w$%(-])-?(?:0x[0-9a-f]+|\d+)(?![\w(])")
_IMMEDIATE: Final = re.compile(r"\$-?\d+")
_MAIN: Final = re.compile(r"movq \$(\d+), %rdi$")


def _is_branch(instruction: Instruction) -> bool:
    head, _, operands = instruction.text.rpartition(" ")
    return bool(_BRANCH.match(head)) and operands.startswith(("0x", "-0x"))


def _is_call(instruction: Instruction) -> bool:
    return "call" in instruction.text.rpartition(" ")[0]


def _write_symbol(instruction: Instruction, symbol: str, form: Form, field_end: int) -> str | None:
    text, symbol = instruction.text, decorated(symbol, form)
    if _RELATIVE.search(text):
        return _RELATIVE.sub(lambda _: f"{symbol}(%rip)", text, count=1)
    if field_end == 0 and _IMMEDIATE.search(text):
        return _IMMEDIATE.sub(lambda _: f"${symbol}", text, count=1)
    if match := _MEMORY.search(text):
        position = (match[1] or "") + symbol + match[3]
        return text[: match.start()] + position + text[match.end() :]
    if match := _PLAIN.search(text):
        return text[: match.start()] + symbol + text[match.end() :]
    if match := _IMMEDIATE.search(text):
        return text[: match.start()] + f"${symbol}" + text[match.end() :]
    return None


def _main_functions(elf: ElfFile, instructions: Sequence[Instruction]) -> Iterator[int]:
    for instruction in instructions:
        if (
            instruction.mnemonic.startswith("lea")
            and instruction.text.endswith("%rdi")
            and instruction.target
        ):
            yield instruction.target
        elif match := _MAIN.match(instruction.text):
            yield int(match[1])


X86_64: Final = Architecture(
    target=targets.X86_64,
    forms=_FORMS,
    plt_suffix="@PLT",
    is_branch=_is_branch,
    is_call=_is_call,
    names_place=lambda each_instruction: "(%rip)" in each_instruction.text,
    names_page=lambda item: False,
    write_symbol=_write_symbol,
    main_functions=_main_functions,
    no_operation=re.compile(r"^(?:data16 )*(?:nop\w?|xchgw %ax, ?%ax|int3)(?: |$)"),
    padding=re.compile(r"^(?:(?:data16 |cs )*nop\w?|xchgw %ax, ?%ax|int3)(?: |$)"),
    leaving=frozenset({"ret", "retq", "jmp", "jmpq", "ud2", "hlt"}),
    code_alignment=1,
    code_fill="0x90",
    indirect_jumps=("jmpq *%", "notrack jmpq *%"),
    comparison=re.compile(r"^cmp[bwlq] \$(\d+), \S+$"),
)
