#!/usr/bin/env python3
"""Real programs rebuilt from lifted objects: do their own tests still pass?

    python benchmarks/relink_programs.py mawk jansson utf8proc --work DIR [--json FILE]
        [--accept-unproved] [--retarget]
    python benchmarks/relink_programs.py --source examples/lisp --work DIR \\
        --build "make CC={cc}" --test "make check"

A program by name is a Debian source package, downloaded by its pinned version to DIR. It is built
with clang at the level, and its tests run. Then each object is lifted by rules alone and made
again: where every function is lifted, from the module alone (nothing of the original's machine code
is left); else with lifted functions in place of the originals (``--relink``). The same build
command links them, and the same tests run. The table says how many functions were replaced and why
the others were not; FILE gets a line of JSON a program.

``--accept-unproved`` also takes lifts that were neither shown right nor wrong: then the program's
tests are all that speaks for them. ``--retarget`` makes the objects of an AArch64 build from the
x86-64 objects' lifts, and runs its tests under qemu-aarch64. Lifts are kept in DIR by content:
stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_compiler.console import print_table
from llm_compiler.corpus.config import PackageSpec, load_config
from llm_compiler.corpus.debian import Archive
from llm_compiler.disassemble import Disassembled, DisassembleOptions, disassemble, read_program
from llm_compiler.disassembly.lift_cache import LiftCache
from llm_compiler.errors import LlmCompilerError
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.model.engines.no_engine import NoEngine
from llm_compiler.verify.execute import ExecuteOptions
from llm_compiler.workers import LocalPool
from llm_compiler.workers.pool import WorkerPool

_TIMEOUT_S = 1800
_PACKAGES = (Path("configs/corpus/debian.toml"), Path("configs/corpus/relinked.toml"))
_OTHER = "aarch64-linux-gnu"
_EMULATOR = f"qemu-aarch64 -L /usr/{_OTHER}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How a program is built and tested.

    `{cc}` is the compiler, `{host}` its target, `{run}` what runs the target's code.
    """

    build: str
    """Run again, it links what is newer."""
    test: str
    objects: tuple[str, ...]
    """Globs of what is lifted; the programs that test it are not."""
    configure: str = "true"


