"""The client in Python, where the one in C cannot be compiled or started; `client.c` says more.

Slower by the start of an interpreter, and the same otherwise.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import socket
import stat
import struct
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from llm_compiler.cc.protocol import (
    PROTOCOL,
    ClientLost,
    pack_strings,
    receive_frame,
)
from llm_compiler.user_folders import llm_cc_folder

__all__ = ["ClientConfig", "become_clang", "run_client"]

_HEAD = struct.Struct("<IcBBB")
_EXTRA_FD = 9
_SUFFIXES = (".c", ".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP")
_OF_THE_BUILD = ("MAKEFLAGS", "MFLAGS", "LD_PRELOAD", "TMPDIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """What a client of one installation knows."""

    clang: str
    clangxx: str
    key: str
    """Names the server."""
    server: tuple[str, ...]
    """The command that starts it, without its folder and its socket's name."""
    setup: tuple[str, ...]
    stamps: tuple[tuple[str, int, int], ...]
    """Files with their times and sizes: another one is another version."""


def _given(config: ClientConfig, is_cxx: bool, arguments: Sequence[str]) -> list[str]:
    launcher = os.environ.get("LLM_CC_LAUNCHER", "")
    clang = config.clangxx if is_cxx else config.clang
    return [*([launcher] if launcher else []), clang, *arguments]


def become_clang(config: ClientConfig, is_cxx: bool, arguments: Sequence[str]) -> NoReturn:
    """Let clang answer the call as it was made."""
    command = _given(config, is_cxx, arguments)
    os.execvp(command[0], command)


def run_client(config: ClientConfig, is_cxx: bool, arguments: Sequence[str]) -> int:
    """Answer a call; return its exit code, if clang does not take this process's place."""
    is_off = os.environ.get("LLM_CC_DISABLE", "") not in ("", "0")
    asks = any(
        argument == "-x" or argument.startswith("@") or _is_source(argument)
        for argument in arguments
    )
    if is_off or not (asks or os.environ.get("LLM_CC_MODE") == "lto"):
        become_clang(config, is_cxx, arguments)
    client = _Client(config, is_cxx, arguments)
    try:
        client.connect()
        client.obey()
    except (OSError, ClientLost):
        client.give_up()
    return 0  # unreachable: each way ends the process


def _is_source(word: str) -> bool:
    return not word.startswith("-") and os.path.splitext(word)[1] in _SUFFIXES


