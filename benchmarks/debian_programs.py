"""Linked programs of Debian's sources with --whole-program, beside clang -Oz -flto with lld.

    python benchmarks/debian_programs.py WORK [--programs ed mawk ...] [--candidates 8]
        [--packages configs/corpus/debian.toml]

Each package is downloaded to WORK, configured and built with clang -Oz by its own makefiles. What
the program's link takes from the build is looked up in a log of all compilations; those units are
optimised as one program (`optimize_program`), linked with lld, and put in the place of the built
one; then the package's own tests run. Beside it stand the same units with ``clang -Oz -flto``,
linked with the same options (``--gc-sections``). Sizes are all allocated bytes of the executables.
One line of JSON a program goes to WORK/programs.jsonl; a program that has one is not built again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.console import print_table
from llm_compiler.corpus.config import PackageSpec, load_config
from llm_compiler.corpus.debian import Archive
from llm_compiler.llvm.object_file import section_sizes
from llm_compiler.llvm.toolchain import Toolchain, find_toolchain
from llm_compiler.optimization.options import OptimizeOptions
from llm_compiler.optimization.sources import Source
from llm_compiler.optimize_program import optimize_program
from llm_compiler.process import Completed, run
from llm_compiler.workers import LocalPool

_RECORD, _WORD = "\x1e", "\x1f"
_TEST_LINE = re.compile(r"^(?:PASS|FAIL|XFAIL|XPASS|SKIP|ERROR|\d+: .*):? .*$", re.MULTILINE)
_MEMBER = re.compile(r"^(?P<archive>.+\.a)\((?P<member>[^()]+)\)$")
_GC_SECTIONS = "-Wl,--gc-sections"
_NO_AUTOTOOLS = tuple(
    f"{name}=true" for name in ("ACLOCAL", "AUTOCONF", "AUTOMAKE", "AUTOHEADER", "MAKEINFO")
)
"""Debian's patches make generated files look old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a package is built and tested: what `make` is asked for, from the package's folder."""

    binary: str
    tests: tuple[str, ...]
    build: tuple[str, ...] = ()
    configure: tuple[str, ...] = ()


PROGRAMS: Mapping[str, Recipe] = {
    "ed": Recipe(binary="ed", tests=("check",)),
    "mawk": Recipe(binary="mawk", tests=("check",)),
    "patch": Recipe(binary="src/patch", tests=("-C", "tests", "check")),
    "diffutils": Recipe(binary="src/diff", tests=("-C", "tests", "check")),
    "m4": Recipe(binary="src/m4", tests=("-C", "checks", "check")),
    "cpio": Recipe(binary="src/cpio", tests=("-C", "tests", "check")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compilation:
    """One call of the compiler, as the build made it."""

    directory: Path
    words: tuple[str, ...]

    @property
    def output(self) -> Path | None:
        """What is written, from the root; None where nobody says."""
        if "-o" in self.words[:-1]:
            name = self.words[self.words.index("-o") + 1]
        elif "-c" in self.words and self.source:
            name = f"{Path(self.source).stem}.o"
        else:
            return None
        return (self.directory / name).resolve()

    @property
    def source(self) -> str:
        """The one C file; empty if there is none or several."""
        found = [word for word in self.words if word.endswith(".c") and not word.startswith("-")]
        return found[0] if len(found) == 1 else ""

    @property
    def flags(self) -> tuple[str, ...]:
        """What says how the source is compiled."""
        kept, skip = [], False
        for word in self.words:
            if skip:
                skip = False
            elif word == "-o":
                skip = True
            elif word not in ("-c", self.source):
                kept.append(word)
        return tuple(kept)


class Build:
    """One package, unpacked and built in a folder of its own."""

    def __init__(self, name: str, folder: Path, toolchain: Toolchain) -> None:
        self.recipe = PROGRAMS[name]
        self.folder = folder
        self.toolchain = toolchain
        self._log = folder.parent / "compilations.log"
        self._wrapper = folder.parent / "cc"
        clang = toolchain.tool("clang")
        self._wrapper.write_text(
            "#!/bin/sh\n"
            f'printf "\\036%s" "$PWD" >>{shlex.quote(str(self._log))}\n'
            f'printf "\\037%s" "$@" >>{shlex.quote(str(self._log))}\n'
            f'exec {clang} -Oz -w "$@"\n'
        )
        self._wrapper.chmod(0o755)

    def make(self) -> None:
        """Configure and build the package."""
        env = {**os.environ, "FORCE_UNSAFE_CONFIGURE": "1", "LC_ALL": "C"}
        settings = [f"CC={self._wrapper}", "CFLAGS=-Oz"]
        if "nls" in (self.folder / "configure").read_text(errors="replace"):
            settings.append("--disable-nls")
        self._run(["./configure", *settings, *self.recipe.configure], env=env)
        self._log.write_text("")
        self._run(["make", *_NO_AUTOTOOLS, *self.recipe.build], env=env)

    def _run(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        done = run(command, timeout_s=3600, cwd=self.folder, env=env)
        if not done.ok:
            sys.exit(f"{shlex.join(command)} fails: {done.stderr_text[-2000:]}")

    @property
    def binary(self) -> Path:
        """The program."""
        return (self.folder / self.recipe.binary).resolve()

    def compilations(self) -> list[Compilation]:
        """Return what the compiler was called with, in order."""
        records = self._log.read_text(errors="surrogateescape").split(_RECORD)[1:]
        return [
            Compilation(directory=Path(words[0]), words=tuple(words[1:]))
            for words in (record.split(_WORD) for record in records)
        ]

    def units(self) -> tuple[list[Compilation], list[str], Path]:
        """Return the compilations that the program is made of, what else its link names, and where.

        The linker says which members of the build's own archives it takes.
        """
        calls = self.compilations()
        link = next(
            call
            for call in reversed(calls)
            if call.output == self.binary and "-c" not in call.words
        )
        lld = self.toolchain.tool("ld.lld")
        done = run(
            [
                str(self.toolchain.tool("clang")),
                *link.words[: link.words.index("-o")],
                *link.words[link.words.index("-o") + 2 :],
                "-o",
                "/dev/null",
                f"--ld-path={lld}",
                "-Wl,--trace",
            ],
            timeout_s=120,
            cwd=link.directory,
        )
        objects = {call.output: call for call in calls if "-c" in call.words and call.source}
        found, own = [], set()
        for line in done.stdout.decode().splitlines():
            member = _MEMBER.match(line)
            archive = (link.directory / member["archive"]).resolve() if member else None
            if member and archive and archive.is_relative_to(self.folder):
                own.add(member["archive"])
                made = [
                    each_compilation
                    for path, each_compilation in objects.items()
                    if path
                    and path.name == member["member"]
                    and path.is_relative_to(archive.parent)
                ]
                found.append(made[-1])
            elif compilation := objects.get((link.directory / line).resolve()):
                own.add(line)
                found.append(compilation)
        rest = []
        words = iter(link.words)
        for word in words:
            if word == "-o":
                next(words)
            elif word not in own and not word.endswith((".o", ".c")):
                rest.append(word)
        rest = [
            text for text in rest if not (link.directory / text).is_file() or text.startswith("-")
        ]
        return found, rest, link.directory

    def test(self) -> tuple[bool, list[str]]:
        """Run the package's own tests; return whether they pass, and what each said."""
        env = {**os.environ, "LC_ALL": "C"}
        done: Completed = run(
            ["make", *_NO_AUTOTOOLS, *self.recipe.tests],
            timeout_s=1800,
            cwd=self.folder,
            env=env,
        )
        text = done.stdout.decode(errors="replace")
        return done.ok, sorted(set(_TEST_LINE.findall(text)))


