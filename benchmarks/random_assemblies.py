"""A real program with lists drawn at random for each function, beside the same program at -O0.

Every unit is assembled from functions whose lists are drawn (those of the coreset), the program is
linked, and each --run must print and return what the program at -O0 does. Exit code 1 if not.

    python benchmarks/random_assemblies.py *.c --flags "-I. -DHAVE_CONFIG_H" --libs=-lm --seeds 3 \\
        --run "{} 'BEGIN { print 1 + 2 }'"
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from whole_program import outcome, program_parser

from llm_compiler.llvm.clang_flags import parse_clang_flags
from llm_compiler.llvm.stock import Stock
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.search.coreset import load_coreset
from llm_compiler.verify.program_jobs import AssembleProgramsJob, Built
from llm_compiler.workers import LocalPool, run_jobs


def main() -> None:
    parser = program_parser(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    toolchain = find_toolchain()
    cpp = any(path.suffix != ".c" for path in options.files)
    driver = str(toolchain.tool("clang++" if cpp else "clang"))
    flags = tuple(options.flags.split())
    stock = Stock(toolchain=toolchain, flags=parse_clang_flags(flags))
    wrong = 0
    with tempfile.TemporaryDirectory() as name, LocalPool(options.jobs) as pool:
        folder = Path(name)
        libs = options.libs.split()
        right = folder / "right"
        files = list(map(str, options.files))
        subprocess.run([driver, "-O0", *flags, *files, *libs, "-o", right], check=True)
        modules = []
        for index, source in enumerate(options.files):
            path = folder / f"{index}.bc"
            stock.compile_source(stock.frontend_command(source, path), source)
            modules.append(path.read_bytes())
        for seed in range(1, options.seeds + 1):
            job = AssembleProgramsJob(
                modules=tuple(modules),
                names=tuple(files),
                lists=tuple(load_coreset().lists),
                seed=seed,
                timeout_s=300,
            )
            built: list[Built] = run_jobs(pool, [job])[0]
            objects = []
            for index, (each_built, source) in enumerate(zip(built, options.files, strict=True)):
                objects.append(folder / f"{index}.o")
                if each_built.object_bytes:
                    objects[-1].write_bytes(each_built.object_bytes)
                    continue
                print(f"{source} is left whole: {each_built.detail[:200]}", file=sys.stderr)
                stock.compile_source(stock.baseline_command(source, objects[-1]), source)
            program = folder / "program"
            subprocess.run([driver, *map(str, objects), *libs, "-o", program], check=True)
            same = [outcome(right, item) == outcome(program, item) for item in options.run]
            for each_built, good in zip(options.run, same, strict=True):
                if not good:
                    print(f"seed {seed}: another result of {each_built}", file=sys.stderr)
            assembled = sum(bool(item.object_bytes) for item in built)
            print(
                f"seed {seed}: {assembled} of {len(built)} units; {sum(same)} of {len(same)} runs"
            )
            wrong += len(same) - sum(same)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
