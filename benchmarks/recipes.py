"""What recipes save beyond one pass list, part by part, on packages held out of training.

``settings``: every attribute and option of code generation in the registry (and those named with
--also, whether the registry holds them or not) alone, in process, on the module that default<Oz>
makes. One line a setting: all allocated bytes and .text + .data, total and geometric mean over the
units, the share where each unit keeps the better, and how many units it makes smaller or larger.

``parts``: in process too: the best of 16 lists of the coreset, plain and under the target's
settings, each alone and assembled function by function; savings over default<Oz> in process.

``optimize``: `optimize` itself on units and on functions of a corpus, over clang -Oz's own objects,
with each part of a recipe alone and all together, and the processor seconds of each module. Rows
are kept in a file, so that a run that was stopped goes on where it was.

    python benchmarks/recipes.py settings work/corpus --architecture x86_64 --units 60
    python benchmarks/recipes.py parts work/corpus --units 60 --rows parts.jsonl
    python benchmarks/recipes.py optimize work/corpus --units 150 --functions 100 --rows rows.jsonl
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processor_time import processor_seconds

from llm_compiler.console import note, print_table
from llm_compiler.corpus.manifest import Unit, load_manifest
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.module_jobs import EvaluateJob, ExtractJob, InspectJob, RegistryJob
from llm_compiler.llvm.recipes import parse_recipe
from llm_compiler.llvm.settings import SettingKind, all_settings
from llm_compiler.llvm.targets import architecture_of
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.optimization.function_wise import best_assembly, unit_structure
from llm_compiler.optimization.options import Effort
from llm_compiler.optimize import OptimizeOptions, Proposer, optimize_many
from llm_compiler.output import write_atomically
from llm_compiler.records import OZ, Measurement, Recipe
from llm_compiler.search.coreset import Pick, load_coreset
from llm_compiler.search.objective import SIZE, TEXT_DATA
from llm_compiler.workers import LocalPool, run_jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one setting saved, in percent; negative: it cost."""

    setting: str
    total: float
    geomean: float
    kept: float
    """Total, where each unit keeps the better of with and without."""
    text_data: float
    text_data_kept: float
    num_smaller: int
    num_larger: int
    num_failed: int


def draw_units(options: argparse.Namespace, count: int) -> list[Unit]:
    """Return units of the split, drawn evenly over its packages."""
    rng = random.Random(options.seed)
    by_package: dict[str, list[Unit]] = {}
    for unit in load_manifest(options.corpus):
        if (
            unit.split == options.split
            and architecture_of(unit.target_triple) == options.architecture
            and unit.num_functions
            and unit.num_bytes <= options.max_bytes
        ):
            by_package.setdefault(unit.package, []).append(unit)
    for units in by_package.values():
        rng.shuffle(units)
    drawn: list[Unit] = []
    while any(by_package.values()) and len(drawn) < count:
        for name in sorted(by_package):
            if by_package[name] and len(drawn) < count:
                drawn.append(by_package[name].pop())
    return drawn


def settings_for(architecture: str, also: Sequence[str]) -> list[Recipe]:
    """Return a recipe for every value of every setting for an architecture."""
    texts = [
        f"{'+' if setting.kind is SettingKind.ATTRIBUTE else '--'}{setting.name}={value}"
        for setting in all_settings()
        if not setting.architectures or architecture in setting.architectures
        for value in setting.values
    ]
    recipes = []
    for text in dict.fromkeys([*texts, *also]):
        words = text.split("&")
        recipes.append(
            Recipe(
                OZ.elements,
                attributes=tuple(word.lstrip("+") for word in words if word.startswith("+")),
                options=tuple(word.lstrip("-") for word in words if not word.startswith("+")),
            )
        )
    return recipes


