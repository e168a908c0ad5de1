"""Which relocation stands for which symbolic operand, on x86-64 and AArch64.

`Reference` says what an instruction refers to; `with_symbol` writes it into the instruction's text
as LLVM's code generator would. Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llm_compiler.llvm.elf import AARCH64
from llm_compiler.llvm.listing import Instruction

__all__ = [
    "Form",
    "form_of",
    "is_branch",
    "is_jump",
    "with_symbol",
]


@dataclass(frozen=True, slots=True)
class Form:
    """How a relocation type is written: around the symbol, and whether it counts from the place.

    `relative`: the addend of an x86-64 relocation counts from the field instead of from the
    instruction's end. `through_table`: the operand is not the symbol's place but a slot for it.
    """

    prefix: str = ""
    suffix: str = ""
    relative: bool = False
    through_table: bool = False


_X86 = {
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
_ARM = {
    273: Form(),
    274: Form(),
    275: Form(),
    276: Form(),
    277: Form(prefix=":lo12:"),
    278: Form(prefix=":lo12:"),
    279: Form(),
    280: Form(),
    282: Form(),
    283: Form(),
    284: Form(prefix=":lo12:"),
    285: Form(prefix=":lo12:"),
    286: Form(prefix=":lo12:"),
    299: Form(prefix=":lo12:"),
    311: Form(prefix=":got:", through_table=True),
    312: Form(prefix=":got_lo12:", through_table=True),
    541: Form(prefix=":gottprel:", through_table=True),
    542: Form(prefix=":gottprel_lo12:", through_table=True),
    549: Form(prefix=":tprel_hi12:", through_table=True),
    550: Form(prefix=":tprel_lo12:", through_table=True),
    551: Form(prefix=":tprel_lo12_nc:", through_table=True),
    562: Form(prefix=":tlsdesc:", through_table=True),
    563: Form(prefix=":tlsdesc_lo12:", through_table=True),
    564: Form(prefix=":tlsdesc_lo12:", through_table=True),
}
TLSDESC_CALL = 569


def form_of(architecture: str, relocation_type: int) -> Form | None:
    """Return how a relocation of code is written; None: not known here."""
    return (_ARM if architecture == AARCH64 else _X86).get(relocation_type)


_X86_BRANCH = re.compile(r"^(?:(?:notrack|bnd|addr32|data16|rex64) )*(?:call|j|loop|xbegin)\w*$")
_ARM_BRANCH = re.compile(r"^(?:b|bl|b\.\w+|bc\.\w+|cbz|cbnz|tbz|tbnz)$")
_X86_RELATIVE = re.compile(r"(?:-?\d+)?\(%rip\)")
_X86_MEMORY = re.compile(r"(?<![\w$])(?:(%[c-gs]s:)?)(-?\d+)?(\([^)]*\))")
_X86_PLAIN = re.compile(r"(?<![\w$%(-])-?(?:0x[0-9a-f]+|\d+)(?![\w(])")
_X86_IMMEDIATE = re.compile(r"\$-?\d+")


def is_branch(architecture: str, instruction: Instruction) -> bool:
    """Whether it goes to a place that it names: a jump or call that is not through a register."""
    head, _, operands = instruction.text.rpartition(" ")
    if architecture == AARCH64:
        return bool(_ARM_BRANCH.match(instruction.mnemonic)) and operands.startswith("0x")
    return bool(_X86_BRANCH.match(head)) and operands.startswith(("0x", "-0x"))


def is_jump(architecture: str, instruction: Instruction) -> bool:
    """Whether it is a branch that is no call."""
    head = instruction.text.rpartition(" ")[0]
    is_call = instruction.mnemonic == "bl" or "call" in head
    return is_branch(architecture, instruction) and not is_call


def with_symbol(
    architecture: str, instruction: Instruction, symbol: str, form: Form, field_end: int
) -> str | None:
    """Return an instruction's text with a symbolic operand in place of the number that is there.

    Args:
        symbol: with its addend (``table+8``).
        field_end: where the number ends, in bytes from the instruction's end; x86-64 has up to two.

    Returns:
        None where no operand can be it.
    """
    text = instruction.text
    if is_branch(architecture, instruction):
        return text.rpartition(" ")[0] + " " + _decorated(symbol, form)
    if architecture == AARCH64:
        return _with_arm_symbol(instruction, form.prefix + symbol)
    decorated = _decorated(symbol, form)
    if _X86_RELATIVE.search(text):
        return _X86_RELATIVE.sub(lambda _: f"{decorated}(%rip)", text, count=1)
    if field_end == 0 and _X86_IMMEDIATE.search(text):
        return _X86_IMMEDIATE.sub(lambda _: f"${decorated}", text, count=1)
    if match := _X86_MEMORY.search(text):
        place = (match[1] or "") + decorated + match[3]
        return text[: match.start()] + place + text[match.end() :]
    if match := _X86_PLAIN.search(text):
        return text[: match.start()] + decorated + text[match.end() :]
    if match := _X86_IMMEDIATE.search(text):
        return text[: match.start()] + f"${decorated}" + text[match.end() :]
    return None


def _decorated(symbol: str, form: Form) -> str:
    """Put the suffix behind the name, in front of the addend."""
    if not form.suffix:
        return symbol
    match = re.fullmatch(r'("[^"]*"|[^+-]*(?:[^+-])*?)([+-]\d+)?', symbol)
    name, addend = (match[1], match[2] or "") if match else (symbol, "")
    return f"{name}{form.suffix}{addend}"


_ARM_LAST_IMMEDIATE = re.compile(r"#-?\d+(?=(?:, lsl #12)?$)")
_ARM_MEMORY = re.compile(r"\[(x\d+|sp)(?:, #-?\d+)?\]")


def _with_arm_symbol(instruction: Instruction, symbol: str) -> str | None:
    text, mnemonic = instruction.text, instruction.mnemonic
    if mnemonic in ("adrp", "adr") or (mnemonic == "ldr" and "[" not in text):
        return text.rpartition(" ")[0] + " " + symbol
    if mnemonic in ("add", "adds"):
        found, count = _ARM_LAST_IMMEDIATE.subn(lambda _: symbol, text, count=1)
    elif mnemonic == "mov":
        # add xD, xS, #0 where one of them is the stack pointer
        words = text.split(" ", 1)[1]
        return f"add {words}, {symbol}"
    else:
        found, count = _ARM_MEMORY.subn(lambda match: f"[{match[1]}, {symbol}]", text)
    return found if count else None
