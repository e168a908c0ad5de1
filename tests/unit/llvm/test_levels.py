"""One place decides what the baseline's pipeline is, and one what each LLVM calls it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from llm_compiler.llvm.levels import pipeline_for
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import OZ

PACKAGE = Path(str(resources.files("llm_compiler")))
PIPELINE = re.compile(r"^\S*default<Oz>\S*$")
LISTS = {"verify/sweep.py"}
"""What is checked beside others because it is called so."""


def sources() -> dict[str, str]:
    """Return the package's modules by their path in it."""
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text() for path in PACKAGE.rglob("*.py")
    }


def texts(source: str) -> Iterator[str]:
    """Yield a module's string constants, docstrings too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_one_module_says_what_the_baseline_is() -> None:
    spelled = {name: source for name, source in sources().items() if "default<Oz>" in source}
    said = {name for name, source in spelled.items() if any(map(PIPELINE.match, texts(source)))}
    assert said - LISTS == {"records.py"}


def test_every_way_to_llvm_asks_what_the_pipeline_is_called() -> None:
    """In process there is one way; commands for opt are written by few modules."""
    found = sources()
    asked = {name for name, source in found.items() if "pipeline_for(" in source}
    runs = {name for name, source in found.items() if "LLVMRunPasses(" in source}
    assert runs == {"llvm/module.py"} < asked
    writers = {name for name, source in found.items() if '"-passes={' in source}
    # Those join modules by passes without a level, and show commands that are written already.
    assert writers - {"llvm/link_time.py", "commands/optimize.py"} <= asked


@pytest.mark.parametrize(
    ("pipeline", "in_23"),
    [
        ("default<Oz>", "default<O2>"),
        ("function(function-simplification<Os>),lto<Oz>", None),
        ("thinlto-pre-link<Oz>,default<O1>", "thinlto-pre-link<O2>,default<O1>"),
        ("simplifycfg<sink-common-insts>", "simplifycfg<sink-common-insts>"),
    ],
)
def test_levels_of_size_become_the_second_level_from_23_on(
    pipeline: str, in_23: str | None
) -> None:
    expected = "function(function-simplification<O2>),lto<O2>" if in_23 is None else in_23
    assert [pipeline_for(pipeline, major) for major in (17, 22)] == [pipeline] * 2
    assert pipeline_for(pipeline, 23) == expected


def test_commands_for_opt_are_those_of_its_version(tmp_path: Path) -> None:
    (tmp_path / "opt").touch()
    for version, level in (("22.1.8", "Oz"), ("23.1.0", "O2")):
        tools = Toolchain(version=version, bin_dir=tmp_path, libllvm=tmp_path)
        stock = Stock(toolchain=tools)
        command = stock.opt_command(OZ, Path("a.bc"), Path("b.bc"), pic=False)
        assert f"-passes=default<{level}>" in command
