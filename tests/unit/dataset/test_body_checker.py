"""Bodies in short form, checked while they are written."""

from __future__ import annotations

import pytest

from llm_compiler.dataset.lifting.check import BodyChecker, BodyState

LOOP = """define i32 @f0(ptr %0, i64 %1) {
  %3 = icmp eq i64 %1, 0
  br i1 %3, label %13, label %4

4:
  %5 = phi i64 [ %11, %4 ], [ 0, %2 ]
  %6 = phi i32 [ %10, %4 ], [ 0, %2 ]
  %7 = getelementptr inbounds i32, ptr %0, i64 %5
  %8 = load i32, ptr %7
  %9 = tail call i32 @f1(ptr @g1, i32 noundef %8)
  %10 = add nsw i32 %9, %6
  %11 = add nuw i64 %5, 1
  %12 = icmp eq i64 %11, %1
  br i1 %12, label %13, label %4

13:
  %14 = phi i32 [ 0, %2 ], [ %10, %4 ]
  ret i32 %14
}
"""
SWITCH = """define void @f0(i32 %0, ptr %1) {
  switch i32 %0, label %3 [
  i32 1, label %4
  i32 -7, label %3
  ]

3:
  ret void

4:
  store double 0x7FF8000000000000, ptr %1, align 8
  tail call void @llvm.memset.p0.i64(ptr %1, i8 0, i64 16, i1 false)
  %5 = load <4 x float>, ptr %1
  %6 = shufflevector <4 x float> %5, <4 x float> poison, <2 x i32> <i32 0, i32 2>
  %7 = extractelement <2 x float> %6, i64 1
  store float %7, ptr getelementptr inbounds (i8, ptr @g1, i64 4)
  unreachable
}
"""
LOOP = LOOP.replace("noundef ", "")
SYMBOLS = ("f1", "g1")


def feed(text: str, pieces: int = 1) -> BodyState | None:
    checker = BodyChecker(SYMBOLS)
    state: BodyState | None = checker.start()
    for start in range(0, len(text), pieces):
        assert state is not None
        state = checker.feed(state, text[start : start + pieces])
        if state is None:
            return None
    return state


def refused_line(text: str) -> int:
    """Return the number, from 1, of the first line that is refused; 0 if none is."""
    for number, end in enumerate((i + 1 for i, word in enumerate(text) if word == "\n"), start=1):
        if feed(text[:end], 10_000) is None:
            return number
    state = feed(text, 10_000)
    return 0 if state is not None and state.is_complete else text.count("\n") + 1


@pytest.mark.parametrize("body", [LOOP, SWITCH])
@pytest.mark.parametrize("pieces", [1, 3, 17, 10_000])
def test_a_body_passes_in_pieces_of_any_length(body: str, pieces: int) -> None:
    state = feed(body, pieces)
    assert state is not None
    assert state.is_complete


@pytest.mark.parametrize("body", [LOOP, SWITCH])
def test_only_the_whole_body_is_complete(body: str) -> None:
    for end in range(len(body) - 2):
        state = feed(body[:end], 40)
        assert state is not None, body[:end]
        assert not state.is_complete


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("%5 = phi", "%6 = phi", 6),  # not the next number
        ("add nsw i32", "addd nsw i32", 11),
        ("load i32, ptr %7", "load i32, ptr %20", 9),  # no such value
        ("load i32, ptr %7", "load i32, ptr %5", 9),  # of another type
        ("icmp eq i64 %11", "icmp eq i32 %11", 13),
        ("@f1(", "@f2(", 10),  # no symbol of the assembly
        ("add nsw i32 %9", "add nsw i32 true", 11),
        ("ret i32 %14", "ret i64 %14", 18),
        ("ret i32 %14", "br label %19", 19),  # a block that never comes
        ("label %13, label %4\n\n4", "label %0, label %4\n\n4", 3),
        ("\n\n13:", "\n\n14:", 16),
        ("  br i1 %12, label %13, label %4\n", "", 14),  # no terminator
        ("[ 0, %2 ], [ %10, %4 ]", "[ 0, %2 ]", 17),  # a way in is missing
    ],
)
def test_what_is_not_well_formed_is_refused_where_it_stands(old: str, new: str, line: int) -> None:
    assert LOOP.count(old) == 1
    assert refused_line(LOOP) == 0
    assert refused_line(LOOP.replace(old, new)) == line


def test_the_entry_block_is_no_number_to_come() -> None:
    """Regression: a branch to ``%0`` was looked for among all numbers, and never found."""
    assert feed("define void @f0() {\n  br label %0", 1) is None


def test_refusal_is_for_a_piece_not_for_what_was_before() -> None:
    checker = BodyChecker(SYMBOLS)
    state = checker.feed(checker.start(), "define i32 @f0(i32 %0) {\n  ret i32 ")
    assert state is not None
    assert checker.feed(state, "%7") is None
    assert checker.feed(state, "%1") is None  # the entry block
    again = checker.feed(state, "%0\n}\n")
    assert again is not None
    assert again.is_complete
