from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_compiler.corpus.commands import (
    CompileCommand,
    commands_of_invocation,
    flags_for_target,
    read_compile_commands,
    unique_commands,
)
from llm_compiler.errors import ArtifactError

ROOT = Path("/build/hello")


def compile_command(*arguments: str, directory: str = "/build/hello/src") -> CompileCommand:
    (command,) = commands_of_invocation(arguments, directory, root=ROOT)
    return command


def test_only_what_the_baseline_keeps_stays() -> None:
    command = compile_command(
        *("-DHAVE_CONFIG_H", "-I", "..", "-I../lib", "-O2", "-g3", "-Wall", "-Werror", "-std=c11"),
        *("-fno-strict-aliasing", "-fstack-protector-strong", "-flto", "-march=native", "-mavx2"),
        *("-MD", "-MP", "-MF", ".deps/a.d", "-MT", "a.o", "-c", "-o", "a.o", "a.c", "-pipe"),
    )
    assert command == CompileCommand(
        directory="src",
        source="src/a.c",
        language="c",
        flags=(
            *("-DHAVE_CONFIG_H", "-I", "..", "-I../lib", "-std=c11"),
            *("-fno-strict-aliasing", "-mavx2"),
        ),
    )


def test_values_of_dropped_flags_are_not_taken_for_sources() -> None:
    assert compile_command("-o", "b.c", "-Xclang", "c.c", "-MF", "d.c", "a.cc").source == "src/a.cc"


def test_paths_of_the_package_become_relative_and_others_stay() -> None:
    command = compile_command(
        "-I/build/hello/include", "-isystem", "/usr/include/x", "-c", "/build/hello/lib/a.cpp"
    )
    assert command.flags == ("-I../include", "-isystem", "/usr/include/x")
    assert (command.source, command.language) == ("lib/a.cpp", "c++")


def test_defines_do_not_name_the_machine() -> None:
    assert compile_command('-DDATA="/build/hello/data"', "a.c").flags == (
        '-DDATA="/usr/src/hello/data"',
    )


@pytest.mark.parametrize("flag", ["-E", "-M", "-MM", "-S", "-fsyntax-only"])
def test_calls_that_compile_nothing_are_left_out(flag: str) -> None:
    assert commands_of_invocation([flag, "a.c"], "/build/hello", root=ROOT) == []


def test_a_link_and_assembly_give_no_unit() -> None:
    assert commands_of_invocation(["a.o", "b.S", "-lm"], "/build/hello", root=ROOT) == []


def test_one_call_may_compile_several_units() -> None:
    commands = commands_of_invocation(["a.c", "b.cc", "-o", "x"], "/build/hello", root=ROOT)
    assert [(c.source, c.language) for c in commands] == [("a.c", "c"), ("b.cc", "c++")]


def test_x_sets_the_language() -> None:
    assert compile_command("-x", "c++", "-c", "a.c").language == "c++"
    assert compile_command("-xc", "-c", "a.inc").language == "c"


def test_response_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "args").write_text('-DA="x y" -c a.c\n')
    (command,) = commands_of_invocation(["@args"], str(tmp_path), root=tmp_path)
    assert command.flags == ("-DA=x y",)


def test_a_twin_for_another_library_is_dropped_and_other_flags_make_another_unit() -> None:
    commands = [
        compile_command("-fPIC", "-DPIC", "-Dhello_EXPORTS", "-I", "x", "a.c"),
        compile_command("a.c"),
        compile_command("-DHELLO_SHARED=1", "-fvisibility=hidden", "-Iy", "a.c"),
        compile_command("-DX", "a.c"),
    ]
    assert unique_commands(commands) == [commands[0], commands[3]]


def test_slugs_tell_flags_apart_and_are_file_names() -> None:
    first, second = compile_command("a.c"), compile_command("-DX", "a.c")
    assert first.slug != second.slug
    assert first.slug.startswith("src__a.c-")
    assert "/" not in first.slug


def test_another_architecture_gets_no_flags_of_this_one() -> None:
    flags = ("-mavx2", "-I/usr/include/ncurses", "-isystem", "/usr/include/x", "-I", "lib", "-DA")
    assert flags_for_target(flags, "aarch64-linux-gnu") == ("-I", "lib", "-DA")
    assert flags_for_target(flags, "x86_64-pc-linux-gnu") == flags


def test_a_compile_database_is_read_in_both_forms(tmp_path: Path) -> None:
    file = tmp_path / "compile_commands.json"
    entries = [
        {"directory": str(tmp_path), "file": "a.c", "command": "cc -DA='x y' -c a.c -o a.o"},
        {"directory": ".", "file": "b.cc", "arguments": ["c++", "-O3", "-c", "b.cc"]},
    ]
    file.write_text(json.dumps(entries))
    commands = read_compile_commands(file, root=tmp_path)
    assert [(c.source, c.flags) for c in commands] == [("a.c", ("-DA=x y",)), ("b.cc", ())]


@pytest.mark.parametrize("text", ["", "{", "[1]", '[{"file": "a.c"}]', '{"a": 1}'])
def test_a_damaged_database_is_an_artifact_error(tmp_path: Path, text: str) -> None:
    file = tmp_path / "compile_commands.json"
    file.write_text(text)
    with pytest.raises(ArtifactError, match="is not a compile database"):
        read_compile_commands(file, root=tmp_path)
