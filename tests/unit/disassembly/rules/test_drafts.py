"""Drafts of small functions: what the rules read out of the text, without LLVM."""

from __future__ import annotations

import random

import pytest

from llm_compiler.disassembly.rules.calls import Signature
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.emit import emit
from llm_compiler.disassembly.rules.moves import _other_count
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.disassembly.rules.variant import Variant
from llm_compiler.disassembly.rules.x86_64 import X86_64

HEAD = ".text\n.globl f\n.type f, @function\nf:\n"


def function(body: str, data: str = "") -> Function:
    target = X86_64()
    code = parse_code(HEAD + body + data)
    return Function(code, translate(code, target, frozenset({"exit"})), target, {})


def draft(body: str, data: str = "", **choices: object) -> str:
    return emit(function(body, data), Variant(**choices))  # type: ignore[arg-type]


def test_a_sum_of_two_numbers() -> None:
    text = draft("leal (%rdi, %rsi), %eax\nretq\n")
    assert text.startswith("define i32 @f(i32 %a0, i32 %a1) {")
    assert "add i32" in text


def test_fillers_of_alignment_leave_no_trace() -> None:
    plain = draft("leal (%rdi,%rsi), %eax\nretq\n")
    fillers = "nop\nnopl (%rax)\nnopl (%rdx,%rdx)\nnopw %cs:(%rax,%rax)\n"
    assert draft(f"{fillers}leal (%rdi,%rsi), %eax\nretq\n") == plain


def test_what_addresses_are_made_of_are_pointers() -> None:
    text = draft("movq 8(%rdi), %rax\nmovl (%rax, %rsi, 4), %eax\nretq\n")
    assert text.startswith("define i32 @f(ptr %a0, i64 %a1) {")
    assert "load ptr, ptr" in text
    assert "getelementptr i32, ptr" in text
    assert "inttoptr" not in text


def test_numbers_stay_numbers_where_pointers_are_not_wanted() -> None:
    assert draft("movl (%rdi), %eax\nretq\n", has_pointers=False).startswith(
        "define i32 @f(i64 %a0)"
    )


def test_flags_become_the_comparison_that_they_came_from() -> None:
    text = draft("xorl %eax, %eax\ncmpl $7, %edi\nsetbe %al\nretq\n")
    assert "icmp ule i32" in text
    assert "i32 %t1, 7" in text


def test_flags_reach_a_block_with_several_predecessors() -> None:
    body = (
        "testl %edi, %edi\nje .LBB0_1\ncmpl $3, %esi\njmp .LBB0_2\n"
        ".LBB0_1:\ncmpl $9, %edx\n.LBB0_2:\nsetl %al\nretq\n"
    )
    text = draft(body)
    assert text.count("icmp slt i32") == 2


def test_words_pushed_for_alignment_are_no_parameters() -> None:
    text = draft("pushq %rsi\ncallq g@PLT\npopq %rcx\nretq\n", result="void")
    assert text.startswith("define void @f(i64 %a0)")
    assert "call void @g(i64" in text


def test_registers_of_the_caller_are_saved_without_a_trace() -> None:
    text = draft("pushq %rbx\nmovl %edi, %ebx\ncallq g@PLT\nmovl %ebx, %eax\npopq %rbx\nretq\n")
    assert text.startswith("define i32 @f(i32 %a0) {")
    assert "alloca [" not in text


def test_the_frame_becomes_objects() -> None:
    body = (
        "subq $24, %rsp\nmovl %edi, 4(%rsp)\nleaq 8(%rsp), %rdi\nmovl $0, 8(%rsp)\n"
        "callq g@PLT\nmovl 4(%rsp), %eax\naddq $24, %rsp\nretq\n"
    )
    text = draft(body)
    assert text.count("alloca [") == 2
    assert "alloca [4 x i8], align 4" in text
    assert draft(body, frame="whole").count("alloca [") == 1


