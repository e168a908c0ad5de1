from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import ConfigError
from llm_compiler.llvm.stock import ClangFlags, Stock, parse_clang_flags
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.records import PassList


@pytest.mark.parametrize(
    ("flags", "kept"),
    [
        ([], ()),
        (["-O2"], ()),
        (["-O", "-O0", "-O3", "-Os", "-Oz", "-Ofast", "-Og"], ()),
        (["-c", "-S", "-emit-llvm", "-pipe", "-o", "x.o"], ()),
        (["-ox.o"], ()),
        (["-DX=1", "-Iinc", "-I", "inc2", "-g"], ("-DX=1", "-Iinc", "-I", "inc2", "-g")),
        (["-x", "c"], ("-x", "c")),
        (["-std=gnu89", "-ffunction-sections"], ("-std=gnu89", "-ffunction-sections")),
        (["-mllvm", "-inline-threshold=5"], ("-mllvm", "-inline-threshold=5")),
        (["-Xclang", "-fno-foo"], ("-Xclang", "-fno-foo")),
        (["-include", "config.h"], ("-include", "config.h")),
        (["-fPIC", "-Wall", "-pthread"], ("-fPIC", "-Wall", "-pthread")),
        (["-D", "-O2"], ("-D", "-O2")),  # the value of -D, not a level
    ],
    ids=str,
)
def test_levels_and_outputs_are_dropped_and_the_rest_is_kept(
    flags: list[str], kept: tuple[str, ...]
) -> None:
    assert parse_clang_flags(flags).kept == kept


def test_what_names_the_output_is_kept_aside() -> None:
    for flags in (["-o", "y.o"], ["-oy.o"], ["--output=y.o"], ["--output", "y.o"]):
        assert parse_clang_flags(flags) == ClangFlags(output="y.o")
    assert parse_clang_flags(["-S"]).kind == "assembly"
    assert parse_clang_flags(["-c", "-emit-llvm"]).kind == "bitcode"
    assert parse_clang_flags(["-emit-llvm", "-S"]).kind == "text"
    assert parse_clang_flags(["-S", "-c"]).kind == ""
    assert parse_clang_flags(["-xc++", "--target=riscv32"]).target == "riscv32"
    assert parse_clang_flags(["-x", "c", "-target", "arm-none-eabi"]).target == "arm-none-eabi"
    assert parse_clang_flags(["-x", "c"]).language == "c"


@pytest.mark.parametrize(
    ("flags", "note"),
    [
        (["-O2"], "-O2 is overridden"),
        (["-O0", "-g", "-O0", "-Ofast"], "-O0 -Ofast is overridden"),
        (["-Xclang", "-disable-llvm-passes"], "-Xclang -disable-llvm-passes is left out"),
        (["-Xclang", "-O3"], "-Xclang -O3 is left out"),
        (["-save-temps=obj"], "-save-temps=obj is left out: no second output"),
        (["-MJ", "x.json", "-gsplit-dwarf"], "-MJ -gsplit-dwarf is left out"),
        (["-mllvm", "-inline-threshold=5"], "-mllvm -inline-threshold=5 is for clang -Oz and"),
    ],
    ids=str,
)
def test_what_is_not_carried_out_is_said(flags: list[str], note: str) -> None:
    found = parse_clang_flags(flags)
    assert len(found.notes) == 1
    assert note in found.notes[0]
    assert found.kept in ((), ("-g",), tuple(flags))


def test_what_is_carried_out_is_not_said() -> None:
    flags = ["-Oz", "-c", "-pipe", "-g", "-fPIC", "-m32", "-march=native", "-MD", "-Wall"]
    assert parse_clang_flags(flags).notes == ()


@pytest.mark.parametrize("value", ["-emit-llvm", "-fsyntax-only", "-ast-dump", "-E", "-emit-pch"])
def test_the_compiler_proper_is_asked_for_objects_only(value: str) -> None:
    with pytest.raises(ConfigError, match=f"-Xclang {value} makes no object"):
        parse_clang_flags(["-Xclang", value])


def test_response_files_are_read_as_clang_reads_them(tmp_path: Path) -> None:
    (tmp_path / "outer").write_text(f"-DA='b c' @{tmp_path}/inner\n-O2")
    (tmp_path / "inner").write_text('"-I some where" -g')
    found = parse_clang_flags([f"@{tmp_path}/outer", "-fPIC"])
    assert found.kept == ("-DA=b c", "-I some where", "-g", "-fPIC")
    assert "-O2 is overridden" in found.notes[0]
    (tmp_path / "loop").write_text(f"@{tmp_path}/loop")
    with pytest.raises(ConfigError, match="names itself"):
        parse_clang_flags([f"@{tmp_path}/loop"])
    with pytest.raises(ConfigError, match="is not a clang flag"):
        parse_clang_flags(["@nothing-there"])


def test_dependency_flags_are_kept_aside() -> None:
    found = parse_clang_flags(["-MD", "-MP", "-MF", "deps/x.d", "-MT", "x.o", "-DA"])
    assert found.kept == ("-DA",)
    assert found.dependencies == ("-MD", "-MP")
    assert found.dependency_file == "deps/x.d"
    assert found.dependency_target == "x.o"
    assert parse_clang_flags(["-MMD", "-MFx.d", "-MTx.o"]) == ClangFlags(
        dependencies=("-MMD",), dependency_file="x.d", dependency_target="x.o"
    )


@pytest.mark.parametrize("flag", ["-flto", "-flto=thin", "-fembed-bitcode"])
def test_flags_that_make_bitcode_are_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="writes bitcode instead of an object"):
        parse_clang_flags([flag])


