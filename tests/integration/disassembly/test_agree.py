"""Prototypes that functions agree on, and claims that go: on texts alone, by code generation."""

from __future__ import annotations

import re

import pytest

from llm_compiler.disassembly.agree import Agreed, agree
from llm_compiler.disassembly.claims import ClaimsJob, Modest
from llm_compiler.disassembly.prototypes import Shape
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
        "define i32 @g(i32 %x) minsize {\n  %y = call i32 @f(i32 %x)\n  %z = add i32 %y, %x\n"
        "  ret i32 %z\n}\ndeclare i32 @f(i32)\n"
    )
    found = agreed(pool, f=f, g=g)
    assert len(found.refused) == 1
    (reason,) = found.refused.values()
    assert "a call lacks an argument" in reason


ATOMIC = (
    "define void @drop(ptr %p) minsize {\n  %n = atomicrmw sub ptr %p, i64 1 seq_cst\n"
    "  %c = icmp eq i64 %n, 1\n  br i1 %c, label %free, label %end\n"
    "free:\n  tail call void @free(ptr %p)\n  br label %end\nend:\n  ret void\n}\n"
    "declare void @free(ptr)\n"
)


def test_a_result_that_is_only_passed_on_may_be_none(pool: LocalPool) -> None:
    """The definition leaves other things in the register on each way: it returns nothing."""
    on = (
        "define i64 @on(i64 %x, ptr %p) minsize {\n  store i64 %x, ptr %p\n"
        "  %r = tail call i64 @drop(ptr %p)\n  ret i64 %r\n}\ndeclare i64 @drop(ptr)\n"
    )
    found = agreed(pool, drop=ATOMIC, on=on)
    assert prototypes(found, "drop") == {"void @drop(ptr)"}
    assert not found.changed
    assert not found.refused


def test_results_of_two_kinds_that_are_only_passed_on_are_none(pool: LocalPool) -> None:
    """As SHA256Final and SHA256Pad of libmd: one way returns a callee's result, one a pointer."""
    transform = (
        "define i32 @transform(ptr %p) minsize {\n  %n = load i32, ptr %p\n  %m = mul i32 %n, 7\n"
        "  store i32 %m, ptr %p\n  ret i32 %m\n}\n"
    )
    pad = (
        "define i32 @pad(ptr %p) minsize {\n  %q = getelementptr i8, ptr %p, i64 80\n"
        "  %r = tail call i32 @transform(ptr %q)\n  ret i32 %r\n}\ndeclare i32 @transform(ptr)\n"
    )
    final = (
        "define ptr @final(ptr %d, ptr %p) minsize {\n  %r = call ptr @pad(ptr %p)\n"
        "  %c = icmp eq ptr %d, null\n  br i1 %c, label %end, label %more\n"
        "more:\n  store i8 1, ptr %d\n  tail call void @llvm.memset.p0.i64(ptr %p, i8 0, i64 208, "
        "i1 false)\n  br label %end\n"
        "end:\n  %v = phi ptr [ %p, %more ], [ %r, %0 ]\n  ret ptr %v\n}\n"
        "declare ptr @pad(ptr)\ndeclare void @llvm.memset.p0.i64(ptr, i8, i64, i1)\n"
    )
    found = agreed(pool, transform=transform, pad=pad, final=final)
    assert not found.changed
    assert not found.refused
    assert prototypes(found, "final") == {"void @final(ptr, ptr)"}