def row_of(
    setting: str, plain: Sequence[Measurement], found: Sequence[Measurement], base: str
) -> Row:
    """Add up one setting over the units; where it failed, the unit keeps what it had."""

    def saved(values: Sequence[tuple[int, int]]) -> float:
        return 100 * (1 - sum(new for _, new in values) / sum(old for old, _ in values))

    sizes = [
        (a.size_bytes, b.size_bytes if b.ok else a.size_bytes)
        for a, b in zip(plain, found, strict=True)
    ]
    texts = [
        (a.text_data_bytes, b.text_data_bytes if b.ok else a.text_data_bytes)
        for a, b in zip(plain, found, strict=True)
    ]
    logs = [math.log(max(new, 1) / max(old, 1)) for old, new in sizes]
    return Row(
        setting=setting.removeprefix(base).strip(),
        total=saved(sizes),
        geomean=100 * (1 - math.exp(sum(logs) / len(logs))),
        kept=saved([(old, min(old, new)) for old, new in sizes]),
        text_data=saved(texts),
        text_data_kept=saved([(old, min(old, new)) for old, new in texts]),
        num_smaller=sum(new < old for old, new in sizes),
        num_larger=sum(new > old for old, new in sizes),
        num_failed=sum(not measurement.ok for measurement in found),
    )


def run_settings(options: argparse.Namespace) -> None:
    """Measure each setting alone and print the table."""
    also = list(options.also)
    if options.also_file:
        also += options.also_file.read_text().split()
    units = draw_units(options, options.units)
    base = OZ
    if options.base:
        base = parse_recipe(f"default<Oz> {options.base}")
    recipes = [
        Recipe(
            recipe.elements,
            tuple(sorted({*recipe.attributes, *base.attributes})),
            tuple(sorted({*recipe.options, *base.options})),
        )
        for recipe in settings_for(options.architecture, also)
    ]
    recipes = [base, *(recipe for recipe in dict.fromkeys(recipes) if recipe != base)]
    jobs = [
        EvaluateJob(
            bitcode=(options.corpus / unit.path).read_bytes(),
            pass_lists=tuple(recipes),
            timeout_s=options.timeout_s,
            module_hash=unit.sha256,
        )
        for unit in units
    ]
    with LocalPool(options.jobs) as pool:
        found = [job for job in run_jobs(pool, jobs) if job[0].ok]
    plain = [group[0] for group in found]
    rows = [
        row_of(recipe.text, plain, [group[place] for group in found], base.text)
        for place, recipe in enumerate(recipes)
        if place
    ]
    rows.sort(key=lambda row: -row.kept)
    total = sum(item.size_bytes for item in plain)
    print(f"{len(found)} units, {total} bytes at {base.text}, {options.architecture}")
    print_table(
        ("setting", "saved %", "geomean", "kept", ".text+.data", "kept", "smaller", "larger", "no"),
        [
            (
                row.setting,
                f"{row.total:.2f}",
                f"{row.geomean:.2f}",
                f"{row.kept:.2f}",
                f"{row.text_data:.2f}",
                f"{row.text_data_kept:.2f}",
                str(row.num_smaller),
                str(row.num_larger),
                str(row.num_failed),
            )
            for row in rows
        ],
        right="lrrrrrrrr",
    )
    if options.json:
        data = {
            "architecture": options.architecture,
            "num_units": len(found),
            "base": base.text,
            "rows": [{name: getattr(row, name) for name in Row.__slots__} for row in rows],
        }
        write_atomically(options.json, (json.dumps(data, indent=1) + "\n").encode())


# -- parts in process ---------------------------------------------------------------------------


