"""Comparisons that are noted at run time, and inputs that make them go the other way."""

from __future__ import annotations

import dataclasses
import random
import struct

import pytest

from llm_compiler.verify.architectures import MemoryField
from llm_compiler.verify.comparisons import Compared, read_arm, read_x86
from llm_compiler.verify.inputs import CONTENT_BYTES, Input, buffer_address
from llm_compiler.verify.probes import Branching, with_probes
from llm_compiler.verify.side_by_side.steering import sides_of, steered


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cmpl $300, 8(%rdi, %rcx, 4)", Compared(bits=32, left="8(%rdi, %rcx, 4)", constant=300)),
        ("cmpb $-1, %al", Compared(bits=8, left="%al", constant=255)),
        ("cmpq %rsi, (%rdi)", Compared(bits=64, left="(%rdi)", right="%rsi")),
        ("testl %eax, %eax", Compared(bits=32, left="%eax")),
        ("testb $4, 3(%rbx)", Compared(bits=8, left="3(%rbx)", mask=4)),
        ("testl %eax, %ecx", None),
        ("cmpb %ah, %al", None),
        ("cmpq $.L.str, %rax", None),
        ("addl $1, %eax", None),
    ],
)
def test_what_x86_64_compares(line: str, expected: Compared | None) -> None:
    assert read_x86(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cmp w8, #27", Compared(bits=32, left="x8", constant=27)),
        ("subs x9, x8, x1", Compared(bits=64, left="x8", right="x1")),
        ("cbnz w0, .LBB0_1", Compared(bits=32, left="x0")),
        ("tbz w3, #5, .LBB0_1", Compared(bits=32, left="x3", mask=32)),
        ("tst x1, #0x8", Compared(bits=64, left="x1", mask=8)),
        ("cmp x8, w1, uxtb", None),
        ("cmp x16, #1", None),
        ("add x0, x0, #1", None),
    ],
)
def test_what_aarch64_compares(line: str, expected: Compared | None) -> None:
    assert read_arm(line) == expected


TEXT = """.globl f
.type f, @function
f:
cmpl $77, (%rdi)
jne .LBB0_2
movl $1, %eax
retq
.LBB0_2:
xorl %eax, %eax
retq
"""


def test_a_comparison_knows_its_block_and_where_it_leads() -> None:
    probed = with_probes(TEXT, "f", "x86_64", notes=True)
    assert probed.num_blocks == 3
    (branching,) = probed.branchings
    assert (branching.block, branching.leads_to) == (0, frozenset({1, 2}))
    assert branching.offset % 8 == 0
    assert probed.num_bytes == branching.offset + 16
    assert with_probes(TEXT, "f", "x86_64").branchings == ()


def input_of(arena: bytes) -> Input:
    return Input(
        integers=(1 << 40,) * 8,
        indirect=0,
        floats=(0,) * 16,
        stack=(),
        choices=(9,) * 16,
        variables=None,
        arena=arena + bytes(CONTENT_BYTES - len(arena)),
    )


def test_a_word_that_was_compared_becomes_what_it_was_compared_with() -> None:
    branching = with_probes(TEXT, "f", "x86_64", notes=True).branchings[0]
    given = input_of(struct.pack("<4I", 5, 123456, 5, 5))
    coverage = bytes(branching.offset) + struct.pack("<2Q", 123456, 0)
    sides = sides_of(branching, coverage)
    assert sides == (123456, 77)
    chance = random.Random(1)
    made = [steered(given, branching, sides, [], chance) for _ in range(40)]
    values = {struct.unpack_from("<4I", each.arena)[1] for each in made if each is not None}
    assert 77 in values
    rest = [struct.unpack_from("<4I", each.arena) for each in made if each is not None]
    assert all((first, *others) == (5, 5, 5) for first, _, *others in rest)


def test_a_value_that_is_not_in_the_input_gives_none() -> None:
    branching = Branching(
        compared=Compared(bits=64, left="%rax", constant=1),
        block=0,
        leads_to=frozenset({1}),
        offset=8,
    )
    sides = 0x123456789ABCDEF, 1
    assert steered(input_of(b""), branching, sides, [], random.Random(0)) is None


def test_words_that_the_code_reads_come_first() -> None:
    branching = with_probes(TEXT, "f", "x86_64", notes=True).branchings[0]
    words = [0] * 48
    words[14] = 0
    given = dataclasses.replace(
        input_of(struct.pack("<48I", *words)), integers=(buffer_address(0),) + (1 << 40,) * 7
    )
    chance = random.Random(1)
    fields = [MemoryField(56, 4)]
    made = [steered(given, branching, (0, 77), [], chance, fields) for _ in range(40)]
    hits = sum(any(each.arena[56:60]) for each in made if each)
    assert hits > 15
    made = [steered(given, branching, (0, 77), [], chance) for _ in range(40)]
    assert sum(any(each.arena[56:60]) for each in made if each) < hits
