#!/usr/bin/env python3
"""Verdicts of `disassemble` on functions of objects that any compiler made, GCC's above all.

    python benchmarks/lift_objects.py FOLDER... --rows FILE [--functions 100] [--per-unit 3]

Some functions of each object are drawn, of the folders in turn, and lifted as a user would have
them lifted, by rules alone unless an engine is named. One line of JSON a function goes to the file
of rows; what has one is not lifted again. Prints verdicts by length, and why what is lifted got no
better one, counted.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.disassemble import DisassembleOptions, disassemble
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.workers import LocalPool

BANDS = ((1, 8), (9, 16), (17, 32), (33, 64), (65, 1 << 30))
VERDICTS = ("exact", "tests_passed", "unproved", "refuted")
_NUMBERS = re.compile(r"0x[0-9a-f]+|'[^']*'|\d+")
_MOST_CAUSES = 12


def main() -> int:
    """Lift what is drawn, and print."""
    options = _parse()
    rows = _load(options.rows)
    engine = load_engine(options.engine)
    settings = DisassembleOptions(search_s=options.search_s, answer_s=6)
    with LocalPool(1) as pool, options.rows.open("a") as output:
        for path, names in _draw(options):
            wanted = [name for name in names if (str(path), name) not in rows]
            for name in wanted:
                row: dict[str, object] = {"file": str(path), "function": name}
                try:
                    found = disassemble(
                        path,
                        engine,
                        DisassembleOptions(
                            functions=(name,),
                            search_s=settings.search_s,
                            answer_s=settings.answer_s,
                        ),
                        pool=pool,
                    )
                except LlmCompilerError as error:
                    row |= {"verdict": "error", "reason": str(error), "num_instructions": 0}
                else:
                    lifted = next(each for each in found.functions if each.name == name)
                    row |= {
                        "verdict": lifted.verdict.value,
                        "reason": lifted.reason,
                        "num_instructions": lifted.num_instructions,
                    }
                output.write(json.dumps(row) + "\n")
                output.flush()
                rows[str(path), name] = row
    _print(list(rows.values()))
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE")
    parser.add_argument("--functions", type=int, default=100)
    parser.add_argument("--per-unit", type=int, default=3, help="functions of an object, at most")
    parser.add_argument("--engine", default="none")
    parser.add_argument("--search-s", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def _load(path: Path) -> dict[tuple[str, str], dict[str, object]]:
    lines = path.read_text().splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["file"], row["function"]): row for row in rows}


def _draw(options: argparse.Namespace) -> Iterator[tuple[Path, Sequence[str]]]:
    """Yield objects and the functions that are drawn of each."""
    chance = random.Random(options.seed)
    by_folder = []
    for folder in options.folders:
        files = sorted(folder.glob("*.o"))
        chance.shuffle(files)
        by_folder.append(files)
    left = options.functions
    toolchain = find_toolchain()
    with tempfile.TemporaryDirectory() as scratch:
        for path in (path for row in itertools.zip_longest(*by_folder) for path in row if path):
            if not left:
                return
            try:
                binary = read_binary(path, toolchain, Path(scratch))
            except LlmCompilerError as error:
                print(f"{path}: {error}", file=sys.stderr)
                continue
            names = sorted({symbol.name for symbol in binary.functions() if symbol.size})
            chance.shuffle(names)
            names = names[: min(left, options.per_unit)]
            left -= len(names)
            yield path, names


def _print(rows: Sequence[dict[str, object]]) -> None:
    def cells(of: Sequence[dict[str, object]]) -> list[str]:
        verdicts = Counter(row["verdict"] for row in of)
        return [f"{100 * verdicts[name] / len(of):.1f} %" for name in VERDICTS] + [
            f"{100 * sum(verdicts[name] for name in VERDICTS) / len(of):.1f} %"
        ]

    table = []
    for low, high in BANDS:
        of = [row for row in rows if low <= int(str(row["num_instructions"])) <= high]
        if of:
            label = f"{low} to {high}" if high < 1 << 30 else f"above {low - 1}"
            table.append([label, str(len(of)), *cells(of)])
    if rows:
        table.append(["all", str(len(rows)), *cells(rows)])
    print_table(("instructions", "n", *VERDICTS, "with an answer"), table)
    causes = Counter(
        (str(row["verdict"]), _NUMBERS.sub("..", str(row["reason"]))[:110])
        for row in rows
        if row["verdict"] not in ("exact", "tests_passed")
    )
    for (verdict, cause), count in causes.most_common(_MOST_CAUSES):
        print(f"{count:5d}  {verdict}: {cause}")


if __name__ == "__main__":
    sys.exit(main())
