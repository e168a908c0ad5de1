"""Edits of a draft's text that keep its meaning."""

from __future__ import annotations

import random

from llm_compiler.disassembly.rules.moves import keeps_loads_apart
from llm_compiler.disassembly.rules.polish import edits_of

MODULE = """\
target triple = "x86_64-pc-linux-gnu"

define i32 @f(i32 %a, ptr %p, ptr %q) {
entry:
  %x = load i32, ptr %p, align 4
  %y = load i32, ptr %q, align 4
  %0 = add nsw i32 %x, %y
  %c = icmp sgt i32 %0, 1
  br i1 %c, label %more, label %done

more:                                             ; preds = %entry
  store i32 %a, ptr %p, align 4
  %z = load i32, ptr %q, align 4
  br label %done

done:                                             ; preds = %more, %entry
  %r = phi i32 [ %0, %entry ], [ %z, %more ]
  ret i32 %r
}
"""


def edited(kind: str = "", text: str = MODULE) -> list[str]:
    return [
        edit.make()
        for edit in edits_of(text, random.Random(0), kind)
        if not kind or edit.kind == kind
    ]


def test_comparisons_are_asked_in_other_words() -> None:
    texts = edited("branch")
    assert any("icmp sge i32 %v.0, 2" in text for text in texts)
    opposite = next(text for text in texts if "icmp sle i32 %v.0, 1" in text)
    assert "br i1 %c, label %done, label %more" in opposite


def test_a_strict_comparison_stays_where_its_constant_would_leave_the_type() -> None:
    text = MODULE.replace("icmp sgt i32 %0, 1", "icmp sgt i32 %0, 2147483647")
    assert not any("icmp sge" in edit for edit in edited(text=text))
    text = MODULE.replace("icmp sgt i32 %0, 1", "icmp ult i32 %0, 0")
    assert not any("icmp ule" in edit for edit in edited(text=text))


def test_operands_and_loads_change_places_but_no_load_passes_a_store() -> None:
    texts = edited("order")
    assert any("add nsw i32 %y, %x" in text for text in texts)
    assert any(text.index("%y = load") < text.index("%x = load") for text in texts)
    assert all(text.index("store i32 %a") < text.index("%z = load") for text in texts)
    assert all(text.index("%v.0 = add") < text.index("%c = icmp") for text in texts)


def test_blocks_move_and_none_is_lost() -> None:
    for text in edited():
        assert sorted(line for line in text.splitlines() if line.endswith(":")) == [
            "done:",
            "entry:",
            "more:",
        ]
        assert text.index("entry:") < text.index("more:")
    assert any(text.index("done:") < text.index("more:") for text in edited("branch"))


def test_a_block_that_jumps_to_itself_is_moved_as_others_are() -> None:
    # Real code spins on a volatile word; moving the loop after itself was an error.
    text = MODULE.replace("br label %done", "br i1 %c, label %more, label %done")
    texts = edited("branch", text)
    assert any(text.index("done:") < text.index("more:") for text in texts)


def test_loads_become_volatile_where_the_code_keeps_them_apart() -> None:
    texts = edited("volatile")
    assert any(" = load volatile " in text for text in texts)
    assert all(text.count(" = load volatile ") <= 1 for text in texts)
    assert not any(" = load volatile " in text for text in edited("branch"))
    apart = ("-movq 8(%rdi), %rax", "-cmpq $-1, %rax", "+cmpq $-1, 8(%rdi)")
    assert keeps_loads_apart(apart)
    assert keeps_loads_apart(("-ldr x8, [x0]", "-ldr x9, [x0, #8]", "+ldp x8, x9, [x0]"))
    assert not keeps_loads_apart(apart[:2])
    assert not keeps_loads_apart(("-movq %rdi, %rax", "+cmpq $-1, 8(%rdi)"))


def test_a_text_without_function_has_no_edits() -> None:
    assert edits_of("declare void @f()\n", random.Random(0)) == []
