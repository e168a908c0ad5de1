"""Units compiled by benchmarks/compile_objects.py: by which compiler, whole or not at all."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler import process
from llm_compiler.corpus.commands import CompileCommand
from llm_compiler.corpus.tools import Tools, find_tools

_PATH = Path(__file__).parents[3] / "benchmarks" / "compile_objects.py"


@pytest.fixture(scope="module")
def compile_objects() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("compile_objects", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up.
    sys.modules["compile_objects"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["compile_objects"]


@pytest.fixture(scope="module")
def tools() -> Tools:
    return find_tools()


def unit(source: str) -> CompileCommand:
    return CompileCommand(directory=".", source=source, language="c", flags=("-DFACTOR=5",))


def test_each_kind_is_its_compiler_s(
    compile_objects: ModuleType, tools: Tools, tmp_path: Path
) -> None:
    (tmp_path / "scaled.c").write_text("int scaled(int x) { return x * FACTOR; }\n")
    done = 0
    for kind in compile_objects.KINDS:
        if kind.compiler != "clang" and shutil.which(f"{kind.compiler}gcc") is None:
            continue
        output = tmp_path / kind.name / "scaled.o"
        assert not compile_objects.compile_unit(
            unit("scaled.c"), kind, output, root=tmp_path, tools=tools
        )
        readelf = tools.nm.with_name(tools.nm.name.replace("nm", "readelf"))
        listed = process.run([readelf, "-h", "-p", ".comment", output], timeout_s=60)
        text = listed.stdout.decode().lower()
        assert ("gcc: (" in text) is (kind.compiler != "clang")
        architecture = kind.name.partition("-")[0]
        assert architecture.replace("_", "-") in text.replace("_", "-")
        done += 1
    assert done >= 2


def test_what_does_not_compile_has_a_cause_and_no_object(
    compile_objects: ModuleType, tools: Tools, tmp_path: Path
) -> None:
    (tmp_path / "bad.c").write_text("int bad(int x) { return y; }\n")
    (tmp_path / "data.c").write_text("int data[FACTOR];\n")
    (tmp_path / "copy.c").write_text("void inflate_fast(void) {}\n")
    kind = next(kind for kind in compile_objects.KINDS if kind.compiler == "clang")
    causes = {
        name: compile_objects.compile_unit(
            unit(f"{name}.c"), kind, tmp_path / "out" / f"{name}.o", root=tmp_path, tools=tools
        )
        for name in ("bad", "data", "copy")
    }
    assert "undeclared" in causes["bad"]
    assert causes["data"] == "no function"
    assert causes["copy"] == "held out: it defines inflate_fast of zlib"
    assert not list((tmp_path / "out").iterdir())
