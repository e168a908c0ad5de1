from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

import llm_compiler
from llm_compiler.llvm.module_jobs import RegistryJob
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.workers import LocalPool, run_jobs

PROGRAMS = Path(llm_compiler.__file__).parent / "verify" / "programs"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

CompileUnit = Callable[[str], bytes]


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    return find_toolchain()


@pytest.fixture(scope="session")
def pool() -> Iterator[LocalPool]:
    with LocalPool(2) as local_pool:
        yield local_pool


@pytest.fixture(scope="session")
def space(pool: LocalPool) -> tuple[str, ...]:
    """The safe passes of the LLVM found."""
    found: tuple[str, ...] = run_jobs(pool, [RegistryJob()])[0][0]
    return found


@pytest.fixture(scope="session")
def compile_unit(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> CompileUnit:
    """From a program's name (`verify/programs` or `examples`) to its unoptimised bitcode."""
    folder = tmp_path_factory.mktemp("units")

    @cache
    def compile_one(name: str) -> bytes:
        source = next(p for p in (PROGRAMS / name, EXAMPLES / name) if p.exists())
        output = folder / (source.name + ".bc")
        stock = Stock(toolchain=toolchain)
        stock.compile_source(stock.frontend_command(source, output), source)
        return output.read_bytes()

    return compile_one
