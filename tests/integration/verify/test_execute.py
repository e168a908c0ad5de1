"""A function and a lift of it, run side by side."""

from __future__ import annotations

import math
import shutil
from functools import cache
from pathlib import Path

import pytest

from llm_compiler.errors import ToolchainNotFound
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.verify.execute import ExecuteOptions, Execution, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftVerdict
from llm_compiler.verify.round_trip import lower, read_code_object
from llm_compiler.verify.target import find_target

EXACT, PASSED, UNPROVED, REFUTED = (
    LiftVerdict.EXACT,
    LiftVerdict.TESTS_PASSED,
    LiftVerdict.UNPROVED,
    LiftVerdict.REFUTED,
)
ADD = {
    "x86_64": ".text\n.globl f\n.type f, @function\nf:\nleal 3(%rdi, %rsi), %eax\nretq\n",
    "aarch64": ".text\n.globl f\n.p2align 2\n.type f, @function\nf:\nadd w8, w0, w1\n"
    "add w0, w8, #3\nret\n",
}


@cache
def executor(architecture: str, toolchain: Toolchain, folder: Path) -> Executor:
    target = find_target(architecture, toolchain)
    return Executor(target, folder, ExecuteOptions(num_inputs=48, min_inputs=12))


def judge(
    assembly: str,
    ir: str,
    toolchain: Toolchain,
    folder: Path,
    architecture: str = "x86_64",
    bounds: dict[str, int] | None = None,
    fields: frozenset[int] = frozenset(),
    seconds: float = math.inf,
) -> Execution:
    triple = f"{architecture}-pc-linux-gnu"
    assemble(assembly, architecture, toolchain, folder / "original.o")
    job = InspectLiftJob(texts=(ir,), function="f", target_triple=triple)
    inspection = next(job.run(WorkerState(), 0))
    (folder / "lifted.ll").write_text(inspection.text)
    lower(folder / "lifted.ll", folder / "lifted.o", architecture, toolchain)
    originals, lifted = (
        read_code_object(folder / name, toolchain) for name in ("original.o", "lifted.o")
    )
    # One folder for all: the driver is compiled once.
    runner = executor(architecture, toolchain, folder.parent)
    return runner.verify(
        originals, assembly, "f", lifted, inspection, bounds=bounds, fields=fields, seconds=seconds
    )


