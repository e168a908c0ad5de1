"""Rebuild a whole real program, Lua 5.4 of Debian's source, from objects made by `optimize`.

    python benchmarks/lua_real_program.py [--source DIR] [--candidates K] [--target-triple T]

Each unit is optimised with Lua's own flags, the interpreter is linked from the results, runs a
script that exercises every library, and must print what an -O0 build prints. Printed: the total of
all objects beside clang -Oz's. Lua is a held-out program: nothing is learned from it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from llm_compiler.console import percent, print_table
from llm_compiler.corpus.config import PackageSpec
from llm_compiler.corpus.debian import Archive
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import find_toolchain
from llm_compiler.optimize import Optimized, OptimizeOptions, optimize_many
from llm_compiler.process import run
from llm_compiler.workers import LocalPool

FLAGS = ("-std=gnu99", "-Wall", "-DLUA_COMPAT_5_3", "-DLUA_USE_LINUX")
SCRIPT = Path(__file__).resolve().parent / "lua_script.lua"
SPEC = PackageSpec(
    name="lua5.4",
    version="5.4.4-3+deb12u1",
    sha256="164c7849653b80ae67bec4b7473b884bf5cc8d2dca05653475ec2ed27b9ebf61",
    language="c",
    license="MIT",
    split="test",
)


def fetch(folder: Path) -> Path:
    """Return the folder of Lua's .c files, downloaded from Debian if it is not there yet."""
    unpacked = folder / "lua5.4"
    if not (unpacked / "src" / "lua.c").exists():
        Archive(folder / "apt").fetch(SPEC, destination=unpacked)
    # debian/postinst writes this header: where modules are looked for, on an installed system.
    header = unpacked / "src" / "lua5.4-deb-multiarch.h"
    header.write_text('#define DEB_HOST_MULTIARCH "x86_64-linux-gnu"\n')
    return unpacked / "src"


def link_and_run(objects: list[Path], program: Path, target: str, runner: list[str]) -> bytes:
    """Link an interpreter and return what the script prints with it."""
    clang = find_toolchain().tool("clang")
    arguments = [str(clang), *([f"--target={target}"] if target else [])]
    arguments += [*map(str, objects), "-o", str(program), "-Wl,-E", "-lm", "-ldl"]
    linked = run(arguments, timeout_s=120)
    if not linked.ok:
        sys.exit(f"linking {program} failed: {linked.stderr_text}")
    done = run([*runner, program, SCRIPT], timeout_s=300)
    if not done.ok:
        sys.exit(f"{program} exits with {done.exit_status}: {done.stderr_text}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--source", type=Path, help="the folder with lua.c (default: Debian's)")
    parser.add_argument("--work", type=Path, default=Path("work/lua"))
    parser.add_argument("--candidates", type=int, default=16)
    parser.add_argument("--budget", type=int, default=0)
    parser.add_argument("--target-triple", default="")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    source = options.source or fetch(options.work)
    runner = []
    if options.target_triple.startswith("aarch64"):
        runner = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
    units = sorted(path for path in source.glob("*.c") if path.name not in ("luac.c", "onelua.c"))
    settings = OptimizeOptions(
        candidates=options.candidates,
        budget=options.budget,
        clang_flags=FLAGS,
        target_triple=options.target_triple,
    )
    plain, ours, results = [], [], []
    clang = find_toolchain().tool("clang")
    target = [f"--target={options.target_triple}"] if options.target_triple else []
    with LocalPool() as pool:
        for unit, result in zip(units, optimize_many(units, settings, pool=pool), strict=True):
            if isinstance(result, LlmCompilerError):
                sys.exit(f"{unit}: {result}")
            results.append(result)
            ours.append(options.work / f"{unit.stem}.o")
            ours[-1].write_bytes(result.output)
            plain.append(options.work / f"{unit.stem}.O0.o")
            command = [clang, "-O0", "-c", *target, *FLAGS, unit, "-o", plain[-1]]
            run([*map(str, command)], timeout_s=120)
    expected = link_and_run(plain, options.work / "lua-O0", options.target_triple, runner)
    printed = link_and_run(ours, options.work / "lua-ours", options.target_triple, runner)
    _print(results)
    same = printed == expected and printed.rstrip().endswith(b"all checks passed")
    print(f"\nthe script prints {'the same as' if same else 'SOMETHING ELSE THAN'} the -O0 build")
    print(printed.decode(errors="replace").strip().splitlines()[-1])
    sys.exit(0 if same else 1)


def _print(results: list[Optimized]) -> None:
    rows = [
        (
            Path(result.input).name,
            str(result.baseline_bytes),
            str(result.optimized_bytes),
            percent(result.saved_bytes, result.baseline_bytes),
            result.verdict,
        )
        for result in results
    ]
    before = sum(result.baseline_bytes for result in results)
    after = sum(result.optimized_bytes for result in results)
    rows.append(("total", str(before), str(after), percent(before - after, before), ""))
    old = sum(result.baseline_text_data_bytes for result in results)
    new = sum(result.optimized_text_data_bytes for result in results)
    rows.append(("total, .text + .data", str(old), str(new), percent(old - new, old), ""))
    print_table(("unit", "-Oz bytes", "ours", "saved", "verdict"), rows, right="lrrr")


if __name__ == "__main__":
    main()
