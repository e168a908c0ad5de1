"""What a progress display shows on a terminal, and that it goes nowhere else."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from llm_compiler.llvm.toolchain import find_toolchain

TWO = "int one(int x) { return x + 1; }\nint two(int x) { return x * 5; }\n"
PROGRAM = '#include <stdio.h>\nint main(void) { puts("fine"); return 0; }\n'


def on_a_terminal(user, *arguments: str) -> tuple[str, str]:
    """Run a command with a terminal as standard error; return its output and what is shown."""
    ours, theirs = pty.openpty()
    with (user.folder / "stdout").open("wb") as stdout:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "llm_compiler", *arguments],
            cwd=user.folder,
            env={**user.env, "TERM": "xterm", "COLUMNS": "160"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=theirs,
        )
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(ours)
    process.wait(timeout=100)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode("utf-8", "replace"))
    return (user.folder / "stdout").read_text(), text


def counts(shown: str, what: str) -> set[tuple[int, int]]:
    found = re.findall(rf"{what} +\S* +(\d+)/(\d+)", shown)
    return {(int(done), int(total)) for done, total in found}


def test_results_go_to_the_file_and_not_to_the_terminal(user) -> None:
    user.write("unit.c", TWO)
    out, shown = on_a_terminal(user, "optimize", "unit.c", "--candidates", "2", "--json")
    assert '"input": "unit.c"' in out
    assert '"input"' not in shown
    assert (2, 2) in counts(shown, "optimizing")


def test_disassemble_counts_functions(user) -> None:
    user.write("two.c", TWO)
    clang = find_toolchain().tool("clang")
    subprocess.run([clang, "-Oz", "-c", "two.c"], cwd=user.folder, check=True, timeout=60)
    _, shown = on_a_terminal(user, "disassemble", "two.o", "-o", "two.ll", "--candidates", "1")
    found = counts(shown, "lifting")
    assert {total for _, total in found} == {2}
    assert (2, 2) in found
    assert all(done <= total for done, total in found)


def test_validate_moves_while_one_list_is_checked(user) -> None:
    for index in range(4):
        user.write(f"own/{index}.c", PROGRAM.replace("fine", str(index)))
    arguments = ("instcombine", "--suite", "own", "--architecture", "x86_64")
    out, shown = on_a_terminal(user, "validate", *arguments)
    assert out.startswith("passed")
    assert "preparing the programs" in shown
    # A quick machine may be through its steps between two refreshes.
    assert "linking and running" in shown or (4, 4) in counts(shown, "programs")
    assert {total for _, total in counts(shown, "programs")} == {4}


def test_off_a_terminal_nothing_is_shown(user) -> None:
    user.write("unit.c", TWO)
    assert user.types("optimize", Path("unit.c"), "--candidates", "2", "--json").err == ""
