"""Functions lifted by rules alone: drafts that are not exact have to stand when they are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.workers import LocalPool


@pytest.mark.parametrize("mnemonic", ["bsrl", "bsfl"])
def test_a_scan_that_finds_no_bit(mnemonic: str, pool: LocalPool, tmp_path: Path) -> None:
    path = tmp_path / "scan.s"
    path.write_text(
        ".text\n.globl f\n.type f, @function\nf:\nmovl %esi, %eax\n"
        f"{mnemonic} %edi, %eax\nimull %esi, %eax\naddl %edi, %eax\nretq\n"
    )
    result = disassemble(path, NoEngine(), DisassembleOptions(search_s=0.3), pool=pool)
    (found,) = result.functions
    assert found.verdict is LiftVerdict.TESTS_PASSED, found.reason
    assert "select i1" in found.ir
