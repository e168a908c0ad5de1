#!/usr/bin/env python3
"""Compile units of packages as distributions do: objects for `benchmarks/lift_objects.py`.

    python benchmarks/compile_objects.py OUT [--split test | --package NAME...] [--units 12]

Fetches packages of a corpus configuration, asks their own build for its compile commands, draws
some units of each, and compiles these with GCC at -O2 and -Os and with a real `clang -O0`, for
x86-64 and AArch64. Objects go to ``OUT/KIND/PACKAGE/UNIT.o``; ``OUT/manifest.jsonl`` says, a line
a package, which version it is, which flags each unit has, and what did not compile. Packages that
are in it are not done again. Needs apt's source packages, cross compilers and the LLVM in use.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler import process
from llm_compiler.console import print_table
from llm_compiler.corpus.commands import CompileCommand, flags_for_target
from llm_compiler.corpus.compiler_wrapper import TOLERANT_FLAGS
from llm_compiler.corpus.config import PackageSpec, load_config
from llm_compiler.corpus.debian import Archive
from llm_compiler.corpus.exclusions import excluded_symbol
from llm_compiler.corpus.extract import classify_failure
from llm_compiler.corpus.sources import Prepared, prepare
from llm_compiler.corpus.tools import Tools, find_tools
from llm_compiler.errors import LlmCompilerError

_CONFIGURATION = Path(__file__).parents[1] / "configs/corpus/debian.toml"
_TIMEOUT_S = 120.0
_X86_64, _AARCH64 = "x86_64-pc-linux-gnu", "aarch64-linux-gnu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A compiler, its target and its level; `compiler` is GCC's prefix, or "clang"."""

    name: str
    compiler: str
    target_triple: str
    level: str

    def command(self, unit: CompileCommand, tools: Tools) -> list[str]:
        """Return what compiles a unit, but for its source and the object."""
        if self.compiler == "clang":
            start = [os.fspath(tools.clang), f"--target={self.target_triple}", *TOLERANT_FLAGS]
        else:
            start = [self.compiler + ("g++" if unit.language == "c++" else "gcc"), "-w"]
        flags = flags_for_target(unit.flags, self.target_triple)
        return [*start, *flags, self.level, "-c", "-x", unit.language]


KINDS = (
    Kind(name="x86_64-gcc-O2", compiler="", target_triple=_X86_64, level="-O2"),
    Kind(name="x86_64-gcc-Os", compiler="", target_triple=_X86_64, level="-Os"),
    Kind(name="x86_64-clang-O0", compiler="clang", target_triple=_X86_64, level="-O0"),
    Kind(name="aarch64-gcc-O2", compiler=f"{_AARCH64}-", target_triple=_AARCH64, level="-O2"),
    Kind(name="aarch64-gcc-Os", compiler=f"{_AARCH64}-", target_triple=_AARCH64, level="-Os"),
    Kind(name="aarch64-clang-O0", compiler="clang", target_triple=_AARCH64, level="-O0"),
)


def main() -> int:
    """Fetch, compile, and print how much of each package there is."""
    options = _parse()
    config = load_config(options.configuration)
    specs = [
        spec
        for spec in config.select(options.package or None)
        if isinstance(spec, PackageSpec) and (options.package or spec.split == options.split)
        if spec.name not in options.leave_out
    ]
    tools = find_tools()
    manifest = options.out / "manifest.jsonl"
    options.out.mkdir(parents=True, exist_ok=True)
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    entries = {entry["package"]: entry for entry in map(json.loads, lines)}
    archive = Archive(options.out / ".archive")
    for spec in specs:
        if spec.name in entries:
            continue
        try:
            prepared = prepare(spec, work=options.out / ".work", archive=archive, tools=tools)
        except LlmCompilerError as error:
            print(f"{spec.name}: {error}", file=sys.stderr)
            continue
        entry = _compile_package(spec.name, prepared, options, tools)
        with manifest.open("a") as output:
            output.write(json.dumps(entry) + "\n")
        entries[spec.name] = entry
    _print([entries[spec.name] for spec in specs if spec.name in entries])
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--configuration", type=Path, default=_CONFIGURATION, metavar="TOML")
    parser.add_argument("--split", default="test", help="default: %(default)s")
    parser.add_argument("--package", action="append", default=[], help="instead of the split's")
    parser.add_argument("--leave-out", action="append", default=[], metavar="PACKAGE")
    parser.add_argument("--units", type=int, default=12, help="of a package, at most")
    parser.add_argument("--seed", type=int, default=14)
    options = parser.parse_args()
    options.out = options.out.resolve()
    return options


def _compile_package(
    name: str, prepared: Prepared, options: argparse.Namespace, tools: Tools
) -> dict[str, object]:
    """Compile the drawn units with every compiler; return the package's line of the manifest."""
    units = sorted(prepared.commands, key=lambda unit: unit.slug)
    random.Random(f"{options.seed}:{name}").shuffle(units)
    units = units[: options.units]
    failed: list[dict[str, str]] = []
    compiled: Counter[str] = Counter()
    for unit in units:
        for kind in KINDS:
            output = options.out / kind.name / name / f"{unit.slug}.o"
            cause = compile_unit(unit, kind, output, root=prepared.root, tools=tools)
            if cause:
                failed.append({"unit": unit.source, "kind": kind.name, "cause": cause})
            else:
                compiled[kind.name] += 1
    return {
        "package": name,
        "version": prepared.version,
        "units": [{"source": unit.source, "flags": unit.flags} for unit in units],
        "compiled": dict(compiled),
        "failed": failed,
    }


def compile_unit(
    unit: CompileCommand, kind: Kind, output: Path, *, root: Path, tools: Tools
) -> str:
    """Write a unit's object, whole or not at all; return why there is none, or nothing."""
    output.parent.mkdir(parents=True, exist_ok=True)
    directory = root / unit.directory
    source = os.path.relpath(root / unit.source, directory)
    temporary = output.with_suffix(".tmp")
    try:
        done = process.run(
            [
                *kind.command(unit, tools),
                f"-ffile-prefix-map={root}=/usr/src/{root.name}",
                source,
                "-o",
                os.fspath(temporary),
            ],
            timeout_s=_TIMEOUT_S,
            cwd=directory,
            env={**os.environ, "LC_ALL": "C", "SOURCE_DATE_EPOCH": "1700000000"},
        )
        if not done.ok:
            failure = classify_failure(done)
            return f"{failure.cause}: {failure.message}"
        listed = process.run([tools.nm, "--defined-only", "-P", temporary], timeout_s=60)
        rows = [line.split() for line in listed.stdout.decode("utf-8", "replace").splitlines()]
        functions = [row[0] for row in rows if len(row) > 1 and row[1] in "TtW"]
        if held_out := excluded_symbol(functions):
            return f"held out: it defines {held_out[1]} of {held_out[0]}"
        if not functions:
            return "no function"
        os.replace(temporary, output)
        return ""
    finally:
        temporary.unlink(missing_ok=True)


def _print(entries: Sequence[dict[str, object]]) -> None:
    table = []
    for entry in entries:
        compiled = entry["compiled"]
        assert isinstance(compiled, dict)
        counts = [str(compiled.get(kind.name, 0)) for kind in KINDS]
        table.append([str(entry["package"]), str(entry["version"]), *counts])
    print_table(("package", "version", *(kind.name for kind in KINDS)), table)


if __name__ == "__main__":
    sys.exit(main())
