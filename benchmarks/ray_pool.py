"""The Ray pool beside the local one: one table, with a node killed half-way; processor seconds.

Starts a Ray head without processors and two nodes of one core, as processes of their own, and runs
``labels build`` four times: with the local pool of two workers, with the Ray pool, locally again,
and with the Ray pool while all processes of one node are killed with -9 when half of the modules
are done. The lists are the coreset's first ones without the passes that order by addresses and so
give other code from process to process (`unstable_lists.py`), on any pool.
Processor seconds are those of all processes of a run, Ray's own services included, read from
``/proc``: this process adopts orphans, so that none is missed. Needs the extra ``ray``.

    python benchmarks/ray_pool.py SAMPLES --split validation --max-modules 500 --out work/ray-pool
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from llm_compiler.llvm.module_jobs import InspectJob
from llm_compiler.parquet import read_table
from llm_compiler.workers import run_jobs
from llm_compiler.workers.ray_pool import RayPool

_PR_SET_CHILD_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_STORE_BYTES = 80 * 1024**2
_UNSTABLE = ("gvn-hoist", "gvn-sink", "iroutliner", "loop-extract")


@dataclass(frozen=True, kw_only=True)
class _Process:
    parent: int
    name: str
    seconds: float
    """Its own, and those of children that it has waited for."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run took."""

    name: str
    num_modules: int
    num_evaluations: int
    wall_seconds: float
    cpu_seconds: float
    service_cpu_seconds: float
    """Of those: Ray's own processes, neither the command nor the agents with their workers."""
    killed: bool
    same_table: bool = True


def _processes() -> dict[int, _Process]:
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            head, _, rest = stat.read_text().rpartition(") ")
            fields = rest.split()
            arguments = (stat.parent / "cmdline").read_bytes().decode("utf-8", "replace")
            found[int(stat.parent.name)] = _Process(
                parent=int(fields[1]),
                name=arguments.replace("\0", " ").strip() or head,
                seconds=sum(map(int, fields[11:15])) / _TICKS,
            )
    return found


def _below(root: int, processes: dict[int, _Process]) -> Iterator[int]:
    for pid, process in processes.items():
        if process.parent == root:
            yield pid
            yield from _below(pid, processes)


def _reap() -> None:
    """Wait for orphans that have ended, but for no child that somebody here waits for."""
    for pid in list(_below(os.getpid(), _processes())):
        with contextlib.suppress(OSError):
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            if state[0] == "Z" and int(state[1]) == os.getpid() and pid not in _kept:
                os.waitpid(pid, os.WNOHANG)


_kept: set[int] = set()


def _cpu_seconds() -> tuple[float, float]:
    """Return the processor seconds of all that came of this process: all, and Ray's services."""
    _reap()
    processes = _processes()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = usage.ru_utime + usage.ru_stime
    services = 0.0
    for pid in _below(os.getpid(), processes):
        total += processes[pid].seconds
        name = processes[pid].name
        if "/ray/" in name or name.startswith("ray::"):
            services += 0.0 if "_Agent" in name else processes[pid].seconds
    return total, services


def _kill_node(node: Any) -> None:
    processes = _processes()
    roots = [info.process.pid for infos in node.all_processes.values() for info in infos]
    for pid in [item for root in roots for item in (root, *_below(root, processes))]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _stable_coreset(out: Path) -> Path:
    """Write the coreset without lists that are known to be unstable."""
    data = json.loads(resources.files("llm_compiler").joinpath("data/coreset.json").read_text())
    data["lists"] = [
        item for item in data["lists"] if not any(name in item["passes"] for name in _UNSTABLE)
    ]
    path = out / "stable-coreset.json"
    path.write_text(json.dumps(data))
    return path