def run_parts(options: argparse.Namespace) -> None:
    """Measure lists, settings and assemblies on each unit; print what each saves."""
    coreset = load_coreset()
    lists = list(coreset.lists[:16])
    settings = coreset.settings_for(options.architecture)[0]
    rows = read_rows(options.rows)
    units = draw_units(options, options.units)
    with LocalPool(options.jobs) as pool, options.rows.open("a") as out:
        for unit in units:
            if ("clang -Oz", unit.path) not in rows:
                data = (options.corpus / unit.path).read_bytes()
                for row in measure_parts(pool, unit.path, data, lists, settings):
                    rows[row["part"], row["name"]] = row
                    out.write(json.dumps(row) + "\n")
                out.flush()
    wanted = {unit.path for unit in units}
    done = [row for (_, name), row in rows.items() if name in wanted]
    print_parts(done, "unit", list(dict.fromkeys(str(row["part"]) for row in done)))


def measure_parts(
    pool: LocalPool, name: str, bitcode: bytes, lists: Sequence[Recipe], settings: Recipe
) -> list[dict[str, Any]]:
    """Return a row for each part; none where default<Oz> does not compile."""
    under = [recipe.with_settings_of(settings) for recipe in (OZ, *lists)]
    recipes = [OZ, *lists, *under]
    job = EvaluateJob(bitcode=bitcode, pass_lists=tuple(recipes), with_symbols=True)
    measured = dict(zip(recipes, run_jobs(pool, [job])[0], strict=True))
    oz = measured[OZ]
    if not oz.ok:
        return []
    structure = unit_structure(pool, bitcode).structure

    def best(of: Sequence[Recipe]) -> Measurement:
        found: Measurement = min(
            (measured[recipe] for recipe in (OZ, *of) if measured[recipe].ok), key=SIZE.rank
        )
        return found

    def assembled(of: Sequence[Recipe]) -> Measurement:
        usable = {recipe: measured[recipe] for recipe in of if measured[recipe].ok}
        groups = {recipe.options for recipe in usable}
        found = [best(of)]
        for group in groups:
            part = {recipe: m for recipe, m in usable.items() if recipe.options == group}
            made = best_assembly(pool, bitcode, structure, part, options=group)
            if made is not None and made.measurement.ok:
                found.append(made.measurement)
        return min(found, key=SIZE.rank)

    # 16 evaluations each: one for the settings alone, 14 lists, the best one plain again.
    leader = min(
        under[1:15], key=lambda recipe: measured[recipe].size_bytes if measured[recipe].ok else 1e9
    )
    mixed = [*under[:15], leader.pass_list]
    parts = {
        "clang -Oz": (best([]), 1),
        "settings alone": (best(under[:1]), 1),
        "16 lists": (best(lists), 16),
        "16 lists, function-wise": (assembled(lists), 16),
        "16 recipes": (best(mixed), 16),
        "16 recipes, function-wise": (assembled(mixed), 16),
    }
    return [
        {
            "part": part,
            "name": name,
            "kind": "unit",
            "baseline_bytes": oz.size_bytes,
            "optimized_bytes": found.size_bytes,
            "baseline_text_data_bytes": oz.text_data_bytes,
            "optimized_text_data_bytes": found.text_data_bytes,
            "num_evaluations": count,
            "seconds": 0.0,
        }
        for part, (found, count) in parts.items()
    ]


