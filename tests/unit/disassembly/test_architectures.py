"""Records of architectures: complete for every target, and right about single instructions."""

from __future__ import annotations

import pytest

from llm_compiler.disassembly.architectures.architecture import Architecture, Form, ShortTable
from llm_compiler.disassembly.architectures.table import architecture_named
from llm_compiler.disassembly.reading.function_text import Unreadable
from llm_compiler.disassembly.rules.targets import TARGETS as RULES
from llm_compiler.errors import UnsupportedTarget
from llm_compiler.llvm.listing import Instruction
from llm_compiler.llvm.targets import AARCH64, X86_64, lifted_targets
from llm_compiler.verify import architectures as verified

X86, ARM = architecture_named(X86_64.name), architecture_named(AARCH64.name)


def instruction(text: str, *, address: int = 0, target: int | None = None) -> Instruction:
    return Instruction(address=address, size=4, text=text, target=target, hint="")


@pytest.mark.parametrize("name", [target_record.name for target_record in lifted_targets()])
def test_every_target_can_be_read_lifted_and_verified(name: str) -> None:
    assert architecture_named(name).target.name == name
    assert verified.architecture_named(name).target is architecture_named(name).target
    target = RULES[name]()
    assert (target.name, target.triple) == (name, architecture_named(name).target.triple)
    assert (
        len(target.convention.integer_arguments)
        == architecture_named(name).target.integer_registers
    )


def test_what_has_no_record_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedTarget, match="riscv64 code cannot be disassembled"):
        architecture_named("riscv64")
    with pytest.raises(UnsupportedTarget, match="riscv64 code cannot be verified"):
        verified.architecture_named("riscv64")
    assert verified.find_architecture("riscv64") is None


@pytest.mark.parametrize(
    ("architecture", "text", "is_branch", "is_jump"),
    [
        (X86, "callq 0x40", True, False),
        (X86, "jne 0x40", True, True),
        (X86, "jmpq *%rax", False, False),
        (X86, "movl $64, %eax", False, False),
        (ARM, "bl 0x40", True, False),
        (ARM, "b.eq 0x40", True, True),
        (ARM, "cbz w0, 0x40", True, True),
        (ARM, "br x3", False, False),
        (ARM, "bic w0, w0, #0x40", False, False),
    ],
)
def test_branches_name_where_they_go(
    architecture: Architecture, text: str, is_branch: bool, is_jump: bool
) -> None:
    each_instruction = instruction(text)
    assert (architecture.is_branch(each_instruction), architecture.is_jump(each_instruction)) == (
        is_branch,
        is_jump,
    )


@pytest.mark.parametrize(
    ("architecture", "text", "type_", "field_end", "expected"),
    [
        (X86, "callq 0x5", 4, 0, "callq f+8"),
        (X86, "leaq 0(%rip), %rax", 2, 0, "leaq f+8(%rip), %rax"),
        (X86, "movq (%rip), %rax", 42, 0, "movq f@GOTPCREL+8(%rip), %rax"),
        (X86, "movl $0, %edi", 10, 0, "movl $f+8, %edi"),
        (X86, "movl $7, 0(,%rax,4)", 11, 4, "movl $7, f+8(,%rax,4)"),
        (ARM, "bl 0x0", 283, 0, "bl f+8"),
        (ARM, "adrp x0, 0x0", 275, 0, "adrp x0, f+8"),
        (ARM, "add x0, x0, #0", 277, 0, "add x0, x0, :lo12:f+8"),
        (ARM, "ldr x0, [x0]", 312, 0, "ldr x0, [x0, :got_lo12:f+8]"),
        (ARM, "mov x0, sp", 277, 0, "add x0, sp, :lo12:f+8"),
        (ARM, "mul x0, x0, x1", 277, 0, None),
    ],
)
def test_symbols_are_written_as_their_relocation_says(
    architecture: Architecture, text: str, type_: int, field_end: int, expected: str | None
) -> None:
    form = architecture.forms[type_]
    assert architecture.with_symbol(instruction(text), "f+8", form, field_end) == expected


def test_suffixes_stand_between_a_quoted_name_and_its_addend() -> None:
    form = Form(suffix="@PLT")
    assert X86.with_symbol(instruction("callq 0x0"), '"a+b"+8', form, 0) == 'callq "a+b"@PLT+8'


def test_pairs_of_instructions_make_one_address() -> None:
    assert X86.pair_addresses is None
    assert ARM.pair_addresses is not None
    code = [
        instruction("adrp x8, 0x5000", address=0, target=0x5000),
        instruction("add x8, x8, #16", address=4),
        instruction("ldr w0, [x8]", address=8),
    ]
    found = ARM.pair_addresses(code)
    assert {
        place: (paired_address.address, paired_address.is_low)
        for place, paired_address in found.items()
    } == {
        0: (0x5010, False),
        4: (0x5010, True),
    }
    with pytest.raises(Unreadable, match="more than two steps"):
        ARM.pair_addresses(code[:1])


def test_short_tables_are_known_by_how_their_entries_are_read() -> None:
    assert X86.find_short_table is None
    assert ARM.find_short_table is not None
    window = [
        instruction("add x9, x9, #0"),
        instruction("adr x10, 0x40", target=0x40),
        instruction("ldrb w11, [x9, x8]"),
        instruction("add x10, x10, x11, lsl #2"),
        instruction("br x10"),
    ]
    assert ARM.find_short_table(window, {0x40}) == ShortTable(1, 0x40, 4, 2)
    # Out of a loop: the table's address is taken far in front, and kept.
    far = [window[0], *[instruction("mov w0, w1")] * 40, *window[1:]]
    assert ARM.find_short_table(far, {0x40}) == ShortTable(1, 0x40, 4, 42)
    other = [window[0], instruction("adrp x9, 0x5000", target=0x5000), *window[1:]]
    assert ARM.find_short_table(other, {0x40}) is None
    # Addresses of other things are loaded between the sum and the jump.
    rest = [instruction("ldr x25, [x25]")] * 12
    spread = [*window[:4], *rest, window[4]]
    assert ARM.find_short_table(spread, {0x40}) == ShortTable(1, 0x40, 4, 2)
    unknown = [*window[:4], *rest, instruction("mov x10, x12"), window[4]]
    assert ARM.find_short_table(unknown, {0x40}) is None
    # Code that was not optimised counts in bytes.
    words = [*window[:2], instruction("ldrsw x11, [x9, x8, lsl #2]"), *window[3:]]
    assert ARM.find_short_table(words, {0x40}) == ShortTable(4, 0x40, 1, 2, is_signed=True)
    assert ARM.find_short_table(window, set()) is None
    assert ARM.find_short_table(window[:-1], {0x40}) is None
