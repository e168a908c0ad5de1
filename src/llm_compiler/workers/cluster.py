"""A pool over the nodes of a cluster: which node gets which job, and what a lost node means.

Knows no cluster: what there is of nodes, and how a job gets there, is a `Cluster` (`ray_pool` has
Ray's). A job goes to a node that has its module; a node has a bounded number of open jobs, so that
what is queued stays here and goes to whoever is free first. The steps of a job are delivered when
the job is whole. So a job on a node that is lost runs again elsewhere, and each result comes once.

Threads may share the pool; a thread of its own hands out the jobs.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llm_compiler.closing import Closing
from llm_compiler.errors import LlmCompilerError, ToolchainMismatch, WorkerLost
from llm_compiler.llvm.module_jobs import Job
from llm_compiler.records import content_hash
from llm_compiler.signals import when_overdue
from llm_compiler.workers.node_agent import Identity, JobDone, PackedJob
from llm_compiler.workers.pool import PoolInterrupted, StepResult

__all__ = ["AgentHandle", "Cluster", "ClusterPool", "Node", "NodeLost"]

JOBS_A_CORE = 2
"""Open jobs of a node for each of its cores: one runs, one is at hand when that ends."""
INLINE_BYTES = 16_384
"""Shorter modules travel with their job: an object of the cluster's store costs more."""
_START_TIMEOUT_S = 120.0
_LATE_NODES_S = 20.0
"""How long the start waits for more nodes when one is ready."""
_REFRESH_S = 2.0
_MAX_TRIES = 5
"""How many nodes may be lost with a job on them, until the job is held to be the cause."""
_MAX_AGENTS = 4
"""How often a node that lives gets a new agent."""
_LOOK_AHEAD = 64
_KNOWN_MODULES = 256
"""Modules that a node is held to have; the agent keeps more (`node_agent.KEPT_MODULES`)."""


class NodeLost(Exception):
    """A node, or our agent on it, is gone with what it had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A machine of the cluster."""

    name: str
    """Unique for as long as the cluster lives."""
    address: str
    num_cores: int


class AgentHandle(Protocol):
    """Our agent on one node, from here."""

    @property
    def ready(self) -> Future[Identity]:
        """Done when it answers."""
        ...

    def run(self, job: PackedJob, module: Any) -> Future[JobDone]:
        """Have a job run; `module`: what `Cluster.put` gave, or None. It fails with `NodeLost`."""
        ...

    def interrupt(self) -> None:
        """Have it drop all its jobs."""
        ...

    def stop(self) -> None:
        """End it."""
        ...


class Cluster(Protocol):
    """Machines, and a store for objects that all of them can read."""

    def nodes(self) -> Sequence[Node]:
        """Return the nodes that live and have cores."""
        ...

    def start(self, node: Node) -> AgentHandle:
        """Start our agent on a node."""
        ...

    def put(self, data: bytes) -> Any:
        """Put an object and return its reference."""
        ...

    def close(self) -> None:
        """Leave the cluster."""
        ...


@dataclass(slots=True, eq=False)
class _Inbox:
    """What one thread waits for."""

    results: deque[StepResult] = field(default_factory=deque)
    num_open: int = 0
    interrupted: bool = False
    failure: LlmCompilerError | None = None


@dataclass(slots=True, eq=False)
class _Work:
    ticket: int
    job: Job
    inbox: _Inbox
    key: str = ""
    """Names the module, if it is long enough to be put."""
    tries: int = 0


@dataclass(slots=True, eq=False)
class _Member:
    """A node of ours."""

    node: Node
    handle: AgentHandle
    is_ready: bool = False
    open: dict[int, _Work | None] = field(default_factory=dict)
    """Calls under way; None: interrupted, and nobody waits for it."""
    known: OrderedDict[str, None] = field(default_factory=OrderedDict)
    missing_since: float = 0.0

    @property
    def load(self) -> float:
        return len(self.open) / self.node.num_cores

    def knows(self, work: _Work) -> bool:
        return (work.key or work.job.affinity) in self.known

    def learn(self, name: str) -> None:
        if name:
            self.known[name] = None
            self.known.move_to_end(name)
            while len(self.known) > _KNOWN_MODULES:
                self.known.popitem(last=False)


