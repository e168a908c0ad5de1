"""A labelling run on many nodes, simulated: how fast, what failures and stragglers cost.

A heap of events, no Ray: groups of nodes, each with one front (a ``labels build --pool ray`` over
its slice of the samples) that hands out a job in `front_ms` of its one thread. A node has two open
jobs for each core. A job's time is lognormal, and some hang until the time limit of a list; each
node has a speed of its own, a few are stragglers. Nodes are lost at random (exponential), which the
front learns after a while; their open jobs run again, and a new node comes. Rates are arguments:
docs/scaling.md says where each was measured.

    python benchmarks/simulate_cluster.py --modules 100000000 --sampled-groups 5
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import sys
from collections import deque
from dataclasses import dataclass, field

_OPEN_A_CORE = 2


@dataclass(slots=True, eq=False)
class _Node:
    speed: float
    num_idle: int
    waiting: deque[int] = field(default_factory=deque)
    """Jobs that lie on the node and have no core yet."""
    running: set[int] = field(default_factory=set)
    is_alive: bool = True


@dataclass(slots=True)
class _Outcome:
    seconds: float = 0.0
    num_done: int = 0
    num_given_again: int = 0
    num_lost_nodes: int = 0
    busy_core_seconds: float = 0.0
    lost_core_seconds: float = 0.0
    front_busy_seconds: float = 0.0
    done_before_tail: int = 0
    tail_seconds: float = 0.0
    """From the first idle core for want of jobs to the end."""


def _simulate(options: argparse.Namespace, num_nodes: int, num_jobs: int, seed: int) -> _Outcome:
    """Return what one front and its nodes take for their jobs."""
    rng = random.Random(seed)
    out = _Outcome()
    events: list[tuple[float, int, str, _Node | None, int]] = []
    number = 0

    def at(time: float, kind: str, node: _Node | None, job: int = 0) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (time, number, kind, node, job))

    def join(time: float) -> _Node:
        slow = rng.random() < options.straggler_share
        speed = rng.lognormvariate(0, options.speed_sigma) / (
            options.straggler_factor if slow else 1
        )
        node = _Node(speed=speed, num_idle=options.cores)
        nodes.append(node)
        at(time + rng.expovariate(1 / (3600 * options.node_life_hours)), "lost", node)
        return node

    def room(node: _Node) -> int:
        taken = len(node.waiting) + len(node.running)
        return _OPEN_A_CORE * int(options.cores) - taken

    def start(node: _Node, time: float) -> None:
        while node.num_idle and node.waiting:
            job = node.waiting.popleft()
            node.num_idle -= 1
            node.running.add(job)
            seconds = mean * rng.lognormvariate(-(options.job_sigma**2) / 2, options.job_sigma)
            seconds /= node.speed
            if rng.random() < options.hang_share:
                seconds += options.hang_s
            began[job] = time
            at(time + seconds, "done", node, job)

    mean = options.job_s
    nodes: list[_Node] = []
    began: dict[int, float] = {}
    finished = bytearray(num_jobs)
    queue: deque[int] = deque(range(num_jobs))
    free: deque[_Node] = deque()
    """Nodes with room, each as often as it may have some."""
    front_free = 0.0
    dispatching = False
    for _ in range(num_nodes):
        free.append(join(0.0))
    now = 0.0

    def dispatch(time: float) -> None:
        """Let the front hand out the next job, when it is free."""
        nonlocal front_free, dispatching
        if dispatching or not queue:
            return
        while free and (not free[0].is_alive or room(free[0]) <= 0):
            free.popleft()
        if not free:
            return
        dispatching = True
        front_free = max(front_free, time) + options.front_ms / 1000
        out.front_busy_seconds += options.front_ms / 1000
        at(front_free, "sent", free[0], queue.popleft())

    dispatch(0.0)
    tail_from = -1.0
    while out.num_done < num_jobs:
        now, _, kind, node, job = heapq.heappop(events)
        if kind == "sent":
            assert node is not None
            dispatching = False
            if node.is_alive:
                node.waiting.append(job)
                start(node, now)
                # The next one goes to another node, as the least loaded is preferred.
                free.rotate(-1)
            else:
                queue.appendleft(job)
                out.num_given_again += 1
        elif kind == "done":
            assert node is not None
            if not node.is_alive or job not in node.running:
                continue
            node.running.discard(job)
            node.num_idle += 1
            out.busy_core_seconds += now - began.pop(job)
            assert not finished[job], "a result came twice"
            finished[job] = 1
            out.num_done += 1
            start(node, now)
            free.append(node)
            if node.num_idle and not queue and tail_from < 0:
                tail_from = now
                out.done_before_tail = out.num_done
        elif kind == "lost":
            assert node is not None
            node.is_alive = False
            out.num_lost_nodes += 1
            out.lost_core_seconds += sum(now - began.pop(index) for index in node.running)
            at(now + options.detect_s, "noticed", node)
            at(now + options.replace_s, "joined", None)
        elif kind == "noticed":
            assert node is not None
            again = [*node.running, *node.waiting]
            out.num_given_again += len(again)
            queue.extendleft(again)
            node.running.clear()
            node.waiting.clear()
        else:
            free.append(join(now))
        dispatch(now)
    out.seconds = now
    out.tail_seconds = now - tail_from if tail_from >= 0 else 0.0
    return out


def main() -> int:
    """Simulate all groups and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--nodes", type=int, default=1000)
    add("--groups", type=int, default=250, help="fronts, each with its share of nodes and modules")
    add("--cores", type=int, default=32, help="of a node")
    add("--modules", type=int, default=2_000_000)
    add("--job-s", type=float, default=0.32, help="mean of a module's labels on one core")
    add("--job-sigma", type=float, default=0.8)
    add("--hang-share", type=float, default=0.0005, help="of modules with a list that hangs")
    add("--hang-s", type=float, default=20.0)
    add("--front-ms", type=float, default=2.0, help="of the front's thread for each job")
    add("--node-life-hours", type=float, default=50.0, help="mean; spot machines: 10 to 100")
    add("--detect-s", type=float, default=15.0)
    add("--replace-s", type=float, default=180.0)
    add("--speed-sigma", type=float, default=0.1)
    add("--straggler-share", type=float, default=0.02)
    add("--straggler-factor", type=float, default=3.0)
    add("--sampled-groups", type=int, default=0, help="simulate so many groups only; 0: all")
    add("--seed", type=int, default=0)
    options = parser.parse_args()
    nodes, jobs = options.nodes // options.groups, options.modules // options.groups
    simulated = options.sampled_groups or options.groups
    found = [_simulate(options, nodes, jobs, options.seed + group) for group in range(simulated)]
    share = simulated / options.groups
    seconds = max(outcome.seconds for outcome in found)
    num_cores = nodes * options.groups * options.cores
    done = sum(outcome.num_done for outcome in found)
    busy = sum(outcome.busy_core_seconds for outcome in found)
    # Without its start and its end, which a long run has once.
    rate = (1 / share) * sum(
        outcome.done_before_tail / max(outcome.seconds - outcome.tail_seconds, 1e-9)
        for outcome in found
    )
    print(
        json.dumps(
            {
                "num_nodes": nodes * options.groups,
                "num_cores": num_cores,
                "num_groups": options.groups,
                "num_groups_simulated": simulated,
                "num_modules_simulated": done,
                "seconds": round(seconds, 1),
                "modules_a_second": round(rate),
                "busy_share": round(busy / (share * num_cores * seconds), 3),
                "longest_tail_s": round(max(outcome.tail_seconds for outcome in found), 1),
                "front_busy_share": round(
                    sum(outcome.front_busy_seconds for outcome in found)
                    / sum(o.seconds for o in found),
                    3,
                ),
                "lost_nodes": sum(outcome.num_lost_nodes for outcome in found),
                "given_again": sum(outcome.num_given_again for outcome in found),
                "lost_core_share": round(
                    sum(outcome.lost_core_seconds for outcome in found) / busy, 6
                ),
                "hours_for_1e8": round(1e8 / rate / 3600, 2),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
