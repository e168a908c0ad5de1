"""Every command with ``--pool``, over two Ray nodes and over the local pool: the same results?

Starts a Ray head without processors and two nodes of one core, as processes of their own, and runs
each command on a few modules of a corpus twice, into folders of its own. What it writes and prints
is compared: tables row by row, stores module by module, JSON field by field, all without columns
of time. Prints one JSON object a command; the exit code is 1 if any differs. Small inputs: this
says whether commands work over nodes, `ray_pool.py` what that costs.

    python benchmarks/ray_commands.py CORPUS --packages mawk --split validation --out work/ray
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.parquet import read_table

STORE_BYTES = 80 * 1024**2
TIMES = ("second", "time", "created", "recorded", "rate", "_ms", "path", "report", "store")
"""Parts of names of columns and fields that differ from run to run."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command.

    Args:
        arguments: for a folder of its own; ``{samples}``, ``{corpus}``, ``{out}`` are replaced.
        results: what there is to compare, from that folder.
    """

    name: str
    arguments: str
    results: Callable[[Path], Any] = lambda folder: None


def table(name: str) -> Callable[[Path], Any]:
    """Return what reads a Parquet file, or all of a folder, as rows in order, without times."""

    def rows(folder: Path) -> Any:
        path = folder / name
        paths = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
        found: list[list[str]] = []
        for path in paths:
            read = read_table(path)
            kept = [column for column in read.column_names if not is_time(column)]
            columns = [list(map(shown, read[column].to_pylist())) for column in kept]
            found += [list(row) for row in zip(*columns, strict=True)]
        return sorted(found)

    return rows


def store(name: str) -> Callable[[Path], Any]:
    """Return what reads a store: every measurement by its module and list, whenever it came.

    Without the hash of the code: passes that order by addresses (GVN among them) give other code of
    the same sizes in processes whose memory is laid out otherwise, on any pool.
    """

    def rows(folder: Path) -> Any:
        with sqlite3.connect(folder / name) as connection:
            found = connection.execute(
                "SELECT modules.hash, lists.pipeline, status, size_bytes, text_data_bytes, "
                "num_instructions, detail FROM measurements "
                "JOIN modules ON modules.id = module_id JOIN lists ON lists.id = list_id"
            )
            return sorted(map(repr, found.fetchall()))

    return rows


def json_file(name: str) -> Callable[[Path], Any]:
    """Return what reads a JSON file without times."""
    return lambda folder: without_times(json.loads((folder / name).read_text()))


def shown(value: Any) -> str:
    """Return a value as text; how many inputs were tried in the time for it is left out."""
    return re.sub(r"\d+ inputs", "inputs", repr(value))


def is_time(name: str) -> bool:
    """Return whether a column or field is of time or place, which differ from run to run."""
    return any(word in name for word in TIMES)


def without_times(value: Any) -> Any:
    """Return JSON without what differs from run to run."""
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if not is_time(name)}
    return list(map(without_times, value)) if isinstance(value, list) else value


COMMANDS = (
    Command(
        name="corpus sample",
        arguments="corpus sample {corpus} --packages {packages} --max-package-functions 60 "
        "--out {out}/samples",
        results=table("samples"),
    ),
    Command(
        name="dataset build emulation",
        arguments="dataset build emulation {samples} --out {out}/stage --num-samples 30 "
        "--split {split} --seed 1",
        results=table("stage"),
    ),
    Command(
        name="labels build",
        arguments="labels build {samples} -o {out}/labels.parquet --split {split} --num-lists 3 "
        "--max-modules 12",
        results=table("labels.parquet"),
    ),
    Command(
        name="labels recipes",
        arguments="labels recipes {corpus} -o {out}/by-recipe --split {split} --max-units 2 "
        "--max-unit-bytes 20000 --recipes {out}/recipes.txt",
        results=table("by-recipe"),
    ),
    Command(
        name="labels ceiling",
        arguments="labels ceiling {samples} -o {out}/ceiling.parquet --store {out}/c.db "
        "--split {split} --budget 20 --max-modules 2",
        results=table("ceiling.parquet"),
    ),
    Command(
        name="autotune",
        arguments="autotune {samples} --split {split} --max-modules 4 --budget 24 "
        "--store {out}/a.db --json",
        results=store("a.db"),
    ),
    Command(
        name="coreset build",
        arguments="coreset build {samples} --split {split} --store {out}/a.db "
        "-o {out}/coreset.json --num-lists 3 --max-candidates 12 --refine-steps 3 --refine-lists 1 "
        "--refine-modules 3",
        results=json_file("coreset.json"),
    ),
    Command(name="validate", arguments="validate sroa --architecture x86_64 --json"),
    Command(
        name="evaluate flag-tuning",
        arguments="evaluate flag-tuning --suite {samples} --split {split} --modules 4 "
        "--contenders coreset random local --budgets 1,8 --no-check --report {out}/tuned",
        results=table("tuned/rows.parquet"),
    ),
    Command(
        name="evaluate disassembly",
        arguments="evaluate disassembly --suite {samples} --split {split} --functions 6 "
        "--architecture x86_64 --engine none --report {out}/lifted",
        results=table("lifted/rows.parquet"),
    ),
    Command(
        name="evaluate emulation",
        arguments="evaluate emulation --suite {samples} --split {split} --modules 1 "
        "--architecture x86_64 --report {out}/emulated",
        results=table("emulated/rows.parquet"),
    ),
    Command(
        name="evaluate size-prediction",
        arguments="evaluate size-prediction --suite {samples} --split {split} --samples 2 "
        "--architecture x86_64 --report {out}/sizes",
        results=table("sizes/rows.parquet"),
    ),
    Command(
        name="evaluate perplexity",
        arguments="evaluate perplexity --suite {samples} --split {split} --samples 2 "
        "--architecture x86_64 --report {out}/perplexity",
        results=table("perplexity/rows.parquet"),
    ),
)


def main() -> int:
    """Run it; see the module's words."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--packages", required=True)
    parser.add_argument("--split", default="validation")
    parser.add_argument("--out", type=Path, required=True)
    names = [command.name for command in COMMANDS]
    parser.add_argument("--commands", nargs="*", default=names, choices=names)
    options = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    num_different = 0
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        ray = ["--pool", "ray", "--ray-address", cluster.address]
        for command in COMMANDS:
            if command.name in options.commands:
                local = run(command, "local", ["--jobs", "2"], options)
                over_ray = run(command, "ray", ray, options)
                is_same = local["results"] == over_ray["results"]
                num_different += not is_same
                row = {
                    "command": command.name,
                    "same": is_same,
                    "num_rows": size_of(local["results"]),
                    "exit_codes": [local["code"], over_ray["code"]],
                    "wall_seconds": [local["seconds"], over_ray["seconds"]],
                }
                print(json.dumps(row), flush=True)
    finally:
        cluster.shutdown()
    return 1 if num_different else 0


