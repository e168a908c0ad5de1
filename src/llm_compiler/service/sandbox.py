"""A program in a sandbox: bubblewrap with namespaces of its own, limits, and a watch over both.

Inside there is no network, no other process, no file but the toolchain's, this package's and its
Python's, all read-only, and an empty folder of bounded size that is gone with the last process.
There is no ``/proc`` either, whose files say how the host is laid out. The system's own limits
bind each process; those of the whole job are watched from outside. Limits on the number of
processes do not bind root, who therefore needs control groups.

Runs on an event loop, and is with `process` the only place that starts programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sys
import sysconfig
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from llm_compiler.errors import LlmCompilerError, ToolchainNotFound
from llm_compiler.isolation import child_environment, python_command
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run, which
from llm_compiler.service.control_group import (
    ControlGroup,
    ControlGroups,
    find_control_groups,
)
from llm_compiler.service.limits import Limits, Refusal

__all__ = ["Sandbox", "Sandboxed", "find_sandbox"]

_HINT: Final = (
    "install it with 'apt-get install bubblewrap', or start with --no-sandbox where everybody who "
    "can reach the service may run programs on this machine"
)
_WORK: Final = "/job"
_CACHE_BYTES: Final = 64 * 2**20
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_SLACK: Final = 16
"""Processes that the system allows beyond the limit, so that the watch sees it exceeded."""
_POLL_S: Final = 0.1
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_LAST_WORDS_BYTES: Final = 4000


def find_sandbox() -> Path:
    """Return bubblewrap, if it works here and jobs can be limited.

    Raises:
        ToolchainNotFound: it is missing, the system does not let it make namespaces, or this is
            root, who may make no control groups.
    """
    found = which("bwrap")
    if found is None:
        raise ToolchainNotFound(f"the sandbox needs bubblewrap, which is not here: {_HINT}")
    command = [found, "--unshare-all", "--ro-bind", "/", "/", "--tmpfs", "/tmp", "true"]
    tried = run(command, timeout_s=20)
    if not tried.ok:
        words = tried.stderr_text.strip().splitlines()
        raise ToolchainNotFound(
            f"bubblewrap cannot make a sandbox here ({words[-1] if words else 'no message'}): "
            "the system must allow user namespaces, or start with --no-sandbox"
        )
    if os.geteuid() == 0 and find_control_groups() is None:
        raise ToolchainNotFound(
            "nothing limits the processes of root here: control groups cannot be made in "
            "/sys/fs/cgroup: run the service as an ordinary user, or start with --no-sandbox"
        )
    return Path(found)


@dataclass(slots=True, kw_only=True)
class Sandbox:
    """Makes sandboxes that hold one toolchain, this package, and nothing of anybody's.

    Args:
        bwrap: None: no sandbox, only limits.
        scratch: the current folder of what runs without a sandbox.
        caches: folders that are shown read-only at their own places.
    """

    bwrap: Path | None
    toolchain: Toolchain
    limits: Limits
    caches: Sequence[Path] = ()
    scratch: Path | None = None
    _groups: ControlGroups | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._groups = find_control_groups() if self.bwrap is not None else None

    def command(self, program: Sequence[str]) -> list[str]:
        """Return the whole command line that runs a program inside."""
        limits = self.limits
        inner = [
            str(which("prlimit") or "prlimit"),
            "--core=0:0",
            _limit("fsize", resource.RLIMIT_FSIZE, limits.disk_bytes),
            _limit("cpu", resource.RLIMIT_CPU, _processor_seconds(limits)),
            _limit("nofile", resource.RLIMIT_NOFILE, 1024),
        ]
        if self.bwrap is None:
            return [*inner, *program]
        inner.append(_limit("nproc", resource.RLIMIT_NPROC, limits.num_processes + _SLACK))
        # The service itself must be able to act while a job takes all it can.
        inner = ["/usr/bin/nice", "-n", "5", *inner]
        return [
            str(self.bwrap),
            "--unshare-all",
            "--unshare-user",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--clearenv",
            *("--hostname", "sandbox", "--uid", "1000", "--gid", "1000"),
            *("--size", str(limits.disk_bytes), "--tmpfs", "/tmp"),
            *("--size", str(limits.disk_bytes), "--tmpfs", _WORK),
            *("--size", str(_CACHE_BYTES), "--tmpfs", "/cache"),
            # Not --dev, whose folder has no limit of size.
            *(word for name in _DEVICES for word in ("--dev-bind", name, name)),
            *self._binds(),
            *("--remount-ro", "/"),
            *("--setenv", "PATH", f"{self.toolchain.bin_dir}:/usr/bin:/bin"),
            *(
                "--setenv",
                "HOME",
                _WORK,
                "--setenv",
                "TMPDIR",
                "/tmp",
                "--setenv",
                "LANG",
                "C.UTF-8",
            ),
            *("--setenv", "LLM_COMPILER_LLVM", str(self.toolchain.bin_dir.parent)),
            *("--setenv", "XDG_CACHE_HOME", "/cache"),
            *("--chdir", _WORK),
            "--",
            *inner,
            *program,
        ]

    def check(self) -> None:
        """See that a job could start, so that the service says at once why none can.

        Raises:
            ToolchainNotFound: with what the system says.
        """
        # `run` bounds processor time by its timeout; a job's own bound must not be above that.
        patience_s = max(60.0, _processor_seconds(self.limits))
        command = self.command([str(which("true") or "true")])
        tried = run(command, timeout_s=patience_s, env={"LANG": "C"})
        if not tried.ok:
            words = tried.stderr_text.strip().splitlines()
            raise ToolchainNotFound(
                f"no job can be started here ({words[-1] if words else 'no message'}): the limits "
                "of this user or the rights of a folder are in the way (docs/service.md)"
            )

    def _binds(self) -> list[str]:
        found: list[str] = []
        for link in ("/bin", "/lib", "/lib64", "/sbin"):
            path = Path(link)
            if path.is_symlink():
                found += ["--symlink", os.readlink(path), link]
            elif path.is_dir():
                found += ["--ro-bind", link, link]
        for folder in dict.fromkeys([*_system_folders(), *self._own_folders()]):
            if folder.exists():
                found += ["--ro-bind", str(folder), str(folder)]
        for folder in self.caches:
            if folder.is_dir():
                found += ["--ro-bind", str(folder), f"/cache/llm-compiler/{folder.name}"]
        return found

    def _own_folders(self) -> list[Path]:
        """Return the toolchain's folder, Python's, and those of the packages on its path."""
        prefix = self.toolchain.bin_dir.parent
        found = [prefix, self.toolchain.libllvm]
        base = Path(sys.base_prefix)
        library = Path(sysconfig.get_paths()["stdlib"])
        found += [library, Path(os.path.realpath(sys.executable))]
        found += sorted((base / "lib").glob("libpython3*.so*"))
        package = Path(__file__).resolve().parent.parent
        for entry in map(Path, sys.path):
            if not entry.is_absolute() or not entry.is_dir() or library in (entry, *entry.parents):
                continue
            # Of a folder of sources only the package; of an environment all that is installed.
            holds_packages = entry.name in ("site-packages", "dist-packages")
            found.append(entry if holds_packages else entry / package.name)
        found.append(package)
        return [path for path in found if Path("/usr") != path]

    async def start(self, program: Sequence[str]) -> Sandboxed:
        """Start a program; the caller ends it (`Sandboxed.kill`)."""
        command = self.command(program)
        group = None
        if self._groups is not None:
            group = self._groups.make(
                num_processes=self.limits.num_processes + _SLACK,
                memory_bytes=self.limits.memory_bytes + 2 * self.limits.disk_bytes,
            )
            command = group.entering(command)
        starting = asyncio.create_task(
            asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                cwd=self.scratch,
                env=child_environment() if self.bwrap is None else {},
                start_new_session=True,
                limit=self.limits.output_bytes,
            )
        )
        try:
            # Cancelled while it connects the pipes, asyncio (3.11 to 3.13) waits for ever for a
            # process that it has killed. So its part, milliseconds, is always carried to its end.
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            if starting.exception() is None:
                await Sandboxed(process=starting.result(), limits=self.limits, group=group).kill()
            elif group is not None:
                group.remove()
            raise
        except BaseException:
            if group is not None:
                group.remove()
            raise
        return Sandboxed(process=process, limits=self.limits, group=group)

    def python(self, module: str) -> list[str]:
        """Return the command that runs ``main()`` of a module of this package inside."""
        _, *rest = python_command(module)
        return [os.path.realpath(sys.executable), *rest]


def _processor_seconds(limits: Limits) -> int:
    """Return what one process of a job may use: two cores for all of its time, and a little."""
    return int(limits.seconds * 2) + 5


def _limit(name: str, number: int, value: int) -> str:
    """Return prlimit's word for a limit; no more than this process may set itself."""
    hard = resource.getrlimit(number)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    return f"--{name}={value}:{value}"