class _Client:
    def __init__(self, config: ClientConfig, is_cxx: bool, arguments: Sequence[str]) -> None:
        self._config = config
        self._is_cxx = is_cxx
        self._arguments = arguments
        self._given_status: int | None = None
        self._patience_s = float(os.environ.get("LLM_CC_PATIENCE_S") or 30)
        self._socket: socket.socket | None = None
        self._stdin = -1
        """What standard input held, in memory; every program begins to read it anew."""

    def give_up(self) -> NoReturn:
        if self._given_status is not None:
            self._end(self._given_status)
        if self._stdin >= 0:
            os.dup2(self._input(), 0)
        become_clang(self._config, self._is_cxx, self._arguments)

    def _end(self, status: int) -> NoReturn:
        sys.stderr.flush()
        if status < 0:
            signal.signal(-status, signal.SIG_DFL)
            os.kill(os.getpid(), -status)
        os._exit(status)

    def connect(self) -> None:
        """Find the server, or start it.

        Raises:
            OSError: there is none to be had.
        """
        folder = llm_cc_folder(os.environ)
        if folder is None or not folder.is_absolute():
            raise OSError(errno.ENOENT, "no private folder")
        run = folder / "run"
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = run.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o77:
            raise PermissionError(f"{run} is not this user's alone")
        space = os.stat("/proc/self/ns/mnt").st_ino
        name = f"{self._config.key}-{space:x}-{os.stat('/').st_ino:x}"
        end = time.monotonic() + self._patience_s
        started = False
        lock = os.open(run / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while True:
            try:
                self._socket = _connected(run, name)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if started:
                    raise OSError(errno.ECHILD, "the server ended at its start")
                _start_server(self._config, run, name, lock)
                os.close(lock)
                lock = os.open(run / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                started = True
            time.sleep(0.005)
        os.close(lock)
        self._socket.settimeout(self._patience_s)
        environment = [f"{name}={value}" for name, value in os.environ.items()]
        words = [
            PROTOCOL,
            "c++" if self._is_cxx else "c",
            "1" if os.isatty(2) else "0",
            os.getcwd(),
            str(len(self._arguments)),
            *self._arguments,
            *environment,
        ]
        self._send("H", words)

    def _send(self, verb: str, words: Sequence[str], fds: Sequence[int] = ()) -> None:
        assert self._socket is not None
        payload = pack_strings(words)
        socket.send_fds(self._socket, [_HEAD.pack(len(payload), verb.encode(), 0, 0, 0)], fds)
        self._socket.sendall(payload)

    def obey(self) -> None:
        """Do what the server says, until it says that this is all."""
        assert self._socket is not None
        while True:
            verb, words, fds = receive_frame(self._socket)
            fd = fds[0] if fds else -1
            match verb:
                case "K":
                    pass
                case "X":
                    self.give_up()
                case "G":
                    self._run_given(keep=words[0] == "e")
                case "R":
                    self._run_helper(words[0], words[1:])
                case "I":
                    self._keep_stdin()
                case "W":
                    self._send("D", [str(_write_files(words, fd))])
                case "F":
                    self._fetch(words[0])
                case "P":
                    _copy(fd, 2)
                    self._send("D", ["0"])
                case "Q":
                    self._end(
                        self._given_status
                        if words == ["0"] and self._given_status
                        else int(words[0])
                    )
                case _:
                    raise ClientLost(f"it says {verb}")
            if fd >= 0:
                os.close(fd)

    def _run_given(self, *, keep: bool) -> None:
        err = os.memfd_create("stderr") if keep else -1
        command = _given(self._config, self._is_cxx, self._arguments)
        path = shutil.which(command[0]) or command[0]
        status = _spawned(path, command, given_in=self._input(), err=err)
        if err >= 0:
            _copy(err, 2)
        self._given_status = status
        if status < 0:
            self._end(status)
        self._send("D", [str(status)], [err] if err >= 0 else [])

    def _run_helper(self, flags: str, command: Sequence[str]) -> None:
        fds = [os.memfd_create(flag) for flag in flags]
        null = os.open(os.devnull, os.O_RDWR)
        given_in = self._input() if self._stdin >= 0 else null
        out = fds[flags.index("o")] if "o" in flags else null
        extra = fds[flags.index("9")] if "9" in flags else -1
        err = fds[flags.index("e")] if "e" in flags else null
        status = _spawned(command[0], command, given_in=given_in, out=out, err=err, extra=extra)
        self._send("D", [str(status if status >= 0 else 128 - status)], fds)
        for fd in (null, *fds):
            os.close(fd)

    def _keep_stdin(self) -> None:
        self._stdin = os.memfd_create("stdin")
        while data := os.read(0, 1 << 16):
            view = memoryview(data)
            while view:
                view = view[os.write(self._stdin, view) :]
        self._send("D", ["0"], [self._stdin])

    def _input(self) -> int:
        """Return a descriptor that reads what was kept of standard input; -1: nothing was."""
        if self._stdin < 0:
            return -1
        return os.open(f"/proc/self/fd/{self._stdin}", os.O_RDONLY)

    def _fetch(self, path: str) -> None:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._send("D", [str(error.errno)])
            return
        is_plain = stat.S_ISREG(os.fstat(fd).st_mode)
        self._send("D", ["0" if is_plain else str(errno.EINVAL)], [fd] if is_plain else [])
        os.close(fd)


def _connected(run: Path, name: str) -> socket.socket:
    folder = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        made.connect(f"/proc/self/fd/{folder}/{name}")
        peer = made.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", peer)[1] != os.geteuid():
            raise PermissionError("another user's server")
    except OSError:
        made.close()
        raise
    finally:
        os.close(folder)
    return made


def _start_server(config: ClientConfig, run: Path, name: str, lock: int) -> None:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    try:
        null = os.open(os.devnull, os.O_RDWR)
        log = os.open(run / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # The lock's number may be one of those that are given away first.
        held = os.dup(lock)
        for target, source in ((0, null), (1, null), (2, log), (3, held)):
            os.dup2(source, target)
        os.closerange(4, 4096)
        os.chdir("/")
        for variable in _OF_THE_BUILD:
            os.environ.pop(variable, None)
        os.execv(config.server[0], [*config.server, str(run), name])
    finally:
        os._exit(1)


def _spawned(
    path: str,
    command: Sequence[str],
    *,
    given_in: int = -1,
    out: int = -1,
    err: int = -1,
    extra: int = -1,
) -> int:
    """Run a program to its end with some of our streams replaced; return its status."""
    pairs = [(given_in, 0), (out, 1), (err, 2), (extra, _EXTRA_FD)]
    actions = [(os.POSIX_SPAWN_DUP2, ours, its) for ours, its in pairs if ours >= 0]
    try:
        child = os.posix_spawn(path, list(command), os.environ, file_actions=actions)
    except OSError:
        return 127
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _copy(source: int, target: int, start: int = 0, end: int | None = None) -> None:
    at = start
    while data := os.pread(source, 1 << 16 if end is None else min(1 << 16, end - at), at):
        at += len(data)
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]


def _write_files(words: Sequence[str], source: int) -> int:
    """Write files as clang does, each from its part of one; return an errno, 0 where all are there.

    Args:
        words: path, ``x`` or ``-``, and size of each.
    """
    written: list[tuple[str, str]] = []
    at = 0
    try:
        for path, kind, size in zip(words[::3], words[1::3], words[2::3], strict=True):
            new = f"{path}.llm-cc-{os.getpid()}"
            _check_place(path)
            mode = 0o777 if kind == "x" else 0o666
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            written.append((new, path))
            try:
                _copy(source, fd, at, at + int(size))
            finally:
                os.close(fd)
            at += int(size)
        while written:
            os.replace(*written[0])
            del written[0]
    except OSError as error:
        for new, _ in written:
            with contextlib.suppress(OSError):
                os.unlink(new)
        return error.errno or errno.EIO
    return 0


def _check_place(path: str) -> None:
    """Look whether clang would put a file there in the place of another.

    Raises:
        OSError: it would not.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no plain file")
    if not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, "not writable")
