"""Wrong edits are single, seeded and where they say they are."""

from __future__ import annotations

from llm_compiler.verify.wrong_edits import (
    WRONG_EDITS,
    edit_at_one_place,
    edit_everywhere,
    trap_at_the_place,
)

_TEXT = """define i32 @f(i32 %a, i32 %b) {
  %x = sub nsw i32 %a, %b
  %y = sub i32 %x, 7
  %c = icmp slt i32 %y, 3
  switch i32 %y, label %d [
    i32 1, label %e
    i32 2, label %g
  ]
d:
  ret i32 %y
e:
  ret i32 %x
g:
  ret i32 0
}
"""
_BY_NAME = {edit.name: edit for edit in WRONG_EDITS}


def test_there_are_many_kinds_and_each_has_a_name_of_its_own() -> None:
    assert len(_BY_NAME) == len(WRONG_EDITS) >= 30


def test_one_place_is_one_line() -> None:
    edit = _BY_NAME["swaps the operands of a subtraction"]
    before = _TEXT.splitlines()
    for seed in range(6):
        after = edit_at_one_place(_TEXT, edit, seed).splitlines()
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1
        assert after == edit_at_one_place(_TEXT, edit, seed).splitlines()
    everywhere = edit_everywhere(_TEXT, edit)
    assert "sub nsw i32 %b, %a" in everywhere
    assert "sub i32 7, %x" in everywhere


def test_where_there_is_no_place_nothing_changes() -> None:
    edit = _BY_NAME["takes an arithmetic shift for a logical one"]
    assert edit_at_one_place(_TEXT, edit, 1) == _TEXT == trap_at_the_place(_TEXT, edit, 1)


def test_a_trap_stands_in_front_of_the_place() -> None:
    edit = _BY_NAME["takes < for <= and the like"]
    lines = trap_at_the_place(_TEXT, edit, 3).splitlines()
    assert lines[lines.index("  call void @llvm.trap()") + 1].startswith("  %c = icmp")
    assert lines[-1] == "declare void @llvm.trap()"


def test_a_trap_for_a_case_stands_in_front_of_the_switch() -> None:
    edit = _BY_NAME["takes one case of a switch for another value"]
    lines = trap_at_the_place(_TEXT, edit, 3).splitlines()
    assert lines[lines.index("  call void @llvm.trap()") + 1].startswith("  switch")
