"""Sketches of modules: one short line an instruction, and never a failure."""

from __future__ import annotations

import pytest

from llm_compiler.model.sketch import sketch

MODULE = r"""
source_filename = "-"
target triple = "x86_64-pc-linux-gnu"

%struct.pair = type { i32, ptr }
%"class.a::b" = type { i32 }

@.str = private unnamed_addr constant [4 x i8] c"a \22;\00", align 1
@counter = external global i32, align 4

declare void @other(ptr noundef, ...) #1

define dso_local i32 @loop(ptr noundef %0, i32 noundef %1) #0 {
  %3 = alloca i32, align 4
  store i32 70000, ptr %3, align 4, !tbaa !4
  call void @llvm.lifetime.start.p0(i64 4, ptr %3) #3
    #dbg_value(i32 %1, !12, !DIExpression(), !14)
  br label %4, !dbg !15

4:
  %5 = load i32, ptr %3, align 4, !tbaa !4
  %6 = icmp sgt i32 %5, 0
  br i1 %6, label %7, label %14

7:
  %8 = getelementptr inbounds %struct.pair, ptr %0, i32 0, i32 1
  %9 = getelementptr inbounds [8 x i8], ptr %8, i64 0, i64 %1
  %10 = call i32 (ptr, ...) @other(ptr noundef @.str, i32 noundef %5) #4
  %11 = invoke noundef i32 @loop(ptr noundef %0, i32 noundef 7)
          to label %12 unwind label %14

12:
  switch i32 %11, label %14 [
    i32 1, label %13
    i32 2, label %14
  ]

13:
  br label %4

14:
  %15 = phi i32 [ 3, %4 ], [ %11, %12 ]
  ret i32 %15
}

attributes #0 = { minsize }
!4 = !{!"int"}
"""


def test_a_module_in_short() -> None:
    assert sketch(MODULE).splitlines() == [
        "private constant [4 x i8] string",
        "external global i32",
        "define i32 @(p, i32)",
        "alloca i32",
        "store i32 N",
        "lifetime.start",
        "br",
        "block",
        "load i32",
        "icmp sgt i32, 0",
        "br i1",
        "block",
        "field 1",
        "element [8 x i8]",
        "call i32 (p, ...) @(p @, i32)",
        "invoke i32 here(p, i32 7)",
        "block",
        "switch i32 2",
        "block",
        "br back",
        "block",
        "phi i32 2 3",
        "ret i32",
    ]


@pytest.mark.parametrize(
    "text",
    ["", "no IR at all {{", '@x = "', "switch i32 %1, label %2 [", "\x00\udc80"],
)
def test_whatever_comes_there_is_a_sketch(text: str) -> None:
    assert sketch(text).endswith("\n")


def test_numbers_of_values_and_names_of_symbols_make_no_difference() -> None:
    renamed = MODULE.replace("%3", "%x").replace("@other", "@another").replace("@counter", "@n")
    assert sketch(renamed) == sketch(MODULE)