def run(
    command: Command, pool: str, extra: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Run a command over a pool; return what came of it."""
    out = options.out / pool
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipes.txt").write_text("default<Oz>\nfunction(sroa)\n")
    text = command.arguments.format(
        corpus=options.corpus,
        packages=options.packages,
        split=options.split,
        samples=options.out / "local" / "samples",
        out=out,
    )
    for path in outputs(command, out):
        shutil.rmtree(path, ignore_errors=True)
        for left in out.glob(f"{path.stem}*"):  # journals, parts of stores
            if left.is_file():
                left.unlink()
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "llm_compiler", *text.split(), *extra],
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    (out / f"{command.name.replace(' ', '-')}.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"{command.name} over {pool}: exit code {done.returncode}: {done.stderr}")
    printed = [
        without_times(json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")
    ]
    return {
        "code": done.returncode,
        "seconds": round(time.monotonic() - began, 1),
        "results": {"printed": printed, "written": command.results(out)},
    }


def outputs(command: Command, out: Path) -> list[Path]:
    """Return what a command writes anew; `coreset build` goes on with the store of `autotune`."""
    words = [word for word in command.arguments.split() if word.startswith("{out}/")]
    found = [Path(word.format(out=out)) for word in words]
    is_kept = {"recipes.txt"} | ({"a.db"} if command.name == "coreset build" else set())
    return [path for path in found if path.name not in is_kept]


def size_of(results: dict[str, Any]) -> int:
    """Return how many rows were compared, those that were printed included."""
    written = results["written"]
    if isinstance(written, dict):  # a coreset
        written = written.get("lists", [])
    return len(written or []) + len(results["printed"])


if __name__ == "__main__":
    sys.exit(main())
