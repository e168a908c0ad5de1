"""The Python API as people guess it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import llm_compiler
from llm_compiler import disassemble, emulate, optimize
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.workers import LocalPool


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "unit.c"
    path.write_text("int f(int x) { return x * X; }\n")
    return path


def test_one_input_gives_one_result_and_several_a_list(source: Path, pool: LocalPool) -> None:
    optimized = optimize(str(source), clang_flags="-DX=3", candidates=0, pool=pool)
    assert section_sizes(optimized.output).size_bytes == optimized.optimized_bytes > 0
    several = optimize([source, str(source)], clang_flags=["-DX=3"], candidates=0, pool=pool)
    assert [result.output for result in several] == [optimized.output, optimized.output]
    text = optimize(source, clang_flags="-DX=3", candidates=0, kind="text", pool=pool)
    assert b"define" in text.output


def test_the_first_failing_input_is_raised(source: Path, pool: LocalPool) -> None:
    with pytest.raises(InputError, match="undeclared identifier 'X'"):
        optimize(source, candidates=0, pool=pool)


def test_mistakes_are_told_in_one_sentence(source: Path) -> None:
    with pytest.raises(ConfigError, match="no setting 'candidate': did you mean candidates"):
        optimize(source, candidate=3)
    with pytest.raises(ConfigError, match="an input is a path, or a list of paths, not int"):
        optimize(3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="options is DisassembleOptions"):
        disassemble(source, None, 3)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="there is no engine 'oracle'"):
        emulate(source, "default<Oz>", engine="oracle")


def test_import_loads_neither_llvm_nor_models() -> None:
    code = (
        "import sys, llm_compiler\n"
        "from llm_compiler import optimize, disassemble, emulate\n"
        "assert callable(optimize) and callable(disassemble) and callable(emulate)\n"
        "print(llm_compiler.__version__)\n"
        "maps = open('/proc/self/maps').read()\n"
        "assert 'libLLVM' not in maps\n"
        "assert not {'torch', 'onnxruntime', 'transformers', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == llm_compiler.__version__


def test_the_modules_of_the_verbs_stay_modules() -> None:
    assert llm_compiler.optimize.OptimizeOptions.__name__ == "OptimizeOptions"  # type: ignore[attr-defined]
    assert "optimize" in dir(llm_compiler)
