"""Settings in process and through the stock tools make objects of one size."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.llvm.evaluator import Evaluator
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import Status

SOURCE = """
int g(int); int h(int, int, int, int, int, int, int, int);
int f(int a, int b) { for (int i = 0; i < a; i++) b += g(i) * h(a, b, i, 4, 5, 6, 7, 8); return b; }
int k(int a, int b) { for (int i = 0; i < b; i++) a += g(i) * h(a, b, i, 4, 5, 6, 7, 9); return a; }
int leaf(int a) { return a * 3; }
static int helper(int *p, int n) { return p[n] > 3 ? g(p[n] + p[n + 1]) : h(n, 1, 2, 3, 4, 5, 6, 7);
}
int once(int *p) { return helper(p, 1) + helper(p, 2); }
int again(int *p, int n) { int t = p[0]; if (n) { g(n); t += p[0]; }
return t + p[0] + helper(p, n); }
int same(int a, int b) { g(a); g(b); g(a + b); g(a - b); return h(a, b, 1, 2, 3, 4, 5, 6); }
int fixed(void) { int n = 0; for (int i = 0; i < 9; i++) for (int j = i; j < 9; j++) n += i * j;
return n; }
int like(int a, int b) { g(a); g(b); g(a + b); g(a - b); return h(a, b, 1, 2, 3, 4, 5, 7); }
"""
RECIPES = {
    "x86_64-linux-gnu": (
        "default<Oz>",
        "default<Oz> +frame-pointer=non-leaf",
        "default<Oz> +frame-pointer=all",
        "+frame-pointer=non-leaf",
        "default<O2> +size-level=2",
        "default<Oz> +size-level=s",
        "default<Oz> +unwind-tables=none",
        "default<O2> +frame-pointer=non-leaf +size-level=2",
        "default<Oz> +inline-threshold=225",
        "default<Oz> +enable-gvn-memdep=false +frame-pointer=non-leaf +inline-threshold=50",
    ),
    "aarch64-linux-gnu": (
        "default<Oz>",
        "default<Oz> --outliner-benefit-threshold=40",
        "default<Oz> --outliner-benefit-threshold=8",
        "default<Oz> --disable-machine-licm=true --enable-misched=false "
        "--outliner-benefit-threshold=24",
    ),
}


@pytest.mark.parametrize("triple", RECIPES)
def test_process_and_stock_tools_agree_on_settings(triple: str, tmp_path: Path) -> None:
    stock = Stock(toolchain=find_toolchain(), target_triple=triple)
    source, bitcode = tmp_path / "in.c", tmp_path / "in.bc"
    source.write_text(SOURCE)
    stock.compile_source(stock.frontend_command(source, bitcode), source)
    sizes = {}
    with Evaluator(bitcode.read_bytes()) as evaluator:
        # Twice, and in both orders: an option that is set must not stay set.
        for text in (*RECIPES[triple], *reversed(RECIPES[triple])):
            recipe = parse_recipe(text)
            measured = evaluator.measure(recipe)
            assert measured.status is Status.OK, measured.detail
            stock.run_opt(recipe, bitcode, tmp_path / "o.bc", pic=True)
            stock.run_backend(tmp_path / "o.bc", tmp_path / "out.o", recipe=recipe)
            real = section_sizes((tmp_path / "out.o").read_bytes())
            assert measured.size_bytes == real.size_bytes, text
            assert measured.text_data_bytes == real.text_data_bytes, text
            assert sizes.setdefault(text, measured).result_hash == measured.result_hash
        built = evaluator.build(parse_recipe(RECIPES[triple][1]), ())[1]
        assert section_sizes(built).size_bytes == sizes[RECIPES[triple][1]].size_bytes
    assert len({size.size_bytes for size in sizes.values()}) > 1
    assert len({size.result_hash for size in sizes.values()}) == len(sizes)


def test_passes_are_shared_between_settings(tmp_path: Path) -> None:
    stock = Stock(toolchain=find_toolchain(), target_triple="x86_64-linux-gnu")
    source, bitcode = tmp_path / "in.c", tmp_path / "in.bc"
    source.write_text(SOURCE)
    stock.compile_source(stock.frontend_command(source, bitcode), source)
    with Evaluator(bitcode.read_bytes()) as evaluator:
        evaluator.measure(parse_recipe("default<Oz> +frame-pointer=non-leaf"))
        runs = evaluator.num_pass_runs
        evaluator.measure(parse_recipe("default<Oz>"))
        assert evaluator.num_pass_runs == runs
        assert evaluator.num_code_generations == 2
