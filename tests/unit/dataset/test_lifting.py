"""The short form of assembly and IR."""

from __future__ import annotations

import re

import pytest

from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.emulation import same_bodies, shorten_module, split_module
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.lifting.strip import StripLevel, body_of, strip_module
from llm_compiler.dataset.lifting.types import TypeReader, split_commas
from llm_compiler.errors import InputError

X86 = "x86_64-pc-linux-gnu"
ARM = "aarch64-linux-gnu"

ASSEMBLY = """.text
.hidden pick
.globl pick
.type pick, @function
pick:
pushq %rbx
cmpl $2, %edi
ja .LBB0_3
leaq .LJTI0_0(%rip), %rcx
movslq (%rcx, %rdi, 4), %rax
addq %rcx, %rax
jmpq *%rax
.LBB0_1:
leaq .L.str(%rip), %rdi
callq puts@PLT
.LBB0_2:
movq stderr@GOTPCREL(%rip), %rax
movl counter+4(%rip), %edi
mulss .LCPI0_0(%rip), %xmm0
callq helper@PLT
.LBB0_3:
popq %rbx
jmp pick@PLT
.section .rodata, "a", @progbits
.p2align 2, 0x0
.LJTI0_0:
.long .LBB0_3-.LJTI0_0
.long .LBB0_1-.LJTI0_0
.long .LBB0_2-.LJTI0_0
.section .rodata.cst4, "aM", @progbits, 4
.p2align 2, 0x0
.LCPI0_0:
.long 1077936128
.type .L.str, @object
.section .rodata.str1.1, "aMS", @progbits, 1
.L.str:
.asciz "a\\"b\\n\\001"
.size .L.str, 6
.type counter, @object
.data
.p2align 3, 0x0
counter:
.long 5
.long 0
.quad .L.str+2
.long other-counter
.size counter, 20
"""


def test_names_are_numbered_in_order_and_data_is_kept_aside() -> None:
    short = shorten_assembly(ASSEMBLY, X86)
    assert short.text == (
        "pushq %rbx\ncmpl $2, %edi\nja L3\nleaq J1(%rip), %rcx\nmovslq (%rcx, %rdi, 4), %rax\n"
        "addq %rcx, %rax\njmpq *%rax\nL1:\nleaq g1(%rip), %rdi\ncallq puts\nL2:\n"
        "movq g2@GOTPCREL(%rip), %rax\nmovl g3+4(%rip), %edi\nmulss C1(%rip), %xmm0\ncallq f1\n"
        "L3:\npopq %rbx\njmp f0\nJ1: L3 L1 L2\nC1: 0x40400000\n"
    )
    assert dict(short.symbols) == {
        "pick": "f0", ".L.str": "g1", "puts": "puts", "stderr": "g2", "counter": "g3",
        "helper": "f1",
    }  # fmt: skip
    assert short.function == "pick"
    assert short.is_hidden
    assert short.indirect == {"stderr"}
    assert [item.name for item in short.data] == [".L.str", "counter"]


def test_names_do_not_matter() -> None:
    other = ASSEMBLY.replace("counter", "tally").replace("helper", "aide").replace(".L.str", ".L9")
    other = other.replace("pick", "choose")
    assert shorten_assembly(other, X86).text == shorten_assembly(ASSEMBLY, X86).text


