"""Drafts of small functions of AArch64: what the rules read out of the text, without LLVM."""

from __future__ import annotations

import pytest

from llm_compiler.disassembly.rules.aarch64 import AArch64
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.disassembly.rules.draft import Function
from llm_compiler.disassembly.rules.emission.writer import Writer
from llm_compiler.disassembly.rules.emit import emit
from llm_compiler.disassembly.rules.translate import translate
from llm_compiler.disassembly.rules.variant import Variant

HEAD = ".text\n.globl f\n.type f, @function\nf:\n"


def function(body: str, data: str = "") -> Function:
    target = AArch64()
    code = parse_code(HEAD + body + data)
    return Function(code, translate(code, target, frozenset({"exit"})), target, {})


def draft(body: str, data: str = "", **choices: object) -> str:
    return emit(function(body, data), Variant(**choices))  # type: ignore[arg-type]


def test_a_sum_of_two_numbers() -> None:
    text = draft("add w0, w0, w1\nret\n")
    assert text.startswith("define i32 @f(i32 %a0, i32 %a1) {")
    assert "add i32" in text


def test_what_addresses_are_made_of_are_pointers() -> None:
    text = draft("ldr x8, [x0, #8]\nldr w0, [x8, x1, lsl #2]\nret\n")
    assert text.startswith("define i32 @f(ptr %a0, i64 %a1) {")
    assert "load ptr, ptr" in text
    assert "getelementptr i32, ptr" in text
    assert "inttoptr" not in text


def test_both_halves_of_an_address_are_one_symbol() -> None:
    text = draft("adrp x8, counter+8\nldr w0, [x8, :lo12:counter+8]\nret\n")
    assert "getelementptr i8, ptr @counter, i64 8" in text
    assert text.startswith("define i32 @f() {")


def test_flags_become_the_comparison_that_they_came_from() -> None:
    text = draft("cmp w0, #7\ncset w0, ls\nret\n")
    assert "icmp ule i32" in text
    assert "i32 %t1, 7" in text


def test_conditional_comparisons_become_one_condition() -> None:
    text = draft("cmp w0, #7\nccmp w1, w2, #4, eq\ncset w0, gt\nret\n")
    assert "icmp eq i32" in text
    assert "icmp sgt i32" in text
    assert "and i1" in text
    assert "or i1" in draft("cmp w0, #7\nccmp w1, w2, #4, ne\ncset w0, eq\nret\n")


def test_flags_reach_a_block_with_several_predecessors() -> None:
    body = (
        "cbz w0, .LBB0_1\ncmp w1, #3\nb .LBB0_2\n.LBB0_1:\ncmp w2, #9\n.LBB0_2:\ncset w0, lt\nret\n"
    )
    assert draft(body).count("icmp slt i32") == 2


def test_registers_of_the_caller_are_saved_without_a_trace() -> None:
    text = draft(
        "stp x29, x30, [sp, #-32]!\nstp d8, d9, [sp, #16]\nmov x29, sp\nfmov d8, d0\nbl g\n"
        "fmov d0, d8\nldp d8, d9, [sp, #16]\nldp x29, x30, [sp], #32\nret\n"
    )
    assert text.startswith("define double @f(i64 %a0, double %x0) {")
    assert "alloca [" not in text


def test_the_frame_becomes_objects() -> None:
    body = (
        "sub sp, sp, #32\nstp x29, x30, [sp, #16]\nadd x29, sp, #16\nadd x0, sp, #8\n"
        "str w0, [sp, #4]\nstr wzr, [sp, #8]\nbl g\nldur w0, [x29, #-12]\n"
        "ldp x29, x30, [sp, #16]\nadd sp, sp, #32\nret\n"
    )
    text = draft(body)
    assert text.count("alloca [") == 2
    assert "alloca [4 x i8], align 4" in text


def test_jump_tables_become_switches_with_their_range_check() -> None:
    body = (
        "cmp w0, #2\nb.hi .LBB0_4\nmov w8, w0\nadrp x9, .LJTI0_0\nadd x9, x9, :lo12:.LJTI0_0\n"
        "adr x10, .LBB0_1\nldrb w11, [x9, x8]\nadd x10, x10, x11, lsl #2\nbr x10\n"
        ".LBB0_1:\nmov w0, #5\nret\n.LBB0_2:\nmov w0, #6\nret\n"
        ".LBB0_3:\nmov w0, #7\nret\n.LBB0_4:\nmov w0, wzr\nret\n"
    )
    table = '.section .rodata, "a", @progbits\n.LJTI0_0:\n' + "".join(
        f".byte (.LBB0_{number}-.LBB0_1)>>2\n" for number in (1, 2, 3)
    )
    text = draft(body, table)
    assert text.count("switch") == 1
    assert "label %unreached" not in text