def test_what_returns_nothing_is_settled_once(pool: LocalPool) -> None:
    """As MD4Update, MD4Pad and MD4Final of libmd, each of which passes the next one's result on."""
    update = (
        "define void @update(ptr %p, i64 %n) minsize {\n  %c = icmp eq i64 %n, 0\n"
        "  br i1 %c, label %end, label %more\nmore:\n  store i64 %n, ptr %p\n  br label %end\n"
        "end:\n  ret void\n}\n"
    )
    pad = (
        "define i64 @pad(ptr %p) minsize {\n  call void @update(ptr %p, i64 5)\n"
        "  %r = tail call i64 @update(ptr %p, i64 8)\n  ret i64 %r\n}\n"
        "declare i64 @update(ptr, i64)\n"
    )
    final = (
        "define i64 @final(ptr %d, ptr %p) minsize {\n  %r = call i64 @pad(ptr %p)\n"
        "  %c = icmp eq ptr %d, null\n  br i1 %c, label %end, label %more\n"
        "more:\n  store i8 1, ptr %d\n  br label %end\nend:\n  ret i64 %r\n}\n"
        "declare i64 @pad(ptr)\n"
    )
    found = agreed(
        pool, update=update, pad=pad.replace("call void @update", "call i64 @update"), final=final
    )
    assert not found.refused
    assert prototypes(found, "update") == {"void @update(ptr, i64)"}
    assert prototypes(found, "pad") == {"void @pad(ptr)"}


def test_what_nobody_passes_is_no_parameter(pool: LocalPool) -> None:
    """As context_add_value of yajl: a draft passes on all that a callee with dots may read."""
    report = (
        "define i32 @report(ptr %p, i64 %a, i64 %b, i64 %c) minsize {\n"
        "  %n = load i32, ptr %p\n"
        "  %r = call i32 (ptr, ...) @printf(ptr @format, i32 %n, i64 %b, i64 %c)\n"
        "  %s = add i32 %r, 1\n  ret i32 %s\n}\n"
        "@format = external global i8\ndeclare i32 @printf(ptr, ...)\n"
    )
    one = (
        "define i32 @one(ptr %p) minsize {\n  %q = call ptr @next(ptr %p)\n"
        "  %r = call i32 @report(ptr %q)\n  %s = add i32 %r, 1\n  ret i32 %s\n}\n"
        "declare ptr @next(ptr)\ndeclare i32 @report(ptr)\n"
    )
    two = one.replace("@one", "@two").replace("i32 %r, 1", "i32 %r, 2")
    reads = "define i64 @reads(ptr %p, i64 %a) minsize {\n  store i64 %a, ptr %p\n  ret i64 %a\n}\n"
    user = "define void @user(ptr %p) minsize {\n  %r = call i64 @reads(ptr %p)\n  ret void\n}\n"
    user += "declare i64 @reads(ptr)\n"
    found = agreed(pool, report=report, one=one, two=two, reads=reads, user=user)
    assert prototypes(found, "report") == {"i32 @report(ptr)"}
    assert not found.changed & {"report", "one", "two"}
    # What the code does read stays a parameter.
    assert prototypes(found, "reads") == {"i64 @reads(ptr, i64)"}


def test_a_result_of_two_registers_and_of_one(pool: LocalPool) -> None:
    """As mp_mod of libtommath: after one of its calls, the second register counts."""
    user = (
        "define i32 @user(ptr %p, ptr %q) minsize {\n  %a = call i32 @mod(ptr %p)\n"
        "  %c = icmp eq i32 %a, 0\n  br i1 %c, label %more, label %end\nmore:\n"
        "  %b = call { i32, i64 } @mod(ptr %q)\n  %x = extractvalue { i32, i64 } %b, 0\n"
        "  %y = extractvalue { i32, i64 } %b, 1\n  %r = call i32 @on(i32 %x, i64 0, i64 %y)\n"
        "  br label %end\nend:\n  %v = phi i32 [ %r, %more ], [ %a, %0 ]\n  ret i32 %v\n}\n"
        "declare i32 @mod(ptr)\ndeclare i32 @on(i32, i64, i64)\n"
    )
    found = agreed(pool, user=user)
    assert found.texts["user"].count(" call { i32, i64 } @mod(ptr ") == 2
    assert not found.refused
    assert not found.changed


