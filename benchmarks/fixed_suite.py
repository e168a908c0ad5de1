"""What every task makes of the 20 modules of ``examples/``, as one report without times and paths.

    python benchmarks/fixed_suite.py FOLDER              # writes FOLDER/report.json; goes on
    python benchmarks/fixed_suite.py FOLDER --only lift  # runs whose name begins so
    python benchmarks/fixed_suite.py --compare BEFORE AFTER

A change that should change nothing gives the same report, to the byte, before and after. Everything
is asked for as a user types it, so that old and new versions are asked the same; one worker each,
since what workers remember of a module must not depend on who measured it first. Left out of the
report are seconds, paths of this machine, and what depends on them.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LISP = tuple(
    f"examples/lisp/{name}.c"
    for name in (
        *("core", "errors", "eval", "gc", "lisp_main", "lists", "number", "printer", "reader"),
        *("strings", "table"),
    )
)
SHEET = tuple(
    f"examples/sheet/{name}.cpp"
    for name in ("cell", "csv", "engine", "formula", "functions", "graph", "sheet_main", "token")
)
INVENTORY = "examples/cross-compile/inventory.c"
MODULES = (*LISP, *SHEET, INVENTORY)
ERRORS, TABLE, GRAPH = "examples/lisp/errors.c", "examples/lisp/table.c", "examples/sheet/graph.cpp"
CSV = "examples/sheet/csv.cpp"
AARCH64 = ("--target-triple", "aarch64-linux-gnu")

_TIMES = re.compile(r"seconds|_s$")
# What LLVM in process makes of a list with gvn-hoist or gvn-sink may differ from run to run.
_UNSTABLE = ("in_process_size_bytes",)
_TIME_COLUMN = re.compile(r"(^|\W)s a \w+$|^seconds|minutes")
_DURATION = re.compile(r"[\d.]+ (minutes|s a prediction)")
_TEMPORARY = re.compile(r"/\S*?llm-compiler-[^/\s]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A command of the suite; ``{out}`` stands for a folder of its own."""

    name: str
    arguments: tuple[str, ...]


def _optimize(name: str, files: Sequence[str], *options: str) -> Run:
    arguments = ("optimize", *files, "--jobs", "1", "--json", "--out-dir", "{out}", *options)
    return Run(name=f"optimize-{name}", arguments=arguments)


def _evaluate(name: str, task: str, suite: str, *options: str) -> Run:
    where = ("--suite", suite, "--report", "{out}", "--jobs", "1", "--json")
    return Run(name=f"evaluate-{name}", arguments=("evaluate", task, *where, *options))


