"""Issue 2's table of bad input: one clear sentence, the right exit code, nothing written."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_compiler.process import run
from llm_compiler.records import VerdictKind

GOOD_IR = """target triple = "x86_64-pc-linux-gnu"
define i32 @f(i32 %x) minsize optsize {
  ret i32 %x
}
"""


@pytest.fixture
def good(user) -> Path:
    return user.write("good.c", "int f(int x) { return x * 3; }\n")


def test_a_missing_file(user) -> None:
    assert user.fails(4, "optimize", "none.c") == "llm-compiler: error: none.c does not exist"


def test_a_directory(user) -> None:
    (user.folder / "folder.c").mkdir()
    assert "folder.c is a directory" in user.fails(4, "optimize", "folder.c")


@pytest.mark.parametrize("name", ["empty.c", "empty.cpp", "empty.ll", "empty.bc"])
def test_an_empty_file_is_compiled_as_clang_does(user, name: str) -> None:
    user.write(name, "")
    done = user.types("optimize", name, "--json")
    assert (done.code, done.errors) == (0, [])
    assert done.rows[0]["baseline_bytes"] == done.rows[0]["optimized_bytes"]
    assert "empty.o" in user.files()


def test_a_file_of_another_kind(user) -> None:
    user.write("notes.txt", "hello")
    assert "notes.txt is not C, C++, LLVM-IR or bitcode" in user.fails(4, "optimize", "notes.txt")


@pytest.mark.parametrize(
    "data",
    [bytes(range(256)) * 20, b"BC\xc0\xde" + bytes(range(255, 0, -1)) * 9, b"\x7fELF" + bytes(300)],
    ids=["noise", "magic and noise", "ELF"],
)
def test_binary_garbage_as_bitcode(user, data: bytes) -> None:
    user.write("garbage.bc", data)
    assert "garbage.bc" in user.fails(4, "optimize", "garbage.bc")


def test_ir_with_an_error_has_line_and_column(user) -> None:
    user.write("bad.ll", GOOD_IR.replace("ret i32 %x", "ret i33 %x"))
    message = user.fails(4, "optimize", "bad.ll")
    assert re.search(
        r"error: bad\.ll:3:11: '%x' defined with type 'i32' but expected 'i33'", message
    )


def test_ir_that_the_verifier_rejects(user) -> None:
    user.write(
        "broken.ll", "define i32 @f(i32 %x) {\n  br label %a\na:\n  br label %a\nb:\n ret i32 %q\n}"
    )
    assert "broken.ll" in user.fails(4, "optimize", "broken.ll")


def test_a_syntax_error_in_clangs_words(user) -> None:
    user.write("bad.c", "int f(void) { return 1 +; }\n")
    message = user.fails(4, "optimize", "bad.c")
    assert "clang rejects bad.c: bad.c:1:25: error: expected expression" in message


def test_all_that_clang_says_is_shown(user) -> None:
    text = "int f(void) { return a; }\nint g(void) { return b; }\n#warning odd\n"
    user.write("bad.c", text)
    done = user.types("optimize", "bad.c")
    assert done.code == 4
    for part in (
        "bad.c:1:22: error: use of undeclared identifier 'a'",
        "bad.c:2:22: error: use of undeclared identifier 'b'",
        "bad.c:3:2: warning: odd",
        "2 errors generated.",
        "    1 | int f(void) { return a; }",
    ):
        assert part in done.err
    assert done.err.splitlines()[-1].startswith("llm-compiler: error: clang rejects bad.c: ")


def test_a_missing_header_in_clangs_words(user) -> None:
    user.write("bad.c", '#include "nowhere.h"\n')
    assert "'nowhere.h' file not found" in user.fails(4, "optimize", "bad.c")


def test_a_target_that_nobody_knows(user, good: Path) -> None:
    assert "vax" in user.fails(4, "optimize", good, "--target-triple", "vax-dec-vms")


@pytest.mark.parametrize("text", ["frobnicate", "sroa,frobnicate", "function(instcombin)"])
def test_an_unknown_pass(user, text: str) -> None:
    message = user.fails(4, "validate", text)
    assert re.search(r"unknown pass '(frobnicate|instcombin)'", message)
    if "instcombin" in text:
        assert "did you mean instcombine" in message


@pytest.mark.parametrize("text", ["default<O9>", "instcombine<frobnicate>", "sroa,gvn<no-such>"])
def test_a_pass_list_that_llvm_cannot_read_is_no_rejected_one(user, text: str) -> None:
    assert "LLVM cannot read the pass list" in user.fails(4, "validate", text)


def test_unbalanced_brackets(user) -> None:
    assert "never closed" in user.fails(4, "validate", "function(sroa")


# -- usage -----------------------------------------------------------------------------------------


def test_an_unknown_option(user, good: Path) -> None:
    done = user.types("optimize", good, "--frobnicate")
    assert (done.code, done.out) == (2, "")
    assert "unrecognized arguments: --frobnicate" in done.err
    assert sorted(user.files()) == ["good.c"]


def test_one_output_for_two_inputs(user, good: Path) -> None:
    other = user.write("other.c", "int g;\n")
    assert "-o names one output" in user.fails(2, "optimize", good, other, "-o", "x.o")


def test_two_inputs_with_one_output(user, good: Path) -> None:
    other = user.write("sub/good.c", "int g;\n")
    assert "would both be written to good.o" in user.fails(2, "optimize", good, other)


def test_an_output_over_its_input(user, good: Path) -> None:
    assert "overwrite its own input" in user.fails(2, "optimize", good, "-o", good)
    link = user.folder / "link.o"
    link.symlink_to("good.c")
    assert "overwrite its own input" in user.fails(2, "optimize", good, "-o", "link.o")


def test_an_output_over_another_input(user, good: Path) -> None:
    user.write("good.bc", GOOD_IR)
    message = user.fails(2, "optimize", good, "good.bc", "--emit-llvm")
    assert "good.bc of good.c would overwrite another input" in message


def test_bitcode_of_bitcode_takes_another_name(user) -> None:
    user.write("module.ll", GOOD_IR)
    before = user.files()["module.ll"]
    assert user.types("optimize", "module.ll", "-S", "--candidates", "0").code == 0
    assert user.files()["module.ll"] == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["-flto"], "writes bitcode"),
        (["-I"], "lacks its value"),
        (["other.c"], "is not a clang flag"),
        (["-M"], "makes no object"),
        (["-E"], "makes no object"),
        (["-fsyntax-only"], "makes no object"),
        (["-###"], "makes no object"),
        (["-o", "a.o", "-x", "c"], "-o names x.o, and a.o after --"),
        (["-S", "-o", "x.o"], "ask for bitcode, and clang's flags for assembly"),
        (["--target=aarch64-linux-gnu"], "the target is x86_64-linux-gnu as an option and"),
        (["@nothing"], "is not a clang flag"),
    ],
)
def test_clang_flags_that_do_not_fit(user, good: Path, flags: list[str], message: str) -> None:
    own = ["-o", "x.o"] if flags[0] == "-o" else ["--emit-llvm"] if flags[0] == "-S" else []
    own += ["--target-triple", "x86_64-linux-gnu"] if flags[0].startswith("--target") else []
    assert message in user.fails(2, "optimize", good, *own, "--", *flags)


def test_a_flag_that_clang_does_not_know(user, good: Path) -> None:
    assert "--frobnicate" in user.fails(4, "optimize", good, "--", "--frobnicate")


# -- outputs that cannot be written ----------------------------------------------------------------


def test_a_full_disk_seen_through_dev_full(user, good: Path) -> None:
    message = user.fails(8, "optimize", good, "--candidates", "0", "-o", "/dev/full")
    assert "cannot write /dev/full: No space left on device" in message


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", disk], timeout_s=10)
    if not done.ok:
        pytest.skip("mounting a small disk needs root")
    try:
        yield disk
    finally:
        run(["umount", "-l", disk], timeout_s=10)


def test_a_full_disk(user, good: Path, tiny_disk: Path) -> None:
    with contextlib.suppress(OSError):
        (tiny_disk / "filler").write_bytes(bytes(8192))
    message = user.fails(8, "optimize", good, "--candidates", "0", "-o", tiny_disk / "x.o")
    assert "No space left on device" in message
    assert [path.name for path in tiny_disk.iterdir()] == ["filler"]


def test_no_room_for_temporary_files(user, good: Path, tiny_disk: Path) -> None:
    (tiny_disk / "filler").write_bytes(bytes(4096))
    text = ",".join(str(i) for i in range(3000))
    source = user.write(
        "large.c", f"int f(int i) {{ static int t[] = {{{text}}}; return t[i]; }}\n"
    )
    user.env["TMPDIR"] = str(tiny_disk)
    options = ("--candidates", "0", "--proposer", "coreset")
    message = user.fails(8, "optimize", source, *options)
    assert "No space left on device" in message
    assert "set TMPDIR" in message


def test_a_folder_that_takes_no_files(user, good: Path) -> None:
    assert "cannot write" in user.fails(8, "optimize", good, "-o", "/proc/out.o")
    assert "there is no directory" in user.fails(8, "optimize", good, "-o", "none/out.o")
    assert "it is a directory" in user.fails(8, "optimize", good, "-o", ".")


def test_a_read_only_output(user, good: Path) -> None:
    user.write("out.o", "old")
    (user.folder / "out.o").chmod(0o444)
    assert "read-only" in user.fails(8, "optimize", good, "-o", "out.o")


def test_a_store_that_cannot_be_made(user, good: Path) -> None:
    message = user.fails(8, "autotune", good, "--budget", "1", "--store", "/proc/none/m.db")
    assert "the store /proc/none/m.db cannot be made" in message
    message = user.fails(8, "autotune", good, "--budget", "1", "--store", "none/m.db")
    assert "there is no directory none" in message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.c", "int f(void) { return 1; }\n", "x.c is C or C++ by its name"),
        ("x.ll", GOOD_IR, "x.ll is LLVM-IR already"),
        ("x.s", GOOD_IR, "x.s is LLVM-IR already"),
    ],
)
def test_what_needs_no_disassembling(user, name: str, text: str, message: str) -> None:
    user.write(name, text)
    assert message in user.fails(4, "disassemble", name)


def test_a_model_that_was_typed_and_is_not_there(user, good: Path) -> None:
    message = user.fails(7, "optimize", good, "--model", "/nonexistent")
    assert message == "llm-compiler: error: there is no checkpoint at /nonexistent"


def test_results_and_json_on_one_output(user, good: Path) -> None:
    message = user.fails(2, "optimize", good, "--json", "-o", "-")
    assert "would both be written to standard output" in message


def test_a_file_that_is_no_store(user, good: Path) -> None:
    user.write("m.db", "no database " * 100)
    message = user.fails(7, "autotune", good, "--budget", "1", "--store", "m.db")
    assert "m.db is not a store of measurements" in message


# -- no LLVM, or the wrong one ---------------------------------------------------------------------


def fake_llvm(folder: Path, **versions: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    for tool, version in versions.items():
        path = folder / "bin" / tool
        what = "clang" if tool == "clang" else "LLVM"
        path.write_text(f"#!/bin/sh\necho '{what} version {version}'\n")
        path.chmod(0o755)
    return folder


@pytest.mark.parametrize("command", ["optimize", "autotune"])
def test_llvm_missing(user, good: Path, command: str) -> None:
    user.env["LLM_COMPILER_LLVM"] = "/nonexistent"
    message = user.fails(3, command, good)
    assert "LLM_COMPILER_LLVM=/nonexistent cannot be used" in message
    assert "apt-get install clang-19 llvm-19 libllvm19" in message


def test_llvm_of_an_old_version(user, good: Path, tmp_path: Path) -> None:
    user.env["LLM_COMPILER_LLVM"] = str(fake_llvm(tmp_path / "old", clang="15.0.7", opt="15.0.7"))
    assert "is version 15.0.7, and only 17 to 22 are supported" in user.fails(3, "optimize", good)


def test_llvm_of_mixed_versions(user, good: Path, tmp_path: Path) -> None:
    user.env["LLM_COMPILER_LLVM"] = str(fake_llvm(tmp_path / "mix", clang="19.1.7", opt="18.1.8"))
    message = user.fails(3, "optimize", good)
    assert "is version 19.1.7 but" in message
    assert "18.1.8" in message


def test_a_library_of_another_version(user, good: Path, tmp_path: Path, toolchain) -> None:
    prefix = fake_llvm(tmp_path / "lib", clang="18.1.8", opt="18.1.8")
    (prefix / "lib").mkdir()
    (prefix / "lib" / "libLLVM.so.18.1").symlink_to(toolchain.libllvm)
    user.env["LLM_COMPILER_LLVM"] = str(prefix)
    assert f"is version {toolchain.version}" in user.fails(3, "passes")


# -- a compiler in trouble -------------------------------------------------------------------------


def test_a_time_limit_that_clang_cannot_keep(user) -> None:
    # 2^22 tokens: clang needs seconds for it.
    body = "#define A x x x x x x x x\n#define B A A A A A A A A\n#define C B B B B B B B B\n"
    body += "#define D C C C C C C C C\n#define E D D D D D D D D\n#define F E E E E E E E E\n"
    source = user.write("slow.c", "#define x +1\n" + body + "int y = 0 F F F F;\n")
    message = user.fails(6, "optimize", source, "--timeout-s", "0.1")
    assert "did not end within 0.1 s (--timeout-s)" in message


def test_a_closed_pipe_is_no_traceback(user) -> None:
    import shlex
    import sys

    command = shlex.join([str(Path(sys.executable).parent / "llm-compiler"), "passes", "--all"])
    done = run(
        ["/bin/sh", "-c", f"{command} | head -1"], timeout_s=60, cwd=user.folder, env=user.env
    )
    assert done.stdout.count(b"\n") == 1
    assert done.stderr == b""


def test_ctrl_c_keeps_the_best_found(user, good: Path) -> None:
    """See test_commands.py for autotune; here `optimize` still writes an object."""
    import signal
    import time

    user.judges(VerdictKind.PASSED)
    with user.starts("optimize", str(good), "--budget", "1000000", "--json") as process:
        time.sleep(4)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert process.returncode in (0, 130), err
    if process.returncode == 0:
        assert "interrupted" in err
        assert (user.folder / "good.o").exists()
        assert '"num_evaluations"' in out