def test_much_may_stand_between_a_table_s_sum_and_the_jump() -> None:
    loads = "".join(f"ldr x{number}, [x1, #{8 * number}]\n" for number in range(12, 19))
    body = (
        "cmp w0, #1\nb.hi .LBB0_3\nmov w8, w0\nadrp x9, .LJTI0_0\nadd x9, x9, :lo12:.LJTI0_0\n"
        f"adr x10, .LBB0_1\nldrb w11, [x9, x8]\nadd x10, x10, x11, lsl #2\n{loads}br x10\n"
        ".LBB0_1:\nadd x0, x12, x13\nret\n.LBB0_2:\nadd x0, x14, x18\nret\n"
        ".LBB0_3:\nmov x0, xzr\nret\n"
    )
    table = '.section .rodata, "a", @progbits\n.LJTI0_0:\n' + "".join(
        f".byte (.LBB0_{number}-.LBB0_1)>>2\n" for number in (1, 2)
    )
    assert draft(body, table).count("switch") == 1


def test_functions_with_more_arguments_read_words_of_the_caller() -> None:
    text = draft("ldr w8, [sp]\nadd w0, w7, w8\nret\n")
    assert text.startswith("define i32 @f(i64 %a0, ")
    assert "i32 %p0)" in text


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("ldaxr w0, [x0]\nret\n", "no rule for 'ldaxr'"),
        ("bl OUTLINED_FUNCTION_0\nret\n", "a call of code that the compiler outlined"),
        ("sub sp, sp, x0\nret\n", "a stack pointer that is computed"),
        ("sub sp, sp, #16\nret\n", "a return with words left on the stack"),
        ("cset w0, eq\nret\n", "a condition that nothing sets"),
        ("add w0, w0\nret\n", "no rule for 'add'"),
    ],
)
def test_what_the_rules_lack_is_said(body: str, cause: str) -> None:
    with pytest.raises(Unliftable) as caught:
        draft(body)
    assert caught.value.cause == cause


def test_results_in_memory_have_their_register() -> None:
    text = draft("stp x0, x1, [x8]\nret\n")
    assert text.startswith("define void @f(ptr sret(i8) %result, i64 %a0, i64 %a1) {")
    text = draft(
        "sub sp, sp, #48\nstr x30, [sp, #32]\nmov x8, sp\nbl g\nldr x0, [sp, #8]\n"
        "ldr x30, [sp, #32]\nadd sp, sp, #48\nret\n"
    )
    assert "call void @g(ptr sret(i8) %" in text


VARIADIC = (
    "sub sp, sp, #240\nstr x30, [sp, #224]\nstp x1, x2, [sp, #128]\nstp x3, x4, [sp, #144]\n"
    "stp x5, x6, [sp, #160]\nstr x7, [sp, #176]\nstp q0, q1, [sp]\nstp q2, q3, [sp, #32]\n"
    "stp q4, q5, [sp, #64]\nstp q6, q7, [sp, #96]\nadd x9, sp, #240\nadd x10, sp, #184\n"
    "mov x11, sp\nadd x11, x11, #128\nmov x8, #-56\nmovk x8, #65408, lsl #32\n"
    "stp x9, x10, [sp, #192]\nstp x11, x8, [sp, #208]\nadd x1, sp, #192\nbl vprintf\n{0}"
    "ldr x30, [sp, #224]\nadd sp, sp, #240\nret\n"
)


def test_saved_arguments_are_a_list() -> None:
    text = draft(VARIADIC.format(""))
    assert text.startswith("define i32 @f(ptr %a0, ...) {")
    assert "call void @llvm.va_start.p0(ptr %s0)" in text
    assert "alloca [32 x i8]" in text


def test_saved_arguments_that_are_read_without_a_list_are_refused() -> None:
    with pytest.raises(Unliftable, match="read without a list"):
        draft(VARIADIC.format("ldr x0, [sp, #128]\n"))


def test_a_list_that_begins_twice_is_one_list() -> None:
    """The second time its parts come from registers that the first block alone sets."""
    body = (
        "sub sp, sp, #288\nstp x29, x30, [sp, #192]\nstp x24, x23, [sp, #208]\n"
        "stp x22, x21, [sp, #224]\nadd x29, sp, #192\n"
        "mov x24, #-56\nadd x21, x29, #96\nadd x22, sp, #128\nadd x23, sp, #192\n"
        "movk x24, #65408, lsl #32\n"
        "stp x1, x2, [sp, #136]\nstp x3, x4, [sp, #152]\nstp x5, x6, [sp, #168]\n"
        "str x7, [sp, #184]\nstp q0, q1, [sp]\nstp q2, q3, [sp, #32]\n"
        "stp q4, q5, [sp, #64]\nstp q6, q7, [sp, #96]\n"
        "stp x21, x23, [sp, #240]\nstp x22, x24, [sp, #256]\nadd x0, sp, #240\nbl g\n"
        "cbz w0, .LBB0_1\n"
        "stp x21, x23, [sp, #240]\nstp x22, x24, [sp, #256]\nadd x0, sp, #240\nbl g\n"
        ".LBB0_1:\nldp x22, x21, [sp, #224]\nldp x24, x23, [sp, #208]\n"
        "ldp x29, x30, [sp, #192]\nadd sp, sp, #288\nret\n"
    )
    text = draft(body)
    assert "%a0, ...) {" in text
    assert text.count("call void @llvm.va_start.p0") == 2


