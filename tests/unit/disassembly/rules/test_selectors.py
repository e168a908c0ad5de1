"""Selectors of landing pads are compared with types, not with their numbers."""

from __future__ import annotations

from llm_compiler.disassembly.rules.selectors import with_types

BODY = """\
define i32 @f(i32 %a0) personality ptr @__gxx_personality_v0 {
entry:
  %w0 = alloca i32
  %w1 = alloca i64
  %w2 = alloca i32
  store i32 %a0, ptr %w2
b1:
  %t1 = landingpad { ptr, i32 } catch ptr @_ZTI3Bad catch ptr @_ZTIi
  %t2 = extractvalue { ptr, i32 } %t1, 1
  store i32 %t2, ptr %w0
  %t3 = load i32, ptr %w0
  %t4 = zext i32 %t3 to i64
  store i64 %t4, ptr %w1
  %t5 = icmp ne i32 %t3, 2
b2:
  %t6 = load i64, ptr %w1
  %t7 = icmp eq i64 %t6, 1
  %t8 = load i32, ptr %w2
  %t9 = icmp eq i32 %t8, 1
}
"""


def test_numbers_of_types_become_types_where_selectors_are_compared() -> None:
    lines = with_types(BODY, ("_ZTIi", "_ZTI3Bad")).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("  %t5"))
    assert lines[at - 1].endswith("= call i32 @llvm.eh.typeid.for.p0(ptr @_ZTI3Bad)")
    assert lines[at] == f"  %t5 = icmp ne i32 %t3, {lines[at - 1].split()[0]}"
    at = next(i for i, line in enumerate(lines) if line.startswith("  %t7"))
    assert lines[at - 2].endswith("(ptr @_ZTIi)")
    assert "zext i32" in lines[at - 1]
    # Another number is a number.
    assert "  %t9 = icmp eq i32 %t8, 1" in lines


def test_what_may_be_another_value_too_stays_a_number() -> None:
    body = BODY.replace("store i32 %a0, ptr %w2", "store i32 %a0, ptr %w0")
    assert "  %t5 = icmp ne i32 %t3, 2" in with_types(body, ("_ZTIi", "_ZTI3Bad"))


def test_what_catches_everything_has_no_type() -> None:
    assert with_types(BODY, ("", "")) == BODY
    assert with_types(BODY, ()) == BODY
