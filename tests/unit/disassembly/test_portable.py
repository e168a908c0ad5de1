"""What keeps x86-64 code's IR from AArch64, and how it is rewritten."""

from __future__ import annotations

import re

import pytest

from llm_compiler.disassembly.portable import RetargetJob, foreign_obstacle, obstacle_of
from llm_compiler.llvm.module_jobs import WorkerState

TRIPLE = "aarch64-unknown-linux-gnu"
CODE = """\
target datalayout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128"
target triple = "x86_64-pc-linux-gnu"
@other = external dso_local global i32
@text = private constant [30 x i8] c"x86_fp80 byval(asm addrspace(\\00"
define zeroext i1 @f(i8 signext %a, double %x, double %y, ptr %to) #0 {
  %p = fmul fast double %x, %y
  %z = call double @llvm.fmuladd.f64(double %x, double %y, double %p)
  store double %z, ptr %to
  %b = call signext i8 @g(i8 signext %a)
  %c = icmp eq i8 %b, 3
  ret i1 %c
}
declare signext i8 @g(i8 signext)
declare double @llvm.fmuladd.f64(double, double, double)
attributes #0 = { minsize "target-cpu"="x86-64" "target-features"="+sse2" "frame-pointer"="none" }
"""


def retargeted(text: str, assembly: str = "") -> str:
    job = RetargetJob(texts=(text,), assemblies=(assembly,), target_triple=TRIPLE)
    (found,) = job.run(WorkerState(), 0)
    assert not found.obstacle, found.obstacle
    return found.text


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("define x86_fp80 @f(x86_fp80 %a) {", "80-bit numbers"),
        ('  %r = call i32 asm "addl $$3, $0", "=r,0"(i32 %a)', "holds assembly"),
        ('module asm "nop"', "holds assembly"),
        ("  call void @llvm.x86.sse2.pause()", "instructions that only x86-64 has"),
        ("  call void @llvm.va_start.p0(ptr %l)", "variable number of arguments"),
        ("define i32 @f(i32 %a, ...) {", "variable number of arguments"),
        ("  %o = atomicrmw add ptr %p, i32 1 seq_cst, align 4", "synchronises threads"),
        ("  %o = load atomic i32, ptr %p acquire, align 4", "synchronises threads"),
        ("  %o = load i32, ptr addrspace(257) %p", "segment registers"),
        ("  call void @g(ptr byval(%struct.s) align 8 %p)", "a struct by value"),
        ("  invoke void @g() to label %a unwind label %b", "catches exceptions"),
        ("define win64cc void @f() {", "calling convention"),
    ],
)
def test_obstacles(line: str, reason: str) -> None:
    assert reason in obstacle_of(CODE + line + "\n")


def test_strings_and_names_are_no_obstacles() -> None:
    assert obstacle_of(CODE) == ""
    assert obstacle_of('declare void @"x86_fp80 byval("()') == ""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("vfprintf", "va_list"),
        ("__vsnprintf_chk", "va_list"),
        ("_setjmp", "jmp_buf"),
        ("fstat64", "struct stat"),
        ("open", "flags of open"),
        ("pthread_mutex_lock", "threads"),
        ("fesetround", "numbers that differ"),
        ("syscall", "system call"),
    ],
)
def test_functions_of_another_meaning(name: str, reason: str) -> None:
    assert foreign_obstacle(["puts", name]).startswith(f"calls {name}, which ")
    assert reason in foreign_obstacle(["puts", name])
    assert foreign_obstacle(["printf", "fopen", "qsort", "strtol", "sin", "status"]) == ""


def test_what_is_rewritten() -> None:
    text = retargeted(CODE)
    assert f'target triple = "{TRIPLE}"' in text
    assert "f80" not in text.splitlines()[2]
    assert "define i1 @f(i8 %a," in text
    assert "call i8 @g(i8 %a)" in text
    assert "@other = external global i32" in text
    assert not re.search(r"signext|zeroext|fast|fmuladd\.f64\(double %|target-cpu|sse2", text)
    assert re.search(r"(%\S+) = fmul double %x, %y\n  (%\S+) = fadd double \1, %p\n", text)
    assert '"frame-pointer"="none"' in text


def test_fused_code_stays_fused() -> None:
    text = retargeted(CODE, "f:\nvfmadd213sd %xmm2, %xmm1, %xmm0\nretq\n")
    assert "call double @llvm.fma.f64(double %x, double %y, double %p)" in text