def test_vectors_keep_their_lanes() -> None:
    text = draft("ldr q0, [x0]\nadd v0.4s, v0.4s, v0.4s\nstr q0, [x0]\nret\n", result="void")
    assert "add <4 x i32>" in text


def test_ordered_accesses_are_atomic() -> None:
    text = draft("ldarb w8, [x0]\nstlr w8, [x1]\nldar x0, [x0]\nret\n")
    assert "load atomic i8, ptr %" in text
    assert "seq_cst, align 1" in text
    assert "store atomic i32 %" in text
    assert "load atomic i64, ptr %" in text
    assert "seq_cst, align 8" in text


def test_objects_of_computed_size_are_allocated_before_they_are_rounded_up() -> None:
    body = (
        "stp x29, x30, [sp, #-32]!\nstr x19, [sp, #16]\nmov x29, sp\nadd x9, x1, #15\nmov x8, sp\n"
        "and x9, x9, #0xfffffffffffffff0\nsub x19, x8, x9\nmov sp, x19\nstrb w0, [x19]\n"
        "mov x0, x19\nbl use\nmov sp, x29\nldr x19, [sp, #16]\nldp x29, x30, [sp], #32\nret\n"
    )
    text = draft(body)
    assert "= alloca i8, i64 %t" in text
    assert "and i64" not in text
    with pytest.raises(Unliftable, match="a stack pointer that is computed"):
        draft(body.replace("sub x19, x8, x9", "sub x19, x2, x9"))


def test_a_register_of_a_result_in_memory_that_holds_nothing_is_no_parameter() -> None:
    body = "str x30, [sp, #-16]!\ncbz w0, .LBB0_1\nbl g\nmov w8, w0\n.LBB0_1:\nmov w0, w8\n"
    text = draft(body + "ldr x30, [sp], #16\nret\n", result="i32")
    assert "sret" not in text


def test_fixed_point_numbers_are_scaled() -> None:
    text = draft("ucvtf s0, w0, #15\nret\n")
    assert "uitofp i32" in text
    assert "fmul float" in text


def test_addresses_of_thread_local_variables_in_two_steps() -> None:
    first = "mrs x8, TPIDR_EL0\nadd x8, x8, :tprel_hi12:own\n"
    for rest in (
        "add x8, x8, :tprel_lo12_nc:own\nldr w0, [x8]\n",
        "ldr w0, [x8, :tprel_lo12_nc:own]\n",
    ):
        text = draft(f"{first}{rest}ret\n")
        assert "load i32, ptr" in text
        assert "ptr @own" in text
        assert "thread.pointer" not in text
    with pytest.raises(Unliftable):
        draft(f"{first}add x0, x8, :tprel_lo12_nc:other\nret\n")


def test_an_argument_that_one_way_leaves_in_its_register_may_be_the_result() -> None:
    # x0 is advanced on one way and stays the argument on the other.
    body = "ldrb w8, [x0]\ncbz w8, .LBB0_2\nadd x0, x0, #1\n.LBB0_2:\nret\n"
    assert function(body).result_types() == ["void", "i64", "ptr", "i32"]
    assert function(body).returned_types()[0] == "i64"
    text = draft(body, result="ptr")
    assert text.startswith("define ptr @f(ptr %a0) {")
    # What is not written is no result: a caller has it already.
    assert function("str wzr, [x0]\nret\n").result_types() == ["void"]


def test_several_vectors_are_one_vector_whose_lanes_take_turns() -> None:
    text = draft(
        "ld2 { v0.4s, v1.4s }, [x0]\nadd v0.4s, v0.4s, v1.4s\nst1 { v0.s }[2], [x1]\nret\n"
    )
    assert "load <8 x i32>" in text
    assert "<i32 0, i32 2, i32 4, i32 6>" in text
    assert "extractelement <4 x i32>" in text


def test_a_wide_number_may_end_as_half_a_vector() -> None:
    """Both halves of a register are set where one is read: numbers of any width convert."""
    writer = Writer()
    lines = writer.begin("entry")
    assert writer.convert(("0", "i128"), "<8 x i8>") == "%t1"
    assert lines[-1] == "  %t1 = bitcast i64 0 to <8 x i8>"
    assert writer.convert(("%v", "<2 x i16>"), "i64") == "%t3"
    assert lines[-2:] == ["  %t2 = bitcast <2 x i16> %v to i32", "  %t3 = zext i32 %t2 to i64"]


def test_the_size_of_a_large_frame_comes_from_a_register() -> None:
    text = draft(
        "mov x12, #8272\nsub sp, sp, x12\nstp x29, x30, [sp]\nmov x29, sp\nadd x0, sp, #80\nbl g\n"
        "ldp x29, x30, [sp]\nmov x12, #8272\nadd sp, sp, x12\nret\n"
    )
    assert "alloca [8192 x i8]" in text
    with pytest.raises(Unliftable, match="stack pointer that is computed"):
        draft("sub sp, sp, x0\nadd sp, sp, x0\nret\n")
