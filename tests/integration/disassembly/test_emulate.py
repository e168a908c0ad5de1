"""Predictions beside the compiler's own result."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from llm_compiler.emulate import EmulateOptions, EmulationVerdict, emulate
from llm_compiler.errors import InputError
from llm_compiler.llvm.passes import parse_pass_list
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

SOURCE = "int twice(int x) { return x + x; }\nint zero(void) { return 0; }\n"
PASSES = parse_pass_list("default<Oz>")


def options(assembly: bool = False) -> EmulateOptions:
    return EmulateOptions(
        assembly=assembly, check=True, execute=ExecuteOptions(num_inputs=48, min_inputs=12)
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.c"
    path.write_text(SOURCE)
    return path


def true_code(source: Path, pool: LocalPool, assembly: bool) -> str:
    result = emulate(source, PASSES, ReplayEngine(source.parent), options(assembly), pool=pool)
    assert result.check is not None
    assert result.check.verdict is EmulationVerdict.NO_ANSWER
    assert result.num_instructions_before > result.check.num_instructions > 0
    assert result.size_bytes_before > result.check.size_bytes > 0
    return result.check.code


def test_verdicts_of_ir(source: Path, pool: LocalPool) -> None:
    code = true_code(source, pool, assembly=False)
    line = "shl nsw i32 %0, 1"
    assert line in code
    for replaced, verdict, reason in (
        (line, EmulationVerdict.EXACT, ""),
        ("add nsw i32 %0, %0", EmulationVerdict.SAME_CODE, ""),
        ("sub i32 %0, -1", EmulationVerdict.DIFFERS, "twice: it returns"),
        ("add nsw i64 %0, %0", EmulationVerdict.BROKEN, "i32"),
    ):
        (source.parent / "emulate.ll").write_text(code.replace(line, replaced))
        engine = ReplayEngine(source.parent)
        check = emulate(source, PASSES, engine, options(), pool=pool).check
        assert check is not None
        assert check.verdict is verdict
        assert reason in check.reason
        if verdict is EmulationVerdict.DIFFERS:
            assert check.functions == {"twice": "differs", "zero": "same_code"}


def test_verdicts_of_assembly(source: Path, pool: LocalPool) -> None:
    code = true_code(source, pool, assembly=True)
    line = "leal (%rdi, %rdi), %eax"
    if line not in code:
        pytest.skip("needs an x86-64 machine")
    for replaced, verdict in (
        (line, EmulationVerdict.EXACT),
        ("movl %edi, %eax\naddl %eax, %eax", EmulationVerdict.TESTS_PASSED),
        ("leal 1(%rdi, %rdi), %eax", EmulationVerdict.DIFFERS),
        ("leal (%rdi, %rdi), %eaxx", EmulationVerdict.BROKEN),
    ):
        (source.parent / "emulate.s").write_text(code.replace(line, replaced))
        engine = ReplayEngine(source.parent)
        check = emulate(source, PASSES, engine, options(assembly=True), pool=pool).check
        assert check is not None
        assert check.verdict is verdict


def test_assembly_of_predicted_ir(source: Path, pool: LocalPool) -> None:
    settings = dataclasses.replace(options(assembly=True), lower_ir=True)
    code = true_code(source, pool, assembly=False)
    line = "shl nsw i32 %0, 1"
    for replaced, verdict in (
        (line, EmulationVerdict.EXACT),
        ("add nsw i32 %0, %0", EmulationVerdict.EXACT),
        ("sub i32 %0, -1", EmulationVerdict.DIFFERS),
        ("add nsw i64 %0, %0", EmulationVerdict.BROKEN),
    ):
        (source.parent / "emulate.ll").write_text(code.replace(line, replaced))
        result = emulate(source, PASSES, ReplayEngine(source.parent), settings, pool=pool)
        assert result.check is not None
        assert result.check.verdict is verdict
        if verdict is EmulationVerdict.BROKEN:
            assert result.code is None
            assert "not well-formed" in result.broken
            continue
        assert result.code is not None
        assert "define" not in result.code
        assert result.size_bytes is not None
        if verdict is EmulationVerdict.EXACT:
            assert result.size_bytes == result.check.size_bytes


def test_a_missing_function_differs(source: Path, pool: LocalPool) -> None:
    code = true_code(source, pool, assembly=False)
    (source.parent / "emulate.ll").write_text(code.replace("@zero(", "@nought("))
    check = emulate(source, PASSES, ReplayEngine(source.parent), options(), pool=pool).check
    assert check is not None
    assert (check.verdict, check.reason) == (
        EmulationVerdict.DIFFERS,
        "the function 'zero' is missing",
    )


def test_inputs_that_are_no_code(tmp_path: Path, pool: LocalPool) -> None:
    engine = ReplayEngine(tmp_path)
    for name, text, message in (
        ("a.txt", "x", "neither C, C"),
        ("a.c", "int f( {", "clang rejects"),
        ("a.ll", "define", "a.ll:1"),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            emulate(tmp_path / name, PASSES, engine, pool=pool)
