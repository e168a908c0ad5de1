"""What a call of llm-cc is taken for."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_compiler.cc.command_line import Compilation, Kind, PassOn, Several, classify
from llm_compiler.cc.keys import key_of
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


def ask(folder: Path, text: str, **environment: str) -> Compilation | Several | PassOn:
    settings = CcSettings.from_environment(environment)
    found = classify(text.split(" "), folder, environment, settings)
    assert isinstance(found, Compilation | Several | PassOn)
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
        ("-Oz -Wp,-DA=1,-UB -c a.c", "a.o", ""),
        ("-Oz -Wp,-MMD,sub/.a.o.d -c a.c", "a.o", "sub/.a.o.d"),
        ("-Oz -Wp,-MD -c a.c -o b.o", "b.o", "b.d"),
        ("-Oz -g3 -c a.c", "a.o", ""),
        ("-Oz -ggdb3 -fms-extensions -c a.c", "a.o", ""),
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
    assert not any(
        word.startswith(("-MD", "-MM", "-MF", "-MT", "-Wp,-M")) for word in found.preprocess
    )


@pytest.mark.parametrize(
    "text",
    [
        *("-c a.c", "-O0 -c a.c", "-O2 -c a.c", "-Oz -O1 -c a.c", "-Og -c a.c", "-Ofast -c a.c"),
        *(
            "-Oz a.o",
            "-Oz -S a.c -o -",
            "-Oz -E a.c",
            "-Oz -c -E a.c",
            "-Oz -c -S a.c",
            "--version",
            "",
        ),
        *(
            "-Oz -c a.c b.c -o x.o",
            "-Oz -c",
            "-Oz -c missing.c",
            "-Oz -c sub",
            "-Oz -c -",
            "-Oz -c a.o",
        ),
        *("-Oz -c tiny.c", "-Oz -c conftest.c", "-Oz -c meson-private/tmp1/src.c"),
        "-Oz -c CMakeFiles/CMakeScratch/TryCompile-1/src.c",
        *("-Oz -c a.c -o -", "-Oz -c a.c -o", "-Oz -S a.c -save-temps", "-Oz -S a.c -gsplit-dwarf"),
        *("-Oz -c a.c -flto", "-Oz -c a.c -flto=thin", "-Oz -c a.c -emit-llvm", "-Oz -c a.c -v"),
        *(
            "-Oz -c a.c --coverage",
            "-Oz -c a.c -fsanitize=address",
            "-Oz -c a.c -fprofile-generate",
        ),
        *("-Oz -c a.c -MJ x", "-Oz -c a.c -MD -MG", "-Oz -c a.c -M", "-Oz -c a.c -Wp,-MT,x"),
        *("-Oz -c a.c -Wa,-ahl", "-Oz -c a.c -Xassembler -x", "-Oz -c -fmodules a.cpp"),
        *(
            "-Oz -c a.c -mllvm -foo",
            "-Oz -c -x assembler a.c",
            "-Oz -c a.c -x c++",
            "-Oz -c -- a.c",
            *("-Oz -MP -c a.c", "-Oz -c a.c -MF deps", "-Oz -c a.c -MT x"),
        ),
        *("-Oz -c a.c -Xclang -emit-pch", "-Oz -x c-header a.c", "-Oz -c a.c -###"),
        *("-Oz -c a.c -ftime-report", "-Oz -c a.c -Rpass=inline", "-Oz -c a.c -fsyntax-only"),
        *(
            "-Oz -c a.c -frecord-command-line",
            "-Oz -c -no-integrated-as a.c",
            "-Oz -c a.c -fdebug-macro",
        ),
        *("@missing", "-Oz -c a.c --config x.cfg", "-Oz -c a.c -fplugin=x.so"),
    ],
)
def test_all_else_is_passed_on(folder: Path, text: str) -> None:
    assert isinstance(ask(folder, text), PassOn)


@pytest.mark.parametrize(
    ("text", "outputs", "linked"),
    [
        ("-Oz -c a.c b.c", ["a.o", "b.o"], ""),
        ("-Oz -c a.c b.o sub/src.c -MD", ["a.o", "src.o"], ""),
        ("-Oz -S a.c b.c", ["a.s", "b.s"], ""),
        ("-Oz a.c", [""], "a.out"),
        ("-Oz a.c b.c x.o -lm -o prog -MD -MF dep -Wl,--gc-sections", ["", ""], "prog"),
        ("-Oz -shared -fPIC a.c -olib.so", [""], "lib.so"),
        ("-Oz -x c a.c -x none b.c -o prog", ["", ""], "prog"),
    ],
)
def test_several_sources_and_links_of_sources(
    folder: Path, text: str, outputs: list[str], linked: str
) -> None:
    found = ask(folder, text)
    assert isinstance(found, Several), found
    assert [compilation.output for compilation in found.units] == outputs
    assert (found.link.output if found.link else "") == linked
    for unit in found.units:
        assert not {"-lm", "-shared", "-Wl,--gc-sections"} & {*unit.compile}
    if found.link:
        assert not {"-o", "-MD", "-MF", "dep", linked} & {*found.link.words}
        assert [word for word in found.link.words if isinstance(word, int)] == [
            *range(len(found.units))
        ]


@pytest.mark.parametrize(
    "text",
    [
        *("-Oz a.c b.c -Wl,-Map=x", "-Oz a.c b.c -flto", "-Oz a.c b.c -r -o x.o"),
        *("-Oz a.c b.c -save-temps", "-Oz -g -gsplit-dwarf a.c b.c", "-O2 a.c b.c"),
        *("-Oz a.c conftest.c -fsanitize=address", "-Oz tiny.c", "-Oz conftest.c -o conftest"),
        *("-Oz a.c a.c -c", "-Oz a.c b.c -o -"),
    ],
)
def test_links_that_are_made_once(folder: Path, text: str) -> None:
    assert isinstance(ask(folder, text), PassOn)


def test_assembly_side_files_and_standard_input(folder: Path) -> None:
    found = ask(folder, "-Oz -S a.c -MD")
    assert isinstance(found, Compilation)
    assert (found.kind, found.output, found.dependency_file) == (Kind.ASSEMBLY, "a.s", "a.d")
    found = ask(folder, "-Oz -c -x c - -o x.o")
    assert isinstance(found, Compilation)
    assert found.reads_stdin
    found = ask(folder, "-Oz -c a.c -g -gsplit-dwarf")
    assert isinstance(found, Compilation)
    assert found.splits_debug
    assert "-gsplit-dwarf" in found.bitcode
    assert "-gsplit-dwarf" not in found.flags.kept
    found = ask(folder, "-Oz -c a.c -save-temps=obj")
    assert isinstance(found, Compilation)
    assert found.saves_temps
    assert not any("save-temps" in word for word in (*found.compile, *found.bitcode))


def test_precompiled_headers_count_with_what_is_in_them(folder: Path) -> None:
    (folder / "pre.h").write_text("#define X 1\n")
    found = ask(folder, "-Oz -c -include pre.h a.c")
    assert isinstance(found, Compilation)
    assert found.precompiled == ()
    (folder / "pre.h.pch").write_text("of clang")
    found = ask(folder, "-Oz -c -include pre.h -include-pch x.pch a.c")
    assert isinstance(found, Compilation)
    assert found.precompiled == ("x.pch", "pre.h.pch")
    (folder / "pre.h.gch").mkdir()
    assert isinstance(ask(folder, "-Oz -c -include pre.h a.c"), PassOn)


def test_variables_that_change_what_clang_does_pass_all_on(folder: Path) -> None:
    assert isinstance(ask(folder, "-Oz -c a.c", CCC_OVERRIDE_OPTIONS="+-O0"), PassOn)
    assert isinstance(ask(folder, "-Oz -c a.c", LLM_CC_DISABLE="1"), PassOn)
    assert isinstance(ask(folder, "-Oz -c a.c", LLM_CC_DISABLE="0"), Compilation)


def test_speed_levels_are_made_small_where_that_is_forced(folder: Path) -> None:
    for level in ("-O1", "-O2", "-O3", "-O"):
        assert isinstance(ask(folder, f"{level} -c a.c", LLM_CC_FORCE="1"), Compilation)
    assert isinstance(ask(folder, "-c a.c", LLM_CC_FORCE="1"), PassOn)


def test_keys_tell_c_from_cxx_where_the_text_is_the_same(folder: Path) -> None:
    found = ask(folder, "-Oz -c a.c")
    assert isinstance(found, Compilation)
    keys = [
        key_of(found, b"int f(int x) { return x; }", folder, CcSettings(), "id", is_cxx=is_cxx)
        for is_cxx in (False, True, True)
    ]
    assert keys[0] != keys[1] == keys[2]
    assert [found.is_cxx(driver_is_cxx) for driver_is_cxx in (False, True)] == [False, True]
    for text, expected in (("-Oz -c a.cpp", True), ("-Oz -x c -c a.cpp", False)):
        found = ask(folder, text)
        assert isinstance(found, Compilation)
        assert found.is_cxx(False) is expected


def test_significant_arguments_leave_out_what_the_source_shows(folder: Path) -> None:
    found = ask(folder, "-Oz -I x -DFOO -isystem y -fPIC -Wall -ffile-prefix-map=/home/me=. -c a.c")
    assert isinstance(found, Compilation)
    assert found.significant == ("-Oz", "-fPIC", "-Wall", "-prefix-map=.")
    assert found.prefix_maps == (("/home/me", "."),)


def test_odd_variables_are_no_errors() -> None:
    found = CcSettings.from_environment({"LLM_CC_MODE": "fat", "LLM_CC_CACHE_MB": "-3"})
    assert found.mode == "object"
    assert len(found.troubles) == 2
