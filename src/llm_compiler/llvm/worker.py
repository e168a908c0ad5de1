"""The child processes in which LLVM runs, and the zygote that makes them.

The zygote is an isolated Python (`isolation.python_command`): it loads libLLVM once and forks a
worker for each request on its control socket, so that a dead worker is replaced in milliseconds. A
worker reads (ticket, job, first step) from its socket and answers one message a step. When the
control socket closes, the zygote and all its workers die. The messages are pickles, between
processes of ours only. Single-threaded on purpose: it forks.

Control messages to the zygote: ``b"F" + memory limit`` with the worker's socket and its standard
error as file descriptors; ``b"K" + pid``. From it: ``(pid, None)`` for a new worker, ``(pid,
wait status)`` for a dead one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
from multiprocessing.connection import Connection

__all__ = ["BEGUN", "DONE", "STACK_BYTES", "serve", "zygote"]

DONE, BEGUN = -1, -2
"""In place of a step: the job is finished; the job was read and is begun."""

STACK_BYTES = 256 * 1024 * 1024
"""LLVM recurses over nested code; the default of 8 MB ends a worker on deep expressions."""
_PR_SET_PDEATHSIG = 1


def serve(connection: Connection) -> None:
    """Carry out jobs until the other end closes."""
    from llm_compiler.llvm.module_jobs import WorkerState

    state = WorkerState()
    connection.send("ready")
    while True:
        try:
            ticket, job, first_step = connection.recv()
        except (EOFError, OSError):
            return
        step = first_step
        connection.send((ticket, BEGUN, None, None))
        try:
            for result in job.run(state, first_step):
                connection.send((ticket, step, result, None))
                step += 1
        except MemoryError:
            print("LLVM ERROR: out of memory (Python)", file=sys.stderr, flush=True)
            os._exit(70)
        except Exception as error:
            connection.send((ticket, step, None, error))
        connection.send((ticket, DONE, None, None))


def _be_worker(data_fd: int, stderr_fd: int, memory_limit_bytes: int, control_fd: int) -> None:
    """Turn this fresh fork into a worker; never returns."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for name in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(name, signal.SIG_DFL)
        # A terminal's Ctrl-C is the front's business.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        os.close(control_fd)
        os.dup2(stderr_fd, 1)
        os.dup2(stderr_fd, 2)
        os.close(stderr_fd)
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        faulthandler.enable(all_threads=False)
        limits = (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, memory_limit_bytes),
            (resource.RLIMIT_STACK, STACK_BYTES),
        )
        for limit, wanted in limits:
            _, hard = resource.getrlimit(limit)
            soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(limit, (soft, hard))
        serve(Connection(data_fd))
        status = 0
    except BaseException as error:
        os.write(2, f"worker: {error!r}\n".encode())
    finally:
        os._exit(status)


def zygote(control: socket.socket) -> None:
    """Fork workers on request and report their deaths, until the control socket closes."""
    children: set[int] = set()
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select([control.fileno(), read_end], [], [])
        if read_end in ready:
            os.read(read_end, 4096)
            for pid in list(children):
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    children.discard(pid)
                    control.send(pickle.dumps((pid, status)))
        if control.fileno() in ready:
            message, fds, _, _ = socket.recv_fds(control, 64, 2)
            if not message:
                break
            if message[:1] == b"F":
                (memory_limit_bytes,) = struct.unpack("<q", message[1:])
                pid = os.fork()
                if pid == 0:
                    os.close(read_end)
                    os.close(write_end)
                    _be_worker(fds[0], fds[1], memory_limit_bytes, control.fileno())
                children.add(pid)
                for fd in fds:
                    os.close(fd)
                control.send(pickle.dumps((pid, None)))
            elif message[:1] == b"K":
                (pid,) = struct.unpack("<q", message[1:])
                if pid in children:
                    os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    """Load libLLVM and be a zygote on the file descriptor given as the only argument."""
    control = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    from llm_compiler.errors import LlmCompilerError
    from llm_compiler.llvm import capi, module_jobs, targets  # noqa: F401  # workers find it

    try:
        library = capi.load()
        for target in targets.lifted_targets():
            library.initialize_target(target.triple)
    except LlmCompilerError as error:
        control.send(pickle.dumps(error))
        return
    control.send(pickle.dumps(None))
    zygote(control)


if __name__ == "__main__":
    main()
