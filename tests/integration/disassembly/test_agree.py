"""Prototypes that functions agree on, and claims that go: on texts alone, by code generation."""

from __future__ import annotations

import re

import pytest

from llm_compiler.disassembly.agree import Agreed, agree
from llm_compiler.disassembly.claims import ClaimsJob, Modest
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import run_jobs

TRIPLE = 'target triple = "x86_64-pc-linux-gnu"\n'


def agreed(pool: LocalPool, **texts: str) -> Agreed:
    return agree({name: TRIPLE + text for name, text in texts.items()}, pool)


def prototypes(found: Agreed, name: str) -> set[str]:
    """How a function is defined and called, less names and attributes of the function."""
    kinds = set()
    for text in found.texts.values():
        for match in re.finditer(
            rf"^(?:define|declare|.*call) (?:\w+ )*?(\S+ @{name}\([^)]*\))", text, re.MULTILINE
        ):
            kinds.add(re.sub(r" %[\w.]+| (?:null|true|false|-?\d+)(?=[,)])", "", match[1]))
    return kinds


SLEN = (
    "define void @slen(ptr %s) minsize {\n  tail call void @strlen(ptr %s)\n  ret void\n}\n"
    "declare void @strlen(ptr)\n"
)


def test_a_result_that_is_used_is_returned(pool: LocalPool) -> None:
    two = (
        "define i64 @two(ptr %s) minsize {\n  %n = call i64 @slen(ptr %s)\n  %d = shl i64 %n, 1\n"
        "  ret i64 %d\n}\ndeclare i64 @slen(ptr)\n"
    )
    found = agreed(pool, slen=SLEN, two=two)
    assert prototypes(found, "slen") == {"i64 @slen(ptr)"}
    assert prototypes(found, "strlen") == {"i64 @strlen(ptr)"}
    assert not found.changed
    assert not found.refused


def test_a_chain_of_wrappers_returns_through_all(pool: LocalPool) -> None:
    names = ["a", "b", "c"]
    texts = {
        name: f"define void @{name}(i32 %x) minsize {{\n  tail call void @{after}(i32 %x)\n"
        f"  ret void\n}}\ndeclare void @{after}(i32)\n"
        for name, after in zip(names, [*names[1:], "unknown"], strict=True)
    }
    user = (
        "define ptr @user(i32 %x) minsize {\n  %p = call ptr @a(i32 %x)\n"
        "  %q = load ptr, ptr %p\n  ret ptr %q\n}\ndeclare ptr @a(i32)\n"
    )
    found = agreed(pool, **texts, user=user)
    for name in [*names, "unknown"]:
        (kind,) = prototypes(found, name)
        assert kind in (f"ptr @{name}(i32)", f"i64 @{name}(i32)")
    assert not found.changed
    assert not found.refused


def test_a_narrow_result_that_is_one_of_several_is_narrow_in_its_callers(pool: LocalPool) -> None:
    """Nobody reads the upper half: no caller may become other code for its sake."""
    entry = (
        "define i32 @entry(ptr %p) minsize {\n  %n = load i32, ptr %p\n"
        "  %c = icmp slt i32 %n, 9\n  br i1 %c, label %more, label %end\n"
        "more:\n  store i32 0, ptr %p\n  %s = mul i32 %n, %n\n  br label %end\n"
        "end:\n  %v = phi i32 [ %s, %more ], [ %n, %0 ]\n  ret i32 %v\n}\n"
    )
    user = (
        "define i32 @user(ptr %p) minsize {\n  %r = call i32 @entry(ptr %p)\n"
        "  %d = sdiv i32 %r, 3\n  ret i32 %d\n}\ndeclare i32 @entry(ptr)\n"
    )
    index = (
        "define i64 @index(ptr %s) minsize {\n  %p = alloca ptr\n  store ptr %s, ptr %p\n"
        "  %r = call i64 @entry(ptr %p)\n  ret i64 %r\n}\ndeclare i64 @entry(ptr)\n"
    )
    lower = (
        "define i64 @lower(i32 %x, ptr %s) minsize {\n  %c = icmp ugt i32 %x, 255\n"
        "  %z = zext i32 %x to i64\n  br i1 %c, label %far, label %end\n"
        "far:\n  %r = tail call i64 @index(ptr %s)\n"
        "  br label %end\nend:\n"
        "  %v = phi i64 [ %r, %far ], [ %z, %0 ]\n  ret i64 %v\n}\ndeclare i64 @index(ptr)\n"
    )
    upper = lower.replace("@lower", "@upper")
    found = agreed(pool, entry=entry, user=user, index=index, lower=lower, upper=upper)
    assert not found.refused
    assert not found.changed
    assert prototypes(found, "entry") == {"i32 @entry(ptr)"}
    assert prototypes(found, "index") == {"i32 @index(ptr)"}


