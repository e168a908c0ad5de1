"""What trying function attributes is worth: true IR with the wrong ones, at each level.

Compiles sources with clang at each level, takes each function's own IR through the short form
(which leaves out attributes; restored, they are -Oz's), and lifts the object with these answers.
Prints for each level how many functions are exact as answered, and how many with attributes that
were found.

    python benchmarks/attribute_variants.py examples/lisp/*.c --levels Oz Os O2 O1 O3 O0 --num 100
"""

from __future__ import annotations

import argparse
import random
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from llm_compiler.corpus.normalize import normalize
from llm_compiler.dataset.lifting.assembly import shorten_assembly
from llm_compiler.dataset.lifting.module_text import build_module_text
from llm_compiler.dataset.lifting.strip import StripLevel, body_of, strip_module
from llm_compiler.disassembly.binary import read_binary
from llm_compiler.disassembly.disassembled import DisassembleOptions
from llm_compiler.disassembly.lift import Lifter
from llm_compiler.disassembly.read_function import FunctionReader, Unreadable
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.assembler import triple_of
from llm_compiler.llvm.extract import extract_function
from llm_compiler.llvm.module import Context
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.replay import ReplayEngine
from llm_compiler.process import run
from llm_compiler.verify.lifted import LiftVerdict
from llm_compiler.workers import LocalPool


def compile_file(
    source: Path, flags: list[str], architecture: str, toolchain: Toolchain, folder: Path
) -> tuple[Path, Path]:
    """Return the object and the bitcode that clang makes of a source."""
    clang = str(toolchain.tool("clang")) + ("++" if source.suffix in (".cpp", ".cc") else "")
    paths = folder / f"{source.stem}.o", folder / f"{source.stem}.bc"
    for path, more in zip(paths, ([], ["-emit-llvm"]), strict=True):
        target = f"--target={triple_of(architecture)}"
        done = run([clang, target, *flags, "-c", *more, source, "-o", path], timeout_s=120)
        if not done.ok:
            raise SystemExit(done.stderr_text)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+", type=Path)
    parser.add_argument("--levels", nargs="+", default=["Oz", "Os", "O2", "O1", "O3", "O0"])
    parser.add_argument("--flags", default="", help="more of clang's flags")
    parser.add_argument("--architecture", default="x86_64", choices=("x86_64", "aarch64"))
    parser.add_argument("--num", type=int, default=100, help="functions a level")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    toolchain = find_toolchain()
    for level in options.levels:
        counts: Counter[str] = Counter()
        needed: Counter[str] = Counter()
        seconds = 0.0
        with LocalPool(1) as pool, tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            flags = [f"-{level}", *options.flags.split()]
            jobs = []
            for source in options.sources:
                paths = compile_file(source, flags, options.architecture, toolchain, folder)
                binary = read_binary(paths[0], toolchain, folder)
                answers = folder / f"answers-{source.stem}"
                answers.mkdir()
                engine = ReplayEngine(answers)
                lifter = Lifter(
                    binary,
                    engine,
                    DisassembleOptions(),
                    pool=pool,
                    toolchain=toolchain,
                    executor=None,
                    folder=answers,
                )
                jobs += [
                    (paths[1], binary, function, lifter, answers) for function in binary.functions()
                ]
            random.Random(options.seed).shuffle(jobs)
            for bitcode, binary, symbol, lifter, answers in jobs:
                if counts["functions"] == options.num:
                    break
                try:
                    text = FunctionReader(binary).read(symbol).text
                    short = shorten_assembly(text, binary.target_triple)
                    with Context() as context:
                        module = context.parse(bitcode.read_bytes())
                        with extract_function(module, symbol.name) as each_module:
                            ir = normalize(each_module.to_bitcode()).text
                    bodies = [
                        body_of(strip_module(ir, strip_level), dict(short.symbols))
                        for strip_level in StripLevel
                    ]
                    for number, body in enumerate(reversed(bodies)):
                        name = f"{symbol.name}.{number}" if number else symbol.name
                        (answers / f"{name}.ll").write_text(build_module_text(body, short))
                except (Unreadable, LlmCompilerError):
                    counts["not in short form"] += 1
                    continue
                counts["functions"] += 1
                started = time.monotonic()
                found = lifter.lift(symbol).outcome
                seconds += time.monotonic() - started
                if found.verdict is LiftVerdict.EXACT:
                    counts["exact"] += 1
                    counts["as answered"] += not found.attributes
                    needed[found.attributes] += bool(found.attributes)
                else:
                    reason = re.sub(r"'.*?'|\d+", "..", found.reason)
                    counts[f"not: {reason[:140]}"] += 1
        num = max(1, counts["functions"])
        print(
            f"-{level}: {num} functions, exact as answered {counts['as answered']} "
            f"({100 * counts['as answered'] / num:.0f} %), with attributes found {counts['exact']} "
            f"({100 * counts['exact'] / num:.0f} %); {seconds / num:.2f} s a function",
            flush=True,
        )
        for name, number in (+needed).most_common(4):
            print(f"    {number:4} {name}")
        for name, number in counts.most_common():
            if name.startswith("not"):
                print(f"    {number:4} {name}")


if __name__ == "__main__":
    main()