@pytest.mark.parametrize(
    "flag",
    ["-M", "-MM", "-E", "-fsyntax-only", "-###", "--analyze", "-emit-ast", "--version", "-shared"],
)
def test_flags_that_make_no_object_are_refused(flag: str) -> None:
    with pytest.raises(ConfigError, match="makes no object"):
        parse_clang_flags([flag])


@pytest.mark.parametrize(
    "flags",
    [
        ["-fsanitize=address"],
        ["-fsanitize-coverage=trace-pc"],
        ["-fprofile-instr-generate"],
        ["--coverage"],
        ["-pg"],
        ["-fpass-plugin=x.so"],
        ["-Xclang", "-load"],
    ],
    ids=str,
)
def test_flags_that_clangs_own_passes_carry_out_leave_the_baseline(flags: list[str]) -> None:
    found = parse_clang_flags(flags)
    assert found.baseline_only == " ".join(flags)
    assert found.kept == tuple(flags)


@pytest.mark.parametrize("flag", ["-o", "-I", "-D", "-MF", "-Xclang", "-x", "-include", "-mllvm"])
def test_a_missing_value_is_bad_usage(flag: str) -> None:
    with pytest.raises(ConfigError, match=f"'{flag}' lacks its value"):
        parse_clang_flags(["-g", flag])


def test_a_stray_file_is_bad_usage() -> None:
    with pytest.raises(ConfigError, match=r"'b\.c' after -- is not a clang flag"):
        parse_clang_flags(["-g", "b.c"])


def test_ir_takes_all_flags_but_those_of_the_language() -> None:
    flags = parse_clang_flags(
        ["-x", "c", "-std=c11", "-include", "a.h", "-ffunction-sections", "-fPIC", "-xc++"]
    )
    assert flags.for_ir() == ("-ffunction-sections", "-fPIC")


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    for name in ("clang", "clang++", "opt"):
        (tmp_path / name).touch()
    toolchain = Toolchain(version="19.1.7", bin_dir=tmp_path, libllvm=tmp_path / "libLLVM.so")
    return Stock(toolchain=toolchain, flags=parse_clang_flags(["-DX=a b", "-std=c11"]))


def test_the_baseline_is_plain_clang_oz(stock: Stock) -> None:
    command = stock.baseline_command(Path("a.c"), Path("a.o"))
    assert Path(command[0]).name == "clang"
    assert command[1:3] == ("-Oz", "-c")
    assert "-disable-llvm-passes" not in command
    assert "-DX=a b" in command
    assert command[-3:] == ("a.c", "-o", "a.o")


@pytest.mark.parametrize(
    ("name", "tool"), [("a.c", "clang"), ("a.C", "clang++"), ("a.ii", "clang++")]
)
def test_the_suffix_chooses_the_driver(stock: Stock, name: str, tool: str) -> None:
    assert Path(stock.baseline_command(Path(name), Path("a.o"))[0]).name == tool


def test_replay_is_three_commands_for_a_shell(stock: Stock) -> None:
    passes = PassList(("default<Oz>", "function(simplifycfg<sink-common-insts>)"))
    commands = stock.replay(Path("my file.c"), passes, Path("out dir/x.o"), pic=True)
    front, opt, back = map(shlex.split, commands)
    assert "-disable-llvm-passes" in front
    assert "-DX=a b" in front
    assert front[-3:] == ["my file.c", "-o", "out dir/x.o.unoptimized.bc"]
    assert f"-passes={passes.pipeline}" in opt
    assert "--relocation-model=pic" in opt
    assert opt[-3:] == ["out dir/x.o.unoptimized.bc", "-o", "out dir/x.o.optimized.bc"]
    assert "-disable-llvm-passes" in back
    assert "-std=c11" not in back, "flags of the language have no place on bitcode"
    assert back[-1] == "out dir/x.o"


def test_the_target_triple_goes_to_both_clangs(stock: Stock, tmp_path: Path) -> None:
    other = Stock(toolchain=stock.toolchain, target_triple="aarch64-linux-gnu")
    for command in (
        other.baseline_command(Path("a.c"), Path("a.o")),
        other.frontend_command(Path("a.c"), Path("a.bc")),
        other.backend_command(Path("a.bc"), Path("a.o")),
    ):
        assert "--target=aarch64-linux-gnu" in command


@pytest.mark.parametrize(
    ("flags", "source", "expected"),
    [
        ("--target=arm-none-eabi -mcpu=cortex-m4", "a.c", ["-fomit-frame-pointer"]),
        ("-target thumbv7m-none-eabi", "a.c", ["-fomit-frame-pointer"]),
        (
            "--target=thumbv7m-none-eabi -fno-omit-frame-pointer",
            "a.c",
            ["-fomit-frame-pointer", "-fno-omit-frame-pointer"],
        ),
        ("--target=thumbv7m-none-eabi -pg", "a.c", []),
        ("--target=thumbv7m-none-eabi", "a.bc", []),
        ("--target=armv7-linux-gnueabihf", "a.c", []),
        ("--target=riscv32-unknown-elf", "a.c", []),
        ("", "a.c", []),
    ],
)
def test_firmware_starts_without_frame_pointers_unless_the_user_wants_them(
    stock: Stock, flags: str, source: str, expected: list[str]
) -> None:
    made = replace(stock, flags=parse_clang_flags(flags.split()))
    command = made.frontend_command(Path(source), Path("a.out.bc"))
    # The last of them counts.
    assert [word for word in command if "omit-frame" in word] == expected
    assert "-fomit-frame-pointer" not in made.baseline_command(Path(source), Path("a.o"))
