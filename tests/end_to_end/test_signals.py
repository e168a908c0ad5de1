"""Ctrl-C and SIGTERM in the middle of every command: what is left, and with which exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_compiler.isolation import DEPTH_VARIABLE
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.output import TEMPORARY_PREFIX

from .conftest import PROGRAM

FUNCTIONS = "\n".join(
    f"int f{i}(int *a, int n) {{ int s = {i};"
    f" for (int k = 0; k < n; k++) s += a[k] * (k ^ {i}) - s / 3; return s % {i + 7}; }}"
    for i in range(40)
)


class Session:
    """A command under way, with a folder for temporary files of its own."""

    def __init__(self, user, *arguments: str) -> None:
        self.scratch = user.home / "scratch"
        self.scratch.mkdir(exist_ok=True)
        self.folder = user.folder
        env = {**user.env, "TMPDIR": str(self.scratch), "PYTHONSAFEPATH": "1"}
        env.pop(DEPTH_VARIABLE, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "llm_compiler", *arguments],
            cwd=user.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.mark = f"TMPDIR={self.scratch}".encode()

    def processes(self) -> list[int]:
        """Everything that this command has started and that still runs."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if self.mark in (path / "environ").read_bytes() and state != "Z":
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"it ended by itself: {self.process.communicate()[1]}")
            if ready():
                return
            time.sleep(0.02)
        self.process.kill()
        pytest.fail("it never got there")

    def ends_on(self, number: int) -> tuple[str, str]:
        """Send a signal; see that nothing temporary stays; return what was printed."""
        start = time.monotonic()
        self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f"it goes on {time.monotonic() - start:.0f} s after the signal")
        assert self.process.returncode == 128 + number, err
        assert "Traceback" not in err
        assert "Exception" not in err
        deadline = time.monotonic() + 5
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.processes() == []
        assert list(self.scratch.iterdir()) == []
        assert list(self.folder.rglob(f"{TEMPORARY_PREFIX}*")) == []
        return out, err


SIGNALS = pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"]
)


@SIGNALS
def test_optimize_writes_what_is_finished(user, number: int) -> None:
    user.write("quick.c", "int quick = 3;  // nothing to search for\n")
    for index in range(6):
        user.write(f"slow{index}.c", PROGRAM + FUNCTIONS.replace("int f", f"int g{index}_"))
    slow = [f"slow{index}.c" for index in range(6)]
    session = Session(user, "optimize", "quick.c", *slow, "--budget", "100000", "--jobs", "2")
    # The first file's object is there long before the others are done.
    session.wait_until((user.folder / "quick.o").exists)
    session.wait_until(lambda: len(session.processes()) >= 3)
    time.sleep(0.5)
    out, err = session.ends_on(number)
    assert "quick.c" in out
    said = "interrupted" if number == signal.SIGINT else "terminated"
    assert f"llm-compiler: {said}" in err
    for path in user.folder.glob("slow*.o"):
        assert f"{path.stem}.c" in out  # its row is there as well
        assert path.read_bytes()[:4] == b"\x7fELF"


def test_a_killed_run_keeps_what_is_finished(user) -> None:
    user.write("quick.c", "int quick = 3;  // nothing to search for\n")
    user.write("slow.c", PROGRAM + FUNCTIONS)
    session = Session(user, "optimize", "slow.c", "quick.c", "--budget", "100000", "--jobs", "2")
    session.wait_until((user.folder / "quick.o").exists)
    session.process.kill()
    session.process.communicate(timeout=20)
    assert (user.folder / "quick.o").read_bytes()[:4] == b"\x7fELF"
    assert not (user.folder / "slow.o").exists()
    deadline = time.monotonic() + 30
    while session.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.processes() == []


