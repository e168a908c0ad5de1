from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from llm_compiler.errors import CompileFailed, InputError, IrParseError, UnsupportedTarget
from llm_compiler.llvm.codegen import TargetMachine, default_triple
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context, Module

SOURCE = b"""
target triple = "x86_64-pc-linux-gnu"
@counter = global i32 5
define i32 @twice(i32 %x) minsize optsize {
  %a = alloca i32
  store i32 %x, ptr %a
  %b = load i32, ptr %a
  %c = add i32 %b, %b
  ret i32 %c
}
define void @empty() {
  ret void
}
declare void @outside()
"""


@pytest.fixture
def context() -> Iterator[Context]:
    with Context() as each_context:
        yield each_context


@pytest.fixture
def module(context: Context) -> Module:
    return context.parse(SOURCE, "twice.ll")


# -- ownership -------------------------------------------------------------------------------------


def test_a_closed_module_refuses_use(module: Module) -> None:
    module.close()
    module.close()
    for use in (
        module.clone,
        module.to_text,
        module.to_bitcode,
        module.bitcode_hash,
        module.verify,
        module.num_instructions,
        module.defined_functions,
        module.functions_without_minsize,
        lambda: module.run_passes("globaldce"),
        lambda: extract_function(module, "twice"),
        lambda: module.target_triple,
        lambda: module.flag("PIC Level"),
    ):
        with pytest.raises(ValueError, match="this LLVM module is closed"):
            use()


def test_closing_a_context_closes_its_modules() -> None:
    context = Context()
    module = context.parse(SOURCE)
    copy = module.clone()
    context.close()
    context.close()
    for each_module in (module, copy):
        with pytest.raises(ValueError, match="this LLVM module is closed"):
            each_module.to_text()
    with pytest.raises(ValueError, match="this LLVM context is closed"):
        context.parse(SOURCE)


def test_a_closed_target_machine_refuses_use(module: Module) -> None:
    machine = TargetMachine.for_module(module)
    machine.close()
    machine.close()
    for use in (machine.emit_object, machine.emit_assembly, machine.sizes):
        with pytest.raises(ValueError, match="this LLVM target machine is closed"):
            use(module)


def test_code_generation_of_a_closed_module_is_refused(module: Module) -> None:
    with TargetMachine.for_module(module) as machine:
        module.close()
        with pytest.raises(ValueError, match="this LLVM module is closed"):
            machine.emit_object(module)


def test_owners_close_as_context_managers() -> None:
    with Context() as context, context.parse(SOURCE) as module:
        with TargetMachine.for_module(module) as machine:
            assert machine.emit_object(module)
    with pytest.raises(ValueError, match="closed"):
        _ = module.handle


def test_modules_dropped_without_close_go_with_their_context() -> None:
    with Context() as context:
        for _ in range(50):
            context.parse(SOURCE)
        gc.collect()


# -- parsing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        (b"define i32 @f() {\n  ret i33 0\n}\n", 2, 7, "value doesn't match function result type"),
        (b"define i32 @f( {\n", 2, 1, "expected type"),
        (b"\n\n  bogus\n", 3, 3, "expected top-level entity"),
        (b"define void @f() {\n  call void @g()\n  ret void\n}", 2, 13, "undefined value '@g'"),
    ],
)
def test_errors_in_text_have_line_and_column(
    context: Context, text: bytes, line: int, column: int, words: str
) -> None:
    with pytest.raises(IrParseError) as caught:
        context.parse(text, "bad.ll")
    error = caught.value
    assert (error.line, error.column) == (line, column)
    assert str(error).startswith(f"bad.ll:{line}:{column}: ")
    assert words in str(error)


def test_what_stands_behind_a_nul_byte_in_text_is_an_error(context: Context) -> None:
    with pytest.raises(IrParseError, match=r"nul\.ll:1:\d+: expected top-level entity"):
        context.parse(b"define void @f() { ret void } \x00 rest", "nul.ll")