def test_jump_tables_become_switches_with_their_range_check() -> None:
    body = (
        "cmpl $2, %edi\nja .LBB0_4\nmovl %edi, %eax\nleaq .LJTI0_0(%rip), %rcx\n"
        "movslq (%rcx, %rax, 4), %rax\naddq %rcx, %rax\njmpq *%rax\n"
        ".LBB0_1:\nmovl $5, %eax\nretq\n.LBB0_2:\nmovl $6, %eax\nretq\n"
        ".LBB0_3:\nmovl $7, %eax\nretq\n.LBB0_4:\nxorl %eax, %eax\nretq\n"
    )
    table = (
        '.section .rodata, "a", @progbits\n.p2align 2, 0x0\n.LJTI0_0:\n'
        ".long .LBB0_1-.LJTI0_0\n.long .LBB0_2-.LJTI0_0\n.long .LBB0_3-.LJTI0_0\n"
    )
    text = draft(body, table)
    assert "switch i32" in text
    assert "unreached" not in text
    assert "unreached" in draft(body, table, keeps_switch=True)


def test_known_functions_have_their_prototypes() -> None:
    text = draft("xorl %esi, %esi\nmovl $9, %edx\njmp memset@PLT\n")
    assert "@memset(ptr" in text
    assert text.startswith("define")
    assert "i64" in text.split("@memset")[1].split(")")[0]


def test_calls_with_dots_name_their_fixed_arguments() -> None:
    text = draft("leaq s(%rip), %rdi\nxorl %eax, %eax\njmp printf@PLT\n")
    assert "call i32 (ptr, ...) @printf(ptr" in text


def test_what_never_returns_ends_its_block() -> None:
    text = draft("pushq %rax\nmovl $1, %edi\ncallq exit@PLT\n")
    assert "noreturn" in text
    assert "unreachable" in text


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("fldt 8(%rsp)\nretq\n", "no rule for 'fldt'"),
        ("jmp .LBB0_9\n", "a jump out of the function"),
        ("movq %rdi, %rsp\nretq\n", "a stack pointer that is computed"),
        ("movl %edi, %eax\n", "code that runs into what follows it"),
        ("jne .LBB0_1\n.LBB0_1:\nretq\n", "a condition that nothing sets"),
    ],
)
def test_what_is_missing_is_named(body: str, cause: str) -> None:
    with pytest.raises(Unliftable, match=cause):
        draft(body)


def test_division_of_an_extended_number_is_a_plain_division() -> None:
    text = draft("movl %edi, %eax\ncltd\nidivl %esi\nretq\n")
    assert "sdiv i32" in text
    assert "i64" not in text


def test_scalar_signs_are_no_vectors() -> None:
    data = (
        '.section .rodata.cst16, "aM", @progbits, 16\n.p2align 4, 0x0\n.LCPI0_0:\n'
        ".quad 0x8000000000000000\n.quad 0x8000000000000000\n"
    )
    text = draft("xorps .LCPI0_0(%rip), %xmm0\nretq\n", data, result="double")
    assert "fneg double" in text


def test_integers_of_the_constant_pool_are_numbers() -> None:
    # GCC writes two fields at once so.
    data = '.section .rodata.cst8, "aM", @progbits, 8\n.p2align 3, 0x0\n.LCPI0_0:\n.quad 1\n'
    text = draft("movq .LCPI0_0(%rip), %rdx\nmovq %rdx, (%rdi)\nretq\n", data)
    assert "store i64 1" in text
    assert "CPI0" not in text


def test_words_that_several_ways_push_are_passed_by_the_call_that_they_share() -> None:
    six = "".join(
        f"movl $1, %{register}\n" for register in ("edi", "esi", "edx", "ecx", "r8d", "r9d")
    )
    text = draft(
        f"testl %edi, %edi\nje .LBB0_1\n{six}pushq $7\njmp .LBB0_2\n"
        f".LBB0_1:\n{six}pushq $8\n.LBB0_2:\ncallq g\npopq %rcx\nretq\n"
    )
    call = next(line for line in text.splitlines() if "@g(" in line)
    assert call.count("i64 %") == 1, call
    assert "store i64 7" in text
    assert "store i64 8" in text


