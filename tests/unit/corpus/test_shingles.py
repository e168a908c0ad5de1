from __future__ import annotations

from llm_compiler.corpus.shingles import anonymous_text, shingles

TEXT = """source_filename = "-"
@table = internal constant [2 x i32] [i32 1, i32 2]
declare i32 @helper(ptr noundef, i32)

define i32 @first(ptr %0, i32 %1) #0 {
  %3 = getelementptr inbounds i32, ptr %0, i64 4
  %4 = load i32, ptr %3, align 4, !tbaa !4
  br label %5

5:
  %6 = call i32 @helper(ptr %3, i32 %4) #1
  %7 = add nsw i32 %6, %1
  ret i32 %7
}
"""


def test_names_numbers_metadata_and_attributes_do_not_count() -> None:
    other = (
        TEXT.replace("@first", '@"second one"')
        .replace("@helper", "@_ZN3foo3barEv")
        .replace("%6", "%16")
        .replace("!tbaa !4", "!tbaa !17")
        .replace("#0", "#3")
        .replace("5:\n", "15:\n")
        .replace("%5", "%15")
    )
    assert shingles(other) == shingles(TEXT)


def test_opcodes_types_and_constants_count() -> None:
    for old, new in (("add nsw", "sub nsw"), ("i64 4", "i64 8"), ("load i32", "load i16")):
        assert shingles(TEXT.replace(old, new)) != shingles(TEXT), new


def test_short_functions_have_a_shingle_and_declarations_none() -> None:
    assert len(shingles("define void @f() {\n  ret void\n}\n")) == 1
    assert len(shingles("declare void @f()\n")) == 0


def test_anonymous_text_keeps_which_symbol_is_which() -> None:
    renamed = TEXT.replace("@helper", "@h").replace("@first", "@f").replace("@table", "@t")
    assert anonymous_text(renamed) == anonymous_text(TEXT)
    word, two = "call @a()\ncall @b()\n", "call @a()\ncall @a()\n"
    assert anonymous_text(word) != anonymous_text(two)
