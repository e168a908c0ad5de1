"""The pool over a Ray cluster: an agent (an actor) on each node, modules in Ray's object store.

The only module that imports Ray (extra ``ray``). Without an address it starts a Ray of its own on
this machine and ends that with the pool; a cluster that it only joins goes on. Ray's workers get
nothing of the current folder on their search path: this package must be installed on each node.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from llm_compiler.errors import ConfigError, LlmCompilerError, WorkerLost
from llm_compiler.extras import require
from llm_compiler.signals import Interrupted
from llm_compiler.workers.cluster import JOBS_A_CORE, Cluster, ClusterPool, Node, NodeLost
from llm_compiler.workers.local import DEFAULT_MEMORY_LIMIT_BYTES
from llm_compiler.workers.node_agent import Identity, JobDone, NodeAgent, PackedJob, own_identity

__all__ = ["RayPool"]

_STORE_BYTES = 200 * 1024**2
"""The object store of a Ray that we start ourselves: modules are small."""


class RayPool(ClusterPool):
    """A `WorkerPool` over the nodes of a Ray cluster; a context manager.

    Args:
        address: of the cluster's head, ``HOST:PORT``, or ``auto`` for the one that this machine is
            part of; None: start one on this machine.
        num_workers: on each node; default: its processors, as Ray counts them.
        memory_limit_bytes: cap on a worker's address space.
        on_event: is given a sentence where a node joins (``False``) or is lost (``True``).

    Raises:
        ToolchainNotFound: Ray is not installed.
        ConfigError: there is no such cluster, or it has another Ray or Python.
        ToolchainMismatch: a node has other code or another LLVM than this machine.
        WorkerLost: no node is ready.
    """

    def __init__(
        self,
        address: str | None = None,
        num_workers: int | None = None,
        *,
        memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES,
        on_event: Callable[[str, bool], None] = lambda sentence, is_loss: None,
    ) -> None:
        identity = own_identity()
        cluster: Cluster = _RayCluster(address, num_workers, memory_limit_bytes)
        super().__init__(cluster, identity, on_event=on_event)


class _RayCluster:
    """Ray, as `ClusterPool` needs it."""

    def __init__(self, address: str | None, num_workers: int | None, memory_limit_bytes: int):
        self._ray = require("ray", extra="ray")
        self._num_workers, self._memory_limit_bytes = num_workers, memory_limit_bytes
        self._owns_connection = not self._ray.is_initialized()
        if self._owns_connection:
            _connect(self._ray, address, num_workers)

    def nodes(self) -> Sequence[Node]:
        with _translated(self._ray):
            found = self._ray.nodes()
        return [
            Node(
                name=item["NodeID"],
                address=item["NodeManagerAddress"],
                num_cores=min(cores, self._num_workers or cores),
            )
            for item in found
            if item["Alive"] and (cores := int(item["Resources"].get("CPU", 0))) >= 1
        ]

    def start(self, node: Node) -> _Handle:
        strategies = require("ray.util.scheduling_strategies", extra="ray")
        actor = self._ray.remote(_Agent).options(
            num_cpus=node.num_cores,
            # Threads: each open job has one, and `interrupt` and `identity` find one free.
            max_concurrency=JOBS_A_CORE * node.num_cores + 2,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=strategies.NodeAffinitySchedulingStrategy(node.name, soft=False),
        )
        with _translated(self._ray):
            return _Handle(self._ray, actor.remote(node.num_cores, self._memory_limit_bytes))

    def put(self, data: bytes) -> Any:
        with _translated(self._ray):
            return self._ray.put(data)

    def close(self) -> None:
        if self._owns_connection:
            with _signals_kept():
                self._ray.shutdown()


class _Agent(NodeAgent):
    """The actor: jobs and results travel as pickles of ours, which cost half of Ray's own."""

    def run_pickled(self, job: bytes, module: bytes | None) -> bytes:
        """Run a job to its end."""
        return pickle.dumps(self.run(pickle.loads(job), module), protocol=5)


class _Handle:
    """The actor of one node."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._ready: Future[Identity] = _future(ray, actor.identity.remote())

    @property
    def ready(self) -> Future[Identity]:
        return self._ready

    def run(self, job: PackedJob, module: Any) -> Future[JobDone]:
        data = pickle.dumps(job, protocol=5)
        with _translated(self._ray):
            return _future(self._ray, self._actor.run_pickled.remote(data, module), pickle.loads)

    def interrupt(self) -> None:
        with contextlib.suppress(NodeLost), _translated(self._ray):
            self._actor.interrupt.remote()

    def stop(self) -> None:
        with contextlib.suppress(NodeLost), _translated(self._ray):
            self._ray.kill(self._actor)


def _future(
    ray: Any, reference: Any, convert: Callable[[Any], Any] = lambda value: value
) -> Future[Any]:
    """Return a future of ours, which fails with `NodeLost` or what the agent's code raised."""
    found: Future[Any] = Future()

    def copy(done: Future[Any]) -> None:
        error = done.exception()
        if error is None:
            found.set_result(convert(done.result()))
        else:
            found.set_exception(_as_ours(ray, error))

    reference.future().add_done_callback(copy)
    return found


def _as_ours(ray: Any, error: BaseException) -> BaseException:
    """Return what an error of Ray means to the pool."""
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = getattr(error, "cause", None)
        return cause if isinstance(cause, Exception) else error
    words = str(error)
    if "ModuleNotFoundError" in words or "ImportError" in words:
        return WorkerLost("it lacks this package (or one that it needs): install it there too")
    if isinstance(error, ray.exceptions.RayError):
        return NodeLost(words.splitlines()[0] if words else type(error).__name__)
    return error


@contextlib.contextmanager
def _translated(ray: Any) -> Iterator[None]:
    """Turn what Ray raises at a call into `NodeLost`."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise NodeLost(str(error)) from error


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep Ray from replacing our signal handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


@contextlib.contextmanager
def _elsewhere() -> Iterator[None]:
    """Be in the root folder: Ray puts the current one on the search path of its workers."""
    try:
        before = os.getcwd()
    except OSError:
        before = "/"
    os.chdir("/")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.chdir(before)


def _connect(ray: Any, address: str | None, num_workers: int | None) -> None:
    """Join a cluster, or start one."""
    if address and "://" in address:
        raise ConfigError(
            f"'{address}' is of another kind of connection: run the command on a node of the "
            "cluster, with --ray-address auto or HOST:PORT of the head"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray lets its workers run at the lowest priority, after whatever else the machine does.
    os.environ.setdefault("RAY_worker_niceness", "0")
    options: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    if address:
        options["address"] = address
    else:
        options |= {
            "address": "local",
            "num_cpus": num_workers or len(os.sched_getaffinity(0)),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    try:
        with _signals_kept(), _elsewhere():
            ray.init(**options)
    except (Interrupted, LlmCompilerError):
        ray.shutdown()
        raise
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        words = " ".join(str(error).split())[:300]
        if not address:
            raise WorkerLost(f"Ray does not start on this machine: {words}") from error
        raise ConfigError(f"the Ray cluster at '{address}' cannot be joined: {words}") from error
    # What its daemons have to say of a lost node would go to standard output, among results.
    worker = require("ray._private.worker", extra="ray")
    if hasattr(worker, "_worker_logs_enabled"):
        worker._worker_logs_enabled = False