def test_packed_sums_are_vectors() -> None:
    text = draft("movdqu (%rdi), %xmm0\npaddd (%rsi), %xmm0\nmovdqu %xmm0, (%rdi)\nretq\n")
    assert "add <4 x i32>" in text
    assert text.startswith("define void @f(ptr %a0, ptr %a1)")


def test_addresses_that_are_numbers_are_devices() -> None:
    text = draft("testl $1, 1073745924\nje .LBB0_1\nmovl $1, 1073745924\n.LBB0_1:\nretq\n")
    assert "load volatile i32" in text
    assert "store volatile i32" in text


def test_the_prologue_of_a_function_with_dots_becomes_va_start() -> None:
    saved = "".join(f"movaps %xmm{i}, {80 + 16 * i}(%rsp)\n" for i in range(8))
    body = (
        "subq $216, %rsp\nmovq %rdx, 48(%rsp)\nmovq %rcx, 56(%rsp)\nmovq %r8, 64(%rsp)\n"
        f"movq %r9, 72(%rsp)\ntestb %al, %al\nje .LBB0_1\n{saved}.LBB0_1:\n"
        "leaq 32(%rsp), %rax\nmovq %rax, 16(%rsp)\nleaq 224(%rsp), %rax\nmovq %rax, 8(%rsp)\n"
        "movabsq $206158430224, %rax\nmovq %rax, (%rsp)\nmovq %rsp, %rdx\ncallq vprint@PLT\n"
        "addq $216, %rsp\nretq\n"
    )
    text = draft(body, result="void")
    assert text.startswith("define void @f(i64 %a0, i64 %a1, ...)")
    assert text.count("call void @llvm.va_start.p0(ptr %s0)") == 1
    assert "alloca [24 x i8]" in text
    assert "xmm" not in text


def test_a_scan_without_a_bit_is_open_or_leaves_its_destination() -> None:
    code = parse_code(HEAD + "movl %esi, %eax\nbsrl %edi, %eax\nretq\n")
    texts = []
    for keeps in (False, True):
        graph = translate(code, X86_64(), keeps_scanned=keeps)
        texts.append(emit(Function(code, graph, X86_64(), {}), Variant(keeps_scanned=keeps)))
    assert texts[0].startswith("define i32 @f(i32 %a0) {")
    assert "select" not in texts[0]
    assert texts[1].startswith("define i32 @f(i32 %a0, i32 %a1) {")
    assert "select i1" in texts[1]


def test_what_a_call_at_the_end_returns_is_returned_whole() -> None:
    lifted = function("incl %edi\njmp unknown\n")
    assert lifted.result_types()[0] == "void"
    assert lifted.returned_types() == ["i64", "i32"]
    assert function("movl $1, (%rdi)\nretq\n").returned_types() == []


REVERSAL = """
testq %rdi, %rdi
je .LBB0_3
xorl %ecx, %ecx
.LBB0_2:
movq %rdi, %rax
movq (%rdi), %rdi
movq %rcx, (%rax)
movq %rax, %rcx
testq %rdi, %rdi
jne .LBB0_2
retq
.LBB0_3:
xorl %eax, %eax
retq
"""

COPY = """
testq %rdi, %rdi
je .LBB0_2
jmp memcpy@PLT
.LBB0_2:
xorl %eax, %eax
retq
"""


def test_a_pointer_that_reaches_the_return_from_a_loop_is_returned_whole() -> None:
    assert function(REVERSAL).result_types()[0] == "i64"


def test_a_pointer_that_a_call_at_one_end_returns_is_returned_whole() -> None:
    assert function(COPY).result_types()[0] == "ptr"


def test_what_an_unknown_call_returns_is_returned_whole() -> None:
    body = (
        "pushq %rax\n"
        "callq elsewhere@PLT\n"
        "testq %rax, %rax\n"
        "je .LBB0_2\n"
        "movq $1, 8(%rax)\n"
        "popq %rcx\n"
        "retq\n"
        ".LBB0_2:\n"
        "xorl %eax, %eax\n"
        "popq %rcx\n"
        "retq\n"
    )
    assert function(body).result_types()[0] == "i64"


