from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.corpus.capture import detect_build_system
from llm_compiler.corpus.config import LocalKind, LocalSpec
from llm_compiler.corpus.debian import Archive
from llm_compiler.corpus.sources import Prepared, prepare
from llm_compiler.corpus.tools import Tools
from llm_compiler.errors import ArtifactError

TOOLS = Tools(clang=Path("clang"), nm=Path("llvm-nm"), opt=Path("opt"), version="19.1.7")


def prepare_local(
    tmp_path: Path, kind: LocalKind, *, path: Path | None = None, exclude: tuple[str, ...] = ()
) -> Prepared:
    spec = LocalSpec(
        name="mine",
        path=path or tmp_path / "code",
        kind=kind,
        split="train",
        flags=("-DA",),
        exclude=exclude,
    )
    archive = Archive(tmp_path / "apt")
    return prepare(spec, work=tmp_path / "work", archive=archive, tools=TOOLS)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_of_sources_gives_each_file(tmp_path: Path) -> None:
    touch(tmp_path / "code", "a.c", "sub/b.cc", "zlib/inflate.c", "test/t.c", "README", "h.h")
    result = prepare_local(tmp_path, "sources", exclude=("test/*",))
    assert [(c.source, c.language, c.flags) for c in result.commands] == [
        ("a.c", "c", ("-DA",)),
        ("sub/b.cc", "c++", ("-DA",)),
    ]
    assert (result.num_held_out, result.num_excluded) == (1, 1)


def test_a_folder_of_modules_gives_each_module(tmp_path: Path) -> None:
    touch(tmp_path / "code", "a.ll", "sub/b.bc", "c.c", "lua/x.ll")
    result = prepare_local(tmp_path, "modules")
    assert (result.modules, result.num_held_out) == (("a.ll", "sub/b.bc"), 1)


def test_a_compile_database_may_be_named_by_its_folder(tmp_path: Path) -> None:
    touch(tmp_path / "code", "a.c")
    file = tmp_path / "code" / "compile_commands.json"
    file.write_text('[{"directory": ".", "command": "cc -DB -c a.c", "file": "a.c"}]')
    by_folder = prepare_local(tmp_path, "compile-commands")
    by_file = prepare_local(tmp_path, "compile-commands", path=file)
    assert by_folder.commands == by_file.commands
    assert by_folder.commands[0].flags == ("-DB",)


def test_what_is_missing_or_empty_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such file or folder"):
        prepare_local(tmp_path, "sources")
    touch(tmp_path / "code", "README")
    with pytest.raises(ArtifactError, match="holds nothing to compile"):
        prepare_local(tmp_path, "sources")


@pytest.mark.parametrize(
    ("files", "system"),
    [
        (("CMakeLists.txt", "configure", "Makefile"), "cmake"),
        (("configure", "meson.build", "Makefile"), "autotools"),
        (("meson.build", "Makefile"), "meson"),
        (("GNUmakefile",), "make"),
    ],
)
def test_the_build_system_is_known_by_its_files(
    tmp_path: Path, files: tuple[str, ...], system: str
) -> None:
    touch(tmp_path, *files)
    assert detect_build_system(tmp_path) == system


def test_an_unknown_build_system_is_an_artifact_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no CMakeLists\.txt"):
        detect_build_system(tmp_path)