def test_functions_known_to_return_nothing_stay_so(pool: LocalPool) -> None:
    drop = (
        "define void @drop(ptr %p) minsize {\n  tail call void @free(ptr %p)\n  ret void\n}\n"
        "declare void @free(ptr)\n"
    )
    assert prototypes(agreed(pool, drop=drop), "drop") == {"void @drop(ptr)"}


def test_arguments_that_are_passed_on_make_the_caller_take_them(pool: LocalPool) -> None:
    add = "define i32 @add(i32 %a, i32 %b) minsize {\n  %c = add i32 %a, %b\n  ret i32 %c\n}\n"
    on = (
        "define i32 @on(i32 %a) minsize {\n  %c = tail call i32 @add(i32 %a)\n  ret i32 %c\n}\n"
        "declare i32 @add(i32)\n"
    )
    found = agreed(pool, add=add, on=on)
    assert prototypes(found, "add") == {"i32 @add(i32, i32)"}
    assert prototypes(found, "on") == {"i32 @on(i32, i32)"}
    assert not found.changed


def test_pointers_and_words(pool: LocalPool) -> None:
    w = "define ptr @w(ptr %p) minsize {\n  %q = load ptr, ptr %p\n  ret ptr %q\n}\n"
    on = (
        "define i32 @on(i32 %p) minsize {\n  %q = tail call i32 @w(i32 %p)\n  ret i32 %q\n}\n"
        "declare i32 @w(i32)\n"
    )
    found = agreed(pool, w=w, on=on)
    assert prototypes(found, "w") == {"ptr @w(ptr)"}
    assert not found.changed


def test_an_alias_is_the_same_function(pool: LocalPool) -> None:
    own = "define i64 @real(i64 %x) minsize {\n  %y = mul i64 %x, 3\n  ret i64 %y\n}\n"
    on = (
        "define i32 @on(i64 %x) minsize {\n  %y = call i32 @also(i64 %x)\n"
        "  %z = add i32 %y, 1\n  ret i32 %z\n}\ndeclare i32 @also(i64)\n"
    )
    found = agree({"real": TRIPLE + own, "on": TRIPLE + on}, pool, aliases={"also": "real"})
    assert prototypes(found, "also") == {"i64 @also(i64)"}
    assert not found.changed


def test_what_cannot_agree_is_refused(pool: LocalPool) -> None:
    f = "define i32 @f(double %x) minsize {\n  %y = fptosi double %x to i32\n  ret i32 %y\n}\n"
    g = (
        "define i32 @g(i32 %x) minsize {\n  %y = call i32 @f(i32 %x)\n  %z = add i32 %y, 1\n"
        "  ret i32 %z\n}\ndeclare i32 @f(i32)\n"
    )
    found = agreed(pool, f=f, g=g)
    assert len(found.refused) == 1
    (reason,) = found.refused.values()
    assert "types of different registers" in reason


@pytest.mark.parametrize(
    ("body", "gone", "stays", "kept"),
    [
        # A sign extension moves over an addition that does not wrap: the code needs that.
        (
            "  %j = add nsw i32 %i, 1\n  %k = sext i32 %j to i64\n"
            "  %p = getelementptr inbounds i32, ptr %a, i64 %k\n"
            "  %v = load i32, ptr %p, align 4\n  ret i32 %v\n",
            ["inbounds", "align 4"],
            "add nsw",
            ("nsw and nuw",),
        ),
        (
            "  %j = shl i32 %i, %i\n  %k = add nuw nsw i32 %j, 5\n  ret i32 %k\n",
            ["nsw", "nuw"],
            ", 31\n",
            (),
        ),
        (
            "  %v = load i32, ptr %a, align 16, !range !0\n  ret i32 %v\n",
            ["range !0", "align 16", "nonnull"],
            "align 1",
            (),
        ),
    ],
)
def test_claims_go_unless_code_needs_them(
    body: str, gone: list[str], stays: str, kept: tuple[str, ...], pool: LocalPool
) -> None:
    text = (
        f"{TRIPLE}define i32 @f(ptr nonnull noalias %a, i32 %i) minsize willreturn {{\n{body}}}\n"
        "!0 = !{i32 0, i32 4}\n"
    )
    modest: Modest = run_jobs(pool, [ClaimsJob(texts=(text,))])[0][0]
    assert modest.kept == kept
    assert stays in modest.text
    words = [*gone, "willreturn", "noalias"]
    assert not [word for word in words if re.search(rf"\b{word}\b", modest.text)]
