#!/usr/bin/env python3
"""Real programs rebuilt from lifted objects: do their own tests still pass?

    python benchmarks/relink_programs.py SOURCE --build "make CC={cc}" --test "make check" \\
        --cache DIR [--objects "*.o"] [--level Oz] [--json FILE]

Copies SOURCE, builds it with clang at the level, and runs its tests. Then each object is lifted by
rules alone, and made again with lifted functions in place of the originals (``--relink``); the same
build command links them, and the same tests run. Every function that is at least *tests_passed* is
replaced; the table says how many that are. Objects are kept in the cache by their content: stopped,
the same command goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from llm_compiler.disassemble import DisassembleOptions, disassemble
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool


def main() -> int:
    """Build, lift, relink, test; print what came of it."""
    options = _parse()
    options.cache.mkdir(parents=True, exist_ok=True)
    compiler = f"'{find_toolchain().tool('clang')} -{options.level}'"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "program"
        shutil.copytree(options.source, folder, symlinks=True)
        build = options.build.replace("{cc}", compiler)
        if (before := _shell(build, folder, options.test)) != "passed":
            print(f"the original: {before}")
            return 1
        found: list[dict[str, Any]] = []
        with LocalPool(1) as pool:
            for path in sorted(folder.rglob(options.objects)):
                row = _relinked(path, options, pool)
                found.append({"object": str(path.relative_to(folder)), **row})
                print(json.dumps(found[-1]), flush=True)
        _make_newer(folder, options.objects)
        after = _shell(build, folder, options.test)
    verdicts = sum((Counter(table["verdicts"]) for table in found), Counter())
    replaced = verdicts["exact"] + verdicts["tests_passed"]
    total = {
        "program": options.source.name,
        "objects": len(found),
        "functions": verdicts.total(),
        "replaced": replaced,
        "verdicts": dict(verdicts),
        "tests": after,
    }
    print(json.dumps(total))
    if options.json:
        with options.json.open("a") as output:
            output.write(json.dumps(total) + "\n")
    return 0 if after == "passed" else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--build", required=True, help="a shell command; {cc}: the compiler")
    parser.add_argument("--test", required=True, help="a shell command that fails if a test does")
    parser.add_argument("--objects", default="*.o")
    parser.add_argument("--level", default="Oz")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--search-s", type=float, default=1.0)
    parser.add_argument("--max-seconds", type=float, default=6.0, help="to run one lift")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _shell(build: str, folder: Path, test: str) -> str:
    for command, word in ((build, "does not build"), (test, "fails its tests")):
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            return f"{word}: {(done.stdout + done.stderr)[-400:]}"
    return "passed"


def _relinked(path: Path, options: argparse.Namespace, pool: LocalPool) -> dict[str, Any]:
    """Put an object with lifted functions in an object's place; return what was lifted."""
    data = path.read_bytes()
    key = hashlib.sha256(data).hexdigest()[:24]
    kept, note = options.cache / f"{key}.o", options.cache / f"{key}.json"
    if not note.exists():
        settings = DisassembleOptions(
            relink=True,
            search_s=options.search_s,
            keep_unproved=False,
            execute=ExecuteOptions(max_seconds=options.max_seconds),
        )
        started = time.monotonic()
        try:
            result = disassemble(path, NoEngine(), settings, pool=pool)
        except LlmCompilerError as error:
            note.write_text(json.dumps({"verdicts": {}, "cause": str(error)[:300]}))
        else:
            kept.write_bytes(result.relinked)
            verdicts = Counter(function.verdict.value for function in result.functions)
            seconds = round(time.monotonic() - started, 1)
            note.write_text(json.dumps({"verdicts": verdicts, "seconds": seconds}))
    if kept.exists():
        path.write_bytes(kept.read_bytes())
    row: dict[str, Any] = json.loads(note.read_text())
    return row


def _make_newer(folder: Path, pattern: str) -> None:
    """Make objects newer than their sources, and older than nothing that is linked from them."""
    now = time.time() + 2
    for path in folder.rglob(pattern):
        os.utime(path, (now, now))


if __name__ == "__main__":
    sys.exit(main())
