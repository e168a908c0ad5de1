"""The service under load: many clients at once, hostile ones among them, then a kill and a restart.

::

    python benchmarks/service_load.py [--requests 200] [--clients 16] [--hostile 20]

Starts ``llm-compiler serve`` on a free port of this machine with a key for each client, sends what
was asked for, kills the service with -9 while jobs are under way, starts it again and asks for
every finished job. Prints one JSON object; the exit code is 1 if anything that a service must do
was not done: a status 500, a client that starves, a lost result, a file of the host in an answer,
processes that stay.
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
    return {"source": "\n".join(functions), "effort": random_.choice(("fast", "fast", "default"))}


@dataclass(slots=True)
class Run:
    """A service and what came of requests to it."""

    folder: Path
    keys: list[str]
    port: int
    process: subprocess.Popen[bytes] = field(init=False)
    rows: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start the service and wait until it answers."""
        command = [sys.executable, "-P", "-m", "llm_compiler", "serve", "--port", str(self.port)]
        command += ["--data", "data", "--api-keys", "keys", "--rate", "0"]
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
        self, path: str, body: dict[str, Any] | None = None, *, key: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """Return status and JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data)
        request.add_header("Content-Type", "application/json")
        request.add_header("Authorization", f"Bearer {key or self.keys[0]}")
        try:
            with urllib.request.urlopen(request, timeout=900) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def client(self, number: int, requests: list[dict[str, Any]]) -> None:
        """Send requests one after the other."""
        for request in requests:
            is_hostile = request.pop("hostile")
            verb = request.pop("verb", "optimize")
            began = time.monotonic()
            try:
                status, found = self.ask(f"/v1/{verb}?wait=1", request, key=self.keys[number])
            except OSError as error:
                status, found = 0, {"error": {"message": repr(error)}}
            row = {
                "client": number,
                "hostile": is_hostile,
                "status": status,
                "seconds": time.monotonic() - began,
                "id": found.get("id", ""),
                "key": self.keys[number],
                "leaked": "root:" in json.dumps(found),
                "error": found.get("error", {}),
            }
            with self.lock:
                self.rows.append(row)

    def descendants(self) -> list[int]:
        """Return all processes below the service's."""
        found = [self.process.pid]
        for parent in found:
            for task in Path(f"/proc/{parent}/task").glob("*/children"):
                try:
                    found += map(int, task.read_text().split())
                except OSError:
                    continue
        return found[1:]

    def resident_mib(self) -> float:
        """Return the service's own resident memory, without its jobs'."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def percentile(values: list[float], share: float) -> float:
    """Return the value that a share of all do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def main() -> int:
    """Run it; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--hostile", type=int, default=20)
    parser.add_argument("--soak-minutes", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
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
        run = Run(Path(name), [secrets.token_hex(16) for _ in range(options.clients)], port)
        (run.folder / "keys").write_text("\n".join(run.keys) + "\n")
        run.start()
        try:
            found = load(run, requests, options)
        finally:
            run.process.kill()
            run.process.wait()
    print(json.dumps(found, indent=1))
    return 1 if found["failures"] else 0


def load(run: Run, requests: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    """Send all, kill, restart and ask again; return what was seen."""
    before_mib, began = run.resident_mib(), time.monotonic()
    clients = [
        threading.Thread(target=run.client, args=(number, requests[number :: options.clients]))
        for number in range(options.clients)
    ]
    for client in clients:
        client.start()
    peak_mib = before_mib
    while any(thread.is_alive() for thread in clients):
        peak_mib = max(peak_mib, run.resident_mib())
        time.sleep(0.5)
    seconds = time.monotonic() - began
    good = [row for row in run.rows if not row["hostile"]]
    bad = [row for row in run.rows if row["hostile"]]
    means = [
        sum(times) / len(times)
        for number in range(options.clients)
        if (times := [row["seconds"] for row in good if row["client"] == number])
    ]
    soak = soaked(run, options.soak_minutes)
    lost, stayed = killed(run, good)
    failures = {
        "status 500 or none": sum(row["status"] in (0, 500) for row in run.rows),
        "ordinary requests refused": sum(row["status"] != 200 for row in good),
        "hostile requests not refused": sum(not 400 <= row["status"] < 500 for row in bad),
        "answers with a file of the host": sum(row["leaked"] for row in run.rows),
        "clients that starved": sum(mean > 5 * sum(means) / len(means) for mean in means),
        "finished results lost by kill -9": lost,
        "processes that outlived the service": stayed,
        "soak grew by more than 50 MB": int(soak.get("grown_mib", 0) > 50),
    }
    times = [row["seconds"] for row in good]
    return {
        "requests": len(run.rows),
        "hostile": len(bad),
        "clients": options.clients,
        "seconds": round(seconds, 1),
        "requests_per_second": round(len(run.rows) / seconds, 2),
        "p50_s": round(percentile(times, 0.5), 2),
        "p95_s": round(percentile(times, 0.95), 2),
        "slowest_client_mean_s": round(max(means), 2),
        "fastest_client_mean_s": round(min(means), 2),
        "service_resident_mib": [round(before_mib, 1), round(peak_mib, 1)],
        "soak": soak,
        "statuses": {
            who: dict(Counter(str(row["status"]) for row in rows))
            for who, rows in (("ordinary", good), ("hostile", bad))
        },
        "ordinary_refused": [row["error"] for row in good if row["status"] != 200],
        "failures": {what: count for what, count in failures.items() if count},
    }


def soaked(run: Run, minutes: float) -> dict[str, Any]:
    """Send bounded requests for some time; return how the service's memory grew."""
    if not minutes:
        return {}
    for number in range(8):
        run.ask("/v1/optimize?wait=1", {"source": f"int w{number};", "effort": "fast"})
    before, until, count = run.resident_mib(), time.monotonic() + 60 * minutes, 0
    while time.monotonic() < until:
        source = f"int s{count}(int x) {{ return x * {count}; }}"
        run.ask("/v1/optimize?wait=1", {"source": source, "effort": "fast"})
        count += 1
    return {
        "requests": count,
        "minutes": minutes,
        "grown_mib": round(run.resident_mib() - before, 1),
    }


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
