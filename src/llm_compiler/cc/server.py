"""The server of ``llm-cc``: holds what takes long to load, answers calls, ends when idle.

Started by the first client (`client.c`), one for each user, toolchain and version of this package.
Its socket lies in a folder that only the user can enter. It owns nothing that a call needs to end
well: killed, hung or replaced, clang's own objects stand.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import selectors
import shutil
import signal
import socket
import stat
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from llm_compiler import __version__
from llm_compiler.cc.cache import Cache
from llm_compiler.cc.driver import Driver
from llm_compiler.cc.fast import FAST_LISTS
from llm_compiler.cc.improve import Workshop
from llm_compiler.cc.memory import children_of, private_bytes
from llm_compiler.cc.protocol import ClientLost, Connection
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run
from llm_compiler.size_report.journal import Journal

__all__ = ["Server", "identity_of", "main"]

_LOCK_FD = 3
"""What the client that started us holds others back with, until we listen."""
_TICK_S = 1.0
_BACKLOG = 256
_MAX_LOG_BYTES = 4 << 20
_CREDENTIALS = struct.Struct("3i")


def main() -> None:
    """Serve until idle: ``server FOLDER SOCKET-NAME``, as the client calls it."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    os.umask(0o077)
    _drop_old_log(folder)
    idle_s = _number("LLM_CC_IDLE_S", 600)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(listen(folder, name))
        with contextlib.suppress(OSError):
            os.close(_LOCK_FD)
        scratch = stack.enter_context(_scratch(folder.parent))
        toolchain = find_toolchain()
        workshop = stack.enter_context(Workshop(toolchain, scratch))
        cache = stack.enter_context(Cache(folder.parent / "cache"))
        driver = Driver(
            toolchain=toolchain,
            identity=identity_of(toolchain),
            workshop=workshop,
            cache=cache,
            journal=Journal(folder.parent / "journal.jsonl"),
            scratch=scratch,
        )
        server = Server(
            listener,
            folder / name,
            driver,
            idle_s=idle_s,
            memory_bytes=int(_number("LLM_CC_MEMORY_MB", 2048)) << 20,
            retire=workshop.retire,
        )
        signal.signal(signal.SIGTERM, lambda number, frame: server.stop())
        server.serve()


def _number(variable: str, default: float) -> float:
    """Return what a variable says; the default where that is no number, since builds go on."""
    try:
        return max(0.0, float(os.environ.get(variable) or default))
    except ValueError:
        return default


def listen(folder: Path, name: str) -> socket.socket:
    """Return a socket that listens under a name, in the place of whoever did before.

    Raises:
        PermissionError: others can enter the folder, or own it.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        new = f".{name}.{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=fd)
        listener.bind(f"/proc/self/fd/{fd}/{new}")
        listener.listen(_BACKLOG)
        os.rename(new, name, src_dir_fd=fd, dst_dir_fd=fd)
    except BaseException:
        listener.close()
        raise
    finally:
        os.close(fd)
    return listener


class Server:
    """Answers calls, each in a thread: as many at once as clients wait, which make decides.

    Args:
        path: the socket's; a server that is no longer found there ends when it is at rest.
        memory_bytes: workers that hold more are replaced; a server that itself holds more lets the
            next call start another, and ends.
        retire: replaces the workers.
    """

    def __init__(
        self,
        listener: socket.socket,
        path: Path,
        driver: Driver,
        *,
        idle_s: float,
        memory_bytes: int,
        retire: Callable[[], None],
    ) -> None:
        self._listener = listener
        self._path = path
        self._inode = path.stat().st_ino
        self._driver = driver
        self._idle_s = idle_s
        self._memory_bytes = memory_bytes
        self._retire = retire
        self._has_worked = False
        """Since memory was looked at."""
        self._open: set[Connection] = set()
        self._turn = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    def serve(self) -> None:
        """Answer calls until nobody has asked for `idle_s`, or another took the socket's place."""
        last = time.monotonic()
        threading.Thread(target=self._keep_alive, daemon=True, name="alive").start()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if selector.select(_TICK_S):
                    last = time.monotonic()
                    self._accept()
                    continue
                with self._turn:
                    is_busy = bool(self._open)
                if is_busy:
                    last = time.monotonic()
                elif not self._is_found() or time.monotonic() - last > self._idle_s:
                    break
        if self._is_found():
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._stopping.set()
        # Who asked in the last moment gets an answer: clang's own.
        self._listener.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                self._listener.accept()[0].close()

    def _is_found(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except OSError:
            return False

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            time.sleep(0.05)  # no descriptors are left: wait for some to be closed
            return
        peer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        if _CREDENTIALS.unpack(peer)[1] != os.geteuid():
            sock.close()
            return
        connection = Connection(sock)
        with self._turn:
            self._open.add(connection)
            self._has_worked = True
        threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        try:
            self._driver.answer(connection.receive_call(), connection)
        except ClientLost:
            pass
        except Exception:
            # The client sees the end of the connection, and clang's own object stands.
            traceback.print_exc()
        finally:
            with self._turn:
                self._open.discard(connection)
            connection.close()

    def _keep_alive(self) -> None:
        while not self._stopping.wait(_TICK_S):
            with self._turn:
                connections = list(self._open)
            for connection in connections:
                connection.keep_alive()
            if self._has_worked:
                self._has_worked = bool(connections)
                self._bound_memory()

    def _bound_memory(self) -> None:
        own = os.getpid()
        if sum(map(private_bytes, children_of(own))) > self._memory_bytes:
            self._retire()
        if private_bytes(own) > self._memory_bytes:
            with contextlib.suppress(OSError):
                if self._is_found():
                    self._path.unlink()


def identity_of(toolchain: Toolchain) -> str:
    """Return what names the toolchain, the recipes with their verdicts, and the model."""
    digest = hashlib.blake2b(digest_size=16)
    done = run([toolchain.tool("clang"), "--version"], timeout_s=30)
    # With a configuration file, clang does more than its arguments say; it names them here.
    text = done.stdout.decode("utf-8", "replace")
    digest.update(f"{__version__}\0{toolchain.version}\0".encode())
    for line in text.splitlines():
        if line.startswith("Configuration file:"):
            digest.update(Path(line.partition(":")[2].strip()).read_bytes())
        elif not line.startswith("InstalledDir:"):
            digest.update(line.encode() + b"\0")
    digest.update("\0".join(FAST_LISTS).encode())
    for name in _data_files(Path(str(resources.files("llm_compiler"))) / "data"):
        digest.update(name.read_bytes())
    return digest.hexdigest()


def _data_files(folder: Path) -> list[Path]:
    found = [folder / "coreset.json", folder / "verdicts.jsonl", *(folder / "model").glob("*")]
    return sorted(path for path in found if path.is_file())


@contextlib.contextmanager
def _scratch(folder: Path):  # type: ignore[no-untyped-def]
    """Make a folder for temporary files; remove it, and those of servers that were killed."""
    parent = folder / "tmp"
    parent.mkdir(exist_ok=True, mode=0o700)
    for old in parent.iterdir():
        if old.name.isdecimal() and not Path(f"/proc/{old.name}").exists():
            shutil.rmtree(old, ignore_errors=True)
    mine = parent / str(os.getpid())
    shutil.rmtree(mine, ignore_errors=True)
    mine.mkdir(mode=0o700)
    os.environ["TMPDIR"] = str(mine)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)


def _drop_old_log(folder: Path) -> None:
    path = folder / "server.log"
    with contextlib.suppress(OSError):
        if path.stat().st_size > _MAX_LOG_BYTES:
            os.truncate(path, 0)
