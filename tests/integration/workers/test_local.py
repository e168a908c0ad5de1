"""The local pool: whatever happens in a worker is a result, and nothing else is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from llm_compiler.errors import LlmCompilerError, WorkerLost
from llm_compiler.llvm.module_jobs import EmitJob, EvaluateJob, InspectJob
from llm_compiler.records import PassList, Status
from llm_compiler.workers import LocalPool, run_jobs
from llm_compiler.workers.fake import FakePool
from llm_compiler.workers.pool import PoolInterrupted

from ...unit.process_state import alive

CompileUnit = Callable[[str], bytes]
OZ = PassList(("default<Oz>",))
TINY = b"""
target triple = "x86_64-pc-linux-gnu"
define i32 @f(i32 %x) minsize optsize {
  %p = alloca i32
  store i32 %x, ptr %p
  %v = load i32, ptr %p
  %r = mul i32 %v, 9
  ret i32 %r
}
"""
SLOW = PassList(("default<O3>",) * 100_000)


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# -- LLVM itself crashes, hangs, refuses, eats memory ----------------------------------------------


def test_llvm_failing_in_a_step_is_that_steps_result(compile_unit: CompileUnit) -> None:
    lists = (
        OZ,
        PassList(("trigger-crash-module",)),
        PassList(("globalopt",)),
        PassList(("frobnicate",)),
        PassList(("function(trigger-crash-function)",)),
        SLOW,
        PassList(("function(simplifycfg)",)),
    )
    job = EvaluateJob(
        bitcode=compile_unit("sort_algorithms.c"), pass_lists=lists, timeout_s=3, share=False
    )
    with LocalPool(1) as pool:
        found = run_jobs(pool, [job])[0]
        assert [item.status.value for item in found] == [
            "ok",
            "crashed",
            "ok",
            "refused",
            "crashed",
            "timed-out",
            "ok",
        ]
        assert found[1].detail.startswith("SIG")
        assert "frobnicate" in found[3].detail
        assert found[5].detail == "no answer within 3 s"
        assert found[5].seconds >= 3
        assert all(item.size_bytes > 0 for item in found if item.ok)
        # A fresh pool, which saw no crash, gives the same sizes.
        good = tuple(p for p, m in zip(lists, found, strict=True) if m.ok)
        again = run_jobs(pool, [EvaluateJob(bitcode=job.bitcode, pass_lists=good)])[0]
        assert [m.size_bytes for m in again] == [m.size_bytes for m in found if m.ok]


def test_llvm_out_of_memory_is_a_result() -> None:
    huge = (
        TINY + b"@huge = global { i8, [900000000 x i8] } { i8 1, [900000000 x i8] zeroinitializer }"
    )
    with LocalPool(1, memory_limit_bytes=1_000_000_000) as pool:
        job = EmitJob(modules=(TINY, huge, TINY), passes=OZ)
        found = run_jobs(pool, [job])[0]
    assert [item.status for item in found] == [Status.OK, Status.OUT_OF_MEMORY, Status.OK]
    assert found[0].data == found[2].data


def test_deeply_nested_code_does_not_kill_a_worker(pool: LocalPool) -> None:
    depth = 20_000
    text = b"define i32 @f(i32 %x) {\n"
    text += b"".join(
        b" %%a%d = add i32 %%%s, 1\n" % (i, b"a%d" % (i - 1) if i else b"x") for i in range(depth)
    )
    text += b" ret i32 %%a%d\n}" % (depth - 1)
    job = EvaluateJob(bitcode=b'target triple = "x86_64-linux-gnu"\n' + text, pass_lists=(OZ,))
    assert run_jobs(pool, [job])[0][0].ok


# -- a job's own trouble ---------------------------------------------------------------------------


def test_every_way_to_die_is_recorded_and_the_rest_goes_on(jobs: ModuleType) -> None:
    words = ("a", "abort", "b", "exit 3", "sleep 60", "c", "allocate 3000000000", "d")
    with LocalPool(1, memory_limit_bytes=2_000_000_000) as pool:
        found = run_jobs(pool, [jobs.Script(words=words, timeout_s=1.5)])[0]
        assert [found[i] for i in (0, 2, 5, 7)] == ["a", "b", "c", "d"]
        assert found[1].startswith("crashed: SIGABRT")
        assert found[3].startswith("crashed: exit code 3")
        assert found[4] == "timed-out: no answer within 1.5 s"
        assert found[6].startswith("out-of-memory: ")
        assert len(pool.pids) == 1


def test_the_time_limit_is_each_steps_own(jobs: ModuleType) -> None:
    with LocalPool(1) as pool:
        job = jobs.Script(words=("sleep 0.7",) * 5, timeout_s=2.5)
        assert run_jobs(pool, [job]) == [["sleep 0.7"] * 5]


def test_an_exception_of_our_own_reaches_the_caller_and_the_pool_lives(jobs: ModuleType) -> None:
    with LocalPool(1) as pool:
        with pytest.raises(ZeroDivisionError, match="why"):
            run_jobs(pool, [jobs.Script(words=("a", "raise why", "b")), jobs.Script(words=("c",))])
        # What the failed call left is nobody's business any more.
        assert run_jobs(pool, [jobs.Script(words=("x", "y"))]) == [["x", "y"]]


def test_noise_on_standard_output_harms_nothing(
    jobs: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    with LocalPool(1) as pool:
        assert run_jobs(pool, [jobs.Script(words=("noise 300000", "a"))]) == [["noise 300000", "a"]]
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_no_step_is_missing_when_many_die(jobs: ModuleType) -> None:
    with LocalPool(2) as pool:
        todo = [
            jobs.Script(words=tuple("abort" if (i + j) % 4 == 0 else f"{i}.{j}" for j in range(6)))
            for i in range(8)
        ]
        for i, results in enumerate(run_jobs(pool, todo)):
            assert len(results) == 6
            for j, result in enumerate(results):
                expected = "crashed: SIGABRT" if (i + j) % 4 == 0 else f"{i}.{j}"
                assert result.startswith(expected)


# -- workers killed from outside -------------------------------------------------------------------


def test_killing_a_busy_worker_loses_nothing(jobs: ModuleType) -> None:
    words = tuple(f"sleep 0.{i % 2 + 1}" for i in range(12))
    with LocalPool(2) as pool:
        for _ in range(3):
            pool.submit(jobs.Script(words=words))
        values: dict[tuple[int, int], str] = {}
        killed = 0
        for result in pool.results():
            if result.last:
                continue
            assert (result.ticket, result.step) not in values, "a step is answered once"
            values[result.ticket, result.step] = result.value
            if len(values) in (3, 9, 20):
                os.kill(pool.pids[killed % len(pool.pids)], signal.SIGKILL)
                killed += 1
    assert killed == 3
    assert values == {(t, s): words[s] for t in range(3) for s in range(12)}


def test_killing_an_idle_worker_is_not_noticed(jobs: ModuleType) -> None:
    with LocalPool(2) as pool:
        run_jobs(pool, [jobs.Script(words=("a",)), jobs.Script(words=("sleep 0.3",))])
        before = pool.pids
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda: not any(alive(pid) for pid in before))
        todo = [jobs.Script(words=("b", "c")) for _ in range(6)]
        assert run_jobs(pool, todo) == [["b", "c"]] * 6
        assert not set(pool.pids) & set(before)


def test_a_step_whose_worker_is_killed_again_and_again_is_given_up(jobs: ModuleType) -> None:
    with LocalPool(1) as pool:
        pool.submit(jobs.Script(words=("pid", "sleep 20", "a")))
        values = []
        import threading

        stop = threading.Event()

        def killer() -> None:
            while not stop.wait(0.4):
                for pid in pool.pids:
                    os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=killer)
        for result in pool.results():
            if result.step == 0:
                thread.start()
            if result.step == 1:
                stop.set()
            if not result.last:
                values.append(result.value)
        thread.join()
    assert values[1].startswith("crashed: SIGKILL")
    assert values[2] == "a"


def test_killing_the_worker_server_is_an_error_and_no_hang(jobs: ModuleType) -> None:
    with LocalPool(1) as pool:
        run_jobs(pool, [jobs.Script(words=("a",))])
        assert pool._zygote is not None
        pool._zygote.kill()
        with pytest.raises(WorkerLost, match="worker server"):
            run_jobs(pool, [jobs.Script(words=("b", "abort", "c"))])


FRONT = """
import sys, time
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.records import PassList
from llm_compiler.workers import LocalPool
with LocalPool(2) as pool:
    for _ in range(2):
        pool.submit(EvaluateJob(bitcode=open(sys.argv[1], "rb").read(), share=False, timeout_s=100,
            pass_lists=(PassList(("default<O3>",)), PassList(("default<O3>",) * 100_000))))
    count = 0
    for result in pool.results():
        count += 1
        if count == 2:
            print(pool._zygote.pid, *pool.pids, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_front(
    compile_unit: CompileUnit, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "m.bc").write_bytes(compile_unit("sort_algorithms.c"))
    with subprocess.Popen(
        [sys.executable, "-c", FRONT, str(tmp_path / "m.bc")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as front:
        assert front.stdout is not None
        pids = [int(word) for word in front.stdout.readline().split()]
        assert len(pids) == 3
        assert all(alive(pid) for pid in pids)
        front.send_signal(number)
        front.wait(timeout=30)
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


# -- life of the pool ------------------------------------------------------------------------------


def test_closing_ends_all_processes(jobs: ModuleType) -> None:
    pool = LocalPool(2)
    run_jobs(pool, [jobs.Script(words=("sleep 0.2",)) for _ in range(2)])
    assert pool._zygote is not None
    pids = [*pool.pids, pool._zygote.pid]
    pool.close()
    pool.close()
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_closing_in_the_middle_of_results(jobs: ModuleType) -> None:
    with LocalPool(2) as pool:
        for _ in range(4):
            pool.submit(jobs.Script(words=("a", "sleep 30")))
        next(pool.results())
        pids = pool.pids
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_no_file_descriptors_are_left(jobs: ModuleType) -> None:
    def num_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = num_open()
    for _ in range(3):
        with LocalPool(2) as pool:
            run_jobs(pool, [jobs.Script(words=("a", "abort", "b"))])
    assert num_open() == before


def test_a_pool_without_jobs_starts_nothing() -> None:
    with LocalPool(2) as pool:
        assert list(pool.results()) == []
        assert pool.pids == ()


def test_a_wrong_llvm_is_the_callers_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LLM_COMPILER_LLVM", str(tmp_path))
    with LocalPool(1) as pool, pytest.raises(LlmCompilerError, match="has no clang") as caught:
        run_jobs(pool, [InspectJob(inputs=(TINY,))])
    assert caught.value.exit_code == 3


def test_clang_and_library_of_different_versions_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toolchain: object
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "lib").mkdir()
    for tool, what in (("clang", "clang"), ("opt", "LLVM")):
        path = tmp_path / "bin" / tool
        path.write_text(f"#!/bin/sh\necho '{what} version 18.1.8'\n")
        path.chmod(0o755)
    real = toolchain.libllvm
    (tmp_path / "lib" / "libLLVM.so.18.1").symlink_to(real)
    monkeypatch.setenv("LLM_COMPILER_LLVM", str(tmp_path))
    with LocalPool(1) as pool:
        with pytest.raises(LlmCompilerError, match=r"version 18\.1\.8 but .* is version") as caught:
            run_jobs(pool, [InspectJob(inputs=(TINY,))])
    assert caught.value.exit_code == 3


def test_jobs_with_one_affinity_go_to_one_worker(jobs: ModuleType) -> None:
    with LocalPool(2) as pool:
        run_jobs(
            pool,
            [
                jobs.Script(words=("sleep 0.2",), affinity="m"),
                jobs.Script(words=("sleep 0.2",), affinity="n"),
            ],
        )
        found = []
        for _ in range(4):
            pool.submit(jobs.Script(words=("pid",), affinity="m"))
            found += [r.value for r in pool.results() if not r.last]
    assert len(set(found)) == 1


# -- memory ----------------------------------------------------------------------------------------


def rss_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_evaluations_do_not_grow_a_worker(space: tuple[str, ...]) -> None:
    import random

    from llm_compiler.search.strategies import random_list

    rng = random.Random(1)
    # Passes of one line of code, cheap on a tiny module; default pipelines would take the time.
    cheap = [word for word in space if "<O" not in word and "attributor" not in word]

    def evaluate(pool: LocalPool, count: int) -> int:
        lists = tuple(random_list(cheap, rng, 6) for _ in range(count))
        (found,) = run_jobs(pool, [EvaluateJob(bitcode=TINY, pass_lists=lists, module_hash="t")])
        assert sum(item.ok for item in found) > 0.9 * count
        return rss_bytes(pool.pids[0])

    with LocalPool(1) as pool:
        warm = evaluate(pool, 3000)
        pid = pool.pids[0]
        end = evaluate(pool, 7000)
        assert pool.pids[0] == pid, "no worker died meanwhile"
    grown = (end - warm) / 1e6
    print(f"{grown:.1f} MB over 7,000 evaluations, {end / 1e6:.0f} MB in all")
    assert grown < 16


# -- the public fake -------------------------------------------------------------------------------


def test_the_fake_pool_equals_the_local_pool(pool: LocalPool) -> None:
    lists = (OZ, PassList(("globalopt",)), PassList(("frobnicate",)), PassList())
    todo = [
        EvaluateJob(bitcode=TINY, pass_lists=lists),
        InspectJob(inputs=(TINY, b"nonsense"), names=("a.ll", "b.ll")),
        EmitJob(modules=(TINY,), passes=OZ, kind="assembly"),
    ]

    def comparable(results: list[list[object]]) -> list[list[str]]:
        return [[repr(item).split("seconds=")[0] for item in result] for result in results]

    with FakePool() as fake:
        assert comparable(run_jobs(fake, todo)) == comparable(run_jobs(pool, todo))


def test_threads_share_a_pool_and_each_gets_its_own(jobs: ModuleType) -> None:
    with LocalPool(2) as pool, ThreadPoolExecutor(6) as threads:

        def ask(number: int) -> list[object]:
            words = tuple(f"{number}-{step}" for step in range(3))
            return [run_jobs(pool, [jobs.Script(words=words)])[0] for _ in range(3)]

        for number, found in enumerate(threads.map(ask, range(12))):
            assert found == [[f"{number}-{step}" for step in range(3)]] * 3


def test_an_interrupt_reaches_everybody_who_waits(jobs: ModuleType) -> None:
    with LocalPool(2) as pool, ThreadPoolExecutor(5) as threads:
        begun = threading.Barrier(6)

        def ask() -> str:
            pool.submit(jobs.Script(words=("sleep 60",)))
            begun.wait()
            try:
                list(pool.results())
            except PoolInterrupted:
                return "interrupted"
            return "done"

        for _ in range(3):
            waiting = [threads.submit(ask) for _ in range(5)]
            begun.wait()
            while len(pool.pids) < 2:
                time.sleep(0.01)
            pool.interrupt()
            assert [future.result(timeout=20) for future in waiting] == ["interrupted"] * 5
        assert run_jobs(pool, [jobs.Script(words=("a",))]) == [["a"]]
