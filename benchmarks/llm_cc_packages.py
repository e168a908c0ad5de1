"""Builds Debian packages by their own rules with clang -Oz and with llm-cc, and compares.

    python benchmarks/llm_cc_packages.py --sources DIR --work DIR [--package mawk] [--mode lto]
    python benchmarks/llm_cc_packages.py --work DIR --table

`--sources` holds what ``apt-get source`` unpacked. For each package: built by clang, by llm-cc cold
(no server, no cache), with a warm cache, with a server that is warm from other code; the package's
own tests, sizes of objects and linked files, seconds of wall clock and of processors (the server's
and its workers' included). Prints a row for each package and appends it to ``results.jsonl``; what
is there already, in the same mode and at the same effort, is not built again. A run that was cut
short goes on after the last build that it finished.

Bytes are told apart: *code* (instructions, unwinding and exception tables), *tables* (constants and
variables) and *dynamic* (what the dynamic linker reads, notes). llm-cc compiles the objects; of
linked files, what comes from the C library's start files and the linker is code, too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_compiler.llvm.object_file import section_groups

_TIMEOUT_S = 3000


@dataclass(frozen=True)
class Package:
    """How a package is built; commands are the shell's, ``$CC`` and ``$JOBS`` are set.

    For another target ``$CC`` names it, ``$HOST`` is what configure calls it, and ``$EMULATOR``
    runs its programs.
    """

    name: str
    system: str
    configure: str
    build: str
    test: str
    linked: tuple[str, ...]
    """Globs of the files that are shipped."""


_CMAKE = (
    "cmake -S {source} -B build -DCMAKE_BUILD_TYPE=None {more}"
    " ${{HOST:+-DCMAKE_SYSTEM_NAME=Linux}} >/dev/null"
)
_FLAGS = 'CFLAGS="-Oz" CXXFLAGS="-Oz"'

_EMULATED = (
    'if test "$EMULATOR"; then for program in {programs}; do mv $program $program.real;'
    " printf '#!/bin/sh\\nexec %s $0.real \"$@\"\\n' $EMULATOR > $program; chmod +x $program;"
    " done; fi; "
)
"""Puts a script that runs it in the place of each program for another target."""

_TESTS_BY_CLANG = "LLM_CC_DISABLE=1"
"""Programs that are built for the tests alone, and take longer than what is shipped."""


def _cmake(more: str = "", source: str = ".") -> str:
    return f"{_FLAGS} " + _CMAKE.format(source=source, more=more)


PACKAGES = (
    Package(
        "mawk",
        "autotools",
        f"touch parse.c parse.h; {_FLAGS} ./configure ${{HOST:+--host=$HOST}} >/dev/null",
        "make -j$JOBS",
        "make check",
        ("mawk",),
    ),
    Package(
        "jansson",
        "CMake",
        _cmake("-DJANSSON_BUILD_DOCS=OFF -DJANSSON_BUILD_SHARED_LIBS=ON"),
        "make -C build -j$JOBS",
        _EMULATED.format(programs="build/bin/*") + "ctest --test-dir build -j$JOBS",
        ("build/lib/*.so.*.*",),
    ),
    Package(
        "brotli",
        "CMake",
        _cmake(),
        "make -C build -j$JOBS",
        "ctest --test-dir build -j$JOBS",
        ("build/brotli", "build/*.so.*.*"),
    ),
    Package(
        "libtommath",
        "make",
        "true",
        'make -j$JOBS CFLAGS="-Oz -I./" LIBNAME=libtommath.a libtommath.a'
        ' && make CFLAGS="-Oz -I./" test',
        "$EMULATOR ./test",
        ("test",),
    ),
    Package(
        "fribidi",
        "Meson",
        f"{_FLAGS} meson setup build -Ddocs=false --buildtype=plain >/dev/null",
        "ninja -C build -j$JOBS",
        "meson test -C build",
        ("build/bin/fribidi", "build/lib/*.so.*.*"),
    ),
    Package(
        "expat",
        "autotools",
        "cd expat && ./buildconf.sh >/dev/null 2>&1"
        f" && {_FLAGS} ./configure --without-docbook --without-examples >/dev/null",
        "make -C expat -j$JOBS",
        "make -C expat check",
        ("expat/xmlwf/.libs/xmlwf", "expat/lib/.libs/*.so.*.*"),
    ),
    Package(
        "ninja-build",
        "CMake",
        _cmake(),
        "make -C build -j$JOBS",
        "cd build && ./ninja_test",
        ("build/ninja",),
    ),
    Package(
        "nettle",
        "autotools",
        f"{_FLAGS} ./configure --enable-mini-gmp --disable-documentation >/dev/null",
        "make -j$JOBS",
        f"{_TESTS_BY_CLANG} make check -j$JOBS",
        ("libnettle.so", "libhogweed.so"),
    ),
    Package(
        "double-conversion",
        "CMake",
        _cmake("-DBUILD_TESTING=ON -DBUILD_SHARED_LIBS=ON"),
        "make -C build -j$JOBS",
        "ctest --test-dir build",
        ("build/*.so.*.*", "build/test/cctest/cctest"),
    ),
    Package(
        "uchardet",
        "CMake",
        _cmake(),
        "make -C build -j$JOBS",
        "ctest --test-dir build -j$JOBS",
        ("build/src/*.so.*.*", "build/src/tools/uchardet"),
    ),
    Package(
        "popt",
        "autotools",
        f"{_FLAGS} ./configure --disable-nls >/dev/null",
        "make -j$JOBS",
        "make check",
        (".libs/libpopt.so.*.*", "src/.libs/libpopt.so.*.*"),
    ),
    Package(
        "libxml2",
        "autotools",
        f"autoreconf -fi >/dev/null 2>&1 && {_FLAGS} ./configure --without-python --without-icu"
        " --disable-static >/dev/null",
        "make -j$JOBS",
        # Debian's source lacks the data of the first of them, which stops the rest.
        f"export {_TESTS_BY_CLANG}; make check; ./testrecurse; ./testapi; ./testchar && ./testdict",
        (".libs/libxml2.so.*.*", ".libs/xmllint", ".libs/xmlcatalog"),
    ),
)


@dataclass(frozen=True)
class Build:
    """What a build left."""

    wall_s: float
    cpu_s: float
    objects: int
    object_kinds: dict[str, int]
    """Bytes of all objects by kind (`_kinds`)."""
    linked_kinds: dict[str, int]
    test: str

    @property
    def object_bytes(self) -> int:
        """All of them."""
        return sum(self.object_kinds.values())

    @property
    def linked_bytes(self) -> int:
        """All of them."""
        return sum(self.linked_kinds.values())


_CODE = (".text", ".init", ".fini", ".eh_frame", ".eh_frame_hdr", ".gcc_except_table", ".plt")
_DYNAMIC = re.compile(
    r"^\.(interp|dyn|hash|gnu|rela?(\.|$)|note|got|plt\.got|init_array|fini_array|relr)"
)


def _kinds(paths: Iterable[Path]) -> dict[str, int]:
    """Return the bytes of ELF files as code, tables and what serves the dynamic linker."""
    found = {"code": 0, "tables": 0, "dynamic": 0}
    for path in paths:
        for name, size in section_groups(path.read_bytes()).items():
            kind = "code" if name in _CODE else "dynamic" if _DYNAMIC.match(name) else "tables"
            found[kind] += size
    return found


def main() -> int:
    """Build what is asked for; return 1 where a test-suite answers otherwise than with clang."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--package", action="append")
    parser.add_argument("--mode", default="object", choices=("object", "lto"))
    parser.add_argument("--effort", default="fast")
    parser.add_argument(
        "--target",
        default="",
        help="aarch64-linux-gnu, say, whose cross compiler and qemu are installed: for packages"
        " whose commands name $HOST or $EMULATOR",
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip-server", action="store_true", help="no build with a warm server")
    parser.add_argument("--client", type=Path, help="default: that of this installation")
    parser.add_argument("--again", action="store_true", help="what was measured already, too")
    parser.add_argument(
        "--table", action="store_true", help="print what was measured; build nothing"
    )
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server is left
    known = _known(options.work / "results.jsonl")
    if options.table:
        _print_table(known.values())
        return 0
    if options.sources is None:
        parser.error("--sources is needed: the folder in which apt-get source was called")
    failed = False
    for package in PACKAGES:
        if options.package and package.name not in options.package:
            continue
        setting = (package.name, options.mode, options.effort, options.target or "native")
        if setting in known and not options.again:
            continue
        (source,) = options.sources.glob(f"{package.name}-[0-9]*/")
        row = _compare(package, source, options)
        with (options.work / "results.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        failed |= not row["tests_agree"]
    return int(failed)


_SETTING = ("mode", "effort", "target")


def _known(path: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the last row of each package, mode, effort and target."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {tuple(row[name] for name in ("package", *_SETTING)): row for row in rows}


_COLUMNS = (
    "package",
    "linked bytes",
    "code in it",
    "saved of linked",
    "of linked code",
    "of objects",
    "of their code",
    "cold",
    "warm server",
    "warm cache",
    "own tests",
)
_PARTS = (
    ("linked_kinds", ""),
    ("linked_kinds", "code"),
    ("object_kinds", ""),
    ("object_kinds", "code"),
)
"""What is compared: the files, and the kind of bytes; all kinds where that is empty."""


def _print_table(rows: Iterable[dict[str, Any]]) -> None:
    """Print rows in Markdown, and what all packages of a mode and an effort save together."""
    by_setting: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        by_setting.setdefault(tuple(row[name] for name in _SETTING), []).append(row)
    for setting, chosen in sorted(by_setting.items()):
        print(f"\nmode {setting[0]}, effort {setting[1]}, target {setting[2]}\n")
        print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}")
        for row in sorted(chosen, key=lambda row: str(row["package"])):
            print(f"| {' | '.join(_cells(row))} |")
        together = [
            _saved(*(sum(_bytes(row, side, *part) for row in chosen) for side in ("clang", "cold")))
            for part in _PARTS
        ]
        means = [
            1 - math.exp(sum(math.log(1 - _saved_of(row, part)) for row in chosen) / len(chosen))
            for part in _PARTS
        ]
        for name, shares in (("together", together), ("geometric mean", means)):
            print(f"| {name} | | | {' | '.join(f'{100 * share:.2f} %' for share in shares)} |||||")


def _cells(row: dict[str, Any]) -> list[str]:
    builds = row["builds"]
    linked = _bytes(row, "clang", "linked_kinds", "")
    code = _bytes(row, "clang", "linked_kinds", "code")
    seconds = [
        f"{builds[name]['cpu_s'] / builds['clang']['cpu_s']:.2f}" if name in builds else "-"
        for name in ("cold", "server", "cache")
    ]
    return [
        f"{row['package']} ({row['system']})",
        f"{linked:,}",
        f"{100 * code / linked:.0f} %",
        *(f"{100 * _saved_of(row, part):.2f} %" for part in _PARTS),
        *seconds,
        "as with clang" if row["tests_agree"] else "DIFFER",
    ]


def _bytes(row: dict[str, Any], side: str, what: str, kind: str) -> int:
    kinds: dict[str, int] = row["builds"][side][what]
    return kinds[kind] if kind else sum(kinds.values())


def _saved_of(row: dict[str, Any], part: tuple[str, str]) -> float:
    return _saved(_bytes(row, "clang", *part), _bytes(row, "cold", *part))


class _Finished:
    """The builds of a package that a run that was cut short has finished."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.builds: dict[str, Build] = {}
        if path.exists():
            self.builds = {k: Build(**v) for k, v in json.loads(path.read_text()).items()}

    def keep(self, name: str, build: Build) -> None:
        self.builds[name] = build
        made = self.path.with_suffix(".new")
        made.write_text(json.dumps({k: vars(v) for k, v in self.builds.items()}))
        made.replace(self.path)


def _compare(package: Package, source: Path, options: argparse.Namespace) -> dict[str, object]:
    setting = (package.name, options.mode, options.effort, options.target or "native")
    private = options.work / f"private-{'-'.join(setting)}"
    folder = options.work / package.name
    finished = _Finished(options.work / f"{'-'.join(setting)}.json")
    builds = finished.builds
    if "cold" in builds and not (private / "cache").is_dir():
        del builds["cold"]
    if "cold" not in builds:
        shutil.rmtree(private, ignore_errors=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LLM_CC_")}
    if options.target:
        architecture = options.target.partition("-")[0]
        environment |= {
            "HOST": options.target,
            "EMULATOR": f"qemu-{architecture}",
            "QEMU_LD_PREFIX": f"/usr/{options.target}",
        }
    plain = _toolchain_environment(environment, options.target)
    ours = {
        **environment,
        "LLM_CC_DIR": str(private),
        "LLM_CC_MODE": options.mode,
        "LLM_CC_EFFORT": options.effort,
    }
    ours |= _client_environment(ours, options.client, options.target)

    def build(name: str, variables: dict[str, str], *, with_test: bool) -> None:
        if name not in builds:
            made = _build(
                package, source, folder, variables, options.jobs, private, with_test=with_test
            )
            finished.keep(name, made)

    try:
        build("clang", plain, with_test=True)
        build("cold", ours, with_test=True)
        build("cache", ours, with_test=False)
        if not options.skip_server and "server" not in builds:
            # The server that knows these very modules would not measure them again.
            _stop_servers(private)
            shutil.rmtree(private / "cache", ignore_errors=True)
            _compile_something(ours, options.work)
            build("server", ours, with_test=False)
    finally:
        _stop_servers(private)
    finished.path.unlink()
    shutil.rmtree(private, ignore_errors=True)
    first, cold = builds["clang"], builds["cold"]
    row = {
        "package": package.name,
        "system": package.system,
        "mode": options.mode,
        "effort": options.effort,
        "target": options.target or "native",
        "tests_agree": first.test == cold.test,
        "test": first.test,
        "object_saved": _saved(first.object_bytes, cold.object_bytes),
        "linked_saved": _saved(first.linked_bytes, cold.linked_bytes),
        "builds": {name: vars(build) for name, build in builds.items()},
    }
    cpu = {name: build.cpu_s / first.cpu_s for name, build in builds.items()}
    wall = {name: build.wall_s / first.wall_s for name, build in builds.items()}
    print(
        f"{package.name} ({package.system}, {options.mode}, {options.effort}):"
        f" linked {first.linked_bytes} -> {cold.linked_bytes}"
        f" ({100 * _saved(first.linked_bytes, cold.linked_bytes):.2f} %),"
        f" objects {first.object_bytes} -> {cold.object_bytes}"
        f" ({100 * _saved(first.object_bytes, cold.object_bytes):.2f} %); processors "
        + ", ".join(f"{name} {share:.2f}" for name, share in cpu.items())
        + "; wall clock "
        + ", ".join(f"{name} {share:.2f}" for name, share in wall.items())
        + f"; tests {'agree' if row['tests_agree'] else 'DIFFER'}: {first.test} / {cold.test}",
        flush=True,
    )
    return row


_SOMETHING = """\
int total(const int *v, int n) { int s = 0; while (n--) s += v[n] * 3 + 1; return s; }
int most(const int *v, int n) { int b = 0; while (n--) if (v[n] > b) b = v[n]; return b; }
"""


def _compile_something(environment: dict[str, str], folder: Path) -> None:
    """Let a server start, load what it needs, and make a worker ready."""
    source = folder / "something.c"
    source.write_text(_SOMETHING)
    words = [*environment["CC"].split(), "-Oz", "-c", str(source), "-o", f"{source}.o"]
    subprocess.run(words, env=environment, check=True, timeout=_TIMEOUT_S)


def _stop_servers(private: Path) -> None:
    for pid in _server_pids(private):
        os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 60
    while _server_pids(private) and time.monotonic() < end:
        time.sleep(0.1)


def _saved(before: int, after: int) -> float:
    return (before - after) / before if before else 0.0


def _with_target(compilers: dict[str, Path], target: str) -> dict[str, str]:
    """Return the variables that name compilers, each with the flag that names a target."""
    flag = f" --target={target}" if target else ""
    return {name: f"{path}{flag}" for name, path in compilers.items()}


def _toolchain_environment(environment: dict[str, str], target: str) -> dict[str, str]:
    from llm_compiler.llvm.toolchain import find_toolchain

    toolchain = find_toolchain()
    found = {"CC": toolchain.tool("clang"), "CXX": toolchain.tool("clang++")}
    return {**environment, **_with_target(found, target)}


def _client_environment(
    environment: dict[str, str], client: Path | None, target: str
) -> dict[str, str]:
    if client is None:
        program = "from llm_compiler.cc.install import main; main()"
        command = [sys.executable, "-c", program, "llm-cc", "--llm-cc-client"]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        client = Path(done.stdout.strip())
    return _with_target({"CC": client / "llm-cc", "CXX": client / "llm-c++"}, target)


def _build(
    package: Package,
    source: Path,
    folder: Path,
    environment: dict[str, str],
    jobs: int,
    private: Path,
    *,
    with_test: bool = True,
) -> Build:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder, symlinks=True)
    environment = {**environment, "JOBS": str(jobs)}

    def run(command: str, log: str) -> subprocess.CompletedProcess[bytes]:
        with (folder / log).open("wb") as stream:
            return subprocess.run(
                ["sh", "-c", command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )

    if run(package.configure, "configure.out").returncode:
        raise SystemExit(f"{package.name}: configure failed: {folder / 'configure.out'}")
    started, cpu = time.monotonic(), _cpu_s(private)
    if run(package.build, "build.out").returncode:
        raise SystemExit(f"{package.name}: the build failed: {folder / 'build.out'}")
    wall_s, cpu_s = time.monotonic() - started, _cpu_s(private) - cpu
    objects = [path for path in folder.rglob("*.o") if path.read_bytes()[:4] == b"\x7fELF"]
    found = (path for glob in package.linked for path in folder.glob(glob))
    linked = {path.resolve() for path in found if path.is_file()}
    if not linked:
        raise SystemExit(f"{package.name}: nothing was linked under the names that are looked for")
    test = "not run"
    if with_test:
        done = run(package.test, "test.out")
        test = f"exit {done.returncode}: {_summary((folder / 'test.out').read_text('latin-1'))}"
    return Build(
        wall_s=round(wall_s, 2),
        cpu_s=round(cpu_s, 2),
        objects=len(objects),
        object_kinds=_kinds(objects),
        linked_kinds=_kinds(linked),
        test=test,
    )


_COUNT = re.compile(
    r"^.*(tests? passed|Total:? \d+|PASS:|FAIL:|Ok:|Fail:|passed|failed).*$", re.MULTILINE
)


def _summary(text: str) -> str:
    """Return a test-suite's own counts, without its seconds and folders."""
    lines = [
        re.sub(r"[0-9.]+ ?(ms|s|sec)\b|/\S+/", "", found[0]) for found in _COUNT.finditer(text)
    ]
    counted = [line.strip() for line in lines if re.search(r"\d", line)]
    return "; ".join(sorted(set(counted))[-4:])[:300]


def _server_pids(private: Path) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(str(private / "run")) in words:
            found.append(int(path.parent.name))
    return found


def _cpu_s(private: Path) -> float:
    """Return the seconds of processors of our children, and of the servers with theirs."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime
    wanted = set(_server_pids(private))
    stats: dict[int, tuple[int, float]] = {}
    ticks = os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15])) / ticks
    for pid in stats:
        ancestor = pid
        while ancestor in stats and ancestor not in wanted:
            ancestor = stats[ancestor][0]
        if ancestor in wanted:
            total += stats[pid][1]
    return total


if __name__ == "__main__":
    raise SystemExit(main())
