from __future__ import annotations

from pathlib import Path

from llm_compiler import process
from llm_compiler.corpus.compiler_wrapper import (
    LOG_VARIABLE,
    Invocation,
    read_log,
    write_compiler_wrapper,
)


def test_the_scripts_log_any_argument_and_run_the_compiler(tmp_path: Path) -> None:
    compiler = tmp_path / "clang with space"
    compiler.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    compiler.chmod(0o755)
    cc, cxx = write_compiler_wrapper(tmp_path / "bin", clang=compiler)
    log = tmp_path / "log"
    arguments = ["-c", "a b.c", '-DX="q\\n"', "", "-Dnew\nline", "%s"]
    environment = {"PATH": "/usr/bin:/bin", LOG_VARIABLE: str(log)}
    done = process.run([cc, *arguments], timeout_s=10, cwd=tmp_path, env=environment)
    process.run([cxx, "b.cc"], timeout_s=10, cwd=tmp_path, env=environment)
    assert done.stdout.startswith(b"--driver-mode=gcc\n-c\na b.c\n")
    assert list(read_log(log)) == [
        Invocation(directory=str(tmp_path), arguments=tuple(arguments)),
        Invocation(directory=str(tmp_path), arguments=("b.cc",)),
    ]


def test_without_the_variable_nothing_is_logged(tmp_path: Path) -> None:
    cc, _ = write_compiler_wrapper(tmp_path / "bin", clang=Path("/bin/true"))
    done = process.run([cc, "a.c"], timeout_s=10, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    assert done.ok
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_builds_that_name_gcc_or_clang_get_the_wrapper_too(tmp_path: Path) -> None:
    for _ in range(2):
        write_compiler_wrapper(tmp_path, clang=Path("/bin/true"))
    assert (tmp_path / "gcc").resolve() == (tmp_path / "clang").resolve() == tmp_path / "cc"
    assert (tmp_path / "g++").resolve() == (tmp_path / "clang++").resolve() == tmp_path / "c++"


def test_a_record_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"1\0/d\0a.c\0" + b"3\0/d\0b.c\0-o\0x")
    assert list(read_log(log)) == [Invocation(directory="/d", arguments=("a.c",))]
