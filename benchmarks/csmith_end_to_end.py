"""Does what `optimize` hands out still do the same? Random programs, whole, by the stock tools.

    python benchmarks/csmith_end_to_end.py [--programs N] [--first-seed S] [--budget B]

Each Csmith program is optimised as a user would, linked, run, and must print what its -O0 build
prints. The seeds are not those that the shipped verdicts were made with (1 to 50).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import OptimizeOptions, optimize_many
from llm_compiler.process import run
from llm_compiler.user_folders import cache_folder
from llm_compiler.verify.csmith import csmith_suite
from llm_compiler.workers import LocalPool


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=100_000)
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--budget", type=int, default=0)
    parser.add_argument("--trust", action="store_true", help="recipes without a verdict too")
    options = parser.parse_args()
    toolchain = find_toolchain()
    clang = str(toolchain.tool("clang"))
    suite = csmith_suite(
        options.programs,
        first_seed=options.first_seed,
        toolchain=toolchain,
        cache_dir=cache_folder(),
    )
    before = after = won = 0
    different: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sources = []
        for program in suite.programs:
            sources.append(folder / program.file_name)
            sources[-1].write_text(program.source)
        flags = (*suite.programs[0].flags, "-w")
        settings = OptimizeOptions(
            candidates=options.candidates,
            budget=options.budget,
            clang_flags=flags,
            trust=options.trust,
        )
        with LocalPool() as pool:
            results = optimize_many(sources, settings, pool=pool)
            for source, result in zip(sources, results, strict=True):
                if isinstance(result, LlmCompilerError):
                    sys.exit(f"{source}: {result}")
                ours, plain = folder / "ours.o", folder / "plain.o"
                ours.write_bytes(result.output)
                run([clang, "-O0", "-c", *flags, str(source), "-o", str(plain)], timeout_s=60)
                printed = []
                for object_file in (ours, plain):
                    run([clang, str(object_file), "-o", str(folder / "a.out")], timeout_s=60)
                    done = run([str(folder / "a.out")], timeout_s=20)
                    printed.append((done.exit_status, done.stdout))
                if printed[0] != printed[1]:
                    different.append(f"{source.name}: {result.passes}")
                before += result.baseline_bytes
                after += result.optimized_bytes
                won += result.passes is not None
    print(
        f"{len(sources)} programs, {won} with a pass list; {before} bytes at -Oz, {after} ours "
        f"({100 * (before - after) / before:.2f} % saved); {len(different)} print something else"
    )
    for line in different:
        print(line)
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
