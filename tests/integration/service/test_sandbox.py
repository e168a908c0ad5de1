"""Hostile programs in the sandbox itself, which the compilers and all they make run in."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from llm_compiler.errors import LlmCompilerError, ToolchainNotFound
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.service.limits import JobState, Limits, Refusal
from llm_compiler.service.results import ResultStore
from llm_compiler.service.sandbox import Sandbox, Sandboxed, find_sandbox

MIB = 2**20
LIMITS = Limits(seconds=20, disk_bytes=8 * MIB, output_bytes=MIB, num_processes=32)


@pytest.fixture(scope="module")
def sandbox() -> Sandbox:
    try:
        return Sandbox(bwrap=find_sandbox(), toolchain=find_toolchain(), limits=LIMITS)
    except ToolchainNotFound as error:
        pytest.skip(str(error))


def run(sandbox: Sandbox, program: list[str], *, seconds: float = 15, stdin: bytes = b"") -> str:
    """Run a program inside and return what it prints."""

    async def lines() -> bytes:
        started = await sandbox.start(program)
        return b"".join([line async for line in started.exchange(stdin, seconds=seconds)])

    return asyncio.run(lines()).decode()


def shell(sandbox: Sandbox, text: str, *, seconds: float = 15) -> str:
    return run(sandbox, ["/bin/sh", "-c", f"{text}; exit 0"], seconds=seconds)


def python(sandbox: Sandbox, text: str, *, seconds: float = 15) -> str:
    return run(sandbox, [os.path.realpath(sys.executable), "-I", "-S", "-c", text], seconds=seconds)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/shadow",
        "/etc/hostname",
        "/root",
        "/home",
        "/var",
        "/proc",
        "/sys",
        "/run",
    ],
)
def test_the_hosts_files_are_not_there(sandbox: Sandbox, path: str) -> None:
    parents = [
        str(each_path)
        for each_path in map(Path, sys.path)
        for each_path in (each_path, *each_path.parents)
    ]
    if path in parents or sys.base_prefix.startswith(path):
        # Python itself lives below: nothing else may be there.
        ours = "/lib/python3|/bin/python3|/lib/libpython3|/llm_compiler/"
        assert shell(sandbox, f"find {path} -type f | grep -vE '{ours}' | head") == ""
    else:
        assert shell(sandbox, f"ls -d {path} 2>&1").startswith("ls: cannot access")


def test_this_packages_folder_has_nothing_but_the_package(sandbox: Sandbox) -> None:
    root = Path(__file__).parents[3]
    found = shell(sandbox, f"ls -A {root}; cat {root}/pyproject.toml {root}/.git 2>/dev/null")
    assert set(found.split()) <= {"src", ".venv"}


def test_only_the_jobs_folders_can_be_written(sandbox: Sandbox) -> None:
    tried = "/ /usr /usr/bin /usr/lib /dev /cache/x /job /tmp"
    text = f'for one in {tried}; do (echo x >"$one/hostile") 2>/dev/null && echo "$one"; done'
    assert shell(sandbox, text).split() == ["/job", "/tmp"]


def test_symbolic_links_lead_nowhere_outside(sandbox: Sandbox) -> None:
    links = "ln -s /etc/passwd a; ln -s ../../../../etc/shadow b; ln -s /proc/1/root c"
    assert shell(sandbox, f"({links}; cat a b c/etc/passwd) 2>/dev/null") == ""


def test_there_is_no_network(sandbox: Sandbox) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    text = (
        "import socket\n"
        f"try: socket.create_connection(('127.0.0.1', {port}), 3); print('reached')\n"
        "except OSError as error: print('no', error.errno)\n"
        "print(socket.if_nameindex())"
    )
    try:
        found = python(sandbox, text)
    finally:
        listening.close()
    assert found.startswith("no ")
    assert found.strip().endswith("[(1, 'lo')]")


def test_other_processes_are_neither_seen_nor_reached(sandbox: Sandbox) -> None:
    text = (
        "import os, signal\n"
        f"try: os.kill({os.getpid()}, 0); print('reached')\n"
        "except ProcessLookupError: print('none')\n"
        "print(os.getpid() < 20, os.getuid(), 'HOME' in os.environ, len(os.environ))"
    )
    found = python(sandbox, text).split()
    assert found[:4] == ["none", "True", "1000", "True"]
    assert "LLM_TEST_SECRET" not in shell(sandbox, "env")


def test_the_environment_stays_outside(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_TEST_SECRET", "hunter2")
    assert "hunter2" not in shell(sandbox, "env")


def test_no_namespace_and_no_privilege_can_be_made(sandbox: Sandbox) -> None:
    tries = (
        "unshare -U",
        "unshare -m",
        "unshare -Ur",
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /",
    )
    text = "; ".join(f"{trie} true 2>/dev/null && echo '{trie}'" for trie in tries)
    assert shell(sandbox, text) == ""


def test_a_fork_storm_ends_and_leaves_nothing(sandbox: Sandbox) -> None:
    started = time.monotonic()
    text = (
        "import os, time\n"
        "def storm():\n"
        "  for _ in range(2000):\n"
        "    try: pid = os.fork()\n"
        "    except OSError: time.sleep(0.01); continue\n"
        "    if pid == 0: os.setsid(); storm(); time.sleep(60)\n"
        "storm()\n"
    )
    with pytest.raises(Refusal, match="32 processes at once") as refused:
        python(sandbox, text)
    assert refused.value.code == "processes"
    assert time.monotonic() - started < 15
    assert no_process_with("def storm")


def no_process_with(words: str) -> bool:
    """Whether no process on this machine has words in its command line, after a moment."""
    for _ in range(50):
        found = False
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal() and int(folder.name) != os.getpid():
                try:
                    found |= words.encode() in (folder / "cmdline").read_bytes()
                except OSError:
                    continue
        if not found:
            return True
        time.sleep(0.1)
    return False


def test_the_disk_cannot_be_filled(sandbox: Sandbox) -> None:
    text = (
        "import os\n"
        "total = 0\n"
        "for folder in ('/job', '/tmp', '/cache', '/dev', '/'):\n"
        "  try:\n"
        "    for number in range(64):\n"
        "      with open(f'{folder}/{number}', 'wb') as file:\n"
        "        for _ in range(64): file.write(bytes(1 << 20)); file.flush(); total += 1\n"
        "  except OSError: pass\n"
        "print(total)"
    )
    # Two folders of 8 MiB, and 64 MiB of caches.
    assert int(python(replaced(sandbox, memory_bytes=4096 * MIB), text)) <= 8 + 8 + 64


def replaced(sandbox: Sandbox, **changes: int) -> Sandbox:
    return replace(sandbox, limits=replace(sandbox.limits, **changes))


def test_memory_is_bounded_over_all_processes(sandbox: Sandbox) -> None:
    text = (
        "import os, time\n"
        "for _ in range(8):\n"
        "  if os.fork() == 0: data = os.urandom(1 << 20) * 64; time.sleep(30); os._exit(0)\n"
        "time.sleep(30)"
    )
    with pytest.raises(Refusal, match="needs more than 200 MiB"):
        python(replaced(sandbox, memory_bytes=200 * MIB), text)


def test_what_never_ends_is_ended(sandbox: Sandbox) -> None:
    started = time.monotonic()
    with pytest.raises(Refusal, match="longer than 1 s"):
        shell(sandbox, "while :; do :; done", seconds=1)
    assert time.monotonic() - started < 10


def test_a_program_that_closes_its_streams_is_ended_too(sandbox: Sandbox) -> None:
    with pytest.raises(Refusal, match="longer than 2 s"):
        shell(sandbox, "exec >&- 2>&- <&-; sleep 97531", seconds=2)
    assert no_process_with("97531")


@pytest.mark.parametrize("text", ["yes", "head -c 50000000 /dev/zero", "yes >&2"])
def test_output_without_end_is_cut(sandbox: Sandbox, text: str) -> None:
    with pytest.raises(Refusal, match=r"answers with more than 1 MiB|longer than"):
        shell(sandbox, text, seconds=3 if ">&2" in text else 15)


def test_files_are_bounded_in_size(sandbox: Sandbox) -> None:
    found = shell(sandbox, "head -c 20000000 /dev/zero >x; stat -c %s x")
    assert int(found) <= 8 * MIB


def test_a_program_that_loads_slowly_is_not_charged_for_it(sandbox: Sandbox) -> None:
    async def lines() -> list[bytes]:
        started = await sandbox.start(["/bin/sh", "-c", "sleep 6; echo ready; echo answer"])
        await started.ready(seconds=60)
        return [line async for line in started.exchange(b"", seconds=5)]

    assert asyncio.run(lines()) == [b"answer\n"]


def test_a_program_that_ends_before_it_is_ready_says_why(sandbox: Sandbox) -> None:
    async def lines() -> list[bytes]:
        started = await sandbox.start(["/bin/sh", "-c", "echo broken >&2; exit 7"])
        await started.ready(seconds=60)
        return [line async for line in started.exchange(b"", seconds=15)]

    with pytest.raises(LlmCompilerError, match="status 7") as caught:
        asyncio.run(lines())
    assert caught.value.detail == "broken"


def test_a_user_with_lower_limits_sets_no_higher_ones(sandbox: Sandbox) -> None:
    # Root may raise limits, an ordinary user may not: what is asked of prlimit is looked at.
    text = (
        "from pathlib import Path\n"
        "from llm_compiler.llvm.toolchain import find_toolchain\n"
        "from llm_compiler.service.limits import Limits\n"
        "from llm_compiler.service.sandbox import Sandbox\n"
        "found = Sandbox(bwrap=Path('/usr/bin/bwrap'), toolchain=find_toolchain(), limits=Limits())"
        "\nprint(*found.command(['true']))"
    )
    command = ["prlimit", "--nofile=512:512", "--nproc=70:70", sys.executable, "-P", "-c", text]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert {b"--nofile=512:512", b"--nproc=70:70"} <= set(done.stdout.split())


def test_what_keeps_every_job_from_starting_is_found_at_once(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    for seconds in (1, 20, 120, 1000):
        replace(sandbox, limits=replace(LIMITS, seconds=seconds)).check()
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'no room for a mount' >&2\nexit 1\n")
    broken.chmod(0o755)
    other = Sandbox(bwrap=broken, toolchain=sandbox.toolchain, limits=LIMITS)
    with pytest.raises(ToolchainNotFound, match="no room for a mount"):
        other.check()


def test_a_sandbox_that_could_not_be_started_ahead_is_started_again(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("prometheus_client")
    from llm_compiler.service.job_queue import Job, Jobs
    from llm_compiler.service.metrics import Metrics

    async def answers() -> Job:
        store = ResultStore(tmp_path, limit_bytes=MIB)
        jobs = Jobs(
            limits=LIMITS, sandbox=sandbox, store=store, metrics=Metrics(), fingerprint="test"
        )

        async def failing() -> Sandboxed:
            raise BlockingIOError("Resource temporarily unavailable")

        jobs._spares = [asyncio.create_task(failing()) for _ in range(LIMITS.num_running)]
        job = jobs.submit({"verb": "no such verb"}, "somebody")
        await job.ended()
        await jobs.close()
        store.close()
        return job

    # The runner was reached: it does not know the verb.
    with caplog.at_level("ERROR"):
        assert asyncio.run(answers()).state is JobState.FAILED
    assert "KeyError" in " ".join(str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("num_steps", range(8))
def test_a_start_that_is_cancelled_at_any_step_ends_and_leaves_no_process(
    sandbox: Sandbox, num_steps: int
) -> None:
    # asyncio itself hangs where it is cancelled while it connects the pipes.
    async def cancelled() -> None:
        starting = asyncio.create_task(sandbox.start(["/bin/sleep", "300"]))
        for _ in range(num_steps):
            await asyncio.sleep(0)
        starting.cancel()
        ended, _ = await asyncio.wait([starting], timeout=30)
        assert ended
        if not starting.cancelled():
            await starting.result().kill()

    asyncio.run(cancelled())
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "sleep" in command_of(pid)]


def test_a_job_that_is_cancelled_while_its_sandbox_starts_leaves_it_to_the_next(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    pytest.importorskip("prometheus_client")
    from llm_compiler.service.job_queue import Jobs
    from llm_compiler.service.metrics import Metrics

    async def cancelled() -> None:
        store = ResultStore(tmp_path, limit_bytes=MIB)
        jobs = Jobs(
            limits=LIMITS, sandbox=sandbox, store=store, metrics=Metrics(), fingerprint="test"
        )
        jobs.warm_up()
        spares = list(jobs._spares)
        job = jobs.submit({"verb": "no such verb"}, "somebody")
        await asyncio.sleep(0)
        assert job.state is JobState.RUNNING
        jobs.cancel(job)
        await job.ended()
        assert job.state is JobState.CANCELLED
        assert jobs._spares == spares
        assert not any(spare.cancelled() for spare in spares)
        await jobs.close()
        store.close()

    asyncio.run(asyncio.wait_for(cancelled(), 60))


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