def test_objects_of_the_frame_are_aligned_as_far_as_a_variant_says() -> None:
    body = (
        "subq $56, %rsp\nmovaps %xmm0, (%rsp)\nleaq 16(%rsp), %rdi\nleaq (%rsp), %rsi\n"
        "callq g\naddq $56, %rsp\nretq\n"
    )
    assert "%s1 = alloca [40 x i8], align 16" in draft(body)
    text = draft(body, alignment=8)
    assert "%s1 = alloca [40 x i8], align 8" in text
    # What accesses ask for stays.
    assert "%s0 = alloca [16 x i8], align 16" in text
    assert not Variant(alignment=8).is_sound


def test_a_constant_is_popped_where_another_way_saves_a_register() -> None:
    body = (
        "cmpl $2, (%rdi)\njl .LBB0_1\npushq %rbx\nmovl %esi, %ebx\ncallq g\nmovl %ebx, %eax\n"
        "popq %rbx\nretq\n.LBB0_1:\npushq $5\npopq %rax\nretq\n"
    )
    text = draft(body)
    assert text.startswith("define i64 @f(")
    assert "store i64 5, ptr" in text


def test_an_address_from_the_got_goes_into_a_vector_register() -> None:
    # As GCC does where it stores two pointers at once.
    text = draft("movq v@GOTPCREL(%rip), %xmm0\nmovq %xmm0, (%rdi)\nretq\n")
    assert "ptrtoint ptr @v to i64" in text or "store ptr @v" in text


def test_upper_bits_that_decide_nothing_make_no_parameter() -> None:
    text = draft("movb (%rdi), %cl\nleal -97(%rcx), %edx\ncmpb $25, %dl\nseta %al\nretq\n")
    assert "(ptr %a0)" in text


def test_variables_may_be_taken_for_pointers_though_no_address_is_made_of_them() -> None:
    body = "pushq %rax\nleaq 32(%rdi), %rdi\ncallq use@PLT\npopq %rax\nretq\n"
    assert "i64 %a0" in draft(body, has_pointers=False)
    assert "ptr %a0" in draft(body, guessed_pointers=1)


FILL_IN_A_LOOP = (
    "pushq %r15\npushq %rbx\nxorl %r15d, %r15d\nmovq %rdi, %rbx\nmovl %esi, %edx\n"
    ".L1:\nmovl $5, %ecx\nmovq %rbx, %rdi\nmovq %r15, %rax\n"
    "rep stosq %rax, %es:(%rdi)\n{}addq $48, %rbx\ndecl %edx\njne .L1\n"
    "popq %rbx\npopq %r15\nretq\n"
)


def test_a_fill_with_a_number_of_another_block_is_a_memset() -> None:
    assert "memset" in draft(FILL_IN_A_LOOP.format(""))
    fill = "testl %esi, %esi\nje .L1\nrep stosl %eax, %es:(%rdi)\n.L1:\nretq\n"
    text = draft(f"movl $-1, %eax\nmovl $4, %ecx\n{fill}")
    assert "i8 -1" in text
    assert "i64 16" in text


@pytest.mark.parametrize(
    "body",
    [
        FILL_IN_A_LOOP.format("addq $1, %r15\n"),
        "xorl %eax, %eax\ntestl %esi, %esi\nje .L1\nmovl $1, %eax\n.L1:\n"
        "movl $4, %ecx\nrep stosq %rax, %es:(%rdi)\nretq\n",
        "movl $4, %ecx\nrep stosq %rax, %es:(%rdi)\nretq\n",
        "movl $-1, %eax\nmovl $4, %ecx\nrep stosq %rax, %es:(%rdi)\nretq\n",
        "movq $-1, %r8\nmovl %r8d, %eax\nmovl $4, %ecx\nrep stosq %rax, %es:(%rdi)\nretq\n",
    ],
    ids=["a loop changes it", "two numbers", "a parameter", "half is set", "half is copied"],
)
def test_a_fill_with_what_is_no_number_is_refused(body: str) -> None:
    with pytest.raises(Unliftable):
        draft(body)


