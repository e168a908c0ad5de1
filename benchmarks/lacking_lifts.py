#!/usr/bin/env python3
"""Which functions of objects get no answer that lowers, and why: by rules, without running any.

    python benchmarks/lacking_lifts.py FOLDER... --rows FILE [--functions 500] [--per-unit 6]

Each function is read, proved to assemble to itself, lifted by rules, and lowered by clang, as
`disassemble` does before it compares and runs; the search takes no more time than the first draft
needs. So thousands of functions are looked at in the time that dozens of verdicts take. One line of
JSON a function goes to the file of rows; what has one is not looked at again. Prints what lacks an
answer, and counts why. `benchmarks/compile_objects.py` makes objects.
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
from collections.abc import Iterator, Mapping
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.disassembly.disassembled import DisassembleOptions
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.figures import share_of
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.workers import LocalPool

_LACKING = ("no_answer", "error")
_NAMES = re.compile(r"0x[0-9a-f]+|'[^']*'|\d+")


def main() -> int:
    """Look, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE")
    parser.add_argument("--functions", type=int, default=500)
    parser.add_argument("--per-unit", type=int, default=6, help="functions of an object, at most")
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    lines = options.rows.read_text().splitlines() if options.rows.exists() else []
    rows = [json.loads(line) for line in lines]
    known = {(row["file"], row["function"]) for row in rows}
    toolchain = find_toolchain()
    how = DisassembleOptions(rules=True, search_s=0.0, max_executed=1)
    with LocalPool(1) as pool, options.rows.open("a") as output:
        for binary, folder, symbols in _draw(options):
            lifter = Lifter(
                binary,
                NoEngine(),
                how,
                pool=pool,
                toolchain=toolchain,
                executor=None,
                folder=folder,
            )
            for symbol in symbols:
                if (str(binary.path), symbol.name) not in known:
                    rows.append({"file": str(binary.path), **_looked_at(lifter, symbol)})
                    output.write(json.dumps(rows[-1]) + "\n")
                    output.flush()
    _print(rows)
    return 0


def _draw(options: argparse.Namespace) -> Iterator[tuple[Binary, Path, list[Symbol]]]:
    """Yield objects, of the folders in turn, and the functions that are drawn of each."""
    chance = random.Random(options.seed)
    by_folder = [sorted(folder.glob("*.o")) for folder in options.folders]
    for files in by_folder:
        chance.shuffle(files)
    left = options.functions
    toolchain = find_toolchain()
    with tempfile.TemporaryDirectory() as name:
        for path in (path for row in itertools.zip_longest(*by_folder) for path in row if path):
            if not left:
                return
            folder = Path(tempfile.mkdtemp(dir=name))
            try:
                binary = read_binary(path, toolchain, folder)
            except LlmCompilerError as error:
                print(f"{path}: {error}", file=sys.stderr)
                continue
            symbols = [
                symbol
                for symbol in binary.functions()
                if symbol.size and not symbol.name.startswith(PREFIX)
            ]
            chance.shuffle(symbols)
            symbols = symbols[: min(left, options.per_unit)]
            left -= len(symbols)
            yield binary, folder, symbols


def _looked_at(lifter: Lifter, symbol: Symbol) -> dict[str, object]:
    try:
        found = lifter.lift(symbol).outcome
    except LlmCompilerError as error:
        return {"function": symbol.name, "verdict": "error", "reason": str(error)}
    return {
        "function": symbol.name,
        "verdict": found.verdict.value,
        "reason": found.reason,
        "num_instructions": found.num_instructions,
    }


def _print(rows: list[Mapping[str, str]]) -> None:
    lacking = [row for row in rows if row["verdict"] in _LACKING]
    for row in lacking:
        print(f"{row['file']} {row['function']}: {row['reason']}")
    share = share_of([row not in lacking for row in rows])
    print_table(
        ("n", "lower", "lack an answer"), [[str(len(rows)), share.text(), f"{len(lacking)}"]]
    )
    causes = Counter(_NAMES.sub("..", row["reason"])[:110] for row in lacking)
    for cause, count in causes.most_common():
        print(f"{count:5d}  {cause}")


if __name__ == "__main__":
    sys.exit(main())
