"""Printed IR is read: what is interpreted, and what is refused."""

from __future__ import annotations

import pytest

from llm_compiler.verify.solving.ir import Address, Expression, Local, Many, Number, Unreadable
from llm_compiler.verify.solving.ir_text import read_function, read_variables
from llm_compiler.verify.solving.ir_types import Type, field_offsets, size_of

TEXT = r"""
%struct.pair = type { i32, ptr }
@table = internal unnamed_addr constant [3 x i16] [i16 1, i16 -1, i16 7], align 2
@text = private constant [4 x i8] c"a\22\00\\", align 1
@inside = global ptr getelementptr inbounds (i8, ptr @table, i64 2), align 8
@other = external global %struct.pair, align 8

define dso_local i32 @"odd name"(ptr noundef readonly %0, i32 signext %n, %struct.pair %p) #0 {
  %2 = load i32, ptr %0, align 4, !tbaa !5
  %3 = icmp samesign ult i32 %2, 10
  br i1 %3, label %4, label %"last one"

4:                                                ; preds = %1
  switch i32 %n, label %"last one" [
    i32 -1, label %5
    i32 7, label %5
  ]

5:                                                ; preds = %4, %4
  %6 = tail call noundef i32 @callee(ptr align 8 dereferenceable(16) @other, i32 range(i32 0, 4) %2)
  %7 = getelementptr inbounds nuw %struct.pair, ptr %0, i64 0, i32 1
  br label %"last one"

"last one":                                       ; preds = %1, %4, %5
  %8 = phi i32 [ %6, %5 ], [ 0, %1 ], [ 1, %4 ]
  ret i32 %8
}
"""


def test_a_function_is_read_block_by_block() -> None:
    function = read_function(TEXT, "odd name")
    assert [name for name, _ in function.parameters] == ["0", "n", "p"]
    assert list(function.blocks) == ["1", "4", "5", "last one"]
    load, compare, branch = function.blocks["1"]
    assert (load.operation, load.type) == ("load", Type("integer", bits=32))
    assert (compare.detail, compare.operands[1][1]) == ("ult", Number(10))
    assert branch.labels == ("4", "last one")
    (switch,) = function.blocks["4"]
    assert switch.labels == ("last one", "5", "5")
    assert switch.numbers == (0xFFFFFFFF, 7)
    call, step, _ = function.blocks["5"]
    assert [operand for _, operand in call.operands] == [
        Address("callee"),
        Address("other"),
        Local("2"),
    ]
    assert step.type.parts[1] == Type("pointer")
    phi, ret = function.blocks["last one"]
    assert phi.labels == ("5", "1", "4")
    assert ret.operation == "ret"


def test_variables_are_read_with_what_they_hold() -> None:
    variables = read_variables(TEXT)
    table = variables["table"].initial
    assert isinstance(table, Many)
    assert [value for _, value in table.values] == [Number(1), Number(0xFFFF), Number(7)]
    text = variables["text"].initial
    assert isinstance(text, Many)
    assert [value for _, value in text.values] == [Number(97), Number(34), Number(0), Number(92)]
    assert isinstance(variables["inside"].initial, Expression)
    assert variables["other"].initial is None


@pytest.mark.parametrize(
    ("parts", "offsets", "size"),
    [
        ((8, 32, 64), [0, 4, 8], 16),
        ((64, 8), [0, 8], 16),
        ((16, 8, 16), [0, 2, 4], 6),
    ],
)
def test_fields_lie_where_the_abi_puts_them(
    parts: tuple[int, ...], offsets: list[int], size: int
) -> None:
    structure = Type("struct", parts=tuple(Type("integer", bits=bits) for bits in parts))
    assert [offset for offset, _ in field_offsets(structure)] == offsets
    assert size_of(structure) == size


@pytest.mark.parametrize(
    "line",
    ["%1 = load i32, ptr addrspace(1) %0", "%1 = add <vscale x 4 x i32> %0, %0"],
)
def test_what_is_not_interpreted_is_refused(line: str) -> None:
    with pytest.raises(Unreadable):
        read_function(f"define void @f(ptr %0) {{\n  {line}\n  ret void\n}}\n", "f")
    with pytest.raises(Unreadable):
        read_function("", "f")
