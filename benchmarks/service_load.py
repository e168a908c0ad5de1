"""The service under load: many clients at once, hostile ones among them, then a kill and a restart.

::

    python benchmarks/service_load.py [--requests 200] [--clients 16] [--hostile 20]

Starts ``llm-compiler serve`` on a free port of this machine with a key for each client, sends what
was asked for, kills the service with -9 while jobs are under way, starts it again and asks for
every finished job. Prints one JSON object; the exit code is 1 if anything that a service must do
was not done: a status 500, a client that starves, answers later than docs/service.md promises, more
memory than it states, a lost result, a file of the host in an answer, files written outside the
service's folders (`written_files.py`), processes that stay. `service_soak.py` is the long run.

On a machine that others use, seconds of the wall say nothing: where the system counts processor
seconds of groups (`processor_clock.py`), a request's time is also what the service and its jobs
computed between question and answer: its time on one core that nobody else uses, waiting included.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processor_clock import ProcessorClock
from written_files import WrittenFiles

CORE_SECONDS_LIMIT = 6.0
"""The limit of docs/service.md: 95 of 100 answers come within this for each client that waits,
on one core that the service has to itself."""
SERVICE_LIMIT_MIB = 256
JOBS_LIMIT_MIB = 2 * 2048
"""Two jobs at once, 2 GiB each."""

HOSTILE = (
    {"source": '#include "/etc/passwd"\n'},
    {"source": '__asm__(".incbin \\"/etc/passwd\\"");'},
    {"source": "int x;", "flags": "-I/etc"},
    {"source": "int x;", "flags": "@/etc/passwd"},
    {"source": "int x;", "flags": "-fplugin=/tmp/x.so"},
    {"language": "c++", "source": "template<int N> struct A { A<N + 1> a; }; A<0> a;"},
    {"source": "int x = " + "(" * 20000 + "1" + ")" * 20000 + ";"},
    {"source": "x" * 1_000_000},
    {"language": "llvm-ir", "source": "define what"},
    {"source": '.incbin "/etc/passwd"\n', "verb": "disassemble", "language": "assembly"},
)


def ordinary(number: int, random_: random.Random) -> dict[str, Any]:
    """Return C of 1 to 40 functions, another one for each number."""
    count = random_.choice((1, 1, 2, 4, 8, 16, 40))
    functions = [
        f"int f{number}_{place}(const int *p, int n) {{ int s = {place}; "
        f"for (int i = {place}; i < n; i++) s += p[i] * {number % 13 + 2} % (i + {place + 1}); "
        "return s; }"
        for place in range(count)
    ]
    return {"source": "\n".join(functions), "effort": random_.choice(("fast",) * 5 + ("default",))}


@dataclass(slots=True)
class Run:
    """A service and what came of requests to it."""

    folder: Path
    keys: list[str]
    port: int
    written: WrittenFiles | None = None
    clock: ProcessorClock | None = None
    row_log: Path | None = None
    job_seconds: float = 120.0
    """The service's limit for a job, of the wall."""
    process: subprocess.Popen[bytes] = field(init=False)
    rows: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the service and wait until it answers."""
        command = [sys.executable, "-P", "-m", "llm_compiler", "serve", "--port", str(self.port)]
        command += ["--data", "data", "--rate", "0", "--max-seconds", f"{self.job_seconds:g}"]
        if self.keys:
            command += ["--api-keys", "keys"]
        if self.written is not None:
            command = self.written.command(command, self.folder)
        if self.clock is not None:
            command = self.clock.command(command)
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        for _ in range(600):
            try:
                if self.ask("/healthz")[0] == 200:
                    return
            except OSError:
                time.sleep(0.2)
        raise SystemExit((self.folder / "log").read_text())

    def ask(
        self,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        method: str | None = None,
        is_json: bool = True,
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON; of another answer nothing but its status."""
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, method=method)
        request.add_header("Content-Type", "application/json")
        if self.keys:
            request.add_header("Authorization", f"Bearer {key or self.keys[0]}")
        try:
            with urllib.request.urlopen(request, timeout=7200) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if is_json else {}
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def client(self, number: int, requests: list[dict[str, Any]]) -> None:
        """Send requests one after the other."""
        for request in requests:
            is_hostile = request.pop("hostile")
            verb = request.pop("verb", "optimize")
            began, began_cpu = time.monotonic(), self.now_cpu()
            try:
                status, found = self.ask(f"/v1/{verb}?wait=1", request, key=self.keys[number])
            except OSError as error:
                status, found = 0, {"error": {"message": repr(error)}}
            row = {
                "client": number,
                "hostile": is_hostile,
                "status": status,
                "seconds": time.monotonic() - began,
                "processor_seconds": self.now_cpu() - began_cpu,
                "id": found.get("id", ""),
                "key": self.keys[number],
                "job_seconds": found.get("seconds", 0.0),
                "leaked": "root:" in json.dumps(found),
                "error": found.get("error", {}),
            }
            with self.lock:
                self.rows.append(row)
                if self.row_log is not None:
                    with self.row_log.open("a") as log:
                        log.write(json.dumps({**row, "key": ""}) + "\n")

    def descendants(self) -> list[int]:
        """Return all processes below the service's."""
        found = [self.process.pid]
        for parent in found:
            try:
                for task in os.listdir(f"/proc/{parent}/task"):
                    text = Path(f"/proc/{parent}/task/{task}/children").read_text()
                    found += map(int, text.split())
            except OSError:  # it ended meanwhile
                continue
        return found[1:]

    def resident_mib(self) -> float:
        """Return the service's own resident memory, without its jobs'."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * _PAGE / 2**20

    def jobs_mib(self) -> float:
        """Return the memory of all jobs' processes; what one shares with another counts once."""
        total = 0
        for pid in self.descendants():
            try:
                _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
            except (OSError, ValueError):
                continue
            total += max(0, resident - shared) * _PAGE
        return total / 2**20

    def now_cpu(self) -> float:
        """Return the processor seconds of the service and all its jobs so far."""
        return self.clock.now_s() if self.clock is not None else 0.0