def test_what_was_printed_before_a_kill_is_whole(user) -> None:
    """`kill -9` after the first rows: their objects are those of a run that nobody disturbs."""
    small = [f"small{index}.c" for index in range(3)]
    for index, name in enumerate(small):
        user.write(name, f"int small{index}(int x) {{ return x * {index + 3} - x / 7; }}\n")
    large = [FUNCTIONS.replace("int f", f"int g{index}_") for index in range(15)]
    user.write("slow.c", "\n".join([PROGRAM, *large]))
    alone = ("--jobs", "2", "--candidates", "16", "--proposer", "coreset")
    assert user.types("optimize", *small, *alone, "--out-dir", "whole").code == 0
    session = Session(user, "optimize", "slow.c", *small, *alone, "--json")
    out = session.process.stdout
    assert out is not None
    printed = [json.loads(out.readline())["input"] for _ in range(2)]
    session.process.kill()
    session.process.communicate(timeout=20)
    assert set(printed) < set(small)
    for name in printed:
        data = (user.folder / name).with_suffix(".o").read_bytes()
        assert data == (user.folder / "whole" / name).with_suffix(".o").read_bytes()
    assert not (user.folder / "slow.o").exists()
    left = [path for path in user.folder.rglob("*.o") if path.read_bytes()[:4] != b"\x7fELF"]
    assert left == [], "an object that is not whole"


def test_memory_does_not_grow_with_the_number_of_inputs(user) -> None:
    def peak_mib(count: int) -> float:
        names = [f"data{index}.c" for index in range(count)]
        for index, name in enumerate(names):
            # An object of 4 MB, of which nothing need stay when it is written.
            user.write(name, f"char data{index}[4000000] = {{1}}; int f{index}(void) {{return 1;}}")
        session = Session(user, "optimize", *names, "--candidates", "0", "--jobs", "2")
        out = session.process.stdout
        assert out is not None
        while out.read(1 << 16):
            pass
        _, status, used = os.wait4(session.process.pid, 0)
        session.process.returncode = os.waitstatus_to_exitcode(status)
        _, err = session.process.communicate(timeout=20)
        assert session.process.returncode == 0, err
        return used.ru_maxrss / 1024

    assert peak_mib(32) - peak_mib(6) < 40


@pytest.mark.parametrize(
    ("number", "arguments"),
    [
        (signal.SIGTERM, ("autotune", "many.c", "--budget", "100000", "--store", "m.db")),
        (signal.SIGINT, ("validate", "--coreset", "--architecture", "x86_64", "--suite", "own")),
        (signal.SIGTERM, ("validate", "instcombine", "--csmith", "40", "--suite", "own")),
        (signal.SIGINT, ("disassemble", "many.s", "-o", "many.ll")),
        (signal.SIGTERM, ("disassemble", "many.s", "-o", "many.ll")),
        (
            signal.SIGTERM,
            ("evaluate", "disassembly", "--suite", "own", "--report", "r", "--functions", "30"),
        ),
        (
            signal.SIGINT,
            ("evaluate", "flag-tuning", "--suite", "own", "--report", "r", "--budgets", "5000"),
        ),
        (signal.SIGHUP, ("corpus", "build", "--config", "corpus.toml", "--out", "corpus")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_nothing_temporary_stays(user, number: int, arguments: tuple[str, ...]) -> None:
    user.write("many.c", FUNCTIONS)
    user.write("own/one.c", PROGRAM)
    user.write("own/two.c", PROGRAM)
    if arguments[0] == "corpus":
        for index in range(120):
            user.write(f"own/f{index}.c", FUNCTIONS)
        user.write(
            "corpus.toml",
            '[[local]]\nname = "own"\npath = "own"\nkind = "sources"\nsplit = "train"\n'
            'license = "Apache-2.0"\n',
        )
    if arguments[0] == "disassemble":
        clang = find_toolchain().tool("clang")
        subprocess.run([clang, "-Oz", "-S", "many.c"], cwd=user.folder, check=True, timeout=60)
    session = Session(user, *arguments)
    # It has begun: there is a worker, or a compiler, beside it.
    session.wait_until(lambda: len(session.processes()) >= 2)
    time.sleep(0.7)
    session.ends_on(number)
    if arguments[0] == "disassemble" and (path := user.folder / "many.ll").exists():
        assert "target triple" in path.read_text()


def test_a_signal_that_was_ignored_stays_ignored(user) -> None:
    user.write("quick.c", "int quick(int x) { return x + 1; }\n")
    command = [sys.executable, "-m", "llm_compiler", "optimize", "quick.c", "--candidates", "1"]
    process = subprocess.Popen(
        command,
        cwd=user.folder,
        env=user.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None,
    )
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGHUP)
    assert process.wait(timeout=60) == 0
    assert (user.folder / "quick.o").exists()
