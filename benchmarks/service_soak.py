"""The service over an hour: what its memory does under bounded requests that go on and on.

::

    python benchmarks/service_soak.py [--minutes 60] [--pause-s 1.5] [--log FILE]

Starts ``llm-compiler serve`` on a free port of this machine. Twenty requests make a round: one unit
that is new, one refused in its sandbox and three at once, one that is cancelled, eleven from the
cache, and looks at the metrics.
After each minute it writes a line: requests so far, the service's own resident and peak memory,
its open files, threads and children, bytes of its folder, the load of the machine. Prints one JSON
object; the exit code is 1 if the service grew by more than 50 MB or answered with a status of 500.
What it grew by is counted from the end of the first tenth: until then caches fill.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service_load import Run

LIMIT_MB = 50.0


def main() -> int:
    """Run it; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--pause-s", type=float, default=1.5, help="after each request")
    parser.add_argument("--log", type=Path, help="where a line is written each minute")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        run = Run(Path(name), ["soak-key-0123456789"], port)
        (run.folder / "keys").write_text("\n".join(run.keys) + "\n")
        run.start()
        try:
            found = soak(run, options)
        finally:
            run.process.kill()
            run.process.wait()
    print(json.dumps(found, indent=1))
    return 1 if found["failures"] else 0


def soak(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """Send requests until the time is over; return what was seen."""
    statuses: Counter[int] = Counter()
    rows = [measured(run, 0.0, statuses)]
    began = time.monotonic()
    number, minute = 0, 1
    while (seconds := time.monotonic() - began) < 60 * options.minutes:
        if seconds >= 60 * minute:
            rows.append(measured(run, seconds / 60, statuses))
            minute = int(seconds // 60) + 1
            if options.log is not None:
                options.log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        statuses[STEPS[number % len(STEPS)](run, number)] += 1
        number += 1
        time.sleep(options.pause_s)
    rows.append(measured(run, options.minutes, statuses))
    settled = next(row for row in rows if row["minute"] >= options.minutes / 10)
    grown_mb = (rows[-1]["resident_mib"] - settled["resident_mib"]) * 2**20 / 1e6
    return {
        "minutes": options.minutes,
        "requests": number,
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "first": rows[0],
        "settled": settled,
        "last": rows[-1],
        "grown_mb": round(grown_mb, 1),
        "failures": [
            *(["it grew by more than 50 MB"] if grown_mb > LIMIT_MB else []),
            *(["statuses of 500 or none"] if statuses[500] + statuses[0] else []),
        ],
    }


def new_unit(run: Run, number: int) -> int:
    """Ask for what was never asked for."""
    source = f"int s{number}(int x) {{ return x * {number} % {number + 7}; }}"
    return optimized(run, source)


def known_unit(run: Run, number: int) -> int:
    """Ask for one of twenty units, which come from the cache but for the first time."""
    return optimized(run, f"int known{number % 20}(int x) {{ return x * 3 + {number % 20}; }}")


def refused_unit(run: Run, number: int) -> int:
    """Ask for what is refused in a sandbox."""
    return optimized(run, f'#include "/etc/passwd"\nint r{number};')


def refused_flag(run: Run, number: int) -> int:
    """Ask for what is refused at once."""
    request = {"source": f"int r{number};", "flags": "-I/etc"}
    return run.ask("/v1/optimize?wait=1", request)[0]


def cancelled_unit(run: Run, number: int) -> int:
    """Begin a job and cancel it."""
    status, job = run.ask("/v1/optimize", {"source": f"int c{number}(int x) {{ return x; }}"})
    return run.ask(f"/v1/jobs/{job['id']}", method="DELETE")[0] if status == 202 else status


def looked_at(run: Run, number: int) -> int:
    """Look at the page and at the metrics."""
    return run.ask("/metrics" if number % 2 else "/v1/about", is_json=number % 2 == 0)[0]


def optimized(run: Run, source: str) -> int:
    """Ask for an object; return the status."""
    return run.ask("/v1/optimize?wait=1", {"source": source, "effort": "fast"})[0]


STEPS: tuple[Callable[[Run, int], int], ...] = (
    *(new_unit, known_unit, known_unit, refused_flag, known_unit),
    *(looked_at, known_unit, known_unit, known_unit, refused_flag),
    *(refused_unit, known_unit, known_unit, looked_at, known_unit),
    *(cancelled_unit, known_unit, known_unit, refused_flag, looked_at),
)


def measured(run: Run, minute: float, statuses: Counter[int]) -> dict[str, Any]:
    """Return what the service takes now."""
    process = Path(f"/proc/{run.process.pid}")
    status = dict(
        line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
    )
    files = [path for path in (run.folder / "data").rglob("*") if path.is_file()]
    return {
        "minute": round(minute, 1),
        "requests": sum(statuses.values()),
        "resident_mib": round(run.resident_mib(), 1),
        "peak_mib": round(int(status["VmHWM"].split()[0]) / 1024, 1),
        "open_files": len(list((process / "fd").iterdir())),
        "threads": int(status["Threads"]),
        "children": len(run.descendants()),
        "folder_mb": round(sum(path.stat().st_size for path in files) / 1e6, 2),
        "load": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    sys.exit(main())
