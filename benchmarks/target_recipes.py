"""Choose the recipes of a target that is optimised and not lifted, from units of its corpus.

    llm-compiler corpus build --config configs/corpus/debian.toml --out work/firmware \\
        --packages mbedtls,libtomcrypt,cjson,lz4,libogg,lzo2 --target-triple thumbv7m-none-eabi
    C=work/firmware/thumbv7m-none-eabi
    python benchmarks/target_recipes.py choose $C -o work/thumbv7m.json
    python benchmarks/target_recipes.py measure $C --recipes work/thumbv7m.json --packages expat

`choose` tries the lists that ship for other targets, plainly and under settings of code generation,
on units of training packages, and writes the recipes in greedy order, for data/coreset.json.
`measure` says what the first K recipes save on units of other packages, by the objective flash,
over default<Oz> in process. The units have no frame pointers, which clang -Oz keeps on bare-metal
Arm: what leaving them out saves is printed first.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from llm_compiler.cc.fast import FAST_LISTS
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.records import OZ, Recipe
from llm_compiler.search.coreset import greedy, load_coreset
from llm_compiler.search.objective import FLASH
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import run_jobs

_ATTRIBUTES = re.compile(rb"^(attributes #\d+ = \{ )", re.MULTILINE)
TRAINING = ("mbedtls", "libtomcrypt", "cjson", "lz4", "libogg", "lzo2")
SETTINGS = (
    Recipe(),
    Recipe(options=("disable-lsr=true", "disable-machine-licm=true")),
)
_MIN_BYTES, _MAX_BYTES = 4_000, 40_000
"""Of bitcode: smaller units hold tables or nothing, larger ones cost most of the seconds."""


def units(corpus: Path, packages: tuple[str, ...], count: int, seed: int) -> list[Path]:
    """Return units of packages, no package with more than a third of them."""
    rng = random.Random(seed)
    by_package: dict[str, list[Path]] = defaultdict(list)
    for package in packages:
        for path in sorted((corpus / package).glob("*.bc")):
            if _MIN_BYTES < path.stat().st_size < _MAX_BYTES:
                by_package[package].append(path)
    found: list[Path] = []
    for paths in by_package.values():
        rng.shuffle(paths)
        found += paths[: max(2, count // 3)]
    rng.shuffle(found)
    return found[:count]


def values(
    paths: list[Path], recipes: list[Recipe], jobs: int
) -> tuple[list[dict[Recipe, int]], list[int]]:
    """Return what recipes make of units, and what default<Oz> makes of them, by flash."""
    found, baselines = [], []
    with LocalPool(jobs) as pool:
        work = [
            EvaluateJob(bitcode=path.read_bytes(), pass_lists=(OZ, *recipes), timeout_s=30)
            for path in paths
        ]
        for results in run_jobs(pool, work):
            if results[0].ok:
                baselines.append(FLASH.of(results[0]))
                measured = zip(recipes, results[1:], strict=True)
                found.append({r: FLASH.of(m) for r, m in measured if m.ok})
    return found, baselines


def candidates(num_lists: int) -> list[Recipe]:
    """Return the first lists that ship, in the coreset, for `llm-cc`, and as whole recipes."""
    coreset = load_coreset()
    lists = [*coreset.lists, *(parse_recipe(text).pass_list for text in FAST_LISTS)]
    lists += [recipe.pass_list for recipes in coreset.extras.values() for recipe in recipes]
    lists = [recipe for recipe in dict.fromkeys(lists) if recipe.elements][:num_lists]
    crossed = [r.with_settings_of(s) for s in SETTINGS for r in (OZ, *lists)]
    return [r for r in dict.fromkeys(crossed) if r != OZ and not unsafe_passes(r)]


def choose(options: argparse.Namespace) -> None:
    """Print the greedy order, and write it."""
    paths = units(options.corpus, TRAINING, options.units, options.seed)
    table, baselines = values(paths, candidates(options.num_lists), options.jobs)
    picks = greedy(table, baselines, num_lists=options.num_recipes)
    for number, pick in enumerate(picks, 1):
        print(f"{number:3} {100 * pick.total_gain:5.2f} % {pick.num_best:3} {pick.passes.text}")
    print(f"{len(baselines)} units, {sum(baselines)} bytes of flash at default<Oz>")
    options.output.write_text(json.dumps([pick.passes.text for pick in picks], indent=1) + "\n")


def with_frame_pointers(paths: list[Path], jobs: int) -> list[int]:
    """Return what default<Oz> makes of units whose functions keep a frame pointer, by flash."""
    dis = find_toolchain().tool("llvm-dis")
    work = []
    for path in paths:
        done = subprocess.run([dis, path, "-o", "-"], capture_output=True, check=True)
        text = _ATTRIBUTES.sub(rb'\1"frame-pointer"="all" ', done.stdout)
        work.append(EvaluateJob(bitcode=text, pass_lists=(OZ,), timeout_s=30))
    with LocalPool(jobs) as pool:
        return [FLASH.of(results[0]) for results in run_jobs(pool, work) if results[0].ok]


def measure(options: argparse.Namespace) -> None:
    """Print what the first K recipes save together."""
    recipes = [parse_recipe(text) for text in json.loads(options.recipes.read_text())]
    packages = tuple(options.packages.split(","))
    paths = units(options.corpus, packages, options.units, options.seed)
    table, baselines = values(paths, recipes, options.jobs)
    clang = baselines
    if options.corpus.name.startswith("thumb"):
        clang = with_frame_pointers(paths, options.jobs)
        saved = 100 * (1 - sum(baselines) / sum(clang))
        print(f"without frame pointers: {saved:.2f} % of {sum(clang)} bytes of flash")
    for count in (1, 4, 8, 16, 32):
        kept = recipes[:count]
        best = [
            min([base, *(row[r] for r in kept if r in row)])
            for base, row in zip(baselines, table, strict=True)
        ]
        alone = 100 * (1 - sum(best) / sum(baselines))
        saved = 100 * (1 - sum(best) / sum(clang))
        print(f"best of {count:2} recipes: {alone:.2f} %, with that {saved:.2f} % of flash")
    print(f"{len(baselines)} units of {packages}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in (("choose", choose), ("measure", measure)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("corpus", type=Path, help="the folder of one target")
        command.add_argument("--units", type=int, default=24)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--jobs", type=int, default=2)
    command.add_argument("--packages", required=True)
    command.add_argument("--recipes", type=Path, required=True, help="JSON that `choose` wrote")
    commands.choices["choose"].add_argument("-o", "--output", type=Path, required=True)
    commands.choices["choose"].add_argument("--num-lists", type=int, default=200)
    commands.choices["choose"].add_argument("--num-recipes", type=int, default=32)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
