#!/usr/bin/env python3
"""What share of a corpus' instructions the rules have words for, and which are missing.

    python benchmarks/instruction_coverage.py CORPUS/TRIPLE/PACKAGE... [--target TRIPLE]
        [--level Oz] [--units 4]

Some units of each folder are compiled, and all their functions read. An instruction counts as
known if a rule has its mnemonic; a rule may still refuse single operands, which `lift_by_rules.py`
counts by function.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.read_function import FunctionReader, Unreadable
from llm_compiler.disassembly.rules import aarch64, x86_64
from llm_compiler.disassembly.rules.code import Unliftable, parse_code
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.process import run


def main() -> int:
    """Count, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--target", default="")
    parser.add_argument("--level", default="Oz")
    parser.add_argument("--units", type=int, default=4, help="of each folder")
    options = parser.parse_args()
    known = {*x86_64.RULES}
    if options.target.startswith("aarch64"):
        known = {*aarch64.RULES, *aarch64.VECTORS}
    toolchain = find_toolchain()
    chance = random.Random(0)
    counts: Counter[str] = Counter()
    functions = unreadable = 0
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "unit.o"
        for folder in options.folders:
            files = sorted(folder.glob("*.bc"))
            for file in chance.sample(files, min(options.units, len(files))):
                target = [f"--target={options.target}"] if options.target else []
                flags = [f"-{options.level}", *target, "-c", "-Wno-everything"]
                if not run([toolchain.tool("clang"), *flags, file, "-o", output], timeout_s=120).ok:
                    continue
                try:
                    binary = read_binary(output, toolchain, Path(name))
                except LlmCompilerError:
                    continue
                reader = FunctionReader(binary)
                for symbol in binary.functions():
                    functions += 1
                    try:
                        code = parse_code(reader.read(symbol).text)
                    except (Unreadable, Unliftable):
                        unreadable += 1
                        continue
                    counts.update(line.mnemonic for line in code.lines)
    missing = Counter({text: number for text, number in counts.items() if text not in known})
    total = counts.total()
    print(
        f"{functions} functions, {unreadable} not read; {total} instructions, {len(counts)} kinds"
    )
    share = 100 * (1 - missing.total() / max(1, total))
    print(f"with a rule: {share:.3f} % of the instructions, {len(counts) - len(missing)} kinds")
    for word, number in missing.most_common(30):
        print(f"{number:>7}  {word}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
