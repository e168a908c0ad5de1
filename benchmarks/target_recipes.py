"""Choose the recipes of a target that is optimised and not lifted, from units of its corpus.

    llm-compiler corpus build --config configs/corpus/debian.toml --out work/firmware \\
        --packages mbedtls,libtomcrypt,cjson,lz4,libogg,lzo2 --target-triple thumbv7m-none-eabi
    C=work/firmware/thumbv7m-none-eabi
    python benchmarks/target_recipes.py choose $C -o work/thumbv7m.json
    python benchmarks/target_recipes.py measure $C --recipes work/thumbv7m.json --packages expat
    python benchmarks/target_recipes.py functions $C --packages expat,brotli --rows work/rows.jsonl

`choose` tries the lists that ship for other targets, plainly and under settings of code generation,
on units of training packages, and writes the recipes in greedy order, for data/coreset.json.
`measure` says what the first K recipes save on units of other packages, by the objective flash,
over default<Oz> in process. The units have no frame pointers, which clang -Oz keeps on bare-metal
Arm: what leaving them out saves is printed first. `functions` says what the recipes that ship for a
target save on whole units, and assembled function by function, with 16 and with 32 recipes; its
rows are kept, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import subprocess
from collections import defaultdict
from pathlib import Path

from llm_compiler.cc.fast import FAST_LISTS
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.passes import unsafe_passes
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.function_wise import best_assembly, unit_structure
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


def measured_unit(
    pool: LocalPool, path: Path, recipes: list[Recipe], counts: tuple[int, ...]
) -> dict[str, int] | None:
    """Return a unit's flash at default<Oz>, by its best recipe and assembled; None: none."""
    bitcode = path.read_bytes()
    job = EvaluateJob(bitcode=bitcode, pass_lists=(OZ, *recipes), with_symbols=True, timeout_s=30)
    plain, *found = run_jobs(pool, [job])[0]
    if not plain.ok:
        return None
    structure = unit_structure(pool, bitcode).structure
    row = {"oz": FLASH.of(plain)}
    for count in counts:
        measured = {r: m for r, m in zip(recipes[:count], found, strict=False) if m.ok}
        measured[OZ] = plain
        best = min(measured, key=lambda recipe: FLASH.rank(measured[recipe]))
        row[f"whole-{count}"] = FLASH.of(measured[best])
        group = {r: m for r, m in measured.items() if r.options == best.options}
        made = best_assembly(
            pool, bitcode, structure, group, objective=FLASH, options=best.options, num_rounds=1
        )
        value = row[f"whole-{count}"] if made is None else FLASH.of(made.measurement)
        row[f"functions-{count}"] = min(row[f"whole-{count}"], value)
    return row


def functions(options: argparse.Namespace) -> None:
    """Print what whole units and functions save with the recipes that ship for a target."""
    counts = (16, 32)
    name = architecture_of(options.corpus.name)
    recipes = list(load_coreset().recipes_for(name))[: counts[-1]]
    done = {}
    if options.rows.exists():
        done = {row["unit"]: row for row in map(json.loads, options.rows.read_text().splitlines())}
    paths = units(options.corpus, tuple(options.packages.split(",")), options.units, options.seed)
    with LocalPool(options.jobs) as pool, options.rows.open("a") as file:
        for path in paths:
            unit = str(path.relative_to(options.corpus))
            if unit in done:
                continue
            row = measured_unit(pool, path, recipes, counts)
            done[unit] = {"unit": unit, **(row or {})}
            file.write(json.dumps(done[unit]) + "\n")
            file.flush()
    rows = [row for path in paths if "oz" in (row := done[str(path.relative_to(options.corpus))])]
    total = sum(row["oz"] for row in rows)
    print(f"{name}: {len(rows)} units, {total} bytes of flash at default<Oz>")
    for count in counts:
        whole, made = (sum(r[f"{kind}-{count}"] for r in rows) for kind in ("whole", "functions"))
        logs = [math.log(max(row[f"functions-{count}"], 1) / row["oz"]) for row in rows]
        print(
            f"{count} recipes: whole units {100 * (1 - whole / total):.2f} %, by function "
            f"{100 * (1 - made / total):.2f} %, geometric mean "
            f"{100 * (1 - math.exp(sum(logs) / len(logs))):.2f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for name, run in (("choose", choose), ("measure", measure), ("functions", functions)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("corpus", type=Path, help="the folder of one target")
        command.add_argument("--units", type=int, default=24)
        command.add_argument("--seed", type=int, default=1)
        command.add_argument("--jobs", type=int, default=2)
    for name in ("measure", "functions"):
        commands.choices[name].add_argument("--packages", required=True)
    commands.choices["measure"].add_argument(
        "--recipes", type=Path, required=True, help="JSON that `choose` wrote"
    )
    commands.choices["functions"].add_argument(
        "--rows", type=Path, required=True, help="JSON lines, kept from run to run"
    )
    commands.choices["choose"].add_argument("-o", "--output", type=Path, required=True)
    commands.choices["choose"].add_argument("--num-lists", type=int, default=200)
    commands.choices["choose"].add_argument("--num-recipes", type=int, default=32)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
