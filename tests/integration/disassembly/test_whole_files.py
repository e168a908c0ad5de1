"""Files with all that objects hold besides functions and data: lifted, linked in place, and run.

Constructors and destructors, names chosen at load time, further and weak names, names that nobody
defines, thread-local storage, and of C++ objects with constructors, exceptions, templates, virtual
functions. What is not shown right is taken, too: what the program prints decides.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, disassemble
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

FILES = sorted((Path(__file__).parents[2] / "cases" / "lifted_files").iterdir())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("source", FILES, ids=[path.stem for path in FILES])
def test_a_file_made_again_prints_the_same(
    source: Path, tmp_path: Path, toolchain: Toolchain
) -> None:
    clang = toolchain.tool("clang++" if source.suffix == ".cpp" else "clang")

    def output_of(*inputs: str | Path) -> bytes:
        program = tmp_path / "program"
        subprocess.run([clang, "-w", *inputs, "-o", program], check=True, timeout=120)
        return subprocess.run([program], check=True, timeout=20, capture_output=True).stdout

    original = tmp_path / "original.o"
    subprocess.run([clang, "-Oz", "-w", "-c", source, "-o", original], check=True, timeout=120)
    wanted = output_of(original)
    options = DisassembleOptions(
        relink=True,
        accept_unproved=True,
        keep_unproved=False,
        search_s=0.3,
        execute=ExecuteOptions(max_seconds=0.5),
    )
    with LocalPool(1) as pool:
        result = disassemble(original, NoEngine(), options, pool=pool)
    assert result.is_whole, result.obstacle
    relinked, module = tmp_path / "relinked.o", tmp_path / "module.ll"
    relinked.write_bytes(result.relinked)
    module.write_text(result.module)
    assert output_of(relinked) == wanted
    for level in ("-O0", "-O2"):
        assert output_of(level, module) == wanted, level
