"""The pool over a real Ray: nodes are processes of their own on this machine.

Two of these are quick and run wherever Ray is; `make test-ray` installs it and runs all.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from llm_compiler.errors import ConfigError, ToolchainMismatch, ToolchainNotFound
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.records import PassList
from llm_compiler.workers import LocalPool, run_jobs
from llm_compiler.workers.pool import PoolInterrupted
from llm_compiler.workers.ray_pool import RayPool

CompileUnit = Callable[[str], bytes]
NEEDS_RAY = "Ray is not installed: `make test-ray` installs it (pip install 'llm-compiler[ray]')"
STORE_BYTES = 80 * 1024**2
SLOW = PassList(("default<O3>",) * 100_000)

pytestmark = [pytest.mark.timeout(110), pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster(jobs: ModuleType) -> Iterator[Any]:
    """A head without processors and two nodes of one core; tests that kill a node add one."""
    pytest.importorskip("ray", reason=NEEDS_RAY)
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            for _ in range(2):
                made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def ray_pool(cluster: Any) -> Iterator[RayPool]:
    with RayPool(cluster.address) as pool:
        yield pool


def kill_node(node: Any) -> None:
    """Kill -9 all processes of a node, as a machine that loses power."""
    roots = [info.process.pid for infos in node.all_processes.values() for info in infos]
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue

    def below(pid: int) -> Iterator[int]:
        yield pid
        for child in [index for index, parent in parents.items() if parent == pid]:
            yield from below(child)

    for pid in [index for root in roots for index in below(root)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_real_jobs_have_the_results_of_the_local_pool(
    ray_pool: RayPool, compile_unit: CompileUnit
) -> None:
    assert len(ray_pool.nodes) == 2
    lists = (
        PassList(("default<Oz>",)),
        PassList(("trigger-crash-module",)),
        PassList(("globalopt",)),
        PassList(("frobnicate",)),
        PassList(("function(simplifycfg)",)),
    )
    jobs = [
        EvaluateJob(bitcode=compile_unit(name), pass_lists=lists, module_hash=name, share=share)
        for name in ("sort_algorithms.c", "switch_state_machine.c")
        for share in (True, False)
    ]
    jobs.append(
        EvaluateJob(bitcode=jobs[0].bitcode, pass_lists=(SLOW, lists[0]), timeout_s=2, share=False)
    )
    found = run_jobs(ray_pool, jobs)
    with LocalPool(2) as local:
        wanted = run_jobs(local, jobs)

    def essence(results: list[list[Any]]) -> list[list[tuple[str, int, str]]]:
        return [
            [(m.status.value, m.size_bytes, m.result_hash) for m in result] for result in results
        ]

    assert essence(found) == essence(wanted)
    assert [m.status.value for m in found[0]] == ["ok", "crashed", "ok", "refused", "ok"]
    assert [m.status.value for m in found[-1]] == ["timed-out", "ok"]


def test_long_modules_go_by_reference(ray_pool: RayPool, jobs: ModuleType) -> None:
    bitcode = b"x" * 1_000_000

    def job(number: int) -> Any:
        return jobs.LengthJob(bitcode=bitcode, affinity=str(number % 2))

    assert run_jobs(ray_pool, [job(number) for number in range(8)]) == [[1_000_000]] * 8


@pytest.mark.slow
def test_threads_share_it_and_errors_of_a_job_reach_its_own_thread(
    ray_pool: RayPool, jobs: ModuleType
) -> None:
    def work(name: int) -> object:
        try:
            words = ("raise no", "b") if name == 2 else (f"{name}", "b")
            return run_jobs(ray_pool, [jobs.Script(words=words)] * 3)
        except ZeroDivisionError as error:
            return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(work, range(4)))
    assert found == ["no" if name == 2 else [[f"{name}", "b"]] * 3 for name in range(4)]


@pytest.mark.slow
def test_a_node_killed_in_a_run_costs_no_result_and_gives_none_twice(
    cluster: Any, jobs: ModuleType
) -> None:
    extra = cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    events: list[tuple[str, bool]] = []
    with RayPool(cluster.address, on_event=lambda text, loss: events.append((text, loss))) as pool:
        assert len(pool.nodes) == 3
        tickets = [pool.submit(jobs.Script(words=("sleep 0.4", "b"))) for _ in range(24)]
        found = []
        for result in pool.results():
            found.append((result.ticket, result.step))
            if len(found) == 6:
                kill_node(extra)
        assert sorted(found) == sorted((ticket, step) for ticket in tickets for step in (-1, 0, 1))
        assert len(pool.nodes) == 2
    assert sum(loss for _, loss in events) == 1
    cluster.remove_node(extra, allow_graceful=False)


@pytest.mark.slow
def test_interrupt_ends_a_hanging_job_and_the_pool_goes_on(
    ray_pool: RayPool, jobs: ModuleType
) -> None:
    for _ in range(6):
        ray_pool.submit(jobs.Script(words=("sleep 100",), timeout_s=200))
    timer = threading.Timer(1.0, ray_pool.interrupt)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(PoolInterrupted):
        list(ray_pool.results())
    assert run_jobs(ray_pool, [jobs.Script(words=("next",))]) == [["next"]]
    assert time.monotonic() - begun < 60


@pytest.mark.slow
def test_nodes_with_other_code_are_refused(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from llm_compiler.workers import ray_pool
    from llm_compiler.workers.node_agent import own_identity

    ours = replace(own_identity(), llvm_version="18.1.8")
    monkeypatch.setattr(ray_pool, "own_identity", lambda: ours)
    with pytest.raises(ToolchainMismatch, match=r"cannot be used: it has LLVM .*LLVM 18\.1\.8"):
        RayPool(cluster.address)


@pytest.mark.slow
def test_ctrl_c_ends_a_command_tidily(cluster: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.c"
    source.write_text("int f(int x) { int s = 0; while (x) s += x--; return s; }\n")
    command = [sys.executable, "-m", "llm_compiler", "autotune", str(source), "--pool", "ray"]
    command += ["--ray-address", cluster.address, "--budget", "1000000"]
    command += ["--store", str(tmp_path / "a.db")]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        store = tmp_path / "a.db"
        deadline = time.monotonic() + 60
        while not (store.exists() and store.with_name("a.db-wal").exists()):
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(3)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=40)
    assert run.returncode == 130
    assert "Traceback" not in err
    assert "interrupted: what" in err.splitlines()[-1]


def test_an_address_of_no_cluster_is_one_sentence() -> None:
    pytest.importorskip("ray", reason=NEEDS_RAY)
    with pytest.raises(ConfigError, match="is of another kind of connection"):
        RayPool("ray://127.0.0.1:1")


def test_without_ray_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolchainNotFound, match=r"pip install 'llm-compiler\[ray\]'"):
        RayPool()
