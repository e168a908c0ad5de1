"""The weights that ship lift everyday functions: a bad checkpoint does not pass."""

from __future__ import annotations

import pytest

from llm_compiler.disassemble import DisassembleOptions, LiftVerdict, disassemble
from llm_compiler.model.engines.loader import has_shipped_model, load_engine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool

from .conftest import Compile

pytestmark = pytest.mark.skipif(not has_shipped_model(), reason="this installation has no weights")
SOURCE = """
struct pair { int first; long second; };
int add(int a, int b) { return a + b; }
int negate(int a) { return -a; }
int larger(int a, int b) { return a > b ? a : b; }
long second(const struct pair *p) { return p->second; }
void put(int *p, int v) { *p = v; }
int seven(void) { return 7; }
int is_digit(int c) { return c >= '0' && c <= '9'; }
void swap(int *a, int *b) { int t = *a; *a = *b; *b = t; }
extern int other(int);
int forward(int a) { return other(a); }
int is_null(const void *p) { return p == 0; }
"""


@pytest.mark.parametrize(("architecture", "floor"), [("x86_64", 6), ("aarch64", 6)])
def test_everyday_functions(
    architecture: str, floor: int, compile_c: Compile, pool: LocalPool
) -> None:
    source = compile_c(SOURCE, "everyday.o", architecture, "-Oz")
    options = DisassembleOptions(candidates=4, execute=ExecuteOptions(num_inputs=24, min_inputs=12))
    with load_engine("embedded", None) as engine:
        result = disassemble(source, engine, options, pool=pool)
    assert len(result.functions) == 10
    exact = [one.name for one in result.functions if one.verdict is LiftVerdict.EXACT]
    assert len(exact) >= floor, exact
