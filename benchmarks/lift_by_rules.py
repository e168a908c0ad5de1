#!/usr/bin/env python3
"""What lifting by rules covers, and how much of it becomes the same code, over a corpus' units.

    python benchmarks/lift_by_rules.py FOLDER... [--level Oz] [--target TRIPLE] [--functions 300]

Each FOLDER holds unoptimised bitcode, which clang compiles at the level, or objects (of GCC, say),
which are taken as they are. Some functions of each unit are drawn, of the folders in turn, lifted,
and compared in process: the same lines of assembly count as the same code (in `disassemble`, clang
and `verify.round_trip` decide that). Prints by
length what is lifted and the same, and what the rules lack, counted; with --json FILE, one line
for each function as it is done.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from llm_compiler.disassembly.binary import Binary, read_binary
from llm_compiler.disassembly.read_function import FunctionReader, FunctionText, Unreadable
from llm_compiler.disassembly.rules.lifter import RulesLifter
from llm_compiler.disassembly.rules.outlined import PREFIX
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.elf import Symbol
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

BANDS = ((1, 8), (9, 16), (17, 32), (33, 64), (65, 1 << 30))


def main() -> int:
    """Measure, and print."""
    options = _parse()
    toolchain = find_toolchain()
    rows: list[dict[str, object]] = []
    if options.json:
        options.json.write_text("")
    with tempfile.TemporaryDirectory() as folder, LocalPool(1) as pool:
        for unit, binary, reader, text in _draw(options, toolchain, Path(folder)):
            lifter = RulesLifter(binary, reader, pool, seconds=options.search_s)
            started = time.monotonic()
            found = lifter.drafts(text)
            best = found.drafts[0] if found.drafts else None
            is_changed = PREFIX in text.text
            rows.append(
                {
                    "unit": unit,
                    "function": text.name,
                    "num_instructions": text.num_instructions,
                    "cause": found.cause,
                    "instruction": found.instruction,
                    "is_same": best is not None and best.likeness.is_same,
                    "calls_outlined_code": is_changed,
                    "likeness": best.likeness.value if best else 0.0,
                    "first_change": list(best.likeness.changed) if best else [],
                    "variant": best.variant.changes if best else "",
                    "is_sound": best is not None and best.variant.is_sound,
                    "num_tried": found.num_tried,
                    "seconds": round(time.monotonic() - started, 3),
                }
            )
            if options.json:
                with options.json.open("a") as output:
                    output.write(json.dumps(rows[-1]) + "\n")
    _print(rows)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--level", default="Oz")
    parser.add_argument("--target", default="", help="of the bitcode, if it is not this machine's")
    parser.add_argument("--functions", type=int, default=300)
    parser.add_argument("--per-unit", type=int, default=3, help="functions of a unit, at most")
    parser.add_argument("--search-s", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _draw(
    options: argparse.Namespace, toolchain: Toolchain, folder: Path
) -> Iterator[tuple[str, Binary, FunctionReader, FunctionText]]:
    """Yield functions: some of one unit of each folder in turn."""
    chance = random.Random(options.seed)
    units = []
    for source in options.folders:
        files = sorted(file for file in source.iterdir() if file.suffix in (".bc", ".o"))
        chance.shuffle(files)
        units.append([(source.name, file) for file in files])
    order = [item for group in zip(*_padded(units), strict=True) for item in group if item]
    taken = 0
    for number, (package, file) in enumerate(order):
        of_unit = 0
        for unit, binary, reader, symbol in _functions(
            package, file, options, toolchain, folder / str(number), chance
        ):
            if taken >= options.functions:
                return
            try:
                yield unit, binary, reader, reader.read(symbol)
            except Unreadable:
                continue
            taken += 1
            of_unit += 1
            if of_unit == options.per_unit:
                break


def _padded(
    units: Sequence[list[tuple[str, Path]]],
) -> list[list[tuple[str, Path] | None]]:
    longest = max(len(unit) for unit in units)
    return [[*unit, *([None] * (longest - len(unit)))] for unit in units]


_LIFETIME = re.compile(r"^  call void @llvm\.lifetime\..*\n", re.MULTILINE)
_FUNCTIONS_ATTRIBUTES = re.compile(r"^(attributes #\d+ = \{ )([^\n]*)\}$", re.MULTILINE)


def _as_written_for_o0(file: Path, toolchain: Toolchain, output: Path) -> Path:
    """Return a unit's IR as clang -O0 writes it: what the corpus holds is as -Oz does."""

    def plain(match: re.Match[str]) -> str:
        words = re.sub(r"\b(?:minsize|optsize|noinline|optnone|inlinehint) ", "", match[2])
        words = re.sub(r'"frame-pointer"="\S+"', "", words)
        if "alwaysinline" not in words:
            words = f"noinline optnone {words}"
        return f'{match[1]}{words}"frame-pointer"="all" }}'

    run([toolchain.tool("llvm-dis"), file, "-o", output], timeout_s=60)
    text = output.read_text("utf-8", "surrogateescape")
    text = _FUNCTIONS_ATTRIBUTES.sub(plain, _LIFETIME.sub("", text))
    output.write_text(text, "utf-8", "surrogateescape")
    return output


