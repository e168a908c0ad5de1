#!/usr/bin/env python3
"""Verdicts of `disassemble` on functions of objects that any compiler made, GCC's above all.

    python benchmarks/lift_objects.py FOLDER... --rows FILE [--functions 100] [--per-unit 3]
    python benchmarks/lift_objects.py FOLDER... --rows FILE --retry unproved|inexact

Some functions of each object are drawn, of the folders in turn, and lifted as a user would have
them lifted, by rules alone unless an engine is named. One line of JSON a function goes to the file
of rows; what has one is not lifted again. With `--retry`, what is not at least *tests_passed*, or
not *exact*, is asked once more, as another version of the tester judges it. Each such line counts
its *round*, so that a retry that was stopped goes on; of two lines about a function the later one
holds. Prints verdicts by length with their intervals, seconds (the processor's, of all that a
function takes), and
why what is lifted got no better one, counted. `benchmarks/compile_objects.py` makes the objects.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import re
import statistics
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from process_tree_time import processor_seconds

from llm_compiler.console import print_table
from llm_compiler.disassemble import DisassembleOptions, disassemble
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.errors import LlmCompilerError
from llm_compiler.evaluate.figures import share_of
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.model.engines.engine import Engine
from llm_compiler.model.engines.loader import load_engine
from llm_compiler.workers import LocalPool

BANDS = ((1, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 1 << 30))
EXACT = ("exact",)
ACCEPTED = (*EXACT, "tests_passed")
LOWERS = (*ACCEPTED, "unproved", "refuted")
ENOUGH = {"unproved": ACCEPTED, "inexact": EXACT}
"""Verdicts that a retry lets stand."""
_NUMBERS = re.compile(r"0x[0-9a-f]+|'[^']*'|\d+")
_MOST_CAUSES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What became of a function; a line of the file of rows."""

    file: str
    function: str
    verdict: str
    """That of `disassemble`, or "error": of the file as a whole, without an answer."""
    reason: str
    num_instructions: int
    seconds: float = 0.0
    """Of the processor, for this function: its object read, lifted and judged."""
    round: int = 0
    """How many times it was asked before."""

    @property
    def key(self) -> tuple[str, str]:
        """What names the function."""
        return self.file, self.function


def main() -> int:
    """Lift what is drawn, and print."""
    options = _parse()
    rows = read_rows(options.rows.read_text().splitlines() if options.rows.exists() else [])
    enough = ENOUGH.get(options.retry, ACCEPTED)
    asked = round_to_ask(rows.values(), enough) if options.retry else 0
    engine = load_engine(options.engine)
    with LocalPool(1) as pool, options.rows.open("a") as output:
        for path, names in _draw(options):
            for name in names:
                if not is_wanted(rows.get((str(path), name)), asked, enough):
                    continue
                row = _lift(path, name, engine, options, pool, round_=asked)
                output.write(json.dumps(asdict(row)) + "\n")
                output.flush()
                rows[row.key] = row
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
    parser.add_argument("--function-s", type=float, default=DisassembleOptions().function_s)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--retry",
        default="",
        choices=tuple(ENOUGH),
        help="ask once more what is not at least tests_passed (unproved) or not exact (inexact)",
    )
    return parser.parse_args()


def read_rows(lines: Iterable[str]) -> dict[tuple[str, str], Row]:
    """Return the last row of each function."""
    rows = [Row(**json.loads(line)) for line in lines]
    return {row.key: row for row in rows}


def round_to_ask(rows: Iterable[Row], enough: Sequence[str]) -> int:
    """Return the round that a retry is: one after the earliest of what is to be asked."""
    return 1 + min((row.round for row in rows if row.verdict not in enough), default=0)


def is_wanted(row: Row | None, asked: int, enough: Sequence[str]) -> bool:
    """Return whether a function is lifted in this round; a new one always is."""
    return row is None or (row.verdict not in enough and row.round < asked)


def _lift(
    path: Path,
    name: str,
    engine: Engine,
    options: argparse.Namespace,
    pool: LocalPool,
    *,
    round_: int,
) -> Row:
    how = DisassembleOptions(
        functions=(name,),
        search_s=options.search_s,
        function_s=options.function_s,
        answer_s=6,
    )
    start = processor_seconds(os.getpid())
    verdict, num_instructions = "error", 0
    try:
        found = disassemble(path, engine, how, pool=pool)
    except LlmCompilerError as error:
        reason = str(error)
    except Exception as error:
        # A fault of ours, a traceback to a user: the draw goes on, this is no answer.
        traceback.print_exc()
        reason = f"a fault: {error!r}"
    else:
        lifted = next(each for each in found.functions if each.name == name)
        verdict, reason = lifted.verdict.value, lifted.reason
        num_instructions = lifted.num_instructions
    return Row(
        file=str(path),
        function=name,
        verdict=verdict,
        reason=reason,
        num_instructions=num_instructions,
        seconds=round(processor_seconds(os.getpid()) - start, 3),
        round=round_,
    )


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


def table_of(rows: Sequence[Row]) -> list[list[str]]:
    """Return shares by length, with 95 % intervals, and seconds."""
    groups: dict[str, list[Row]] = {}
    for low, high in BANDS:
        label = f"{low} to {high}" if high < 1 << 30 else f"{low} and more"
        groups[label] = [row for row in rows if low <= row.num_instructions <= high]
    groups["not read"] = [row for row in rows if not row.num_instructions]
    groups["all"] = list(rows)
    return [[label, str(len(of)), *_cells(of)] for label, of in groups.items() if of]


def _cells(rows: Sequence[Row]) -> list[str]:
    shares = [
        share_of([row.verdict in verdicts for row in rows]).text()
        for verdicts in (LOWERS, EXACT, ACCEPTED)
    ]
    refuted = sum(row.verdict == "refuted" for row in rows)
    # Rows of older files have no seconds.
    seconds = [row.seconds for row in rows if row.seconds]
    timed = ["—"] * 3
    if seconds:
        most = sorted(seconds)[int(0.9 * len(seconds))]
        timed = [f"{statistics.median(seconds):.2f}", f"{most:.1f}", f"{max(seconds):.1f}"]
    return [*shares, str(refuted), *timed]


def causes_of(rows: Iterable[Row]) -> Mapping[tuple[str, str], int]:
    """Count why what is not accepted is not, numbers and names left out."""
    return Counter(
        (row.verdict, _NUMBERS.sub("..", row.reason)[:110])
        for row in rows
        if row.verdict not in ACCEPTED
    )


def _print(rows: Sequence[Row]) -> None:
    header = ("instructions", "n", "lowers", "exact", "at least tests_passed", "refuted")
    print_table((*header, "median s", "90 % s", "worst s"), table_of(rows))
    for (verdict, cause), count in Counter(causes_of(rows)).most_common(_MOST_CAUSES):
        print(f"{count:5d}  {verdict}: {cause}")


if __name__ == "__main__":
    sys.exit(main())
