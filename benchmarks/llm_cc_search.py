"""What more tries at ``fast`` would save and cost: llm-cc's search, unit by unit.

    python benchmarks/llm_cc_search.py CORPUS --packages mawk,ninja-build [--function-wise]

Each unit of a corpus (``corpus build``) goes through llm-cc's own `Workshop`. Prints for each
package what is saved of all bytes and of code with its unwinding tables, and the processor seconds
in units of clang's on the same bitcode. A build's clang has a front end to run, too, so that its
ratio is smaller.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import resource
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.cc.improve import Workshop
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.clang_flags import ClangFlags
from llm_compiler.llvm.object_file import section_groups
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.options import Effort
from llm_compiler.process import run

_CODE = (".text", ".eh_frame", ".gcc_except_table")
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Row:
    """A unit: bytes before and after, of code and of all; processor seconds."""

    package: str
    code: tuple[int, int]
    size: tuple[int, int]
    clang_s: float
    search_s: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--target-triple", default="x86_64-pc-linux-gnu")
    parser.add_argument("--packages", required=True, type=lambda text: text.split(","))
    parser.add_argument("--units", type=int, default=4, help="of each package")
    parser.add_argument("--max-bytes", type=int, default=150_000)
    parser.add_argument(
        "--lists", type=int, default=0, help="the coreset's first, not llm-cc's own"
    )
    parser.add_argument("--function-wise", action="store_true", help="assemble units, too")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    rows = list(_measured(options))
    print("| package | units | saved | of code | geometric mean | seconds |")
    print("|---|---|---|---|---|---|")
    for package in options.packages:
        _print(package, [row for row in rows if row.package == package])
    _print("all", rows)


def _measured(options: argparse.Namespace) -> Iterator[Row]:
    clang = find_toolchain().tool("clang")
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "baseline.o"
        workshop = Workshop(find_toolchain(), Path(name), assembles_at_fast=options.function_wise)
        with workshop:
            for path in _units(options):
                begun = _cpu_s()
                command: list[str | Path] = [
                    clang,
                    "-Oz",
                    "-Wno-override-module",
                    "-c",
                    path,
                    "-o",
                    output,
                ]
                if not run(command, timeout_s=_TIMEOUT_S).ok:
                    continue
                compiled, before = _cpu_s(), output.read_bytes()
                try:
                    found = workshop.improve(
                        name=path.name,
                        bitcode=path.read_bytes(),
                        baseline=before,
                        flags=ClangFlags(kept=("-Oz",)),
                        effort=Effort.FAST,
                        stop=threading.Event(),
                    ).result
                except LlmCompilerError:
                    continue
                after = before if found.recipe is None else found.output
                groups = [section_groups(data) for data in (before, after)]
                code = [sum(group.get(name, 0) for name in _CODE) for group in groups]
                yield Row(
                    package=path.relative_to(options.corpus / options.target_triple).parts[0],
                    code=(code[0], code[1]),
                    size=(sum(groups[0].values()), sum(groups[1].values())),
                    clang_s=compiled - begun,
                    search_s=_cpu_s() - compiled,
                )


def _units(options: argparse.Namespace) -> Iterator[Path]:
    for package in options.packages:
        paths = sorted((options.corpus / options.target_triple / package).rglob("*.bc"))
        fitting = [path for path in paths if 4000 < path.stat().st_size < options.max_bytes]
        random.Random(options.seed).shuffle(fitting)
        yield from fitting[: options.units]


def _print(name: str, rows: list[Row]) -> None:
    if not rows:
        return
    saved, of_code = (
        1 - sum(after for _, after in pairs) / sum(before for before, _ in pairs)
        for pairs in ([row.size for row in rows], [row.code for row in rows])
    )
    mean = 1 - math.exp(sum(math.log(row.size[1] / row.size[0]) for row in rows) / len(rows))
    seconds = sum(row.search_s for row in rows) / sum(row.clang_s for row in rows)
    print(
        f"| {name} | {len(rows)} | {100 * saved:.2f} % | {100 * of_code:.2f} % | {100 * mean:.2f} %"
        f" | {seconds:.1f} |",
        flush=True,
    )


def _cpu_s() -> float:
    """Return the processor seconds of this process, of its children, and of theirs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(usage.ru_utime + usage.ru_stime for usage in used)
    stats: dict[int, tuple[int, float]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks = sum(map(int, fields[11:15]))
        stats[int(path.parent.name)] = int(fields[1]), ticks / os.sysconf("SC_CLK_TCK")
    for pid in stats:
        ancestor = stats[pid][0]
        while ancestor in stats and ancestor != os.getpid():
            ancestor = stats[ancestor][0]
        if ancestor == os.getpid():
            total += stats[pid][1]
    return total


if __name__ == "__main__":
    main()