def _functions(
    package: str,
    file: Path,
    options: argparse.Namespace,
    toolchain: Toolchain,
    folder: Path,
    chance: random.Random,
) -> Iterator[tuple[str, Binary, FunctionReader, Symbol]]:
    folder.mkdir()
    output = folder / "unit.o"
    if file.suffix == ".o":
        output = file
    elif not _compile(file, options, toolchain, folder, output):
        return
    try:
        binary = read_binary(output, toolchain, folder)
    except LlmCompilerError:
        return
    reader = FunctionReader(binary)
    symbols = binary.functions()
    chance.shuffle(symbols)
    for symbol in symbols:
        if symbol.name.startswith(PREFIX):
            continue  # no function of the program's
        yield f"{package}/{file.name}", binary, reader, symbol


def _compile(
    file: Path, options: argparse.Namespace, toolchain: Toolchain, folder: Path, output: Path
) -> bool:
    """Compile a unit of bitcode; return whether that worked."""
    if options.level == "O0":
        file = _as_written_for_o0(file, toolchain, folder / "unit.ll")
    command: list[str | Path] = [
        toolchain.tool("clang"),
        f"-{options.level}",
        *([f"--target={options.target}"] if options.target else []),
        "-c",
        "-Wno-everything",
        file,
        "-o",
        output,
    ]
    return run(command, timeout_s=120).ok


def _print(rows: Sequence[dict[str, object]]) -> None:
    print(f"{'instructions':>12} {'n':>5} {'lifted':>8} {'same code':>10}")
    for low, high in (*BANDS, (1, 1 << 30)):
        some = [row for row in rows if low <= int(str(row["num_instructions"])) <= high]
        if not some:
            continue
        name = "all" if (low, high) == (1, 1 << 30) else f"{low}-{high if high < 9999 else ''}"
        lifted = sum(not table["cause"] for table in some) / len(some)
        same = sum(bool(table["is_same"]) for table in some) / len(some)
        print(f"{name:>12} {len(some):>5} {lifted:>8.1%} {same:>10.1%}")
    changed = sum(bool(row["calls_outlined_code"]) for row in rows)
    print(f"with outlined code, which was put back first: {changed}")
    seconds = sorted(float(str(row["seconds"])) for row in rows)
    print(f"seconds: median {seconds[len(seconds) // 2]:.2f}, most {seconds[-1]:.1f}")
    for cause, number in Counter(str(row["cause"]) for row in rows if row["cause"]).most_common():
        print(f"{number:>5}  {cause}")


if __name__ == "__main__":
    sys.exit(main())