_PAGE = os.sysconf("SC_PAGE_SIZE")


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> int:
    """Run it; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--hostile", type=int, default=20)
    parser.add_argument("--log", type=Path, help="where each answer is written as it comes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--job-seconds",
        type=float,
        default=120.0,
        help="the service's limit for a job, of the wall: more where others take the cores",
    )
    options = parser.parse_args()
    random_ = random.Random(options.seed)
    requests = [
        ordinary(number, random_) | {"hostile": False}
        for number in range(options.requests - options.hostile)
    ]
    requests += [
        dict(HOSTILE[number % len(HOSTILE)]) | {"hostile": True}
        for number in range(options.hostile)
    ]
    random_.shuffle(requests)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "service"
        folder.mkdir()
        run = Run(folder, [secrets.token_hex(16) for _ in range(options.clients)], port)
        run.written, run.row_log = WrittenFiles.watch(Path(name) / "written"), options.log
        run.clock, run.job_seconds = ProcessorClock.start(), options.job_seconds
        (run.folder / "keys").write_text("\n".join(run.keys) + "\n")
        try:
            run.start()
            found = load(run, requests, options)
        finally:
            run.process.kill()
            run.process.wait()
            run.written.close()
            run.clock.close()
    print(json.dumps(found, indent=1))
    return 1 if found["failures"] else 0


def load(run: Run, requests: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Send all, kill, restart and ask again; return what was seen."""
    before_mib, before_s, began = run.resident_mib(), run.now_cpu(), time.monotonic()
    load_average = [os.getloadavg()[0]]
    clients = [
        threading.Thread(target=run.client, args=(number, requests[number :: options.clients]))
        for number in range(options.clients)
    ]
    for client in clients:
        client.start()
    peak_mib, jobs_mib = before_mib, 0.0
    while any(thread.is_alive() for thread in clients):
        peak_mib = max(peak_mib, run.resident_mib())
        jobs_mib = max(jobs_mib, run.jobs_mib())
        time.sleep(0.5)
    seconds = time.monotonic() - began
    processor_s = run.now_cpu() - before_s
    load_average.append(os.getloadavg()[0])
    good = [row for row in run.rows if not row["hostile"]]
    bad = [row for row in run.rows if row["hostile"]]
    means = [
        sum(times) / len(times)
        for number in range(options.clients)
        if (times := [row["seconds"] for row in good if row["client"] == number])
    ]
    lost, stayed = killed(run, good)
    times = [row["seconds"] for row in good]
    own_times = [row["processor_seconds"] for row in good] if processor_s else times
    cores = len(os.sched_getaffinity(0))
    limit_s = CORE_SECONDS_LIMIT * options.clients
    outside = run.written.outside(allowed_folders(run)) if run.written is not None else None
    failures = {
        "status 500 or none": sum(row["status"] in (0, 500) for row in run.rows),
        "ordinary requests refused": sum(row["status"] != 200 for row in good),
        "hostile requests not refused": sum(not 400 <= row["status"] < 500 for row in bad),
        "answers with a file of the host": sum(row["leaked"] for row in run.rows),
        "clients that starved": sum(mean > 5 * sum(means) / len(means) for mean in means),
        "p95 above its limit": int(percentile(own_times, 0.95) > limit_s),
        "memory above its limit": int(peak_mib > SERVICE_LIMIT_MIB or jobs_mib > JOBS_LIMIT_MIB),
        "files written outside": len(outside or ()),
        "finished results lost by kill -9": lost,
        "processes that outlived the service": stayed,
    }
    return {
        "requests": len(run.rows),
        "hostile": len(bad),
        "clients": options.clients,
        "seconds": round(seconds, 1),
        "cores": cores,
        "job_limit_s": options.job_seconds,
        "load_average": [round(value, 1) for value in load_average],
        "processor_seconds": round(processor_s, 1),
        "p50_s": round(percentile(times, 0.5), 2),
        "p95_s": round(percentile(times, 0.95), 2),
        "p50_on_a_core_of_its_own_s": round(percentile(own_times, 0.5), 2),
        "p95_on_a_core_of_its_own_s": round(percentile(own_times, 0.95), 2),
        "p95_limit_s": round(limit_s, 1),
        "hostile_p95_s": round(percentile([row["seconds"] for row in bad], 0.95), 2),
        "job_seconds": [
            round(percentile([row["job_seconds"] for row in good], share), 2)
            for share in (0.5, 0.95, 1.0)
        ],
        "slowest_client_mean_s": round(max(means), 2),
        "fastest_client_mean_s": round(min(means), 2),
        "service_resident_mib": [round(before_mib, 1), round(peak_mib, 1)],
        "jobs_resident_mib": round(jobs_mib, 1),
        "written_outside": "not watched" if outside is None else outside[:20],
        "written_inside": len(run.written.outside([]) or ()) if run.written is not None else 0,
        "statuses": {
            who: dict(Counter(str(row["status"]) for row in rows))
            for who, rows in (("ordinary", good), ("hostile", bad))
        },
        "ordinary_refused": [row["error"] for row in good if row["status"] != 200],
        "failures": {what: count for what, count in failures.items() if count},
    }