RUNS = (
    _optimize("all", MODULES),
    _optimize("explained", (ERRORS, GRAPH, INVENTORY), "--explain", "--candidates", "4"),
    _optimize("text-data", (ERRORS, TABLE, CSV, INVENTORY), "--objective", "text-data"),
    _optimize("instructions", (ERRORS, CSV, INVENTORY), "--objective", "instructions"),
    _optimize("coreset", (TABLE, GRAPH, INVENTORY), "--proposer", "coreset", "--pass-lists-only"),
    _optimize("search", (ERRORS,), "--proposer", "search", "--candidates", "0", "--budget", "40"),
    _optimize("local", (INVENTORY, ERRORS), "--candidates", "4", "--budget", "40", "--trust"),
    _optimize("allowed", (ERRORS, INVENTORY), "--allow", "unwind-tables", "--effort", "fast"),
    _optimize("aarch64", (ERRORS, TABLE, GRAPH, INVENTORY), *AARCH64),
    _optimize("assembly", (ERRORS, CSV), "-S", "--effort", "fast"),
    _optimize("bitcode", (ERRORS, CSV), "--emit-llvm", "--effort", "fast"),
    _optimize("passes", (ERRORS, CSV, INVENTORY), "--emit-passes", "--effort", "fast"),
    _optimize("broken", (INVENTORY, "examples/README.md", "examples/lisp/lisp.h")),
    Run(
        name="optimize-table",
        arguments=("optimize", ERRORS, CSV, "--verbose", "--jobs", "1", "--out-dir", "{out}"),
    ),
    Run(
        name="program-lisp",
        arguments=(
            *("optimize", *LISP, "--whole-program", "--json", "--jobs", "1"),
            *("--effort", "fast", "-o", "{out}/lisp.o"),
        ),
    ),
    Run(
        name="program-sheet",
        arguments=(
            *("optimize", *SHEET, "--whole-program", "--json", "--jobs", "1"),
            *("--candidates", "2", "-o", "{out}/sheet.o"),
        ),
    ),
    Run(
        name="lift-rules",
        arguments=(
            *("disassemble", "{objects}/inventory.o", "{objects}/errors.o"),
            *("--engine", "none", "--search-s", "0", "--json", "--out-dir", "{out}"),
        ),
    ),
    Run(
        name="lift-model",
        arguments=(
            *("disassemble", "{objects}/inventory.o", "--no-rules", "--candidates", "2"),
            *("--function", "by_value", "--answer-s", "0", "--json", "--out-dir", "{out}"),
        ),
    ),
    Run(
        name="lift-aarch64",
        arguments=(
            *("disassemble", "{objects}/inventory-aarch64.o", "--engine", "none", "--json"),
            *("--search-s", "0", "--out-dir", "{out}"),
        ),
    ),
    *(
        Run(
            name=f"emulate-{name}",
            arguments=("emulate", file, "--passes", passes, "--check", "--json", *options),
        )
        for name, file, passes, options in (
            ("oz", INVENTORY, "default<Oz>", ()),
            ("list", ERRORS, "function(sroa,instcombine<>),globaldce", ()),
            ("assembly", INVENTORY, "function(sroa)", ("-S",)),
            ("aarch64", INVENTORY, "default<Oz>", AARCH64),
        )
    ),
    _evaluate(
        "tuning",
        "flag-tuning",
        "examples",
        *("--contenders", "coreset", "plain", "--budgets", "1,4", "--no-check"),
    ),
    _evaluate(
        "searches", "flag-tuning", "examples/cross-compile", "--budgets", "1,6", "--no-check"
    ),
    _evaluate(
        "paper", "flag-tuning", "examples/cross-compile", "--protocol", "paper", "--no-check"
    ),
    _evaluate(
        "disassembly",
        "disassembly",
        "examples/cross-compile",
        *("--functions", "2", "--candidates", "2", "--rules", "--search-s", "0"),
    ),
    _evaluate("emulation", "emulation", "examples/cross-compile"),
    _evaluate("sizes", "size-prediction", "examples/lisp", "--samples", "3"),
    _evaluate("perplexity", "perplexity", "examples/lisp", "--samples", "3"),
    _evaluate(
        "together",
        "all",
        "examples/cross-compile",
        *("--modules", "1", "--functions", "1", "--samples", "1", "--candidates", "1"),
        *("--contenders", "coreset", "plain", "--no-check"),
        *("--tasks", "flag-tuning", "size-prediction", "perplexity"),
    ),
)