@pytest.mark.parametrize(
    "data",
    [b"BC\xc0\xde", b"BC\xc0\xde" + b"garbage " * 40, b"\xde\xc0\x17\x0b" + bytes(60)],
    ids=["magic", "garbage", "wrapper"],
)
def test_bad_bitcode_is_a_parse_error(context: Context, data: bytes) -> None:
    with pytest.raises(IrParseError, match=r"x\.bc is not valid LLVM bitcode: \w+") as caught:
        context.parse(data, "x.bc")
    assert caught.value.line == 0


def test_bitcode_cut_short_is_a_parse_error(context: Context, module: Module) -> None:
    data = module.to_bitcode()
    for length in range(4, len(data) - 4, 37):
        try:
            context.parse(data[:length], "cut.bc")
        except IrParseError:
            continue
        pytest.fail(f"{length} of {len(data)} bytes were taken for a module")


def test_empty_input_is_a_parse_error(context: Context) -> None:
    with pytest.raises(IrParseError, match=r"e\.ll is empty: expected LLVM-IR or bitcode"):
        context.parse(b"", "e.ll")


def test_a_triple_that_is_no_utf_8_is_read(context: Context) -> None:
    # Found by benchmarks/fuzz_inputs.py: the worker's own code raised.
    assert context.parse(b'target triple = "x86\\8E_64"').target_triple == "x86\ufffd_64"


def test_a_parse_error_leaves_the_context_usable(context: Context) -> None:
    with pytest.raises(IrParseError):
        context.parse(b"nonsense")
    assert context.parse(SOURCE).defined_functions() == ("twice", "empty")


def test_text_and_bitcode_are_the_same_module(context: Context, module: Module) -> None:
    again = context.parse(module.to_bitcode(), "twice.ll")
    assert again.to_text().split("\n", 2)[2] == module.to_text().split("\n", 2)[2]
    assert again.num_instructions() == module.num_instructions() == 6


# -- questions -------------------------------------------------------------------------------------


def test_counts_and_names(module: Module) -> None:
    assert module.num_instructions() == 6
    assert module.defined_functions() == ("twice", "empty")
    assert module.functions_without_minsize() == ("empty",)
    assert module.target_triple == "x86_64-pc-linux-gnu"
    assert module.flag("PIC Level") is None


def test_flags_are_read(context: Context) -> None:
    module = context.parse(b'!llvm.module.flags = !{!0}\n!0 = !{i32 8, !"PIC Level", i32 2}\n')
    assert module.flag("PIC Level") == 2
    assert module.flag("PIE Level") is None


def test_the_verifier_speaks(context: Context) -> None:
    # The parser accepts it, but %a does not dominate its use.
    broken = context.parse(
        b"define i32 @f(i1 %c) {\n br i1 %c, label %x, label %y\n"
        b"x:\n %a = add i32 1, 2\n br label %y\ny:\n ret i32 %a\n}"
    )
    assert "Instruction does not dominate all uses" in broken.verify()
    assert context.parse(SOURCE).verify() == ""


def test_equal_modules_have_equal_hashes(module: Module) -> None:
    copy = module.clone()
    assert copy.bitcode_hash() == module.bitcode_hash()
    copy.run_passes("function(mem2reg)")
    assert copy.bitcode_hash() != module.bitcode_hash()


def test_a_clone_is_independent(module: Module) -> None:
    before = module.to_text()
    copy = module.clone()
    copy.run_passes("default<Oz>")
    assert module.to_text() == before
    assert copy.num_instructions() < module.num_instructions()
    module.close()
    assert copy.verify() == ""
    assert "@twice" in copy.to_text()


# -- passes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pipeline", ["frobnicate", "function(globalopt)", "function(sroa", "sroa<x>"]
)
def test_a_pipeline_that_llvm_refuses_is_named(module: Module, pipeline: str) -> None:
    with pytest.raises(CompileFailed, match="LLVM refuses ") as caught:
        module.run_passes(pipeline)
    assert pipeline in str(caught.value)
    assert caught.value.detail


def test_passes_run_in_place(module: Module) -> None:
    module.run_passes("function(sroa<modify-cfg>),function(instcombine<no-verify-fixpoint>)")
    assert "alloca" not in module.to_text()
    module.run_passes("")
    assert module.num_instructions() == 3