def _label(
    name: str, options: argparse.Namespace, extra: list[str], victim: Any = None
) -> tuple[Run, Path]:
    """Run the command once; kill a node when half of the modules are in the journal."""
    output = options.out / f"{name}.parquet"
    journal = output.with_suffix(".journal.jsonl")
    for path in (output, journal):
        path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "llm_compiler", "labels", "build", str(options.samples)]
    command += ["-o", str(output), "--split", options.split, "--seed", "0"]
    command += ["--coreset", str(options.out / "stable-coreset.json")]
    command += ["--num-lists", str(options.num_lists), "--max-modules", str(options.max_modules)]
    before, services_before = _cpu_seconds()
    begun = time.monotonic()
    killed = False
    with subprocess.Popen([*command, *extra], stdout=subprocess.DEVNULL) as process:
        _kept.add(process.pid)
        while process.poll() is None:
            time.sleep(0.3)
            if victim is not None and not killed and journal.exists():
                with journal.open() as lines:
                    done = sum(1 for _ in lines) - 1
                if done >= options.max_modules // 2:
                    _kill_node(victim)
                    killed = True
    wall = time.monotonic() - begun
    if process.returncode:
        sys.exit(f"{name}: exit code {process.returncode}")
    time.sleep(1.0)  # the last workers end
    after, services_after = _cpu_seconds()
    table = read_table(output)
    run = Run(
        name=name,
        num_modules=len(set(table["module_hash"].to_pylist())),
        num_evaluations=table.num_rows,
        wall_seconds=round(wall, 1),
        cpu_seconds=round(after - before, 2),
        service_cpu_seconds=round(services_after - services_before, 2),
        killed=killed,
    )
    return run, output


def _rows(path: Path) -> list[tuple[Any, ...]]:
    table = read_table(path)
    return sorted(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))


def _dispatch(address: str, num_jobs: int = 3000) -> dict[str, object]:
    """Return what handing out takes: jobs without a step, the processor time of this process."""
    with RayPool(address) as pool:
        run_jobs(pool, [InspectJob(inputs=())] * 100)
        begun, cpu = time.monotonic(), time.process_time()
        run_jobs(pool, [InspectJob(inputs=())] * num_jobs)
        wall, cpu = time.monotonic() - begun, time.process_time() - cpu
    return {
        "num_jobs": num_jobs,
        "front_cpu_ms_a_job": round(1000 * cpu / num_jobs, 3),
        "jobs_a_wall_second": round(num_jobs / wall),
    }


def main() -> int:
    """Run all and print a JSON object for each run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=Path)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--max-modules", type=int, default=500)
    parser.add_argument("--num-lists", type=int, default=4)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    _stable_coreset(options.out)
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    local, wanted = _label("local", options, ["--jobs", "2"])
    print(json.dumps(asdict(local)), flush=True)
    code = 0
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    begun, _ = _cpu_seconds()
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    _kept.update(pid for pid in _below(os.getpid(), _processes()))
    try:
        nodes = [cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES) for _ in range(2)]
        _kept.update(pid for pid in _below(os.getpid(), _processes()))
        time.sleep(3)
        started, _ = _cpu_seconds()
        time.sleep(20)
        idle, _ = _cpu_seconds()
        print(
            json.dumps(
                {
                    "cluster_start_cpu_seconds": round(started - begun, 2),
                    "cluster_idle_cpu_seconds_a_second": round((idle - started) / 20, 4),
                }
            ),
            flush=True,
        )
        ray = ["--pool", "ray", "--ray-address", cluster.address]
        for name, arguments, victim in (
            ("ray", ray, None),
            ("local-again", ["--jobs", "2"], None),
            ("ray-killed", ray, nodes[0]),
        ):
            run, found = _label(name, options, arguments, victim)
            same = _rows(found) == _rows(wanted)
            run = Run(**{**asdict(run), "same_table": same})
            overhead = run.cpu_seconds / local.cpu_seconds - 1
            print(json.dumps({**asdict(run), "cpu_overhead": round(overhead, 4)}), flush=True)
            if not run.same_table or (victim is not None and not run.killed):
                code = 1
        print(json.dumps(_dispatch(cluster.address)), flush=True)
    finally:
        cluster.shutdown()
    return code


if __name__ == "__main__":
    sys.exit(main())
