from __future__ import annotations

import pytest

from llm_compiler.dataset.assembly import normalize_assembly

X86, ARM = "x86_64-pc-linux-gnu", "aarch64-linux-gnu"

CLANG = """\
	.text
	.file	"a # b.c"
	.globl	f                               # -- Begin function f
	.type	f,@function
f:                                      # @f
	.cfi_startproc
# %bb.0:
	pushq	%rbx
	.cfi_def_cfa_offset 16
.Ltmp0:
	movl	.L.str(%rip),  %eax	# comment
.LBB0_1:                                # =>This Inner Loop Header
	jne	.LBB0_1
	retq
.Lfunc_end0:
	.size	f, .Lfunc_end0-f
	.cfi_endproc
                                        # -- End function
	.section	.rodata.str1.1,"aMS",@progbits,1
.L.str:
	.asciz	"a # \\"b\\",  c // d"
	.size	.L.str, 16

	.ident	"clang"
	.section	".note.GNU-stack","",@progbits
	.addrsig
	.addrsig_sym f
"""

NORMAL = """\
.text
.globl f
.type f, @function
f:
pushq %rbx
movl .L.str(%rip), %eax
.LBB0_1:
jne .LBB0_1
retq
.section .rodata.str1.1, "aMS", @progbits, 1
.L.str:
.asciz "a # \\"b\\",  c // d"
.size .L.str, 16
"""


def test_clangs_assembly() -> None:
    assert normalize_assembly(CLANG, X86) == NORMAL
    assert normalize_assembly(NORMAL, X86) == NORMAL


def test_call_frames_can_be_kept() -> None:
    kept = normalize_assembly(CLANG, X86, keep_cfi=True).splitlines()
    assert [line for line in kept if not line.startswith(".cfi_")] == NORMAL.splitlines()
    assert len(kept) == len(NORMAL.splitlines()) + 3


def test_functions_with_a_personality_keep_the_link_to_their_table() -> None:
    text = (
        "f:\n.cfi_startproc\n.cfi_personality 155, DW.ref.p\n.cfi_lsda 27, .Lexception0\n"
        "pushq %rbx\n.cfi_def_cfa_offset 16\nretq\n.cfi_endproc\n"
        "g:\n.cfi_startproc\nretq\n.cfi_endproc\n"
        ".Lexception0:\n.byte 255\n"
    )
    assert normalize_assembly(text, X86) == (
        "f:\n.cfi_startproc\n.cfi_personality 155, DW.ref.p\n.cfi_lsda 27, .Lexception0\n"
        "pushq %rbx\nretq\n.cfi_endproc\ng:\nretq\n.Lexception0:\n.byte 255\n"
    )


def test_labels_are_numbered_in_the_order_in_which_they_stand() -> None:
    text = (
        ".section .rodata\n.LCPI0_3:\n.long 1\n.LCPI0_1:\n.long 2\n.text\nf:\n"
        "movss .LCPI0_1(%rip), %xmm0\naddss .LCPI0_3(%rip), %xmm0\n.LBB0_7:\njne .LBB0_2\n"
        ".LBB0_2:\njmp .LBB0_7\ng:\n.LBB1_9:\njmp .LBB1_9\n.LJTI0_4:\n.long .LBB0_7-.LJTI0_4\n"
        '.ascii ".LBB0_7"\n'
    )
    expected = text
    for old, new in (
        (".LCPI0_3", "A"),
        (".LCPI0_1", ".LCPI0_1"),
        ("A", ".LCPI0_0"),
        (".LBB0_7", ".LBB0_1"),
        (".LBB0_2", ".LBB0_2"),
        (".LBB1_9", ".LBB1_1"),
        (".LJTI0_4", ".LJTI0_0"),
        ('.ascii ".LBB0_1"', '.ascii ".LBB0_7"'),
    ):
        expected = expected.replace(old, new)
    assert normalize_assembly(text, X86) == expected
    assert normalize_assembly(expected, X86) == expected


def test_a_label_that_is_nowhere_does_not_become_one_that_is() -> None:
    text = "f:\njmp .LBB0_1\n.LBB0_3:\njmp .LBB0_3\n"
    assert normalize_assembly(text, X86) == text


def test_what_is_said_of_undefined_symbols_stands_last() -> None:
    text = (
        ".hidden b\n.hidden v\n.hidden f\nf:\ncallq a\ncallq b\nretq\n.weak c\n.hidden a\n"
        ".local v\n.comm v, 4, 4\n"
    )
    assert normalize_assembly(text, X86) == (
        ".hidden v\n.hidden f\nf:\ncallq a\ncallq b\nretq\n.local v\n.comm v, 4, 4\n"
        ".hidden a\n.hidden b\n.weak c\n"
    )


@pytest.mark.parametrize(
    ("line", "triple", "expected"),
    [
        ("mov w0, #1 // =0x1", ARM, "mov w0, #1\n"),
        ("# a preprocessor's line", ARM, ""),
        ("movl $1, %eax # 1", X86, "movl $1, %eax\n"),
        ("/* GCC's */ nop", X86, "nop\n"),
        ('.ascii "\\\\" # two', X86, '.ascii "\\\\"\n'),
        ("movl $4294967295, %eax", X86, "movl $-1, %eax\n"),
        ("cmpw $32768, (%rdi)", X86, "cmpw $-32768, (%rdi)\n"),
        ("movq $4294967295, (%rdi)", X86, "movq $4294967295, (%rdi)\n"),
        ("a: b: nop", X86, "a:\nb:\nnop\n"),
    ],
)
def test_comments_and_labels(line: str, triple: str, expected: str) -> None:
    assert normalize_assembly(line, triple) == expected
