"""What a module is made of, read from its text; and which passes are refused for it."""

from __future__ import annotations

import pytest

from llm_compiler.llvm.constructs import CONSTRUCTS, constructs_of, describe, uncovered
from llm_compiler.llvm.passes import parse_pass_list, unsafe_passes
from llm_compiler.llvm.refusals import REFUSALS, kinds_refused, never_allowed, refusal_of
from llm_compiler.llvm.registry import base_name, entry, level_of
from llm_compiler.records import Recipe
from llm_compiler.verify.suite import built_in_suite

_TEXTS = {
    "returns-twice": "declare i32 @__sigsetjmp(ptr, i32)",
    "coroutine": "  %h = call ptr @llvm.coro.begin(token %id, ptr null)",
    "musttail": "  %r = musttail call i32 @f(i32 %x)",
    "asm-goto": '  callbr void asm sideeffect "", "!i"() to label %a [label %b]',
    "naked": "attributes #0 = { naked noinline nounwind }",
    "module-assembly": 'module asm ".globl x"',
    "block-address": "@t = constant [1 x ptr] [ptr blockaddress(@f, %b)]",
    "optimiser-barrier": "attributes #3 = { noinline optnone }",
    "calling-convention": "  call preserve_mostcc void @f()",
    "indirect-function": "@f = ifunc i32 (i32), ptr @resolve",
    "constructor": "@llvm.global_ctors = appending global [1 x { i32, ptr, ptr }] zeroinitializer",
    "thread-local": "@x = internal thread_local global i32 0",
    "strict-floating-point": "declare double @llvm.experimental.constrained.fadd.f64(double)",
    "null-is-valid": "attributes #1 = { null_pointer_is_valid }",
    "extended-floating-point": "  %x = fadd x86_fp80 %a, %b",
    "odd-width-integer": "  %x = add i37 %a, %b",
    "target-intrinsic": "declare <16 x i8> @llvm.x86.sse2.pavg.b(<16 x i8>, <16 x i8>)",
    "assumption": "  call void @llvm.assume(i1 %c)",
    "dynamic-alloca": "  %a = alloca i8, i64 %n, align 16",
    "frame-introspection": "  %r = call ptr @llvm.returnaddress(i32 0)",
    "mixed-targets": 'attributes #0 = { "target-features"="+a" }\n'
    'attributes #1 = { "target-features"="+a,+b" }',
    "builtin-setjmp": "declare i32 @llvm.eh.sjlj.setjmp(ptr)",
    "funclet": "  %p = catchpad within %s [ptr null]",
    "garbage-collection": 'define void @f() gc "statepoint-example" {',
    "foreign-convention": "define tailcc i32 @f() {",
    "trampoline": "declare void @llvm.init.trampoline(ptr, ptr, ptr)",
    "scalable-vector": "  %v = load <vscale x 4 x i32>, ptr %p",
    "matrix": "declare <4 x i32> @llvm.matrix.transpose.v4i32(<4 x i32>, i32, i32)",
    "unusual-type": "  %x = add i256 %a, %b",
    "address-space": "  %x = load i32, ptr addrspace(257) %p",
    "unusual-parameter": "declare void @f(ptr inalloca(i32))",
    "foreign-personality": "define void @f() personality ptr @rust_eh_personality {",
    "openmp": "declare i32 @__kmpc_global_thread_num(ptr)",
    "objective-c": "declare ptr @objc_retain(ptr)",
    "synchronisation-scope": '  fence syncscope("agent") acquire',
    "instrumented": 'attributes #2 = { "instrument-function-entry-inlined"="f" }',
}


@pytest.mark.parametrize("name", _TEXTS)
def test_a_construct_is_seen(name: str) -> None:
    assert name in constructs_of(f"; a module\n{_TEXTS[name]}\n")


