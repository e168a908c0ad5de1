"""Builds Debian packages by their own rules with clang -Oz and with llm-cc, and compares.

    python benchmarks/llm_cc_packages.py --sources DIR --work DIR [--package mawk] [--mode lto]

`--sources` holds what ``apt-get source`` unpacked. For each package: built by clang, by llm-cc cold
(no server, no cache), with a warm server, with a warm cache; the package's own tests, sizes of
objects and linked files, seconds of wall clock and of processors (the server's and its workers'
included). Prints a row a package, and writes all to ``results.jsonl``, which it goes on with.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from llm_compiler.llvm.object_file import section_sizes

_TIMEOUT_S = 3000


@dataclass(frozen=True)
class Package:
    """How a package is built; commands are the shell's, ``$CC`` and ``$JOBS`` are set."""

    name: str
    system: str
    configure: str
    build: str
    test: str
    linked: tuple[str, ...]
    """Globs of the files that are shipped."""


_CMAKE = "cmake -S {source} -B build -DCMAKE_BUILD_TYPE=None {more} >/dev/null"
_FLAGS = 'CFLAGS="-Oz" CXXFLAGS="-Oz"'


def _cmake(more: str = "", source: str = ".") -> str:
    return f"{_FLAGS} " + _CMAKE.format(source=source, more=more)


PACKAGES = (
    Package(
        "mawk",
        "autotools",
        f"touch parse.c parse.h; {_FLAGS} ./configure >/dev/null",
        "make -j$JOBS",
        "make check",
        ("mawk",),
    ),
    Package(
        "jansson",
        "CMake",
        _cmake("-DJANSSON_BUILD_DOCS=OFF -DJANSSON_BUILD_SHARED_LIBS=ON"),
        "make -C build -j$JOBS",
        "ctest --test-dir build -j$JOBS",
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
        "./test",
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
        "CMake",
        _cmake("-DEXPAT_BUILD_DOCS=OFF -DEXPAT_BUILD_EXAMPLES=OFF", "expat"),
        "make -C build -j$JOBS",
        "ctest --test-dir build",
        ("build/xmlwf/xmlwf", "build/*.so.*.*"),
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
        "make check -j$JOBS",
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
)


@dataclass(frozen=True)
class Build:
    """What a build left."""

    wall_s: float
    cpu_s: float
    objects: int
    object_bytes: int
    linked_bytes: int
    test: str


def main() -> int:
    """Build what is asked for; return 1 where a test-suite answers otherwise than with clang."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--package", action="append")
    parser.add_argument("--mode", default="object", choices=("object", "lto"))
    parser.add_argument("--effort", default="fast")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--skip-server", action="store_true", help="no build with a warm server")
    parser.add_argument("--client", type=Path, help="default: that of this installation")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    failed = False
    for package in PACKAGES:
        if options.package and package.name not in options.package:
            continue
        (source,) = options.sources.glob(f"{package.name}-[0-9]*/")
        row = _compare(package, source, options)
        with (options.work / "results.jsonl").open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        failed |= not row["tests_agree"]
    return int(failed)


def _compare(package: Package, source: Path, options: argparse.Namespace) -> dict[str, object]:
    private = options.work / "private"
    shutil.rmtree(private, ignore_errors=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LLM_CC_")}
    plain = _toolchain_environment(environment)
    ours = {
        **environment,
        "LLM_CC_DIR": str(private),
        "LLM_CC_MODE": options.mode,
        "LLM_CC_EFFORT": options.effort,
    }
    ours |= _client_environment(ours, options.client)
    folder = options.work / package.name
    builds = {"clang": _build(package, source, folder, plain, options.jobs, private)}
    try:
        builds["cold"] = _build(package, source, folder, ours, options.jobs, private)
        if not options.skip_server:
            shutil.rmtree(private / "cache", ignore_errors=True)
            builds["server"] = _build(
                package, source, folder, ours, options.jobs, private, with_test=False
            )
        builds["cache"] = _build(
            package, source, folder, ours, options.jobs, private, with_test=False
        )
    finally:
        for pid in _server_pids(private):
            os.kill(pid, signal.SIGTERM)
    first, cold = builds["clang"], builds["cold"]
    row = {
        "package": package.name,
        "system": package.system,
        "mode": options.mode,
        "effort": options.effort,
        "tests_agree": first.test == cold.test,
        "test": first.test,
        "object_saved": _saved(first.object_bytes, cold.object_bytes),
        "linked_saved": _saved(first.linked_bytes, cold.linked_bytes),
        "builds": {name: vars(build) for name, build in builds.items()},
    }
    cpu = {name: build.cpu_s / first.cpu_s for name, build in builds.items()}
    wall = {name: build.wall_s / first.wall_s for name, build in builds.items()}
    print(
        f"{package.name} ({package.system}): linked {first.linked_bytes} -> {cold.linked_bytes}"
        f" ({100 * _saved(first.linked_bytes, cold.linked_bytes):.2f} %), objects "
        f"{first.object_bytes} -> {cold.object_bytes}"
        f" ({100 * _saved(first.object_bytes, cold.object_bytes):.2f} %); processors "
        + ", ".join(f"{name} {share:.2f}" for name, share in cpu.items())
        + "; wall clock "
        + ", ".join(f"{name} {share:.2f}" for name, share in wall.items())
        + f"; tests {'agree' if row['tests_agree'] else 'DIFFER'}: {first.test} / {cold.test}",
        flush=True,
    )
    return row


def _saved(before: int, after: int) -> float:
    return (before - after) / before if before else 0.0


def _toolchain_environment(environment: dict[str, str]) -> dict[str, str]:
    from llm_compiler.llvm.toolchain import find_toolchain

    toolchain = find_toolchain()
    return {
        **environment,
        "CC": str(toolchain.tool("clang")),
        "CXX": str(toolchain.tool("clang++")),
    }


def _client_environment(environment: dict[str, str], client: Path | None) -> dict[str, str]:
    if client is None:
        program = "from llm_compiler.cc.install import main; main()"
        command = [sys.executable, "-c", program, "llm-cc", "--llm-cc-client"]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        client = Path(done.stdout.strip())
    return {"CC": str(client / "llm-cc"), "CXX": str(client / "llm-c++")}


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
        object_bytes=sum(section_sizes(path.read_bytes()).size_bytes for path in objects),
        linked_bytes=sum(section_sizes(path.read_bytes()).size_bytes for path in linked),
        test=test,
    )


_COUNT = re.compile(r"^.*(tests? passed|PASS:|FAIL:|Ok:|Fail:|passed|failed).*$", re.MULTILINE)


def _summary(text: str) -> str:
    """Return a test-suite's own counts, without its seconds and folders."""
    lines = [re.sub(r"[0-9.]+ ?(ms|s|sec)\b|/\S+/", "", item[0]) for item in _COUNT.finditer(text)]
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
