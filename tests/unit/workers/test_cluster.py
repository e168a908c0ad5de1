"""The pool over a cluster, with nodes of threads: who gets what, and what a lost node means."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from llm_compiler.errors import ToolchainMismatch, WorkerLost
from llm_compiler.llvm.module_jobs import WorkerState
from llm_compiler.records import Status
from llm_compiler.workers.cluster import (
    INLINE_BYTES,
    JOBS_A_CORE,
    ClusterPool,
    Node,
    NodeLost,
)
from llm_compiler.workers.node_agent import Identity, JobDone, PackedJob
from llm_compiler.workers.pool import PoolInterrupted, StepResult, run_jobs

OURS = Identity(version="1", code="a", llvm_version="19.1.7")
pytestmark = pytest.mark.timeout(30)


@dataclass(frozen=True, kw_only=True)
class Echo:
    """A step for each word; the word ``raise`` raises."""

    words: tuple[str, ...]
    bitcode: bytes = field(default=b"", repr=False)
    timeout_s: float = 1.0
    affinity: str = ""

    @property
    def num_steps(self) -> int:
        return len(self.words)

    def run(self, state: WorkerState, first_step: int) -> Iterator[tuple[str, int]]:
        for word in self.words[first_step:]:
            yield word, len(self.bitcode)

    def failed(self, step: int, status: Status, detail: str, seconds: float) -> str:
        return status.value


class Agent:
    """A node: runs each job in a thread, when `gate` is open."""

    def __init__(self, node: Node, identity: Identity) -> None:
        self.node = node
        self.ready: Future[Identity] = Future()
        self.ready.set_result(identity)
        self.gate = threading.Event()
        self.gate.set()
        self.ran: list[PackedJob] = []
        self.modules: dict[str, bytes] = {}
        self.sent_modules = 0
        self.dead = False
        self.interrupted = 0
        self.most_open = self.num_open = 0
        self._futures: list[Future[JobDone]] = []
        self._threads = ThreadPoolExecutor(max_workers=8)

    def run(self, job: PackedJob, module: Any) -> Future[JobDone]:
        if self.dead:
            raise NodeLost("gone")
        found: Future[JobDone] = Future()
        self._futures.append(found)
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        if module is not None:
            self.sent_modules += 1
            self.modules[job.key] = module
        self._threads.submit(self._do, job, found)
        return found

    def _do(self, packed: PackedJob, found: Future[JobDone]) -> None:
        self.gate.wait()
        if self.dead:
            return
        self.num_open -= 1
        self.ran.append(packed)
        job = packed.job
        if packed.key:
            if packed.key not in self.modules:
                found.set_result(JobDone(lacks_module=True))
                return
            job = replace(job, bitcode=self.modules[packed.key])
        results = [
            StepResult(ticket=7, step=step, value=value, last=False)
            for step, value in enumerate(job.run(WorkerState(), 0))
        ]
        found.set_result(JobDone(results=tuple(results)))

    def interrupt(self) -> None:
        self.interrupted += 1

    def stop(self) -> None:
        self.die()

    def die(self) -> None:
        self.dead = True
        self.gate.set()
        for future in self._futures:
            if not future.done():
                future.set_exception(NodeLost("gone"))
        self._threads.shutdown(wait=False)


class Machines:
    """A cluster of agents in this process."""

    def __init__(self, *nodes: Node, identity: Identity = OURS) -> None:
        self.there = list(nodes)
        self.identity = identity
        self.agents: list[Agent] = []
        self.num_put = 0
        self.closed = False
        self.prepare: Callable[[Agent], None] = lambda agent: None

    def nodes(self) -> Sequence[Node]:
        return list(self.there)

    def start(self, node: Node) -> Agent:
        self.agents.append(Agent(node, self.identity))
        self.prepare(self.agents[-1])
        return self.agents[-1]

    def put(self, data: bytes) -> bytes:
        self.num_put += 1
        return data

    def close(self) -> None:
        self.closed = True


def node(name: str, num_cores: int = 1) -> Node:
    return Node(name=name, address=f"host-{name}", num_cores=num_cores)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_results_come_in_the_order_of_jobs_from_all_nodes() -> None:
    machines = Machines(node("a"), node("b", 2))
    with ClusterPool(machines, OURS) as pool:
        assert pool.num_workers == 3
        jobs = [Echo(words=(f"{i}", "x")) for i in range(40)]
        assert run_jobs(pool, jobs) == [[(f"{i}", 0), ("x", 0)] for i in range(40)]
        assert all(agent.ran for agent in machines.agents)
    assert machines.closed
    assert all(agent.dead for agent in machines.agents)


def test_a_node_has_a_bounded_number_of_open_jobs() -> None:
    machines = Machines(node("a"), node("b"))
    machines.prepare = lambda agent: agent.gate.clear()
    with ClusterPool(machines, OURS) as pool:
        for i in range(50):
            pool.submit(Echo(words=(f"{i}",)))
        wait_until(lambda: all(a.num_open == JOBS_A_CORE for a in machines.agents))
        for agent in machines.agents:
            agent.gate.set()
        assert sum(1 for result in pool.results() if result.last) == 50
        assert {agent.most_open for agent in machines.agents} == {JOBS_A_CORE}


def test_a_module_is_put_once_and_sent_once_to_a_node() -> None:
    machines = Machines(node("a"), node("b"))
    module = b"m" * (INLINE_BYTES + 1)
    with ClusterPool(machines, OURS) as pool:
        jobs = [Echo(words=("w",), bitcode=module, affinity="m") for _ in range(30)]
        assert run_jobs(pool, jobs) == [[("w", len(module))]] * 30
        assert machines.num_put == 1
        assert all(agent.sent_modules <= 1 for agent in machines.agents)
        assert all(
            packed_job.job.bitcode == b"" for agent in machines.agents for packed_job in agent.ran
        )
        # One that the node has let go comes with the job again.
        for agent in machines.agents:
            agent.modules.clear()
        assert run_jobs(pool, jobs[:1]) == [[("w", len(module))]]


def test_a_short_module_travels_with_its_job() -> None:
    machines = Machines(node("a"))
    with ClusterPool(machines, OURS) as pool:
        assert run_jobs(pool, [Echo(words=("w",), bitcode=b"short")]) == [[("w", 5)]]
    assert machines.num_put == 0


def test_jobs_of_a_lost_node_run_elsewhere_and_each_result_comes_once() -> None:
    machines = Machines(node("a"), node("b"))
    events: list[tuple[str, bool]] = []

    def stuck(agent: Agent) -> None:
        if agent.node.name == "a":
            agent.gate.clear()

    machines.prepare = stuck
    pool = ClusterPool(
        machines, OURS, on_event=lambda sentence, loss: events.append((sentence, loss))
    )
    with pool:
        tickets = [pool.submit(Echo(words=(f"{i}", "x"))) for i in range(12)]
        wait_until(lambda: machines.agents[0].num_open == JOBS_A_CORE)
        machines.there.pop(0)
        machines.agents[0].die()
        found = [(result.ticket, result.step) for result in pool.results()]
    assert sorted(found) == sorted((t, step) for t in tickets for step in (0, 1, -1))
    assert ("node host-a is lost; 2 jobs are given again", True) in events


def test_a_node_that_joins_is_used() -> None:
    machines = Machines(node("a"))
    machines.prepare = lambda agent: agent.gate.clear() if agent.node.name == "a" else None
    with ClusterPool(machines, OURS) as pool:
        for i in range(10):
            pool.submit(Echo(words=(f"{i}",)))
        machines.there.append(node("b", 2))
        wait_until(lambda: pool.num_workers == 3)
        wait_until(lambda: len(machines.agents[1].ran) >= 8)
        machines.agents[0].gate.set()
        assert sum(1 for result in pool.results() if result.last) == 10


def test_a_job_that_all_its_nodes_are_lost_with_is_given_up() -> None:
    machines = Machines(*(node(name) for name in "abcdefgh"))

    def poisoned(agent: Agent) -> None:
        run = agent.run

        def die_of_it(job: PackedJob, module: Any) -> Future[JobDone]:
            if job.job.words == ("poison",):
                agent.gate.clear()
                found = run(job, module)
                machines.there.remove(agent.node)
                agent.die()
                return found
            return run(job, module)

        agent.run = die_of_it  # type: ignore[method-assign]

    machines.prepare = poisoned
    with ClusterPool(machines, OURS) as pool:
        pool.submit(Echo(words=("poison",)))
        with pytest.raises(WorkerLost, match="5 nodes were lost with the same job"):
            list(pool.results())
        assert run_jobs(pool, [Echo(words=("fine",))]) == [[("fine", 0)]]


def test_a_lost_agent_of_a_living_node_is_replaced() -> None:
    machines = Machines(node("a"))
    with ClusterPool(machines, OURS) as pool:
        machines.agents[0].die()
        assert run_jobs(pool, [Echo(words=("again",))]) == [[("again", 0)]]
        assert len(machines.agents) == 2


def test_no_node_at_all_is_one_sentence() -> None:
    machines = Machines()
    with pytest.raises(WorkerLost, match="no node of the cluster was ready in 0 s; none has"):
        ClusterPool(machines, OURS, start_timeout_s=0.3)
    assert machines.closed


def test_the_last_node_lost_for_good_ends_the_run() -> None:
    machines = Machines(node("a"))
    machines.prepare = lambda agent: agent.gate.clear()
    with ClusterPool(machines, OURS, start_timeout_s=1.0) as pool:
        pool.submit(Echo(words=("w",)))
        wait_until(lambda: machines.agents[0].num_open == 1)
        machines.there.clear()
        machines.agents[0].die()
        with pytest.raises(WorkerLost, match="no node of the cluster"):
            list(pool.results())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"llvm_version": "18.1.8"}, "it has LLVM 18.1.8, and this machine LLVM 19.1.7"),
        ({"code": "b"}, r"it has LLM Compiler 1 \(b\), and this machine 1 \(a\)"),
    ],
)
def test_other_code_or_another_llvm_is_refused(change: dict[str, str], words: str) -> None:
    machines = Machines(node("a"), identity=replace(OURS, **change))
    with pytest.raises(ToolchainMismatch, match=f"node host-a cannot be used: {words}"):
        ClusterPool(machines, OURS)
    assert machines.closed


def test_interrupt_drops_everything_and_the_pool_can_be_used_again() -> None:
    machines = Machines(node("a"))
    machines.prepare = lambda agent: agent.gate.clear()
    with ClusterPool(machines, OURS) as pool:
        for i in range(9):
            pool.submit(Echo(words=(f"{i}",)))
        wait_until(lambda: machines.agents[0].num_open == JOBS_A_CORE)
        timer = threading.Timer(0.2, pool.interrupt)
        timer.start()
        with pytest.raises(PoolInterrupted):
            list(pool.results())
        wait_until(lambda: machines.agents[0].interrupted == 1)
        machines.agents[0].gate.set()
        assert run_jobs(pool, [Echo(words=("next",))]) == [[("next", 0)]]


def test_a_job_that_an_interruption_of_others_dropped_is_given_again() -> None:
    machines = Machines(node("a"))

    def late(agent: Agent) -> None:
        run = agent.run
        dropped: list[PackedJob] = []

        def drop_the_first(job: PackedJob, module: Any) -> Future[JobDone]:
            if dropped:
                return run(job, module)
            dropped.append(job)
            found: Future[JobDone] = Future()
            found.set_result(JobDone(interrupted=True))
            return found

        agent.run = drop_the_first  # type: ignore[method-assign]

    machines.prepare = late
    with ClusterPool(machines, OURS) as pool:
        assert run_jobs(pool, [Echo(words=("w",))]) == [[("w", 0)]]


def test_a_job_that_cannot_be_sent_fails_by_itself() -> None:
    machines = Machines(node("a"))

    def picky(agent: Agent) -> None:
        run = agent.run

        def refuse(job: PackedJob, module: Any) -> Future[JobDone]:
            if job.job.words == ("bad",):
                raise TypeError("cannot pickle")
            return run(job, module)

        agent.run = refuse  # type: ignore[method-assign]

    machines.prepare = picky
    with ClusterPool(machines, OURS) as pool:
        with pytest.raises(TypeError, match="cannot pickle"):
            run_jobs(pool, [Echo(words=("bad",))])
        assert run_jobs(pool, [Echo(words=("good",))]) == [[("good", 0)]]


def test_a_cluster_that_breaks_ends_the_run_in_one_sentence() -> None:
    machines = Machines(node("a"))
    machines.prepare = lambda agent: agent.gate.clear()
    with ClusterPool(machines, OURS) as pool:
        pool.submit(Echo(words=("w",)))

        def broken() -> Sequence[Node]:
            raise ConnectionError("no head")

        machines.nodes = broken  # type: ignore[method-assign]
        with pytest.raises(WorkerLost, match="cannot be used any more: no head"):
            list(pool.results())


def test_threads_share_the_pool() -> None:
    with ClusterPool(Machines(node("a", 2), node("b")), OURS) as pool:

        def work(name: int) -> list[list[Any]]:
            return run_jobs(pool, [Echo(words=(f"{name}.{i}",)) for i in range(20)])

        with ThreadPoolExecutor(6) as threads:
            for name, found in enumerate(threads.map(work, range(6))):
                assert found == [[(f"{name}.{i}", 0)] for i in range(20)]


def test_closing_wakes_who_waits() -> None:
    machines = Machines(node("a"))
    machines.prepare = lambda agent: agent.gate.clear()
    pool = ClusterPool(machines, OURS)
    pool.submit(Echo(words=("w",)))
    threading.Timer(0.2, pool.close).start()
    with pytest.raises(PoolInterrupted):
        list(pool.results())