def test_all_calls_of_a_function_get_the_same_number_of_arguments() -> None:
    """But those of functions with dots, which C's calls show, and those through pointers."""
    call = "movl $1, %edi\nmovl $2, %esi\n{}callq {}\n"
    calls = (call.format("", "use") * 2) + call.format("xorl %eax, %eax\n", "dots") * 2
    made = function(f"pushq %rbx\n{calls}popq %rbx\nretq\n")
    chance = random.Random(1)
    counts = [dict(_other_count(made, Variant(), chance) or ()) for _ in range(40)]
    assert all(found.get(0) == found.get(1) for found in counts)
    assert any(found.get(2) != found.get(3) for found in counts)


def test_a_frame_pointer_is_set_right_after_it_was_saved() -> None:
    """A register that holds the frame's first object is none: it may be set on one way only."""
    body = (
        "pushq %rbp\npushq %rbx\nsubq $24, %rsp\nmovq %rdi, %rbx\ntestq %rbx, %rbx\nje .LBB0_1\n"
        "movq %rsp, %rbp\nmovq %rbp, %rdi\ncallq fill@PLT\nmovq %rbp, %rdi\ncallq drain@PLT\n"
        ".LBB0_1:\nmovl $3, %eax\naddq $24, %rsp\npopq %rbx\npopq %rbp\nretq\n"
    )
    text = draft(body)
    assert text.count("call ") == 2
    plain = "pushq %rbp\nmovq %rsp, %rbp\nmovl $1, %eax\npopq %rbp\nretq\n"
    target = X86_64()
    assert target.has_frame_pointer(parse_code(HEAD + plain))
    assert not target.has_frame_pointer(parse_code(HEAD + body))


def test_addresses_of_thread_local_variables() -> None:
    """From the thread's base in a register, by a known or an unknown distance."""
    text = draft("movq %fs:0, %rax\nleaq here@TPOFF+4(%rax), %rax\nretq\n")
    assert "@here" in text
    assert "addrspace" not in text
    text = draft("movq %fs:0, %rax\naddq far_away@GOTTPOFF(%rip), %rax\nretq\n")
    assert "@far_away" in text
    assert "addrspace" not in text
    text = draft("movq %fs:0, %rax\nleaq (%rax, %rdi, 8), %rax\naddq $mine@TPOFF, %rax\nretq\n")
    assert "sub i64" in text  # the variable less the thread's base
    assert "@mine" in text


def test_a_shift_of_two_registers_sets_the_flags() -> None:
    text = draft(
        "shrdq $60, %rsi, %rdi\nje .LBB0_1\nmovl $2, %eax\nretq\n.LBB0_1:\nxorl %eax, %eax\nretq\n"
    )
    assert "llvm.fshr.i64" in text
    assert "icmp" in text


def test_every_register_that_holds_something_on_some_way_can_be_passed() -> None:
    # rdx is set on one way and left by h on the other; r8 is set on both.
    body = (
        "pushq %rbx\nmovq %rdi, %rbx\ntestl %esi, %esi\nje .LBB0_2\ncallq h\njmp .LBB0_3\n"
        ".LBB0_2:\nmovl $5, %edx\n.LBB0_3:\nmovl $7, %r8d\nmovq %rbx, %rdi\ncallq g\n"
        "popq %rbx\nretq\n"
    )
    assert "call void @g(i64" in draft(body, result="void", arguments="all")
    text = draft(body, result="void", arguments="every")
    (call,) = (line for line in text.splitlines() if "@g(" in line)
    assert call.count("i64") + call.count("i32") == 6  # r9 is still the caller's on one way
    # What h leaves in rcx is no address by chance.
    assert "zeroinitializer" in text
    assert "zeroinitializer" not in draft(body, result="void", arguments="all")


def test_a_call_is_passed_no_more_than_its_callee_can_read() -> None:
    code = parse_code(HEAD + "leaq 8(%rsi), %rsi\ncallq g\nmovl $1, %eax\nretq\n")
    graph = translate(code, X86_64(), frozenset())
    for most, expected in ((2, 2), (None, 6), (0, 1)):
        known = {"g": Signature(integers=1, vectors=0, most=most)}
        text = emit(Function(code, graph, X86_64(), known), Variant(arguments="all"))
        (call,) = (line for line in text.splitlines() if "@g(" in line)
        assert call.count("%t") - call.count("= call") == expected, (most, call)