class _Page(HTMLParser):
    """The text of a page, with the cells of its tables row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._cell: str | None = None
        self._row: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("td", "th"):
            self._cell = ""
        elif tag == "img":
            source = dict(attrs).get("src") or ""
            self.lines.append(f"image {hashlib.sha256(source.encode()).hexdigest()[:16]}")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._row.append((self._cell or "").replace("|", "\\|"))
            self._cell = None
        elif tag == "tr":
            self.lines.append("| " + " | ".join(self._row) + " |")
            self._row = []

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell += data
        elif data.strip():
            self.lines.append(data.strip())


def _without_times(value: Any) -> Any:
    """Return JSON without what differs from run to run."""
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if not _varies(k)}
    if isinstance(value, list):
        return [_without_times(item) for item in value]
    return value


def _varies(key: str) -> bool:
    return key in _UNSTABLE or (bool(_TIMES.search(key)) and key not in ("timeout_s", "search_s"))


def _lines(text: str) -> list[str]:
    """Return text line by line, without the columns of tables that are times."""
    found = []
    times: set[int] = set()
    before = ""
    for line in text.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if not line.startswith("|"):
            times = set()
        elif not before.startswith("|"):
            times = {i for i, cell in enumerate(cells) if _TIME_COLUMN.search(cell.strip())}
        before = line
        if line.startswith("|"):
            line = "|".join(cell for i, cell in enumerate(cells) if i not in times)
        found.append(_DURATION.sub(r"X \1", line))
    return found


def _rows(path: Path) -> list[Any]:
    from pyarrow import parquet

    return [_without_times(row) for row in parquet.read_table(path).to_pylist()]


def _content(path: Path, clean: Any) -> Any:
    """Return what a file says, times left out; of binary files the hash."""
    match path.suffix:
        case ".json":
            return clean(_without_times(json.loads(path.read_text())))
        case ".parquet":
            return clean(_rows(path))
        case ".md":
            return clean(_lines(path.read_text()))
        case ".html":
            page = _Page()
            page.feed(path.read_text())
            return clean(_lines("\n".join(page.lines)))
        case ".ll" | ".s":
            return clean(path.read_text().splitlines())
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    left_out = ("journal.jsonl", "programs.jsonl", ".lock")
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in left_out and not path.name.startswith("measurem"):
            yield path


def _stdout(text: str) -> list[Any]:
    """Return JSON lines ordered by their inputs, since whoever is first done is first printed."""
    try:
        found = [_without_times(json.loads(line)) for line in text.splitlines()]
        return sorted(found, key=lambda item: str(item.get("input", "")))
    except (ValueError, AttributeError):
        pass
    try:
        return [_without_times(json.loads(text))]
    except ValueError:
        return text.splitlines()


def make_objects(folder: Path) -> None:
    """Compile what is lifted."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, source, flags in (
        ("inventory", INVENTORY, ()),
        ("errors", ERRORS, ()),
        ("inventory-aarch64", INVENTORY, ("--target=aarch64-linux-gnu",)),
    ):
        output = folder / f"{name}.o"
        command = ["clang-19", *flags, "-Oz", "-fPIC", "-c", source, "-o", str(output)]
        subprocess.run(command, cwd=ROOT, check=True)


def measure(run: Run, folder: Path) -> dict[str, Any]:
    """Type a command and return all that it says and writes."""
    out = folder / run.name
    shutil.rmtree(out, ignore_errors=True)  # of a run that was stopped
    out.mkdir(parents=True)
    home = folder / "home"
    names = {"out": str(out), "objects": str(folder / "objects")}
    arguments = [argument.format(**names) for argument in run.arguments]
    env = os.environ | {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "NO_COLOR": "1",
        "COLUMNS": "100",
    }
    done = subprocess.run(
        [sys.executable, "-m", "llm_compiler", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items()}
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, str):
            value = value.replace(str(folder), "FOLDER").replace(str(ROOT), "ROOT")
            return _TEMPORARY.sub("TEMPORARY", value)
        return value

    return {
        "name": run.name,
        "arguments": list(run.arguments),
        "exit_code": done.returncode,
        "stdout": clean(_stdout(done.stdout)),
        "stderr": [_DURATION.sub(r"X \1", line) for line in clean(done.stderr.splitlines())],
        "files": {str(path.relative_to(out)): _content(path, clean) for path in _files(out)},
    }


def compare(before: Path, after: Path) -> int:
    """Print what differs between two reports; return 1 if anything does."""
    old, new = (
        {load["name"]: load for load in json.loads(path.read_text())} for path in (before, after)
    )
    differs = 0
    for name in dict.fromkeys([*old, *new]):
        first, second = (json.dumps(table.get(name), indent=1).splitlines() for table in (old, new))
        lines = list(difflib.unified_diff(first, second, "before", "after", lineterm="", n=3))
        print(f"{name}: {'differs' if lines else 'the same'}")
        print("\n".join(line[:300] for line in lines[2:200]))
        differs |= bool(lines)
    return differs


def main() -> None:
    """Run the suite, or compare two reports of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--only", nargs="*", default=[], help="runs whose name begins so")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("BEFORE", "AFTER"))
    options = parser.parse_args()
    if options.compare:
        sys.exit(compare(*options.compare))
    if options.folder is None:
        parser.error("name a folder for the report")
    folder = options.folder.resolve()
    make_objects(folder / "objects")
    chosen = [
        each_run
        for each_run in RUNS
        if not options.only or each_run.name.startswith(tuple(options.only))
    ]
    report = folder / "report.json"
    found = json.loads(report.read_text()) if report.exists() else []
    for run in chosen:
        if run.name in {done["name"] for done in found}:
            continue  # of a run that was stopped
        found.append(measure(run, folder))
        print(f"{run.name}: exit code {found[-1]['exit_code']}", flush=True)
        report.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