def test_an_ordinary_module_has_none() -> None:
    text = """
target triple = "x86_64-pc-linux-gnu"
@.str = private constant [30 x i8] c"musttail call setjmp half nest"
@"token nest" = global i32 5
define dso_local i32 @f(ptr noundef %half, i128 %x) #0 {
  %nest = call i64 @llvm.objectsize.i64.p0(ptr %half, i1 false, i1 true, i1 false)
  call void asm sideeffect "nest cc 5", "~{memory}"()
  call void @llvm.memcpy.p0.p0.i64(ptr %half, ptr %half, i64 4, i1 false)
  call void @my_setjmp()
  ret i32 0
}
attributes #0 = { minsize nounwind optsize uwtable memory(none) "no-builtins" }
!0 = !{!"musttail vscale"}
"""
    assert constructs_of(text) == ()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("attributes #0 = { safestack }", "attribute safestack"),
        ("attributes #0 = { sanitize_address minsize }", "attribute sanitize_address"),
        ("declare void @llvm.brand.new(i32)", "intrinsic brand.new"),
        ("declare void @llvm.experimental.guard(i1, ...)", "intrinsic experimental.guard"),
        ("declare void @llvm.expired(i1)", "intrinsic expired"),
        ("declare i32 @llvm.x86.xbegin()", "intrinsic x86.xbegin"),
        ('  call void @f() [ "deopt"(i32 1) ]', "operand bundle deopt"),
    ],
)
def test_what_nobody_knows_is_not_covered(text: str, name: str) -> None:
    found = constructs_of(f"\n{text}\n")
    assert name in found
    assert f"the {name}" in uncovered(found)
    why = refusal_of(parse_pass_list("gvn,default<Oz>"), found)
    assert why == f"no self-testing program covers the {name}"
    assert refusal_of(parse_pass_list("default<Oz>"), found) == ""


def test_constructs_are_named_once_and_covered_by_programs_that_exist() -> None:
    names = [construct.name for construct in CONSTRUCTS]
    assert len(set(names)) == len(names)
    programs = {program.name for program in built_in_suite().programs}
    assert {program for construct in CONSTRUCTS for program in construct.programs} <= programs


def test_refusals_name_constructs_and_passes_that_exist() -> None:
    names = {construct.name for construct in CONSTRUCTS}
    for refusal in REFUSALS:
        assert refusal.construct in names
        for text in (*refusal.passes, *refusal.unless_after):
            assert (
                text in ("*", "default", "no pass at all")
                or level_of(base_name(text))
                or entry(text)
            ), text


def test_a_pass_is_refused_for_its_kind_of_module_only() -> None:
    passes = parse_pass_list("sroa,loop-extract,default<O1>")
    assert refusal_of(passes, ["returns-twice"]).startswith("loop-extract moves code")
    assert refusal_of(passes, ["thread-local"]) == ""
    assert refusal_of(passes, []) == ""
    assert never_allowed("loop-extract", ["returns-twice"])
    assert not never_allowed("loop-extract", ["constructor"])
    assert kinds_refused(passes)[0] == describe("returns-twice")


def test_coroutines_are_split_before_anything_else() -> None:
    kinds = ["coroutine"]
    assert refusal_of(parse_pass_list("scc-oz-module-inliner,default<Oz>"), kinds)
    assert refusal_of(parse_pass_list("lto<Oz>,default<Oz>"), kinds)
    assert refusal_of(parse_pass_list("default<Oz>,scc-oz-module-inliner"), kinds) == ""
    assert refusal_of(Recipe(), kinds).startswith("no pass at all must not see a coroutine")


def test_recipes_of_functions_and_settings_are_asked_too() -> None:
    inner = parse_pass_list("loop-extract,default<Oz>")
    outer = Recipe(("default<Oz>",), functions=(("f", inner),))
    assert refusal_of(outer, ["returns-twice"])
    settings = Recipe(("default<Oz>",), attributes=("frame-pointer=non-leaf",))
    assert refusal_of(settings, ["funclet"])


def test_lists_whose_result_differs_from_run_to_run_are_not_safe() -> None:
    assert unsafe_passes(parse_pass_list("loop-extract<single>,sroa,iroutliner"))
    assert not unsafe_passes(parse_pass_list("loop-extract,sroa"))
    assert not unsafe_passes(parse_pass_list("iroutliner,sroa"))