_UTF8PROC_TESTS = ("case", "charwidth", "custom", "iterate", "misc", "printproperty", "valid")
# What was generated is newer than what it was generated from, whatever unpacking left.
_AUTOTOOLS_AS_SHIPPED = (
    "touch aclocal.m4 && sleep 1 && find . -name Makefile.in -o -name config.h.in | xargs touch"
    " && touch configure && CC={cc} CFLAGS= ./configure --host={host} --disable-shared"
)
PROGRAMS: Mapping[str, Program] = {
    "mawk": Program(
        # The parser that comes with it is used, whether or not there is a yacc.
        configure="touch parse.c parse.h && CFLAGS= ./configure CC={cc}",
        build="make",
        test="make check",
        objects=("*.o",),
    ),
    "jansson": Program(
        configure="CC={cc} CFLAGS= cmake -S . -B build -DCMAKE_BUILD_TYPE=None "
        "-DJANSSON_BUILD_DOCS=OFF",
        build="make -C build",
        test="ctest --test-dir build -j2",
        objects=("build/CMakeFiles/jansson.dir/src/*.o",),
    ),
    "utf8proc": Program(
        # The others download tables of the Unicode consortium first.
        build="make CC={cc} CFLAGS= utf8proc.o "
        + " ".join(f"test/{name}" for name in _UTF8PROC_TESTS),
        test=" && ".join(
            f"{{run}} test/{name}"
            for name in _UTF8PROC_TESTS
            if name != "printproperty"  # prints what its arguments name
        ),
        objects=("utf8proc.o",),
    ),
    "expat": Program(
        configure="CC={cc} CFLAGS= cmake -S expat -B build -DCMAKE_BUILD_TYPE=None "
        "-DEXPAT_BUILD_DOCS=OFF -DEXPAT_BUILD_EXAMPLES=OFF -DEXPAT_SHARED_LIBS=OFF",
        build="make -C build",
        test="ctest --test-dir build -j2",
        objects=("build/CMakeFiles/expat.dir/lib/*.o",),
    ),
    "libtommath": Program(
        # Without IGNORE_SPEED it sets levels of its own.
        build="make CC={cc} CFLAGS=-I. IGNORE_SPEED=1 LIBNAME=libtommath.a libtommath.a"
        " && make CC={cc} CFLAGS=-I. IGNORE_SPEED=1 test",
        test="{run} ./test",
        objects=("bn_*.o",),
    ),
    "yajl": Program(
        configure="CC={cc} CFLAGS= cmake -S . -B build -DCMAKE_BUILD_TYPE=None",
        build="make -C build",
        test="cd test/parsing && ./run_tests.sh ../../build/test/parsing/yajl_test",
        objects=("build/src/CMakeFiles/yajl_s.dir/*.o",),
    ),
    "libcsv": Program(
        configure=_AUTOTOOLS_AS_SHIPPED,
        build="make",
        test="make check TESTS_ENVIRONMENT='{run}'",
        objects=("libcsv_la-libcsv.o",),
    ),
    "libmd": Program(
        configure=_AUTOTOOLS_AS_SHIPPED,
        build="make",
        test="make check LOG_COMPILER='{run}'",
        objects=("src/*.o",),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What became of one object."""

    name: str
    verdicts: Counter[str] = field(default_factory=Counter)
    num_replaced: int = 0
    is_whole: bool = False
    left: tuple[tuple[str, str], ...] = ()
    """Functions that stay the original's machine code, and why."""
    obstacle: str = ""


def main() -> int:
    """Build, lift, relink, test; print what came of it."""
    options = _parse()
    toolchain = find_toolchain()
    options.work.mkdir(parents=True, exist_ok=True)
    programs = {name: PROGRAMS[name] for name in options.programs}
    if options.source:
        programs[options.source.name] = Program(
            build=options.build, test=options.test, objects=tuple(options.objects)
        )
    rows: list[dict[str, Any]] = []
    lifts = LiftCache(options.work / "lifts", model=NoEngine.name, toolchain=toolchain)
    with lifts as cache, LocalPool(1) as pool:
        for name, program in programs.items():
            work = Work(name, program, options, toolchain)
            for row in work.run(pool, cache):
                rows.append(row)
                print(json.dumps(row), flush=True)
                if options.json:
                    with options.json.open("a") as output:
                        output.write(json.dumps(row) + "\n")
    _print(rows)
    return 0 if all(row["tests"] == "passed" for row in rows) else 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="by name")
    parser.add_argument("--source", type=Path, help="a folder of sources, in place of a name")
    parser.add_argument("--build", help="a shell command; {cc}: the compiler")
    parser.add_argument("--test", help="a shell command that fails if a test does")
    parser.add_argument("--objects", nargs="*", default=["**/*.o"])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--packages", type=Path, nargs="+", default=_PACKAGES)
    parser.add_argument("--level", default="Oz")
    parser.add_argument("--search-s", type=float, default=1.0)
    parser.add_argument("--max-seconds", type=float, default=6.0, help="to run one lift")
    parser.add_argument("--max-executed", type=int, default=3, help="lifts of a function to run")
    parser.add_argument("--accept-unproved", action="store_true")
    parser.add_argument("--retarget", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if unknown := set(options.programs) - set(PROGRAMS):
        parser.error(f"{', '.join(sorted(unknown))}: known are {', '.join(PROGRAMS)}")
    if not options.programs and not (options.source and options.build and options.test):
        parser.error("name a program, or --source with --build and --test")
    return options


class Work:
    """One program in folders of its own."""

    def __init__(
        self, name: str, program: Program, options: argparse.Namespace, toolchain: Toolchain
    ) -> None:
        self._name, self._program, self._options = name, program, options
        self._toolchain = toolchain
        self._folder: Path = (options.work / name).resolve()
        self._version = ""

    def run(self, pool: WorkerPool, cache: LiftCache) -> list[dict[str, Any]]:
        """Return the row of the program, and that of its copy for the other target."""
        source = self._source()
        folder = self._copied(source, "rebuilt")
        if (before := self._built(folder)) != "passed":
            return [{"program": self._name, "tests": f"the original {before}"}]
        results: dict[Path, Disassembled] = {}
        found: list[Rebuilt] = []
        objects = self._objects(folder)
        program = read_program(objects, toolchain=self._toolchain)
        for path in objects:
            relative = path.relative_to(folder)
            started = time.process_time()
            try:
                result = disassemble(
                    path, NoEngine(), self._settings(), pool=pool, cache=cache, program=program
                )
            except LlmCompilerError as error:
                found.append(Rebuilt(name=str(relative), obstacle=str(error)[:300]))
                continue
            results[relative] = result
            found.append(self._replace(path, str(relative), result))
            spent = time.process_time() - started
            print(f"{relative}: {dict(found[-1].verdicts)} {spent:.1f} s", file=sys.stderr)
        self._make_newer(folder)
        rows = [self._row(found, self._built(folder))]
        if self._options.retarget:
            rows.append(self._retargeted(source, results))
        return rows

    def _source(self) -> Path:
        if self._options.source and self._name == self._options.source.name:
            return Path(self._options.source).resolve()
        spec = next(
            one
            for config in self._options.packages
            for one in load_config(config).specs
            if isinstance(one, PackageSpec) and one.name == self._name
        )
        self._version = spec.version
        source = self._folder / "source"
        if not source.exists():
            fetched = Archive(self._options.work / "archive").fetch(spec, destination=source)
            self._version = fetched.version
        return source

    def _copied(self, source: Path, name: str) -> Path:
        folder = self._folder / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder, symlinks=True)
        return folder

    def _objects(self, folder: Path) -> list[Path]:
        found = {path for glob in self._program.objects for path in folder.glob(glob)}
        return sorted(found)

    def _settings(self) -> DisassembleOptions:
        return DisassembleOptions(
            relink=True,
            retarget=_OTHER if self._options.retarget else "",
            search_s=self._options.search_s,
            keep_unproved=False,
            accept_unproved=self._options.accept_unproved,
            max_executed=self._options.max_executed,
            execute=ExecuteOptions(max_seconds=self._options.max_seconds),
        )

    def _built(self, folder: Path, *, target: str = "") -> str:
        """Build and test a copy; return "passed", or what it fails to do."""
        wrapper = self._folder / f"cc-{target or 'own'}"
        command = [str(self._toolchain.tool("clang")), f"-{self._options.level}", "-w"]
        if target:
            command.append(f"--target={target}")
        wrapper.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        wrapper.chmod(0o755)
        values = {
            "cc": str(wrapper),
            "run": _EMULATOR if target else "",
            "host": target or "x86_64-linux-gnu",
        }
        steps = [(self._program.build, "does not build"), (self._program.test, "fails its tests")]
        mark = folder / ".configured"
        if not mark.exists():
            steps.insert(0, (self._program.configure, "cannot be configured"))
        for step, word in steps:
            text = re.sub(r"\{(cc|run|host)\}", lambda found: values[found[1]], step)
            try:
                done = subprocess.run(
                    ["/bin/sh", "-c", text],
                    cwd=folder,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    check=False,
                    timeout=_TIMEOUT_S,
                )
            except subprocess.TimeoutExpired:
                return f"{word}: no end within {_TIMEOUT_S} s"
            if done.returncode:
                return f"{word}: {(done.stdout + done.stderr)[-400:]}"
        mark.touch()
        return "passed"

    def _replace(self, path: Path, name: str, result: Disassembled) -> Rebuilt:
        """Put an object that was made again in an object's place."""
        left = [
            (function.name, f"{function.verdict.value}: {function.reason}")
            for function in result.functions
            if not function.is_accepted
        ]
        obstacle, is_whole = result.obstacle, result.is_whole
        if is_whole and (obstacle := self._compiled(path, result.module)):
            is_whole = False
        if not is_whole:
            path.write_bytes(result.relinked)
        return Rebuilt(
            name=name,
            verdicts=Counter(function.verdict.value for function in result.functions),
            num_replaced=len(result.functions) - len(left),
            is_whole=is_whole,
            left=tuple(left),
            obstacle=obstacle,
        )

    def _compiled(self, path: Path, module: str, target: str = "") -> str:
        """Make an object of a module; return clang's complaint, empty if there is none."""
        source = path.with_suffix(".lifted.ll")
        source.write_text(module, "utf-8", "surrogateescape")
        clang = str(self._toolchain.tool("clang"))
        flags = [f"-{self._options.level}", "-fPIC", "-w"]
        flags += [f"--target={target}"] if target else []
        done = subprocess.run(
            [clang, *flags, "-c", source, "-o", path], capture_output=True, text=True, check=False
        )
        return done.stderr[-300:] if done.returncode else ""

    def _make_newer(self, folder: Path) -> None:
        """Make objects newer than their sources, and older than nothing that is linked of them."""
        now = time.time() + 2
        for path in self._objects(folder):
            os.utime(path, (now, now))

    def _row(self, found: list[Rebuilt], tests: str) -> dict[str, Any]:
        verdicts = sum((one_object.verdicts for one_object in found), Counter[str]())
        return {
            "program": self._name,
            "version": self._version,
            "target": "",
            "accept_unproved": self._options.accept_unproved,
            "objects": len(found),
            "whole": sum(one_object.is_whole for one_object in found),
            "functions": verdicts.total(),
            "replaced": sum(one_object.num_replaced for one_object in found),
            "verdicts": dict(verdicts),
            "left": [
                [one_object.name, *reason] for one_object in found for reason in one_object.left
            ],
            "obstacles": {
                one_object.name: one_object.obstacle for one_object in found if one_object.obstacle
            },
            "tests": tests,
        }

    def _retargeted(self, source: Path, results: Mapping[Path, Disassembled]) -> dict[str, Any]:
        """Return the row of a build for the other target, its objects from this one's lifts."""
        folder = self._copied(source, "retargeted")
        if (before := self._built(folder, target=_OTHER)) != "passed":
            return {"program": self._name, "target": _OTHER, "tests": f"the original {before}"}
        found: list[Rebuilt] = []
        for relative, result in results.items():
            module = result.retargeted
            assert module is not None
            left = [(one_.name, one_.reason) for one_ in module.functions if not one_.is_defined]
            verdicts = Counter(one_.verdict.value for one_ in module.functions)
            obstacle = f"not for {_OTHER}: {left[0][0]}" if left else ""
            if not left:
                obstacle = self._compiled(folder / relative, module.module, _OTHER)
            found.append(
                Rebuilt(
                    name=str(relative),
                    verdicts=verdicts,
                    num_replaced=0 if obstacle else len(module.functions),
                    is_whole=not obstacle,
                    left=tuple(left),
                    obstacle=obstacle,
                )
            )
        self._make_newer(folder)
        row = self._row(found, self._built(folder, target=_OTHER))
        return {**row, "target": _OTHER}


def _print(rows: list[dict[str, Any]]) -> None:
    header = ("program", "target", "objects", "whole", "functions", "replaced", "tests")
    table = [[str(row.get(name, ""))[:60].replace("\n", " ") for name in header] for row in rows]
    print_table(header, table, right="llrrrrl")
    causes: Counter[str] = Counter()
    for row in rows:
        for _, _, reason in row.get("left", ()):
            causes[_kind(reason)] += 1
    for cause, count in causes.most_common():
        print(f"{count:5} {cause}")


def _kind(reason: str) -> str:
    """Return a reason without what differs from function to function."""
    reason = re.sub(r"'[^']*'|\"[^\"]*\"|0x[0-9a-f]+", "...", reason)
    return re.sub(r"\d+", "N", reason)[:110]


if __name__ == "__main__":
    sys.exit(main())
