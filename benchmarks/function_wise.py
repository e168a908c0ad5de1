"""The best list for each function beside the best list for the unit, from the same measurements.

Reads units of a corpus (`llm-compiler corpus build`), measures the first lists of the coreset on
each, assembles it function by function, and prints what is saved over clang -Oz: for each objective
and with each attribute on all functions. One JSON line for each unit goes to --rows, so that a run
that was stopped goes on. With --stock, every N-th unit is assembled with the stock tools too, and
its size compared.

    python benchmarks/function_wise.py work/corpus --packages dash mawk --triple x86_64 --num 50
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.module_jobs import EvaluateJob
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.passes import element_name
from llm_compiler.llvm.stock import Stock, parse_clang_flags
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.function_wise import (
    best_assembly,
    rebuild_assembly,
    unit_structure,
)
from llm_compiler.records import Measurement, Recipe
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import objective_named
from llm_compiler.workers import LocalPool, run_jobs

VALIDATION = [
    *("brotli", "dash", "expat", "jansson", "libtommath", "mawk", "nettle", "popt", "tidy-html5"),
    *("utf8proc", "double-conversion", "googletest", "graphite2", "libde265", "ninja-build"),
    "uchardet",
]
MIXED = "(each function with or without)"
OUTLINERS = ("iroutliner", "loop-extract", "hotcoldsplit", "partial-inliner", "mergefunc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--packages", nargs="+", default=VALIDATION)
    parser.add_argument("--triple", default="x86_64", help="how the target's triple begins")
    parser.add_argument("--num", type=int, default=60, help="units, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lists", type=int, default=16)
    parser.add_argument("--max-lists", type=int, default=6, help="different ones in an assembly")
    parser.add_argument("--with-outliners", action="store_true")
    parser.add_argument(
        "--attributes",
        nargs="*",
        default=["", "frame-pointer=non-leaf"],
        help="each is tried on all lists, empty: none",
    )
    parser.add_argument(
        "--mixed", action="store_true", help="and each function with or without the attributes"
    )
    parser.add_argument("--objectives", nargs="+", default=["size", "text-data"])
    parser.add_argument("--min-functions", type=int, default=1)
    parser.add_argument("--max-bytes", type=int, default=400_000, help="of a unit's bitcode")
    parser.add_argument("--stock", type=int, default=0, metavar="N", help="check every N-th")
    parser.add_argument("--rows", type=Path, default=Path("function-wise.jsonl"))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    units = [json.loads(line) for line in (options.corpus / "manifest.jsonl").open()]
    units = [
        item
        for item in units
        if item["package"] in options.packages
        and item["target_triple"].startswith(options.triple)
        and item["num_functions"] >= options.min_functions
        and item["num_bytes"] <= options.max_bytes
    ]
    units = random.Random(options.seed).sample(units, min(options.num, len(units)))
    done = {}
    if options.rows.exists():
        done = {row["unit"]: row for row in map(json.loads, options.rows.open())}
    with LocalPool(options.jobs) as pool, options.rows.open("a") as rows:
        for index, unit in enumerate(units):
            if unit["path"] in done:
                continue
            row = measure(unit, options, pool, bool(options.stock) and index % options.stock == 0)
            rows.write(json.dumps(row) + "\n")
            rows.flush()
            done[unit["path"]] = row
    report([done[unit["path"]] for unit in units])


def coreset_lists(options: argparse.Namespace) -> list[Recipe]:
    found = []
    for passes in load_coreset().lists:
        names = [element_name(element) for element in passes.elements]
        if options.with_outliners or not any(n.startswith(OUTLINERS) for n in names):
            found.append(passes)
    return found[: options.lists]


def measure(
    unit: dict[str, Any], options: argparse.Namespace, pool: LocalPool, with_stock: bool
) -> dict[str, Any]:
    """Return what becomes of a unit under each set of attributes and objective."""
    path = options.corpus / unit["path"]
    row: dict[str, Any] = {"unit": unit["path"], "package": unit["package"]}
    stock = Stock(
        toolchain=find_toolchain(),
        flags=parse_clang_flags(unit["flags"]),
        target_triple=unit["target_triple"],
    )
    with tempfile.TemporaryDirectory() as name:
        try:
            baseline = Path(name) / "baseline.o"
            stock.compile_source(stock.baseline_command(path, baseline), path)
            sizes = section_sizes(baseline.read_bytes())
            row["baseline"] = [sizes.text_data_bytes, sizes.size_bytes]
            row |= compare(path, stock, options, pool, Path(name) if with_stock else None)
        except (LlmCompilerError, ValueError) as error:
            row["error"] = str(error)[:500]
    return row


def compare(
    path: Path,
    stock: Stock,
    options: argparse.Namespace,
    pool: LocalPool,
    folder: Path | None,
) -> dict[str, Any]:
    bitcode = path.read_bytes()
    structure = unit_structure(pool, bitcode)
    row: dict[str, Any] = {
        "refusal": structure.structure.refusal,
        "num_functions": len(structure.structure.functions),
    }
    mixed: dict[Recipe, Measurement] = {}
    for attribute in [*options.attributes, MIXED] if options.mixed else options.attributes:
        lists = [
            replace(recipe, attributes=(attribute,) if attribute else ())
            for recipe in coreset_lists(options)
        ]
        start = time.perf_counter()
        measured = mixed
        if attribute != MIXED:
            job = EvaluateJob(
                bitcode=bitcode, pass_lists=tuple(lists), with_symbols=True, module_hash=str(path)
            )
            measured = dict(zip(lists, run_jobs(pool, [job])[0], strict=True))
            mixed |= measured
        row.setdefault("measure_s", time.perf_counter() - start)
        good = [found for found in measured.values() if found.ok]
        for name in options.objectives:
            objective = objective_named(name)
            best = min(good, key=objective.rank)
            start = time.perf_counter()
            found = best_assembly(
                pool,
                bitcode,
                structure.structure,
                measured,
                objective=objective,
                max_lists=options.max_lists,
            )
            variant: dict[str, Any] = {"single": [best.text_data_bytes, best.size_bytes]}
            if found is not None:
                variant |= {
                    "assembled": [found.measurement.text_data_bytes, found.measurement.size_bytes],
                    "assemble_s": time.perf_counter() - start,
                    "num_lists": len(found.plan.parts),
                    "keeps_internal": any(p.internal_functions for p in found.plan.parts),
                    "suffix": found.plan.suffix,
                }
            row[f"{attribute}|{name}"] = variant
            if found is not None and folder is not None and "stock" not in row:
                start = time.perf_counter()
                pic = "-fPIC" in stock.flags.kept or "-fpic" in stock.flags.kept
                data, _ = rebuild_assembly(
                    pool, stock, structure, found.plan, path, folder, pic=pic
                )
                row["stock"] = section_sizes(data).size_bytes == found.measurement.size_bytes
                row["stock_s"] = time.perf_counter() - start
    return row


def report(rows: list[dict[str, Any]]) -> None:
    good = [row for row in rows if not row.get("error")]
    print(
        f"{len(good)} of {len(rows)} units, {sum(row['num_functions'] for row in good)} functions"
    )
    for row in rows:
        if row.get("error"):
            print(f"  {row['unit']}: {row['error'][:200]}")
    for reason, count in Counter(row["refusal"] for row in good if row["refusal"]).items():
        print(f"  {count} left to the best single list: {reason}")
    variants = dict.fromkeys(key for row in good for key in row if "|" in key)
    for variant in variants:
        attribute, objective = variant.split("|")
        index = 0 if objective == "text-data" else 1
        total = sum(row["baseline"][index] for row in good)
        single = [min(row["baseline"][index], row[variant]["single"][index]) for row in good]
        raw = [row[variant].get("assembled", row[variant]["single"])[index] for row in good]
        best = [min(pair) for pair in zip(single, raw, strict=True)]
        won = sum(item < other for item, other in zip(best, single, strict=True))
        print(
            f"{objective} {attribute or '(no attribute)'}: saved over clang -Oz with the best "
            f"single list {100 * (1 - sum(single) / total):.2f} %, assembled "
            f"{100 * (1 - sum(raw) / total):.2f} %, the better of both "
            f"{100 * (1 - sum(best) / total):.2f} % ({won} units)"
        )
    variants_of = [row[variant] for row in good for variant in variants]
    for key, values in (
        ("measuring the lists once, s", [row["measure_s"] for row in good]),
        ("assembling three times, s", [item.get("assemble_s") for item in variants_of]),
        ("stock tools, s", [row.get("stock_s") for row in good]),
        ("lists in an assembly", [item.get("num_lists") for item in variants_of]),
    ):
        known = sorted(value for value in values if value is not None)
        if known:
            print(f"{key}: mean {sum(known) / len(known):.2f}, median {known[len(known) // 2]:.2f}")
    stock = [row["stock"] for row in good if "stock" in row]
    if stock:
        print(f"stock tools: {sum(stock)} of {len(stock)} of the size that they have in process")


if __name__ == "__main__":
    main()