def _system_folders() -> list[Path]:
    """Return where the distribution keeps programs, headers and libraries for compilers."""
    usr = Path("/usr")
    found = [usr / "bin", usr / "include", usr / "lib64", usr / "lib32", usr / "libx32"]
    found += [usr / "lib" / "gcc", usr / "lib" / "gcc-cross", usr / "lib" / "clang"]
    found += [usr / "lib" / "compat-ld", usr / "lib" / "gold-ld", usr / "lib" / "bfd-plugins"]
    found += [*sorted((usr / "lib").glob("*-linux-gnu*")), *sorted(usr.glob("*-linux-gnu*"))]
    found += [Path("/etc/ld.so.cache"), Path("/etc/alternatives")]
    return found


@dataclass(slots=True, kw_only=True)
class Sandboxed:
    """A program that runs in a sandbox. Of one event loop."""

    process: asyncio.subprocess.Process
    limits: Limits
    group: ControlGroup | None = None
    _reason: Refusal | None = None
    _last_words: bytearray = field(default_factory=bytearray)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    peak_bytes: int = 0
    """Of resident memory, as far as the watch saw it."""

    async def ready(self, *, seconds: float) -> None:
        """Return when the program has written its first line, has ended, or took too long.

        What went wrong is found out, and said, by `exchange`.
        """
        assert self.process.stdout is not None
        with contextlib.suppress(TimeoutError, ValueError):
            await asyncio.wait_for(self.process.stdout.readline(), seconds)

    async def exchange(self, request: bytes, *, seconds: float) -> AsyncGenerator[bytes, None]:
        """Send a request and yield the lines of the answer as they come.

        Raises:
            Refusal: the program took more than its limits, or ended badly.
        """
        self._tasks = [
            asyncio.create_task(self._watch(time.monotonic() + seconds, seconds)),
            asyncio.create_task(self._listen()),
        ]
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            with contextlib.suppress(ConnectionError):
                self.process.stdin.write(request)
                await self.process.stdin.drain()
                self.process.stdin.close()
            received = 0
            while True:
                try:
                    line = await self.process.stdout.readline()
                except ValueError:  # longer than the stream's limit
                    line, received = b"", self.limits.output_bytes + 1
                received += len(line)
                if received > self.limits.output_bytes:
                    self._give_up("output", "answers with", self.limits.output_bytes)
                    break
                if not line:
                    break
                yield line
            if self._reason is None:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), 5)
        finally:
            await self.kill()
        if self._reason is not None:
            raise self._reason
        if self.process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL):
            # Nobody here did that.
            raise Refusal("the system ended the job: it needs too much memory", code="memory")
        if status := self.process.returncode:
            words = self._last_words.decode("utf-8", "replace").strip()
            raise LlmCompilerError(f"the job ended with status {status}", detail=words)

    async def kill(self) -> None:
        """End the program and all that it started."""
        for task in self._tasks:
            task.cancel()
        _kill_all(self.process)
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), 5)
        # What is left in the pipes is nobody's.
        transport = getattr(self.process, "_transport", None)
        if transport is not None:
            transport.close()
        if self.group is not None:
            self.group.remove()

    def _give_up(self, code: str, verb: str, limit_bytes: int) -> None:
        self._reason = self._reason or Refusal(
            f"the job was ended: it {verb} more than {limit_bytes // 2**20} MiB", code=code
        )

    async def _listen(self) -> None:
        """Keep the last words on standard error, however many there are."""
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(65536):
            self._last_words += chunk
            del self._last_words[:-_LAST_WORDS_BYTES]

    async def _watch(self, deadline: float, seconds: float) -> None:
        while True:
            if time.monotonic() > deadline:
                self._reason = Refusal(
                    f"the job was ended: it took longer than {seconds:g} s", code="time"
                )
            processes = _tree(self.process.pid)
            resident = sum(_resident_bytes(pid) for pid in processes)
            self.peak_bytes = max(self.peak_bytes, resident)
            if resident > self.limits.memory_bytes:
                self._give_up("memory", "needs", self.limits.memory_bytes)
            if len(processes) > self.limits.num_processes:
                self._reason = self._reason or Refusal(
                    f"the job was ended: it started more than {self.limits.num_processes} "
                    "processes at once",
                    code="processes",
                )
            if self._reason is not None:
                _kill_all(self.process)
                return
            await asyncio.sleep(_POLL_S)


def _kill_all(process: asyncio.subprocess.Process) -> None:
    """Kill a program and its descendants, unless it has ended: its number may be reused."""
    if process.returncode is None:
        for pid in _tree(process.pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _tree(pid: int) -> list[int]:
    """Return a process and all that descend from it; those that end meanwhile may be missing."""
    found = [pid]
    for parent in found:
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
            for task in tasks:
                children = Path(f"/proc/{parent}/task/{task}/children").read_text()
                found += map(int, children.split())
        except (OSError, ValueError):
            continue
        if len(found) > 4096:
            break
    return found


def _resident_bytes(pid: int) -> int:
    """Return the memory that is a process's own: what it shares with its parent counts once."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return max(0, resident - shared) * _PAGE
