from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.corpus.synthetic import write_sources
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain


@pytest.mark.parametrize("triple", ["x86_64-pc-linux-gnu", "aarch64-linux-gnu"])
def test_everything_synthetic_compiles(toolchain: Toolchain, tmp_path: Path, triple: str) -> None:
    stock = Stock(toolchain=toolchain, target_triple=triple)
    for source in write_sources(tmp_path, num_functions=1000, seed=5, functions_per_file=500):
        output = source.with_suffix(".bc")
        stock.compile_source(stock.frontend_command(source, output), source)
        assert output.stat().st_size