def ir(body: str, signature: str = "i32 @f(i32 %a, i32 %b)", rest: str = "") -> str:
    return f"define {signature} {{\n{body}\n}}\n{rest}\n"


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_the_same_in_other_words_passes(
    architecture: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    try:
        find_target(architecture, toolchain)
    except ToolchainNotFound as error:
        pytest.skip(str(error))
    body = "%c = sub i32 %b, -3\n%d = add i32 %c, %a\nret i32 %d"
    found = judge(ADD[architecture], ir(body), toolchain, tmp_path, architecture)
    assert (found.verdict, found.reason) == (PASSED, "")
    assert (found.num_covered, found.num_blocks) == (1, 1)
    body = "%c = sub i32 %b, -4\n%d = add i32 %c, %a\nret i32 %d"
    found = judge(ADD[architecture], ir(body), toolchain, tmp_path, architecture)
    assert found.verdict is REFUTED
    assert found.counterexample is not None
    assert found.counterexample.arguments[0].startswith("argument 1: i32 ")
    assert "instead of" in found.counterexample.difference


CALLS = """.text
.globl f
.type f, @function
f:
pushq %rbx
movq %rdi, %rbx
movl (%rdi), %edi
callq g@PLT
movl %eax, 4(%rbx)
popq %rbx
retq
"""
CALL_BODY = """%v = load i32, ptr %p
%r = call i32 @g(i32 {argument})
%q = getelementptr i8, ptr %p, i64 {offset}
{store}
ret i32 %r"""
G = "declare i32 @g(i32)"


@pytest.mark.parametrize(
    ("argument", "offset", "store", "verdict", "reason"),
    [
        ("%v", 4, "store i32 %r, ptr %q", PASSED, ""),
        ("%v", 8, "store i32 %r, ptr %q", REFUTED, "memory is different"),
        ("%v", 4, "", REFUTED, "memory is different"),
        ("7", 4, "store i32 %r, ptr %q", REFUTED, "call 1, of g, gets"),
        ("%v", 4, "store i32 %r, ptr null", REFUTED, "crashes with SIG"),
        ("%v", 4, "store i32 %r, ptr %q\n%t = call i32 @g(i32 1)", REFUTED, "2 calls instead of 1"),
        (
            "%v",
            4,
            "store i32 %r, ptr %q\nbr label %l\nl:\nbr label %l\nx:",
            REFUTED,
            "does not end",
        ),
    ],
)
def test_memory_and_calls_are_compared(
    argument: str,
    offset: int,
    store: str,
    verdict: LiftVerdict,
    reason: str,
    toolchain: Toolchain,
    tmp_path: Path,
) -> None:
    body = CALL_BODY.format(argument=argument, offset=offset, store=store)
    found = judge(CALLS, ir(body, "i32 @f(ptr %p)", G), toolchain, tmp_path)
    assert (found.verdict, reason in found.reason) == (verdict, True), found


def test_a_signature_that_hides_something_is_no_proof(toolchain: Toolchain, tmp_path: Path) -> None:
    void = ir("ret void", "void @f(i32 %a, i32 %b)")
    found = judge(ADD["x86_64"], void, toolchain, tmp_path)
    assert found.verdict is UNPROVED
    assert "may return an integer" in found.reason
    two = CALLS.replace("callq g@PLT", "movl %edi, %esi\nimull %esi, %esi\ncallq g@PLT")
    body = CALL_BODY.format(argument="%v", offset=4, store="store i32 %r, ptr %q")
    found = judge(two, ir(body, "i32 @f(ptr %p)", G), toolchain, tmp_path)
    assert found.verdict is UNPROVED
    assert "g may take more arguments" in found.reason


def test_what_inputs_do_not_reach_is_not_proved(toolchain: Toolchain, tmp_path: Path) -> None:
    hidden = (
        ".text\n.globl f\n.type f, @function\nf:\nimulq $1000003, %rdi, %rax\nxorq %rdi, %rax\n"
        "movabsq $81985529216486895, %rcx\ncmpq %rcx, %rax\nje .LBB0_1\nretq\n.LBB0_1:\n"
        "xorl %eax, %eax\nretq\n"
    )
    body = "%m = mul i64 %a, 1000003\n%x = xor i64 %m, %a\nret i64 %x"
    found = judge(hidden, ir(body, "i64 @f(i64 %a)"), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (UNPROVED, "the inputs run 2 of its 3 basic blocks")


def test_blocks_that_only_the_search_ran_are_no_evidence(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    """The time may end after the search for inputs, before both have run on them."""
    body = "%c = sub i32 %b, -3\n%d = add i32 %c, %a\nret i32 %d"
    found = judge(ADD["x86_64"], ir(body), toolchain, tmp_path, seconds=0.0)
    assert found.verdict is UNPROVED
    assert found.num_covered == found.num_blocks == 1
    assert "there was time for 0 of 1 inputs" in found.reason


def test_what_lies_behind_calls_and_fields_is_reached(toolchain: Toolchain, tmp_path: Path) -> None:
    # Nine calls that must all answer 0, and a field far behind a pointer that must hold a number.
    calls = "".join(f"callq g{number}@PLT\ntestl %eax, %eax\njne .LBB0_2\n" for number in range(9))
    text = (
        ".text\n.globl f\n.type f, @function\nf:\npushq %rbx\nmovq %rdi, %rbx\n"
        f"{calls}xorl %eax, %eax\ncmpl $7654321, 1320(%rbx)\njne .LBB0_2\n"
        "movl $5, %eax\n.LBB0_2:\npopq %rbx\nretq\n"
    )
    blocks = [
        f"b{number}:\n%r{number} = call i32 @g{number}()\n%c{number} = icmp eq i32 %r{number}, 0\n"
        f"br i1 %c{number}, label %b{number + 1}, label %e{number}\n"
        f"e{number}:\nret i32 %r{number}"
        for number in range(9)
    ]
    last = (
        "b9:\n%q = getelementptr i8, ptr %p, i64 1320\n%v = load i32, ptr %q\n"
        "%x = icmp eq i32 %v, 7654321\n%s = select i1 %x, i32 {answer}, i32 0\nret i32 %s"
    )
    rest = "\n".join(f"declare i32 @g{number}()" for number in range(9))
    for answer, verdict in ((5, PASSED), (6, REFUTED)):
        body = "\n".join([*blocks, last.format(answer=answer)])
        found = judge(text, ir(body, "i32 @f(ptr %p)", rest), toolchain, tmp_path)
        assert found.verdict is verdict, found


def test_a_crash_of_the_original_is_no_evidence(toolchain: Toolchain, tmp_path: Path) -> None:
    crash = ".text\n.globl f\n.type f, @function\nf:\nud2\n"
    found = judge(crash, ir("ret i32 0"), toolchain, tmp_path)
    assert found.verdict is UNPROVED
    assert found.num_completed == 0


def test_system_calls_are_not_run(toolchain: Toolchain, tmp_path: Path) -> None:
    text = ".text\n.globl f\n.type f, @function\nf:\nmovl $39, %eax\nsyscall\nretq\n"
    found = judge(text, ir("ret i32 0"), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (UNPROVED, "it makes system calls of its own")


def test_static_variables_are_compared(toolchain: Toolchain, tmp_path: Path) -> None:
    text = (
        ".text\n.globl f\n.type f, @function\nf:\nincl counter(%rip)\nmovl counter(%rip), %eax\n"
        "retq\n.type counter, @object\n.local counter\n.comm counter, 4, 4\n"
    )
    body = "%c = load i32, ptr @counter\n%d = add i32 %c, {}\nstore i32 %d, ptr @counter\n{}"
    variable = "@counter = internal global i32 0\n"
    good = variable + ir(body.format(1, "ret i32 %d"), "i32 @f()")
    assert judge(text, good, toolchain, tmp_path).verdict is PASSED
    forgets = good.replace("store i32 %d, ptr @counter\n", "")
    assert judge(text, forgets, toolchain, tmp_path).verdict is REFUTED
    lacks = ir("ret i32 0", "i32 @f()")
    assert "no variable 'counter'" in judge(text, lacks, toolchain, tmp_path).reason


@pytest.mark.skipif(not shutil.which("qemu-aarch64"), reason="needs qemu-user")
def test_calls_and_memory_on_aarch64(toolchain: Toolchain, tmp_path: Path) -> None:
    text = (
        ".text\n.globl f\n.p2align 2\n.type f, @function\nf:\nstp x30, x19, [sp, #-16]!\n"
        "mov x19, x0\nldr w0, [x0]\nbl g\nstr w0, [x19, #4]\nldp x30, x19, [sp], #16\nret\n"
    )
    for argument, verdict in (("%v", PASSED), ("5", REFUTED)):
        body = CALL_BODY.format(argument=argument, offset=4, store="store i32 %r, ptr %q")
        found = judge(text, ir(body, "i32 @f(ptr %p)", G), toolchain, tmp_path, "aarch64")
        assert found.verdict is verdict, found


def test_places_of_own_data_count_by_what_is_there(toolchain: Toolchain, tmp_path: Path) -> None:
    text = (
        ".text\n.globl f\n.type f, @function\nf:\nleaq .L.str(%rip), %rax\nretq\n"
        '.type .L.str, @object\n.section .rodata.str1.1, "aMS", @progbits, 1\n.L.str:\n'
        '.asciz "hello"\n.size .L.str, 6\n'
    )
    other = '@s = private constant [7 x i8] c"?hello\\00"\n'
    body = "ret ptr getelementptr (i8, ptr @s, i64 {})"
    for offset, verdict in ((1, PASSED), (2, REFUTED)):
        found = judge(text, other + ir(body.format(offset), "ptr @f()"), toolchain, tmp_path)
        assert found.verdict is verdict, found


def test_a_long_way_of_pointers_is_followed(toolchain: Toolchain, tmp_path: Path) -> None:
    # Each word on the way is a pointer in a third of the inputs: chance alone never gets there.
    places = [8, 72, 136, 24, 264, 40, 200, 88, 328, 16]
    steps = "".join(f"movq {place}(%rdi), %rdi\n" for place in places)
    lines = f"{steps}movl (%rdi), %eax\nretq\n"
    assembly = f".text\n.globl f\n.type f, @function\nf:\n{lines}"

    def lift(added: int) -> str:
        lines, pointer = [], "%p"
        for number, place in enumerate(places):
            lines.append(f"%a{number} = getelementptr i8, ptr {pointer}, i64 {place}")
            lines.append(f"%p{number} = load ptr, ptr %a{number}")
            pointer = f"%p{number}"
        lines += [f"%v = load i32, ptr {pointer}", f"%w = add i32 %v, {added}", "ret i32 %w"]
        return ir("\n".join(lines), "i32 @f(ptr %p)")

    found = judge(assembly, lift(0), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    assert judge(assembly, lift(1), toolchain, tmp_path).verdict is REFUTED


def test_registers_beyond_what_a_function_reads_raise_no_doubt(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    lines = ("movl %edi, %esi", "shll $3, %esi", "callq g", "leal 8(,%rax,8), %eax")
    assembly = code("pushq %rax", *lines, "popq %rcx", "retq")
    body = "%c = call i32 @g(i32 %a)\n%d = add i32 %c, 1\n%e = shl i32 %d, 3\nret i32 %e"
    lift = ir(body, "i32 @f(i32 %a)", "declare i32 @g(i32)")
    found = judge(assembly, lift, toolchain, tmp_path)
    assert found.verdict is UNPROVED
    assert "g may take more arguments" in found.reason
    found = judge(assembly, lift, toolchain, tmp_path, bounds={"g": 1})
    assert (found.verdict, found.reason) == (PASSED, "")


def code(*lines: str) -> str:
    return ".text\n.globl f\n.type f, @function\nf:\n" + "".join(f"{line}\n" for line in lines)


def test_which_nan_a_sum_is_says_nothing(toolchain: Toolchain, tmp_path: Path) -> None:
    add = code("movss (%rdi), %xmm0", "addss (%rsi), %xmm0", "movss %xmm0, (%rdi)", "retq")
    lines = (
        "%x = load float, ptr %p\n%y = load float, ptr %q\n%z = {} float %y, %x\n"
        "store float %z, ptr %p\nret void"
    )
    signature = "void @f(ptr %p, ptr %q)"
    found = judge(add, ir(lines.format("fadd"), signature), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    for other in ("fsub", "fmul"):
        found = judge(add, ir(lines.format(other), signature), toolchain, tmp_path)
        assert found.verdict is REFUTED, other
    # The words of -1 and -2 are NaN, too: they are others all the same.
    minus = code("movl $-1, (%rdi)", "retq")
    lift = ir("store i32 -2, ptr %p\nret void", "void @f(ptr %p)")
    assert judge(minus, lift, toolchain, tmp_path).verdict is REFUTED
    minus = code("movl $-1, (%rdi)", "addss %xmm0, %xmm0", "retq")
    assert judge(minus, lift, toolchain, tmp_path).verdict is not PASSED


def test_what_a_caller_keeps_is_no_content_of_an_object(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    # The word after the one that is passed is the caller's rbx.
    kept = code(
        "pushq %rbx",
        "subq $16, %rsp",
        "movl %edi, %ebx",
        "movq $5, 8(%rsp)",
        "leaq 8(%rsp), %rdi",
        "callq g",
        "movl %ebx, %eax",
        "addq $16, %rsp",
        "popq %rbx",
        "retq",
    )
    body = "%x = alloca [2 x i64]\nstore i64 {}, ptr %x\ncall void @g(ptr %x)\nret i32 %a"
    rest = "declare void @g(ptr)"
    found = judge(kept, ir(body.format(5), "i32 @f(i32 %a)", rest), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    found = judge(kept, ir(body.format(6), "i32 @f(i32 %a)", rest), toolchain, tmp_path)
    assert "other contents of the stack" in found.reason


@pytest.mark.parametrize("architecture", ["x86_64", "aarch64"])
def test_fields_that_only_a_callee_reads_must_be_there(
    architecture: str, toolchain: Toolchain, tmp_path: Path
) -> None:
    # As libtommath's mp_root_u32: a copy of 24 bytes on the stack, of which a lift lost the last 8.
    copies = {
        "x86_64": code(
            "subq $40, %rsp", "movups (%rdi), %xmm0", "movaps %xmm0, (%rsp)",
            "movq 16(%rdi), %rax", "movq %rax, 16(%rsp)", "movq %rsp, %rdi", "callq g",
            "addq $40, %rsp", "retq",
        ),
        "aarch64": code(
            "sub sp, sp, #48", "str x30, [sp, #32]", "ldr q0, [x0]", "str q0, [sp]",
            "ldr x8, [x0, #16]", "str x8, [sp, #16]", "mov x0, sp", "bl g",
            "ldr x30, [sp, #32]", "add sp, sp, #48", "ret",
        ),
    }[architecture]  # fmt: skip
    body = (
        "%x = alloca [24 x i8], align 16\n%v = load <2 x i64>, ptr %p, align 1\n"
        "store <2 x i64> %v, ptr %x, align 16\n%q = getelementptr i8, ptr %p, i64 16\n"
        "%w = load i64, ptr %q, align 1\n{}call void @g(ptr %x)\nret void"
    )
    kept = "%y = getelementptr i8, ptr %x, i64 16\nstore i64 %w, ptr %y\n"
    rest, signature, fields = "declare void @g(ptr)", "void @f(ptr %p)", frozenset({2})
    lift = ir(body.format(kept), signature, rest)
    found = judge(copies, lift, toolchain, tmp_path, architecture, fields=fields)
    assert (found.verdict, found.reason) == (PASSED, "")
    lift = ir(body.format(""), signature, rest)
    found = judge(copies, lift, toolchain, tmp_path, architecture, fields=fields)
    assert "other contents of the stack" in found.reason
    assert found.verdict is not PASSED


def test_an_object_of_the_own_frame_ends_with_it(toolchain: Toolchain, tmp_path: Path) -> None:
    # The word after the one that is passed is the caller's: the last of the own frame.
    passes = code(
        "sub sp, sp, #16", "str x30, [sp]", "str x0, [sp, #8]", "add x0, sp, #8",
        "bl g", "ldr x30, [sp]", "add sp, sp, #16", "ret",
    )  # fmt: skip
    body = "%x = alloca i64\n%y = alloca i64\nstore i64 {}, ptr %x\ncall void @g(ptr %x)\nret void"
    signature, rest = "void @f(i64 %a)", "declare void @g(ptr)"
    lift = ir(body.format("%a"), signature, rest)
    found = judge(passes, lift, toolchain, tmp_path, "aarch64")
    assert (found.verdict, found.reason) == (PASSED, "")
    found = judge(passes, ir(body.format("7"), signature, rest), toolchain, tmp_path, "aarch64")
    assert "other contents of the stack" in found.reason
    # A caller's words that are passed on themselves count.
    passed_on = code("str x30, [sp, #-16]!", "add x0, sp, #16", "bl g", "ldr x30, [sp], #16", "ret")
    found = judge(passed_on, ir(body.format("7"), signature, rest), toolchain, tmp_path, "aarch64")
    assert found.verdict is not PASSED


TABLE = """.text
.globl f
.type f, @function
f:
pushq %rbx
movl %edi, %ebx
cmpl $3, %edi
ja .LBB0_4
movl %edi, %eax
leaq .LJTI0_0(%rip), %rcx
movslq (%rcx,%rax,4), %rax
addq %rcx, %rax
jmpq *%rax
.LBB0_1:
movl $7, %edi
callq g
popq %rbx
retq
.LBB0_2:
movl $9, %edi
callq g
popq %rbx
retq
.LBB0_3:
movl $4, %edi
callq g
.LBB0_4:
popq %rbx
retq
.section .rodata,"a",@progbits
.p2align 2
.LJTI0_0:
.long .LBB0_1-.LJTI0_0
.long .LBB0_2-.LJTI0_0
.long .LBB0_3-.LJTI0_0
.long .LBB0_2-.LJTI0_0
"""


def test_the_address_of_a_jump_table_is_no_argument(toolchain: Toolchain, tmp_path: Path) -> None:
    # rcx holds it at every call: a fourth argument of g, if anybody could mean it.
    body = (
        "switch i32 %a, label %e [ i32 0, label %x\n i32 1, label %y\n i32 2, label %z\n"
        " i32 3, label %y ]\nx:\ncall void @g(i32 7)\nbr label %e\ny:\ncall void @g(i32 9)\n"
        "br label %e\nz:\ncall void @g(i32 {})\nbr label %e\ne:\nret void"
    )
    signature, rest = "void @f(i32 %a)", "declare void @g(i32)"
    found = judge(TABLE, ir(body.format(4), signature, rest), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    found = judge(TABLE, ir(body.format(5), signature, rest), toolchain, tmp_path)
    assert found.verdict is REFUTED
    # A comparison's result in the lowest byte leaves the rest of it.
    for change, is_doubted in (("cmpl $9, %ebx\nsete %cl", False), ("movb $5, %cl", True)):
        other = TABLE.replace("movl $7, %edi", f"{change}\nmovl $7, %edi")
        found = judge(other, ir(body.format(4), signature, rest), toolchain, tmp_path)
        assert (found.verdict is UNPROVED) == is_doubted, found.reason
    # Another constant's address is one that a callee may be passed.
    other = TABLE.replace("movl $4, %edi", "movl $4, %edi\nleaq .LCPI0_0(%rip), %rcx")
    other += ".LCPI0_0:\n.long 12\n"
    found = judge(other, ir(body.format(4), signature, rest), toolchain, tmp_path)
    assert "g may take more arguments" in found.reason


def test_what_well_known_functions_surely_leave_is_no_result(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    # The lift uses rax after the call; the original leaves there what the callee did.
    lines = (
        "pushq %rbx", "movq %rsi, %rbx", "callq {}@PLT", "movl (%rbx), %ecx", "imull %ecx, %ecx",
        "movl %ecx, (%rbx)", "popq %rbx", "retq",
    )  # fmt: skip
    body = (
        "call void @{}(ptr %p)\n%v = load i32, ptr %q\n%w = mul i32 %v, %v\n"
        "store i32 %w, ptr %q\nret void"
    )
    for name in ("free", "unknown"):
        lift = ir(body.format(name), "void @f(ptr %p, ptr %q)", f"declare void @{name}(ptr)")
        original = code(*(line.format(name) for line in lines))
        found = judge(original, lift, toolchain, tmp_path)
        if name == "free":
            assert (found.verdict, found.reason) == (PASSED, "")
        else:
            assert (
                found.reason
                == "the original may return an integer, and the lifted function does not"
            )


@pytest.mark.parametrize("name", ["free", "_ZdlPv", "other"])
def test_freeing_nothing_may_be_left_out(name: str, toolchain: Toolchain, tmp_path: Path) -> None:
    frees = code(
        "pushq %rbx", "movl %esi, %ebx", "testq %rdi, %rdi", "jne .LBB0_2", f"callq {name}@PLT",
        ".LBB0_2:", "movl %ebx, %eax", "popq %rbx", "retq",
    )  # fmt: skip
    signature = "i32 @f(ptr %p, i32 %a)"
    found = judge(frees, ir("ret i32 %a", signature), toolchain, tmp_path)
    assert found.verdict is (REFUTED if name == "other" else PASSED), found.reason
    # What is something has to be freed.
    always = frees.replace("jne .LBB0_2\n", "")
    found = judge(always, ir("ret i32 %a", signature), toolchain, tmp_path)
    assert found.verdict is REFUTED
    rest = f"declare void @{name}(ptr)"
    lift = ir(f"call void @{name}(ptr %p)\nret i32 %a", signature, rest)
    assert judge(always, lift, toolchain, tmp_path).verdict is PASSED


def test_what_a_callee_sets_is_the_same_wherever_objects_are(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    asks = code(
        "subq $8, %rsp",
        "leaq 4(%rsp), %rdi",
        "callq g",
        "movl 4(%rsp), %eax",
        "addq $8, %rsp",
        "retq",
    )
    body = "%x = alloca i64, align 8\ncall void @g(ptr %x)\n%v = load i32, ptr %x\nret i32 %v"
    lift = ir(body, "i32 @f()", "declare void @g(ptr)")
    found = judge(asks, lift, toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    wrong = lift.replace("ret i32 %v", "%w = add i32 %v, 1\nret i32 %w")
    assert judge(asks, wrong, toolchain, tmp_path).verdict is REFUTED


def test_state_of_one_input_is_gone_for_the_next_on_aarch64(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    # One child runs many inputs there: what it leaves in memory, on the stack and in variables.
    counts = (
        ".text\n.globl f\n.type f, @function\nf:\nadrp x8, n\nldr w9, [x8, :lo12:n]\n"
        "add w9, w9, #1\nstr w9, [x8, :lo12:n]\nldr w10, [x0]\nstr w9, [x0]\n"
        "add w0, w10, w9\nret\n.type n, @object\n.data\n.p2align 2\nn:\n.word 7\n.size n, 4\n"
    )
    body = (
        "%n = load i32, ptr @n\n%m = add i32 %n, 1\nstore i32 %m, ptr @n\n%o = load i32, ptr %p\n"
        "store i32 {}, ptr %p\n%r = add i32 %o, %m\nret i32 %r"
    )
    signature, rest = "i32 @f(ptr %p)", "@n = internal global i32 7"
    found = judge(
        counts, ir(body.format("%m"), signature, rest), toolchain, tmp_path, architecture="aarch64"
    )
    assert (found.verdict, found.reason) == (PASSED, "")
    found = judge(
        counts, ir(body.format("8"), signature, rest), toolchain, tmp_path, architecture="aarch64"
    )
    assert found.verdict is REFUTED


def test_what_the_caller_left_in_a_result_s_register_is_no_result(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    # A bool of which only the lowest byte is set, in a register that keeps the caller's.
    asks = code(
        "pushq %rbx", "cmpl $3, %edi", "sete %bl", "callq g", "movl %ebx, %eax", "popq %rbx", "retq"
    )
    body = "%c = icmp eq i32 %a, {}\n%z = zext i1 %c to i32\ncall void @g(i32 %a)\nret i32 %z"
    rest = "declare void @g(i32)"
    found = judge(asks, ir(body.format(3), "i32 @f(i32 %a)", rest), toolchain, tmp_path)
    assert found.verdict is not REFUTED
    found = judge(asks, ir(body.format(4), "i32 @f(i32 %a)", rest), toolchain, tmp_path)
    assert found.verdict is REFUTED
    # A function that returns nothing leaves rax as it was.
    nothing = code("movl %esi, (%rdi)", "retq")
    body = "store i32 %b, ptr %p\n%l = ptrtoint ptr %p to i64\nret i64 %l"
    found = judge(nothing, ir(body, "i64 @f(ptr %p, i32 %b)"), toolchain, tmp_path)
    assert found.verdict is not REFUTED


def test_outlined_code_is_not_run_as_a_function(toolchain: Toolchain, tmp_path: Path) -> None:
    # What the compiler outlined sets registers of its caller: a stub in its place shows nothing.
    lines = ".text\n.globl f\n.type f, @function\nf:\nstr x30, [sp, #-16]!\n"
    asks = f"{lines}bl OUTLINED_FUNCTION_3\nldr x30, [sp], #16\nret\n"
    lift = ir("ret i32 %a", "i32 @f(i32 %a)")
    found = judge(asks, lift, toolchain, tmp_path, architecture="aarch64")
    assert found.verdict is UNPROVED
    assert "outlined" in found.reason


def test_a_function_that_leaves_its_result_s_register_on_one_way_returns_nothing(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    fills = code(
        "testq %rsi, %rsi",
        "je .LBB0_1",
        "leaq (%rdi,%rsi), %rax",
        "movb $7, (%rdi)",
        "movb %al, (%rdi)",
        ".LBB0_1:",
        "retq",
    )
    body = (
        "%z = icmp eq i64 %n, 0\nbr i1 %z, label %out, label %fill\nfill:\n"
        "%i = ptrtoint ptr %p to i64\n%e = add i64 {}\n%t = trunc i64 %e to i8\n"
        "store i8 %t, ptr %p\nbr label %out\nout:\nret void"
    )
    signature = "void @f(ptr %p, i64 %n)"
    found = judge(fills, ir(body.format("%n, %i"), signature), toolchain, tmp_path)
    assert (found.verdict, found.reason) == (PASSED, "")
    always = fills.replace("testq %rsi, %rsi\nje .LBB0_1\n", "")
    found = judge(
        always,
        ir(body.format("%n, %i").replace("icmp eq i64 %n, 0", "icmp eq i64 1, 0"), signature),
        toolchain,
        tmp_path,
    )
    assert "may return an integer" in found.reason
