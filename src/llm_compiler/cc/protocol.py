"""What travels between a client and the server, and the server's end of it.

A frame is a length of four bytes (little-endian), a verb, three zeros, and texts that end with a
zero byte each; descriptors travel with its head. The client begins with ``H``; then the server
asks, one thing at a time, and the client answers each with ``D`` and a status:

====  ===================================  ====================================================
verb  what the client is to do             its answer
====  ===================================  ====================================================
G     run clang as the user called it      its exit status, and what it printed if that was kept
R     run a helper program                 its exit status, and its output in memory
I     keep what standard input holds       an errno, and the descriptor
F     open a file                          an errno, and the descriptor
W     write files, all or none             an errno
P     print to standard error              0
X     become clang as the user called it   none: the connection ends
Q     end with a status                    none
K     nothing: the server lives            none
====  ===================================  ====================================================

Safe for one thread that talks and another that sends ``K``.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PROTOCOL", "Call", "ClientLost", "Connection", "pack_strings", "receive_frame"]

PROTOCOL = "llm-cc 3"
_HEAD = struct.Struct("<IcBBB")
_MAX_FRAME_BYTES = 64 << 20
_EXTRA_FD = 9
"""Where a helper program finds a file in memory that it can write to, as ``/proc/self/fd/9``."""

EXTRA_FILE = f"/proc/self/fd/{_EXTRA_FD}"


class ClientLost(Exception):
    """The client went away, or does not keep to the protocol; its build does not wait for us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of ``llm-cc``."""

    is_cxx: bool
    is_terminal: bool
    """Whether diagnostics go to a terminal."""
    folder: Path
    arguments: tuple[str, ...]
    environment: dict[str, str] = field(repr=False)


def pack_strings(words: Sequence[str]) -> bytes:
    """Return texts as a frame holds them."""
    return b"".join(os.fsencode(word) + b"\0" for word in words)


def receive_frame(sock: socket.socket) -> tuple[str, list[str], list[int]]:
    """Return the next frame's verb, texts and descriptors; the caller owns the descriptors.

    Raises:
        ClientLost: the other end is gone, or sends something else.
    """
    fds: list[int] = []
    try:
        head = b""
        while len(head) < _HEAD.size:
            data, more, _, _ = socket.recv_fds(sock, _HEAD.size - len(head), 4)
            fds += more
            if not data:
                raise ClientLost("the other end is gone")
            head += data
        size, verb, *_ = _HEAD.unpack(head)
        if size > _MAX_FRAME_BYTES:
            raise ClientLost(f"a frame of {size} bytes")
        payload = bytearray(size)
        view = memoryview(payload)
        while view:
            got = sock.recv_into(view)
            if not got:
                raise ClientLost("the other end is gone")
            view = view[got:]
    except (OSError, ClientLost) as error:
        for fd in fds:
            os.close(fd)
        raise ClientLost(str(error)) from error
    words = [os.fsdecode(word) for word in bytes(payload).split(b"\0")[:-1]]
    return verb.decode("latin-1"), words, fds


def contents_of(fd: int) -> bytes:
    """Return what a descriptor's file holds, from its beginning, and close it."""
    try:
        size = os.fstat(fd).st_size
        if not size:
            return b""
        with mmap.mmap(fd, size, access=mmap.ACCESS_READ) as mapped:
            return mapped[:]
    finally:
        os.close(fd)


def memory_file(data: bytes) -> int:
    """Return a descriptor of a file in memory; the caller closes it."""
    fd = os.memfd_create("llm-cc")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        os.close(fd)
        raise
    return fd


