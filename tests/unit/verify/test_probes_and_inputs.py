from __future__ import annotations

import re
from collections.abc import Sequence

from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.inputs import ARENA, STRIDE, InputGenerator, assign_locations
from llm_compiler.verify.lifted import Scalar, Signature
from llm_compiler.verify.probes import (
    address_offsets,
    comparison_constants,
    makes_system_calls,
    memory_fields,
    with_probes,
)

TEXT = """.text
.globl f
.type f, @function
f:
cmpl $1234, %edi
je .LBB0_2
movl 8(%rsp), %eax
jmp .LBB0_3
.LBB0_2:
xorl %eax, %eax
.LBB0_3:
retq
.section .rodata, "a", @progbits
.LJTI0_0:
.long 1
"""


def test_each_block_gets_one_probe_and_nothing_else_changes() -> None:
    found = with_probes(TEXT, "f", "x86_64")
    probed, count = found.text, found.num_blocks
    marks = re.findall(r"^movb \$1, llm_coverage\+(\d+)\(%rip\)\n", probed, re.MULTILINE)
    assert (marks, count) == (["0", "1", "2", "3"], 4)
    assert re.sub(r"(?m)^movb \$1, llm_coverage\+\d+\(%rip\)\n", "", probed) == TEXT


def test_probes_of_aarch64_take_one_instruction_in_the_code() -> None:
    text = ".globl f\n.type f, @function\nf:\ncbz w0, .LBB0_1\nmov w0, #1\n.LBB0_1:\nret\n"
    found = with_probes(text, "f", "aarch64")
    probed, count = found.text, found.num_blocks
    assert count == 3
    code = probed.split(".Lprobe_0:")[0]
    assert code.count("\nb .Lprobe_") == 3


def test_constants_and_system_calls_are_found() -> None:
    assert comparison_constants(TEXT, "f", "x86_64") == [1234]
    assert not makes_system_calls(TEXT, "f", "x86_64")
    assert makes_system_calls(TEXT.replace("xorl %eax, %eax", "syscall"), "f", "x86_64")


INT, POINTER = Scalar(kind="integer", bits=32), Scalar(kind="pointer", bits=64)
DOUBLE = Scalar(kind="float", bits=64)


def generator_of(
    signature: Signature,
    *,
    seed: int = 0,
    constants: Sequence[int] = (),
    variable_bytes: int = 0,
    fields: Sequence[MemoryField] = (),
) -> InputGenerator:
    """What draws inputs of a function for x86-64."""
    frame = assign_locations(signature, "x86_64")
    assert frame is not None
    return InputGenerator(
        signature,
        frame,
        seed=seed,
        constants=constants,
        num_extra_buffers=1,
        variable_bytes=variable_bytes,
        functions=[],
        fields=fields,
    )


def test_parameters_go_where_the_calling_convention_says() -> None:
    copied = Scalar(kind="pointer", bits=64, memory_bytes=24)
    wide = Scalar(kind="integer", bits=128)
    parameters = (INT, DOUBLE, POINTER, copied, wide, *[INT] * 4)
    frame = assign_locations(Signature(parameters=parameters), "x86_64")
    assert frame is not None
    assert [(location.kind, location.index) for location in frame.locations] == [
        ("integer", 0),
        ("float", 0),
        ("integer", 1),
        ("stack", 0),
        ("integer", 2),
        ("integer", 4),
        ("integer", 5),
        ("stack", 3),
        ("stack", 4),
    ]
    result = Scalar(kind="pointer", bits=64, is_result=True)
    frame = assign_locations(Signature(parameters=(result, INT)), "aarch64")
    assert frame is not None
    assert [location.kind for location in frame.locations] == ["indirect", "integer"]


def test_a_seed_gives_the_same_inputs_of_one_size() -> None:
    signature = Signature(parameters=(INT, POINTER, DOUBLE))

    def draw(seed: int) -> list[bytes]:
        generator = generator_of(signature, seed=seed, constants=[1234], variable_bytes=16)
        first = [generator.draw() for _ in range(20)]
        made = [*first, *(generator.mutate(item) for item in first)]
        assert 1234 in {item.integers[0] & 0xFFFFFFFF for item in made}
        return [item.encoded() for item in made]

    assert draw(1) == draw(1) != draw(2)
    with_variables = {len(data) for data in draw(1)}
    assert len(with_variables) == 2
    assert max(with_variables) - min(with_variables) == 16


def test_what_code_reads_behind_pointers_is_found_and_set() -> None:
    text = (
        ".type f, @function\nf:\nmovzbl 300(%rdi), %eax\nmovq 8(%rsp), %rcx\n"
        "leaq 16(%rdi), %rdx\ncmpw $-77, 1200(%rdi)\nmovl x(%rip), %ecx\nretq\n"
    )
    fields = memory_fields(text, "f", "x86_64")
    assert fields == [MemoryField(1200, 2, -77), MemoryField(300, 1)]
    arm = ".type f, @function\nf:\nldrh w8, [x0, #12]\nldr x9, [x8]\nldr x1, [sp, #8]\nret\n"
    assert memory_fields(arm, "f", "aarch64") == [MemoryField(12, 2), MemoryField(0, 8)]

    signature = Signature(parameters=(POINTER,))
    generator = generator_of(signature, fields=fields)
    first = generator.draw()
    wanted = (-77 & 0xFFFF).to_bytes(2, "little")
    found = [generator.mutate(first).arena[1200:1202] == wanted for _ in range(400)]
    assert sum(found) > 10


def test_numbers_as_wide_as_pointers_may_all_be_pointers() -> None:
    wide = Scalar(kind="integer", bits=64)
    signature = Signature(parameters=(wide, wide, wide))
    generator = generator_of(signature)
    inputs = [generator.draw().integers[:3] for _ in range(400)]
    counts = [sum(ARENA <= value < ARENA + 6 * STRIDE for value in pair) for pair in inputs]
    assert counts.count(3) > 40
    assert counts.count(0) > 100


def test_addresses_within_what_a_pointer_leads_to() -> None:
    text = "f:\nleaq 40(%rdi), %rax\naddq $24, %rsi\naddq $8, %rsp\nleaq 8(%rsp), %rdi\nretq\n"
    assert address_offsets(text, "f", "x86_64") == [40, 24]
    arm = "f:\nadd x8, x0, #16\nadd x0, sp, #8\nret\n"
    assert address_offsets(arm, "f", "aarch64") == [16]
