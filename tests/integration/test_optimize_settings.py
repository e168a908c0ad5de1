"""Recipes with attributes and options through `optimize`: who gets them, and that replay holds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from llm_compiler.api import optimize
from llm_compiler.errors import ConfigError
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import Optimized, OptimizeOptions, Proposer
from llm_compiler.records import VerdictKind
from llm_compiler.search.coreset import load_coreset
from llm_compiler.workers import LocalPool

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CALLS = """
int g(int); int h(int, int, int, int, int, int, int, int);
int f(int a, int b) { for (int i = 0; i < a; i++) b += g(i) * h(a, b, i, 4, 5, 6, 7, 8); return b; }
int k(int a, int b) { for (int i = 0; i < b; i++) a += g(i) * h(a, b, i, 4, 5, 6, 7, 9); return a; }
int same(int a, int b) { g(a); g(b); g(a + b); g(a - b); return h(a, b, 1, 2, 3, 4, 5, 6); }
int like(int a, int b) { g(a); g(b); g(a + b); g(a - b); return h(a, b, 1, 2, 3, 4, 5, 7); }
"""
FRAMED = "frame-pointer=non-leaf"


class Passed:
    """Stands in for `verify.checker.Checker`: all that the coreset may hold has passed."""

    def search_space(self) -> tuple[str, ...]:
        return ("globalopt",)

    def known(self, passes: object, target_triple: str) -> VerdictKind:
        return VerdictKind.PASSED

    check = known

    def why_unchecked(self, target_triple: str) -> str:
        return ""


def run(pool: LocalPool, path: Path, *, output: Path | None = None, **options: object) -> Optimized:
    settings = {"proposer": Proposer.CORESET, "candidates": 6, **options}
    return optimize(
        path,
        OptimizeOptions(**settings),
        pool=pool,
        checker=Passed(),
        output=output or path.with_suffix(".o"),
    )


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "unit.c"
    path.write_text(text)
    return path


def replayed(found: Optimized, folder: Path) -> bytes:
    for command in found.replay:
        subprocess.run(command, shell=True, check=True, cwd=folder, timeout=60)
    return (folder / "unit.o").read_bytes()


@pytest.mark.parametrize(
    ("triple", "setting"),
    [("x86_64-linux-gnu", FRAMED), ("aarch64-linux-gnu", "outliner-benefit-threshold=24")],
)
def test_settings_win_and_replay_makes_the_same_bytes(
    pool: LocalPool, tmp_path: Path, triple: str, setting: str
) -> None:
    source = write(tmp_path, CALLS)
    found = run(pool, source, target_triple=triple)
    assert found.recipe is not None
    if triple.startswith("x86"):
        assert setting in found.recipe.attributes
    assert replayed(found, tmp_path) == found.output
    assert parse_recipe(found.recipe.text) == found.recipe
    contents = json.loads(json.dumps(found.to_json()))
    assert contents["recipe"]["passes"] == contents["passes"]
    assert contents["recipe"]["attributes"] == list(found.recipe.attributes)


def test_options_of_code_generation_are_replayed(pool: LocalPool, tmp_path: Path) -> None:
    # By default clang outlines what this threshold leaves alone.
    stock = Stock(toolchain=find_toolchain(), target_triple="aarch64-linux-gnu")
    source, bitcode = write(tmp_path, CALLS), tmp_path / "unit.bc"
    stock.compile_source(stock.frontend_command(source, bitcode), source)
    recipe = parse_recipe("default<Oz> --outliner-benefit-threshold=40")
    stock.run_opt(recipe, bitcode, tmp_path / "o.bc", pic=True)
    stock.run_backend(tmp_path / "o.bc", tmp_path / "direct.o", recipe=recipe)
    for command in stock.replay(source, recipe, tmp_path / "unit.o", pic=True):
        subprocess.run(command, shell=True, check=True, timeout=60)
    assert (tmp_path / "unit.o").read_bytes() == (tmp_path / "direct.o").read_bytes()
    plain = tmp_path / "plain.o"
    stock.run_backend(tmp_path / "o.bc", plain)
    assert plain.read_bytes() != (tmp_path / "direct.o").read_bytes()


def test_bitcode_input_gets_the_attribute_by_opt(pool: LocalPool, tmp_path: Path) -> None:
    stock = Stock(toolchain=find_toolchain(), target_triple="x86_64-linux-gnu")
    source, bitcode = write(tmp_path, CALLS), tmp_path / "unit.bc"
    stock.compile_source(stock.frontend_command(source, bitcode), source)
    found = run(pool, bitcode)
    assert found.recipe is not None
    assert FRAMED in found.recipe.attributes
    assert replayed(found, tmp_path) == found.output


@pytest.mark.parametrize(
    "flags",
    [
        ("-fomit-frame-pointer",),
        ("-fno-omit-frame-pointer",),
        ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables"),
    ],
)
def test_flags_that_decide_are_respected(
    pool: LocalPool, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    found = run(pool, write(tmp_path, CALLS), clang_flags=flags, target_triple="x86_64-linux-gnu")
    assert found.recipe is None or found.recipe.attributes == ()


def test_code_that_uses_the_register_itself_gets_no_frame_pointer(
    pool: LocalPool, tmp_path: Path
) -> None:
    code = (
        'int r(int a) { int b; asm("mov %1, %%ebp; mov %%ebp, %0"'
        ' : "=r"(b) : "r"(a) : "ebp"); return b + g(a) + g(b); }'
    )
    found = run(pool, write(tmp_path, CALLS + code), target_triple="x86_64-linux-gnu")
    assert found.recipe is None or found.recipe.attributes == ()


def test_functions_get_recipes_of_their_own_and_replay_makes_the_same_bytes(
    pool: LocalPool, tmp_path: Path
) -> None:
    found = run(pool, EXAMPLES / "lisp" / "printer.c", candidates=12, output=tmp_path / "unit.o")
    alone = run(pool, EXAMPLES / "lisp" / "printer.c", candidates=12, function_wise=False)
    assert alone.num_assemblies == 0
    assert found.optimized_bytes <= alone.optimized_bytes
    assert found.recipe is not None
    assert found.recipe.functions, "no assembly won: choose another example"
    assert found.num_assemblies > 0
    assert replayed(found, tmp_path) == found.output
    assert parse_recipe(found.recipe.text) == found.recipe
    own = found.to_json()["recipe"]["functions"]  # type: ignore[index]
    assert set(own) == {name for name, _ in found.recipe.functions}


def test_every_element_is_explained_by_leaving_it_out(pool: LocalPool, tmp_path: Path) -> None:
    source = write(tmp_path, CALLS)
    found = run(pool, source, explain=True, function_wise=False, target_triple="x86_64-linux-gnu")
    explained = found.explanation
    assert explained is not None
    assert found.recipe is not None
    assert sum(explained.baseline.values()) == found.baseline_bytes
    assert sum(explained.optimized.values()) == found.optimized_bytes
    attributes = [item for item in explained.contributions if item.kind == "attribute"]
    assert {item.element for item in attributes} == set(found.recipe.attributes)
    assert len(explained.contributions) == len(found.recipe.elements) + len(attributes)
    (frame,) = (item for item in attributes if item.element == FRAMED)
    assert frame.saved_bytes > 0
    assert frame.sections[".eh_frame"] > frame.saved_bytes - 30
    assert frame.saved_bytes == sum(frame.sections.values())
    printed = found.to_json()["explain"]
    assert printed["elements"][0]["saved_bytes"] >= printed["elements"][-1]["saved_bytes"]  # type: ignore[index]
    assert run(pool, source).explanation is None


def test_pass_lists_alone_on_request(pool: LocalPool, tmp_path: Path) -> None:
    source = write(tmp_path, CALLS)
    found = run(pool, source, pass_lists_only=True, target_triple="x86_64-linux-gnu")
    assert found.recipe is not None
    own = [recipe for _, recipe in found.recipe.functions]
    assert all((recipe.attributes, recipe.options) == ((), ()) for recipe in (found.recipe, *own))
    for_text = run(pool, source, objective="text-data", target_triple="x86_64-linux-gnu")
    assert for_text.recipe is None or for_text.recipe.attributes == ()


def test_the_coreset_names_settings_for_its_targets() -> None:
    coreset = load_coreset()
    assert coreset.settings_for("x86_64")
    assert set(coreset.lists) < set(coreset.recipes_for("x86_64"))
    assert set(coreset.extras_for("x86_64")) < set(coreset.recipes_for("x86_64"))
    assert len(coreset.recipes_for("x86_64")) > 2 * len(coreset.lists)
    assert coreset.recipes_for("riscv64") == coreset.lists


def test_what_changes_the_contract_needs_leave(pool: LocalPool, tmp_path: Path) -> None:
    source = write(tmp_path, CALLS)
    triple = "x86_64-linux-gnu"
    without = run(pool, source, target_triple=triple, function_wise=False)
    assert without.recipe is None or "unwind-tables=none" not in without.recipe.attributes
    found = run(pool, source, target_triple=triple, function_wise=False, allow=("unwind-tables",))
    assert found.recipe is not None
    assert "unwind-tables=none" in found.recipe.attributes
    assert found.optimized_bytes < without.optimized_bytes
    assert replayed(found, tmp_path) == found.output
    with pytest.raises(ConfigError, match="unwind-tables"):
        OptimizeOptions(allow=("frame-pointer",))
