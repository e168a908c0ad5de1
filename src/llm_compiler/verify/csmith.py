"""Random, well-defined C programs from Csmith, chosen so that they end soon.

Each seed gives one program; those that are too large, do not compile, do not end in time at -O0, or
do what C leaves undefined (some point to members of packed structs, which traps on Arm) are passed
over for the next seed, so first seed and number name the same programs always (on
one machine's Csmith; a machine slow enough to pass over more seeds gets other programs). What was
chosen is cached. Csmith: Yang et al., PLDI 2011; in Debian as ``csmith`` and ``libcsmith-dev``.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from llm_compiler.errors import CompileFailed, ToolchainNotFound
from llm_compiler.llvm.toolchain import Toolchain
from llm_compiler.process import run, which
from llm_compiler.verify.prepare import write_cached
from llm_compiler.verify.suite import Program, Suite
from llm_compiler.verify.target import Target, native_target

__all__ = ["csmith_suite"]

_MIN_SOURCE_BYTES, _MAX_SOURCE_BYTES = 5_000, 60_000
"""The smallest ones return a constant and test nothing."""
_RUN_TIMEOUT_S = 2.0
_MAX_SEEDS_PER_PROGRAM = 20
_OPTIONS = ("--concise", "--max-funcs", "5", "--max-block-depth", "4", "--max-block-size", "5")
_CHECKS = ("-fsanitize=undefined", "-fsanitize-trap=undefined")
"""A program that does what C leaves undefined ends by a trap."""
_CHOICE = 3
"""Part of the cache's name: to be raised when options or limits change."""
_INCLUDE_CANDIDATES = ("/usr/include/csmith", "/usr/local/include/csmith")
_INCLUDE_GLOB = "csmith*/csmith.h"


def _include_dir() -> Path:
    candidates = [Path(name) for name in _INCLUDE_CANDIDATES]
    for root in ("/usr/include", "/usr/local/include"):
        candidates += [found.parent for found in sorted(Path(root).glob(_INCLUDE_GLOB))]
    for candidate in candidates:
        if (candidate / "csmith.h").is_file():
            return candidate
    raise ToolchainNotFound(
        "csmith.h was not found: install it with 'apt-get install csmith libcsmith-dev'"
    )


def csmith_suite(
    num_programs: int, *, first_seed: int = 1, toolchain: Toolchain, cache_dir: Path
) -> Suite:
    """Return random programs from seeds counted up from `first_seed`.

    Raises:
        ToolchainNotFound: Csmith or its headers are missing.
        CompileFailed: seed after seed gives no program that serves.
    """
    tool = which("csmith")
    if tool is None:
        raise ToolchainNotFound("csmith was not found: install it with 'apt-get install csmith'")
    include = _include_dir()
    version = run([tool, "--version"], timeout_s=20).stdout.decode("utf-8", "replace").split()[1]
    cache = cache_dir / f"csmith-{version}-{_CHOICE}"
    target = native_target(toolchain)
    programs: list[Program] = []
    seed = first_seed
    while len(programs) < num_programs:
        if seed - first_seed >= _MAX_SEEDS_PER_PROGRAM * num_programs:
            raise CompileFailed(
                f"only {len(programs)} of {num_programs} Csmith programs serve among the seeds "
                f"{first_seed} to {seed - 1}"
            )
        source = _source(tool, seed, target, include, cache)
        if source:
            programs.append(
                Program(name=f"csmith_{seed}", source=source, flags=("-I", str(include)))
            )
        seed += 1
    return Suite(name=f"csmith-{first_seed}-{num_programs}", programs=tuple(programs))


def _source(tool: str, seed: int, target: Target, include: Path, cache: Path) -> str:
    """Return a seed's program, or nothing if it does not serve."""
    entry = cache / f"{seed}.json"
    try:
        return str(json.loads(entry.read_bytes())["source"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    with tempfile.TemporaryDirectory(prefix="llm-compiler-csmith-") as name:
        source = _generate(tool, seed, target, include, Path(name))
    write_cached(entry, json.dumps({"source": source}).encode())
    return source


def _generate(tool: str, seed: int, target: Target, include: Path, folder: Path) -> str:
    # In a folder of its own: Csmith leaves a file "platform.info" where it runs.
    made = run([tool, "--seed", str(seed), *_OPTIONS], timeout_s=30, cwd=folder)
    if not made.ok or not _MIN_SOURCE_BYTES <= len(made.stdout) <= _MAX_SOURCE_BYTES:
        return ""
    path = folder / "program.c"
    path.write_bytes(made.stdout)
    try:
        flags = ["-O0", "-w", *_CHECKS, "-I", str(include)]
        target.compile([*flags, str(path), "-o", str(folder / "program")])
    except CompileFailed:
        return ""
    completed = target.run(folder / "program", timeout_s=_RUN_TIMEOUT_S)
    return made.stdout.decode() if completed.ok and completed.stdout else ""
