#!/usr/bin/env python3
"""What solving for inputs reaches: lifts that had lacked inputs, put to the verdicts again.

    python benchmarks/solve_inputs.py REPORT [--architecture A] [--rows FILE]

Takes the lifts of a report of `evaluate disassembly` that were unproved since inputs did not run
all basic blocks, or too few ran to their end. Each is run side by side with its original twice:
with inputs that are drawn only, and with inputs that are solved for as well, within the same limits
of time. One line of JSON a lift goes to the file of rows; what has one is not run again.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_compiler.console import print_table
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.assembler import assemble
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.verify.execute import ExecuteOptions, Execution, Executor
from llm_compiler.verify.lifted import InspectLiftJob, LiftInspection
from llm_compiler.verify.round_trip import lower, read_code_object
from llm_compiler.verify.target import find_target
from llm_compiler.workers import LocalPool, run_jobs

_LACKS_REACH = re.compile(r"the inputs run \d+ of its|the original ran to its end on")
_VERDICTS = ("tests_passed", "unproved", "refuted")


def main() -> int:
    """Run what lacked inputs, and print."""
    options = _parse()
    rows = _load(options.rows) if options.rows else {}
    toolchain = find_toolchain()
    with LocalPool(1) as pool:
        for lift in _lifts(options.report, options.architecture):
            key = lift["target_triple"], lift["module"], lift["function"]
            if key in rows:
                continue
            with tempfile.TemporaryDirectory() as scratch:
                try:
                    row = _judged(lift, toolchain, pool, Path(scratch))
                except LlmCompilerError as error:
                    print(f"{lift['function']}: {error}", file=sys.stderr)
                    continue
            rows[key] = row
            if options.rows:
                with options.rows.open("a") as output:
                    output.write(json.dumps(row) + "\n")
    _print(list(rows.values()))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("report", type=Path, help="folder of `evaluate disassembly`")
    parser.add_argument("--architecture")
    parser.add_argument("--rows", type=Path, metavar="FILE")
    return parser.parse_args()


def _load(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["target_triple"], row["module"], row["function"]): row for row in rows}


def _lifts(report: Path, architecture: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a report's lifts that lacked inputs."""
    for line in (report / "journal.jsonl").read_text().splitlines():
        for row in json.loads(line).get("rows", ()):
            is_wanted = architecture in (None, architecture_of(row["target_triple"]))
            if is_wanted and row["verdict"] == "unproved" and _LACKS_REACH.search(row["reason"]):
                yield row


def _judged(
    lift: dict[str, Any], toolchain: Toolchain, pool: LocalPool, folder: Path
) -> dict[str, Any]:
    """Return what both kinds of inputs show of a lift."""
    name, triple = lift["function"], lift["target_triple"]
    architecture = architecture_of(triple)
    assemble(lift["assembly"], architecture, toolchain, folder / "original.o", name=name)
    job = InspectLiftJob(texts=(lift["answer"],), function=name, target_triple=triple)
    found: LiftInspection = run_jobs(pool, [job])[0][0]
    (folder / "lifted.ll").write_text(found.text)
    lower(folder / "lifted.ll", folder / "lifted.o", architecture, toolchain)
    original, lifted = (
        read_code_object(folder / stem, toolchain) for stem in ("original.o", "lifted.o")
    )
    row: dict[str, Any] = {
        key: lift[key] for key in ("target_triple", "module", "function", "num_instructions")
    }
    for kind, options in (
        ("drawn", ExecuteOptions(solve_s=0.0)),
        ("solved", ExecuteOptions()),
    ):
        (folder / kind).mkdir()
        executor = Executor(find_target(architecture, toolchain), folder / kind, options)
        start = time.process_time()
        result: Execution = executor.verify(original, lift["assembly"], name, lifted, found)
        row[kind] = {
            "verdict": result.verdict.value,
            "reason": result.reason,
            "num_blocks": result.num_blocks,
            "num_covered": result.num_covered,
            "num_completed": result.num_completed,
            "seconds": round(time.process_time() - start, 2),
        }
    return row


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = []
    for architecture in sorted({architecture_of(row["target_triple"]) for row in rows}):
        of = [row for row in rows if architecture_of(row["target_triple"]) == architecture]
        for kind in ("drawn", "solved"):
            results = [row[kind] for row in of]
            blocks = sum(result["num_blocks"] for result in results)
            covered = sum(result["num_covered"] for result in results)
            whole = sum(0 < result["num_blocks"] == result["num_covered"] for result in results)
            counts = [sum(result["verdict"] == v for result in results) for v in _VERDICTS]
            table.append(
                [
                    architecture,
                    kind,
                    str(len(of)),
                    f"{100 * covered / max(1, blocks):.1f} %",
                    str(whole),
                    *map(str, counts),
                    f"{sum(result['seconds'] for result in results) / len(of):.2f}",
                ]
            )
    headings = ("target", "inputs", "lifts", "blocks run", "all blocks", *_VERDICTS, "s a lift")
    print_table(headings, table)


if __name__ == "__main__":
    sys.exit(main())