_pools: weakref.WeakSet[ClusterPool] = weakref.WeakSet()


def _interrupt_all() -> None:
    for pool in list(_pools):
        pool.interrupt()


when_overdue(_interrupt_all)


class ClusterPool(Closing):
    """A `WorkerPool` over a cluster's nodes, which may come and go.

    Args:
        cluster: closed with the pool.
        identity: what nodes must be like: other code or another LLVM gives other results.
        on_event: is given a sentence where a node joins (``False``) or is lost (``True``).
        start_timeout_s: how long to wait for a first node, at the start and after the last one.

    Raises:
        ToolchainMismatch: a node has other code, or another LLVM.
        WorkerLost: there is no node.
    """

    def __init__(
        self,
        cluster: Cluster,
        identity: Identity,
        *,
        on_event: Callable[[str, bool], None] = lambda sentence, is_loss: None,
        start_timeout_s: float = _START_TIMEOUT_S,
    ) -> None:
        self._cluster, self._identity, self._on_event = cluster, identity, on_event
        self._start_timeout_s = start_timeout_s
        self._queue: deque[_Work] = deque()
        self._members: dict[str, _Member] = {}
        self._num_agents: dict[str, int] = {}
        self._put: OrderedDict[str, Any] = OrderedDict()
        self._threads = threading.local()
        self._state = threading.Condition(threading.RLock())
        self._events: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._next_ticket = self._next_call = 0
        self._closing = False
        self._mismatch: LlmCompilerError | None = None
        self._alone_since = self._refreshed = time.monotonic()
        _pools.add(self)
        self._thread = threading.Thread(target=self._work, daemon=True, name="cluster-pool")
        self._thread.start()
        try:
            self._await_nodes()
        except BaseException:
            self.close()
            raise

    @property
    def num_workers(self) -> int:
        """How many steps run at the same time, on all nodes that are ready."""
        with self._state:
            return max(1, sum(member.node.num_cores for member in self._ready()))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that are ready."""
        with self._state:
            return tuple(member.node for member in self._ready())

    def _ready(self) -> list[_Member]:
        return [member for member in self._members.values() if member.is_ready]

    def _await_nodes(self) -> None:
        begun = time.monotonic()
        with self._state:
            while True:
                if self._mismatch is not None:
                    raise self._mismatch
                seconds = time.monotonic() - begun
                ready = len(self._ready())
                if ready and (ready == len(self._members) or seconds > _LATE_NODES_S):
                    return
                if seconds > self._start_timeout_s:
                    raise self._no_nodes()
                self._state.wait(0.1)

    def _no_nodes(self) -> WorkerLost:
        starting = len(self._members)
        why = (
            f"{starting} of them did not start our worker: are their processors taken?"
            if starting
            else "none has processors to give"
        )
        return WorkerLost(
            f"no node of the cluster was ready in {self._start_timeout_s:.0f} s; {why}"
        )

    # -- for whoever has work --------------------------------------------------------------------

    def submit(self, job: Job) -> int:
        """Queue a job and return its ticket."""
        inbox = self._inbox()
        bitcode = getattr(job, "bitcode", b"")
        key = content_hash(bitcode) if len(bitcode) > INLINE_BYTES else ""
        with self._state:
            ticket = self._next_ticket
            self._next_ticket += 1
            inbox.num_open += 1
            inbox.interrupted, inbox.failure = False, None
            self._queue.append(_Work(ticket, job, inbox, key))
        self._events.put(lambda: None)
        return ticket

    def results(self) -> Iterator[StepResult]:
        """Yield results until nothing that this thread submitted is left.

        Raises:
            WorkerLost: there is no node, or nodes were lost with the same job again and again.
            PoolInterrupted: see `interrupt`.
        """
        inbox = self._inbox()
        while True:
            with self._state:
                while inbox.num_open and not (
                    inbox.results or inbox.interrupted or inbox.failure or self._closing
                ):
                    self._state.wait()
                if inbox.interrupted or (self._closing and inbox.num_open):
                    inbox.interrupted = False
                    raise PoolInterrupted
                if not inbox.results:
                    failure, inbox.failure = inbox.failure, None
                    if failure is not None:
                        raise failure
                    return
            yield inbox.results.popleft()

    def _inbox(self) -> _Inbox:
        if not hasattr(self._threads, "inbox"):
            self._threads.inbox = _Inbox()
        found: _Inbox = self._threads.inbox
        return found

    def interrupt(self) -> None:
        """Drop all work, of every thread, at once; whoever waits for results learns of it.

        The pool can be used again.
        """
        with self._state:
            dropped = list(self._queue)
            self._queue.clear()
            for member in self._members.values():
                dropped += [work for work in member.open.values() if work is not None]
                member.open = dict.fromkeys(member.open)
                self._events.put(member.handle.interrupt)
            for work in dropped:
                work.inbox.results.clear()
                work.inbox.num_open, work.inbox.interrupted = 0, True
            self._state.notify_all()

    def close(self) -> None:
        """End our agents and leave the cluster; closing twice does nothing."""
        with self._state:
            if self._closing:
                return
            self._closing = True
            self._state.notify_all()
        self._events.put(lambda: None)
        self._thread.join(timeout=30)
        for member in self._members.values():
            member.handle.stop()
        self._members.clear()
        self._queue.clear()
        self._put.clear()
        self._cluster.close()

    # -- the thread that hands out ---------------------------------------------------------------

    def _work(self) -> None:
        self._refreshed = 0.0
        while not self._closing:
            try:
                self._turn()
            except NodeLost:
                continue  # it shows in what was under way there
            except Exception as error:
                words = " ".join(str(error).split())[:300] or type(error).__name__
                with self._state:
                    works = [
                        w for member in self._members.values() for w in member.open.values() if w
                    ]
                    inboxes = {work.inbox for work in (*self._queue, *works)}
                    self._fail(inboxes, WorkerLost(f"the cluster cannot be used any more: {words}"))
                time.sleep(0.1)

    def _turn(self) -> None:
        """Look for nodes now and then, hand out what can be, and wait for what happens."""
        if time.monotonic() - self._refreshed > _REFRESH_S:
            self._refreshed = time.monotonic()
            self._refresh()
        with self._state:
            self._assign()
        event = None
        with contextlib.suppress(queue.Empty):
            event = self._events.get(timeout=_REFRESH_S)
        while event is not None and not self._closing:
            event()
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                event = None

    def _refresh(self) -> None:
        """Look which nodes there are: start agents on new ones, forget those that are gone."""
        there = {node.name: node for node in self._cluster.nodes()}
        now = time.monotonic()
        with self._state:
            for name, node in there.items():
                if name not in self._members and self._num_agents.get(name, 0) < _MAX_AGENTS:
                    self._num_agents[name] = self._num_agents.get(name, 0) + 1
                    self._join(node)
            for name, member in list(self._members.items()):
                if name in there:
                    member.missing_since = 0.0
                elif not member.missing_since:
                    member.missing_since = now
                elif now > member.missing_since + _REFRESH_S:
                    self._lose(member)
            if self._ready():
                self._alone_since = now
            elif now > self._alone_since + self._start_timeout_s:
                self._alone_since = now
                self._fail({work.inbox for work in self._queue}, self._no_nodes())

    def _join(self, node: Node) -> None:
        handle = self._cluster.start(node)
        member = self._members[node.name] = _Member(node, handle)
        handle.ready.add_done_callback(
            lambda done: self._events.put(lambda: self._joined(member, done))
        )

    def _joined(self, member: _Member, done: Future[Identity]) -> None:
        with self._state:
            if self._members.get(member.node.name) is not member:
                return
            error = done.exception()
            words = str(error) if error else done.result().difference(self._identity)
            if not words:
                member.is_ready = True
                self._on_event(
                    f"node {member.node.address} joins with {member.node.num_cores} cores", False
                )
            elif isinstance(error, NodeLost):
                self._lose(member)
            else:
                sentence = f"node {member.node.address} cannot be used: {words}"
                self._mismatch = self._mismatch or ToolchainMismatch(sentence)
                self._num_agents[member.node.name] = _MAX_AGENTS
                del self._members[member.node.name]
                member.handle.stop()
                self._on_event(sentence, True)
            self._state.notify_all()

    def _lose(self, member: _Member) -> None:
        """Forget a node, or its agent, and give its jobs to others."""
        del self._members[member.node.name]
        again = [work for work in member.open.values() if work is not None]
        member.open.clear()
        with contextlib.suppress(NodeLost):
            member.handle.stop()
        for work in reversed(again):
            work.tries += 1
            if work.tries < _MAX_TRIES:
                self._queue.appendleft(work)
                continue
            sentence = f"{work.tries} nodes were lost with the same job on them: it is given up"
            self._fail({work.inbox}, WorkerLost(sentence))
        if member.is_ready:
            self._on_event(
                f"node {member.node.address} is lost; {len(again)} jobs are given again", True
            )
        self._state.notify_all()

    def _fail(self, inboxes: set[_Inbox] | frozenset[_Inbox], error: LlmCompilerError) -> None:
        """Drop all work of some threads, for a reason."""
        self._queue = deque(work for work in self._queue if work.inbox not in inboxes)
        for member in self._members.values():
            for call, work in member.open.items():
                if work is not None and work.inbox in inboxes:
                    member.open[call] = None
        for inbox in inboxes:
            inbox.results.clear()
            inbox.num_open, inbox.failure = 0, error
        self._state.notify_all()

    # -- handing out, taking in ------------------------------------------------------------------

    def _assign(self) -> None:
        while self._queue and (found := self._match()) is not None:
            member, work = found
            self._queue.remove(work)
            self._send(member, work)

    def _match(self) -> tuple[_Member, _Work] | None:
        """Prefer a job that a node with room knows; one that all are full for waits."""
        free = [each_member for each_member in self._ready() if each_member.load < JOBS_A_CORE]
        if not free:
            return None
        candidates = [self._queue[place] for place in range(min(len(self._queue), _LOOK_AHEAD))]
        for work in candidates:
            for member in free:
                if member.knows(work):
                    return member, work
        member = min(free, key=lambda each_member: each_member.load)
        for work in candidates:
            if not any(each_member.knows(work) for each_member in self._ready()):
                return member, work
        # Known to full nodes only: what would idle else takes it.
        return (member, candidates[0]) if member.load < 1 else None

    def _send(self, member: _Member, work: _Work, *, with_module: bool = False) -> None:
        job: Any = work.job
        module = None
        if work.key:
            if with_module or work.key not in member.known:
                module = self._reference(work.key, job.bitcode)
            job = replace(job, bitcode=b"")
        member.learn(work.key or work.job.affinity)
        call = self._next_call
        self._next_call += 1
        member.open[call] = work
        try:
            done = member.handle.run(PackedJob(job=job, key=work.key), module)
        except NodeLost:
            self._lose(member)
            return
        except Exception as error:  # of the job itself: it cannot be pickled
            done = Future()
            done.set_exception(error)
        done.add_done_callback(
            lambda found: self._events.put(lambda: self._take_in(member, call, found))
        )

    def _reference(self, key: str, data: bytes) -> Any:
        """Return the object of a module, which is put once while it is in use."""
        if key not in self._put:
            self._put[key] = self._cluster.put(data)
            while len(self._put) > 2 * _KNOWN_MODULES:
                self._put.popitem(last=False)
        self._put.move_to_end(key)
        return self._put[key]

    def _take_in(self, member: _Member, call: int, found: Future[JobDone]) -> None:
        with self._state:
            if call not in member.open:
                return  # the node was held to be lost meanwhile, and its jobs are elsewhere
            error = found.exception()
            if isinstance(error, NodeLost) or (error is None and found.result().lost):
                self._lose(member)
                return
            work = member.open.pop(call)
            if work is None:
                return
            if error is None and found.result().interrupted:
                self._queue.appendleft(work)
                return
            if error is None and found.result().lacks_module:
                self._send(member, work, with_module=True)
                return
            inbox = work.inbox
            if error is not None:
                failed = error if isinstance(error, Exception) else RuntimeError(str(error))
                inbox.results.append(
                    StepResult(ticket=work.ticket, step=0, value=None, last=False, error=failed)
                )
            else:
                inbox.results.extend(
                    replace(result, ticket=work.ticket) for result in found.result().results
                )
            inbox.results.append(StepResult(ticket=work.ticket, step=-1, value=None, last=True))
            inbox.num_open -= 1
            self._state.notify_all()