# -- code generation -------------------------------------------------------------------------------


def test_objects_and_assembly_for_both_targets(module: Module) -> None:
    with TargetMachine("x86_64-linux-gnu") as machine:
        assert machine.emit_object(module.clone())[:4] == b"\x7fELF"
        assert "retq" in machine.emit_assembly(module.clone())
    arm = module.clone()
    arm.target_triple = "aarch64-linux-gnu"
    with TargetMachine.for_module(arm) as machine:
        data = machine.emit_object(arm.clone())
        assert int.from_bytes(data[18:20], "little") == 183  # EM_AARCH64
        assert "w0" in machine.emit_assembly(arm.clone())
        assert machine.sizes(arm).text_data_bytes > 0


@pytest.mark.parametrize("triple", ["vax-dec-vms", "quantum-unknown-linux", "", "x"])
def test_targets_that_nobody_knows_are_refused(triple: str) -> None:
    with pytest.raises(UnsupportedTarget):
        TargetMachine(triple)


def test_a_target_that_the_library_lacks_is_refused(
    module: Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_compiler.llvm import capi

    monkeypatch.setattr(capi, "_COMPONENTS", (("vax", "Vax"), *capi._COMPONENTS))
    with pytest.raises(UnsupportedTarget, match="has no code generator for 'vax-linux'"):
        TargetMachine("vax-linux")


OTHER_TARGETS = """
import sys
from llm_compiler.errors import UnsupportedTarget
from llm_compiler.llvm.codegen import TargetMachine
from llm_compiler.llvm.module import Context

for triple in ("riscv64-linux-gnu", "armv7-linux-gnueabihf", "powerpc64le-linux-gnu"):
    with Context() as context, context.parse(sys.argv[1].encode()) as module:
        module.target_triple = triple
        try:
            machine = TargetMachine.for_module(module)
        except UnsupportedTarget:
            continue
        with machine:
            assert machine.sizes(module).size_bytes > 0
"""


def test_other_targets_work_where_the_library_has_them() -> None:
    # In a process of its own: their code generators change options of LLVM that stay changed, and
    # x86-64's objects come out with other sizes then.
    command = [sys.executable, "-c", OTHER_TARGETS, SOURCE.decode()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_errors_of_code_generation_are_raised(context: Context) -> None:
    module = context.parse(
        b'target triple = "x86_64-linux-gnu"\n'
        b'define void @f() {\n call void asm "nonsense_instruction", ""()\n ret void\n}'
    )
    with TargetMachine.for_module(module) as machine:
        with pytest.raises(CompileFailed, match=r"code generation for .* failed: .*nonsense"):
            machine.emit_object(module)


def test_the_default_triple_names_this_machine() -> None:
    assert default_triple().count("-") >= 2


# -- extraction: details; whole programs are in test_extract.py ------------------------------------


def test_extracting_what_is_not_there_names_what_is(module: Module) -> None:
    with pytest.raises(InputError, match="defines no function 'none'; it defines: twice, empty"):
        extract_function(module, "none")
    with pytest.raises(InputError, match="no function 'outside'"):
        extract_function(module, "outside")


_COMPUTED_GOTO = b"""
define i32 @run(ptr %program) {
entry:
  %at = load i64, ptr %program
  %slot = getelementptr [2 x ptr], ptr @table, i64 0, i64 %at
  %to = load ptr, ptr %slot
  indirectbr ptr %to, [label %one, label %two]
one:
  ret i32 1
two:
  ret i32 2
}
@table = internal constant [2 x ptr] [ptr blockaddress(@run, %one), ptr blockaddress(@run, %two)]
"""


def test_a_clone_of_a_computed_goto_stands_alone(context: Context) -> None:
    # LLVM 19's clone leaves the addresses in the table pointing to blocks of the original.
    module = context.parse(_COMPUTED_GOTO)
    text = module.to_text()
    copy = module.clone()
    module.close()
    assert copy.to_text() == text
    assert copy.clone().verify() == ""
    copy.run_passes("default<Oz>")
    assert copy.verify() == ""
