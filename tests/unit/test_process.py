from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from llm_compiler.process import run

from .process_state import alive

PYTHON = sys.executable


def test_output_and_exit_status_are_kept() -> None:
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run([PYTHON, "-c", program], timeout_s=30)
    assert (done.exit_status, done.stdout, done.stderr_text) == (3, b"out\n", "err\n")
    assert not done.ok
    assert not done.timed_out
    assert done.arguments == (PYTHON, "-c", program)


def test_standard_input_is_what_was_given_or_nothing() -> None:
    program = "import sys; sys.stdout.write(sys.stdin.read())"
    assert run([PYTHON, "-c", program], timeout_s=30, stdin=b"abc").stdout == b"abc"
    assert run([PYTHON, "-c", program], timeout_s=30).stdout == b""


def test_a_lot_of_output_does_not_block() -> None:
    program = "import sys; sys.stderr.write('e' * 3000000); sys.stdout.write('o' * 3000000)"
    done = run([PYTHON, "-c", program], timeout_s=60)
    assert (len(done.stdout), len(done.stderr)) == (3_000_000, 3_000_000)


def test_a_time_out_kills_the_grandchildren_too() -> None:
    done = run(["/bin/sh", "-c", "sleep 60 & echo $!; wait"], timeout_s=0.5)
    assert done.timed_out
    assert not done.ok
    assert done.seconds < 10
    grandchild = int(done.stdout)
    deadline = time.monotonic() + 10
    while alive(grandchild) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(grandchild)


def test_a_signal_is_a_negative_exit_status() -> None:
    assert run(["/bin/sh", "-c", "kill -9 $$"], timeout_s=30).exit_status == -signal.SIGKILL


def test_the_memory_limit_is_the_programs() -> None:
    program = "x = bytearray(1_000_000_000)"
    done = run([PYTHON, "-c", program], timeout_s=60, memory_limit_bytes=400_000_000)
    assert done.exit_status != 0
    assert "MemoryError" in done.stderr_text


def test_a_missing_program_raises() -> None:
    with pytest.raises(OSError, match="No such file"):
        run(["/nonexistent/program"], timeout_s=1)


def test_arguments_never_meet_a_shell(tmp_path: Path) -> None:
    done = run([PYTHON, "-c", "import sys; print(sys.argv[1])", "$(touch x); `id`"], timeout_s=30)
    assert done.stdout == b"$(touch x); `id`\n"


def test_folder_and_environment_are_the_callers(tmp_path: Path) -> None:
    program = "import os; print(os.getcwd(), os.environ.get('HERE'))"
    done = run([PYTHON, "-c", program], timeout_s=30, cwd=tmp_path, env={"HERE": "1"})
    assert done.stdout.decode() == f"{tmp_path} 1\n"
