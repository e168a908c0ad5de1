"""Do functions of Csmith programs fit together when each is made by another recipe?

    python benchmarks/csmith_assemblies.py -o results.jsonl --programs 500 --first-seed 900000

Random programs (`verify.csmith`) are assembled from functions that have recipes of the shipped
coreset drawn at random, linked, and run beside their clang -O0 builds. Programs come in parts of
--part; each part is one line of the results, so that a run that was stopped goes on. Exit code 1
if any program does something else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from gcc_torture import assemble_suite

from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.search.coreset import load_coreset
from llm_compiler.user_folders import cache_folder
from llm_compiler.verify.csmith import csmith_suite


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--programs", type=int, default=500)
    parser.add_argument("--first-seed", type=int, default=900_000)
    parser.add_argument("--part", type=int, default=25, help="programs that are run together")
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--seed", type=int, default=1, help="of the recipes that are drawn")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=cache_folder())
    options = parser.parse_args()
    options.function_wise = 1
    done: dict[tuple[str, str, str], dict[str, str]] = {}
    rows = read_rows(options.output)
    for row in rows:
        done[row["suite"], row["architecture"], row["list"]] = row["failures"]
    # Code is generated with one set of options, so attributes alone differ by function.
    recipes = [
        recipe for recipe in load_coreset().recipes_for(options.architecture) if not recipe.options
    ]
    first = options.first_seed
    for start in range(0, options.programs, options.part):
        count = min(options.part, options.programs - start)
        suite = csmith_suite(
            count, first_seed=first, toolchain=find_toolchain(), cache_dir=options.cache
        )
        assemble_suite(suite, recipes, options, done)
        first = int(suite.programs[-1].name.removeprefix("csmith_")) + 1
    rows = read_rows(options.output)
    wrong = sum(len(row["failures"]) for row in rows)
    print(
        f"{sum(row['programs'] for row in rows)} programs assembled, "
        f"{sum(row['left_whole'] for row in rows)} left whole, {wrong} failures"
    )
    sys.exit(1 if wrong else 0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a run before; none where there was none."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