def test_dots_begin_where_the_definition_says(pool: LocalPool) -> None:
    """As error_set of jansson: a call is thought to have one argument before its dots."""
    report = (
        "define void @report(ptr %p, i32 %n, ...) minsize {\n  %l = alloca [24 x i8], align 16\n"
        "  call void @llvm.va_start.p0(ptr %l)\n  %m = add i32 %n, 1\n"
        "  call void @note(ptr %p, i32 %m, ptr %l)\n  ret void\n}\n"
        "declare void @llvm.va_start.p0(ptr)\ndeclare void @note(ptr, i32, ptr)\n"
    )
    user = (
        "define void @user(ptr %p) minsize {\n"
        "  call void (ptr, ...) @report(ptr %p, i32 7, ptr null)\n"
        "  store i32 1, ptr %p\n  ret void\n}\ndeclare void @report(ptr, ...)\n"
    )
    found = agreed(pool, report=report, user=user)
    assert "@report(ptr %p, i32 %n, ...) " in found.texts["report"]
    assert "@report(ptr %p, i32 7, ptr null)" in found.texts["user"]
    assert not found.refused
    assert not found.changed


def test_what_a_definition_does_not_read_is_not_guessed(pool: LocalPool) -> None:
    """One caller passes all that registers hold, another has nothing that it could pass."""
    get = "define i32 @get(ptr %p) minsize {\n  %x = load i32, ptr %p\n  ret i32 %x\n}\n"
    all_of_it = (
        "define i32 @all(ptr %p, i64 %a, double %d) minsize {\n  %f = fptosi double %d to i32\n"
        "  %x = call i32 @get(ptr %p, i64 %a)\n  %y = add i32 %x, %f\n  ret i32 %y\n}\n"
        "declare i32 @get(ptr, i64)\n"
    )
    few = (
        "define i32 @few() minsize {\n  %x = call i32 @get(ptr null)\n  %y = add i32 %x, 1\n"
        "  ret i32 %y\n}\ndeclare i32 @get(ptr)\n"
    )
    found = agreed(pool, get=get, few=few, all=all_of_it)
    assert prototypes(found, "get") == {"i32 @get(ptr)"}
    assert not found.changed
    assert not found.refused


def test_what_another_file_shows_of_a_function_settles_it(pool: LocalPool) -> None:
    rounded = (
        "define i32 @rounded(ptr %p, i64 %a, double %x) minsize {\n"
        "  %y = call i32 @to_int(ptr %p, i64 %a, double %x)\n  %z = add i32 %y, 1\n"
        "  ret i32 %z\n}\ndeclare i32 @to_int(ptr, i64, double)\n"
    )
    plain = (
        "define i32 @plain(double %x) minsize {\n  %y = call i32 @to_int(double %x)\n"
        "  %z = add i32 %y, 2\n  ret i32 %z\n}\ndeclare i32 @to_int(double)\n"
    )
    found = agree(
        {"rounded": TRIPLE + rounded, "plain": TRIPLE + plain},
        pool,
        known=lambda name: Shape(0, 1) if name == "to_int" else None,
    )
    assert prototypes(found, "to_int") == {"i32 @to_int(double)"}
    assert not found.changed
    assert not found.refused


def test_no_bits_are_cut_off_what_is_passed(pool: LocalPool) -> None:
    """A draft passed half of a register; the others know that all of it is read."""
    own = "define i64 @own(i64 %x, i64 %y) minsize {\n  %z = mul i64 %x, %y\n  ret i64 %z\n}\n"
    half = (
        "define i64 @half(i64 %x) minsize {\n  %h = trunc i64 %x to i32\n"
        "  %y = tail call i64 @own(i32 %h, i32 -1)\n  ret i64 %y\n}\n"
        "declare i64 @own(i32, i32)\n"
    )
    found = agreed(pool, own=own, half=half)
    assert prototypes(found, "own") == {"i64 @own(i64, i64)"}
    assert "call i64 @own(i64 %x, i64 -1)" in found.texts["half"]
    assert not found.changed


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
