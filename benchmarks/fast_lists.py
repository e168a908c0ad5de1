"""Which recipes are worth their seconds: the choice of what llm-cc tries at ``fast``.

    python benchmarks/fast_lists.py CORPUS --packages bc,check,cjson --without gvn-sink

Each recipe is compiled alone, from the start, on units of a corpus (``corpus build``),
under the likely settings of the coreset. Prints what each costs in units of default<Oz> with code
generation, and saves beside it, then the greedy choice: the next is the one with the most saved for
the root of its cost. Modules that some recipe makes smaller by more than 30 % are left out.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.llvm.module_jobs import EvaluateJob, WorkerState
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.records import OZ, Recipe
from llm_compiler.search.coreset import load_coreset

_OUTLIER = 0.7
_MAX_CHOSEN = 6


@dataclass(frozen=True)
class Row:
    """A unit: bytes (0: none) and processor seconds of each recipe; the first is default<Oz>."""

    sizes: tuple[int, ...]
    seconds: tuple[float, ...]

    def best(self, chosen: list[int]) -> int:
        return min(self.sizes[0], *(self.sizes[index] or self.sizes[0] for index in chosen))


def main() -> None:
    """Measure, print, choose."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--target-triple", default="x86_64-pc-linux-gnu")
    parser.add_argument("--packages", required=True, type=lambda text: text.split(","))
    parser.add_argument("--units", type=int, default=2, help="of each package")
    parser.add_argument("--max-bytes", type=int, default=60_000)
    parser.add_argument("--lists", type=int, default=20, help="of the coreset")
    parser.add_argument("--list", action="append", default=[], help="and this one")
    parser.add_argument("--without", default="", help="never choose a list with this pass")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    recipes = _recipes(options)
    rows = [_measured(path, recipes) for path in _units(options)]
    kept = [row for row in rows if row.best([*range(len(recipes))]) > _OUTLIER * row.sizes[0]]
    if not kept:
        parser.error("no unit of these packages is small enough, and no outlier")
    print(f"{len(kept)} of {len(rows)} units, {sum(row.sizes[0] for row in kept)} bytes")
    costs = _costs(kept, len(recipes))
    for number, recipe in enumerate(recipes):
        print(f"{number:3} {costs[number]:5.2f} {_saved(kept, [number])} {recipe.text[:80]}")
    chosen = [1]
    names = [each_recipe.text for each_recipe in recipes]
    allowed = [n for n, text in enumerate(names) if n and not _has(text, options.without)]
    while len(chosen) < min(_MAX_CHOSEN, len(allowed)):
        now = sum(_gains(kept, chosen))
        rest = [number for number in allowed if number not in chosen]
        chosen.append(
            max(
                rest,
                key=lambda n: (sum(_gains(kept, [*chosen, n])) - now) / math.sqrt(costs[n]),
            )
        )
        total = sum(costs[number] for number in chosen)
        print(f"{chosen}: {_saved(kept, chosen)}, cost {total:.2f}")


def _has(text: str, name: str) -> bool:
    return bool(name) and name in text


def _recipes(options: argparse.Namespace) -> list[Recipe]:
    coreset = load_coreset()
    architecture = options.target_triple.partition("-")[0]
    (settings, *_) = coreset.settings_for(architecture)
    lists = [*coreset.lists[: options.lists], *(parse_recipe(text) for text in options.list)]
    return [OZ, *dict.fromkeys(recipe.with_settings_of(settings) for recipe in (OZ, *lists))]


def _units(options: argparse.Namespace) -> list[Path]:
    draw = random.Random(options.seed)
    found: list[Path] = []
    for package in options.packages:
        paths = sorted((options.corpus / options.target_triple / package).rglob("*.bc"))
        draw.shuffle(paths)
        found += [path for path in paths if path.stat().st_size < options.max_bytes][
            : options.units
        ]
    return found


def _measured(path: Path, recipes: list[Recipe]) -> Row:
    job = EvaluateJob(
        bitcode=path.read_bytes(),
        pass_lists=tuple(recipes),
        share=False,
        with_instructions=False,
    )
    sizes, seconds, before = [], [], time.process_time()
    for measured in job.run(WorkerState(), 0):
        sizes.append(measured.size_bytes if measured.ok else 0)
        seconds.append(time.process_time() - before)
        before = time.process_time()
    return Row(tuple(sizes), tuple(seconds))


def _costs(rows: list[Row], count: int) -> list[float]:
    base = sum(row.seconds[0] for row in rows)
    return [sum(row.seconds[number] for row in rows) / base for number in range(count)]


def _gains(rows: list[Row], chosen: list[int]) -> tuple[float, float]:
    total = 1 - sum(row.best(chosen) for row in rows) / sum(row.sizes[0] for row in rows)
    logs = [math.log(row.best(chosen) / row.sizes[0]) for row in rows]
    return 100 * total, 100 * (1 - math.exp(sum(logs) / len(logs)))


def _saved(rows: list[Row], chosen: list[int]) -> str:
    total, mean = _gains(rows, chosen)
    return f"saved {total:.2f} %, geometric mean {mean:.2f} %"


if __name__ == "__main__":
    main()