def read_rows(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the rows of a run before, by part and module."""
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["part"], row["name"]): row for row in rows}


# -- optimize, part by part ---------------------------------------------------------------------

PARTS: dict[str, OptimizeOptions] = {
    "16 lists": OptimizeOptions(pass_lists_only=True, candidates=16, function_wise=False),
    "default<Oz> under settings": OptimizeOptions(
        proposer=Proposer.CORESET, candidates=1, function_wise=False
    ),
    "16 lists, function-wise": OptimizeOptions(pass_lists_only=True, candidates=16),
    "16 recipes": OptimizeOptions(proposer=Proposer.CORESET, candidates=16, function_wise=False),
    "16 recipes, function-wise, with the model": OptimizeOptions(
        proposer=Proposer.MODEL, candidates=16
    ),
    **{
        f"{count} recipes, function-wise": OptimizeOptions(
            proposer=Proposer.CORESET, candidates=count
        )
        for count in (8, 16, 24, 32, 48, 64)
    },
    "default": OptimizeOptions(proposer=Proposer.CORESET),
    "default, .text + .data": OptimizeOptions(proposer=Proposer.CORESET, objective=TEXT_DATA),
    "fast": OptimizeOptions(proposer=Proposer.CORESET, candidates=Effort.FAST.candidates),
    "fast, with the model": OptimizeOptions(
        proposer=Proposer.MODEL, candidates=Effort.FAST.candidates
    ),
    "high": OptimizeOptions(candidates=Effort.HIGH.candidates, budget=Effort.HIGH.budget),
}
"""Name to options; settings alone are measured by a coreset that holds default<Oz> only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A unit or a function as a bitcode file."""

    kind: str
    name: str
    path: Path


def draw_modules(options: argparse.Namespace, folder: Path) -> list[Module]:
    """Return units, and functions cut out of other units, one from each."""
    count = options.units + options.functions
    units = draw_units(options, count)
    modules = [
        Module(kind="unit", name=unit.path, path=options.corpus / unit.path)
        for unit in units[: options.units]
    ]
    rng = random.Random(options.seed)
    jobs, names = [], []
    for unit in units[::-1][: 2 * options.functions]:
        data = (options.corpus / unit.path).read_bytes()
        jobs.append(InspectJob(inputs=(data,)))
        names.append((unit, data))
    with LocalPool(1) as pool:
        extracts = []
        for (unit, data), (found,) in zip(names, run_jobs(pool, jobs), strict=True):
            if found.functions:
                function = rng.choice(found.functions)
                job = ExtractJob(bitcode=data, functions=(function,))
                extracts.append((f"{unit.path}:{function}", job))
        results = run_jobs(pool, [job for _, job in extracts])
    for number, ((name, _), (made,)) in enumerate(zip(extracts, results, strict=True)):
        if made.data and sum(module.kind == "function" for module in modules) < options.functions:
            path = folder / f"{number}.bc"
            path.write_bytes(made.data)
            modules.append(Module(kind="function", name=name, path=path))
    return modules


def run_optimize(options: argparse.Namespace) -> None:
    """Run `optimize` on every module with every part, and print what each saved."""
    rows = read_rows(options.rows)
    parts = {name: PARTS[name] for name in options.parts or PARTS}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        modules = draw_modules(options, folder)
        engine = stack.enter_context(load_engine())
        lists = stack.enter_context(options.rows.open("a"))
        oz_only = replace(
            load_coreset(),
            picks=(Pick(passes=OZ, geomean_gain=0.0, total_gain=0.0, num_best=0),),
        )
        for module in modules:
            for name, part in parts.items():
                if (name, module.name) in rows:
                    continue
                # A pool of its own: workers remember what they compiled of a module.
                with LocalPool(options.jobs) as pool:
                    run_jobs(pool, [RegistryJob()])  # the workers have started
                    start = processor_seconds()
                    (found,) = optimize_many(
                        [module.path],
                        replace(part, trust=options.trust),
                        pool=pool,
                        engine=engine if part.proposer is not Proposer.CORESET else None,
                        coreset=None if part.candidates > 1 else oz_only,
                    )
                    seconds = processor_seconds() - start
                if isinstance(found, LlmCompilerError):
                    note(f"{module.name}: {found}")
                    continue
                row = {
                    "part": name,
                    "name": module.name,
                    "kind": module.kind,
                    "baseline_bytes": found.baseline_bytes,
                    "optimized_bytes": found.optimized_bytes,
                    "baseline_text_data_bytes": found.baseline_text_data_bytes,
                    "optimized_text_data_bytes": found.optimized_text_data_bytes,
                    "recipe": found.recipe.text if found.recipe is not None else "",
                    "verdict": found.verdict,
                    "num_evaluations": found.num_evaluations,
                    "seconds": round(seconds, 3),
                }
                rows[name, module.name] = row
                lists.write(json.dumps(row) + "\n")
                lists.flush()
    wanted = {module.name for module in modules}
    # Compared on the same modules: those that every part has.
    common = {name for name in wanted if all((part, name) in rows for part in parts)}
    for kind in ("unit", "function"):
        print_parts(
            [table for table in rows.values() if table["name"] in common], kind, list(parts)
        )


def print_parts(rows: Sequence[dict[str, Any]], kind: str, parts: Sequence[str]) -> None:
    """Print one line a part: both metrics, total and geometric mean with 95 % intervals."""
    cells = []
    for part in parts:
        mine = sorted(
            (row for row in rows if row["kind"] == kind and row["part"] == part),
            key=lambda table: str(table["name"]),
        )
        if not mine:
            continue
        cells.append(
            (
                part,
                str(len(mine)),
                saving_text(mine, "bytes", total=True),
                saving_text(mine, "bytes", total=False),
                saving_text(mine, "text_data_bytes", total=True),
                f"{statistics.mean(table['num_evaluations'] for table in mine):.0f}",
                f"{statistics.median(table['seconds'] for table in mine):.2f}",
            )
        )
    header = ("part", f"{kind}s", "all bytes", "geomean", ".text+.data", "evaluations", "s")
    print_table(header, cells, right="lrrrrrr")


def saving_text(rows: Sequence[dict[str, Any]], metric: str, *, total: bool) -> str:
    """Return what rows saved in percent with its 95 % interval (bootstrap over modules)."""
    pairs = [(row[f"baseline_{metric}"], row[f"optimized_{metric}"]) for row in rows]
    pairs = [(old, new) for old, new in pairs if old]

    def figure(of: Sequence[tuple[int, int]]) -> float:
        if total:
            return 100 * (1 - sum(new for _, new in of) / sum(old for old, _ in of))
        return 100 * (1 - math.exp(sum(math.log(max(n, 1) / o) for o, n in of) / len(of)))

    rng = random.Random(0)
    drawn = sorted(figure(rng.choices(pairs, k=len(pairs))) for _ in range(1000))
    return f"{figure(pairs):.2f} [{drawn[25]:.2f}, {drawn[974]:.2f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    alone = commands.add_parser("settings")
    parts = commands.add_parser("parts")
    whole = commands.add_parser("optimize")
    for argument_parser in (alone, parts, whole):
        argument_parser.add_argument("corpus", type=Path)
        argument_parser.add_argument(
            "--architecture", default="x86_64", choices=("x86_64", "aarch64")
        )
        argument_parser.add_argument("--units", type=int, default=60)
        argument_parser.add_argument("--split", default="validation", help="test: once, at the end")
        argument_parser.add_argument(
            "--max-bytes", type=int, default=200_000, help="of a unit's bitcode"
        )
        argument_parser.add_argument("--seed", type=int, default=0)
        argument_parser.add_argument("--jobs", type=int, default=1)
    alone.add_argument("--timeout-s", type=float, default=10.0)
    alone.add_argument("--also", nargs="*", default=[], metavar="A=B&C=D")
    alone.add_argument("--also-file", type=Path, help="one NAME=VALUE a line")
    alone.add_argument("--base", default="", metavar="+NAME=VALUE", help="beside each setting")
    alone.add_argument("--json", type=Path, metavar="FILE")
    whole.add_argument("--functions", type=int, default=0)
    whole.add_argument("--parts", nargs="*", choices=list(PARTS))
    for argument_parser in (parts, whole):
        argument_parser.add_argument("--rows", type=Path, required=True, metavar="FILE")
    whole.add_argument("--trust", action="store_true", help="without checking what wins")
    options = parser.parse_args()
    if options.command == "settings":
        run_settings(options)
    elif options.command == "parts":
        run_parts(options)
    else:
        run_optimize(options)


if __name__ == "__main__":
    main()