def test_what_follows_named_parameters_is_passed_by_no_call() -> None:
    # prvTidytmbsnprintf of tidy: all registers were passed on, so that six counted as named.
    saves = "".join(f"movaps %xmm{number}, {80 + 16 * number}(%rsp)\n" for number in range(8))
    body = (
        "subq $216, %rsp\nleaq 32(%rsp), %r10\nmovq %rcx, 24(%r10)\nmovq %r8, 32(%r10)\n"
        f"movq %r9, 40(%r10)\ntestb %al, %al\nje .LBB0_1\n{saves}.LBB0_1:\nmovq %rsp, %rcx\n"
        "movq %r10, 16(%rcx)\nleaq 224(%rsp), %rax\nmovq %rax, 8(%rcx)\n"
        "movabsq $206158430232, %rax\nmovq %rax, (%rcx)\ncallq g\naddq $216, %rsp\nretq\n"
    )
    for arguments in ("written", "all", "every"):
        text = draft(body, result="void", arguments=arguments)
        assert text.startswith("define void @f(i64 %a0, i64 %a1, i64 %a2, ...)"), arguments


def test_a_number_and_an_integer_that_one_call_may_return() -> None:
    body = (
        "pushq %rbx\nmovq %rdi, %rbx\ncallq {}\nmovsd %xmm0, (%rbx)\nmovq %{}, 8(%rbx)\n"
        "popq %rbx\nretq\n"
    )
    text = draft(body.format("g", "rax"), result="void")
    assert "call { i64, double } @g(" in text
    assert "extractvalue { i64, double }" in text
    assert "bitcast" not in text
    text = draft(body.format("g", "rdx"), result="void")
    assert "call { i64, i64, double } @g(" in text
    # Everybody knows that strtod returns a number alone.
    assert "call double @strtod(" in draft(body.format("strtod", "rax"), result="void")


def test_what_a_jump_went_through_holds_nothing_after_it() -> None:
    body = (
        "cmpl $1, %edi\nja .LBB0_3\nmovl %edi, %eax\nleaq .LJTI0_0(%rip), %rcx\n"
        "movslq (%rcx,%rax,4), %rax\naddq %rcx, %rax\njmpq *%rax\n.LBB0_1:\nmovb $1, %al\n"
        "retq\n.LBB0_2:\nmovl $3, %eax\nretq\n.LBB0_3:\nmovl $4, %eax\nretq\n"
    )
    table = (
        '.section .rodata,"a",@progbits\n.p2align 2\n.LJTI0_0:\n.long .LBB0_1-.LJTI0_0\n'
        ".long .LBB0_2-.LJTI0_0\n"
    )
    text = draft(body, table, result="i64")
    assert "switch" in text
    assert "null" not in text  # which stands for the table


def test_how_many_integers_a_function_reads_that_takes_numbers_too() -> None:
    numbers = function("movsd %xmm0, (%rsi)\nmovq %rdi, 8(%rsi)\nretq\n")
    assert (numbers.most_arguments(), numbers.most_integers()) == (None, 2)
    plain = function("movq %rdi, 8(%rsi)\nretq\n")
    assert (plain.most_arguments(), plain.most_integers()) == (2, 2)
    # What an unknown function may be passed counts.
    passed_on = function("movsd %xmm0, (%rdi)\njmp elsewhere\n")
    assert passed_on.most_integers() == 6


def test_the_stack_pointer_comes_back_from_a_register() -> None:
    """GCC keeps it there while it pushes words for a call."""
    body = (
        "pushq %rbx\nsubq $16, %rsp\nmovq %rsp, %rbx\nsubq $8, %rsp\npushq $7\ncallq g@PLT\n"
        "movq %rbx, %rsp\naddq $16, %rsp\npopq %rbx\nretq\n"
    )
    assert "call" in draft(body)
    with pytest.raises(Unliftable, match="stack pointer that is computed"):
        draft(body.replace("movq %rsp, %rbx", "movq %rdi, %rbx"))
