#!/usr/bin/env python3
"""Processor seconds of `disassemble`, function by function, and again from the cache.

    python benchmarks/lift_seconds.py FILE... [--engine none] [--search-s 2] [--json FILE]

Each file is lifted twice in one run, the second time with what the first has left in a cache of its
own. Seconds are the processor's, of this process and all that it starts, so that other work on the
machine changes little. Prints a row a file: functions, median, worst, the whole file, the same from
the cache, and their ratio; then the slowest functions.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from process_tree_time import processor_seconds

from llm_compiler.console import print_table
from llm_compiler.disassemble import Disassembled, DisassembleOptions, disassemble
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.workers import LocalPool

_SLOWEST = 8


def main() -> int:
    """Lift each file twice, and print what it took."""
    options = _parse()
    engine = load_engine(options.engine)
    settings = DisassembleOptions(search_s=options.search_s, answer_s=6, keep_unproved=True)
    rows: list[dict[str, Any]] = []
    slowest: list[tuple[float, str, str]] = []
    with tempfile.TemporaryDirectory() as name:
        cache = LiftCache(Path(name), model=options.engine, toolchain=find_toolchain())
        with cache:
            for path in options.files:
                try:
                    first, by_function, whole = _timed(path, engine, settings, cache)
                    again, _, known = _timed(path, engine, settings, cache)
                except LlmCompilerError as error:
                    print(f"{path}: {error}", file=sys.stderr)
                    continue
                assert again.module == first.module, f"{path}: another module from the cache"
                seconds = sorted(by_function.values())
                row = {
                    "file": str(path),
                    "functions": len(first.functions),
                    "accepted": sum(one.is_accepted for one in first.functions),
                    "median_s": round(statistics.median(seconds), 2) if seconds else 0,
                    "worst_s": round(max(seconds, default=0), 2),
                    "file_s": round(whole, 1),
                    "cached_s": round(known, 1),
                    "ratio": round(whole / max(known, 0.01), 1),
                }
                rows.append(row)
                verdicts = {one.name: one.verdict.value for one in first.functions}
                slowest += [
                    (spent, f"{path.name}: {function}", verdicts[function])
                    for function, spent in by_function.items()
                ]
                print(json.dumps(row), file=sys.stderr, flush=True)
                if options.json:
                    with options.json.open("a") as output:
                        output.write(json.dumps({**row, "functions_s": by_function}) + "\n")
    if rows:
        header = list(rows[0])
        print_table(header, [[str(value) for value in row.values()] for row in rows])
    print("\nslowest:")
    for spent, function, verdict in sorted(slowest, reverse=True)[:_SLOWEST]:
        print(f"{spent:8.1f} s  {function} ({verdict})")
    return 0 if len(rows) == len(options.files) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--engine", default="none")
    parser.add_argument("--search-s", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _timed(
    path: Path, engine: Engine, settings: DisassembleOptions, cache: LiftCache
) -> tuple[Disassembled, dict[str, float], float]:
    """Return a lifted file, and the seconds of each function and of all."""
    began = processor_seconds(os.getpid())
    marks: list[tuple[str, float]] = []
    with LocalPool(1) as pool:

        def note(name: str, done: int, total: int) -> None:
            marks.append((name, processor_seconds(os.getpid())))

        result = disassemble(path, engine, settings, pool=pool, on_progress=note, cache=cache)
        end = processor_seconds(os.getpid())
    names = {function.name for function in result.functions}
    spent = {
        name: round(later - at, 3)
        for (name, at), (_, later) in itertools.pairwise(marks)
        if name in names
    }
    return result, spent, end - began


if __name__ == "__main__":
    sys.exit(main())
