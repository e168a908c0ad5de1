"""One whole program beside clang -Oz, clang -Oz -flto, and its behaviour beside that of clang -Oz.

    python benchmarks/whole_program.py parse.c scan.c ... --flags "-I. -DHAVE_CONFIG_H" \\
        --libs=-lm --run "{} 'BEGIN { print 1 + 2 }'"

Prints one JSON line: sizes after linking (all allocated bytes in the file; C library and start
files are shared and not counted), seconds, and whether every --run printed and returned the same.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.llvm.link_time import LinkTime
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.options import OptimizeOptions
from llm_compiler.optimize_program import optimize_program
from llm_compiler.workers import LocalPool


def program_parser(words: str) -> argparse.ArgumentParser:
    """What a benchmark of one program takes: its sources, how it is built, how it is run."""
    parser = argparse.ArgumentParser(description=words)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--flags", default="")
    parser.add_argument("--libs", default="")
    parser.add_argument("--run", action="append", default=[], help="a shell command, {}: program")
    return parser


def main() -> None:
    parser = program_parser(__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    flags, libs = tuple(options.flags.split()), options.libs.split()
    toolchain = find_toolchain()
    cpp = any(path.suffix != ".c" for path in options.files)
    driver = str(toolchain.tool("clang++" if cpp else "clang"))
    stock = Stock(toolchain=toolchain, flags=parse_clang_flags(flags))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = []
        for index, source in enumerate(options.files):
            objects.append(folder / f"plain{index}.o")
            stock.compile_source(stock.baseline_command(source, objects[-1]), source)
        link = LinkTime(stock=stock, exports=("main",), folder=folder)
        merged = folder / "plain.o"
        stock.run_tool(link.merge_command(objects, merged), "merge")
        plain = link.linked_sizes(merged.read_bytes(), "plain")
        start = time.monotonic()
        with LocalPool(options.jobs) as pool:
            found = optimize_program(
                options.files,
                ["main"],
                OptimizeOptions(candidates=options.candidates, clang_flags=flags),
                pool=pool,
                output=folder / "program.o",
                notify=lambda text: print(text, file=sys.stderr, flush=True),
            )
        seconds = time.monotonic() - start
        (folder / "program.o").write_bytes(found.output)
        programs = folder / "before", folder / "after"
        for program, inputs in zip(programs, (objects, [folder / "program.o"]), strict=True):
            subprocess.run([driver, *map(str, inputs), *libs, "-o", program], check=True)
        same = [outcome(programs[0], item) == outcome(programs[1], item) for item in options.run]
    row = {
        "files": len(options.files),
        "plain_bytes": plain.size_bytes,
        "lto_bytes": found.baseline_bytes,
        "our_bytes": found.optimized_bytes,
        "saved_over_lto_percent": round(100 * found.saved_bytes / found.baseline_bytes, 2),
        "assembled": found.recipe is not None and bool(found.recipe.functions),
        "runs": len(same),
        "runs_same": sum(same),
        "seconds": round(seconds, 1),
        "largest_process_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        "warnings": list(found.warnings),
    }
    print(json.dumps(row))


def outcome(program: Path, command: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        command.replace("{}", str(program)), shell=True, capture_output=True, timeout=60
    )
    # Messages name the program, by its path or its last part.
    stdout, stderr = done.stdout, done.stderr
    for name in (str(program).encode(), program.name.encode()):
        stdout, stderr = stdout.replace(name, b""), stderr.replace(name, b"")
    return done.returncode, stdout, stderr


if __name__ == "__main__":
    main()
