"""What is written where, for which inputs."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from llm_compiler.commands.inputs import collect_sources, name_outputs
from llm_compiler.errors import ConfigError, InputError
from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.optimization.options import OutputKind
from llm_compiler.optimization.sources import Source


def sources(*names: str) -> list[Source]:
    return [Source(path=Path(name)) for name in names]


def outputs(
    found: list[Source],
    kind: OutputKind = OutputKind.OBJECT,
    output: str | None = None,
    out_dir: str | None = None,
) -> list[str]:
    named = name_outputs(
        found,
        kind,
        output=Path(output) if output else None,
        out_dir=Path(out_dir) if out_dir else None,
    )
    return [str(path) for path in named]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_by_default_outputs_lie_where_we_are() -> None:
    assert outputs(sources("a/x.c", "y.cpp")) == ["x.o", "y.o"]
    assert outputs(sources("a/x.c"), OutputKind.ASSEMBLY) == ["x.s"]
    assert outputs(sources("x.bc"), OutputKind.BITCODE) == ["x.opt.bc"]
    assert outputs(sources("x.c"), OutputKind.PASSES) == ["-"]


def test_one_output_for_two_inputs_is_refused_with_what_helps() -> None:
    with pytest.raises(ConfigError, match=r"both be written to x\.o; --out-dir DIR keeps"):
        outputs(sources("a/x.c", "b/x.c"))
    with pytest.raises(ConfigError, match="would overwrite its own input"):
        outputs(sources("x.c"), output="x.c")
    with pytest.raises(ConfigError, match="exclude each other"):
        outputs(sources("x.c"), output="x.o", out_dir="d")


def test_a_folder_keeps_relative_paths(here: Path) -> None:
    assert outputs(sources("a/x.c", "b/x.c"), out_dir="d") == ["d/a/x.o", "d/b/x.o"]
    outside = sources("../p/a/x.c", str(here.parent / "p" / "b" / "x.c"), "c/x.c")
    assert outputs(outside, out_dir="d") == ["d/a/x.o", "d/b/x.o", "d/c/x.o"]
    assert outputs(sources("../p/x.c"), out_dir="d") == ["d/x.o"]


def test_a_compile_database_gives_each_file_its_flags(here: Path) -> None:
    entries = [
        {"directory": "build", "command": "cc -DA -c ../s/x.c -o o/x.c.o", "file": "../s/x.c"},
        {"directory": "build", "command": "cc -flto -c ../s/y.c", "file": "../s/y.c"},
        {"directory": "build", "command": "as z.s", "file": "z.s"},
    ]
    (here / "compile_commands.json").write_text(json.dumps(entries))
    found = collect_sources([Path("compile_commands.json")], parse_clang_flags([]), lambda: here)
    assert [source.shown for source in found] == ["s/x.c", "s/y.c"]
    assert [source.file.resolve() for source in found] == [here / "s" / "x.c", here / "s" / "y.c"]
    assert found[0].clang_flags == ("-DA", "-c", "-o", "o/x.c.o")
    assert "-flto" not in found[1].clang_flags, "what is wanted is an object of each file"
    assert outputs(found, out_dir="d") == ["d/o/x.c.o", "d/s/y.o"]
    assert outputs(found, OutputKind.ASSEMBLY, out_dir="d") == ["d/o/x.c.s", "d/s/y.s"]
    with pytest.raises(ConfigError, match="say where to with --out-dir"):
        outputs(found)
    (here / "empty.json").write_text("[]")
    with pytest.raises(InputError, match="names no C or C"):
        collect_sources([Path("empty.json")], parse_clang_flags([]), lambda: here)


@pytest.mark.parametrize(
    ("data", "flags", "name"),
    [
        (b"int f;", ["-x", "c"], "-"),
        (b"int f;", ["-xc++"], "-"),
        (b"BC\xc0\xde1234", [], "stdin.bc"),
        (b"; ModuleID = 'x'\n", [], "stdin.ll"),
        (b"define void @f() { ret void }", ["-x", "ir"], "stdin.ll"),
    ],
)
def test_standard_input(
    here: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, flags: list[str], name: str
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    (found,) = collect_sources([Path("-")], parse_clang_flags(flags), lambda: here)
    assert found.shown == "<stdin>"
    assert found.stem == "stdin"
    if name == "-":
        assert (str(found.path), found.data) == ("-", data)
    else:
        assert found.path == here / name
        assert found.path.read_bytes() == data
    with pytest.raises(ConfigError, match="name the output of standard input"):
        outputs([found])
    assert outputs([found], output="x.o") == ["x.o"]


def test_standard_input_of_no_known_language(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, message in (([], "say what standard input is"), (["-x", "ada"], "-x ada cannot be")):
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"int f;")))
        with pytest.raises(ConfigError, match=message):
            collect_sources([Path("-")], parse_clang_flags(flags), lambda: here)