class Connection:
    """The server's end of a call."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._sending = threading.Lock()
        self.lost = threading.Event()
        """The client is gone: nobody waits for what is being done."""

    def receive_call(self) -> Call:
        """Return what the client begins with.

        Raises:
            ClientLost: it speaks another protocol.
        """
        verb, words, fds = receive_frame(self._socket)
        for fd in fds:
            os.close(fd)
        if verb != "H" or len(words) < 5 or words[0] != PROTOCOL or not words[4].isdecimal():
            raise ClientLost(f"it begins with {verb} {words[:1]}")
        count = int(words[4])
        pairs = (word.partition("=") for word in words[5 + count :])
        return Call(
            is_cxx=words[1] == "c++",
            is_terminal=words[2] == "1",
            folder=Path(words[3]),
            arguments=tuple(words[5 : 5 + count]),
            environment={name: value for name, _, value in pairs},
        )

    def run_given(self, *, keep_errors: bool) -> tuple[int, bytes]:
        """Run clang as the user called it; return its exit status, and what it printed if kept."""
        status, fds = self._ask("G", ["e" if keep_errors else "-"])
        return status, contents_of(fds[0]) if fds else b""

    def keep_stdin(self) -> bytes | None:
        """Let all programs that follow read what standard input holds now; return it."""
        status, fds = self._ask("I", [])
        return contents_of(fds[0]) if fds and status == 0 else None

    def run_helper(
        self, command: Sequence[str], *, with_extra: bool = False
    ) -> tuple[int, bytes, bytes, bytes]:
        """Run a program; it reads what was kept of standard input, or nothing.

        Returns:
            Its exit status, its output, what it wrote to EXTRA_FILE, and what it complained of.
        """
        status, fds = self._ask("R", ["o9e" if with_extra else "oe", *command])
        found = [contents_of(fd) for fd in fds]
        if len(found) != 2 + with_extra:
            raise ClientLost(f"it answers with {len(found)} files")
        return status, found[0], found[1] if with_extra else b"", found[-1]

    def fetch(self, path: str) -> bytes | None:
        """Return a plain file of the client's; None where there is none."""
        status, fds = self._ask("F", [path])
        return contents_of(fds[0]) if fds and status == 0 else None

    def write(self, path: str, data: bytes, *, executable: bool = False) -> int:
        """Write a file for the client; return an errno, 0 where it is there."""
        return self._write((path, "x" if executable else "-", str(len(data))), data)

    def write_all(self, files: Mapping[str, bytes]) -> int:
        """Write files that belong together; return an errno, 0 where all are there."""
        words = [word for path, data in files.items() for word in (path, "-", str(len(data)))]
        return self._write(words, b"".join(files.values()))

    def _write(self, words: Sequence[str], data: bytes) -> int:
        fd = memory_file(data)
        try:
            return self._ask("W", words, fd)[0]
        finally:
            os.close(fd)

    def print_error(self, data: bytes) -> None:
        """Print to the client's standard error."""
        fd = memory_file(data)
        try:
            self._ask("P", [], fd)
        finally:
            os.close(fd)

    def exec_given(self) -> None:
        """Let clang answer the call as the user made it."""
        self._send("X", [])

    def quit(self, status: int) -> None:
        """Let the client end."""
        self._send("Q", [str(status)])

    def keep_alive(self) -> None:
        """Say that the server lives; notes if the client does not."""
        if self._sending.acquire(blocking=False):
            try:
                self._socket.send(_HEAD.pack(0, b"K", 0, 0, 0), socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                self.lost.set()
            finally:
                self._sending.release()

    def close(self) -> None:
        """End the connection; closing twice does nothing."""
        self._socket.close()

    def _send(self, verb: str, words: Sequence[str], fd: int = -1) -> None:
        payload = pack_strings(words)
        head = _HEAD.pack(len(payload), verb.encode(), 0, 0, 0)
        try:
            with self._sending:
                if fd >= 0:
                    socket.send_fds(self._socket, [head], [fd])
                    self._socket.sendall(payload)
                else:
                    self._socket.sendall(head + payload)
        except OSError as error:
            self.lost.set()
            raise ClientLost(str(error)) from error

    def _ask(self, verb: str, words: Sequence[str], fd: int = -1) -> tuple[int, list[int]]:
        self._send(verb, words, fd)
        try:
            answer, texts, fds = receive_frame(self._socket)
        except ClientLost:
            self.lost.set()
            raise
        if answer != "D" or len(texts) != 1 or not texts[0].isdecimal():
            for index in fds:
                os.close(index)
            raise ClientLost(f"it answers {answer} {texts[:1]}")
        return int(texts[0]), fds