def allowed_folders(run: Run) -> list[Path]:
    """Return where a service may write: its own folder, its scratch folder, the user's cache."""
    from llm_compiler.user_folders import cache_folder

    scratch = run.written.place_of(Path(tempfile.gettempdir())) if run.written else Path("/tmp")
    own = [Path(tempfile.gettempdir()) / path.name for path in scratch.glob("llm-compiler-serve-*")]
    return [run.folder / "data", cache_folder(), *own]


def killed(run: Run, good: list[dict[str, Any]]) -> tuple[int, int]:
    """Kill the service amid a job and restart it; return results lost and processes left."""
    finished = [row for row in good if row["status"] == 200]
    slow = ordinary(10**6, random.Random(1)) | {"effort": "high"}
    run.ask("/v1/optimize", slow)
    time.sleep(1.0)
    below = run.descendants()
    run.process.send_signal(signal.SIGKILL)
    run.process.wait()
    time.sleep(2.0)
    stayed = sum(Path(f"/proc/{pid}").exists() for pid in below)
    run.start()
    lost = 0
    for row in finished:
        status, found = run.ask(f"/v1/jobs/{row['id']}", key=row["key"])
        lost += status != 200 or "result" not in found
    return lost, stayed


if __name__ == "__main__":
    sys.exit(main())
