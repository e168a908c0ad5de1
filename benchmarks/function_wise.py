"""The best list for each function beside the best list for the unit, from the same measurements.

Reads units of a corpus (`llm-compiler corpus build`), measures the first lists of the coreset on
each, assembles it function by function, and prints what is saved over clang -Oz. One JSON line a
unit goes to --rows, so that a run that was stopped goes on. With --stock, every N-th assembly is
made with the stock tools too, and its size compared.

    python benchmarks/function_wise.py work/corpus --packages dash mawk --triple x86_64 --num 50
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.jobs import EvaluateJob
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.passes import element_name
from llm_compiler.llvm.stock import Stock, parse_clang_flags
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimization.function_wise import (
    best_assembly,
    rebuild_assembly,
    unit_structure,
)
from llm_compiler.records import Recipe
from llm_compiler.search.coreset import load_coreset
from llm_compiler.search.objective import objective_named
from llm_compiler.workers import LocalPool, run_jobs

VALIDATION = [
    *("brotli", "dash", "expat", "jansson", "libtommath", "mawk", "nettle", "popt", "tidy-html5"),
    *("utf8proc", "double-conversion", "googletest", "graphite2", "libde265", "ninja-build"),
    "uchardet",
]
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
    parser.add_argument("--attributes", nargs="*", default=[], help="frame-pointer=non-leaf")
    parser.add_argument("--objective", default="size")
    parser.add_argument("--stock", type=int, default=0, metavar="N", help="check every N-th")
    parser.add_argument("--rows", type=Path, default=Path("function-wise.jsonl"))
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    units = [json.loads(line) for line in (options.corpus / "manifest.jsonl").open()]
    units = [
        one
        for one in units
        if one["package"] in options.packages and one["target_triple"].startswith(options.triple)
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
            found.append(replace(passes, attributes=tuple(options.attributes)))
    return found[: options.lists]


def measure(
    unit: dict[str, Any], options: argparse.Namespace, pool: LocalPool, with_stock: bool
) -> dict[str, Any]:
    path = options.corpus / unit["path"]
    bitcode = path.read_bytes()
    objective = objective_named(options.objective)
    row: dict[str, Any] = {"unit": unit["path"], "package": unit["package"]}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        stock = Stock(
            toolchain=find_toolchain(),
            flags=parse_clang_flags(unit["flags"]),
            target_triple=unit["target_triple"],
        )
        try:
            baseline = folder / "baseline.o"
            stock.compile_source(stock.baseline_command(path, baseline), path)
            sizes = section_sizes(baseline.read_bytes())
            row["baseline"] = [sizes.text_data_bytes, sizes.size_bytes]
            start = time.perf_counter()
            lists = coreset_lists(options)
            job = EvaluateJob(bitcode=bitcode, pass_lists=tuple(lists), with_symbols=True)
            measured = dict(zip(lists, run_jobs(pool, [job])[0], strict=True))
            row["measure_s"] = time.perf_counter() - start
            good = [found for found in measured.values() if found.ok]
            best = min(good, key=objective.rank)
            row["single"] = [best.text_data_bytes, best.size_bytes]
            start = time.perf_counter()
            structure = unit_structure(pool, bitcode)
            row["refusal"] = structure.structure.refusal
            found = best_assembly(
                pool,
                bitcode,
                structure.structure,
                measured,
                objective=objective,
                max_lists=options.max_lists,
            )
            row["assemble_s"] = time.perf_counter() - start
            row["num_functions"] = len(structure.structure.functions)
            if found is not None:
                row["assembled"] = [found.measurement.text_data_bytes, found.measurement.size_bytes]
                row["num_lists"] = len(found.plan.parts)
                row["keeps_internal"] = any(p.internal_functions for p in found.plan.parts)
                row["suffix"] = found.plan.suffix
            if found is not None and with_stock:
                start = time.perf_counter()
                data, _ = rebuild_assembly(
                    pool,
                    stock,
                    structure,
                    found.plan,
                    path,
                    folder,
                    pic=bool(unit["flags"]) and any(f.startswith("-fP") for f in unit["flags"]),
                )
                sizes = section_sizes(data)
                row["stock"] = [sizes.text_data_bytes, sizes.size_bytes]
                row["stock_s"] = time.perf_counter() - start
        except (LlmCompilerError, ValueError) as error:
            row["error"] = str(error)[:500]
    return row


def report(rows: list[dict[str, Any]]) -> None:
    good = [row for row in rows if "single" in row]
    print(f"{len(good)} of {len(rows)} units")
    for row in rows:
        if row.get("error"):
            print(f"  {row['unit']}: {row['error'][:200]}")
    refused: dict[str, int] = {}
    for row in good:
        if row["refusal"]:
            refused[row["refusal"]] = refused.get(row["refusal"], 0) + 1
    for reason, count in refused.items():
        print(f"  {count} left to the best single list: {reason}")
    for index, name in ((0, ".text + .data"), (1, "all allocated bytes")):
        total = sum(row["baseline"][index] for row in good)

        def saved(choice: list[int], total: int = total) -> str:
            return f"{100 * (1 - sum(choice) / total):6.2f} %"

        def best(row: dict[str, Any], key: str, index: int = index) -> int:
            return min(row["baseline"], row.get(key) or row["baseline"], key=lambda o: o[index])[
                index
            ]

        single = [best(row, "single") for row in good]
        assembled = [
            min(best(row, "assembled"), one) for row, one in zip(good, single, strict=True)
        ]
        raw = [row.get("assembled", row["single"])[index] for row in good]
        print(
            f"{name}: best single list {saved(single)}, assembled {saved(raw)}, "
            f"better of both {saved(assembled)} "
            f"({sum(a < s for a, s in zip(assembled, single, strict=True))} units)"
        )
    for key in ("measure_s", "assemble_s", "stock_s", "num_lists"):
        values = sorted(row[key] for row in good if key in row)
        if values:
            middle = values[len(values) // 2]
            print(f"{key}: mean {sum(values) / len(values):.2f}, median {middle:.2f}")
    stock = [row for row in good if "stock" in row]
    same = sum(row["stock"] == row["assembled"] for row in stock)
    if stock:
        print(f"stock tools: {same} of {len(stock)} of the size that they have in process")


if __name__ == "__main__":
    main()
