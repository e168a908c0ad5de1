"""What becomes of a program that does not join, and of one that nothing makes smaller."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler import optimize_program as module
from llm_compiler.errors import CompileFailed, ConfigError
from llm_compiler.llvm.elf import parse_elf
from llm_compiler.optimize import OptimizeOptions
from llm_compiler.optimize_program import optimize_program
from llm_compiler.search.objective import INSTRUCTIONS
from llm_compiler.workers import LocalPool

FIRST = "int second(int); int main(int n, char **v) { return second(n) + second(n + 1) * 3; }\n"
SECOND = """
static int table[] = {4, 1, 7};
int second(int x) { return x > 2 ? table[0] + x : table[x] * x - x / 3; }
"""


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "first.c", tmp_path / "second.c"]
    for path, text in zip(paths, (FIRST, SECOND), strict=True):
        path.write_text(text)
    return paths


def names(data: bytes) -> set[str]:
    return {
        symbol.name
        for symbol in parse_elf(data).symbols
        if symbol.is_defined and not symbol.is_local
    }


def test_files_that_do_not_join_are_optimised_one_by_one(
    files: list[Path], pool: LocalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise CompileFailed("modules do not link: symbol multiply defined")

    monkeypatch.setattr(module, "join_units", refuse)
    found = optimize_program(
        files, ["main"], OptimizeOptions(candidates=1), pool=pool, output=tmp_path / "all.o"
    )
    assert any("file by file" in warning for warning in found.warnings)
    # Smaller than link-time optimisation it can hardly be: that object stands then.
    assert found.optimized_bytes <= found.baseline_bytes
    assert "main" in names(found.output)


def test_without_candidates_the_object_of_link_time_optimisation_stands(
    files: list[Path], pool: LocalPool, tmp_path: Path
) -> None:
    found = optimize_program(
        files, ["main"], OptimizeOptions(candidates=0), pool=pool, output=tmp_path / "all.o"
    )
    assert found.verdict == "baseline"
    assert found.recipe is None
    assert found.optimized_bytes == found.baseline_bytes
    assert any("--lto-obj-path" in word for word in found.replay)
    assert names(found.output) == {"main"}


def test_an_objective_that_a_linked_object_does_not_tell(
    files: list[Path], pool: LocalPool, tmp_path: Path
) -> None:
    options = OptimizeOptions(objective=INSTRUCTIONS)
    with pytest.raises(ConfigError, match="--objective size or text-data"):
        optimize_program(files, ["main"], options, pool=pool, output=tmp_path / "all.o")
