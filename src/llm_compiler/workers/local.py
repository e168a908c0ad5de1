"""A pool of worker processes on this machine.

Each worker is a fork of a zygote that has libLLVM loaded (`llvm.worker`). The pool gives a step its
job's time limit, kills a worker that exceeds it, and replaces every worker that dies; the job goes
on after the step that it died in.

Threads may share a pool. One of those that wait for results reads them from the workers, for all;
when one of its own has come, another takes its place. The pool is closed when all are at rest.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from llm_compiler.closing import Closing
from llm_compiler.errors import LlmCompilerError, WorkerLost
from llm_compiler.isolation import python_command
from llm_compiler.llvm.module_jobs import Job
from llm_compiler.llvm.worker import BEGUN
from llm_compiler.process import spawn
from llm_compiler.records import Status
from llm_compiler.signals import when_overdue
from llm_compiler.workers.pool import PoolInterrupted, StepResult

__all__ = ["DEFAULT_MEMORY_LIMIT_BYTES", "LocalPool"]

DEFAULT_MEMORY_LIMIT_BYTES = 4 * 1024**3
_START_TIMEOUT_S = 60.0
_MAX_TRIES = 3
"""How often a step is given to a worker that something outside kills before or in it."""
_LAST_WORDS_BYTES = 4000


@dataclass(slots=True)
class _Inbox:
    """What one thread waits for."""

    results: deque[StepResult] = field(default_factory=deque)
    num_open: int = 0
    """Jobs that it submitted and that have not ended."""
    interrupted: bool = False


@dataclass(slots=True)
class _Assignment:
    ticket: int
    job: Job
    inbox: _Inbox
    next_step: int = 0
    begun: bool = False
    """The worker said that it has read the job."""
    num_killed: int = 0
    """Workers killed from outside at the step at hand."""


@dataclass(slots=True)
class _Worker:
    pid: int
    connection: Connection
    stderr_fd: int
    current: _Assignment | None = None
    started: float = 0.0
    timed_out: bool = False
    affinities: deque[str] = field(default_factory=lambda: deque(maxlen=6))


_pools: weakref.WeakSet[LocalPool] = weakref.WeakSet()


def _interrupt_all() -> None:
    for pool in list(_pools):
        pool.interrupt()


when_overdue(_interrupt_all)


class LocalPool(Closing):
    """Worker processes on this machine; a context manager.

    Args:
        num_workers: default: the number of usable processors.
        memory_limit_bytes: cap on a worker's address space.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        *,
        memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES,
    ) -> None:
        self._num_workers = num_workers or len(os.sched_getaffinity(0))
        self._memory_limit_bytes = memory_limit_bytes
        self._queue: deque[_Assignment] = deque()
        self._workers: list[_Worker] = []
        self._deaths: dict[int, int] = {}
        self._next_ticket = 0
        self._threads = threading.local()
        self._state = threading.Condition(threading.RLock())
        self._has_reader = False
        self._wake_fd = -1
        """Written to when a reader that waits for the workers should look at the queue again."""
        _pools.add(self)
        self._control: socket.socket | None = None
        self._zygote: subprocess.Popen[bytes] | None = None

    @property
    def num_workers(self) -> int:
        """How many steps run at the same time."""
        return self._num_workers

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the living workers."""
        return tuple(worker.pid for worker in self._workers)

    # -- life and death of processes -----------------------------------------------------------

    def _start_zygote(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_TIMEOUT_S)
        arguments = python_command("llm_compiler.llvm.worker", str(theirs.fileno()))
        self._zygote = spawn(arguments, pass_fds=(theirs.fileno(),))
        theirs.close()
        self._control = ours
        try:
            answer = ours.recv(65536)
        except TimeoutError:
            self.close()
            raise WorkerLost(
                f"the worker server did not start in {_START_TIMEOUT_S:.0f} s"
            ) from None
        if not answer:
            self.close()
            raise WorkerLost(
                "the worker server ended at once: does 'python -m llm_compiler doctor' run?"
            )
        error = pickle.loads(answer)
        if isinstance(error, LlmCompilerError):
            self.close()
            raise error
        return ours

    def _control_message(self) -> Any:
        assert self._control is not None
        try:
            data = self._control.recv(4096)
        except (TimeoutError, OSError):
            data = b""
        if not data:
            raise WorkerLost("the worker server died; run the command again")
        return pickle.loads(data)

    def _spawn_worker(self) -> _Worker:
        control = self._control or self._start_zygote()
        ours, theirs = socket.socketpair()
        stderr_fd = os.memfd_create("worker-stderr")
        try:
            request = b"F" + struct.pack("<q", self._memory_limit_bytes)
            socket.send_fds(control, [request], [theirs.fileno(), stderr_fd])
        except OSError as error:
            ours.close()
            os.close(stderr_fd)
            raise WorkerLost(f"the worker server is gone: {error}") from error
        finally:
            theirs.close()
        while True:
            pid, status = self._control_message()
            if status is None:
                break
            self._deaths[pid] = status
        worker = _Worker(pid=pid, connection=Connection(ours.detach()), stderr_fd=stderr_fd)
        self._workers.append(worker)
        try:
            if not worker.connection.poll(_START_TIMEOUT_S):
                raise WorkerLost(f"a worker did not start in {_START_TIMEOUT_S:.0f} s")
            worker.connection.recv()
        except (EOFError, OSError):
            _, words = self._bury(worker)
            raise WorkerLost(f"a worker died at its start: {words.strip()[:300]}") from None
        return worker

    def _bury(self, worker: _Worker) -> tuple[int, str]:
        """Forget a dead worker; return its wait status and its last words."""
        while worker.pid not in self._deaths:
            pid, status = self._control_message()
            self._deaths[pid] = status
        status = self._deaths.pop(worker.pid)
        size = os.fstat(worker.stderr_fd).st_size
        words = os.pread(worker.stderr_fd, _LAST_WORDS_BYTES, max(0, size - _LAST_WORDS_BYTES))
        os.close(worker.stderr_fd)
        worker.connection.close()
        worker.current = None
        self._workers.remove(worker)
        return status, words.decode("utf-8", "replace")

    def _kill(self, worker: _Worker) -> None:
        assert self._control is not None
        with contextlib.suppress(OSError):
            self._control.send(b"K" + struct.pack("<q", worker.pid))

    # -- jobs ------------------------------------------------------------------------------------

    def submit(self, job: Job) -> int:
        """Queue a job and return its ticket."""
        inbox = self._inbox()
        with self._state:
            ticket = self._next_ticket
            self._next_ticket += 1
            inbox.num_open += 1
            inbox.interrupted = False
            self._queue.append(_Assignment(ticket, job, inbox))
            self._wake_reader()
        return ticket

    def results(self) -> Iterator[StepResult]:
        """Yield results until nothing that this thread submitted is left.

        Raises:
            WorkerLost: the zygote or worker after worker dies without a job at hand.
            PoolInterrupted: see `interrupt`.
        """
        inbox = self._inbox()
        while True:
            with self._state:
                while self._has_reader and inbox.num_open and not inbox.results:
                    self._state.wait()
                if inbox.interrupted:
                    inbox.interrupted = False
                    raise PoolInterrupted
                if not inbox.results:
                    if not inbox.num_open:
                        return
                    self._has_reader = True
            if inbox.results:
                yield inbox.results.popleft()
                continue
            try:
                self._read()
            finally:
                with self._state:
                    self._has_reader = False
                    self._state.notify_all()

    def _inbox(self) -> _Inbox:
        if not hasattr(self._threads, "inbox"):
            self._threads.inbox = _Inbox()
        found: _Inbox = self._threads.inbox
        return found

    def _read(self) -> None:
        """Hand out jobs, wait until a worker answers or is too late, and deliver what there is."""
        with self._state:
            self._assign()
        for worker in self._ready_workers():
            with self._state:
                # Unless `interrupt` has ended it meanwhile.
                if worker.current is not None and worker in self._workers:
                    self._receive(worker)
        with self._state:
            self._expire()

    def _deliver(self, assignment: _Assignment, result: StepResult) -> None:
        assignment.inbox.results.append(result)
        if result.last:
            assignment.inbox.num_open -= 1

    def _wake_reader(self) -> None:
        if self._has_reader and self._wake_fd >= 0:
            os.eventfd_write(self._wake_fd, 1)

    def interrupt(self) -> None:
        """Drop all work, of every thread, at once; whoever waits for results learns of it.

        The pool can be used again.
        """
        with self._state:
            dropped = [*self._queue, *(w.current for w in self._workers if w.current)]
            self._queue.clear()
            for worker in [each_worker for each_worker in self._workers if each_worker.current]:
                self._kill(worker)
                self._bury(worker)
            for inbox in (assignment.inbox for assignment in dropped):
                inbox.results.clear()
                inbox.num_open, inbox.interrupted = 0, True
            self._wake_reader()
            self._state.notify_all()

    def _assign(self) -> None:
        while self._queue:
            idle = [worker for worker in self._workers if worker.current is None]
            if not idle:
                if len(self._workers) >= self._num_workers:
                    return
                idle = [self._spawn_worker()]
            worker, assignment = self._match(idle)
            self._queue.remove(assignment)
            worker.current = assignment
            assignment.begun = False
            worker.started = time.monotonic()
            affinity = assignment.job.affinity
            if affinity and affinity not in worker.affinities:
                worker.affinities.append(affinity)
            # A worker that died meanwhile shows as end of file in `results`.
            with contextlib.suppress(OSError):
                worker.connection.send((assignment.ticket, assignment.job, assignment.next_step))

    def _match(self, idle: list[_Worker]) -> tuple[_Worker, _Assignment]:
        """Prefer a job whose module an idle worker knows, then one that no other worker knows."""
        candidates = list(self._queue)[:64]
        for assignment in candidates:
            for worker in idle:
                if assignment.job.affinity and assignment.job.affinity in worker.affinities:
                    return worker, assignment
        taken = {name for worker in self._workers for name in worker.affinities}
        for assignment in candidates:
            if assignment.job.affinity not in taken:
                return idle[0], assignment
        return idle[0], candidates[0]

    def _ready_workers(self) -> list[_Worker]:
        with self._state:
            busy = [worker for worker in self._workers if worker.current]
            if not busy:
                return []
            if self._wake_fd < 0:
                self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            deadline = min(w.started + w.current.job.timeout_s for w in busy if w.current)
        waited = max(0.0, deadline - time.monotonic())
        ready = wait([self._wake_fd, *(worker.connection for worker in busy)], timeout=waited)
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
        return [worker for worker in busy if worker.connection in ready]

    def _receive(self, worker: _Worker) -> None:
        assignment = worker.current
        assert assignment is not None
        try:
            ticket, step, value, error = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            # Cut off in the middle of a message, or before one.
            self._died(worker)
            return
        assert ticket == assignment.ticket
        worker.started = time.monotonic()
        if step == BEGUN:
            assignment.begun = True
            return
        assignment.num_killed = 0
        if step < 0:
            worker.current = None
            self._end(assignment)
            return
        assignment.next_step = step + 1
        result = StepResult(ticket=ticket, step=step, value=value, last=False, error=error)
        self._deliver(assignment, result)

    def _end(self, assignment: _Assignment) -> None:
        last = StepResult(ticket=assignment.ticket, step=-1, value=None, last=True)
        self._deliver(assignment, last)

    def _expire(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.current and now > worker.started + worker.current.job.timeout_s:
                if worker.connection.poll():
                    continue  # it answered just now
                worker.timed_out = True
                self._kill(worker)
                self._died(worker)

    def _died(self, worker: _Worker) -> None:
        assignment = worker.current
        assert assignment is not None
        seconds = time.monotonic() - worker.started
        wait_status, words = self._bury(worker)
        status, detail = _cause(wait_status, words, worker.timed_out, assignment.job.timeout_s)
        step = assignment.next_step
        if step >= assignment.job.num_steps:
            # Died after its last step (freeing memory): nothing is lost.
            self._end(assignment)
            return
        killed = os.WIFSIGNALED(wait_status) and os.WTERMSIG(wait_status) == signal.SIGKILL
        if not worker.timed_out and (killed or not assignment.begun):
            # Not this step's fault, as far as one can know: somebody killed the worker, or it was
            # dead before it read the job.
            assignment.num_killed += 1
            if assignment.num_killed < _MAX_TRIES:
                self._queue.appendleft(assignment)
                return
        value = assignment.job.failed(step, status, detail, seconds)
        assignment.next_step = step + 1
        found = StepResult(ticket=assignment.ticket, step=step, value=value, last=False)
        self._deliver(assignment, found)
        if assignment.next_step < assignment.job.num_steps:
            self._queue.appendleft(assignment)
        else:
            self._end(assignment)

    def close(self) -> None:
        """End all workers and the zygote; closing twice does nothing."""
        if self._wake_fd >= 0:
            os.close(self._wake_fd)
            self._wake_fd = -1
        for worker in self._workers:
            worker.connection.close()
            os.close(worker.stderr_fd)
        self._workers.clear()
        self._queue.clear()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._zygote.wait(timeout=10)
            if self._zygote.poll() is None:
                self._zygote.kill()
                self._zygote.wait()
            self._zygote = None


# What Python's fault handler and LLVM's own write around the line that tells something.
_NOISE = ("Fatal Python error", "  File", "Current thread", "Stack dump", "PLEASE submit")
_OUT_OF_MEMORY_WORDS = ("out of memory", "bad_alloc", "Cannot allocate memory", "MemoryError")


def _cause(wait_status: int, words: str, timed_out: bool, timeout_s: float) -> tuple[Status, str]:
    """Say what a worker died of, from its wait status and what it wrote to standard error."""
    if timed_out:
        return Status.TIMED_OUT, f"no answer within {timeout_s:g} s"
    if any(word in words for word in _OUT_OF_MEMORY_WORDS):
        return Status.OUT_OF_MEMORY, "the memory limit of the worker was reached"
    lines = [line for line in words.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_NOISE)]
    said = telling[0][:500] if telling else ""
    if os.WIFSIGNALED(wait_status):
        number = os.WTERMSIG(wait_status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return Status.CRASHED, f"{name}" + (f": {said}" if said else "")
    return Status.CRASHED, f"exit code {os.waitstatus_to_exitcode(wait_status)}: {said}"
