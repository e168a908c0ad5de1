"""What a call of llm-cc is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.cc.command_line import Compilation, PassOn, classify
from llm_compiler.cc.settings import CcSettings

SOURCE = "int main(int argc, char **argv) { return argc > 1 ? argv[1][0] : 0; } /* long enough */\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.c", "b.c", "a.cpp", "a.CC", "odd name.c", "conftest.c"):
        (tmp_path / name).write_text(SOURCE)
    (tmp_path / "tiny.c").write_text("int x;\n")
    (tmp_path / "args").write_text("-Oz -c\na.c -o 'my out.o'\n")
    (tmp_path / "nested").write_text("@args -g\n")
    for name in ("CMakeFiles/CMakeScratch/TryCompile-1", "meson-private/tmp1", "sub"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "src.c").write_text(SOURCE)
    return tmp_path


def ask(folder: Path, text: str, **environment: str) -> Compilation | PassOn:
    settings = CcSettings.from_environment(environment)
    found = classify(text.split(" "), folder, environment, settings)
    assert isinstance(found, Compilation | PassOn)
    return found


@pytest.mark.parametrize(
    ("text", "output", "dependency_file"),
    [
        ("-Oz -c a.c", "a.o", ""),
        ("-c a.c -Os -o x/y.o", "x/y.o", ""),
        ("-c -O2 -Oz a.cpp -ofoo.o", "foo.o", ""),
        ("-Oz -c a.c -MD", "a.o", "a.d"),
        ("-Oz -MMD -MP -c a.c -o out/a.lo", "out/a.lo", "out/a.d"),
        ("-Oz -MD -MF dep/x -MT t -c a.c -o a.o", "a.o", "dep/x"),
        ("-Oz -MD -MFdep/x -c a.c", "a.o", "dep/x"),
        ("-Oz -x c++ -c a.c", "a.o", ""),
        ("-Oz -g -fPIC -ffunction-sections -c sub/src.c", "src.o", ""),
        ("-Oz -Wp,-D_FORTIFY_SOURCE=2 -Wall -c a.c", "a.o", ""),
        ("-Oz -I a.c -c b.c", "b.o", ""),
        ("@args", "my out.o", ""),
        ("@nested", "my out.o", ""),
    ],
)
def test_one_object_of_one_source_is_a_compilation(
    folder: Path, text: str, output: str, dependency_file: str
) -> None:
    found = ask(folder, text)
    assert isinstance(found, Compilation), found
    assert (found.output, found.dependency_file) == (output, dependency_file)
    assert "-E" in found.preprocess
    assert "-c" not in found.preprocess
    assert not any(word.startswith(("-MD", "-MM", "-MF", "-MT")) for word in found.preprocess)


@pytest.mark.parametrize(
    "text",
    [
        *("-c a.c", "-O0 -c a.c", "-O2 -c a.c", "-Oz -O1 -c a.c", "-Og -c a.c", "-Ofast -c a.c"),
        *("-Oz a.c", "-Oz -S a.c", "-Oz -E a.c", "-Oz -c -E a.c", "-Oz -c -S a.c", "--version", ""),
        *("-Oz -c a.c b.c", "-Oz -c", "-Oz -c missing.c", "-Oz -c sub", "-Oz -c -", "-Oz -c a.o"),
        *("-Oz -c tiny.c", "-Oz -c conftest.c", "-Oz -c meson-private/tmp1/src.c"),
        "-Oz -c CMakeFiles/CMakeScratch/TryCompile-1/src.c",
        *("-Oz -c a.c -o -", "-Oz -c a.c -o", "-Oz -c a.c -save-temps", "-Oz -c a.c -gsplit-dwarf"),
        *("-Oz -c a.c -flto", "-Oz -c a.c -flto=thin", "-Oz -c a.c -emit-llvm", "-Oz -c a.c -v"),
        *(
            "-Oz -c a.c --coverage",
            "-Oz -c a.c -fsanitize=address",
            "-Oz -c a.c -fprofile-generate",
        ),
        *("-Oz -c a.c -MJ x", "-Oz -c a.c -MD -MG", "-Oz -c a.c -M", "-Oz -c a.c -Wp,-MD,x"),
        *("-Oz -c a.c -Wa,-ahl", "-Oz -c a.c -Xassembler -x", "-Oz -c -fmodules a.cpp"),
        *(
            "-Oz -c a.c -mllvm -foo",
            "-Oz -c -x assembler a.c",
            "-Oz -c a.c -x c++",
            "-Oz -c -- a.c",
            *("-Oz -MP -c a.c", "-Oz -c a.c -MF deps", "-Oz -c a.c -MT x"),
        ),
        *("-Oz -c a.c -Xclang -emit-pch", "-Oz -c -include-pch x a.c", "-Oz -c a.c -###"),
        *("-Oz -c a.c -ftime-report", "-Oz -c a.c -Rpass=inline", "-Oz -c a.c -fsyntax-only"),
        *("-Oz -c a.c -frecord-command-line", "-Oz -c -no-integrated-as a.c", "-Oz -c a.c -g3"),
        *("@missing", "-Oz -c a.c --config x.cfg", "-Oz -c a.c -fplugin=x.so"),
    ],
)
def test_all_else_is_passed_on(folder: Path, text: str) -> None:
    assert isinstance(ask(folder, text), PassOn)


def test_variables_that_change_what_clang_does_pass_all_on(folder: Path) -> None:
    assert isinstance(ask(folder, "-Oz -c a.c", CCC_OVERRIDE_OPTIONS="+-O0"), PassOn)
    assert isinstance(ask(folder, "-Oz -c a.c", LLM_CC_DISABLE="1"), PassOn)
    assert isinstance(ask(folder, "-Oz -c a.c", LLM_CC_DISABLE="0"), Compilation)


def test_speed_levels_are_made_small_where_that_is_forced(folder: Path) -> None:
    for level in ("-O1", "-O2", "-O3", "-O"):
        assert isinstance(ask(folder, f"{level} -c a.c", LLM_CC_FORCE="1"), Compilation)
    assert isinstance(ask(folder, "-c a.c", LLM_CC_FORCE="1"), PassOn)


def test_significant_arguments_leave_out_what_the_source_shows(folder: Path) -> None:
    found = ask(folder, "-Oz -I x -DFOO -isystem y -fPIC -Wall -ffile-prefix-map=/home/me=. -c a.c")
    assert isinstance(found, Compilation)
    assert found.significant == ("-Oz", "-fPIC", "-Wall", "-prefix-map=.")
    assert found.prefix_maps == (("/home/me", "."),)


def test_odd_variables_are_no_errors() -> None:
    found = CcSettings.from_environment({"LLM_CC_MODE": "fat", "LLM_CC_CACHE_MB": "-3"})
    assert found.mode == "object"
    assert len(found.troubles) == 2