def test_aarch64_operands() -> None:
    text = """.text
.globl f
.type f, @function
f:
adrp x8, :got:stdout
ldr x8, [x8, :got_lo12:stdout]
adrp x1, .L.str
add x1, x1, :lo12:.L.str
mrs x9, TPIDR_EL0
add x9, x9, :tprel_hi12:tl
cbz w0, .LBB0_2
tbnz w0, #3, .LBB0_2
ccmp w1, #0, #4, ne
b.eq .LBB0_2
bl free
b g
.LBB0_2:
ret
"""
    short = shorten_assembly(text, ARM)
    assert short.text == (
        "adrp x8, :got:g1\nldr x8, [x8, :got_lo12:g1]\nadrp x1, g2\nadd x1, x1, :lo12:g2\n"
        "mrs x9, TPIDR_EL0\nadd x9, x9, :tprel_hi12:g3\ncbz w0, L1\ntbnz w0, #3, L1\n"
        "ccmp w1, #0, #4, ne\nb.eq L1\nbl free\nb f1\nL1:\nret\n"
    )
    assert short.indirect == {"stdout"}
    assert dict(short.thread_local) == {"tl": "localexec"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".type f, @function\nf:\nret\n.type g, @function\ng:\nret\n", "not of 2"),
        ("f:\nretq\n", "not of 0"),
        (".type f, @function\nf:\n.cfi_lsda 27, .Lexception0\nretq\n", "exception tables"),
        (".type f, @function\nf:\n.set a, b\nretq\n", "no '.set'"),
    ],
)
def test_what_has_no_short_form(text: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        shorten_assembly(text, X86)


MODULE = """source_filename = "-"

%struct.S = type { i8, %struct.T, [3 x i16] }
%struct.T = type { i64, i32 }

@counter = external dso_local global i8
@.str = private unnamed_addr constant [6 x i8] c"ab\\00cd\\00", align 1

define hidden noundef range(i32 0, 9) i32 @pick(ptr nocapture noundef %0, i64 noundef %1, i8 signext %2, ptr noalias sret(%struct.T) align 8 %3) local_unnamed_addr #0 align 2 {
  %5 = alloca %struct.S, align 8
  call void @llvm.lifetime.start.p0(i64 40, ptr nonnull %5) #2
  %6 = getelementptr inbounds %struct.S, ptr %0, i64 %1, i32 1, i32 1, !tbaa !5
  %7 = load i32, ptr %6, align 4, !tbaa !5
  %8 = load i8, ptr @counter, align 1, !range !7, !noundef !8
  %9 = trunc nuw i8 %8 to i1
  %10 = add nsw i32 %7, 1
  %11 = getelementptr inbounds [4 x %struct.T], ptr %0, i64 0, i64 2
  store i64 4, ptr %11, align 4
  %12 = tail call fastcc noundef i32 (ptr, ...) @helper(ptr noundef nonnull @.str, i8 noundef zeroext 3) #1, !srcloc !9
  %13 = load ptr, ptr getelementptr inbounds (i8, ptr @counter, i64 8), align 8
  ret i32 %10
}

attributes #0 = { nounwind }
attributes #1 = { cold nounwind }
attributes #2 = { nounwind }

!7 = !{i8 0, i8 2}
!8 = !{}
"""  # noqa: E501

NAMES = {"pick": "f0", "counter": "g1", ".L.str": "g2", "helper": "f1"}


def test_the_body_has_what_code_generation_looks_at() -> None:
    body = body_of(strip_module(MODULE), NAMES)
    assert body == (
        "define i32 @f0(ptr %0, i64 %1, i8 signext %2, ptr sret([16 x i8]) %3) {\n"
        "  %5 = alloca [32 x i8], align 8\n"
        "  %6 = getelementptr [32 x i8], ptr %0, i64 %1, i64 16\n"
        "  %7 = load i32, ptr %6\n"
        "  %8 = load bool, ptr @g1\n"
        "  %9 = trunc i8 %8 to i1\n"
        "  %10 = add i32 %7, 1\n"
        "  %11 = getelementptr i8, ptr %0, i64 32\n"
        "  store i64 4, ptr %11, align 4\n"
        "  %12 = tail call i32 (ptr, ...) @f1(ptr @g2, i8 zeroext 3) cold\n"
        "  %13 = load ptr, ptr getelementptr (i8, ptr @g1, i64 8)\n"
        "  ret i32 %10\n"
        "}\n"
    )


def test_a_lower_level_keeps_flags_and_lifetimes() -> None:
    body = body_of(strip_module(MODULE, StripLevel.KEEP_FLAGS), NAMES)
    assert "add nsw i32" in body
    assert "getelementptr inbounds [32 x i8], ptr %0, i64 %1, i64 16" in body
    assert "call void @llvm.lifetime.start.p0(i64 40, ptr %5)" in body


def test_a_name_that_the_assembly_lacks() -> None:
    with pytest.raises(InputError, match="does not name @helper"):
        body_of(strip_module(MODULE), {"pick": "f0", "counter": "g1", ".L.str": "g2"})


def test_the_module_is_whole_again() -> None:
    short = shorten_assembly(ASSEMBLY, X86)
    body = (
        "define void @f0(ptr %0) {\n"
        "  %2 = load bool, ptr @g2\n"
        "  %3 = tail call i32 (ptr, ...) @f1(ptr @g3, i8 zeroext 3)\n"
        "  %4 = tail call i32 @puts(ptr @g1)\n"
        "  %5 = tail call i32 @llvm.ctpop.i32(i32 %3)\n"
        "  tail call void @f0(ptr %0)\n"
        "  ret void\n"
        "}\n"
    )
    text = build_module_text(body, short)
    lines = text.splitlines()
    assert "define hidden void @pick(ptr %0) #0 {" in lines
    assert "  %2 = load i8, ptr @stderr, !range !{i8 0, i8 2}, !noundef !{}" in lines
    assert "declare dso_local i32 @helper(ptr, ...)" in lines
    assert "declare i32 @llvm.ctpop.i32(i32)" in lines
    assert "@stderr = external global i8, align 8" in lines
    assert "@other = external dso_local global i8, align 8" in lines
    assert r'@.str = private unnamed_addr constant [6 x i8] c"a\22b\0A\01\00", align 1' in lines
    (counter,) = [line for line in lines if line.startswith("@counter")]
    assert counter == (
        "@counter = internal global <{ [8 x i8], ptr, i32 }> <{ [8 x i8] "
        r'c"\05\00\00\00\00\00\00\00", ptr getelementptr (i8, ptr @.str, i64 2), '
        "i32 trunc (i64 sub (i64 ptrtoint (ptr @other to i64), "
        "i64 ptrtoint (ptr @counter to i64)) to i32) }>, align 8"
    )


def test_nonsense_stays_nonsense() -> None:
    short = shorten_assembly(ASSEMBLY, X86)
    for body in (
        "",
        "define",
        "call i32 @f1(",
        "define void @f0() {\n  %1 = call i32 @f1(ptr\n}\n",
    ):
        assert isinstance(build_module_text(body, short), str)


def test_layouts_of_types() -> None:
    types = TypeReader({"%a": "{ i8, %b }", "%b": "<{ i16, [3 x ptr] }>"})
    assert types.layout("%a") == (27, 1)
    assert types.layout("{ i8, i32, i8 }") == (12, 4)
    assert types.layout("<4 x float>") == (16, 16)
    assert types.layout("i128") == (16, 16)
    assert types.layout("i1") == (1, 1)
    assert split_commas('i32 1, { i8, i8 } %2, ptr @"a,b", [2 x i8] c"x,"') == [
        "i32 1",
        "{ i8, i8 } %2",
        'ptr @"a,b"',
        '[2 x i8] c"x,"',
    ]
    with pytest.raises(InputError):
        types.layout("%missing")


EMULATED = """source_filename = "-"
target triple = "x86_64-pc-linux-gnu"

%struct.S = type { i64, i32 }

@.str = private unnamed_addr constant [2 x i8] c"a\\00", align 1

define i32 @"a$b"(ptr noundef %0) #0 {
  %2 = alloca ptr, align 8
  store ptr %0, ptr %2, align 8, !tbaa !1
  %3 = load ptr, ptr %2, align 8
  %4 = getelementptr inbounds %struct.S, ptr %3, i32 0, i32 1
  %5 = load i32, ptr %4, align 8
  %6 = call i32 @helper(ptr noundef @.str, i32 noundef %5) #2
  %7 = call i32 @strlen(ptr @.str)
  ret i32 %6
}

declare i32 @helper(ptr noundef, i32 noundef) #1

declare i32 @strlen(ptr)

attributes #0 = { nounwind }
attributes #1 = { nounwind }
attributes #2 = { nounwind }
"""


def test_emulation_goes_from_body_to_body() -> None:
    short = shorten_module(EMULATED)
    assert short.body == (
        "define i32 @f0(ptr %0) {\n"
        "  %2 = alloca ptr\n"
        "  store ptr %0, ptr %2\n"
        "  %3 = load ptr, ptr %2\n"
        "  %4 = getelementptr inbounds i8, ptr %3, i64 8\n"
        "  %5 = load i32, ptr %4, align 8\n"
        "  %6 = call i32 @f1(ptr @g1, i32 %5)\n"
        "  %7 = call i32 @strlen(ptr @g1)\n"
        "  ret i32 %6\n"
        "}\n"
    )
    answer = "define i32 @f0(ptr %0) {\n  %2 = call i32 @llvm.abs.i32(i32 1, i1 true)\n  %3 = call "
    answer += "i32 @f1(ptr @g1, i32 %2)\n  ret i32 %3\n}\n"
    restored = short.restore(answer)
    assert 'define i32 @"a$b"(ptr noundef %0) #0 {\n  %2 = call i32 @llvm.abs' in restored
    assert "%3 = call i32 @helper(ptr @.str, i32 %2)" in restored
    assert "declare i32 @llvm.abs.i32(i32, i1)" in restored
    assert restored.count("@helper(") == 2
    assert short.shorten(restored) == answer
    assert same_bodies(restored, restored.replace(" #0", " #1").replace("%0)", "nonnull %0)"))
    assert not same_bodies(restored, restored.replace("i32 1, i1", "i32 2, i1"))


def test_one_function_of_several_is_emulated() -> None:
    more = EMULATED + "\ndefine void @other() {\n  ret void\n}\n"
    with pytest.raises(InputError, match="not of 2"):
        shorten_module(more)
    around, definitions = split_module(more)
    assert len(definitions) == 2
    assert "define" not in around
    short = shorten_module(more, function=definitions[1])
    assert short.body == "define void @f0() {\n  ret void\n}\n"
    restored = short.restore("define void @f0() {\n  call void @f0()\n  ret void\n}\n")
    assert restored == more.replace("  ret void\n}", "  call void @other()\n  ret void\n}")


def test_static_variables_that_functions_of_a_file_share_stay_hidden() -> None:
    text = (
        ".text\n.globl mark\n.type mark, @function\nmark:\nmovq count(%rip), %rax\nretq\n"
        ".hidden count\n.type count, @object\n.bss\n.globl count\n.p2align 3, 0x0\n"
        "count:\n.quad 0\n.size count, 8\n"
    )
    short = shorten_assembly(text, "x86_64-pc-linux-gnu")
    restored = build_module_text(
        "define i64 @f0() {\n  %1 = load i64, ptr @g1\n  ret i64 %1\n}\n", short
    )
    assert "@count = hidden global [8 x i8] zeroinitializer, align 8" in restored
