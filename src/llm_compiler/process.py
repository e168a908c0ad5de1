"""Run other programs: the only module that starts subprocesses for their result.

Each program gets a process group of its own, a time limit, and a memory limit; when the time is
up, the whole group is killed, so that no grandchild holds a pipe open. Output is read while the
program runs. Knows nothing of LLVM. Safe to call from several threads.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.isolation import child_environment
from llm_compiler.signals import Interrupted, when_overdue

__all__ = [
    "Completed",
    "PeakMemory",
    "kill_running",
    "peak_memory",
    "run",
    "spawn",
    "which",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a program left.

    `exit_status` is its exit code, or minus the signal that ended it, as in `subprocess`.
    """

    arguments: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes
    seconds: float
    timed_out: bool

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with exit code 0."""
        return self.exit_status == 0 and not self.timed_out

    @property
    def stderr_text(self) -> str:
        """Standard error as text, whatever bytes it holds."""
        return self.stderr.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakMemory:
    """The most memory that processes had resident at once, in bytes.

    `own_bytes` is this process's; `child_bytes` that of the largest one that it started and that
    has ended, theirs included.
    """

    own_bytes: int
    child_bytes: int


def peak_memory() -> PeakMemory:
    """Return the peaks of this process and of its children since it began."""
    own, children = (
        resource.getrusage(who).ru_maxrss * 1024  # Linux counts in KiB
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return PeakMemory(own_bytes=own, child_bytes=children)


def _limit(pid: int, memory_limit_bytes: int | None, cpu_limit_s: float) -> None:
    """Set limits of a program that has just been started.

    From outside: code between fork and exec can deadlock where there are threads.
    """
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: math.ceil(cpu_limit_s)}
    if memory_limit_bytes is not None:
        limits[resource.RLIMIT_AS] = memory_limit_bytes
    for limit, value in limits.items():
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            _, hard = resource.prlimit(pid, limit)
            wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.prlimit(pid, limit, (wanted, wanted))


_CPUS = os.cpu_count() or 1
_running: set[subprocess.Popen[bytes]] = set()
"""What `run` waits for, in any thread."""


_stopped: set[subprocess.Popen[bytes]] = set()


def kill_running() -> None:
    """Kill every program that `run` waits for, in any thread; its caller sees `Interrupted`."""
    for process in list(_running):
        _stopped.add(process)
        _kill_group(process)


when_overdue(kill_running)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def run(
    arguments: Sequence[str | os.PathLike[str]],
    *,
    timeout_s: float,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    memory_limit_bytes: int | None = None,
) -> Completed:
    """Run a program to its end and return what it left, whatever its exit status.

    Args:
        arguments: program and arguments; never given to a shell.
        timeout_s: seconds until the process group is killed (`Completed.timed_out`).
        stdin: bytes for its standard input; None: nothing to read.
        env: the whole environment; None: ours. Relative folders in its PATH are left out.
        memory_limit_bytes: cap on the address space of each process of the group.

    Raises:
        OSError: the program cannot be started at all (missing, not executable).
        Interrupted: it was stopped since this process is to end.
    """
    text = tuple(os.fspath(argument) for argument in arguments)
    start = time.monotonic()
    process = subprocess.Popen(
        text,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=child_environment(None if env is None else dict(env)),
        start_new_session=True,
    )
    # Should we be killed, nobody ends a program that hangs, but the system does.
    _limit(process.pid, memory_limit_bytes, cpu_limit_s=_CPUS * timeout_s + 10)
    timed_out = False
    _running.add(process)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        timed_out = True
        _kill_group(process)
        try:
            stdout, stderr = process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            # A grandchild that left the group holds a pipe: give up its output.
            stdout, stderr = b"", b""
    except BaseException:
        _kill_group(process)
        process.wait()
        raise
    finally:
        _running.discard(process)
        was_stopped = process in _stopped
        _stopped.discard(process)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
    if was_stopped:
        raise Interrupted  # what it left says nothing
    return Completed(
        arguments=text,
        exit_status=process.returncode if process.returncode is not None else -signal.SIGKILL,
        stdout=stdout,
        stderr=stderr,
        seconds=time.monotonic() - start,
        timed_out=timed_out,
    )


def spawn(
    arguments: Sequence[str | os.PathLike[str]], *, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a long-lived helper in a session of its own; the caller owns and must end it."""
    return subprocess.Popen(
        tuple(os.fspath(argument) for argument in arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=tuple(pass_fds),
        env=child_environment(),
        start_new_session=True,
    )


def which(program: str) -> str | None:
    """Return where a program is, by the folders on PATH that are named whole; None: nowhere.

    `shutil.which` alone would find one in the current folder, where PATH has an empty entry.
    """
    return shutil.which(program, path=child_environment().get("PATH", os.defpath))
