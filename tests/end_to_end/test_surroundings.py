"""Odd names, closed streams, missing folders: what a command makes of its surroundings."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest

TINY = "int f(int x) { return x * 3; }\n"
NAMES = ["new\nline.c", 'it\'s "q".c', "./-dash.c", os.fsdecode(b"\xff\xfe.c"), "x" * 250 + ".c"]
QUICK = "--candidates 1 --proposer coreset"


def shell(user, command: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command line in which TOOL is this tool."""
    tool = f"{shlex.quote(sys.executable)} -P -m llm_compiler"
    return subprocess.run(
        ["/bin/sh", "-c", command.replace("TOOL", tool)],
        cwd=user.folder,
        env={**user.env, **variables},
        capture_output=True,
        timeout=100,
        check=False,
    )


def test_names_of_every_kind(user) -> None:
    for name in NAMES:
        user.write(name, TINY)
    command = f"TOOL optimize {QUICK} {' '.join(map(shlex.quote, NAMES))}"
    done = shell(user, command)
    assert (done.returncode, done.stderr) == (0, b"")
    for name in NAMES:
        assert (user.folder / name).with_suffix(".o").read_bytes()[:4] == b"\x7fELF"


@pytest.mark.parametrize(
    ("redirection", "code"),
    [("<&-", 0), ("2>&-", 0), (">&-", 8), ("<&- >&- 2>&-", 8), (">/dev/full", 8)],
)
def test_closed_and_full_streams(user, redirection: str, code: int) -> None:
    user.write("unit.c", TINY)
    done = shell(user, f"TOOL optimize {QUICK} unit.c {redirection}")
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert b"ignored" not in done.stderr
    assert (user.folder / "unit.o").read_bytes()[:4] == b"\x7fELF"


def test_without_a_home_or_a_folder_for_temporary_files(user) -> None:
    user.write("unit.c", TINY)
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        user.env.pop(name)
    done = shell(user, f"TOOL optimize {QUICK} unit.c", HOME="/nonexistent", TMPDIR="/nonexistent")
    assert (done.returncode, done.stderr) == (0, b"")
    assert sorted(path.name for path in user.folder.iterdir()) == ["unit.c", "unit.o"]


def test_more_files_than_descriptors(user) -> None:
    names = [f"f{index}.c" for index in range(40)]
    for name in names:
        user.write(name, TINY)
    command = f"ulimit -n 40; TOOL optimize --candidates 0 --jobs 2 {' '.join(names)}"
    done = shell(user, command)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(list(user.folder.glob("f*.o"))) == len(names)
