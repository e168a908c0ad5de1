"""Graphs of functions, from the text alone."""

from __future__ import annotations

import re

from llm_compiler.disassembly.graph import blocks_of, to_dot, to_html

MODULE = """
define i32 @"a<b"(i32 %x) #0 {
  switch i32 %x, label %rest [
    i32 1, label %one
    i32 2, label %loop
  ]

one:                                              ; preds = %0
  ret i32 7

loop:                                             ; preds = %loop, %0
  %n = phi i32 [ 0, %0 ], [ %m, %loop ]
  %m = add i32 %n, 1
  %c = icmp slt i32 %m, %x
  br i1 %c, label %loop, label %rest

rest:                                             ; preds = %loop, %0
  ret i32 0
}

define void @other() {
  ret void
}
"""


def test_blocks_and_where_they_go() -> None:
    blocks = blocks_of(MODULE, "a<b")
    assert [(block.name, block.successors) for block in blocks] == [
        ("entry", ("rest", "one", "loop")),
        ("one", ()),
        ("loop", ("loop", "rest")),
        ("rest", ()),
    ]
    assert blocks[1].lines == ("ret i32 7",)
    assert blocks_of(MODULE, "missing") == []


def test_long_lines_are_folded_and_arrows_lie_under_the_blocks() -> None:
    values = ", ".join(f"[ {number}, %block{number} ]" for number in range(20))
    (block,) = blocks_of(f"define i32 @f() {{\n  %n = phi i32 {values}\n}}\n", "f")
    page = to_html("f", "exact", "", [block])
    assert max(len(line) for line in re.findall(r'preserve">([^<]*)<', page)) <= 72
    assert "block19" in page
    loop = to_html("a<b", "exact", "", blocks_of(MODULE, "a<b"))
    assert loop.rindex("<path") < loop.index("<rect")


def test_dot_and_page() -> None:
    blocks = blocks_of(MODULE, "a<b")
    dot = to_dot("a<b", blocks)
    assert dot.startswith('digraph "a<b" {')
    assert dot.count("->") == 5
    page = to_html("a<b", "exact", "cmpl $1, %edi\n<script>", blocks)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<rect") == 4
    assert len(re.findall(r"<path[^>]*d=\"M \d", page)) == 5
    assert page.count('class="back"') == 1
