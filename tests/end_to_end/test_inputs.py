"""Inputs other than files on the command line, folders of outputs, and what people see."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run

COMMAND = str(Path(sys.executable).parent / "llm-compiler")
QUICK = ("--candidates", "0", "--proposer", "coreset")


def clang(toolchain: Toolchain, folder: Path, *arguments: str) -> None:
    done = run([toolchain.tool("clang"), *arguments], timeout_s=60, cwd=folder)
    assert done.ok, done.stderr_text


def piped(user, text: str | bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [COMMAND, *arguments],
        input=text.encode() if isinstance(text, str) else text,
        cwd=user.folder,
        env=user.env,
        capture_output=True,
        timeout=100,
        check=False,
    )


def test_a_folder_of_outputs_keeps_relative_paths(user) -> None:
    for folder in ("a", "b"):
        user.write(f"{folder}/x.c", f"int {folder}(int x) {{ return x * 3; }}\n")
    message = user.fails(2, "optimize", "a/x.c", "b/x.c", *QUICK)
    assert "--out-dir DIR keeps their folders" in message
    done = user.types("optimize", "a/x.c", "b/x.c", "--out-dir", "made", "-S", *QUICK)
    assert (done.code, done.errors) == (0, [])
    assert b"\nb:" in user.files()["made/b/x.s"]
    assert b"\na:" in user.files()["made/a/x.s"]
    message = user.fails(8, "optimize", "a/x.c", "--out-dir", "no/where", *QUICK)
    assert "cannot make no/where: there is no directory no" in message


def test_a_compile_database_as_input(user, toolchain: Toolchain) -> None:
    user.write("src/value.h", "#define VALUE 40\n")
    user.write("src/x.c", '#include "value.h"\nint f(int x) { return x + VALUE + X + Y; }\n')
    user.write("src/bad.c", "int g(void) { return 1 +; }\n")
    (user.folder / "build").mkdir()
    command = "ccache cc -I../src -DX=1 -O2 -g -flto -MD -MF o/x.d -c ../src/x.c -o o/x.c.o"
    entries = [
        {"directory": str(user.folder / "build"), "command": command, "file": "../src/x.c"},
        {
            "directory": str(user.folder / "build"),
            "command": "cc -c ../src/bad.c",
            "file": "../src/bad.c",
        },
    ]
    user.write("build/compile_commands.json", json.dumps(entries))
    done = user.types(
        "optimize",
        "build/compile_commands.json",
        "--out-dir",
        "made",
        "--json",
        *QUICK,
        "--",
        "-DY=2",
    )
    assert done.code == 4
    assert len(done.errors) == 1
    assert "src/bad.c:1:25: error: expected expression" in done.err
    (row,) = done.rows
    assert row["input"] == "src/x.c"
    assert not (user.folder / "build" / "o").exists(), "the build keeps its own files"
    ours = user.files()["made/o/x.c.o"]
    clang(
        toolchain,
        user.folder / "build",
        *("-Oz", "-I../src", "-DX=1", "-DY=2", "-g", "-c", "../src/x.c", "-o", "honest.o"),
    )
    assert ours == user.files()["build/honest.o"]
    (user.folder / "made" / "o" / "x.c.o").unlink()
    user.shell(*row["replay"])
    assert user.files()["made/o/x.c.o"] == ours
    assert "say where to with --out-dir" in user.fails(2, "optimize", "build/compile_commands.json")


def test_standard_input(user, toolchain: Toolchain) -> None:
    user.write("value.h", "#define VALUE 40\n")
    text = '#include "value.h"\nint f(int x) { return x + VALUE; }\n'
    done = piped(user, text, "optimize", "-", "-o", "-", *QUICK, "--", "-x", "c")
    assert (done.returncode, done.stderr) == (0, b"")
    assert section_sizes(done.stdout).size_bytes > 0
    done = piped(user, text, "optimize", "-", "-o", "x.o", "--json", *QUICK, "--", "-x", "c")
    row = json.loads(done.stdout)
    assert row["input"] == "<stdin>"
    (command,) = row["replay"]
    ours = (user.folder / "x.o").read_bytes()
    (user.folder / "x.o").unlink()
    user.shell(f"printf %s {shlex.quote(text)} | {command}")
    again = section_sizes((user.folder / "x.o").read_bytes())
    assert again == section_sizes(ours)
    done = piped(user, text, "optimize", "-", "--emit-llvm", "-o", "x.ll", *QUICK, "--", "-x", "c")
    assert done.returncode == 0
    assert b"/tmp" not in user.files()["x.ll"]
    done = piped(user, "int f(void) { return 1 +; }\n", "optimize", "-", "-o", "y.o", "--", "-xc")
    assert done.returncode == 4
    assert b"<stdin>:1:25: error: expected expression" in done.stderr
    assert b"/tmp" not in done.stderr
    clang(toolchain, user.folder, "-Oz", "-emit-llvm", "-c", "-xc", "value.h", "-o", "v.bc")
    done = piped(user, (user.folder / "v.bc").read_bytes(), "optimize", "-", "-o", "v.o", *QUICK)
    assert done.returncode == 0, done.stderr
    done = piped(user, "int f;", "optimize", "-", "-o", "z.o")
    assert done.returncode == 2
    assert b"say what standard input is: '-- -x c'" in done.stderr


def test_odd_names(user) -> None:
    text = "int f(int x) { return x * 3; }\n"
    names = ("-dash.c", "sp ace.c", "q\"uo'te$.c", "new\nline.c", "\u00fc\u4e2d.c")
    for name in names:
        user.write(name, text)
    done = user.types("optimize", *(f"./{name}" for name in names), "--json", *QUICK)
    assert (done.code, done.errors) == (0, [])
    for row in done.rows:
        name = Path(row["input"]).name
        ours = user.files()[name.removesuffix(".c") + ".o"]
        (user.folder / (name.removesuffix(".c") + ".o")).unlink()
        user.shell(*row["replay"])
        assert user.files()[name.removesuffix(".c") + ".o"] == ours
    assert "x.c is named twice" in user.fails(2, "optimize", "x.c", "./x.c")


def test_code_that_no_pass_may_touch_is_told(user, toolchain: Toolchain) -> None:
    user.write("x.c", "int f(int x) { return x * 3; }\n")
    clang(toolchain, user.folder, "-O0", "-S", "-emit-llvm", "x.c")
    done = user.types("optimize", "x.ll", *QUICK)
    assert "x.ll: 1 of 1 functions are 'optnone' (f, ...), as clang -O0 makes them" in done.err


def test_arguments_from_a_file(user) -> None:
    user.write("some file.c", "int f(int x) { return x * X; }\n")
    user.write("args", "optimize 'some file.c'\n--candidates 0 --proposer coreset\n-o x.o -- -DX=3")
    done = user.types("@args")
    assert (done.code, done.errors) == (0, [])
    assert "x.o" in user.files()


def test_a_file_of_another_name_whose_language_is_said(user) -> None:
    user.write("code.txt", "int f(int x) { return x * 3; }\n")
    assert user.types("optimize", "code.txt", *QUICK, "--", "-x", "c").code == 0
    assert "code.o" in user.files()


def test_what_autotune_found_is_handed_out(user, c_file: Path) -> None:
    source = c_file
    flags = ("--", "-DA=1")
    found = user.types("autotune", source, "--budget", "60", "--store", "m.db", "--json", *flags)
    assert found.code == 0
    common = ("optimize", source, "--json", "--trust", "--pass-lists-only", *QUICK)
    (row,) = user.types(*common, "--store", "m.db", *flags).rows
    assert row["optimized_value"] == found.rows[0]["best"] < row["baseline_value"]
    assert (row["proposer"], row["verdict"]) in (("store", "unchecked"), ("store", "passed"))
    (other,) = user.types(*common, "--store", "m.db", "--", "-fno-builtin").rows
    assert other["passes"] is None, "other flags make another unit"
    (plain,) = user.types(*common, *flags).rows
    assert plain["passes"] is None
    assert "there is no store none.db" in user.fails(7, "optimize", source, "--store", "none.db")


@pytest.mark.parametrize("columns", [80, 72])
def test_the_table_fits_the_terminal(user, columns: int) -> None:
    name = "/".join(["deep"] * 20) + "/a_file_with_a_rather_long_name.c"
    user.write(name, "int f(int x) { return x * 3; }\n")
    user.write("y.c", "int g(int x) { return x * 5; }\n")
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "optimize", name, "y.c", *QUICK],
        cwd=user.folder,
        env={**user.env, "COLUMNS": str(columns)},
        stdout=follower,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    ) as process:
        _, err = process.communicate(timeout=100)
    os.close(follower)
    text = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert process.returncode == 0, err
    lines = text.splitlines()
    assert len(lines) == 4
    assert all(len(line) <= columns for line in lines), text
    assert "long_name.c " in text
    whole = user.types("optimize", name, "y.c", *QUICK)
    assert name in whole.out, "scripts read whole names"


def test_recipes_are_printed_where_they_are_wanted(user, c_file: Path) -> None:
    from llm_compiler.records import VerdictKind

    user.judges(VerdictKind.PASSED)
    (row,) = user.types("optimize", c_file, "--json").rows
    assert row["passes"]
    assert row["passes"] not in user.types("optimize", c_file).out
    assert row["passes"] in user.types("optimize", c_file, "--verbose").out