def measure(
    name: str, spec: PackageSpec, work: Path, options: argparse.Namespace
) -> dict[str, object]:
    """Build, optimise, link and test one program."""
    toolchain = find_toolchain()
    home = work / name
    folder = (home / "source").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if not (folder / "configure").exists():
        Archive(work / "apt").fetch(spec, destination=folder)
    build = Build(name, folder, toolchain)
    if not build.binary.exists():
        build.make()
    units, rest, directory = build.units()
    before = build.test()
    plain = build.binary.read_bytes()
    clang = str(toolchain.tool("clang"))
    tail = [*rest, f"--ld-path={toolchain.tool('ld.lld')}", _GC_SECTIONS]

    def link(inputs: Sequence[Path], output: Path, *flags: str) -> bytes:
        command = [clang, "-Oz", *flags, *map(str, inputs), *tail, "-o", str(output)]
        done = run(command, timeout_s=600, cwd=directory)
        if not done.ok:
            sys.exit(f"{shlex.join(command)} fails: {done.stderr_text[-2000:]}")
        return output.read_bytes()

    def compiled(number: int, compilation: Compilation, *flags: str) -> Path:
        output = home / f"unit{number}{'-lto' if flags else ''}.o"
        command = [
            clang,
            *compilation.flags,
            "-w",
            "-Oz",
            *flags,
            "-c",
            compilation.source,
            "-o",
            str(output),
        ]
        done = run(command, timeout_s=600, cwd=compilation.directory)
        if not done.ok:
            sys.exit(f"{shlex.join(command)} fails: {done.stderr_text[-2000:]}")
        return output.resolve()

    lto = link(
        [compiled(number, unit, "-flto") for number, unit in enumerate(units)],
        (home / "lto").resolve(),
        "-flto",
    )
    sources = [
        Source(path=Path(unit.source), clang_flags=(*unit.flags, "-w"), directory=unit.directory)
        for unit in units
    ]
    with LocalPool(options.jobs) as pool:
        found = optimize_program(
            sources,
            ["main"],
            OptimizeOptions(candidates=options.candidates, timeout_s=120),
            pool=pool,
            output=home / "program.o",
            notify=lambda text: print(f"{name}: {text}", file=sys.stderr, flush=True),
        )
    (home / "program.o").write_bytes(found.output)
    ours = link([(home / "program.o").resolve()], (home / "ours").resolve())
    build.binary.write_bytes(ours)
    after = build.test()
    build.binary.write_bytes(plain)
    sizes = [section_sizes(data).size_bytes for data in (plain, lto, ours)]
    return {
        "program": name,
        "version": spec.version,
        "units": len(units),
        "functions_assembled": 0 if found.recipe is None else len(found.recipe.functions),
        "oz_bytes": sizes[0],
        "lto_bytes": sizes[1],
        "our_bytes": sizes[2],
        "object_lto_bytes": found.baseline_bytes,
        "object_our_bytes": found.optimized_bytes,
        "tests": len(after[1]),
        "tests_pass": after[0],
        "tests_pass_before": before[0],
        "tests_differ": sorted(set(after[1]) ^ set(before[1])),
        "warnings": list(found.warnings),
        "seconds": round(found.seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--programs", nargs="+", choices=list(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument("--packages", type=Path, default=Path("configs/corpus/debian.toml"))
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    specs = {
        spec.name: spec
        for spec in load_config(options.packages).specs
        if isinstance(spec, PackageSpec)
    }
    options.work.mkdir(parents=True, exist_ok=True)
    path = options.work / "programs.jsonl"
    rows = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        rows[row["program"]] = row
    for name in options.programs:
        if name not in rows:
            rows[name] = measure(name, specs[name], options.work.resolve(), options)
            with path.open("a") as stream:
                stream.write(json.dumps(rows[name]) + "\n")
    print_table(
        ("program", "units", "clang -Oz", "-flto, gc", "ours", "beyond -flto", "own tests"),
        [
            (
                name,
                str(row["units"]),
                f"{row['oz_bytes']:,}",
                f"{row['lto_bytes']:,}",
                f"{row['our_bytes']:,}",
                f"{100 * (1 - row['our_bytes'] / row['lto_bytes']):.1f} %",
                (
                    "pass"
                    if row["tests_pass"]
                    else "as before"
                    if not row["tests_differ"]
                    else "FAIL"
                ),
            )
            for name, row in rows.items()
            if name in options.programs
        ],
        right="lrrrrrl",
    )


if __name__ == "__main__":
    main()
